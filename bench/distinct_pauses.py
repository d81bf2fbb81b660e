"""A zone paused and resumed until all workers answer anew, while another account changes a record again and again."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Iterator

import dns.message
import httpx

from bench.client import ask
from bench.distinct_client import WITHIN_S, api_of, sent
from bench.distinct_worlds import address
from bench.peers import FailedError, Server
from bench.proc import cpu_of, wait_until_idle
from bench.questions import ZONE, A, query

TRIES = 3  # of each
IDLE_S = 60.0
POLL_S = 0.0005
SOCKETS = 16  # the system gives each worker a part of them
OTHER = "neighbour.example"


def pauses_of(server: Server, names: int) -> Iterator[tuple[str, float]]:
    """The median times in milliseconds, and the longest of the other account's changes meanwhile."""
    with api_of(server) as client, api_of(server) as other:
        zone = sent(client, "GET", "/zones", name=ZONE)[0]["id"]
        neighbour = Neighbour(server, other)
        took: dict[str, list[tuple[float, float]]] = {"paused": [], "resumed": []}
        for turn in range(2 * TRIES):
            is_paused = turn % 2 == 0
            wait_until_idle(server.pids, IDLE_S)
            neighbour.begin()
            request = threading.Thread(target=sent, args=(client, "PATCH", f"/zones/{zone}", {"paused": is_paused}))
            took["paused" if is_paused else "resumed"].append(_until_all(server, request, names, is_paused=is_paused))
            neighbour.end()
    for what, times in took.items():
        yield f"the zone {what}, ms", statistics.median(one for one, _ in times)
        yield f"the zone {what}: CPU, ms", statistics.median(cpu for _, cpu in times)
    yield "another account's record changed meanwhile, the longest, ms", max(neighbour.took)


def _until_all(server: Server, request: threading.Thread, names: int, *, is_paused: bool) -> tuple[float, float]:
    """The time until no worker answers the last name as before, and the processor time, in milliseconds."""
    probe, stored = query(f"h{names - 1}", A), bytes(map(int, address(names - 1).split(".")))
    began, before, new = time.monotonic(), cpu_of(server.pids), 0
    request.start()
    while new < SOCKETS and time.monotonic() - began < WITHIN_S:
        reply = ask(server.port, probe)
        new = new + 1 if reply and (stored in reply[12:]) is is_paused else 0
        time.sleep(0 if new else POLL_S)
    took = (time.monotonic() - began) * 1000, cpu_of(server.pids).since(before).total_s * 1000
    request.join()
    if new < SOCKETS:
        raise FailedError(f"does not pause a zone within {WITHIN_S:.0f} s: {server.last_words()}")
    return took


class Neighbour:
    """Another account, whose record changes until each change is answered; `took` are the milliseconds of each."""

    def __init__(self, server: Server, client: httpx.Client) -> None:
        self.took: list[float] = []
        self._server, self._client = server, client
        account = sent(client, "POST", "/accounts", {"name": OTHER})["id"]
        zone = sent(client, "POST", "/zones", {"name": OTHER, "account": {"id": account}})["id"]
        self._records = f"/zones/{zone}/dns_records"
        body = {"name": "www", "type": "A", "content": "192.0.2.255", "ttl": 300}
        self._record = sent(client, "POST", self._records, body)["id"]
        self._numbers = itertools.count()
        self._is_over = threading.Event()
        self._thread = threading.Thread()

    def begin(self) -> None:
        """Begin to change the record."""
        self._is_over.clear()
        self._thread = threading.Thread(target=self._change)
        self._thread.start()

    def end(self) -> None:
        """End after the change that is under way."""
        self._is_over.set()
        self._thread.join()

    def _change(self) -> None:
        probe = dns.message.make_query(f"www.{OTHER}", "A").to_wire()
        while not self._is_over.is_set():
            number = next(self._numbers) % 250
            wanted, began = bytes((192, 0, 2, number)), time.monotonic()
            sent(self._client, "PATCH", f"{self._records}/{self._record}", {"content": f"192.0.2.{number}"})
            while wanted not in (ask(self._server.port, probe) or b"") and time.monotonic() - began < WITHIN_S:
                time.sleep(POLL_S)
            self.took.append((time.monotonic() - began) * 1000)
