"""A follower's copy becomes the fleet's state again after each fault, and is whole until then; with a real server."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from dnsd.fleet import follower
from dnsd.fleet.beat import BEAT, Beat
from dnsd.fleet.doors import control_doors
from dnsd.fleet.follower import FleetFollower, FollowerSettings
from dnsd.fleet.intake import Flushed
from dnsd.fleet.link import EngineRefusedError, Line, Link
from dnsd.fleet.stream import STREAM
from dnsd.fleet.subjects import META
from dnsd.store.replica import Replica, open_replica
from dnsd.store.replica_rows import KeptObject, ReplicaPlace
from tests.fleet.fleets import State, line_to, one_server, run
from tests.fleet.nats_servers import NatsServer, needs_nats_server

pytestmark = needs_nats_server
X, Y, Z = "dnsd.s.o.acme.map.x", "dnsd.s.o.acme.map.y", "dnsd.s.o.other.map.z"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with one_server(tmp_path) as server:
        yield server


class Copy:
    """A follower with its replica, what it said, and its steps."""

    def __init__(self, line: Line, replica: Replica, max_drop_percent: int) -> None:
        self.said: list[str] = []
        self.times_whole = 0
        self.steps: list[Flushed] = []
        self.replica = replica
        settings = FollowerSettings("test", control_doors("test"), lambda: max_drop_percent)
        take, note = self.steps.append, self.said.append
        self.follower = FleetFollower(
            line, replica, settings, take=take, note=note, caught_up=self._note_whole, remark=note
        )

    def _note_whole(self) -> None:
        self.times_whole += 1

    def values(self) -> dict[str, bytes]:
        """The objects, without heads."""
        return {one.subject: one.value for one in self.replica.objects() if not one.subject.startswith("dnsd.s.h")}

    async def becomes(self, values: dict[str, bytes]) -> None:
        """Wait for these objects."""
        while not self.follower.is_caught_up or self.values() != values:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def copy_in(
    folder: Path, line: Line, place: ReplicaPlace | None = None, *, max_drop_percent: int = 100
) -> AsyncIterator[Copy]:
    """A running follower with the copy in this folder."""
    replica, problem = open_replica(folder / "replica.db")
    assert problem == ""
    if place:
        replica.flush((), place)
    copy = Copy(line, replica, max_drop_percent)
    task = asyncio.create_task(copy.follower.run())
    try:
        yield copy
    finally:
        task.cancel()
        await asyncio.wait([task])
        replica.close()


def test_a_copy_follows_and_resumes(server: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit({X: b"1", Z: b"1"})
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values)
                assert [step.subjects for step in copy.steps] == [None]
                await state.commit({X: None, Y: b"2"})
                await copy.becomes(state.values)
                assert copy.follower.heads["acme"] == state.accounts["acme"]
                assert copy.replica.place.epoch == "epoch-1"
            await state.commit({Z: b"3"})
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values)
                assert [step.subjects for step in copy.steps] == [{Z, "dnsd.s.h.other"}]
                assert copy.said == []

    run(test())


async def begun_again(line: Line) -> State:
    """A fleet with a new stream, once the server has removed the folder of the old one."""
    while True:
        with suppress(EngineRefusedError):
            return await State(line).begin("epoch-2")
        await asyncio.sleep(0.05)


def test_a_stream_made_anew_is_fetched_aside(server: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit({X: b"1", Z: b"1"})
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values)
                await (await line.link()).ask(f"$JS.API.STREAM.DELETE.{STREAM}", within_s=30)
                again = await begun_again(line)
                await again.commit({Y: b"2"})
                await copy.becomes(again.values)
                assert copy.said.count("the fleet's state was made anew or restored") == 1
                assert copy.replica.place.epoch == "epoch-2"

    run(test())


def test_a_much_smaller_state_made_anew_waits_for_the_operator(
    server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "SHRUNK_PAUSE_S", 0.1)

    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit({X: b"1", Y: b"1", Z: b"1"})
            async with copy_in(tmp_path, second, max_drop_percent=34) as copy:
                await copy.becomes(state.values)
                await (await line.link()).ask(f"$JS.API.STREAM.DELETE.{STREAM}", within_s=30)
                again = await begun_again(line)
                await again.commit({X: b"2"})
                waits = "the fleet's new state has 1 files, and this copy has 3: the copy stays until it has more"
                while not any(said.startswith(waits) for said in copy.said):
                    await asyncio.sleep(0.05)
                assert copy.values() == state.values
                assert copy.replica.place.epoch == "epoch-1"
            async with copy_in(tmp_path, second, max_drop_percent=34) as copy:  # the next process, too
                while not any(said.startswith(waits) for said in copy.said):
                    await asyncio.sleep(0.05)
                assert copy.values() == state.values
                await again.commit({META: b'{"epoch":"epoch-2","schema":1,"level":1,"is_accepted":true}'})
                await copy.becomes(again.values)
                assert copy.times_whole
            await again.commit({X: None})
            async with copy_in(tmp_path, second, max_drop_percent=34) as copy:  # within an epoch, control has judged
                await copy.becomes(again.values)

    run(test())


def test_an_older_state_of_the_servers_is_found(server: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit({X: b"1"})
            old = dict(state.values)
            server.end(signal.SIGTERM)
            shutil.copytree(tmp_path / "n0", tmp_path / "backup")
            server.start()
            await state.commit({X: b"2", Y: b"2"})
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values)
            server.end(signal.SIGTERM)
            shutil.rmtree(tmp_path / "n0")
            (tmp_path / "backup").rename(tmp_path / "n0")
            server.start()
            async with copy_in(tmp_path, second, max_drop_percent=49) as copy:  # it lacks half of the files
                while not any("the fleet's new state has 1 files" in said for said in copy.said):
                    await asyncio.sleep(0.05)
                assert "the servers have an older state than this copy" in copy.said
                assert copy.values() == state.values
            async with copy_in(tmp_path, second, max_drop_percent=50) as copy:
                await copy.becomes(old)

    run(test())


def test_a_copy_of_which_markers_may_be_gone_is_fetched_anew(server: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit({X: b"1"})
            long_ago = ReplicaPlace("epoch-1", 1, int(time.time()) - 26 * 86400)
            async with copy_in(tmp_path, second, long_ago) as copy:
                await copy.becomes(state.values)
                assert copy.said == ["the copy was last whole 26 days ago"]
                assert [step.subjects for step in copy.steps] == [None]

    run(test())


def test_a_server_that_is_silent_is_left_and_found_again(server: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit({X: b"1"})
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values)
                server.send(signal.SIGSTOP)
                while copy.follower.is_caught_up:
                    await asyncio.sleep(0.05)
                assert copy.values() == state.values
                server.send(signal.SIGCONT)
                await copy.becomes(state.values)
                server.end()
                server.start()
                await state.commit({X: b"2"})
                await copy.becomes(state.values)
                assert {step.subjects is None for step in copy.steps[1:]} == {False}

    run(test())


class LossyLine(Line):
    """A connection that loses some messages of the state."""

    lost = 0

    async def link(self) -> Link:
        link = await super().link()
        listen = Link.listen

        async def lossy(subject: str, take: Callable[[Msg], Awaitable[None]]) -> Any:
            async def some(message: Msg) -> None:
                if message.subject.startswith("dnsd.s.o.") and message.data == b"lost" and LossyLine.lost < 2:
                    LossyLine.lost += 1
                else:
                    await take(message)

            return await listen(link, subject, some)

        link.listen = lossy  # type: ignore[method-assign]
        return link


def test_a_lost_message_is_found_at_once(server: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            await state.commit({X: b"1"})
            second = LossyLine(line._settings)
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values)
                await state.commit({X: b"lost", Y: b"2"})
                await copy.becomes(state.values)
                assert LossyLine.lost == 2
                assert "a message of the fleet's servers was lost" in copy.said
            await second.close()

    run(test())


def test_a_beat_says_that_the_copy_differs(server: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit({X: b"1"})
            link = await line.link()
            async with copy_in(tmp_path, second) as copy:
                await copy.becomes(state.values)
                place = copy.replica.place
                intake = copy.follower._intake
                assert intake
                for data in (b"x", Beat("epoch-1", place.seq, intake.heads_sum).packed()):
                    await link.publish(BEAT, data)
                    await link.publish(BEAT, Beat("epoch-1", place.seq, 0).packed(), reply="$JS.ACK.x")  # by an edge
                    await link.publish(BEAT, Beat("epoch-1", place.seq, 0).packed(), headers={"Nats-Stream": "x"})
                await asyncio.sleep(1)
                assert [step.subjects for step in copy.steps] == [None]
                while len(copy.steps) < 2:
                    await link.publish(BEAT, Beat("epoch-1", place.seq, intake.heads_sum ^ 1).packed())
                    await asyncio.sleep(0.3)
                assert copy.steps[1].subjects is None
                assert "the copy has other heads than a control" in copy.said

    run(test())


def test_a_copy_that_is_behind_goes_to_the_next_server(server: NatsServer, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()

    async def test(other: NatsServer) -> None:
        async with (
            line_to(server.url) as line,
            line_to(other.url) as ahead,
            line_to(server.url, other.url) as own,
            copy_in(tmp_path, own) as copy,
        ):
            old, new = await State(line).begin(), await State(ahead).begin()
            for state in (old, new):
                await state.commit({X: b"1"})
            await copy.becomes(old.values)
            await new.commit({X: b"2"})
            link = await line.link()
            while copy.values() != new.values:  # no beat tells of the second server's state there
                await link.publish(BEAT, Beat("epoch-1", new.accounts["acme"].seq, 0).packed())
                await asyncio.sleep(0.2)
            await copy.becomes(new.values)
            assert copy.said[-1] == "this copy is behind the controls for more than 2 s"
            assert not any(step.subjects is None for step in copy.steps[1:])

    with one_server(folder) as other:
        run(test(other))


def test_without_a_state_the_reason_is_said_once(server: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second, copy_in(tmp_path, second) as copy:
            while not copy.said:
                await asyncio.sleep(0.05)
            await asyncio.sleep(1)
            assert copy.said == ["no server of the fleet answers this now"]
            state = await State(line).begin()
            await copy.becomes(state.values)

    run(test())


def test_two_accounts_move_together_under_load(server: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit({X: b"here", Z: b"not here"})
            async with copy_in(tmp_path, second) as copy:
                seen = set()
                copy.follower._take = lambda step: seen.add((copy.values().get(X), copy.values().get(Z)))
                await copy.becomes(state.values)
                for number in range(100):
                    values = [b"here", b"not here"]
                    await state.commit({X: values[number % 2], Z: values[1 - number % 2]})
                await copy.becomes(state.values)
                assert seen <= {(b"here", b"not here"), (b"not here", b"here")}

    run(test())


def test_a_copy_in_doubt_and_a_new_epoch_are_fetched_anew(server: NatsServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as second:
            state = await State(line).begin()
            await state.commit({X: b"1", Y: b"1"})
            async with copy_in(tmp_path, second, max_drop_percent=10) as copy:
                await copy.becomes(state.values)
                copy.replica.flush([KeptObject("acme", X, 3, b"lost")], copy.replica.place)  # as from servers restored
                copy.follower.doubt("the servers have another state")
                await copy.becomes(state.values)
                assert "the servers have another state" in copy.said
                await state.commit({META: b'{"epoch":"epoch-2","schema":1,"level":1,"is_accepted":true}'})
                while copy.replica.place.epoch != "epoch-2":
                    await asyncio.sleep(0.05)
                await copy.becomes(state.values)

    run(test())
