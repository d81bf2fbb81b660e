"""Traffic over time: rings of samples for an hour, a day and a week. No clock and no I/O.

The owner of the counters adds the samples, and `traffic_files.py` keeps them over restarts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dnsd.metrics import Key

SAMPLE_S = 10.0  # from one sample to the next
MAX_NAMED = 100  # zones or maps of one sample; the busiest are kept

# For each kind of series: its metric, and the index in the metric's key of the label to count by; None: one series.
QUERIES, RCODES, MAPS, ZONES = "queries", "rcodes", "maps", "zones"
SERIES: Mapping[str, tuple[str, int | None]] = {
    QUERIES: ("dnsd_requests_total", None),
    RCODES: ("dnsd_responses_total", 2),
    MAPS: ("dnsd_edge_answers_total", 2),
    ZONES: ("dnsd_zone_requests_total", 1),
}
OF_METRIC = {metric: (name, place) for name, (metric, place) in SERIES.items()}


class TimeRange(StrEnum):
    """The time from now back that a ring covers."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


@dataclass(frozen=True, slots=True)
class RingSize:
    """The bounds of a ring."""

    step_s: float  # of one sample
    kept: int  # samples

    @property
    def covered_s(self) -> float:
        """The time that the ring covers."""
        return self.step_s * self.kept


SIZES: Mapping[TimeRange, RingSize] = {
    TimeRange.HOUR: RingSize(SAMPLE_S, 360),
    TimeRange.DAY: RingSize(300, 288),
    TimeRange.WEEK: RingSize(1_800, 336),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """The counts of a time, by series and label: `rcodes` by `NOERROR`, `maps` by key, `zones` by name."""

    at: float  # the end; seconds since 1970
    seconds: float
    counts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


class Ring:
    """The samples of one range, oldest first. The last one grows until its step has passed."""

    def __init__(self, size: RingSize) -> None:
        self.size = size
        self.samples: deque[Sample] = deque(maxlen=size.kept)

    def add(self, sample: Sample) -> None:
        """Add a sample. Samples that are later drop out: the clock was set back."""
        kept = self.samples
        while kept and kept[-1].at > sample.at:
            kept.pop()
        while kept and kept[0].at <= sample.at - self.size.covered_s:
            kept.popleft()
        if kept and kept[-1].at // self.size.step_s == sample.at // self.size.step_s:
            sample = _merged(kept.pop(), sample)
        kept.append(_bounded(sample))


class Traffic:
    """A ring for each range."""

    def __init__(self) -> None:
        self.rings = {one: Ring(size) for one, size in SIZES.items()}
        self._totals: dict[str, dict[str, float]] | None = None

    def add(self, counted: Iterable[tuple[Key, float]], at: float, seconds: float) -> None:
        """Add a sample: the growth of the totals `counted` since the last call. The first call only remembers them."""
        totals: dict[str, dict[str, float]] = {name: {} for name in SERIES}
        for key, value in counted:
            if key[0] in OF_METRIC:
                name, place = OF_METRIC[key[0]]
                label = "" if place is None else key[place]
                totals[name][label] = totals[name].get(label, 0) + value
        if self._totals is not None:
            sample = Sample(at, seconds, {name: _grown(totals[name], self._totals[name]) for name in SERIES})
            for ring in self.rings.values():
                ring.add(sample)
        self._totals = totals

    def by_zone(self) -> dict[str, float]:
        """The queries of the last hour, by the name of their zone."""
        found: dict[str, float] = {}
        for sample in self.rings[TimeRange.HOUR].samples:
            for zone, count in sample.counts.get(ZONES, {}).items():
                found[zone] = found.get(zone, 0) + count
        return found


def _grown(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    grown = {label: value - before.get(label, 0) for label, value in now.items()}
    return {label: value for label, value in grown.items() if value > 0}


def _merged(earlier: Sample, later: Sample) -> Sample:
    counts = {name: dict(labels) for name, labels in earlier.counts.items()}
    for name, labels in later.counts.items():
        into = counts.setdefault(name, {})
        for label, count in labels.items():
            into[label] = into.get(label, 0) + count
    return Sample(later.at, earlier.seconds + later.seconds, counts)


def _bounded(sample: Sample) -> Sample:
    if all(len(labels) <= MAX_NAMED for labels in sample.counts.values()):
        return sample
    counts = {
        name: dict(sorted(labels.items(), key=lambda pair: -pair[1])[:MAX_NAMED])
        for name, labels in sample.counts.items()
    }
    return Sample(sample.at, sample.seconds, counts)
