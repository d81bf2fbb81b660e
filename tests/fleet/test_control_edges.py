"""A control's table of edges over a real server: five hundred edges, what strangers aim at it, and who is late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dnsd.fleet import control_edges
from dnsd.fleet.access import status_subject
from dnsd.fleet.beat import BEAT, Beat, parse_beat
from dnsd.fleet.control_edges import ControlEdges
from dnsd.fleet.control_store import ControlStore
from dnsd.fleet.edge_record import EdgeRecord, edge_subject
from dnsd.fleet.edge_status import EdgeStatus
from dnsd.fleet.edge_table import SPACING_S
from dnsd.fleet.link import Line, Link
from dnsd.fleet.written_place import WrittenPlace
from dnsd.manage.fleet_view import EdgeState, EdgeView
from tests.fleet.fleets import line_to, one_server, run
from tests.fleet.nats_servers import NatsServer, needs_nats_server

pytestmark = needs_nats_server
EDGES = 500
OWN = Beat("e", 100, 7)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with one_server(tmp_path) as server:
        yield server


class OwnCopy:
    """The store of a control whose copy has OWN, and two records."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.written = WrittenPlace()
        self.follower: Any = SimpleNamespace(beat=lambda: OWN, place=("e", 100), whole_at=None)
        self.has_news = True

    async def link(self) -> Link:
        return await self._line.link()

    def take_record_news(self) -> bool:
        has_news, self.has_news = self.has_news, False
        return has_news

    def note_record_news(self) -> None:
        self.has_news = True

    def shared_values(self, prefix: str) -> dict[str, bytes]:
        assert edge_subject("e1").startswith(prefix)
        later = b'{"v":2}'
        return {edge_subject("e1"): EdgeRecord("U", 3, "Oslo").packed(), edge_subject("later"): later}


@asynccontextmanager
async def edges_of(store: OwnCopy) -> AsyncIterator[ControlEdges]:
    """A running table."""
    edges = ControlEdges(cast(ControlStore, store))
    task = asyncio.create_task(edges.run())
    try:
        yield edges
    finally:
        task.cancel()
        await asyncio.wait([task])


def status(number: int, seq: int = 100) -> EdgeStatus:
    return EdgeStatus(1, number, "e", seq, 1, 0.0, "1", 0, False, 10, 5.0)


async def until_listed(edges: ControlEdges, wanted: int) -> list[EdgeView]:
    while len(found := [one for one in edges.edges() if one.silence_s is not None]) != wanted:
        await asyncio.sleep(0.02)
    return found


async def send_all(link: Link, number: int, seq: int = 100) -> None:
    for edge in range(EDGES):
        await link.publish(status_subject(f"e{edge}"), status(number, seq).packed())


def test_five_hundred_edges_are_listed_and_waited_for(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as other:
            store, link = OwnCopy(line), await other.link()
            async with edges_of(store) as edges:
                number = 0
                while len(edges.edges()) < EDGES:
                    number += 1
                    await send_all(link, number)
                    await asyncio.sleep(2 * SPACING_S)
                found = {one.name: one for one in await until_listed(edges, EDGES)}
                assert (found["e1"].ring, found["e1"].label, found["e0"].is_recorded) == (3, "Oslo", False)
                assert {one.state for one in found.values()} == {EdgeState.OK}
                store.written.note("e", [100], 0.0)
                assert await edges.late() == []
                store.written.note("e", [101], 0.0)
                waiting = asyncio.create_task(edges.late())
                for edge in range(EDGES):
                    assert not waiting.done()
                    await link.publish(status_subject(f"e{edge}"), status(number + 1, 101).packed())
                    await asyncio.sleep(0)
                assert await waiting == []

    run(test())


def test_the_late_edges_are_named(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_edges, "WAITED_S", 0.3)

    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as other:
            store, link = OwnCopy(line), await other.link()
            store.written.note("e", [101], 0.0)
            async with edges_of(store) as edges:
                while len([one for one in edges.edges() if one.silence_s is not None]) < 2:
                    await link.publish(status_subject("slow"), status(1, 100).packed())
                    await link.publish(status_subject("quick"), status(1, 101).packed())
                    await asyncio.sleep(2 * SPACING_S)
                assert await edges.late() == ["slow"]
                store.written = WrittenPlace()
                store.written.note("the one before", [1_000_000], 0.0)
                assert await edges.late() == []

    run(test())


def test_a_control_that_begins_to_listen_first_hears_the_edges(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_edges, "WAITED_S", 3.0)

    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as other:
            store, link = OwnCopy(line), await other.link()
            store.written.note("e", [101], 0.0)
            async with edges_of(store) as edges:
                waiting = asyncio.create_task(edges.late())
                number = 0
                while not waiting.done():
                    number += 1
                    await link.publish(status_subject("slow"), status(number, 100).packed())
                    await asyncio.sleep(2 * SPACING_S)
                assert await waiting == ["slow"]

    run(test())


def test_what_an_edge_aims_at_statuses_is_passed_over(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as other:
            link = await other.link()
            async with edges_of(OwnCopy(line)) as edges:
                while not edges.edges():
                    await link.publish(status_subject("real"), status(1).packed())
                    await asyncio.sleep(0.05)
                for name in ("victim", "real"):
                    false = status(9, 999).packed()
                    await link.publish(status_subject(name), false, reply="$JS.ACK.DNSD.edge-x.1.2.3.4.5")
                    await link.publish(status_subject(name), false, headers={"Nats-Stream": "DNSD"})
                    await link.publish(status_subject(name), b"x" * 100_000)
                await link.publish("dnsd.edge.NO-NAME.status", status(9, 999).packed())
                await asyncio.sleep(2 * SPACING_S)
                await link.publish(status_subject("real"), status(2, 101).packed())
                while edges.edges()[-1].seq != 101:
                    await asyncio.sleep(0.02)
                assert [one.name for one in edges.edges()] == ["e1", "real"]

    run(test())


def test_a_whole_copy_beats_each_second_and_another_does_not(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line, line_to(server.url) as other:
            store, heard = OwnCopy(line), asyncio.Queue[Any]()
            await (await other.link()).listen(BEAT, heard.put)
            async with edges_of(store):
                beats = [await heard.get() for _ in range(2)]
                assert {parse_beat(one.data) for one in beats} == {OWN}
                assert {(one.reply, one.headers) for one in beats} == {("", None)}
                store.follower = SimpleNamespace(beat=lambda: None)
                await asyncio.sleep(1.5)
                while not heard.empty():
                    heard.get_nowait()
                await asyncio.sleep(1.5)
                assert heard.empty()

    run(test())


def test_a_control_is_ready_while_its_copy_was_whole_a_moment_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    store = OwnCopy(cast(Line, None))
    edges = ControlEdges(cast(ControlStore, store))
    assert edges.unready() == ["the fleet's state has not come yet since the start"]
    store.follower.whole_at = time.monotonic() - 9
    assert edges.unready() == []
    store.follower.whole_at -= 2
    assert "the fleet's servers do not answer" in edges.unready()[0]
    store.follower = None
    assert len(edges.unready()) == 1
