"""Clients that run during a test: a steady flow of UDP queries with a check of every answer, and reads of /metrics.

The flow keeps a window of queries open on each of several sockets, so that it is as fast as the server and loses no
query to a full buffer.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from dnsd.process.link import MessageKind, ask
from dnsd.settings.written import state_folder
from tests.beside import Beside
from tests.limits import IS_LONG, judged
from tests.live.server import Dnsd
from tests.soak.harness import Soaked

LOST_S = 5.0 if IS_LONG else 15.0  # a query without an answer for this long counts as lost
MAX_SHOWN = 5  # errors shown
EDITIONS = 50  # numbers are reused after this many; a flow tolerates gaps of less than half


@dataclass(frozen=True)
class Question:
    """A query and its valid replies: `edition` returns the edition of a reply.

    It raises ValueError for an invalid reply.
    """

    query: bytes
    edition: Callable[[bytes], int]


@dataclass
class _Client:
    sock: socket.socket
    turn: int
    waiting: dict[bytes, tuple[float, int]] = field(default_factory=dict)  # by id: time sent, index of the question
    latest: dict[int, int] = field(default_factory=dict)  # by question: the last edition answered
    heard_at: float = 0.0


class Flow(Beside):
    """`with Flow(server, questions) as flow: …`; then look at `answered`, `lost`, `wrong`, `slowest_s`."""

    def __init__(
        self, server: Dnsd, questions: Sequence[Question], *, sockets: int = 8, window: int = 8, in_order: bool = True
    ) -> None:
        """`in_order`: editions never go back on one socket."""
        super().__init__()
        self.answered = 0
        self.lost = 0
        self.wrong: list[str] = []
        self.slowest_s = 0.0  # the longest wait of an answered query
        self._questions = questions
        self._in_order = in_order
        self._window = window
        self._editions: dict[tuple[int, bytes], int] = {}
        self._last_id = 0
        self._clients = {}
        for number in range(sockets):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.connect((server.host, server.port))
            self._clients[sock.fileno()] = _Client(sock, number)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        for client in self._clients.values():
            client.sock.close()

    def check(self) -> None:
        """Assert that no answer was wrong or lost."""
        assert not self.wrong, "\n".join(self.wrong)
        assert not self.lost, f"{self.lost} of {self.answered + self.lost} queries lost"

    def _run(self) -> None:
        poll = select.poll()
        for fd in self._clients:
            poll.register(fd, select.POLLIN)
        ends_at = float("inf")
        while time.monotonic() < ends_at and (ends_at == float("inf") or self._is_waiting()):
            for fd, _ in poll.poll(20):
                self._receive(self._clients[fd])
            for client in self._clients.values():
                self._give_up(client)
                if not self._stop.is_set():
                    self._fill(client)
            if self._stop.is_set() and ends_at == float("inf"):
                ends_at = time.monotonic() + LOST_S + 0.1

    def _is_waiting(self) -> bool:
        return any(client.waiting for client in self._clients.values())

    def _fill(self, client: _Client) -> None:
        while len(client.waiting) < self._window:
            self._last_id = (self._last_id + 1) % 65_536
            identity = self._last_id.to_bytes(2)
            number = client.turn = (client.turn + 1) % len(self._questions)
            try:
                client.sock.send(identity + self._questions[number].query[2:])
            except OSError as error:
                self._report(f"not sent: {error}")
                return
            client.waiting[identity] = time.monotonic(), number

    def _receive(self, client: _Client) -> None:
        while True:
            try:
                reply = client.sock.recv(65_535)
            except BlockingIOError:
                return
            except OSError as error:
                self._report(f"not received: {error}")
                return
            sent = client.waiting.pop(reply[:2], None)
            if sent is None:
                self._report(f"an answer without a query:  {reply.hex()}")
                continue
            self.answered += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - sent[0])
            self._judge(client, sent[1], reply)

    def _judge(self, client: _Client, number: int, reply: bytes) -> None:
        key = number, reply[2:]
        edition = self._editions.get(key)
        if edition is None:
            try:
                edition = self._editions[key] = self._questions[number].edition(reply)
            except ValueError as error:
                self._report(str(error))
                return
        before = client.latest.get(number, edition)
        client.latest[number] = edition
        if self._in_order and (edition - before) % EDITIONS >= EDITIONS // 2:
            self._report(f"edition {edition} after {before} on one socket")

    def _give_up(self, client: _Client) -> None:
        too_old = time.monotonic() - LOST_S
        for identity, (sent_at, _) in tuple(client.waiting.items())[:1]:
            if sent_at < too_old:
                del client.waiting[identity]
                self.lost += 1

    def _report(self, what: str) -> None:
        if len(self.wrong) < MAX_SHOWN:
            self.wrong.append(what)


class Scrapes(Beside):
    """Reads /metrics ten times a second (R14): it answers in time, adds up, and its counters never decrease."""

    def __init__(self, server: Soaked) -> None:
        super().__init__()
        self.count = 0
        self.slowest_s = 0.0
        self.problems: list[str] = []
        self._server = server
        self._before: dict[tuple[str, Any], float] = {}

    def check(self) -> None:
        """Assert that every read kept the promise."""
        assert self.count
        assert not self.problems, "\n".join(self.problems)
        assert self.slowest_s <= judged(1.0)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            started = time.monotonic()
            try:
                status, page = self._server.get("/metrics")
            except OSError as error:
                self._report(f"/metrics: {error!r}")
                continue
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            self.count += 1
            if status != 200:
                self._report(f"/metrics: {status} {page[:200]}")
                continue
            self._look(page)

    def _look(self, page: str) -> None:
        found: dict[tuple[str, Any], float] = {}
        sums = {"dnsd_requests_total": 0.0, "dnsd_responses_total": 0.0, "dnsd_dropped_total": 0.0}
        for family in text_string_to_metric_families(page):
            for sample in family.samples if family.type != "gauge" else ():
                key = sample.name, tuple(sorted(sample.labels.items()))
                found[key] = sample.value
                if sample.name in sums:
                    sums[sample.name] += sample.value
        requests, responses, dropped = sums.values()
        if requests != responses + dropped:
            self._report(f"{requests:.0f} requests, {responses:.0f} responses, {dropped:.0f} dropped")
        for key, before in self._before.items():
            if found.get(key, -1) < before:
                self._report(f"{key} was {before}, is {found.get(key)}")
        self._before = found

    def _report(self, what: str) -> None:
        if len(self.problems) < MAX_SHOWN:
            self.problems.append(what)


def reload_now(server: Soaked, *, force: bool = False) -> dict[str, Any]:
    """The output of `dnsd reload --json`, without the cost of starting the command."""
    found: dict[str, Any] = ask(state_folder(server.config), MessageKind.RELOAD, {"force": force}, timeout_s=60)
    return found


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run processes started within the context on this core only."""
    before = os.sched_getaffinity(0)
    cores = sorted(before)
    os.sched_setaffinity(0, {cores[core % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
