"""The traffic part: every server answers every mix, one after another in each round.

All servers run all the time, on one core; the load runs on the other. So in each round the machine is in the same state
for all servers, and drift over minutes changes the ratios little.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.client import View, ask, view_of
from bench.native import NativeError, load
from bench.peers import KINDS, FailedError, Kind, Server, cores
from bench.proc import core_time, cpu_of, own_cpu_s, wait_until_idle
from bench.progress import Progress
from bench.questions import MIXES, Mix, framed, names_of, query, zone_text

START_S = 120.0
IDLE_S = 5.0
FIRST_WARM_UP_S, WARM_UP_S = 1.0, 0.2
SAMPLES = 8  # queries of each mix whose answers are compared before measuring

FEW = {  # servers with some of the mixes only
    "null": {"proxied", "edns", "nxdomain"},
    "dnsd-2": {"proxied", "edns", "nxdomain", "tcp"},
    "dnsd-rrl": {"proxied", "nxdomain"},
}
SIMPLE = {"dnslib", "twisted"}


@dataclass(frozen=True)
class Measure:
    """One measurement of one server under one mix."""

    server: str
    mix: str
    round: int
    answered: int
    lost: int
    seconds: float
    cpu_s: float  # of the server, from nanoseconds
    user_s: float  # of the server, from ticks
    system_s: float
    p50_us: float
    p99_us: float
    others_s: float  # used by other processes on both cores
    steal_s: float  # used by the hypervisor

    @property
    def cpu_us(self) -> float:
        """Processor time per answer."""
        return self.cpu_s / self.answered * 1e6 if self.answered else float("nan")

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answered / self.seconds if self.seconds else 0.0


@dataclass
class Traffic:
    """All results of the part."""

    names: int = 0
    seconds: float = 0
    measures: list[Measure] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """The amount of measuring."""

    servers: Sequence[str]
    mixes: Sequence[str]
    names: int
    rounds: int
    seconds: float


def is_asked(server: str, mix: Mix) -> bool:
    """Whether a server takes part in a mix."""
    if server in SIMPLE:
        return mix.simple
    return server not in FEW or mix.name in FEW[server]


def run_traffic(plan: Plan, folder: Path, progress: Progress) -> Traffic:
    """Start all servers of the plan and measure; a missing or failing server is reported and left out."""
    found = Traffic(plan.names, plan.seconds)
    mixes = [mix for mix in MIXES if mix.name in plan.mixes]
    files = {mix.name: folder / f"{mix.name}.queries" for mix in mixes}
    for mix in mixes:
        files[mix.name].write_bytes(framed(names_of(mix, plan.names)))
    with ExitStack() as stack:
        servers = _started(plan, folder, stack, found, progress)
        turns = list(_comparable(servers, mixes, plan.names, found))
        wait_until_idle([pid for server in servers for pid in server.pids], IDLE_S)
        progress.expect(plan.rounds * len(turns))
        failed: set[str] = set()
        for number, mix in itertools.product(range(plan.rounds), mixes):
            for server in _rotated([server for server, asked in turns if asked is mix], number):
                name = server.kind.name
                if name in failed:
                    continue
                progress.step(f"round {number + 1}: {mix.name}, {name}")
                try:
                    found.measures.append(measure(server, mix, files[mix.name], number, plan.seconds))
                except NativeError as error:
                    failed.add(name)
                    found.skipped.append(f"{server.kind.label}: failed under {mix.name}: {error}")
                    progress.say(found.skipped[-1])
    return found


def _started(plan: Plan, folder: Path, stack: ExitStack, found: Traffic, progress: Progress) -> list[Server]:
    servers = []
    for name in plan.servers:
        kind = KINDS[name]
        if reason := kind.missing():
            found.skipped.append(f"{kind.label}: {reason}")
            progress.say(f"{found.skipped[-1]}: skipped")
            continue
        progress.say(f"starting {kind.label}")
        try:
            server = stack.enter_context(_prepared(kind, plan.names, folder))
            server.start(query("h0", 1), START_S)
        except (FailedError, NativeError, OSError) as error:
            found.skipped.append(f"{kind.label}: {error}")
            progress.say(f"{found.skipped[-1]}: skipped")
            continue
        found.versions[name] = kind.version()
        found.commands[name] = server.shown_command()
        servers.append(server)
    return servers


def _prepared(kind: Kind, names: int, folder: Path) -> Server:
    zone = folder / f"{kind.name}.zone"
    zone.write_text(zone_text(names, proxied=kind.is_ours))
    return Server(kind, folder).prepare(zone)


def _comparable(
    servers: Sequence[Server], mixes: Sequence[Mix], names: int, found: Traffic
) -> Iterator[tuple[Server, Mix]]:
    """The servers by mix, as far as they answer it like dnsd, or like the first of them."""
    for mix in mixes:
        samples = list(itertools.islice(names_of(mix, names), SAMPLES))
        expected: list[View | None] | None = None
        for server in sorted(servers, key=lambda one: one.kind.name != "dnsd"):
            if not is_asked(server.kind.name, mix):
                continue
            if server.kind.name != "null":
                views = [view_of(ask(server.port, sample, tcp=mix.tcp)) for sample in samples]
                expected = expected or views
                if views != expected:
                    wrong = next(pair for pair in zip(views, expected, strict=True) if pair[0] != pair[1])
                    found.skipped.append(
                        f"{server.kind.label}: answers {mix.name} differently: {wrong[0]}, not {wrong[1]}"
                    )
                    continue
            yield server, mix


def _rotated(servers: Sequence[Server], by: int) -> list[Server]:
    """The servers in rotation, with another one first in each round."""
    first = by * max(1, len(servers) // 3) % max(1, len(servers))
    return [*servers[first:], *servers[:first]]


def measure(server: Server, mix: Mix, queries: Path, number: int, seconds: float) -> Measure:
    """Warm the server up, then measure its answers and processor time. Raises NativeError."""
    core, load_core = cores()
    ask_all = partial(load, server.port, queries, core=load_core, tcp=mix.tcp)
    ask_all(min(seconds, WARM_UP_S if number else FIRST_WARM_UP_S))
    pids = server.pids
    clock, ours, before = core_time({core, load_core}), own_cpu_s(), cpu_of(pids)
    counted = ask_all(seconds)
    took = cpu_of(pids).since(before)
    clock, ours = core_time({core, load_core}).since(clock), own_cpu_s() - ours
    return Measure(
        server.kind.name,
        mix.name,
        number,
        counted.answered,
        counted.lost,
        counted.seconds,
        took.total_s,
        took.user_s,
        took.system_s,
        counted.p50_us,
        counted.p99_us,
        max(0.0, clock.busy_s - took.total_s - ours),
        clock.steal_s,
    )
