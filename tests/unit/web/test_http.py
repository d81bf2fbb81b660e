"""The HTTP server by itself: pipelined requests whose responses nobody reads, and which connection makes room."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from unittest.mock import MagicMock

import pytest
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dnsd.api.connection import HOLDERS, PRESENCE
from dnsd.api.envelope import gone
from dnsd.process.turns import ClientGoneError, FairTurns, at_once
from dnsd.web import http
from dnsd.web.http import MAX_CONNECTIONS, _BoundedProtocol, serve_http
from tests.limits import HANG_S

SIZE = 100_000  # octets of a response
SLOW = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
COUNT = 202  # requests
FEW = 20  # responses of SIZE that fit into the buffers of both sides, with room to spare


@dataclass
class Served:
    """A running server; `calls` counts its requests."""

    address: tuple[str, int]
    calls: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        if holder := Headers(scope=scope).get("x-holder"):
            scope["state"][HOLDERS][:] = [holder]
        while scope["path"] == "/slow" and (await receive())["type"] != "http.disconnect":
            pass  # as long as the client is there
        await Response(bytes(SIZE))(scope, receive, send)

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.settimeout(HANG_S)
        client.bind((source, 0))
        client.connect(self.address)
        return client


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        served = Served(sock.getsockname())
        task = asyncio.create_task(serve_http(served, sock, lambda: None))
        await asyncio.sleep(0.05)
        yield served
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def in_server(work: Callable[[Served], None], then: Callable[[Served], None] = lambda served: None) -> None:
    """Run blocking work of clients in a thread while the server runs."""

    async def run() -> None:
        async with serving() as served:
            await asyncio.to_thread(work, served)
            await asyncio.sleep(0.3)
            then(served)
            await asyncio.sleep(0.05)  # for the server to see that clients have gone

    asyncio.run(run())


def read(client: socket.socket) -> int:
    """Read one response; return the octets of its body."""
    octets = b""
    while b"\r\n\r\n" not in octets:
        octets += client.recv(1)
    left = SIZE
    while left:
        left -= len(client.recv(min(left, 65_536)))
    return SIZE


def test_client_gets_no_more_responses_than_it_reads() -> None:
    clients: list[socket.socket] = []

    def ask(served: Served) -> None:
        client = served.connect()
        client.sendall(REQUEST * 100)
        clients.append(client)

    def judge(served: Served) -> None:
        clients[0].close()
        assert 1 <= served.calls <= FEW

    in_server(ask, judge)


def test_client_that_reads_gets_all_responses_in_order() -> None:
    def ask(served: Served) -> None:
        with served.connect() as client:
            client.sendall(REQUEST * 100)
            assert sum(read(client) for _ in range(100)) == 100 * SIZE
            client.sendall(REQUEST)
            assert read(client) == SIZE
        assert served.calls == 101

    in_server(ask)


@pytest.mark.slow
def test_client_with_the_most_connections_makes_room() -> None:
    def ask(served: Served) -> None:
        with served.connect() as operator:
            operator.sendall(REQUEST)
            read(operator)
            strangers = [served.connect("127.0.0.2") for _ in range(MAX_CONNECTIONS + 20)]
            for stranger in strangers[-MAX_CONNECTIONS // 2 :]:
                stranger.sendall(REQUEST)
                read(stranger)
            operator.sendall(REQUEST)
            assert read(operator) == SIZE
            for stranger in strangers:
                stranger.close()

    in_server(ask)


def test_client_whose_connections_are_all_busy_makes_room() -> None:
    def ask(served: Served) -> None:
        busy = [served.connect("127.0.0.2") for _ in range(MAX_CONNECTIONS)]
        for client in busy:
            client.sendall(SLOW)
        while served.calls < MAX_CONNECTIONS:
            time.sleep(0.01)
        for _ in range(3):
            with served.connect() as operator:
                operator.sendall(REQUEST)
                assert read(operator) == SIZE
        for client in busy:
            client.close()

    in_server(ask)


@pytest.mark.parametrize("path", ["/", "/slow"])
def test_holder_of_the_most_makes_room_from_many_networks(path: str) -> None:
    def ask(served: Served) -> None:
        def of(holder: str, path: str = "/") -> bytes:
            return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Holder: {holder}\r\n\r\n".encode()

        others = [served.connect(f"127.0.2.{number}") for number in range(1, 11)]
        for number, other in enumerate(others):
            other.sendall(of(f"other {number}"))
            read(other)
        stolen = [served.connect(f"127.0.3.{number}") for number in range(1, MAX_CONNECTIONS - len(others) + 1)]
        for client in stolen:
            client.sendall(of("stolen", path))
            if path == "/":
                read(client)
        while served.calls < MAX_CONNECTIONS:
            time.sleep(0.01)
        new = [served.connect(f"127.0.4.{number}") for number in range(1, 21)]
        for client in (*others, *new):  # none of them lost its place
            client.sendall(of(f"honest {client.getsockname()}"))
            assert read(client) == SIZE
        for client in (*others, *new, *stolen):
            client.close()

    in_server(ask)


@pytest.mark.parametrize(
    ("idle_s", "sends", "is_kept"), [(HANG_S, b"", True), (HANG_S, b"GET", False), (0.1, b"", False)]
)
def test_pause_between_requests_is_no_slow_request(
    monkeypatch: pytest.MonkeyPatch, idle_s: float, sends: bytes, *, is_kept: bool
) -> None:
    """A client may pause for IDLE_S; once it has begun a request, REQUEST_S hold."""
    monkeypatch.setattr(http, "IDLE_S", idle_s)
    monkeypatch.setattr(http, "REQUEST_S", 0.1)

    def ask(served: Served) -> None:
        with served.connect() as client:
            client.sendall(REQUEST)
            assert read(client) == SIZE
            client.sendall(sends)
            if not is_kept:
                assert client.recv(1) == b""
                return
            client.settimeout(0.5)
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.settimeout(HANG_S)
            client.sendall(REQUEST)
            assert read(client) == SIZE

    in_server(ask)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::1", True),
    ],
)
def test_ipv6_network_counts_as_one_client(one: str, other: str, is_same: bool) -> None:
    def client(address: str) -> bytes:
        protocol = _BoundedProtocol.__new__(_BoundedProtocol)
        protocol._tcp = MagicMock(get_extra_info=lambda name: (address, 5))
        return protocol._client()

    assert (client(one) == client(other)) is is_same


def test_work_of_clients_that_have_gone_is_not_done() -> None:
    given, begun, go = FairTurns(), threading.Event(), threading.Event()
    asked: list[str] = []
    done: list[str] = []

    def work() -> None:
        begun.set()
        go.wait(HANG_S)
        done.append("work")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append("work")
        try:
            await given.run("tenant", at_once(work), scope["state"][PRESENCE])
        except ClientGoneError:
            await gone()(scope, receive, send)
        else:
            await Response(b"done")(scope, receive, send)

    def clients(address: tuple[str, int]) -> None:
        with socket.create_connection(address, HANG_S) as patient:
            patient.send(REQUEST)
            assert begun.wait(HANG_S)
            for _ in range(COUNT - 2):
                with socket.create_connection(address, HANG_S) as client:
                    client.send(REQUEST)
            with socket.create_connection(address, HANG_S) as last:
                last.send(REQUEST)
                deadline = time.monotonic() + HANG_S
                while (len(asked), len(given._waiting.get("tenant", ()))) != (COUNT, 1) and time.monotonic() < deadline:
                    time.sleep(0.001)
                go.set()
                assert last.recv(1000).startswith(b"HTTP/1.1 200")
            assert patient.recv(1000).startswith(b"HTTP/1.1 200")

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            task = asyncio.create_task(serve_http(app, sock, lambda: None))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(clients, sock.getsockname())
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert len(done) == 2, "the first, whose client waits, and the last; not those of the clients between"
