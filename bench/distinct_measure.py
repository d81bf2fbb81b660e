"""One step of bench.distinct: all servers with one world, in turn, so that a busy machine is as busy for each."""

from __future__ import annotations

import random
import shutil
import sys
import tomllib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import httpx

from bench.distinct_edits import edits_of
from bench.distinct_found import (
    AGAIN,
    AGAIN_CPU,
    ASKED_MEMORY,
    ASKED_WORKER,
    COLD,
    COLD_USER,
    HOT,
    HOT_USER,
    MEMORY,
    OTHERS,
    SETTLED_CPU,
    START,
    START_CPU,
    WORKER,
    Found,
    Step,
)
from bench.distinct_pauses import pauses_of
from bench.distinct_questions import questions_of
from bench.distinct_worlds import World
from bench.native import NativeError, load
from bench.peers import ACCOUNT, KINDS, ROOT, RRL_ON, SETTINGS, FailedError, Kind, Server, cores, path_of
from bench.proc import core_time, cpu_of, memory_of, own_cpu_s, private_bytes, wait_until_idle
from bench.progress import Progress
from bench.questions import SEED, ZONE, framed
from tests.conformance.peers import knot_conf, nsd_conf

MORE = """\
api: {listen: "127.0.0.1:0"}
quotas: {zones: 1000000, records_per_zone: 100000000, records: 100000000}
"""
WORKERS = 2
LIMIT_S, IDLE_S = 600.0, 60.0
TURNS = 3  # samples of each mix in a step, in turn with the other servers
WARM_UP_S = 0.3
COLD_S = 60.0  # at most, for a part of the names once
MIXED = ("dnsd", "dnsd-rrl", "nsd", "knot", "null")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPILED = [one["name"] for one in PROJECT["tool"]["setuptools"]["ext-modules"]]
PLAIN = f"import sys; sys.modules.update(dict.fromkeys({COMPILED}))"
SERVERS = {
    **{name: KINDS[name] for name in ("dnsd", "nsd", "knot", "dnsd-rrl")},
    "dnsd-plain": replace(KINDS["dnsd"], name="dnsd-plain", label="dnsd without a compiler"),
    "null": KINDS["null"],
}
CONFIGURED = {"nsd": (nsd_conf, "nsd", ["-d"]), "knot": (knot_conf, "knotd", [])}
FAILURES = (FailedError, NativeError, OSError, httpx.HTTPError, KeyError, IndexError)


def takes_part(name: str, world: World, turn: int) -> bool:
    """Whether a server is measured with a world: the costly and the trivial ones in one place alone."""
    if name == "dnsd-plain":
        return world.name == "distinct" and not turn
    return name == "dnsd" or (not world.is_yaml and (name != "null" or world.name == "distinct"))


@dataclass
class Measuring:
    """A step while it is measured."""

    found: Found
    world: World
    step: Step
    folder: Path
    progress: Progress
    hot_s: float = 1.0  # of each measure of hot names
    running: dict[str, Server] = field(default_factory=dict)

    def run(self, names: Sequence[str], *, has_edits: bool) -> None:
        """Measure these servers; what fails is reported and left out."""
        first = self.step.round % len(names)
        with ExitStack() as stack:
            for name in (*names[first:], *names[:first]):
                self._try(name, partial(self._start, stack))
            if not self.world.is_yaml:
                self._ask()
            for name in [*self.running]:
                self._try(name, self._start_again)
                if has_edits and name in ("dnsd", "nsd", "knot") and self.world.has_edits:
                    self._try(name, self._edit)
        self.found.done.setdefault(self.step, []).extend(self.running)

    def _try(self, name: str, work: Callable[[str], None]) -> None:
        kind, title = SERVERS[name], f"{SERVERS[name].label}, {self.step.names:,} names, {self.world.label}"
        try:
            if reason := kind.missing():
                raise FailedError(reason)
            work(name)
            self.found.failures.pop(title, None)
        except FAILURES as error:
            if name in self.running:
                self.running.pop(name).stop()
            self.found.failures[title] = str(error) or type(error).__name__
            self.progress.say(f"{title}: {self.found.failures[title]}")

    def _note(self, what: str, server: str, value: float, turn: int = 0) -> None:
        self.found.add(self.step.world, self.step.names, what, server, self.step.round * TURNS + turn, value)

    def _start(self, stack: ExitStack, name: str) -> None:
        self.progress.say(f"{SERVERS[name].label}: writing and starting")
        server = stack.enter_context(prepared(SERVERS[name], self.world, self.step.names, self.folder))
        took = server.start(self._probe, LIMIT_S)
        cpu_s = cpu_of(server.pids).total_s
        if name != "null":
            self._note(START, name, took)
            self._note(START_CPU, name, cpu_s)
            wait_until_idle(server.pids, IDLE_S)
            self._note(SETTLED_CPU, name, cpu_of(server.pids).total_s)
            self._note(MEMORY, name, memory_of(server.pids) / 2**20)
        if name == "dnsd":
            self._note(WORKER, name, _of_worker(server))
        if name in MIXED:
            self.running[name] = server
        else:
            server.stop()
            self.found.done.setdefault(self.step, []).append(name)

    @property
    def _probe(self) -> bytes:
        return self.world.asked(self.step.names - 1, self.step.names)

    def _ask(self) -> None:
        """Ask for a part of the names once, then for hot names, each server in turn; several times."""
        rng, names, queries = random.Random(SEED + self.step.round), self.step.names, self.folder / "queries"
        all_once = [*self.world.once(names, rng)]
        size = -(-names // TURNS)
        for turn in range(TURNS):
            part = all_once[turn * size : (turn + 1) * size]
            queries.write_bytes(framed(part))
            for name in self._in_turn(turn):
                if name != "null":
                    self._try(name, partial(self._cpu, queries, COLD, COLD_USER, COLD_S, turn, len(part)))
        del all_once
        queries.write_bytes(framed(self.world.hot(names, rng)))
        for turn in range(TURNS):
            for name in self._in_turn(turn):
                self._try(name, partial(self._cpu, queries, HOT, HOT_USER, self.hot_s, turn, None))
        for name, server in self.running.items():
            if name != "null":
                self._note(ASKED_MEMORY, name, memory_of(server.pids) / 2**20)
            if name == "dnsd":
                self._note(ASKED_WORKER, name, _of_worker(server))

    def _in_turn(self, turn: int) -> list[str]:
        names = [*self.running]
        first = (self.step.round + turn) % max(1, len(names))
        return [*names[first:], *names[:first]]

    def _cpu(
        self, queries: Path, what: str, of_user: str, seconds: float, turn: int, most: int | None, name: str
    ) -> None:
        """Note the processor time per answer. Raises NativeError without answers."""
        server, (core, load_core) = self.running[name], cores()
        pids = server.pids
        if most is None and not turn:
            load(server.port, queries, min(WARM_UP_S, self.hot_s), core=load_core)
        clock, ours, before = core_time({core, load_core}), own_cpu_s(), cpu_of(pids)
        counted = load(server.port, queries, seconds, core=load_core, most=most)
        took = cpu_of(pids).since(before)
        clock, ours = core_time({core, load_core}).since(clock), own_cpu_s() - ours
        if not counted.answered:
            raise NativeError("no answers")
        self._note(what, name, took.total_s / counted.answered * 1e6, turn)
        ticks = took.user_s + took.system_s
        if ticks:
            self._note(of_user, name, took.total_s * took.user_s / ticks / counted.answered * 1e6, turn)
        if name == "dnsd" and counted.seconds:
            others = max(0.0, clock.busy_s - took.total_s - ours) / counted.seconds / len({core, load_core})
            self._note(OTHERS, "", others, turn)

    def _start_again(self, name: str) -> None:
        if name != "dnsd":
            return
        server = self.running[name]
        server.stop()
        self._note(AGAIN, name, server.start(self._probe, LIMIT_S))
        self._note(AGAIN_CPU, name, cpu_of(server.pids).total_s)
        wait_until_idle(server.pids, IDLE_S)

    def _edit(self, name: str) -> None:
        server = self.running[name]
        self.progress.say(f"{SERVERS[name].label}: questions and edits")
        if self.world.has_pauses:
            for what, value in pauses_of(server, self.step.names):
                self._note(what, name, value)
            return
        if name == "dnsd":
            for what, value in questions_of(server, self.step.names):
                self._note(what, name, value)
        for what, value in edits_of(server, self.step.names, _zone_file(SERVERS[name], self.world, self.folder, ZONE)):
            self._note(what, name, value)


def _of_worker(server: Server) -> float:
    """Megabytes that a worker shares with no other process."""
    return max(private_bytes(pid) for pid in server.pids[2 : 2 + WORKERS]) / 2**20  # after the supervisor and control


def _zone_file(kind: Kind, world: World, folder: Path, zone: str) -> Path:
    """The file of a zone in a server's folder."""
    zones = folder / kind.name / ("accounts/acme/zones" if kind.is_ours else "zones")
    return zones / f"{zone}.{'yaml' if world.is_yaml else 'zone'}"


def prepared(kind: Kind, world: World, names: int, folder: Path) -> Server:
    """The server with its zones in files."""
    shutil.rmtree(folder / kind.name, ignore_errors=True)
    zones = _zone_file(kind, world, folder, ZONE).parent
    zones.mkdir(parents=True)
    files = {}
    for name, lines in world.zones(names) if kind.name != "null" else ():
        files[name] = _zone_file(kind, world, folder, name)
        with files[name].open("w") as out:
            out.writelines(lines)
    prepare = kind.prepare if kind.name == "null" else partial(_prepare, kind.name, files)
    return Server(replace(kind, prepare=prepare), folder).prepare(zones)


def _prepare(name: str, files: dict[str, Path], folder: Path, port: int, zones: Path) -> list[str]:
    """Write the configuration of a server; return its command."""
    if name in CONFIGURED:
        configured, program, option = CONFIGURED[name]
        (folder / f"{name}.conf").write_text(configured(folder, port, files))
        return [path_of(program), *option, "-c", str(folder / f"{name}.conf")]
    (folder / "accounts/acme/account.yaml").write_text(ACCOUNT)
    more = MORE + (RRL_ON if name == "dnsd-rrl" else "")
    (folder / "dnsd.yaml").write_text(SETTINGS.format(port=port, workers=WORKERS) + more)
    run = ["-c", f"{PLAIN}; from dnsd.cli import main; main()"] if name == "dnsd-plain" else ["-m", "dnsd"]
    return [sys.executable, *run, "serve", "-c", str(folder / "dnsd.yaml")]
