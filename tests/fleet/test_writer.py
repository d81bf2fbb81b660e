"""A commit is stored as a whole, once, or not at all; writers of one account take turns; a real nats-server judges."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dnsd.fleet.heads import AccountState, AccountSum, parse_head
from dnsd.fleet.last_message import last_message
from dnsd.fleet.link import EngineRefusedError, Line, LinkSettings, NoAnswerError, open_link
from dnsd.fleet.op_verdict import is_stored
from dnsd.fleet.stream import STREAM, check_stream, make_stream
from dnsd.fleet.subjects import NAMES_GUARD, SPACE_GUARD, head_subject
from dnsd.fleet.values import MAX_VALUE
from dnsd.fleet.writer import Commit, ControlWrite, FleetAwayError, StaleAccountsError, Writer
from tests.fleet.fleets import State, line_to, one_server, run
from tests.fleet.nats_servers import NatsServer, free_ports, needs_nats_server

pytestmark = needs_nats_server
X, Y, Z = "dnsd.s.o.acme.map.x", "dnsd.s.o.acme.map.y", "dnsd.s.o.other.map.z"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with one_server(tmp_path) as server:
        yield server


async def stored(line: Line, subject: str) -> dict[str, Any] | None:
    link = await line.link()
    reply = await link.request(f"$JS.API.DIRECT.GET.{STREAM}.{subject}", within_s=30)
    if "Status" in reply.headers:
        return None
    return {"value": reply.data, "seq": int(reply.headers["Nats-Sequence"]), **reply.headers}


async def count(line: Line) -> int:
    info = await (await line.link()).ask(f"$JS.API.STREAM.INFO.{STREAM}", within_s=30)
    return int(info["state"]["messages"])


def test_a_commit_is_stored_with_marker_heads_and_sums(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            commit = state.drawn_up({X: b"1", Y: b"2", Z: b"3"})
            states = await state.writer.commit(commit)
            head = await stored(line, head_subject("acme"))
            assert head
            assert parse_head(head["value"]).sum == AccountSum().changed(X, None, b"1").changed(Y, None, b"2")
            assert parse_head(head["value"]).op == commit.op
            assert states["acme"] == AccountState(head["seq"], parse_head(head["value"]).sum)
            last = await stored(line, head_subject("other"))
            assert last
            assert (last["Nats-Batch-Commit"], states["other"].seq) == ("1", last["seq"])
            first = await stored(line, X)
            assert first
            assert int(first["Nats-Batch-Sequence"]) == parse_head(head["value"]).first

    run(test())


def test_the_same_commit_is_stored_once(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            commit = state.drawn_up({X: b"1"})
            first = await state.writer.commit(commit)
            before = await count(line)
            assert await state.writer.commit(commit) == first
            assert await count(line) == before

    run(test())


def test_of_two_writers_of_an_account_one_is_refused(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit({X: b"0", Z: b"0"})
            other = Writer(second.link)
            for number in range(20):
                commits = [state.drawn_up({X: b"%d" % number}), state.drawn_up({Y: b"%d" % number, Z: b"%d" % number})]
                done = await asyncio.gather(
                    state.writer.commit(commits[0]), other.commit(commits[1]), return_exceptions=True
                )
                refused = [one for one in done if isinstance(one, StaleAccountsError)]
                made = [(commit, one) for commit, one in zip(commits, done, strict=True) if isinstance(one, dict)]
                assert len(refused) == len(made) == 1
                assert refused[0].accounts == {"acme"}
                commit, states = made[0]
                state.accounts |= states
                state.values |= {write.subject: write.new for write in commit.writes if write.new is not None}
            for subject, value in state.values.items():
                found = await stored(line, subject)
                assert found
                assert found["value"] == value

    run(test())


def test_a_refused_commit_leaves_nothing(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            await state.commit({X: b"1"})
            before, old = await count(line), state.drawn_up({X: b"old", Y: b"old", Z: b"old"})
            await state.commit({X: b"2"})
            with pytest.raises(StaleAccountsError):
                await state.writer.commit(old)
            assert await stored(line, Z) is None
            assert await count(line) == before + 1  # the other commit's marker
            with pytest.raises(EngineRefusedError, match="the limit is"):
                await state.commit({Y: b"1", Z: bytes(MAX_VALUE + 1)})
            assert await stored(line, Y) is None

    run(test())


def test_a_removal_and_a_new_object_of_that_name(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            await state.commit({X: b"1", Y: b"2"})
            await state.commit({X: None})
            found = await stored(line, X)
            assert found
            assert (found["value"], found["KV-Operation"], found["Nats-TTL"]) == (b"", "DEL", "720h")
            assert state.accounts["acme"].sum == AccountSum().changed(Y, None, b"2")
            await state.commit({X: b"again"})
            assert state.accounts["acme"].sum.objects == 2

    run(test())


@pytest.mark.parametrize("second", ["rewritten", "read"])
def test_a_guard_lets_one_of_two_pass(server: NatsServer, second: str) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            for subject, other in ((X, Z), (Y, "dnsd.s.o.other.map.w")):  # the guard is new, then not
                guards = {NAMES_GUARD: await state.writer.guard(NAMES_GUARD)}
                late = state.drawn_up({other: b"2"}, **{second: guards})
                await state.commit({subject: b"1"}, rewritten=guards, read={SPACE_GUARD: 0})
                with pytest.raises(StaleAccountsError) as refused:
                    await state.writer.commit(late)
                assert (refused.value.accounts, refused.value.guards) == (set(), {NAMES_GUARD})
                assert await stored(line, other) is None

    run(test())


def test_a_guard_that_is_only_read_lets_both_pass(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            await state.commit({X: b"1"}, rewritten={SPACE_GUARD: 0})
            guards = {SPACE_GUARD: await state.writer.guard(SPACE_GUARD)}
            commits = [state.drawn_up({Y: b"2"}, read=guards), state.drawn_up({Z: b"3"}, read=guards)]
            for commit in commits:
                await state.writer.commit(commit)
            with pytest.raises(ValueError, match="as many objects"):
                await state.commit({Z: b"3"}, read={**guards, NAMES_GUARD: 0})

    run(test())


def test_what_control_alone_reads_is_written_with_the_state_or_not_at_all(server: NatsServer) -> None:
    code = "dnsd.c.join.one"

    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            await state.commit({X: b"1"}, control=[ControlWrite(code, 0, b"offer", "1h")])
            first = await last_message(await line.link(), code)
            assert first.value == b"offer"
            assert (await stored(line, code) or {})["Nats-TTL"] == "1h"
            head, object_there = [await stored(line, one) or {} for one in (head_subject("acme"), X)]
            assert parse_head(head["value"]).first == int(object_there["Nats-Batch-Sequence"])
            before = await count(line)
            with pytest.raises(StaleAccountsError) as refusal:
                await state.commit({X: b"2"}, control=[ControlWrite(code, 0, b"another", "1h")])
            assert (refusal.value.accounts, refusal.value.guards) == (frozenset(), {code})
            assert await count(line) == before
            await state.commit({X: b"2"}, control=[ControlWrite(code, first.seq, None, "1h")])
            gone = await last_message(await line.link(), code)
            assert (gone.value, gone.seq > first.seq) == (None, True)
            with pytest.raises(StaleAccountsError):
                await state.commit({X: b"3"}, control=[ControlWrite(code, first.seq, None, "1h")])
            assert (await stored(line, X) or {})["value"] == b"2"
            assert (await last_message(await line.link(), "dnsd.c.join.none")) == (0, None)
            control = (ControlWrite("dnsd.c.join.two", 0, b"offer", "1h"),)
            await state.writer.commit(Commit("alone", b"{}", (), {}, control=control))
            assert (await last_message(await line.link(), "dnsd.c.join.two")).value == b"offer"

    run(test())


def test_a_commit_beyond_one_batch_is_a_chain(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            many = {f"dnsd.s.o.a{number % 3}.zone.z{number}": b"%d" % number for number in range(2500)}
            await state.commit(dict(sorted(many.items())))
            for account in ("a0", "a1", "a2"):
                head = await stored(line, head_subject(account))
                assert head
                assert parse_head(head["value"]).sum == state.accounts[account].sum
                assert head["seq"] == state.accounts[account].seq
                assert state.accounts[account].sum.objects == sum(f".{account}." in subject for subject in many)
            await state.commit({"dnsd.s.o.a1.zone.z1": b"next"})

    run(test())


def test_without_servers_the_commit_is_away_and_its_fate_is_found_later(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            writer = Writer(line.link, give_up_s=1)
            commit = state.drawn_up({X: b"1"})
            server.send(signal.SIGSTOP)
            with pytest.raises(FleetAwayError) as away:
                await writer.commit(commit)
            assert (away.value.op, away.value.retry_after_s) == (commit.op, 5)
            server.end()
            with pytest.raises(FleetAwayError):
                await writer.guard(X)
            server.start()
            assert await is_stored(line.link, commit.op) == (await stored(line, X) is not None)

    run(test())


def test_commits_while_the_server_is_killed_are_there_once(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            state.writer = Writer(line.link, give_up_s=120)
            loop = asyncio.get_running_loop()

            async def kill() -> None:
                for _ in range(3):
                    await asyncio.sleep(0.3)
                    await loop.run_in_executor(None, server.end)
                    await loop.run_in_executor(None, server.start)

            killing = asyncio.create_task(kill())
            number = 0
            while not killing.done():
                number += 1
                await state.commit({X: b"%d" % number, f"dnsd.s.o.acme.zone.{number}": b""})
            await killing
            head = await stored(line, head_subject("acme"))
            assert head
            assert parse_head(head["value"]).sum == state.accounts["acme"].sum
            assert parse_head(head["value"]).sum.objects == number + 1

    run(test())


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"subjects": ["dnsd.>"]}, "subjects is"),
        ({"allow_atomic": False}, "allow_atomic is None"),
        ({"max_msgs_per_subject": 5}, "max_msgs_per_subject is 5"),
    ],
)
def test_a_foreign_stream_is_refused_and_left_alone(server: NatsServer, config: dict[str, Any], words: str) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            link = await line.link()
            await make_stream(link, 1)
            await link.ask(f"$JS.API.STREAM.DELETE.{STREAM}", within_s=30)
            assert not await check_stream(link)
            usual = {"name": STREAM, "subjects": ["dnsd.s.>", "dnsd.c.>"], "storage": "file", "num_replicas": 1}
            usual |= {"max_msgs_per_subject": 1, "discard": "new", "allow_atomic": True, "allow_msg_ttl": True}
            usual |= {"allow_direct": True, "deny_delete": True, "deny_purge": True, "allow_rollup_hdrs": False}
            await link.ask(f"$JS.API.STREAM.CREATE.{STREAM}", {**usual, **config}, within_s=30)
            for call in (check_stream(link), make_stream(link, 1)):
                with pytest.raises(EngineRefusedError, match=words):
                    await call

    run(test())


def test_the_stream_is_made_once(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            link = await line.link()
            assert not await check_stream(link)
            await asyncio.gather(make_stream(link, 1), make_stream(link, 1))
            assert await check_stream(link)

    run(test())


async def old_server(version: str) -> asyncio.Server:
    """A server that says that it has another version."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {
            "server_id": "x",
            "version": version,
            "proto": 1,
            "max_payload": 1048576,
            "headers": True,
            "jetstream": True,
        }
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        try:
            while line := await reader.readline():
                seen.append(line)
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
        except OSError:
            pass
        finally:
            writer.close()

    seen.clear()
    return await asyncio.start_server(serve, "127.0.0.1", 0)


seen: list[bytes] = []


@pytest.mark.parametrize("version", ["2.9.10", "2.12.7", "1.0", "", "x"])
def test_an_old_server_is_refused_before_anything_is_sent(version: str) -> None:
    async def test() -> None:
        async with await old_server(version) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(EngineRefusedError, match=r"a fleet needs 2\.12\.8 or later"):
                await open_link(LinkSettings("node", (f"nats://127.0.0.1:{port}",)))
            assert [line for line in seen if line.split()[0] not in (b"CONNECT", b"PING")] == []

    run(test())


def test_without_a_server_the_reason_is_said(server: NatsServer) -> None:
    async def test() -> None:
        closed, *_ = free_ports(1)
        with pytest.raises(NoAnswerError, match=r"no server of the fleet can be reached: .+"):
            await open_link(LinkSettings("node", (f"nats://127.0.0.1:{closed}",)))
        async with line_to(f"nats://127.0.0.1:{closed}", server.url) as line:  # the next one is taken
            assert (await line.link()).client.connected_url.port == server.port

    run(test())
