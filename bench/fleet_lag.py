"""Many followers of a fleet, each with the papers of an edge: the servers' work for them, and how late each is."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from bench.fleet_figures import LAG, LATE, LATEST, LOST, SERVERS_CPU, FleetStep, percentile
from bench.fleet_followers import TIMES
from bench.fleet_nodes import CONTROL, HOST, ROOT, FleetProcess, LoopbackFleet
from bench.proc import cpu_of
from dnsd.fleet.fetch import fetched_state
from dnsd.fleet.node import FleetNode, as_control
from dnsd.fleet.root import load_root
from dnsd.fleet.subjects import account_of_subject, object_subject
from dnsd.fleet.values import FleetFile, pack_value
from dnsd.fleet.writer import Commit, ObjectWrite, Writer
from dnsd.store.directory import FileKind
from dnsd.store.replica_reader import ReplicaReader

PROCESSES = 4
CHANGED = "acme/maps/shop"  # of config/accounts
PAUSE_S = {True: 0.0, False: 0.05}  # between changes: one after another, or as customers make them
WITHIN_S, LOOK_S = 60.0, 0.05  # for the last follower

Change = tuple[int, float]  # the number of its last message, and the time of its acknowledgement


def measure_followers(step: FleetStep) -> None:
    """The servers' processor time for changes that followers get, one after another."""
    _measure(step, step.sizes.followers, is_hurried=True)


def measure_edges(step: FleetStep) -> None:
    """How late the followers are, of more edges than this machine could run."""
    _measure(step, step.sizes.simulated, is_hurried=False)


def _measure(step: FleetStep, number: int, *, is_hurried: bool) -> None:
    """Raises FleetFailedError."""
    sizes, say = step.sizes, step.progress.say
    with LoopbackFleet(step.folder / "fleet") as fleet:
        fleet.make()
        fleet.start_servers()
        fleet.fill(ROOT / "config" / "accounts")
        say(f"starting {number} followers")
        processes = _followers(fleet, number)
        urls = tuple(f"tls://{HOST}:{port}" for port in fleet.server_ports.values())
        pids = [server.pid for server in fleet.servers]
        say(f"{sizes.changes} changes")
        pause_s = PAUSE_S[is_hurried]
        identity = fleet.root / "controls" / CONTROL
        before = cpu_of(pids)
        made = as_control(identity, urls, lambda node: _change(node, sizes.changes, pause_s))
        _await_all([*fleet.folder.glob("followers-*/*.db")], made[-1][0])
        step.note(SERVERS_CPU, cpu_of(pids).since(before).total_s)
        for process in processes:
            process.stop()
        times = [one for process in processes for one in _times(process)]
        step.note(LOST, sum(not one or one[-1][0] < made[-1][0] for one in times))
        lags = [lag * 1000 for lag in _lags(made, times)]
        for what, percent in ((LAG, 50), (LATE, 99), (LATEST, 100)):
            step.note(what, percentile(lags, percent))


def _followers(fleet: LoopbackFleet, number: int) -> list[FleetProcess]:
    """Processes with so many followers in all, which have the state. Raises FleetFailedError."""
    root = load_root(fleet.root)
    names = [f"edge-{one}" for one in range(number)]
    for name in names:
        root.make_edge(name, CONTROL, now=datetime.now(UTC))
    urls = ",".join(f"tls://{HOST}:{port}" for port in fleet.server_ports.values())
    found = []
    for place in range(min(PROCESSES, number)):
        folder = fleet.folder / f"followers-{place}"
        folder.mkdir()
        own = names[place::PROCESSES]
        command = [sys.executable, "-m", "bench.fleet_followers", fleet.root, folder, urls, *own]
        found.append(FleetProcess(folder.name, folder, command, lambda said: "ready" in said.split("\n")))
        fleet.processes[folder.name] = found[-1]
        found[-1].start()
    for one in found:
        one.await_ready()
    return found


async def _change(node: FleetNode, number: int, pause_s: float) -> list[Change]:
    """Change one object so often."""
    subject = object_subject(CHANGED, FileKind.MAP)
    account = account_of_subject(subject)
    made: list[Change] = []
    async with fetched_state(node) as state:
        heads, value = {account: state.heads[account]}, state.reader.value(account, subject)
        text = state.files.by_key()[CHANGED].text()
    for turn in range(number):
        new = pack_value(FleetFile(f"{text}# {turn}\n".encode(), int(time.time())))
        commit = Commit(str(uuid4()), b"{}", [ObjectWrite(subject, value, new)], heads)
        heads, value = await Writer(node.line.link).commit(commit), new
        made.append((heads[account].seq, time.monotonic()))
        await asyncio.sleep(pause_s)
    return made


def _await_all(copies: Sequence[Path], seq: int) -> None:
    """Wait until all copies have a message, or for WITHIN_S seconds."""
    deadline = time.monotonic() + WITHIN_S
    while copies and time.monotonic() < deadline:
        copies = [one for one in copies if _seq(one) < seq]
        time.sleep(LOOK_S)


def _seq(copy: Path) -> int:
    with closing(ReplicaReader(copy)) as reader, closing(reader.state()) as state:
        return state.place.seq


def _times(process: FleetProcess) -> list[list[tuple[int, float]]]:
    """The steps of each follower of a process that has ended."""
    found = json.loads((process.folder / TIMES).read_text())
    return [[(seq, at) for seq, at in steps] for steps in found.values()]


def _lags(changes: Sequence[Change], times: Sequence[Sequence[tuple[int, float]]]) -> Iterator[float]:
    """How much later than its acknowledgement each follower had each change, in seconds; one before it is not late."""
    for steps in times:
        numbers = [seq for seq, _ in steps]
        for seq, acknowledged in changes:
            place = bisect_left(numbers, seq)
            if place < len(steps):
                yield max(0.0, steps[place][1] - acknowledged)
