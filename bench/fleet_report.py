"""The figures of bench.fleet as Markdown, between two marks in docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.distinct_found import Found
from bench.figures import Requirement
from bench.fleet_figures import (
    AFTER_AWAY,
    AFTER_LEADER,
    AGAIN,
    ALONE_AGAIN,
    ALONE_MEMORY,
    EDGES,
    FAILED,
    FOLLOWERS,
    FRESH,
    LATE,
    LOST,
    MEMORY,
    NAMES,
    OCTETS,
    RECORD_WIRE,
    SERVERS_CPU,
    SLOW_WIRE,
    WIRE,
    ZONES,
    FleetSizes,
    percentile,
)
from bench.report import MARK, put_figures, table

BEGIN, END = "<!-- fleet -->", "<!-- /fleet -->"
TITLES = {
    ZONES: "{size:,} zones: 3 servers, a control, and edges that are all asked",
    NAMES: "{size:,} distinct names: an edge, and a standalone server without the API",
    FOLLOWERS: "{size:,} followers, changes one after another",
    EDGES: "{size:,} followers, 20 changes a second",
}


@dataclass(frozen=True)
class FleetLimit:
    """A limit on a figure, or on its ratio to another one."""

    step: str
    what: str
    most: float
    percent: int = 100  # of the samples that must keep it
    above: str = ""  # the figure that stands for 1


LIMITS = (
    FleetLimit(ZONES, WIRE, 100, 99),
    FleetLimit(ZONES, SLOW_WIRE, 800, 99),
    FleetLimit(ZONES, FAILED, 0),
    FleetLimit(ZONES, AFTER_LEADER, 2),
    FleetLimit(ZONES, AFTER_AWAY, 2),
    FleetLimit(NAMES, FRESH, 30),
    FleetLimit(NAMES, AGAIN, 1.2, above=ALONE_AGAIN),
    FleetLimit(NAMES, MEMORY, 1.2, above=ALONE_MEMORY),
    FleetLimit(NAMES, OCTETS, 64_000, 50),
    FleetLimit(NAMES, RECORD_WIRE, 500, 50),
    FleetLimit(FOLLOWERS, SERVERS_CPU, 2),
    FleetLimit(FOLLOWERS, LOST, 0),
    FleetLimit(EDGES, LOST, 0),
    FleetLimit(EDGES, LATE, 1000),
)


def write_page(folder: Path, found: Found) -> Path:
    """Write the page with these figures in place of the old ones."""
    return put_figures(folder, BEGIN, END, results(found))


def results(found: Found) -> Iterator[str]:
    """All figures: those with a limit, then a table for each step."""
    yield from table(["", ""], [[key, value] for key, value in found.about.items()])
    yield "\n### Fleet: required and reached\n"
    rows = [[one.text, one.reached, MARK[one.is_met]] for one in requirements(found)]
    yield from table(["required", "reached", "met"], rows)
    for step, title in TITLES.items():
        for size in sorted({key[1] for key in found.values if key[0] == step}):
            yield f"\n### {title.format(size=size)}\n"
            figures = {key[2]: _values(found, step, size, key[2]) for key in found.values if key[:2] == (step, size)}
            yield from table(["", "median", "99 %", "most", "samples"], [_row(*one) for one in figures.items()])
    if found.failures:
        yield "\nLeft out:\n"
        yield from (f"- {what}: {reason}" for what, reason in found.failures.items())


def requirements(found: Found) -> Iterator[Requirement]:
    """All requirements on the full sizes, met or not."""
    for limit in LIMITS:
        size = FleetSizes().of(limit.step)
        ours, above = (_values(found, limit.step, size, what) for what in (limit.what, limit.above))
        name, _, unit = limit.what.rpartition(", ") if ", " in limit.what else (limit.what, "", "")
        share = {100: "", 99: "99 % of the samples, ", 50: "the median, "}[limit.percent]
        unit = f" × that of {_short(limit.above)}" if limit.above else f" {unit}".rstrip()
        text = f"{size:,} {limit.step}: {share}{name} ≤ {limit.most:g}{unit}"
        if not ours or (limit.above and not above):
            yield Requirement(text, "not measured", None)
            continue
        value = percentile(ours, limit.percent) / (percentile(above, 50) if limit.above else 1)
        yield Requirement(text, f"{value:,.{_digits(limit)}f}{unit}", value <= limit.most)


def _values(found: Found, step: str, size: int, what: str) -> Sequence[float]:
    return [*found.values.get((step, size, what, ""), {}).values()]


def _row(what: str, values: Sequence[float]) -> list[str]:
    digits = 1 if what.endswith((" ms", " MiB")) else 2 if what.endswith(" s") else 0
    shown: Callable[[int], str] = lambda percent: f"{percentile(values, percent):,.{digits}f}"  # noqa: E731
    return [what, *(map(shown, (50, 99, 100)) if len(values) > 1 else (shown(50), "", "")), str(len(values))]


def _short(what: str) -> str:
    return what.rpartition(", ")[0]


def _digits(limit: FleetLimit) -> int:
    return 0 if limit.most > 1000 or not limit.most else 2
