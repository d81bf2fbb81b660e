"""A control's part in a fleet that can be seen: it sends beats, takes statuses, and keeps the table of edges."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial

from nats.aio.msg import Msg

from dnsd.errors import DnsdError
from dnsd.fleet.access import STATUSES
from dnsd.fleet.beat import BEAT
from dnsd.fleet.control_store import ControlStore
from dnsd.fleet.edge_record import EDGES_PREFIX, MAX_LABEL, MAX_RING, EdgeRecord, edge_subject, parse_edge_record
from dnsd.fleet.edge_table import JUDGED_S, MAX_EDGES, EdgeTable
from dnsd.fleet.link import Link, NoAnswerError
from dnsd.fleet.subjects import name_of
from dnsd.fleet.values import LaterValueError, ValueFormatError
from dnsd.manage.fleet_view import EdgeChange, EdgeView
from dnsd.manage.fleet_words import WAITED_S
from dnsd.manage.refusal import Reason, refused
from dnsd.model.fields import CONTROL_CHARACTERS
from dnsd.process.tasks import in_thread
from dnsd.store.port import Op

EACH_S = 1.0  # between two beats
ANSWERED_S = 10.0  # a control whose copy was whole this long ago is not ready
MAX_UNREAD = 2 * MAX_EDGES  # statuses that wait to be read; others are dropped
HEARD_S = 2.5  # in which each healthy edge has told something
MAX_UNREAD_OCTETS = 32 * 1024 * 1024


class ControlEdges:
    """The edges of a fleet, for a control; `manage/fleet_view.py` has its port."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store
        self._table = EdgeTable()
        self._unread = dict[str, str]()  # records that this version cannot read, with the reasons
        self._refreshing = asyncio.Lock()
        self._heard_from = time.monotonic()  # since when edges are heard

    async def run(self) -> None:
        """Send beats and take statuses, until cancelled."""
        while True:
            try:
                await self._over(await self._store.link())
            except (DnsdError, OSError):  # the follower says why
                await asyncio.sleep(EACH_S)

    async def _over(self, link: Link) -> None:
        """Work over one connection, until it has ended. Raises NoAnswerError, and OSError if records cannot be read."""
        statuses = await link.listen(STATUSES, self._take, messages=MAX_UNREAD, octets=MAX_UNREAD_OCTETS)
        self._heard_from = time.monotonic()
        try:
            while not link.is_closed:
                self._table.forget(time.monotonic())
                await self._refresh()
                follower = self._store.follower
                if follower and (beat := follower.beat()):
                    with suppress(NoAnswerError):  # it is being opened again
                        await link.publish(BEAT, beat.packed())
                await asyncio.sleep(EACH_S)
        finally:
            await link.unlisten(statuses)

    async def _take(self, message: Msg) -> None:
        if not message.reply and not message.headers:  # else an edge has aimed a consumer at it
            self._table.take(message.subject, message.data, time.monotonic())

    async def _refresh(self) -> None:
        """Read the records, if they have changed. Raises OSError."""
        async with self._refreshing:
            if not self._store.take_record_news():
                return
            try:
                values = await in_thread(partial(self._store.shared_values, EDGES_PREFIX))
            except BaseException:
                self._store.note_record_news()
                raise
            self._table.records, self._unread = _parsed(values)

    @property
    def _place(self) -> tuple[str, int]:
        """Epoch and number of this control's own copy."""
        follower = self._store.follower
        return follower.place if follower else ("", 0)

    @property
    def _written(self) -> tuple[str, int]:
        """The epoch of this control's own copy, and the last number that it has written in it."""
        epoch, _ = self._place
        return epoch, self._store.written.seq(epoch)

    def edges(self) -> list[EdgeView]:
        """All edges with a record or with news of the last seven days, by name."""
        return self._table.views(*self._place, time.monotonic())

    async def late(self) -> list[str]:
        """The healthy edges that do not serve yet what this control has written, after WAITED_S; empty if none."""
        end = time.monotonic() + WAITED_S
        while time.monotonic() < min(self._heard_from + HEARD_S, end):  # at first, an edge may not be known yet
            await asyncio.sleep(JUDGED_S)
        epoch, seq = self._written
        while not self._table.is_everywhere(epoch, seq, now := time.monotonic()):
            if now >= end:
                return self._table.late(epoch, seq, now)
            await asyncio.sleep(JUDGED_S)
        return []

    def after(self, name: str, change: EdgeChange) -> tuple[dict[str, object] | None, dict[str, object]]:
        """The record of an edge as plain data, now (None without one) and with a change. Raises RefusedError."""
        if name in self._unread:
            raise refused(Reason.INVALID, f"the record of the edge {name} cannot be changed: {self._unread[name]}")
        before = self._table.records.get(name)
        if before is None and not any(one.name == name for one in self.edges()):
            raise refused(Reason.NOT_FOUND, f"there is no edge {name}")
        after = _changed(before, change)
        return _data(before) if before else None, _data(after)

    async def change(self, name: str, change: EdgeChange, op: Op) -> None:
        """Write the record of an edge with a change, and its evidence. Raises RefusedError, OvertakenError, OSError."""

        def value(old: bytes | None) -> bytes:
            try:
                return _changed(parse_edge_record(old) if old is not None else None, change).packed()
            except (LaterValueError, ValueFormatError) as error:
                raise refused(Reason.INVALID, f"the record of the edge {name} cannot be changed: {error}") from None

        await self._store.write_shared(edge_subject(name), value, op)
        with suppress(OSError):  # the next beat reads them
            await self._refresh()

    def unready(self) -> list[str]:
        """The reasons why this control cannot take changes, for load balancers."""
        follower = self._store.follower
        whole_at = follower.whole_at if follower else None
        if whole_at is None:
            return ["the fleet's state has not come yet since the start"]
        if (age_s := time.monotonic() - whole_at) > ANSWERED_S:
            return [f"the fleet's servers do not answer, or have more than this control, for {age_s:.0f} s"]
        return []


def _changed(record: EdgeRecord | None, change: EdgeChange) -> EdgeRecord:
    """A record with a change; an edge whose papers are from the root folder gets its first one. Raises RefusedError."""
    if change.ring is not None and not 0 <= change.ring <= MAX_RING:
        raise refused(Reason.INVALID, f"a ring is a number from 0 to {MAX_RING}", "ring")
    if change.label is not None and (len(change.label) > MAX_LABEL or CONTROL_CHARACTERS.search(change.label)):
        raise refused(Reason.INVALID, f"a label has at most {MAX_LABEL} printable characters", "label")
    before = record or EdgeRecord("")
    return EdgeRecord(
        before.key,
        before.ring if change.ring is None else change.ring,
        before.label if change.label is None else change.label,
        before.is_drained if change.is_drained is None else change.is_drained,
    )


def _data(record: EdgeRecord) -> dict[str, object]:
    """A record for the audit log."""
    return {"ring": record.ring, "label": record.label, "drained": record.is_drained}


def _parsed(values: dict[str, bytes]) -> tuple[dict[str, EdgeRecord], dict[str, str]]:
    """The records by edge, and those that cannot be read, with the reasons."""
    records, unread = dict[str, EdgeRecord](), dict[str, str]()
    for subject, value in values.items():
        try:
            name = name_of(subject.removeprefix(EDGES_PREFIX))
        except ValueError:  # of a later version
            continue
        try:
            records[name] = parse_edge_record(value)
        except (LaterValueError, ValueFormatError) as error:
            unread[name] = str(error)
    return records, unread
