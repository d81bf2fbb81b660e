"""A follower that is interrupted while it fetches its copy anew serves the old copy until the new one is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from dnsd.fleet.beat import BEAT, Beat
from dnsd.fleet.consumer import RestartError, StateMessages
from dnsd.fleet.follower import FleetMeta
from dnsd.fleet.link import Link
from tests.fleet.fleets import State, line_to, one_server, run
from tests.fleet.nats_servers import NatsServer, needs_nats_server
from tests.fleet.test_follower import Copy, copy_in

pytestmark = needs_nats_server
MANY = {f"dnsd.s.o.acc{number}.map.x": b"%d" % number for number in range(20)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with one_server(tmp_path) as server:
        yield server


def interrupted(monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException) -> list[str]:
    """Have the first fetch anew of a copy that has a state end with an error, after some messages; empty until then."""
    real = StateMessages._take_state
    seen: list[str] = []
    done: list[str] = []

    def take(self: Any, message: Msg) -> None:
        if self._receiver._replica.is_anew and self._receiver._replica.place.epoch and not done:
            seen.append(message.subject)
            if len(seen) > after:
                done.append(message.subject)
                raise error
        real(self, message)

    monkeypatch.setattr(StateMessages, "_take_state", take)
    return done


async def differ(state: State, copy: Copy, done: list[str]) -> None:
    """Say to a copy that it has other heads, until it was interrupted in its fetch."""
    link, intake = await state.line.link(), copy.follower._intake
    assert intake
    beat = Beat("epoch-1", copy.replica.place.seq, intake.heads_sum ^ 1)
    while not done:
        await link.publish(BEAT, beat.packed())
        await asyncio.sleep(0.1)


def test_a_fetch_that_is_interrupted_serves_no_half_copy(
    server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit(MANY)
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values)
                done = interrupted(monkeypatch, 5, RestartError("the connection was interrupted"))
                seen = []
                copy.follower._take = lambda step: seen.append((step.subjects, copy.values()))
                await differ(state, copy, done)
                assert copy.values() == state.values
                while not seen:
                    await asyncio.sleep(0.05)
                assert seen == [(None, state.values)]
                await copy.becomes(state.values)

    run(test())


def test_a_fetch_that_a_kill_ends_is_begun_again_after_the_start(
    server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit(MANY)
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values)
                done = interrupted(monkeypatch, 5, asyncio.CancelledError())
                await differ(state, copy, done)
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values)
                assert [step.subjects for step in copy.steps] == [None]
                assert copy.said == ["the copy was found to be wrong before the last start, and not fetched anew since"]
                assert copy.replica.place.caught_up_at
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values)
                assert (copy.steps, copy.said) == ([], [])

    run(test())


def test_a_subject_that_cannot_be_read_is_kept_and_said_once(server: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit(MANY)
            link = await line.link()
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values)
                for name in ("a~b", "a+b"):
                    await link.publish(f"dnsd.s.o.acme.map.{name}", b"x", headers={"Nats-Batch-Sequence": "x"})
                odd = {f"dnsd.s.o.acme.map.{name}": b"x" for name in ("a~b", "a+b")}
                await copy.becomes(state.values | odd)
                await state.commit({"dnsd.s.o.acc1.map.x": b"next"})
                await copy.becomes(state.values | odd)
                assert [one for one in copy.said if "cannot read, and is kept" in one] == copy.said[:1] == copy.said
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values | odd)
                assert copy.steps == []

    run(test())


def test_a_connection_that_ends_between_two_requests_is_opened_anew(server: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit(MANY)
            async with copy_in(tmp_path, second) as copy:
                real = copy.follower._meta

                async def meta(link: Link) -> FleetMeta:
                    found = await real(link)
                    copy.follower._meta = real  # type: ignore[method-assign]
                    await link.client.close()
                    return found

                copy.follower._meta = meta  # type: ignore[method-assign]
                await copy.becomes(state.values)

    run(test())


@pytest.mark.parametrize("answer", [{}, {"num_pending": "x"}, {"num_pending": None, "delivered": 5}])
def test_an_answer_without_numbers_is_asked_again(server: NatsServer, tmp_path: Path, answer: dict[str, Any]) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            async with copy_in(tmp_path, second) as copy:
                real = copy.follower._make

                async def make(link: Link, **start: str | int) -> dict[str, Any]:
                    copy.follower._make = real  # type: ignore[method-assign]
                    return answer

                copy.follower._make = make  # type: ignore[method-assign]
                await copy.becomes(state.values)
                assert copy.said == ["an answer of the fleet's servers has no number num_pending"]

    run(test())
