"""A commit that is reported as refused is never stored, and a stored one is never reported as refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dnsd.fleet.link import EngineRefusedError, FleetReply, Line, Link, NoAnswerError
from dnsd.fleet.op_verdict import is_stored
from dnsd.fleet.subjects import NAMES_GUARD, head_subject
from dnsd.fleet.writer import FleetAwayError, StaleAccountsError, Writer
from tests.fleet.fleets import State, line_to, one_server, run
from tests.fleet.nats_servers import NatsServer, needs_nats_server
from tests.fleet.test_writer import stored

pytestmark = needs_nats_server
X = "dnsd.s.o.acme.map.x"
STALE = {"code": 400, "err_code": 10071, "description": "wrong last sequence: 0"}
FULL = {"code": 503, "err_code": 10023, "description": "insufficient resources"}
MISSING = {"code": 404, "err_code": 10037, "description": "no message found"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with one_server(tmp_path) as server:
        yield server


def said(error: dict[str, Any]) -> FleetReply:
    return FleetReply({}, json.dumps({"error": error}).encode())


class Servers:
    """A link whose answers to attempts and looks for markers are replaced, each in its turn."""

    def __init__(self, link: Link) -> None:
        self.link, self.real = link, link.request
        self.attempts: list[FleetReply | str | None] = []
        self.looks: list[FleetReply | None] = []
        self.refusal: Exception | None = None
        self.asked = 0
        link.request = self.request  # type: ignore[method-assign, assignment]

    async def request(self, subject: str, payload: bytes = b"", **more: Any) -> FleetReply:
        if "Nats-Batch-Commit" in (more.get("headers") or {}):
            self.asked += 1
            turn = self.attempts.pop(0) if self.attempts else None
            if turn == "lost":
                await self.real(subject, payload, **more)
                raise NoAnswerError("lost")
            if isinstance(turn, FleetReply):
                return turn
        elif "MSG.GET" in subject and b"dnsd.c.op" in payload and self.looks:
            found = self.looks.pop(0)
            if found:
                return found
        return await self.real(subject, payload, **more)

    async def __call__(self) -> Link:
        if self.refusal and self.asked:
            raise self.refusal
        return self.link


async def changed(line: Line) -> State:
    state = await State(line).begin()
    await state.commit({X: b"1"})
    return state


def test_a_stale_answer_without_a_difference_is_asked_again(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await changed(line)
            servers = Servers(await line.link())
            servers.attempts = [said(STALE)]  # by a batch on its way, not stored yet
            commit = state.drawn_up({X: b"2"}, rewritten={NAMES_GUARD: 0})
            states = await Writer(servers).commit(commit)
            head = await stored(line, head_subject("acme"))
            assert head
            assert states["acme"].seq == head["seq"]
            servers.attempts = [said(STALE)] * 100
            with pytest.raises(FleetAwayError):
                await Writer(servers, give_up_s=0.5).commit(state.drawn_up({"dnsd.s.o.other.map.z": b"3"}))

    run(test())


def test_a_later_part_does_not_call_its_own_guard_changed(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await changed(line)
            servers = Servers(await line.link())
            servers.attempts = [None, said(STALE)]
            many = {f"dnsd.s.o.acme.zone.z{number}": b"" for number in range(1500)}
            commit = state.drawn_up(many, rewritten={NAMES_GUARD: 0})
            assert (await Writer(servers).commit(commit))["acme"].sum.objects == 1501

    run(test())


def test_an_op_that_is_stored_between_the_looks_is_no_refusal(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await changed(line)
            commit = state.drawn_up({X: b"2"})
            states = await state.writer.commit(commit)  # an earlier attempt, stored after the first look
            servers = Servers(await line.link())
            servers.looks = [said(MISSING)]
            assert await Writer(servers).commit(commit) == states
            other = state.drawn_up({X: b"3"})
            with pytest.raises(StaleAccountsError) as stale:
                await Writer(servers).commit(other)
            assert stale.value.accounts == {"acme"}
            assert not await is_stored(line.link, other.op)

    run(test())


@pytest.mark.parametrize("how", ["no room", "an old server"])
def test_no_refusal_after_a_lost_answer_is_final(server: NatsServer, how: str) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await changed(line)
            servers = Servers(await line.link())
            servers.attempts = ["lost", *[said(FULL)] * 100]
            servers.looks = [said(MISSING)]
            commit = state.drawn_up({X: b"2"})
            states = await Writer(servers).commit(commit)
            assert states["acme"].sum == state.accounts["acme"].sum.changed(X, b"1", b"2")
            servers.asked, servers.attempts = 0, ["lost"]
            servers.refusal = EngineRefusedError("nats-server has version 2.11.0") if how == "an old server" else None
            servers.attempts += [said(FULL)] * 100
            servers.looks = [said(MISSING)] * 100
            with pytest.raises(FleetAwayError):
                await Writer(servers, give_up_s=0.5).commit(state.drawn_up({"dnsd.s.o.other.map.z": b"3"}))

    run(test())


def test_a_refusal_of_the_first_attempt_is_final(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await changed(line)
            servers = Servers(await line.link())
            servers.attempts = [said(FULL)]
            with pytest.raises(OSError, match="no room"):
                await Writer(servers).commit(state.drawn_up({X: b"2"}))
            servers.refusal = EngineRefusedError("nats-server has version 2.11.0")
            with pytest.raises(EngineRefusedError):
                await Writer(servers).commit(state.drawn_up({X: b"2"}))

    run(test())
