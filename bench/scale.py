"""The scale part: start, memory, reload and map edit of dnsd, NSD and Knot with 10,000, 100,000 and 1,000,000 names.

One zone in one master file, one address per name; in dnsd the names are proxied and covered by one map. One server runs
at a time, on one core.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import ask
from bench.peers import KINDS, ROOT, FailedError, Server, marker_probe, scale_map_text
from bench.proc import memory_bytes, memory_of, resident_bytes, wait_until_idle
from bench.progress import Progress
from bench.questions import ZONE, A, marker_ip, query, scale_ip, scale_zone

SERVERS = ("dnsd", "nsd", "knot")
LIMIT_S = 180.0  # for one start or reload; longer ones, as estimated from a tenth of the names, are left out
IDLE_S = 60.0
ROUND_S = 60.0  # a longer round is not repeated
MAP_EDITS = 5
POLL_S = 0.0005
SETTLE_S = 0.5

START, AGAIN, MEMORY, AFTER_RELOAD, RELOAD, MAP_EDIT, WAIT, YAML, MORE, FIRST = (
    "first start, s",
    "start from the snapshot file, s",
    "memory, MiB",
    "memory after a reload, MiB",
    "all names changed in the file, s",
    "all names re-pointed by a map edit, ms",
    "longest wait of a client meanwhile, ms",
    "first start from YAML, s",
    "a second worker, MiB",
    "the first worker alone, MiB",
)


@dataclass
class Scale:
    """Values by (server, number of names, figure)."""

    values: dict[tuple[str, int, str], list[float]] = field(default_factory=dict)
    parts: dict[int, list[float]] = field(default_factory=dict)  # dnsd's processes, MiB, by names
    worker_edit: dict[int, dict[str, float]] = field(default_factory=dict)  # inside a worker, by names: median …
    skipped: list[str] = field(default_factory=list)

    def add(self, server: str, names: int, what: str, value: float) -> None:
        """Add a value."""
        self.values.setdefault((server, names, what), []).append(value)

    def median(self, server: str, names: int, what: str) -> float | None:
        """The median; None without measurements."""
        found = self.values.get((server, names, what))
        return statistics.median(found) if found else None


def run_scale(sizes: list[int], rounds: int, servers: list[str], folder: Path, progress: Progress) -> Scale:
    """Measure all sizes; failures and steps that would take too long are reported and left out."""
    part = _Part(Scale(), folder, progress)
    for names in sizes:
        for number in range(rounds):
            began = time.monotonic()
            for name in servers:
                if name in SERVERS:
                    part.run(name, names, START, _one, number)
            if "dnsd" in servers and not number:
                part.run("dnsd", names, MORE, _two_workers)
                part.run("dnsd", names, YAML, _from_yaml)
            if time.monotonic() - began > ROUND_S:
                break
    if "dnsd" in servers:
        for names in (1_000, sizes[-1]):
            progress.say(f"a map edit inside a worker, {names:,} names")
            part.found.worker_edit[names] = _worker_edit(names)
    return part.found


Step = Callable[[Scale, str, int, Path], None]


@dataclass
class _Part:
    """Runs steps, except those that fail or would take too long."""

    found: Scale
    folder: Path
    progress: Progress

    def run(self, name: str, names: int, what: str, step: Step, number: int = 0) -> None:
        title = f"{KINDS[name].label}, {names:,} names: {what.rpartition(',')[0]}"
        before = self.found.median(name, names // 10, YAML if what == YAML else START)
        reason = KINDS[name].missing()
        if not reason and before and before * 10 > LIMIT_S:
            reason = f"would take over {LIMIT_S:.0f} s"
        if reason:
            self._skip(f"{title}: {reason}", number)
            return
        self.progress.say(f"{title}, round {number + 1}")
        try:
            step(self.found, name, names, self.folder)
        except (FailedError, OSError) as error:
            self._skip(f"{title}: {error}")

    def _skip(self, why: str, number: int = 0) -> None:
        if not number:
            self.found.skipped.append(why)
            self.progress.say(why)


def _one(found: Scale, name: str, names: int, folder: Path) -> None:
    """Measure one server with one size."""
    kind = KINDS[name]
    zone = _write_zone(folder / "zone", names, 0, proxied=kind.is_ours)
    last = query(f"h{names - 1}", A)
    with _fresh(name, folder).prepare(zone) as server:
        found.add(name, names, START, server.start(last, LIMIT_S))
        _settle(server)
        found.add(name, names, MEMORY, memory_of(server.pids) / 2**20)
        if kind.is_ours:
            parts = [memory_bytes(pid) / 2**20 for pid in server.pids]
            found.parts[names] = parts
            found.add(name, names, FIRST, resident_bytes(server.pids[-1]) / 2**20)
            _edit_map(found, server, names, last)
        _reload(found, server, names, folder)
        if kind.is_ours:
            _start_again(found, server, names, last)


def _fresh(name: str, folder: Path) -> Server:
    shutil.rmtree(folder / name, ignore_errors=True)
    return Server(KINDS[name], folder)


def _write_zone(file: Path, names: int, edition: int, *, proxied: bool) -> Path:
    with file.open("w") as out:
        out.writelines(scale_zone(names, edition, proxied=proxied))
    return file


def _zone_file(server: Server, folder: Path) -> Path:
    return server.folder / "accounts/acme/zones" / f"{ZONE}.zone" if server.kind.is_ours else folder / "zone"


def _settle(server: Server) -> None:
    time.sleep(SETTLE_S)
    wait_until_idle(server.pids, IDLE_S)


def _edit_map(found: Scale, server: Server, names: int, probe: bytes) -> None:
    """The time from saving the file to the changed answer, with the default watching of files."""
    file = server.folder / "accounts/acme/maps/edge.yaml"
    for edition in range(1, 1 + MAP_EDITS):
        draft = server.folder / "draft"
        draft.write_text(scale_map_text(edition))
        draft.replace(file)
        seconds, longest = _until(server, probe, scale_ip(edition))
        found.add(server.kind.name, names, MAP_EDIT, seconds * 1e3)
        found.add(server.kind.name, names, WAIT, longest * 1e3)
        _settle(server)


def _reload(found: Scale, server: Server, names: int, folder: Path) -> None:
    """The time from SIGHUP to the changed answer; in dnsd the origins stay, as answers do not show them."""
    draft = _write_zone(folder / "draft", names, 1, proxied=server.kind.is_ours)
    draft.replace(_zone_file(server, folder))
    server.hang_up()
    seconds, _ = _until(server, marker_probe(), marker_ip(1))
    found.add(server.kind.name, names, RELOAD, seconds)
    _settle(server)
    found.add(server.kind.name, names, AFTER_RELOAD, memory_of(server.pids) / 2**20)


def _until(server: Server, probe: bytes, ip: str) -> tuple[float, float]:
    """Seconds until the answer has the address, and the longest wait for an answer meanwhile."""
    began, longest = time.monotonic(), 0.0
    wanted = bytes(int(part) for part in ip.split("."))
    while True:
        asked = time.monotonic()
        reply = ask(server.port, probe, LIMIT_S)
        now = time.monotonic()
        longest = max(longest, now - asked)
        if reply and wanted in reply:
            return now - began, longest
        if now - began > LIMIT_S:
            raise FailedError(f"does not serve a change within {LIMIT_S:.0f} s: {server.last_words()}")
        time.sleep(POLL_S)


def _start_again(found: Scale, server: Server, names: int, probe: bytes) -> None:
    """The time of a start from the snapshot file, with the data folder moved away."""
    server.stop()
    (server.folder / "accounts").rename(server.folder / "gone")
    found.add(server.kind.name, names, AGAIN, server.start(probe, LIMIT_S))


def _two_workers(found: Scale, name: str, names: int, folder: Path) -> None:
    zone = _write_zone(folder / "zone", names, 0, proxied=True)
    with _fresh("dnsd-2", folder).prepare(zone) as server:
        server.start(query(f"h{names - 1}", A), LIMIT_S)
        _settle(server)
        one = found.median(name, names, MEMORY)
        if one is not None:
            found.add(name, names, MORE, memory_of(server.pids) / 2**20 - one)


def _from_yaml(found: Scale, name: str, names: int, folder: Path) -> None:
    zone = folder / "zone"
    zone.write_text("")
    with _fresh(name, folder).prepare(zone) as server:
        master = _zone_file(server, folder)
        master.unlink()
        with master.with_suffix(".yaml").open("w") as out:
            out.write("nameservers: [ns1.example.net]\nrecords:\n")
            out.writelines(f"- {{name: h{n}, type: A, content: 192.0.2.80, proxied: true}}\n" for n in range(names))
        found.add(name, names, YAML, server.start(query(f"h{names - 1}", A), LIMIT_S))


def _worker_edit(names: int) -> dict[str, float]:
    """Measure in a separate process, which frees its memory at its end."""
    run = subprocess.run(
        [sys.executable, "-m", "bench.map_edit", str(names)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(run.stdout)
    return found
