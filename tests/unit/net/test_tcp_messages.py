"""Replies of many messages over TCP: made as the client reads them, in turns with other clients, and never lost."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from itertools import chain

import pytest

from dnsd.net import tcp_connection
from dnsd.net.tcp_connection import UNREAD_LIMIT, UNSENT_LIMIT, WRITE_SIZE, Messages
from dnsd.wire.framing import frame
from tests.limits import HANG_S
from tests.unit.net.test_tcp_server import IDLE_S, STEP_S, Running, numbered, receive, small_buffers, stream

SIZE = 4_000
MANY = 10_000
KERNEL = 1024 * 1024  # octets in the socket buffers of both sides, at most


class Source:
    """Replies to `many` with a number of messages, and to all other queries with the query; counts messages."""

    def __init__(self, count: int = MANY, size: int = SIZE) -> None:
        self.count = count
        self.size = size
        self.made = 0
        self.open = 0

    def respond(self, message: bytes, peer: bytes) -> bytes | Messages | None:
        return self.messages() if message == b"many" else message or None

    def messages(self) -> Messages:
        self.open += 1
        try:
            for number in range(self.count):
                self.made += 1
                yield number.to_bytes(self.size)
        finally:
            self.open -= 1

    def await_open(self, count: int) -> None:
        deadline = time.monotonic() + HANG_S
        while self.open != count:
            assert time.monotonic() < deadline
            time.sleep(0.002)


class Reader:
    """A client that counts the octets it has read."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.octets = bytearray()
        self.read = 0
        self.seen = 0

    def messages(self, at_least: int) -> Iterator[bytes]:
        """Read some octets; yield the messages that are whole."""
        octets = self.client.recv(at_least)
        assert octets, f"closed after {self.seen} messages"
        self.read += len(octets)
        self.octets += octets
        while len(self.octets) >= 2 and len(self.octets) >= (end := 2 + int.from_bytes(self.octets[:2])):
            message = bytes(self.octets[2:end])
            del self.octets[:end]
            self.seen += 1
            yield message


def test_slow_client_gets_all_messages_and_others_are_served() -> None:
    source = Source()
    most_ahead = most_unsent = answered = 0
    with Running(source.respond) as running, running.connect() as client, running.connect() as other:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL // 4)  # of which Linux allocates twice as much
        client.sendall(stream([b"first", b"many", b"last"]))
        reader = Reader(client)
        expected = chain([b"first"], (number.to_bytes(SIZE) for number in range(MANY)), [b"last"])
        while reader.seen < MANY + 2:
            for message in reader.messages(100_000):
                assert message == next(expected)
            most_ahead = max(most_ahead, source.made * (SIZE + 2) - reader.read)
            unsent = [len(one._unsent) for one in tuple(running.server._connections)]
            most_unsent = max(most_unsent, *unsent)
            if reader.seen // 500 > answered:
                answered += 1
                other.sendall(frame(b"other"))
                assert receive(other) == [b"other"]
        assert reader.octets == b""
    assert answered >= MANY // 500
    assert source.open == 0
    assert source.made == MANY
    assert most_unsent <= UNREAD_LIMIT + WRITE_SIZE + SIZE + 2
    assert most_ahead <= UNREAD_LIMIT + WRITE_SIZE + UNSENT_LIMIT + SIZE + KERNEL, "of 40 MB"


def test_client_that_does_not_read_stops_the_messages_and_is_closed() -> None:
    source = Source()
    with Running(source.respond) as running, running.connect() as client:
        small_buffers(client)
        client.sendall(frame(b"many"))
        running.settle()
        made = source.made
        assert 0 < made < MANY / 4
        running.settle()
        assert source.made == made
        while not running.counts["closed", "idle"]:
            running.advance(IDLE_S / 8)
        assert source.open == 0


@pytest.mark.parametrize("is_reset", [False, True])
def test_client_that_goes_away_ends_the_messages(is_reset: bool) -> None:
    source = Source()
    with Running(source.respond) as running, running.connect() as client:
        small_buffers(client)
        client.sendall(frame(b"many"))
        source.await_open(1)
        client.recv(1)
        if is_reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        source.await_open(0)
        assert source.made < MANY


def test_client_that_closes_its_side_gets_the_rest() -> None:
    source = Source(300)
    with Running(source.respond) as running, running.connect(stream([b"many", b"x"])) as client:
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 301) == [*(number.to_bytes(SIZE) for number in range(300)), b"x"]
        assert client.recv(1) == b""


def test_last_query_of_a_connection_gets_all_messages() -> None:
    source = Source(300)
    with Running(source.respond, queries=2) as running, running.connect(stream([b"x", b"many", b"y"])) as client:
        assert len(receive(client, 301)) == 301
        assert client.recv(1) == b""
        client.close()
        running.await_count("closed", "queries")


def test_reply_without_messages_is_no_reply() -> None:
    source = Source(0)
    with Running(source.respond) as running, running.connect(stream([b"many", b"x", b"many", b"y"])) as client:
        assert receive(client, 2) == [b"x", b"y"]


def test_replies_of_many_messages_take_turns() -> None:
    """Each client's messages come in order, and one client's do not wait for another's end."""
    source = Source(2_000, 40)
    with Running(source.respond) as running, contextlib.ExitStack() as clients:
        held = threading.Event()
        running.loop.call_soon_threadsafe(held.wait)
        waiting = [clients.enter_context(running.connect(stream([b"many", b"x"]))) for _ in range(5)]
        held.set()
        for client in waiting:
            assert receive(client, 2_001) == [*numbered(2_000), b"x"]
    assert max(made for made, _ in running.observed) <= tcp_connection.TURN


def test_messages_go_on_at_the_end_of_the_server() -> None:
    source = Source(2_000)
    with Running(source.respond) as running, running.connect(frame(b"many")) as client:
        source.await_open(1)
        ending = threading.Thread(target=running.end, args=(HANG_S,))
        ending.start()
        assert len(receive(client, 2_000)) == 2_000
        assert client.recv(1) == b""
        client.close()
        ending.join()
        assert running.counts == {("accepted",): 1, ("closed", "shutdown"): 1}


def test_end_of_the_server_closes_messages_that_are_not_read() -> None:
    source = Source()
    with Running(source.respond) as running, running.connect() as client:
        small_buffers(client)
        client.sendall(frame(b"many"))
        source.await_open(1)
        running.settle()
        assert running.end(0.6) == pytest.approx(0.6, abs=STEP_S)
        assert source.open == 0
