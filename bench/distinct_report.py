"""The figures of bench.distinct as Markdown, between two marks in docs/benchmarks.md, and the plot next to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.distinct_found import (
    AGAIN,
    ASKED_MEMORY,
    ASKED_WORKER,
    COLD,
    COLD_USER,
    HOT,
    HOT_USER,
    MEMORY,
    OTHERS,
    SENT,
    START,
    START_CPU,
    WORKER,
    Found,
)
from bench.distinct_measure import SERVERS
from bench.distinct_worlds import WORLDS, World
from bench.figures import Figure, Requirement
from bench.plot import Bar, plot
from bench.report import MARK, put_figures, table

BEGIN, END = "<!-- distinct -->", "<!-- /distinct -->"
PLOT_FILE = "benchmarks-distinct.svg"
HIDDEN = (COLD_USER, HOT_USER, OTHERS)
PLOTTED = ("null", "dnsd", "dnsd-rrl", "nsd", "knot")
QUIET = 0.05  # share of the cores that other processes may take
MILLION, SOME = 1_000_000, 20_000
BUSY = "\\*"

# World, names, what of dnsd, the most, what of which other server (none: the limit is absolute).
Limit = tuple[str, int, tuple[str, str], float, tuple[str, str] | None]
DNSD, RRL, NSD = "dnsd", "dnsd-rrl", "nsd"
LIMITS: tuple[Limit, ...] = (
    ("distinct", MILLION, (START, DNSD), 1.2, (START, NSD)),
    ("distinct", MILLION, (START_CPU, DNSD), 1.2, (START_CPU, NSD)),
    ("distinct", MILLION, (AGAIN, DNSD), 0.6, (START, NSD)),
    ("distinct", MILLION, (START, "dnsd-plain"), 5.0, (START, DNSD)),
    ("distinct", MILLION, (MEMORY, DNSD), 0.65, (MEMORY, NSD)),
    ("distinct", MILLION, (ASKED_MEMORY, DNSD), 0.65, (ASKED_MEMORY, NSD)),
    ("distinct", MILLION, (MEMORY, "dnsd-plain"), 1.0, (MEMORY, DNSD)),
    ("distinct", MILLION, (WORKER, DNSD), 10.0, None),
    ("distinct", MILLION, (ASKED_WORKER, DNSD), 10.0, None),
    ("distinct", MILLION, (COLD, DNSD), 0.8, (COLD, NSD)),
    ("distinct", MILLION, (HOT, DNSD), 0.85, (HOT, NSD)),
    ("distinct", MILLION, (HOT, DNSD), 1.15, (HOT, "null")),
    ("distinct", MILLION, (COLD, RRL), 0.9, (COLD, NSD)),
    ("distinct", MILLION, (HOT, RRL), 1.0, (HOT, NSD)),
    ("tld", MILLION, (COLD, DNSD), 0.9, (COLD, NSD)),
    ("tld", MILLION, (START, DNSD), 1.0, (START, NSD)),
    ("tld", MILLION, (MEMORY, DNSD), 0.5, (MEMORY, NSD)),
    ("zones", MILLION, (START, DNSD), 1.5, (START, NSD)),
    ("zones", MILLION, (MEMORY, DNSD), 0.7, (MEMORY, NSD)),
    ("yaml", MILLION, (START, DNSD), 6.0, None),
    ("yaml-zones", MILLION, (START, DNSD), 10.0, None),
    ("distinct", MILLION, ("a record changed over the API, ms", DNSD), 300, None),
    ("distinct", MILLION, ("a record changed in the file, ms", DNSD), 600, None),
    ("distinct", MILLION, (SENT, DNSD), 1000, None),
    ("proxied", MILLION, ("the zone paused, ms", DNSD), 1000, None),
    ("proxied", MILLION, ("the zone resumed, ms", DNSD), 1000, None),
    ("proxied", MILLION, ("another account's record changed meanwhile, the longest, ms", DNSD), 300, None),
    ("yaml", SOME, ("a record changed over the API, ms", DNSD), 100, None),
    ("yaml", SOME, ("a record changed in the file, ms", DNSD), 300, None),
    ("distinct", MILLION, ("API: the first page, ms", DNSD), 50, None),
    ("distinct", MILLION, ("API: a page in the middle, ms", DNSD), 50, None),
    ("distinct", MILLION, ("API: a search in names, ms", DNSD), 100, None),
    ("distinct", MILLION, ("API: a search in comments, ms", DNSD), 100, None),
    ("distinct", MILLION, ("API: a search in content, ms", DNSD), 600, None),
    ("distinct", MILLION, ("API, the first after a load: a search in content, ms", DNSD), 2000, None),
    ("distinct", MILLION, ("API: longest wait of another's read, ms", DNSD), 50, None),
)


def write_page(folder: Path, found: Found) -> Path:
    """Write the page with these figures in place of the old ones, and the plot next to it."""
    page = put_figures(folder, BEGIN, END, results(found))
    (folder / PLOT_FILE).write_text(plot_of(found), encoding="utf-8")
    return page


def results(found: Found) -> Iterator[str]:
    """All figures: those with a limit, then a table for each world."""
    yield from table(["", ""], [[key, value] for key, value in found.about.items()])
    yield "\n### Distinct data: required and reached\n"
    rows = [[one.text, one.reached, MARK[one.is_met]] for one in requirements(found)]
    yield from table(["required", "reached", "met"], rows)
    yield f"\n![CPU per answer]({PLOT_FILE})"
    for world in WORLDS:
        yield from _world_text(found, world)
    if any(_is_busy(found, world.name, names) for world in WORLDS for names in _sizes(found, world)):
        yield f"\n{BUSY} Other processes took over {QUIET:.0%} of the cores: wall times are too long, ratios rough."
    if found.failures:
        yield "\nLeft out:\n"
        yield from (f"- {what}: {reason}" for what, reason in found.failures.items())


def requirements(found: Found) -> Iterator[Requirement]:
    """All requirements, met or not."""
    labels = {world.name: world.label for world in WORLDS}
    for world, names, (what, server), most, other in LIMITS:
        who = "" if server == DNSD else f" ({SERVERS[server].label})"
        text = f"{names:,} {labels[world]}: {what.rpartition(',')[0]}{who} ≤ {most:g}"
        unit = f" {what.rpartition(', ')[2]}"
        if other is None:
            figure, unit = found.figure(world, names, what, server), unit
        else:
            figure = found.ratio(world, names, (what, server), other)
            unit = f" × {SERVERS[other[1]].label}"
            unit += "'s start" if what != other[0] else ""
        mark = BUSY if _is_busy(found, world, names) else ""
        reached = f"{figure.text(0 if unit == ' octets' else 2)}{unit}{mark}" if figure else "not measured"
        yield Requirement(text + unit, reached, figure.median <= most if figure else None)


def _sizes(found: Found, world: World) -> list[int]:
    return sorted({key[1] for key in found.values if key[0] == world.name})


def _is_busy(found: Found, world: str, names: int) -> bool:
    """Whether the machine was busy with other work; unknown without questions asked, and then as with any world."""
    share = found.others(world, names)
    if share is None:
        known = [one for key in found.values if (one := found.others(*key[:2])) is not None]
        share = max(known, default=0.0)
    return share > QUIET


def _world_text(found: Found, world: World) -> Iterator[str]:
    servers = [one for one in SERVERS if any(key[0] == world.name and key[3] == one for key in found.values)]
    for names in reversed(_sizes(found, world)):
        figures = dict.fromkeys(key[2] for key in found.values if key[:2] == (world.name, names))
        rows = []
        for what in figures:
            if what not in HIDDEN:
                cells = [_cell(found.figure(world.name, names, what, one), what) for one in servers]
                share = found.ratio(world.name, names, (what, DNSD), (what, NSD))
                rows.append([what, *cells, f"{share.median:.2f}" if share else ""])
        mark = BUSY if _is_busy(found, world.name, names) else ""
        yield f"\n### {names:,} {world.label}{mark}\n"
        yield from table(["", *(SERVERS[one].label for one in servers), "dnsd ÷ NSD"], rows)


def _cell(figure: Figure | None, what: str) -> str:
    return figure.text(_digits(what)) if figure else ""


def _digits(what: str) -> int:
    """The digits after the point of a figure."""
    return {"octets": 0, "ms": 1, "MiB": 1}.get(what.rpartition(" ")[2], 2)


def plot_of(found: Found) -> str:
    """The plot of processor time per answer."""
    blocks = []
    for world in WORLDS:
        for names in _sizes(found, world)[-1:]:
            for label, total, user in (("once", COLD, COLD_USER), ("hot", HOT, HOT_USER)):
                bars = [
                    Bar(one, SERVERS[one].label, own.median if own else 0.0, took.median, took.least, took.most)
                    for one in PLOTTED
                    if (took := found.figure(world.name, names, total, one))
                    for own in [found.figure(world.name, names, user, one)]
                ]
                if bars:
                    blocks.append((f"{world.name}, {label}", bars))
    return plot(blocks, title="CPU per answer with distinct data, µs: server on one core, load on another")
