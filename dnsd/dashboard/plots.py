"""Plots as SVG: stacked areas over an hour, a day or a week, drawn on the server. The style sheet has the colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10

from dnsd.manage.traffic import Ring, Sample, TimeRange

WIDTH, HEIGHT = 360.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 38.0, 6.0, 14.0, 20.0
MAX_SERIES = 6  # the others are summed up
OTHERS = "others"
GAP_STEPS = 3  # without a sample, such as during a restart; the areas are interrupted there
TIMES: Mapping[TimeRange, tuple[str, str]] = {
    TimeRange.HOUR: ("−60 min", "−30 min"),
    TimeRange.DAY: ("−24 h", "−12 h"),
    TimeRange.WEEK: ("−7 days", "−3½ days"),
}


@dataclass(frozen=True, slots=True)
class Series:
    """One area of a plot."""

    label: str
    number: int  # selects its colour
    area: str  # of an SVG path
    last: float  # per second
    mean: float


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot, ready to be drawn."""

    title: str
    series: tuple[Series, ...]  # from the bottom to the top
    y_ticks: tuple[tuple[float, str], ...]  # position and label
    x_ticks: tuple[tuple[float, str, str], ...]  # with the anchor
    summary: str  # for screen readers

    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    bottom: float = HEIGHT - BOTTOM


def plot_of(title: str, time_range: TimeRange, ring: Ring, rates: Sequence[Mapping[str, float]]) -> Plot:
    """A plot of rates per second; `rates` maps labels to rates for each sample of the ring."""
    samples = list(ring.samples)
    labels = _labels(rates)
    values = [[_rate(one, label, labels) for one in rates] for label in labels]
    sums = [0.0] * len(samples)
    top = _round_up(max((sum(column) for column in zip(*values, strict=True)), default=0))
    runs = list(_runs(samples, ring.size.step_s))
    xs = [_x(samples[-1].at - one.at, ring.size.covered_s) for one in samples]
    series = []
    for number, (label, rate) in enumerate(zip(labels, values, strict=True)):
        below, sums = sums, [one + other for one, other in zip(sums, rate, strict=True)]
        area = " ".join(_area(run, xs, below, sums, top) for run in runs)
        series.append(Series(label, number, area, rate[-1], _mean(samples, rate)))
    first, middle = TIMES[time_range]
    return Plot(
        title=title,
        series=tuple(series),
        y_ticks=tuple((_y(value, top), short(value)) for value in (0.0, top / 2, top)),
        x_ticks=((LEFT, first, "start"), ((LEFT + WIDTH - RIGHT) / 2, middle, "middle"), (WIDTH - RIGHT, "now", "end")),
        summary="; ".join(
            f"{one.label}: {short(one.last)} a second now, {short(one.mean)} on average" for one in series
        )
        or f"no queries in the last {time_range}",
    )


def rates_of(samples: Iterable[Sample], series: str, names: Mapping[str, str] | None = None) -> list[dict[str, float]]:
    """The rates per second of a series by label; with `names`, only its labels, under these names."""
    rates = []
    for sample in samples:
        found: dict[str, float] = {}
        for label, count in sample.counts[series].items():
            name = label if names is None else names.get(label)
            if name is not None:
                found[name] = found.get(name, 0) + count / sample.seconds
        rates.append(found)
    return rates


def short(value: float) -> str:
    """A number in few letters."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= 10 * size:
            return f"{value / size:,.0f}{unit}"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _mean(samples: Sequence[Sample], rates: Sequence[float]) -> float:
    seconds = sum(one.seconds for one in samples)
    return sum(rate * one.seconds for rate, one in zip(rates, samples, strict=True)) / seconds


def _runs(samples: Sequence[Sample], step_s: float) -> Iterator[range]:
    """The positions of samples that follow each other without a gap."""
    start = 0
    for place in range(1, len(samples)):
        if samples[place].at - samples[place - 1].at > GAP_STEPS * step_s:
            yield range(start, place)
            start = place
    if samples:
        yield range(start, len(samples))


def _area(run: range, xs: Sequence[float], below: Sequence[float], above: Sequence[float], top: float) -> str:
    """The data of an SVG path between two lines; a sample on its own is a unit wide."""
    there = [(xs[place], above[place]) for place in run]
    back = [(xs[place], below[place]) for place in reversed(run)]
    if len(run) == 1:
        there = [(there[0][0] - 1, there[0][1]), *there]
        back = [*back, (back[0][0] - 1, back[0][1])]
    return "M" + " ".join(f"{x:.1f},{_y(value, top):.1f}" for x, value in (*there, *back)) + "Z"


def _labels(rates: Sequence[Mapping[str, float]]) -> list[str]:
    """The labels with the highest totals, in descending order; all others as one."""
    totals: dict[str, float] = {}
    for one in rates:
        for label, value in one.items():
            totals[label] = totals.get(label, 0) + value
    labels = sorted(totals, key=lambda label: -totals[label])
    return labels if len(labels) <= MAX_SERIES else [*labels[: MAX_SERIES - 1], OTHERS]


def _rate(rates: Mapping[str, float], label: str, labels: Sequence[str]) -> float:
    if label == OTHERS and OTHERS not in rates:
        return sum(value for one, value in rates.items() if one not in labels)
    return rates.get(label, 0.0)


def _x(ago_s: float, covered_s: float) -> float:
    return WIDTH - RIGHT - (WIDTH - LEFT - RIGHT) * min(ago_s, covered_s) / covered_s


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / top if top else 0)


def _round_up(value: float) -> float:
    """The next round number."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return float(next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value))
