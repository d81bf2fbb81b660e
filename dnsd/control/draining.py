"""Keeps the drains: notes them before a change is published, and when the last worker has it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from dnsd.app import Loaded
from dnsd.compile.drained import drained
from dnsd.compile.moves import moves
from dnsd.control.publish import Publisher
from dnsd.engine.snapshot import Snapshot
from dnsd.log import Log
from dnsd.manage.audit import AuditLog
from dnsd.manage.audit_entries import Entry, Outcome
from dnsd.manage.drain_files import DrainFiles
from dnsd.manage.drains import MAX_ADDRESSES, Drain, DrainBook
from dnsd.model.maps import AddressMap
from dnsd.process.tasks import in_thread


class DrainKeeper:
    """The drains of all maps, in memory and on disk."""

    def __init__(self, state: Path, publisher: Publisher, log: Log) -> None:
        self.book = DrainBook()
        self._files = DrainFiles(state)
        self._publisher = publisher
        self._log = log
        self._is_switching = asyncio.Event()
        self._turn = asyncio.Lock()  # for the book and its file

    async def load(self) -> None:
        """Read the drains of earlier processes."""
        self.book = (await in_thread(self._files.load)).restarted()
        self._report()
        self._look()

    async def note(self, old: Snapshot, before: Loaded | None, after: Loaded, revision: int) -> None:
        """Note the addresses that the change from `old` to `after` drains.

        To be called before the change is published, as a kill may follow. `before` is the data of `old`,
        None if it came from the snapshot file.
        """
        found = await in_thread(partial(_found, old, before, after, revision, time.time()))
        if found:
            async with self._turn:
                known = set(map(_essence, self.book)) if before is None else set()  # noted before a kill
                added = [one for one in found if _essence(one) not in known]
                await self._keep(self.book.with_drains(added, time.time()))
            self._look()

    async def watch(self, audit: AuditLog) -> None:
        """Note when the last worker has a change, forever."""
        while True:
            await self._is_switching.wait()
            revision = self._publisher.revision
            await self._publisher.wait_until_served(revision)
            async with self._turn:
                book, done = self.book.served(revision, time.time())
                await self._keep(book)
            for one in done:
                self._log.info(f"{one.map_key}: {_words(one)}")
            if done and (problem := await in_thread(partial(audit.append, *map(_entry, done)))):
                self._log.error(problem)
            self._look()

    def _look(self) -> None:
        if self.book.is_switching:
            self._is_switching.set()
        else:
            self._is_switching.clear()

    async def _keep(self, book: DrainBook) -> None:
        """Take a new book: first on disk, so that a process after a kill knows every time that was shown."""
        await in_thread(partial(self._files.save, book, book.changed_accounts(self.book)))
        self.book = book
        self._report()

    def _report(self) -> None:
        if self._files.problem:
            self._log.error(self._files.problem)


def _found(old: Snapshot, before: Loaded | None, after: Loaded, revision: int, now: float) -> list[Drain]:
    if old is after.snapshot:
        return []
    found = []
    for one in drained(old, after.snapshot, moves(old, after.snapshot)):
        address_map = _map_of(one.map, before, after)
        if address_map is not None:
            addresses = tuple(str(ip) for ip in sorted(one.addresses, key=lambda ip: (ip.version, int(ip))))
            ids = address_map.id, one.map, address_map.account_id
            found.append(Drain(*ids, addresses[:MAX_ADDRESSES], one.names_total, one.ttl_s, revision, now))
    return found


def _map_of(key: str, *both: Loaded | None) -> AddressMap | None:
    known: Iterable[AddressMap | None] = (one.stored.maps.get(key) for one in both if one)
    return next(filter(None, known), None)


def _essence(drain: Drain) -> tuple[object, ...]:
    return drain.map_id, drain.addresses, drain.names_total


def _words(drain: Drain) -> str:
    names = f"{drain.names_total:,} name{'' if drain.names_total == 1 else 's'}"
    at = datetime.fromtimestamp(drain.forgotten_at or 0, UTC)
    return f"{names} moved off {', '.join(drain.addresses)}; the last cache forgets it at {at:%Y-%m-%d %H:%M:%S} UTC"


def _entry(drain: Drain) -> Entry:
    return Entry(
        at=datetime.now(UTC),
        token=None,
        client="",
        action="map.drain",
        object=drain.map_key,
        account_id=drain.account_id,
        outcome=Outcome.OK,
        revision=drain.revision or None,
        message=_words(drain),
    )
