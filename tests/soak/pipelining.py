"""Clients that pipeline queries over TCP as fast as they are answered, and a client over UDP at the same time.

`python -m tests.soak.pipelining PORT CONNECTIONS QUERIES SOURCE…` is the load as a separate process: CONNECTIONS
connections from the SOURCE addresses in turn; each sends QUERIES queries at once, reads the replies, and is replaced by
a new one. It ends with its standard input, and prints the octets of replies received.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.limits import HANG_S, judged
from tests.live.server import PROJECT
from tests.packets import query
from tests.soak.harness import frames

QUESTION = query("dns.example.com")
READ_SIZE = 256 * 1024
ONE_ADDRESS = ("127.0.0.1",)
NINE_NETWORKS = tuple(f"127.0.{number}.1" for number in range(1, 10))  # a /24 each


@dataclass(frozen=True)
class Load:
    """The load of the TCP clients."""

    connections: int
    sources: Sequence[str]
    queries: int = 1_000  # of each, at once


LOADS = {"100 connections of one address": Load(100, ONE_ADDRESS), "900 of nine networks": Load(900, NINE_NETWORKS)}


@contextlib.contextmanager
def pipelining(port: int, load: Load) -> Iterator[None]:
    """Run the load within the context."""
    command = [sys.executable, "-m", "tests.soak.pipelining", str(port), str(load.connections), str(load.queries)]
    process = subprocess.Popen(
        [*command, *load.sources], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        yield
    finally:
        out, _ = process.communicate(timeout=HANG_S)
    assert int(out) > 0


@dataclass
class Latencies:
    """The latencies seen by a UDP client with one query at a time."""

    seconds: list[float] = field(default_factory=list)
    lost: int = 0

    def percentile(self, share: float) -> float:
        """The latency that this share of the replies did not exceed; a lost one counts as infinite."""
        waited = sorted(self.seconds) + [float("inf")] * self.lost
        return waited[min(len(waited) - 1, int(share * len(waited)))]


def ask_over_udp(port: int, seconds: float, *, pause_s: float = 0.002, patience_s: float = judged(5.0)) -> Latencies:
    """Repeat one query, each shortly after the previous reply."""
    found = Latencies()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(patience_s)
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            asked_at = time.perf_counter()
            client.send(QUESTION)
            try:
                client.recv(4096)
                found.seconds.append(time.perf_counter() - asked_at)
            except TimeoutError:
                found.lost += 1
            time.sleep(pause_s)
    return found


class _Client:
    """A client at one address, with one connection after another."""

    def __init__(self, selector: selectors.BaseSelector, port: int, source: str, octets: bytes, queries: int) -> None:
        self.received = 0
        self._selector = selector
        self._to, self._source = ("127.0.0.1", port), source
        self._octets, self._queries = octets, queries
        self._connect()

    def _connect(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.bind((self._source, 0))
        self._sock.setblocking(False)
        self._sock.connect_ex(self._to)
        self._unsent = memoryview(self._octets)
        self._left: int | None = None  # octets of replies to come; None: not yet known
        self._selector.register(self._sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def act(self, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                octets = self._sock.recv(READ_SIZE)
                if self._left is None and len(octets) > 1:
                    self._left = self._queries * (2 + int.from_bytes(octets[:2]))  # all replies have this size
                self.received += len(octets)
                self._left = (self._left or 0) - len(octets)
                if not octets or self._left <= 0:
                    raise ConnectionResetError  # all queries are answered
            if events & selectors.EVENT_WRITE and self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
                if not self._unsent:
                    self._selector.modify(self._sock, selectors.EVENT_READ, self)
        except BlockingIOError:
            return
        except OSError:
            self._selector.unregister(self._sock)
            self._sock.close()
            self._connect()


def main(port: str, connections: str, queries: str, *sources: str) -> None:
    octets = frames([QUESTION] * int(queries))
    with selectors.DefaultSelector() as selector:
        clients = [
            _Client(selector, int(port), sources[number % len(sources)], octets, int(queries))
            for number in range(int(connections))
        ]
        print("connected", flush=True)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, events in selector.select():
                if key.data is None:
                    print(sum(client.received for client in clients))
                    return
                key.data.act(events)


if __name__ == "__main__":
    main(*sys.argv[1:])
