"""Recent traffic: a ring of samples, for plots. No clock and no I/O: the owner of the counters adds the samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dnsd.metrics import Key

SAMPLE_S = 10.0  # from one sample to the next
KEPT = 360  # samples: an hour
MAX_NAMED = 200  # zones or maps of one sample; the busiest are kept

# For each kind of series: its metric, and the index in the metric's key of the label to count by; None: one series.
QUERIES, RCODES, MAPS, ZONES = "queries", "rcodes", "maps", "zones"
SERIES: Mapping[str, tuple[str, int | None]] = {
    QUERIES: ("dnsd_requests_total", None),
    RCODES: ("dnsd_responses_total", 2),
    MAPS: ("dnsd_edge_answers_total", 2),
    ZONES: ("dnsd_zone_requests_total", 1),
}
OF_METRIC = {metric: (name, place) for name, (metric, place) in SERIES.items()}


@dataclass(frozen=True, slots=True)
class Sample:
    """The counts of a few seconds, by series and label: `rcodes` by `NOERROR`, `maps` by key, `zones` by name."""

    at: float  # the end; seconds since 1970
    seconds: float
    counts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


class Traffic:
    """The samples of the last hour, oldest first."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=KEPT)
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
            counts = {name: _largest(_grown(totals[name], self._totals[name])) for name in SERIES}
            self.samples.append(Sample(at, seconds, counts))
        self._totals = totals


def _grown(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    grown = {label: value - before.get(label, 0) for label, value in now.items()}
    return {label: value for label, value in grown.items() if value > 0}


def _largest(counts: dict[str, float]) -> dict[str, float]:
    if len(counts) <= MAX_NAMED:
        return counts
    return dict(sorted(counts.items(), key=lambda pair: -pair[1])[:MAX_NAMED])
