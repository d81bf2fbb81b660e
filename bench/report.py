"""The figures as Markdown, between two marks in docs/benchmarks.md, and the plot next to it. Other text stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.figures import Figure, figure, of, ratio, remarks, requirements
from bench.peers import KINDS
from bench.plot import Bar, plot
from bench.questions import MIXES
from bench.scale import (
    AFTER_RELOAD,
    AGAIN,
    FIRST,
    MAP_EDIT,
    MEMORY,
    MORE,
    RELOAD,
    SERVERS,
    START,
    WAIT,
    YAML,
    Scale,
)
from bench.traffic import Measure, Traffic

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
PLOTTED = ("null", "dnsd", "nsd", "knot", "bind", "pdns")
COMPARED = ("null", "nsd", "knot", "bind", "pdns", "dnslib", "twisted")
PLOT_FILE, PAGE_FILE = "benchmarks.svg", "benchmarks.md"
MARK = {True: "yes", False: "**no**", None: "–"}
INTRO = "# Benchmarks\n"


def write_report(folder: Path, traffic: Traffic, scale: Scale, about: Mapping[str, str]) -> Path:
    """Write the page with these figures in place of the old ones, and the plot next to it."""
    page = put_figures(folder, BEGIN, END, figures_text(traffic, scale, about))
    if traffic.measures:
        (folder / PLOT_FILE).write_text(plot_of(traffic), encoding="utf-8")
    return page


def put_figures(folder: Path, begin: str, end: str, figures: Iterable[str]) -> Path:
    """Write the page with other figures between two marks, or at its end; its folder is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / PAGE_FILE
    text = page.read_text(encoding="utf-8") if page.exists() else INTRO
    if begin not in text:
        text += f"\n{begin}\n{end}\n"
    before, rest = text.split(begin, 1)
    lines = "\n".join(figures)
    page.write_text(f"{before}{begin}\n{lines}\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")
    return page


def figures_text(traffic: Traffic, scale: Scale, about: Mapping[str, str]) -> Iterator[str]:
    """All generated text."""
    yield from table(["", ""], [[key, value] for key, value in about.items()])
    yield "\n## Required and reached\n"
    rows = [[one.text, one.reached, MARK[one.is_met]] for one in requirements(traffic, scale)]
    yield from table(["required", "reached", "met"], rows)
    if traffic.measures:
        yield from _traffic_text(traffic)
    if scale.values or scale.worker_edit:
        yield from _scale_text(scale)
    notes = [*remarks(traffic), *scale.skipped]
    if notes:
        yield "\n## Remarks\n"
        yield from (f"- {note}" for note in notes)
    yield "\n## Servers\n"
    rows = [[KINDS[one].label, traffic.versions[one], f"`{traffic.commands.get(one, '')}`"] for one in traffic.versions]
    yield from table(["server", "version", "command"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _traffic_text(traffic: Traffic) -> Iterator[str]:
    rounds = len({one.round for one in traffic.measures})
    times = "One round" if rounds == 1 else f"Median of {rounds} rounds"
    yield (
        f"\n## CPU per answer, µs\n\n{times} of {traffic.seconds:g} s (least–most); user and system time of all of a "
        f"server's processes, divided by its answers. {traffic.names:,} names of each kind."
        f"\n\n![CPU per answer]({PLOT_FILE})\n"
    )
    yield from _by_mix(traffic, lambda server, mix: _cell(of(traffic, server, mix, lambda one: one.cpu_us), 2))
    yield (
        "\n## dnsd compared with the others: CPU per answer\n\n"
        "Each ratio compares figures of one round; below 1, dnsd needs less.\n"
    )
    compared = [one for one in COMPARED if one in traffic.versions]
    yield from _by_mix(
        traffic, lambda server, mix: _cell(ratio(traffic, ("dnsd", mix), (server, mix)), 2), compared, "dnsd ÷ …"
    )
    yield "\n## User time, µs per answer\n\nThe server's own part; the rest is the kernel's.\n"
    yield from _by_mix(traffic, lambda server, mix: _cell(of(traffic, server, mix, user_us), 1, spread=False))
    yield "\n## Answers per second\n"
    yield from _by_mix(traffic, lambda server, mix: _cell(of(traffic, server, mix, lambda one: one.rate), 0))


def user_us(one: Measure) -> float:
    """User time per answer: the ticks' share of the scheduler's total."""
    ticks = one.user_s + one.system_s
    return one.cpu_us * one.user_s / ticks if ticks else 0.0


def _by_mix(
    traffic: Traffic, cell: Callable[[str, str], str], servers: Sequence[str] = (), corner: str = "server"
) -> Iterator[str]:
    mixes = [mix for mix in MIXES if any(one.mix == mix.name for one in traffic.measures)]
    rows = [
        [KINDS[server].label, *(cell(server, mix.name) for mix in mixes)]
        for server in servers or [one for one in KINDS if one in traffic.versions]
    ]
    yield from table([corner, *(mix.label for mix in mixes)], rows)


def _cell(found: Figure | None, digits: int, *, spread: bool = True) -> str:
    if found is None:
        return ""
    return found.text(digits) if spread else f"{found.median:,.{digits}f}"


def _scale_text(scale: Scale) -> Iterator[str]:
    sizes = sorted({names for _, names, _ in scale.values})
    yield (
        "\n## Scale\n\nOne zone in one master file, one address per name; in dnsd, all are proxied, behind one map. "
        "Start: until the last name is answered. "
        "Memory: proportional set sizes of all processes, so shared pages count once. "
        "NSD and Knot start from the master file each time, and read it again when the addresses of all names change.\n"
    )
    digits = {START: 2, AGAIN: 2, RELOAD: 2, YAML: 2, MAP_EDIT: 0, WAIT: 1}
    rows = []
    for what in (START, YAML, AGAIN, MEMORY, FIRST, MORE, AFTER_RELOAD, RELOAD, MAP_EDIT, WAIT):
        for server in SERVERS:
            found = [figure(scale.values.get((server, names, what), [])) for names in sizes]
            if any(found):
                rows.append([what, KINDS[server].label, *(_cell(one, digits.get(what, 0)) or "–" for one in found)])
    yield from table(["", "server", *(f"{names:,} names" for names in sizes)], rows)
    for names, parts in sorted(scale.parts.items()):
        each = " + ".join(f"{part:,.0f}" for part in parts)
        yield f"\n{names:,} names, dnsd's memory: {each} MiB (supervisor, control, one worker)."
    if scale.worker_edit:
        yield "\nA map edit inside a worker, with 10,000 remembered replies:\n"
        edits = [
            [f"{names:,}", Figure(one["median"], one["least"], one["most"]).text()]
            for names, one in sorted(scale.worker_edit.items())
        ]
        yield from table(["names behind the map", "ms"], edits)


def plot_of(traffic: Traffic) -> str:
    """The plot of all mixes."""
    blocks = []
    for mix in MIXES:
        bars = []
        for server in PLOTTED:
            total, user = of(traffic, server, mix.name, lambda one: one.cpu_us), of(traffic, server, mix.name, user_us)
            if total and user:
                bars.append(Bar(server, KINDS[server].label, user.median, total.median, total.least, total.most))
        if bars:
            blocks.append((mix.name, bars))
    return plot(blocks, title="CPU per answer, µs: server on one core, load on another")
