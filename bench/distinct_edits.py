"""Edits of a large zone, from the edit to the first changed answer: one record or many, over the API or in the file."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from bench.client import ask
from bench.distinct_client import WITHIN_S, api_of, sent
from bench.distinct_found import SENT
from bench.distinct_sent import sent_to_worker
from bench.peers import FailedError, Server
from bench.proc import cpu_of, wait_until_idle
from bench.questions import ZONE, A, query

TRIES = 5
MANY = 1_000  # records changed at once
IDLE_S = 60.0
POLL_S = 0.0005
CHANGED = "198.51.100"  # the network of all new addresses

OWNER = re.compile(r"\bh0\b")
CONTENT = re.compile(r"(?<= )[0-9.]+(?=,|\n)")  # of a line, in both forms

Took = tuple[float, float]  # milliseconds, and those of processor time


def edits_of(server: Server, names: int, file: Path) -> Iterator[tuple[str, float]]:
    """Each kind of edit with its median time, and with its processor time, in milliseconds. `file` is the zone's."""
    edits = _FileEdits(server, file, names)
    yield from _medians(server, "a record changed in the file", lambda turn: edits.change(turn, 1))
    yield from _medians(server, f"{MANY:,} records changed in the file", lambda turn: edits.change(turn, MANY))
    if server.kind.is_ours:
        with api_of(server) as client:
            yield from _api_edits(server, client, names)


def _api_edits(server: Server, client: httpx.Client, names: int) -> Iterator[tuple[str, float]]:
    zone = f"/zones/{sent(client, 'GET', '/zones', name=ZONE)[0]['id']}/dns_records"
    last = sent(client, "GET", zone, name=f"h{names // 2}.{ZONE}")[0]["id"]

    def change(turn: int) -> Took:
        ip = f"{CHANGED}.{turn}"
        return _until(server, f"h{names // 2}", ip, lambda: sent(client, "PATCH", f"{zone}/{last}", {"content": ip}))

    def add(turn: int) -> Took:
        body = {"name": f"new{turn}", "type": "A", "content": f"{CHANGED}.7", "ttl": 300}
        return _until(server, f"new{turn}", f"{CHANGED}.7", lambda: sent(client, "POST", zone, body))

    def delete(turn: int) -> Took:
        found = sent(client, "GET", zone, name=f"new{turn}.{ZONE}")[0]["id"]
        return _until(server, f"new{turn}", "", lambda: sent(client, "DELETE", f"{zone}/{found}"))

    def add_many(turn: int) -> Took:
        posts = [
            {"name": f"many{number}-{turn}", "type": "A", "content": f"{CHANGED}.9", "ttl": 300}
            for number in range(MANY)
        ]
        edit = {"posts": posts}
        return _until(
            server, f"many{MANY - 1}-{turn}", f"{CHANGED}.9", lambda: sent(client, "POST", f"{zone}/batch", edit)
        )

    yield from _medians(server, "a record changed over the API", change)
    yield from _medians(server, "a record added over the API", add)
    yield from _medians(server, "a record deleted over the API", delete)
    yield from _medians(server, f"{MANY:,} records added over the API", add_many)
    wait_until_idle(server.pids, IDLE_S)
    yield SENT, sent_to_worker(server, lambda: change(TRIES + 1))


def _medians(server: Server, what: str, edit: Callable[[int], Took]) -> Iterator[tuple[str, float]]:
    found = []
    for turn in range(1, TRIES + 1):
        wait_until_idle(server.pids, IDLE_S)
        found.append(edit(turn))
    yield f"{what}, ms", statistics.median(took for took, _ in found)
    yield f"{what}: CPU, ms", statistics.median(cpu for _, cpu in found)


class _FileEdits:
    """Changes lines of the zone's file as an editor does; NSD and Knot also need a signal."""

    def __init__(self, server: Server, file: Path, names: int) -> None:
        self._server, self._file, self._names = server, file, names

    def change(self, turn: int, count: int) -> Took:
        """Change so many records, the last one of the zone among them. Raises FailedError."""
        count = min(count, self._names)
        ip = f"{CHANGED}.{100 + turn + (50 if count > 1 else 0)}"
        lines = self._file.read_text().splitlines(keepends=True)
        first = next(row for row, line in enumerate(lines) if OWNER.search(line))
        for number in range(self._names - 1, -1, -(self._names // count))[:count]:
            row = first + number
            lines[row], times = CONTENT.subn(ip, lines[row], count=1)
            if not times or f"h{number}" not in lines[row]:
                raise FailedError(f"h{number} is not in line {row + 1} of {self._file}")
        draft = self._file.with_name(".draft")
        draft.write_text("".join(lines))

        def save() -> None:
            draft.replace(self._file)
            if not self._server.kind.is_ours:
                self._server.hang_up()

        return _until(self._server, f"h{self._names - 1}", ip, save)


def _until(server: Server, label: str, ip: str, edit: Callable[[], object]) -> Took:
    """The time from an edit to the answer with an address; without one, to the first answer without any."""
    probe, wanted = query(label, A), bytes(map(int, ip.split("."))) if ip else b""
    pids = server.pids
    began, before = time.monotonic(), cpu_of(pids)
    edit()
    while time.monotonic() - began < WITHIN_S:
        reply = ask(server.port, probe)
        if reply and (wanted in reply[12:] if wanted else not int.from_bytes(reply[6:8])):
            return (time.monotonic() - began) * 1000, cpu_of(pids).since(before).total_s * 1000
        time.sleep(POLL_S)
    raise FailedError(f"does not serve a change within {WITHIN_S:.0f} s: {server.last_words()}")
