"""Plots as SVG: series over the last hour, drawn on the server. The style sheet has the colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10

from dnsd.manage.traffic import Sample

WIDTH, HEIGHT = 720, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 24
MAX_SERIES = 6  # the others are summed up
OTHERS = "others"
HOUR_S = 3600.0
TICKS = 4


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a plot."""

    label: str
    number: int  # selects its colour
    points: str  # of an SVG polyline
    last: float  # per second
    mean: float


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot, ready to be drawn."""

    title: str
    series: tuple[Series, ...]
    y_ticks: tuple[tuple[float, str], ...]  # position and label
    x_ticks: tuple[tuple[float, str], ...]
    summary: str  # for screen readers

    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def plot_of(title: str, samples: Sequence[Sample], rates: Sequence[Mapping[str, float]]) -> Plot:
    """A plot of rates per second; `rates` maps labels to rates for each sample."""
    labels = _labels(rates)
    lines = [(label, [_rate(one, label, labels) for one in rates]) for label in labels]
    top = _round_up(max((value for _, values in lines for value in values), default=0))
    end = samples[-1].at if samples else 0.0
    xs = [_x(end - one.at) for one in samples]
    series = tuple(
        Series(
            label=label,
            number=number,
            points=" ".join(f"{x:.1f},{_y(value, top):.1f}" for x, value in zip(xs, values, strict=True)),
            last=values[-1],
            mean=sum(values) / len(values),
        )
        for number, (label, values) in enumerate(lines)
    )
    ticks = [top * number / TICKS for number in range(TICKS + 1)]
    return Plot(
        title=title,
        series=series,
        y_ticks=tuple((_y(value, top), _short(value)) for value in ticks),
        x_ticks=tuple((_x(m * 60), "now" if not m else f"−{m} min") for m in (60, 45, 30, 15, 0)),
        summary="; ".join(
            f"{one.label}: {_short(one.last)} a second now, {_short(one.mean)} on average" for one in series
        )
        or "no queries in the last hour",
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


def _x(ago_s: float) -> float:
    return WIDTH - RIGHT - (WIDTH - LEFT - RIGHT) * min(ago_s, HOUR_S) / HOUR_S


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / top if top else 0)


def _round_up(value: float) -> float:
    """The next round number."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return float(next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value))


def _short(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
