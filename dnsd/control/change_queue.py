"""Changes on request: applied to the loaded data, written durably and published, many at a time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from dnsd.api.turns import planned_by
from dnsd.app import Loaded
from dnsd.control.brake import Brake
from dnsd.control.current import Current
from dnsd.control.guarded import UnsettledError
from dnsd.control.loading import Loader
from dnsd.control.publish import Publisher
from dnsd.control.waiting import WaitingChange, WaitingChanges
from dnsd.errors import LongChangeError
from dnsd.log import Log
from dnsd.manage.change import (
    Changed,
    Drawn,
    DrawnUp,
    Make,
    MovedOnError,
    Pace,
    draw_up,
    large_files,
    testified,
)
from dnsd.manage.refusal import Reason, refused
from dnsd.model.contents import forget_contents
from dnsd.process.memory import trim
from dnsd.process.snapshot_file import BegunTable
from dnsd.process.tasks import in_thread
from dnsd.store.files_edit import FilesEdit
from dnsd.store.port import Op, OvertakenError, StaleError, Store, StoreAwayError

T = TypeVar("T")

AGAIN = (MovedOnError, LongChangeError)  # outcomes of changes that have to be drawn up again
TRIES = 3  # attempts at a change while files are being edited
OVERTAKEN_TRIES = 15  # while other servers write the same accounts: each time, it wins less often than it loses
SAVE_PAUSE_S = 1.0  # from the last change to the save of the snapshot: a save delays the changes that follow
SAVE_WITHIN_S = 30.0  # from the first change to the save; until it, the snapshot file counts as behind
SAVE_PAUSE_FACTOR = 10  # seconds of pause per second of saving, so that saves take less than a tenth of the time


class ChangeQueue:
    """Carries out changes, in turn with the loader, which loads edits of the files themselves."""

    def __init__(
        self, store: Store, current: Current, loader: Loader, publisher: Publisher, brake: Brake, log: Log
    ) -> None:
        self._store = store
        self._current = current
        self._brake = brake
        self._audit = brake.audit
        self._log = log
        self._loader = loader
        self._publisher = publisher
        self.record_earlier: Callable[[frozenset[str]], Awaitable[None]] = _nothing  # so that versions stand in order
        self._waiting = WaitingChanges()
        self._work: asyncio.Task[None] | None = None  # while changes can be made
        self._aside: asyncio.Task[None] | None = None  # while changes are drawn up aside
        self._begun: set[asyncio.Task[None]] = set()  # of changes whose snapshots are begun to be saved
        self._has_unsaved = asyncio.Event()

    async def change(self, make: Make[T], author: str = "", pace: Pace | None = None) -> Changed[T]:
        """Write and publish a change of an author; `pace` tells `make` whether others wait for it.

        `make` applies it to the loaded data, in a thread. It is called again if files were edited but not loaded yet,
        or if its author is slow and the data has changed meanwhile. Raises the exceptions of `make`, RefusedError if
        the rules refuse the result or files cannot be used, and OSError; nothing has changed then. Changes that wait
        for their turn are written and published together, a few of each author at a time. Their good texts are kept
        later: see `Current.until_kept`.
        """
        future: asyncio.Future[Changed[T]] = asyncio.get_running_loop().create_future()
        self._waiting.add(WaitingChange(make, author, future, pace or Pace()))
        self._go_on()
        try:
            return await future
        finally:
            del future  # its exception refers to this frame

    def waiting_of(self, author: str) -> int:
        """The number of an author's changes that wait for their turn."""
        return self._waiting.of_author(author)

    def note_unsaved(self) -> None:
        """Have the snapshot file saved soon."""
        self._publisher.is_behind = True
        self._has_unsaved.set()

    async def save(self) -> None:
        """Keep the snapshot file up to date with changes, in the background, forever."""
        pause_s = SAVE_PAUSE_S
        while True:
            await self._has_unsaved.wait()
            deadline = time.monotonic() + SAVE_WITHIN_S
            while self._has_unsaved.is_set() and time.monotonic() < deadline:  # until changes stop
                self._has_unsaved.clear()
                await asyncio.sleep(pause_s)
            self._has_unsaved.clear()
            start = time.monotonic()
            await self._publisher.save(gently=True)
            forget_contents()
            await in_thread(trim)
            pause_s = max(SAVE_PAUSE_S, SAVE_PAUSE_FACTOR * (time.monotonic() - start))
            if self._current.turn.locked():
                self._has_unsaved.set()
            elif self._publisher.save_problem is None:
                self._publisher.is_behind = False

    def _go_on(self) -> None:
        """Have the waiting changes made, and those of slow authors drawn up."""
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._carry_out_all())
        if self._aside is None or self._aside.done():
            self._aside = asyncio.create_task(self._draw_aside())

    async def _carry_out_all(self) -> None:
        """Carry out the waiting changes, until none can be made."""
        while self._waiting.has_next:
            async with self._current.turn:
                batch = self._waiting.next_batch()
                again: Sequence[WaitingChange] = ()
                try:
                    again = await self._carry_out(batch) if batch else ()
                except BaseException as error:  # no requester may wait forever
                    _settle_all(batch, error)
                    raise
                finally:
                    self._waiting.end_batch(again)
            self._go_on()

    async def _draw_aside(self) -> None:
        """Draw up the changes of slow authors, while the changes of others are made."""
        while change := self._waiting.next_aside():
            found: DrawnUp[Drawn[Any]] | None = None
            try:
                found = await planned_by(change.author, partial(self._drawn_aside, change))
                if found and isinstance(found.outcome, Drawn) and not change.future.done():
                    await self._begin(change, found.outcome)
            except Exception as error:  # its requester gets the error
                found = DrawnUp(error, 0.0)
            except BaseException as error:
                _settle_all([change], error)
                raise
            finally:
                self._waiting.end_aside(change, found)
            self._go_on()

    async def _begin(self, change: WaitingChange, drawn: Drawn[Any]) -> None:
        """Write most of what a change will need on disk, while the changes of others are made."""
        table = asyncio.ensure_future(self._publisher.begin_to_save(drawn.after.snapshot))
        with suppress(OSError):  # the change itself will tell
            change.begun = await self._store.begin(await in_thread(partial(large_files, drawn)))
        task = asyncio.create_task(self._forget_begun(change, await table))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    async def _forget_begun(self, change: WaitingChange, table: BegunTable | None) -> None:
        """Remove what was begun for a change, unless it is part of what was made, once its outcome is known."""
        begun = change.begun
        await asyncio.wait([change.future])
        await self._store.forget(begun)
        await self._publisher.forget_begun(table)

    def _drawn_aside(self, change: WaitingChange) -> DrawnUp[Drawn[Any]] | None:
        """A change drawn up on the data of now: it may have waited long for this."""
        loaded = self._current.loaded
        return change.aside(loaded) if loaded else None

    async def _carry_out(self, batch: Sequence[WaitingChange]) -> Sequence[WaitingChange]:
        """Carry out changes together; if that fails, one by one, so that one failure does not affect the others.

        Returns those to be drawn up again.
        """
        if len(batch) > 1:
            try:
                return await self._make(batch)
            except StoreAwayError as error:  # it may be made: to make its changes one by one would refuse them then
                _settle_all(batch, error)
                return ()
            except Exception:
                pass
        again: list[WaitingChange] = []
        for one in batch:
            if one.future.done():  # its files were written before the failure
                continue
            try:
                again += await self._make_alone(one)
            except Exception as error:  # reported to the requester
                one.settle(error)
        return again

    async def _make_alone(self, change: WaitingChange) -> Sequence[WaitingChange]:
        """Carry out one change; if files were edited meanwhile, load them and try again. Raises any exception."""
        for attempt in range(1, OVERTAKEN_TRIES + 1):
            try:
                return await self._make([change])
            except StaleError as error:
                await self._catch_up(error.keys)
                if attempt >= TRIES and not isinstance(error, OvertakenError):
                    break
        raise refused(Reason.NOT_WRITABLE, "the files keep changing; nothing was written: try again")

    async def _make(self, batch: Sequence[WaitingChange]) -> Sequence[WaitingChange]:
        """Make changes, each on top of the one before, then write and publish them; return those to be drawn up again.

        Raises StaleError, OSError or, without loaded data, RefusedError; each is about all of them.
        """
        before = self._current.loaded
        if before is None:
            raise refused(Reason.NOT_LOADED, "the files cannot be used; the last snapshot is served, read-only")
        self.note_unsaved()
        trial = self._brake.trial()
        late: set[str] = set()
        works = [partial(_in_order, one, late) for one in batch]
        drawn = await in_thread(partial(draw_up, works, before, trial.check))
        outcomes = [one.outcome for one in drawn]
        for one, drawn_up in zip(batch, drawn, strict=True):
            is_long = isinstance(drawn_up.outcome, LongChangeError)
            self._waiting.note(one.author, math.inf if is_long else drawn_up.cpu_s)
        loaded = next((one.loaded for one in reversed(outcomes) if isinstance(one, Changed)), before)
        beside = tuple(file for one in outcomes if isinstance(one, Changed) for file in one.beside)
        witnesses = [one.witness for one in outcomes if isinstance(one, Changed) and one.witness]
        evidence = None
        if witnesses:
            await self.record_earlier(frozenset().union(*(one.keys for one in witnesses)))
            evidence = await in_thread(partial(testified, self._audit, witnesses, before.files))
        await self._brake.keep(trial.book)  # first: a sum without its change is corrected by the next check
        op = Op(beside, evidence, [file for one in batch for file in one.begun])
        if loaded is not before or beside:
            edit = FilesEdit(before.files, loaded.files)
            last = None if self._store.is_whole else self._current.seen
            seen = await self._store.write(last or before.source.seen, edit, op)
        if loaded is not before:
            try:
                await self._current.replace(loaded, seen=seen, keep_good=False)
                self._loader.note_change(loaded)
            except Exception as error:  # settled here, so that no change is written twice
                _settle_all(batch, error)
                raise
            finally:
                if evidence:
                    await self._finish(op)
            self._current.keep_good_later()
        again = [one for one, outcome in zip(batch, outcomes, strict=True) if isinstance(outcome, AGAIN)]
        for one, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Changed):
                one.settle(replace(outcome, revision=self._publisher.revision))
            elif one not in again:
                one.settle(outcome)
        return again

    async def _finish(self, op: Op) -> None:
        """Write the outcome of a change that was made; if that fails, the next change or start does it."""
        try:
            await self._store.finish(op, self._publisher.revision)
        except OSError as error:
            self._log.error(f"the outcome of a change is not in the audit log yet: {error.strerror}")

    async def _catch_up(self, keys: Collection[str]) -> None:
        """Load edited files.

        Raises RefusedError if they cannot be used, or not yet; with one of their errors, if possible about an object
        of `keys`.
        """
        try:
            await self._loader.catch_up()
        except UnsettledError:
            raise refused(Reason.NOT_WRITABLE, "files are being removed; nothing was written: try again") from None
        if self._loader.last.ok:
            return
        if self._loader.last.by_guard:  # its message names other accounts
            raise refused(Reason.NOT_WRITABLE, "a file was edited, and waits for the server's operator")
        errors = [problem for problem in self._loader.last.problems if not problem.warning]
        first = next((problem for problem in errors if problem.source in keys), errors[0])
        raise refused(Reason.NOT_WRITABLE, f"a file was edited and cannot be used: {first}")


def _in_order(change: WaitingChange, late: set[str], before: Loaded) -> Drawn[Any]:
    """Draw up a change in its turn; not if one of its author, among the `late`, has to be drawn up aside first."""
    if change.author in late:
        raise MovedOnError
    try:
        return change.on(before)
    except LongChangeError:
        late.add(change.author)
        raise


async def _nothing(_: frozenset[str]) -> None:
    """Earlier changes are recorded elsewhere, or not at all."""


def _settle_all(changes: Iterable[WaitingChange], error: BaseException) -> None:
    """Settle changes that could not be made."""
    for one in changes:
        one.settle(error if isinstance(error, Exception) else asyncio.CancelledError())
