"""The figures of bench.fleet: their names, the sizes of what is measured, and how a step notes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.progress import Progress

(
    CHANGE,
    WIRE,
    SLOW_CHANGE,
    SLOW_WIRE,
    OUTAGE,
    AFTER_LEADER,
    AWAY,
    AFTER_AWAY,
    ASKED,
    FAILED,
    FRESH,
    AGAIN,
    ALONE,
    ALONE_AGAIN,
    MEMORY,
    ALONE_MEMORY,
    RECORD,
    RECORD_WIRE,
    OCTETS,
    SERVERS_CPU,
    LAG,
    LATE,
    LATEST,
    LOST,
) = (
    "a change over the API until its 200, ms",
    "from the 200 to the changed answer of every edge, ms",
    "servers 300 ms away: a change over the API until its 200, ms",
    "servers 300 ms away: from the 200 to the changed answer of every edge, ms",
    "leader killed: until the API takes a change, s",
    "leader killed: from that 200 to the changed answer of every edge, s",
    "all servers away, s",
    "servers back: from the first 200 to the changed answer of every edge, s",
    "queries asked meanwhile",
    "queries without an answer",
    "fresh edge, from its start to its answer, s",
    "edge with its copy, from its start to its answer, s",
    "standalone, first start, s",
    "standalone, second start, s",
    "memory of the edge, MiB",
    "memory of the standalone server, MiB",
    "one record: from the request to the answer of the edge, ms",
    "one record: from the 200 to the answer of the edge, ms",
    "one record: octets from servers to the edge",
    "CPU of all servers, s",
    "from a change's acknowledgement to a follower's copy, half of all within, ms",
    "from a change's acknowledgement to a follower's copy, 99 % within, ms",
    "from a change's acknowledgement to a follower's copy, the longest, ms",
    "followers without the last change",
)
ZONES, NAMES, FOLLOWERS, EDGES = "zones", "names", "followers", "edges"  # steps

Note = Callable[[str, float], None]  # takes a figure and a value of it


def percentile(values: Sequence[float], percent: int) -> float:
    """The least of the values that this many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


@dataclass(frozen=True)
class FleetSizes:
    """How much is measured."""

    zones: int = 100_000
    names: int = 1_000_000
    edges: int = 3
    changes: int = 200
    slow_changes: int = 50
    followers: int = 100
    simulated: int = 500  # edges that only follow
    away_s: float = 60.0
    delay_s: float = 0.15  # in each direction, between servers and others

    def of(self, step: str) -> int:
        """The size of a step."""
        return {ZONES: self.zones, NAMES: self.names, FOLLOWERS: self.followers, EDGES: self.simulated}[step]


@dataclass(frozen=True)
class FleetStep:
    """What a step gets: the sizes, an empty folder, and where to note figures."""

    sizes: FleetSizes
    folder: Path
    note: Note
    progress: Progress
