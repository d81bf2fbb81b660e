"""Questions to the API about a large zone: pages and searches, the first of a kind after a load, and others' waits."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator

import httpx

from bench.distinct_client import api_of, sent
from bench.distinct_worlds import address
from bench.peers import Server
from bench.proc import cpu_of, wait_until_idle
from bench.questions import ZONE

TRIES = 5
IDLE_S = 60.0
FIRST, AGAIN, WAIT = "API, the first after a load: {}, ms", "API: {}, ms", "API: longest wait of another's read, ms"


def questions_of(server: Server, names: int) -> Iterator[tuple[str, float]]:
    """Each figure with its value."""
    wait_until_idle(server.pids, IDLE_S)
    with api_of(server) as client:
        zone = f"/zones/{sent(client, 'GET', '/zones', name=ZONE)[0]['id']}"
        records = f"{zone}/dns_records"
        middle = names // 2
        asked: dict[str, Callable[[], object]] = {
            "the first page": lambda: sent(client, "GET", records, per_page=100),
            "a page in the middle": lambda: sent(client, "GET", records, per_page=100, page=max(1, middle // 100)),
            "a record by its name": lambda: sent(client, "GET", records, name=f"h{middle}.{ZONE}"),
            "a search in names": lambda: sent(client, "GET", records, **{"name.contains": f"{middle}"}),
            "a search in comments": lambda: sent(client, "GET", records, **{"comment.contains": "nowhere"}),
            "a search in content": lambda: sent(client, "GET", records, **{"content.contains": address(middle)}),
        }
        for what, ask in asked.items():
            yield FIRST.format(what), _timed(ask)[0]
        for what, ask in asked.items():
            before = cpu_of(server.pids)
            yield AGAIN.format(what), statistics.median(_timed(ask)[0] for _ in range(TRIES))
            took = cpu_of(server.pids).since(before).total_s
            yield AGAIN.format(f"{what}: CPU"), took / TRIES * 1000
        yield WAIT, _longest_wait(server, zone, asked["a search in content"])


def _timed(ask: Callable[[], object]) -> tuple[float, object]:
    began = time.monotonic()
    found = ask()
    return (time.monotonic() - began) * 1000, found


def _longest_wait(server: Server, zone: str, search: Callable[[], object]) -> float:
    """The longest time of a small read by another client while searches run."""
    has_ended = threading.Event()
    waits: list[float] = []

    def read(client: httpx.Client) -> None:
        while not has_ended.is_set():
            waits.append(_timed(lambda: sent(client, "GET", zone))[0])

    with api_of(server) as other:
        sent(other, "GET", zone)  # connects
        reader = threading.Thread(target=read, args=(other,))
        reader.start()
        try:
            for _ in range(TRIES):
                search()
        finally:
            has_ended.set()
            reader.join()
    return max(waits)
