"""The TCP server by itself: limits, counts and shutdown. `respond` is a stub that echoes the query."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import resource
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import pytest

from dnsd.net import tcp, tcp_connection
from dnsd.net.limits import REGION_SIZE, Admission
from dnsd.net.tcp import TcpServer
from dnsd.net.tcp_connection import TURN, TcpConnection, TcpLimits
from dnsd.net.turns import Seat, Turns
from dnsd.wire.framing import frame

PATIENCE_S = 5.0
SLACK_S = 0.25  # by which a busy machine may be late


def repeat(message: bytes, peer: str) -> bytes | None:
    return message or None


class Running:
    """A server in its own thread."""

    def __init__(
        self,
        respond: Callable[[bytes, str], bytes | None] = repeat,
        *,
        idle_s: float = PATIENCE_S,
        first_byte_s: float = PATIENCE_S,
        queries: int = 1000,
        connections: int = 100,
        per_client: int = 100,
    ) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.observed: list[tuple[int, float]] = []
        self.problems: list[dict[str, Any]] = []
        self.admission = Admission(
            [memoryview(bytearray(REGION_SIZE))], 0, connections=connections, per_client=per_client
        )
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listening.setblocking(False)
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self.problems.append(context))
        self.turns = Turns(self.loop)
        self.server = TcpServer(
            self.loop,
            self.listening,
            respond,
            turns=self.turns,
            admission=self.admission,
            limits=TcpLimits(idle_s=idle_s, first_byte_s=first_byte_s, queries=queries),
            count=self.count,
            observe=lambda made, seconds: self.observed.append((made, seconds)),
        )
        self.thread = threading.Thread(target=self.loop.run_forever)

    def count(self, name: str, /, *labels: str) -> None:
        self.counts[name.removeprefix("dnsd_tcp_").removesuffix("_total"), *labels] += 1

    def __enter__(self) -> Self:
        self.thread.start()
        self.do(self.server.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(0)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.turns.close()
        self.loop.close()
        self.listening.close()
        assert self.problems == []
        assert self.admission.open == 0
        assert self.counts[("accepted",)] == sum(n for (name, *_), n in self.counts.items() if name == "closed")

    def do(self, action: Callable[[], Any]) -> None:
        """Call a function in the server's thread."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (action(), done.set()))
        assert done.wait(PATIENCE_S)

    def end(self, within_s: float) -> float:
        """Stop and finish; return the seconds taken."""
        started = time.monotonic()
        self.do(self.server.stop)
        asyncio.run_coroutine_threadsafe(self.server.finish(within_s), self.loop).result(PATIENCE_S)
        return time.monotonic() - started

    def connect(self, octets: bytes = b"") -> socket.socket:
        client = socket.create_connection(self.listening.getsockname(), timeout=PATIENCE_S)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(octets)
        return client

    def await_count(self, *key: str, count: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.counts[key] < count:
            assert time.monotonic() < deadline, (key, self.counts)
            time.sleep(0.002)
        assert self.counts[key] == count


def receive(client: socket.socket, count: int = 1) -> list[bytes]:
    messages, octets = [], b""
    while len(messages) < count:
        part = client.recv(65_536)
        if not part:
            raise EOFError(messages)
        octets += part
        while len(octets) >= 2 and len(octets) >= 2 + (size := struct.unpack("!H", octets[:2])[0]):
            messages.append(octets[2 : 2 + size])
            octets = octets[2 + size :]
    assert octets == b""
    return messages


def seconds_until_closed(client: socket.socket) -> float:
    """The seconds until the server closes the connection; its last replies are ignored."""
    started = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        while client.recv(65_536):
            pass
    return time.monotonic() - started


def numbered(count: int, size: int = 40) -> list[bytes]:
    return [number.to_bytes(size) for number in range(count)]


def stream(messages: list[bytes]) -> bytes:
    return b"".join(map(frame, messages))


# Answers


def test_pipelined_queries_are_answered_in_order() -> None:
    queries = numbered(900)
    with Running() as running, running.connect(stream(queries)) as client:
        assert receive(client, 900) == queries
    assert sum(made for made, _ in running.observed) == 900
    assert all(0 < made <= TURN and seconds >= 0 for made, seconds in running.observed)


def test_one_octet_at_a_time() -> None:
    with Running() as running, running.connect() as client:
        for octet in stream([b"one", b"two"]):
            client.sendall(bytes([octet]))
            time.sleep(0.001)
        assert receive(client, 2) == [b"one", b"two"]


def test_silence_leaves_the_connection_open() -> None:
    with Running() as running, running.connect(stream([b"", b"", b"x"])) as client:
        assert receive(client) == [b"x"]
        client.sendall(frame(b"y"))
        assert receive(client) == [b"y"]


def test_peer_is_told_to_respond() -> None:
    with Running(lambda message, peer: peer.encode()) as running, running.connect(frame(b"?")) as client:
        assert receive(client) == [b"127.0.0.1"]


@pytest.mark.parametrize("left_over", [b"", b"\0\x05half"], ids=["whole", "in the middle of a query"])
def test_half_close_is_answered(left_over: bytes) -> None:
    queries = numbered(200)
    with Running() as running, running.connect(stream(queries) + left_over) as client:
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 200) == queries
        assert client.recv(1) == b""
        running.await_count("closed", "client")


def test_long_messages() -> None:
    queries = [bytes([number]) * 65_535 for number in range(8)]
    with Running() as running, running.connect() as client:
        sender = threading.Thread(target=client.sendall, args=(stream(queries),))
        sender.start()
        assert receive(client, 8) == queries
        sender.join()


def test_client_that_goes_away_is_forgotten() -> None:
    with Running(lambda message, peer: b"x" * 60_000) as running:
        for _ in range(10):
            with running.connect(stream(numbered(100))) as rude:
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
        running.await_count("closed", "client", count=10)


# Time


def test_client_that_says_nothing_is_closed() -> None:
    with Running(first_byte_s=0.2) as running, running.connect() as client:
        assert seconds_until_closed(client) == pytest.approx(0.2, abs=SLACK_S)
        running.await_count("closed", "first_byte")


@pytest.mark.parametrize(
    "limits", [{"first_byte_s": 0.2}, {"idle_s": 0.2, "first_byte_s": 0.2}], ids=["first octet", "idle"]
)
def test_client_is_not_blamed_for_the_time_that_others_take(limits: dict[str, float]) -> None:
    def respond(message: bytes, peer: str) -> bytes:
        time.sleep(0.15 if message == b"slow" else 0)
        return message

    with Running(respond, **limits) as running, contextlib.ExitStack() as clients:
        for _ in range(5):
            clients.enter_context(running.connect(stream([b"slow"] * 3)))
        time.sleep(0.05)
        with running.connect(frame(b"x")) as client:
            assert receive(client) == [b"x"]


def test_connections_that_are_closed_are_freed_at_once() -> None:
    gc.collect()
    gc.disable()
    try:
        with Running(queries=5) as running:
            for queries in (1, 5):
                with running.connect(stream(numbered(queries))) as client:
                    receive(client, queries)
            running.await_count("closed", "client")
            running.await_count("closed", "queries")
            running.do(lambda: None)  # after the closing callbacks
            assert not [
                one
                for one in gc.get_objects()
                if isinstance(one, TcpConnection | Seat) and one is not running.server._seat
            ]
    finally:
        gc.enable()


def test_idle_client_is_closed() -> None:
    with Running(idle_s=0.3, first_byte_s=0.1) as running, running.connect(frame(b"x")) as client:
        assert receive(client) == [b"x"]
        time.sleep(0.2)
        client.sendall(frame(b"y"))
        assert receive(client) == [b"y"]
        assert seconds_until_closed(client) == pytest.approx(0.3, abs=SLACK_S)
        running.await_count("closed", "idle")


def test_octets_without_a_query_hold_no_connection() -> None:
    with Running(idle_s=0.3, first_byte_s=0.2) as running, running.connect() as client:
        started = time.monotonic()
        with contextlib.suppress(OSError):
            for octet in frame(b"x" * 1000):
                client.send(bytes([octet]))
                time.sleep(0.01)
        assert time.monotonic() - started == pytest.approx(0.3, abs=SLACK_S)
        running.await_count("closed", "idle")


def test_active_client_is_not_closed() -> None:
    with Running(idle_s=0.2, first_byte_s=0.1) as running, running.connect() as client:
        for _ in range(12):
            client.sendall(frame(b"x"))
            assert receive(client) == [b"x"]
            time.sleep(0.05)
        assert running.counts["closed", "idle"] == 0


def small_buffers(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def fill(client: socket.socket, octets: bytes) -> None:
    """Send until the server accepts no more, or all is sent."""
    client.settimeout(0.1)
    with contextlib.suppress(TimeoutError):
        client.sendall(octets)
    client.settimeout(PATIENCE_S)


def test_client_that_does_not_read_is_aborted() -> None:
    with Running(lambda *_: b"x" * 60_000, idle_s=0.4) as running, running.connect() as client:
        small_buffers(client)
        started = time.monotonic()
        fill(client, stream(numbered(900)))
        running.await_count("closed", "idle")
        assert 0.4 <= time.monotonic() - started < 0.4 * 1.5 + SLACK_S


def test_client_that_reads_slowly_is_served() -> None:
    with Running(lambda *_: b"x" * 60_000, idle_s=0.3) as running, running.connect() as client:
        client.sendall(stream(numbered(200)))
        left = 200 * 60_002
        for _ in range(30):
            left -= len(client.recv(65_536))
            time.sleep(0.03)
        while left:
            octets = client.recv(65_536)
            assert octets, left
            left -= len(octets)
        assert running.counts["closed", "idle"] == 0


def test_replies_that_are_not_read_stop_the_answers() -> None:
    asked: Counter[bytes] = Counter()

    def respond(message: bytes, peer: str) -> bytes:
        asked[message] += 1
        return b"x" * 60_000

    with Running(respond, queries=10**6) as running, running.connect() as client:
        small_buffers(client)
        fill(client, stream(numbered(100_000)))
        before = asked.total()
        fill(client, stream(numbered(1000)))
        assert asked.total() == before < 1000
        with running.connect(frame(b"other")) as other:
            assert len(receive(other)[0]) == 60_000


# Numbers


def test_connection_is_closed_after_its_queries() -> None:
    queries = numbered(100)
    with Running(queries=70) as running, running.connect(stream(queries)) as client:
        assert receive(client, 70) == queries[:70]
        assert client.recv(1) == b""
        client.close()
        running.await_count("closed", "queries")


def test_no_reply_is_lost_to_a_reset_when_queries_keep_coming() -> None:
    with Running(lambda message, _: message * 1000, queries=50) as running, running.connect() as client:
        for query in numbered(60):
            client.sendall(frame(query))
        time.sleep(0.1)
        client.sendall(stream(numbered(500)))
        time.sleep(0.1)
        assert len(receive(client, 50)) == 50
        assert client.recv(1) == b""
        assert running.counts["closed", "queries"] == 0


def test_client_that_does_not_close_is_waited_for_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_connection, "LINGER_S", 0.2)
    with Running(queries=1) as running, running.connect(frame(b"x")) as client:
        assert receive(client) == [b"x"]
        assert client.recv(1) == b""
        started = time.monotonic()
        running.await_count("closed", "queries")
        assert time.monotonic() - started == pytest.approx(0.2, abs=SLACK_S)


def test_connections_over_the_limits_are_refused() -> None:
    with Running(connections=3) as running, contextlib.ExitStack() as clients:
        for _ in range(3):
            assert receive(clients.enter_context(running.connect(frame(b"x")))) == [b"x"]
        with running.connect() as refused:
            assert refused.recv(1) == b""
        running.await_count("refused", "connections")
        assert running.admission.open == 3
        clients.close()
        running.await_count("closed", "client", count=3)
        with running.connect(frame(b"x")) as client:
            assert receive(client) == [b"x"]


def test_connections_over_a_client_s_limit_are_refused() -> None:
    with Running(per_client=1) as running, running.connect(frame(b"x")) as client:
        assert receive(client) == [b"x"]
        with running.connect() as refused:
            assert refused.recv(1) == b""
        running.await_count("refused", "per_client")
        other = socket.create_connection(running.listening.getsockname(), PATIENCE_S, source_address=("127.0.0.2", 0))
        with other:
            other.sendall(frame(b"y"))
            assert receive(other) == [b"y"]


class Exhausted(socket.socket):
    """A listening socket that lacks file descriptors for a while."""

    failures = 0
    number = errno.EMFILE

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(self.number, "exhausted")
        return super().accept()


def exhausted(running: Running, number: int, failures: int) -> Exhausted:
    sock = Exhausted(fileno=running.listening.detach())
    sock.number, sock.failures = number, failures
    running.listening = running.server._socket = sock
    return sock


@pytest.mark.parametrize("number", sorted(tcp.EXHAUSTED), ids=errno.errorcode.get)
def test_without_descriptors_accepting_pauses(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "PAUSE_S", 0.1)
    running = Running()
    exhausted(running, number, failures=2)
    started = time.monotonic()
    with running, running.connect(frame(b"x")) as client:
        assert receive(client) == [b"x"]
        assert time.monotonic() - started == pytest.approx(0.2, abs=SLACK_S)
        running.await_count("refused", "no_descriptors", count=2)


def test_client_that_went_away_in_the_queue_is_passed_over() -> None:
    running = Running()
    exhausted(running, errno.ECONNABORTED, failures=3)
    with running, running.connect(frame(b"x")) as client:
        assert receive(client) == [b"x"]


def test_open_connections_are_served_without_descriptors() -> None:
    with Running() as running, running.connect(frame(b"x")) as client, contextlib.ExitStack() as held:
        assert receive(client) == [b"x"]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = socket.socket()
        waiting.settimeout(PATIENCE_S)
        held.enter_context(waiting)
        try:
            highest = waiting.fileno()
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
            with contextlib.suppress(OSError):
                while True:
                    held.enter_context(socket.socket())
            waiting.connect(running.listening.getsockname())
            running.await_count("refused", "no_descriptors")
            client.sendall(frame(b"y"))
            assert receive(client) == [b"y"]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        waiting.sendall(frame(b"z"))
        assert receive(waiting) == [b"z"]


# Shutdown


def test_end_of_an_idle_server_takes_no_time() -> None:
    with Running() as running:
        assert running.end(PATIENCE_S) < SLACK_S


def test_what_was_received_is_answered_at_the_end() -> None:
    queries = numbered(900)
    with Running() as running, contextlib.ExitStack() as clients:
        held = threading.Event()
        running.loop.call_soon_threadsafe(held.wait)
        waiting = [clients.enter_context(running.connect(stream(queries))) for _ in range(5)]
        ending = threading.Thread(target=running.end, args=(PATIENCE_S,))
        ending.start()
        held.set()
        for client in waiting:
            assert receive(client, 900) == queries
            assert client.recv(1) == b""
            client.close()
        ending.join()
        assert running.counts == {("accepted",): 5, ("closed", "shutdown"): 5}


def test_end_waits_briefly_for_clients_that_do_not_close() -> None:
    with Running() as running, running.connect(frame(b"x")) as client:
        assert receive(client) == [b"x"]
        assert running.end(PATIENCE_S) == pytest.approx(tcp_connection.SHUTDOWN_LINGER_S, abs=SLACK_S)
        assert client.recv(1) == b""


def test_end_does_not_wait_for_clients_that_do_not_read() -> None:
    with Running(lambda *_: b"x" * 60_000) as running, running.connect() as client:
        small_buffers(client)
        fill(client, stream(numbered(900)))
        assert running.end(0.6) == pytest.approx(0.6, abs=SLACK_S)
        assert running.counts["closed", "shutdown"] == 1


def test_client_that_goes_on_asking_does_not_hold_up_the_end() -> None:
    with Running(queries=10**9) as running, running.connect() as client:
        stop = threading.Event()

        def ask() -> None:
            with contextlib.suppress(OSError, EOFError):
                while not stop.is_set():
                    client.sendall(frame(b"x"))
                    receive(client)

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.05)
        assert running.end(PATIENCE_S) < tcp.GRACE_S + tcp_connection.SHUTDOWN_LINGER_S + SLACK_S
        stop.set()
        asking.join()


def test_after_stop_nobody_is_accepted() -> None:
    with Running() as running:
        running.do(running.server.stop)
        with running.connect(frame(b"x")) as client:
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
        assert running.counts == {}


# Many


def test_many_slow_clients_are_closed_in_time() -> None:
    def dribble(clients: Iterator[socket.socket]) -> None:
        for client in clients:
            with contextlib.suppress(OSError):
                client.send(b"\1")

    with Running(idle_s=0.5, first_byte_s=0.3, connections=300, per_client=300) as running:
        clients = [running.connect() for _ in range(200)]
        deadline = time.monotonic() + PATIENCE_S
        while running.counts["closed", "idle"] < 200:
            assert time.monotonic() < deadline, running.counts
            dribble(iter(clients))
            time.sleep(0.02)
        assert running.admission.open == 0
        for client in clients:
            client.close()
