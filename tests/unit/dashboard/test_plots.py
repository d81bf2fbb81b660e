"""Plots: areas that do not cover each other, labels inside of the picture, gaps, and ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest

from dnsd.dashboard.plots import BOTTOM, HEIGHT, LEFT, MAX_SERIES, RIGHT, TOP, WIDTH, plot_of, rates_of, short
from dnsd.manage.traffic import RCODES, SIZES, ZONES, Ring, Sample, TimeRange

POINT = re.compile(r"(-?[\d.]+),(-?[\d.]+)")
START = 1_700_000_000.0


def ring(counts: Sequence[Mapping[str, float]], *, time_range: TimeRange = TimeRange.HOUR, gap_after: int = -1) -> Ring:
    size = SIZES[time_range]
    made, at = Ring(size), START
    for number, one in enumerate(counts):
        made.add(Sample(at, size.step_s, {RCODES: one, ZONES: {}}))
        at += size.step_s * (20 if number == gap_after else 1)
    return made


def points(area: str) -> list[list[tuple[float, float]]]:
    """The points of each part of an area."""
    return [[(float(x), float(y)) for x, y in POINT.findall(part)] for part in area.split("Z") if part]


def drawn(made: Ring, time_range: TimeRange = TimeRange.HOUR) -> list[list[list[tuple[float, float]]]]:
    return [points(one.area) for one in plot_of("T", time_range, made, rates_of(made.samples, RCODES)).series]


def test_areas_stand_on_each_other() -> None:
    """Three series of the same height would be one line otherwise."""
    areas = drawn(ring([{"a": 100.0, "b": 100.0, "c": 100.0}] * 5))
    floor = [HEIGHT - BOTTOM] * 5
    for (area,) in areas:
        upper, lower = area[:5], area[:4:-1]
        assert [x for x, _ in upper] == [x for x, _ in lower]
        assert [y for _, y in lower] == floor
        floor = [y for _, y in upper]
    assert min(floor) >= TOP


@pytest.mark.parametrize("time_range", list(TimeRange))
@pytest.mark.parametrize("total", [0.0, 0.003, 1.0, 8.9, 4_000.0, 123_456_789.0])
def test_all_is_inside_of_the_picture(time_range: TimeRange, total: float) -> None:
    """Labels of 11 units above a tick need 8 units of room: the upper halves of digits were cut off."""
    made = ring([{"a": total * SIZES[time_range].step_s}] * 9, time_range=time_range)
    plot = plot_of("T", time_range, made, rates_of(made.samples, RCODES))
    assert all(y - 4 >= 8 and y <= HEIGHT - BOTTOM for y, _ in plot.y_ticks)
    assert all(len(text) <= 6 for _, text in plot.y_ticks)
    assert [anchor for _, _, anchor in plot.x_ticks] == ["start", "middle", "end"]
    assert [plot.x_ticks[0][0], plot.x_ticks[-1][0]] == [LEFT, WIDTH - RIGHT]
    for x, y in points(plot.series[0].area)[0]:
        assert LEFT <= x <= WIDTH - RIGHT
        assert TOP <= y <= HEIGHT - BOTTOM


@pytest.mark.parametrize("gap_after", [0, 3, 7])
def test_time_without_samples_is_a_gap(gap_after: int) -> None:
    parts = drawn(ring([{"a": 5.0}] * 9, gap_after=gap_after))[0]
    assert len(parts) == 2
    assert min(x for x, _ in parts[1]) - max(x for x, _ in parts[0]) > 10


def test_many_series_become_one() -> None:
    made = ring([{f"z{number}": 100.0 - number for number in range(50)}] * 3)
    plot = plot_of("T", TimeRange.HOUR, made, rates_of(made.samples, RCODES))
    assert [one.label for one in plot.series] == ["z0", "z1", "z2", "z3", "z4", "others"]
    assert len(plot.series) == MAX_SERIES
    assert sum(one.last for one in plot.series) == pytest.approx(sum(100.0 - n for n in range(50)) / 10)


def test_rates_have_the_names_given() -> None:
    samples = [Sample(START, 10, {RCODES: {"x": 20.0, "y": 30.0, "z": 1.0}})]
    assert rates_of(samples, RCODES, {"x": "One", "y": "One"}) == [{"One": 5.0}]


@pytest.mark.parametrize("time_range", list(TimeRange))
def test_plot_without_samples_says_so(time_range: TimeRange) -> None:
    plot = plot_of("T", time_range, Ring(SIZES[time_range]), [])
    assert (plot.series, plot.summary) == ((), f"no queries in the last {time_range}")


def test_average_is_weighted_by_time() -> None:
    made = Ring(SIZES[TimeRange.DAY])
    made.samples.extend([Sample(START, 300, {RCODES: {"a": 300.0}}), Sample(START + 300, 100, {RCODES: {"a": 500.0}})])
    (series,) = plot_of("T", TimeRange.DAY, made, rates_of(made.samples, RCODES)).series
    assert (series.last, series.mean) == (5.0, 2.0)


SHORT = [(0, "0"), (0.004, "0.004"), (1.5, "1.5"), (12, "12"), (9_999, "9,999"), (12_345, "12k"), (4e7, "40M")]


@pytest.mark.parametrize(("value", "text"), SHORT)
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text
