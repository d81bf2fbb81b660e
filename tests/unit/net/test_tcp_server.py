"""The TCP server by itself: limits, counts and shutdown. `respond` is a stub that echoes the query.

Each test sets the server's clock, so that a busy machine makes no limit late.
"""

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
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import pytest

from dnsd.net import tcp, tcp_connection
from dnsd.net.places import REGION_SIZE, PlaceLimits, Places
from dnsd.net.tcp import TcpServer
from dnsd.net.tcp_connection import TURN, Respond, TcpConnection, TcpLimits
from dnsd.net.turns import Seat, Turns
from dnsd.wire.framing import frame
from tests.limits import HANG_S

IDLE_S, FIRST_BYTE_S = 20.0, 5.0
STEP_S = 0.1  # by which a limit may be missed


def repeat(message: bytes, peer: bytes) -> bytes | None:
    return message or None


class Loop(asyncio.SelectorEventLoop):
    """An event loop with a clock that stands still until it is set forward."""

    now = 1000.0

    def time(self) -> float:
        return self.now


class Running:
    """A server in its own thread."""

    def __init__(
        self,
        respond: Respond = repeat,
        *,
        idle_s: float = IDLE_S,
        first_byte_s: float = FIRST_BYTE_S,
        queries: int = 1000,
        connections: int = 100,
        per_client: int = 100,
        per_network: int = 300,
        has_slow_turns: bool = False,  # their budget is measured by the loop's clock
    ) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.observed: list[tuple[int, float]] = []
        self.problems: list[dict[str, Any]] = []
        limits = PlaceLimits(connections, per_client, per_network)
        self.places = Places([memoryview(bytearray(REGION_SIZE))], 0, limits)
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listening.setblocking(False)
        self.loop = Loop()
        self.loop.set_exception_handler(lambda _, context: self.problems.append(context))
        self.turns = Turns(self.loop, clock=self.loop.time if has_slow_turns else time.perf_counter)
        self.server = TcpServer(
            self.loop,
            self.listening,
            respond,
            turns=self.turns,
            places=self.places,
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
        assert self.places.open == 0
        assert self.counts[("accepted",)] == sum(n for (name, *_), n in self.counts.items() if name == "closed")

    def do(self, action: Callable[[], Any]) -> None:
        """Call a function in the server's thread."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (action(), done.set()))
        assert done.wait(HANG_S)

    def settle(self) -> None:
        """Wait until the server has handled all octets that have arrived."""
        found: list[bool] = []
        deadline = time.monotonic() + HANG_S
        while found[-2:] != [False, False]:  # the second look follows a whole pass of the loop
            assert time.monotonic() < deadline
            self.do(lambda: found.append(bool(self.turns.ready())))

    def advance(self, seconds: float) -> None:
        """Set the clock forward once all input is handled, then wait until the timers that are due have run."""

        def set_forward() -> None:
            self.loop.now += seconds

        self.settle()
        self.do(set_forward)
        self.settle()

    def end(self, within_s: float) -> float:
        """Stop and finish; return how long that took by the loop's clock, which is never faster than time."""
        started = self.loop.now
        self.do(self.server.stop)
        finishing = asyncio.run_coroutine_threadsafe(self.server.finish(within_s), self.loop)
        while not finishing.done():
            time.sleep(tcp.POLL_S)
            self.advance(tcp.POLL_S)
        finishing.result()
        return self.loop.now - started

    def connect(self, octets: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
        client = socket.create_connection(self.listening.getsockname(), timeout=HANG_S, source_address=(source, 0))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(octets)
        return client

    def await_count(self, *key: str, count: int = 1) -> None:
        deadline = time.monotonic() + HANG_S
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


def is_closed(client: socket.socket) -> bool:
    """Whether the server has closed the connection; its last replies are ignored."""
    client.settimeout(0)
    try:
        while client.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    finally:
        client.settimeout(HANG_S)
    return True


def assert_closed_after(running: Running, client: socket.socket, seconds: float) -> None:
    running.advance(seconds - STEP_S)
    assert not is_closed(client)
    running.advance(2 * STEP_S)
    assert is_closed(client)


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


def test_respond_gets_the_peer() -> None:
    with Running(lambda message, peer: peer) as running, running.connect(frame(b"?")) as client:
        assert receive(client) == [bytes([127, 0, 0, 1])]


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


def test_silent_client_is_closed() -> None:
    with Running() as running, running.connect() as client:
        assert_closed_after(running, client, FIRST_BYTE_S)
        running.await_count("closed", "first_byte")


@pytest.mark.parametrize(
    "limits", [{"first_byte_s": 2.0}, {"idle_s": 2.0, "first_byte_s": 2.0}], ids=["first octet", "idle"]
)
def test_time_of_other_clients_does_not_count(limits: dict[str, float]) -> None:
    """The client is accepted after five others, and their turns take longer than its limit."""

    def respond(message: bytes, peer: bytes) -> bytes:
        if message == b"slow":
            running.loop.now += 1.5
        return message

    with Running(respond, **limits, has_slow_turns=True) as running, contextlib.ExitStack() as clients:
        held = threading.Event()
        running.loop.call_soon_threadsafe(held.wait)
        slow = [clients.enter_context(running.connect(stream([b"slow"] * 3))) for _ in range(5)]
        client = clients.enter_context(running.connect(frame(b"x")))
        held.set()
        assert receive(client) == [b"x"]
        assert [receive(one, 3) for one in slow] == [[b"slow"] * 3] * 5


def test_closed_connections_are_freed_at_once() -> None:
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
    with Running() as running, running.connect(frame(b"x")) as client:
        assert receive(client) == [b"x"]
        running.advance(0.75 * IDLE_S)
        client.sendall(frame(b"y"))
        assert receive(client) == [b"y"]
        assert_closed_after(running, client, IDLE_S)
        running.await_count("closed", "idle")


def test_octets_without_a_query_hold_no_connection() -> None:
    with Running() as running, running.connect() as client:
        octets = iter(frame(b"x" * 1000))
        for _ in range(int(IDLE_S) - 1):
            client.sendall(bytes([next(octets)]))
            running.advance(1)
        client.sendall(bytes([next(octets)]))
        assert_closed_after(running, client, 1)
        running.await_count("closed", "idle")


def test_active_client_is_not_closed() -> None:
    with Running() as running, running.connect() as client:
        for _ in range(12):
            client.sendall(frame(b"x"))
            assert receive(client) == [b"x"]
            running.advance(IDLE_S - STEP_S)
        assert running.counts["closed", "idle"] == 0


def small_buffers(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def fill(running: Running, client: socket.socket, octets: bytes) -> None:
    """Send until the server takes no more, or has taken all."""
    left = memoryview(octets)
    client.settimeout(0)
    may_go_on = True
    while left and may_go_on:
        may_go_on = False
        with contextlib.suppress(BlockingIOError):
            while left:
                left = left[client.send(left) :]
                may_go_on = True
        running.settle()
    client.settimeout(HANG_S)


def test_client_that_does_not_read_is_aborted() -> None:
    with Running(lambda *_: b"x" * 60_000) as running, running.connect() as client:
        small_buffers(client)
        fill(running, client, stream(numbered(900)))
        started = running.loop.now
        while not running.counts["closed", "idle"]:
            running.advance(STEP_S)
            assert running.loop.now - started <= 1.25 * IDLE_S + STEP_S  # it looks four times in IDLE_S
        assert running.loop.now - started >= IDLE_S - STEP_S


def test_client_that_reads_slowly_is_served() -> None:
    with Running(lambda *_: b"x" * 60_000) as running, running.connect() as client:
        client.sendall(stream(numbered(200)))
        left = 200 * 60_002
        for _ in range(30):
            left -= len(client.recv(65_536))
            running.advance(0.1 * IDLE_S)
        while left:
            octets = client.recv(65_536)
            assert octets, left
            left -= len(octets)
        assert running.counts["closed", "idle"] == 0


def test_replies_that_are_not_read_stop_the_answers() -> None:
    asked: Counter[bytes] = Counter()

    def respond(message: bytes, peer: bytes) -> bytes:
        asked[message] += 1
        return b"x" * 60_000

    with Running(respond, queries=10**6) as running, running.connect() as client:
        small_buffers(client)
        fill(running, client, stream(numbered(100_000)))
        before = asked.total()
        fill(running, client, stream(numbered(1000)))
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
        running.settle()
        client.sendall(stream(numbered(500)))
        running.settle()
        assert len(receive(client, 50)) == 50
        assert client.recv(1) == b""
        assert running.counts["closed", "queries"] == 0


def test_client_that_does_not_close_gets_a_short_time() -> None:
    with Running(queries=1) as running, running.connect(frame(b"x")) as client:
        assert receive(client) == [b"x"]
        assert client.recv(1) == b""
        running.advance(tcp_connection.LINGER_S - STEP_S)
        assert running.counts["closed", "queries"] == 0
        running.advance(2 * STEP_S)
        running.await_count("closed", "queries")


def test_new_connections_push_out_the_one_idle_longest() -> None:
    with Running(connections=3) as running, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(running.connect(frame(b"x"))) for _ in range(3)]
        assert [receive(client) for client in clients] == [[b"x"]] * 3
        clients[0].sendall(frame(b"again"))
        assert receive(clients[0]) == [b"again"]
        with running.connect(frame(b"new")) as newcomer:
            assert receive(newcomer) == [b"new"]
            running.await_count("closed", "connections")
            assert clients[1].recv(1) == b""
            for client in (clients[0], clients[2]):
                client.sendall(frame(b"still open"))
                assert receive(client) == [b"still open"]
            assert running.places.open == 3


LOCAL = {"per_client": ({"per_client": 1}, "127.0.0.1"), "per_network": ({"per_network": 1}, "127.0.0.2")}


@pytest.mark.parametrize(("reason", "limits", "neighbour"), [(name, *case) for name, case in LOCAL.items()])
def test_clients_and_networks_push_out_only_their_own(reason: str, limits: dict[str, int], neighbour: str) -> None:
    with Running(**limits) as running, running.connect(frame(b"x")) as client:
        assert receive(client) == [b"x"]
        with running.connect(frame(b"o"), "127.0.9.9") as other, running.connect(frame(b"n"), neighbour) as newcomer:
            assert [receive(one) for one in (other, newcomer)] == [[b"o"], [b"n"]]
            running.await_count("closed", reason)
            assert client.recv(1) == b""
            other.sendall(frame(b"still open"))
            assert receive(other) == [b"still open"]


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
def test_without_descriptors_accepting_pauses(number: int) -> None:
    running = Running()
    exhausted(running, number, failures=2)
    with running, running.connect(frame(b"x")) as client:
        for failures in (1, 2):
            running.await_count("refused", "no_descriptors", count=failures)
            running.advance(tcp.PAUSE_S - STEP_S)
            assert running.counts["refused", "no_descriptors"] == failures
            assert running.places.open == 0
            running.advance(2 * STEP_S)
        assert receive(client) == [b"x"]
        running.await_count("refused", "no_descriptors", count=2)


def test_departed_client_in_the_queue_is_skipped() -> None:
    running = Running()
    exhausted(running, errno.ECONNABORTED, failures=3)
    with running, running.connect(frame(b"x")) as client:
        assert receive(client) == [b"x"]


def test_open_connections_are_served_without_descriptors() -> None:
    with Running() as running, running.connect(frame(b"x")) as client, contextlib.ExitStack() as held:
        assert receive(client) == [b"x"]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = socket.socket()
        waiting.settimeout(HANG_S)
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
        running.advance(tcp.PAUSE_S)
        waiting.sendall(frame(b"z"))
        assert receive(waiting) == [b"z"]


# Shutdown


def test_end_of_an_idle_server_takes_no_time() -> None:
    with Running() as running:
        assert running.end(HANG_S) < STEP_S


def test_received_queries_are_answered_at_the_end() -> None:
    queries = numbered(900)
    with Running() as running, contextlib.ExitStack() as clients:
        held = threading.Event()
        running.loop.call_soon_threadsafe(held.wait)
        waiting = [clients.enter_context(running.connect(stream(queries))) for _ in range(5)]
        ending = threading.Thread(target=running.end, args=(HANG_S,))
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
        assert running.end(HANG_S) == pytest.approx(tcp_connection.SHUTDOWN_LINGER_S, abs=STEP_S)
        assert client.recv(1) == b""


def test_end_does_not_wait_for_clients_that_do_not_read() -> None:
    with Running(lambda *_: b"x" * 60_000) as running, running.connect() as client:
        small_buffers(client)
        fill(running, client, stream(numbered(900)))
        assert running.end(0.6) == pytest.approx(0.6, abs=STEP_S)
        assert running.counts["closed", "shutdown"] == 1


@pytest.mark.slow
def test_busy_client_does_not_delay_the_shutdown() -> None:
    with Running(queries=10**9) as running, running.connect() as client:
        stop = threading.Event()

        def ask() -> None:
            with contextlib.suppress(OSError, EOFError):
                while not stop.is_set():
                    client.sendall(frame(b"x"))
                    receive(client)

        asking = threading.Thread(target=ask)
        asking.start()
        while not running.observed:
            time.sleep(0.002)
        assert running.end(HANG_S) <= tcp.GRACE_S + tcp_connection.SHUTDOWN_LINGER_S + STEP_S
        stop.set()
        asking.join()


def test_no_connection_is_accepted_after_stop() -> None:
    with Running() as running:
        running.do(running.server.stop)
        with running.connect(frame(b"x")) as client:
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
        assert running.counts == {}


# Many


def test_many_slow_clients_are_closed_in_time() -> None:
    with Running(connections=300, per_client=300) as running:
        clients = [running.connect() for _ in range(200)]
        started = running.loop.now
        while running.counts["closed", "idle"] < 200:
            assert running.loop.now - started <= IDLE_S + 1
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send(b"\1")
            running.advance(1)
        assert running.places.open == 0
        for client in clients:
            client.close()
