"""What an edge tells the controls of its fleet, and what their operator has said of it."""

from __future__ import annotations

import time

from dnsd import __version__
from dnsd.errors import DnsdError
from dnsd.fleet.access import status_subject
from dnsd.fleet.edge_record import EdgeRecord, edge_subject, parse_edge_record
from dnsd.fleet.edge_status import EdgeStatus
from dnsd.fleet.store import FleetStore
from dnsd.fleet.values import LaterValueError, ValueFormatError
from dnsd.manage.fleet_view import ServingState

RATED_S = 5.0  # for which answers are counted


class LagClock:
    """Since when an edge has not served what the fleet has; an edge that serves each change in turn does not lag."""

    def __init__(self) -> None:
        self._goal = 0  # what the fleet had when the lag began
        self._since: float | None = None

    def seconds(self, served: int, newest: int, now: float) -> float:
        """The lag at `now`, in monotonic seconds, by the numbers of what is served and what the fleet has."""
        if self._since is None or served >= self._goal:
            self._goal, self._since = newest, now if newest > served else None
        return 0.0 if self._since is None else now - self._since


class EdgePresence:
    """Sends statuses, and knows the edge's own record."""

    def __init__(self, store: FleetStore) -> None:
        self._store = store
        self._boot = time.time_ns()
        self._number = 0
        self._lag = LagClock()
        self._epoch = ""  # of the state that was served at the last status
        self._rate = 0.0
        self._rated: tuple[float, int] | None = None  # when answers were counted last, and how many there were
        self._record: EdgeRecord | None = None

    @property
    def is_drained(self) -> bool:
        """Whether the operator has drained this edge."""
        return self._record is not None and self._record.is_drained

    async def tell(self, state: ServingState) -> None:
        """Read the edge's record, and send a status, if there is a connection."""
        if (name := self._store.node_name) is None:
            return
        self._read_record(name)
        try:
            link = await self._store.link()
            await link.publish(status_subject(name), self._status(state, time.monotonic()).packed())
        except (DnsdError, OSError):  # the follower says why
            return

    def _read_record(self, name: str) -> None:
        try:
            value = self._store.shared_value(edge_subject(name))
            self._record = parse_edge_record(value) if value is not None else None
        except (LaterValueError, ValueFormatError, OSError):
            return  # the last one stays

    def _status(self, state: ServingState, now: float) -> EdgeStatus:
        self._number += 1
        follower, record = self._store.follower, self._record
        if state.epoch != self._epoch:  # numbers begin anew
            self._epoch, self._lag = state.epoch, LagClock()
        newest = follower.newest if follower else 0
        return EdgeStatus(
            boot=self._boot,
            number=self._number,
            epoch=state.epoch,
            seq=state.seq,
            revision=state.revision,
            lag_s=self._lag.seconds(state.seq, newest, now),
            version=__version__,
            ring=record.ring if record else 0,
            is_drained=self.is_drained,
            zones=state.zones,
            rate=self._rate_at(state.responses, now),
            held=tuple(state.held),
            held_total=len(state.held),
            problems=tuple(state.problems),
        )

    def _rate_at(self, responses: int, now: float) -> float:
        """Answers a second, of the last RATED_S."""
        at, before = self._rated or (now, responses)
        if self._rated is None or now - at >= RATED_S:
            self._rate = max(0, responses - before) / (now - at) if now > at else 0.0
            self._rated = now, responses
        return self._rate
