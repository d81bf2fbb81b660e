"""dnsd, NSD and Knot with data that repeats nothing: start, memory, cold and hot answers, and edits of one record.

    python -m bench.distinct                                 1,000,000 names; half an hour on a quiet machine
    python -m bench.distinct --names 10000                   the same in small, about a minute
    python -m bench.distinct --names 10000,100000 --world tld,zones --only dnsd,nsd --no-edits
    python -m bench.distinct --output DIR                    also writes DIR/distinct.md

One server runs at a time, on one core; the load generator has the other. dnsd runs with two workers and its API.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bench.distinct_edits import edits_of
from bench.distinct_worlds import WORLDS, World
from bench.native import NativeError, build, load
from bench.peers import ACCOUNT, KINDS, ROOT, RRL_ON, SETTINGS, FailedError, Kind, Server, cores
from bench.proc import cpu_of, machine, memory_of, wait_until_idle
from bench.progress import Progress
from bench.questions import SEED, framed
from bench.report import table
from tests.conformance.peers import knot_conf, nsd_conf

SERVERS = ("dnsd", "dnsd-rrl", "nsd", "knot")
API = 'api: {listen: "127.0.0.1:0"}\n'
WORKERS = 2
LIMIT_S, IDLE_S = 600.0, 60.0
HOT_S, WARM_UP_S = 2.0, 0.5
MOST_ASKED = 500_000  # queries a second: a shorter measure asks no name twice

START, AGAIN, MEMORY, COLD, HOT = (
    "first start, s",
    "start with the snapshot file, s",
    "memory, MiB",
    "CPU per answer, every name once, µs",
    "CPU per answer, 10,000 hot names, µs",
)


@dataclass
class Found:
    """Values by (world, names, figure, server), and the steps left out."""

    values: dict[tuple[str, int, str, str], float] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="bench.distinct", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    worlds = [world.name for world in WORLDS]
    parser.add_argument("--names", type=lambda text: [int(one) for one in text.split(",")], default=[1_000_000])
    parser.add_argument("--world", type=lambda text: text.split(","), default=worlds, help=f"of {','.join(worlds)}")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SERVERS))
    parser.add_argument("--no-edits", action="store_true", help="without edits of one record")
    parser.add_argument("--output", type=Path, help="folder for distinct.md")
    options = parser.parse_args(arguments)
    if unknown := {*options.world} - {*worlds} or {*options.only} - {*SERVERS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return options


def main(arguments: Sequence[str]) -> int:
    """Measure, and print the figures as Markdown; return the exit status."""
    options, progress = parse(arguments), Progress()
    os.sched_setaffinity(0, {cores()[1]})  # the servers get the other core
    try:
        build("load")
    except NativeError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    found, folder = Found(), Path(tempfile.mkdtemp(prefix="dnsd-distinct-"))
    try:
        for world in (one for one in WORLDS if one.name in options.world):
            for names in options.names:
                for name in options.only:
                    _measure(found, world, names, KINDS[name], folder, progress, has_edits=not options.no_edits)
    finally:
        progress.end()
        shutil.rmtree(folder, ignore_errors=True)
    text = "\n".join(report(found))
    print(text)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "distinct.md").write_text(f"{text}\n", encoding="utf-8")
    return 0


def _measure(
    found: Found, world: World, names: int, kind: Kind, folder: Path, progress: Progress, *, has_edits: bool
) -> None:
    """Measure one server with one world; a failure is reported."""
    title = f"{kind.label}, {names:,} names, {world.label}"
    if world.is_yaml and kind.name != "dnsd":
        return
    if reason := kind.missing():
        found.skipped.append(f"{title}: {reason}")
        return
    progress.say(title)
    note = partial(_note, found, world.name, names, kind.name)
    try:
        with _prepared(kind, world, names, folder) as server:
            probe = world.asked(names - 1, names)
            note(START, server.start(probe, LIMIT_S))
            wait_until_idle(server.pids, IDLE_S)
            note(MEMORY, memory_of(server.pids) / 2**20)
            queries = folder / "queries"
            queries.write_bytes(framed(world.once(names, random.Random(SEED))))
            note(COLD, _cpu_us(server, queries, min(HOT_S, names / MOST_ASKED)))
            queries.write_bytes(framed(world.hot(names, random.Random(SEED))))
            _cpu_us(server, queries, WARM_UP_S)
            note(HOT, _cpu_us(server, queries, HOT_S))
            if kind.name == "dnsd":
                server.stop()
                note(AGAIN, server.start(probe, LIMIT_S))
            if has_edits and world.name == "distinct" and kind.name != "dnsd-rrl":
                wait_until_idle(server.pids, IDLE_S)
                for what, milliseconds in edits_of(server, names):
                    note(what, milliseconds)
    except (FailedError, NativeError, OSError) as error:
        found.skipped.append(f"{title}: {error}")
        progress.say(found.skipped[-1])


def _note(found: Found, world: str, names: int, server: str, what: str, value: float) -> None:
    found.values[world, names, what, server] = value


def _cpu_us(server: Server, queries: Path, seconds: float) -> float:
    """Processor time per answer. Raises NativeError without answers."""
    pids = server.pids
    before = cpu_of(pids)
    counted = load(server.port, queries, seconds, core=cores()[1])
    if not counted.answered:
        raise NativeError("no answers")
    return cpu_of(pids).since(before).total_s / counted.answered * 1e6


def _prepared(kind: Kind, world: World, names: int, folder: Path) -> Server:
    """The server with its zones in files."""
    shutil.rmtree(folder / kind.name, ignore_errors=True)
    zones = folder / kind.name / ("accounts/acme/zones" if kind.is_ours else "zones")
    zones.mkdir(parents=True)
    files = {}
    for name, lines in world.zones(names):
        files[name] = zones / f"{name}.{'yaml' if world.is_yaml else 'zone'}"
        with files[name].open("w") as out:
            out.writelines(lines)
    return Server(replace(kind, prepare=partial(_prepare, kind.name, files)), folder).prepare(zones)


def _prepare(name: str, files: dict[str, Path], folder: Path, port: int, zones: Path) -> list[str]:
    """Write the configuration of a server; return its command."""
    if name == "nsd":
        (folder / "nsd.conf").write_text(nsd_conf(folder, port, files))
        return [shutil.which("nsd", path="/usr/sbin:/usr/local/sbin") or "nsd", "-d", "-c", str(folder / "nsd.conf")]
    if name == "knot":
        (folder / "knot.conf").write_text(knot_conf(folder, port, files))
        return [shutil.which("knotd", path="/usr/sbin:/usr/local/sbin") or "knotd", "-c", str(folder / "knot.conf")]
    (folder / "accounts/acme/account.yaml").write_text(ACCOUNT)
    more = API + (RRL_ON if name == "dnsd-rrl" else "")
    (folder / "dnsd.yaml").write_text(SETTINGS.format(port=port, workers=WORKERS) + more)
    return [sys.executable, "-m", "dnsd", "serve", "-c", str(folder / "dnsd.yaml")]


def report(found: Found) -> list[str]:
    """The figures as Markdown: a table for each world, with dnsd's share of NSD's where both are known."""
    lines = [f"{key}: {value}  " for key, value in machine().items()]
    servers = [one for one in SERVERS if any(key[3] == one for key in found.values)]
    for world in WORLDS:
        rows = []
        for names, what in dict.fromkeys(key[1:3] for key in found.values if key[0] == world.name):
            values = {one: found.values.get((world.name, names, what, one)) for one in servers}
            cells = [f"{value:,.2f}" if (value := values[one]) is not None else "" for one in servers]
            ours, theirs = values.get("dnsd"), values.get("nsd")
            rows.append([f"{names:,}", what, *cells, f"{ours / theirs:.2f}" if ours and theirs else ""])
        if rows:
            lines += ["", f"### {world.label[0].upper()}{world.label[1:]}", ""]
            lines += table(["names", "", *(KINDS[one].label for one in servers), "dnsd ÷ NSD"], rows)
    return [*lines, *(f"- {one}" for one in found.skipped)]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
