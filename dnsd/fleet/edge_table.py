"""The edges of a fleet as a control knows them: their records, and the newest status of each. Pure; times are given.

Statuses come from edges, perhaps in an attacker's hands. The table is bounded, an edge costs little however much it
sends, and what is not a status is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

from dnsd.fleet.access import NODE_NAME
from dnsd.fleet.edge_record import EdgeRecord
from dnsd.fleet.edge_status import EdgeStatus, parse_status
from dnsd.fleet.values import LaterValueError, ValueFormatError
from dnsd.manage.fleet_view import EdgeState, EdgeView

MAX_EDGES = 10_000
SPACING_S = 0.1  # an edge's statuses that come faster are passed over
SILENT_S = 5.0
LAGS_S = 2.0  # a shorter lag is the way of a change
KEPT_S = 7 * 86400.0
RESTARTED_S = 3.0  # a process whose clock went back is believed after this silence
JUDGED_S = 0.02  # for which the lowest number of all edges is kept
TOKENS = 4  # of a subject `dnsd.edge.NAME.status`


@dataclass(slots=True)
class SeenEdge:
    """The newest status of an edge, and its time on the monotonic clock."""

    status: EdgeStatus
    at: float


class EdgeTable:
    """The edges of a fleet."""

    def __init__(self) -> None:
        self.records: Mapping[str, EdgeRecord] = {}  # by name
        self._seen: dict[str, SeenEdge] = {}
        self._tried: dict[str, float] = {}  # when the last status of an edge was looked at
        self._judged = ("", -1.0, 0)  # an epoch, a time, and the lowest number of all healthy edges then

    def __len__(self) -> int:
        return len(self._seen)

    def take(self, subject: str, data: bytes, now: float) -> bool:
        """Take a status, and return whether it is news; `now` is in monotonic seconds."""
        tokens = subject.split(".")
        if len(tokens) != TOKENS or not NODE_NAME.fullmatch(name := tokens[2]):
            return False
        if now - self._tried.get(name, -SPACING_S) < SPACING_S or not self._has_room(name):
            return False
        self._tried[name] = now
        try:
            status = parse_status(data)
        except (ValueFormatError, LaterValueError):
            return False
        seen = self._seen.get(name)
        if seen and not _is_newer(status, seen, now):
            return False
        self._seen[name] = SeenEdge(status, now)
        return True

    def _has_room(self, name: str) -> bool:
        return name in self._tried or len(self._tried) < MAX_EDGES

    def forget(self, now: float) -> None:
        """Drop the edges that have told nothing for long; those with a record stay listed by that."""
        for name in [name for name, at in self._tried.items() if now - at > KEPT_S]:
            del self._tried[name]
            self._seen.pop(name, None)

    def views(self, epoch: str, seq: int, now: float) -> list[EdgeView]:
        """All edges by name, as a control sees them whose own copy has this epoch and number."""
        names = {*self.records, *self._seen}
        found = [self._view(name, epoch, seq, now) for name in names]
        return sorted(found, key=attrgetter("name"))

    def is_everywhere(self, epoch: str, seq: int, now: float) -> bool:
        """Whether all healthy edges serve this number of the state; the verdict may be JUDGED_S old."""
        judged_epoch, at, lowest = self._judged
        if judged_epoch != epoch or now - at >= JUDGED_S:
            lowest = min((served for _, served in self._healthy(epoch, now)), default=seq)
            self._judged = epoch, now, lowest
        return lowest >= seq

    def late(self, epoch: str, seq: int, now: float) -> list[str]:
        """The names of healthy edges that do not serve this number of the state yet."""
        return sorted(name for name, served in self._healthy(epoch, now) if served < seq)

    def _healthy(self, epoch: str, now: float) -> Iterator[tuple[str, int]]:
        """The edges with news that are not drained, with the number that each serves; -1 of another epoch."""
        for name, seen in self._seen.items():
            if now - seen.at <= SILENT_S and not self._is_drained(name, seen.status):
                yield name, seen.status.seq if seen.status.epoch == epoch else -1

    def _is_drained(self, name: str, status: EdgeStatus) -> bool:
        record = self.records.get(name)
        return record.is_drained if record else status.is_drained

    def _view(self, name: str, epoch: str, seq: int, now: float) -> EdgeView:
        record, seen = self.records.get(name), self._seen.get(name)
        status = seen.status if seen else None
        said = record or EdgeRecord("")
        if seen is None or status is None:
            return EdgeView(name, EdgeState.SILENT, said.ring, said.label, said.is_drained, True, None)
        silence_s = now - seen.at
        lacks = status.epoch != epoch or status.seq < seq
        lag_s = (status.lag_s + (silence_s if silence_s > SILENT_S else 0.0)) if lacks else 0.0
        is_drained = self._is_drained(name, status)
        return EdgeView(
            name=name,
            state=_state(status, silence_s=silence_s, lag_s=lag_s, is_drained=is_drained),
            ring=said.ring if record else status.ring,
            label=said.label,
            is_drained=is_drained,
            is_recorded=record is not None,
            silence_s=silence_s,
            seq=status.seq,
            revision=status.revision,
            lag_s=lag_s,
            version=status.version,
            zones=status.zones,
            rate=status.rate,
            held=status.held,
            held_total=status.held_total,
            problems=status.problems,
        )


def _is_newer(status: EdgeStatus, seen: SeenEdge, now: float) -> bool:
    """Whether a status is newer than the one before: copies may arrive late and several times."""
    if (status.boot, status.number) > (seen.status.boot, seen.status.number):
        return True
    return status.boot != seen.status.boot and now - seen.at > RESTARTED_S


def _state(status: EdgeStatus, *, silence_s: float, lag_s: float, is_drained: bool) -> EdgeState:
    if silence_s > SILENT_S:
        return EdgeState.SILENT
    if is_drained:
        return EdgeState.DRAINED
    if lag_s > LAGS_S:
        return EdgeState.LAGGING
    return EdgeState.PROBLEMS if status.problems or status.held_total else EdgeState.OK
