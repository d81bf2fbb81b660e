"""A connection to a silent server keeps nobody waiting: not with a large commit, and not at its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnsd.errors import DnsdError
from dnsd.fleet.identity import load_identity
from dnsd.fleet.link import Line, LinkSettings
from dnsd.fleet.writer import FleetAwayError, Writer
from tests.fleet import servers as servers_of_root
from tests.fleet.fleets import State, line_to, one_server, random_value, run
from tests.fleet.nats_servers import NatsServer, needs_nats_server
from tests.limits import HANG_S

pytestmark = needs_nats_server
LARGE = {f"dnsd.s.o.acme.zone.z{number}": random_value(250_000) for number in range(60)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with one_server(tmp_path) as server:
        yield server


def test_a_large_commit_to_a_silent_server_can_be_cancelled(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            server.send(signal.SIGSTOP)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await state.commit(LARGE)

    run(test())


def test_a_large_commit_to_a_silent_server_has_a_limit(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            state = await State(line).begin()
            server.send(signal.SIGSTOP)
            with pytest.raises(FleetAwayError):
                async with asyncio.timeout(HANG_S):  # each message waited for 10 s
                    await Writer(line.link, give_up_s=1).commit(state.drawn_up(dict([*LARGE.items()][:8])))
            server.send(signal.SIGCONT)
            while True:  # the connection is of use again, or the next one is
                try:
                    await state.commit({"dnsd.s.o.other.map.z": b"1"})
                    break
                except FleetAwayError:
                    continue

    run(test())


def test_the_end_of_a_connection_does_not_swallow_a_cancellation(server: NatsServer) -> None:
    async def test() -> None:
        async with line_to(server.url) as line:
            link = await line.link()
            began = asyncio.Event()

            async def slow() -> None:
                began.set()
                await asyncio.sleep(60)

            real, link.client.close = link.client.close, slow  # type: ignore[method-assign]
            task = asyncio.create_task(line.close())
            await began.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            link.client.close = real  # type: ignore[method-assign]

    run(test())


def test_the_next_server_is_used_when_the_nearest_is_silent(tmp_path: Path) -> None:
    root = servers_of_root.new_root(tmp_path, 3)

    async def test(servers: list[servers_of_root.NatsServer]) -> None:
        urls = tuple(one.url for one in root.servers)
        line = Line(
            LinkSettings("c1", urls, lambda: load_identity(servers_of_root.control_folder(root)).connect_options())
        )

        async def answering() -> str:
            while True:
                try:
                    link = await line.link()
                    await link.ask("$JS.API.INFO")
                    return str(link.client.connected_url.netloc)
                except DnsdError:
                    await asyncio.sleep(0.1)

        nearest = await answering()
        assert nearest == urls[0].partition("//")[2]
        servers[0].process.send_signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(20):  # a hang: the half minute of a TLS connection that is closed
                while await answering() == nearest:  # its threads stop one by one
                    await asyncio.sleep(0.1)
        finally:
            servers[0].process.send_signal(signal.SIGCONT)
            await line.close()

    with servers_of_root.running(root) as servers:
        run(test(servers))


def test_a_line_that_leaves_a_server_goes_to_the_next_one(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()

    async def test() -> None:
        with one_server(folders[0]) as first, one_server(folders[1]) as second, one_server(folders[2]) as third:
            urls = [first.url, second.url, third.url]
            async with line_to(*urls) as line:
                used = []
                for _ in range(4):
                    link = await line.link()
                    assert link.client.connected_url
                    used.append(f"nats://{link.client.connected_url.netloc}")
                    await line.leave()
                    assert link.is_closed
                assert used == [*urls, urls[0]]
                second.end()
                await line.leave()  # of no connection
                assert (await line.link()).client.is_connected
            async with line_to(first.url) as line:
                link = await line.link()
                await line.leave()
                assert await line.link() is link  # there is no other server

    run(test())
