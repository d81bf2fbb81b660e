"""Changes on request: made to the loaded data, written durably and published, many together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from dnsd.control.current import Current
from dnsd.control.loading import Loader
from dnsd.control.publish import Publisher
from dnsd.manage.change import Changed, Make, StaleError, draw_up, write_change
from dnsd.manage.refusal import Reason, refused
from dnsd.model.records import forget_contents
from dnsd.process.memory import trim
from dnsd.process.tasks import in_thread

T = TypeVar("T")

TRIES = 3  # attempts at a change, if files are edited meanwhile
SAVE_PAUSE_S = 1.0  # from the last change to saving the snapshot, as saving delays later changes
SAVE_WITHIN_S = 30.0  # from the first change to saving it; until then the file counts as behind
SAVE_PAUSE_FACTOR = 10  # pause per second of saving: saving takes less than a tenth of the time


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """A requested change, and the future that its requester awaits."""

    make: Make[Any]
    done: asyncio.Future[Changed[Any]]

    def settle(self, outcome: Changed[Any] | Exception) -> None:
        """Set the outcome, unless the requester has gone."""
        if self.done.done():
            return
        if isinstance(outcome, Changed):
            self.done.set_result(outcome)
        else:
            self.done.set_exception(outcome)


class ChangeQueue:
    """Carries out changes, taking turns with the loader, which loads edits made in the files themselves."""

    def __init__(self, current: Current, loader: Loader, publisher: Publisher) -> None:
        self._current = current
        self._loader = loader
        self._publisher = publisher
        self._wanted: list[_Wanted] = []
        self._is_to_save = asyncio.Event()

    async def change(self, make: Make[T]) -> Changed[T]:
        """Write and publish a change.

        `make` applies it to the loaded data, in a thread, while no other change runs. It is called again if files were
        edited and not loaded yet. Raises the exceptions of `make`, RefusedError if the rules refuse the result, and
        OSError; nothing has changed then. Changes that wait for their turn are written and published together.
        """
        wanted = _Wanted(make, asyncio.get_running_loop().create_future())
        self._wanted.append(wanted)
        async with self._current.turn:
            if not wanted.done.done():  # else an earlier caller carried it out with its own
                waiting, self._wanted = self._wanted, []
                await self._carry_out(waiting)
        changed: Changed[T] = await wanted.done
        if not self._loader.last.ok:
            await self._publisher.save()  # a restart could not load the files, and would serve the snapshot file
        return changed

    async def save(self) -> None:
        """Keep the snapshot file up to date with changes, in the background, forever."""
        pause_s = SAVE_PAUSE_S
        while True:
            await self._is_to_save.wait()
            deadline = time.monotonic() + SAVE_WITHIN_S
            while self._is_to_save.is_set() and time.monotonic() < deadline:  # until changes stop
                self._is_to_save.clear()
                await asyncio.sleep(pause_s)
            self._is_to_save.clear()
            start = time.monotonic()
            await self._publisher.save(gently=True)
            forget_contents()
            await in_thread(trim)
            pause_s = max(SAVE_PAUSE_S, SAVE_PAUSE_FACTOR * (time.monotonic() - start))
            if self._current.turn.locked():
                self._is_to_save.set()
            elif self._publisher.save_problem is None:
                self._publisher.is_behind = False

    async def _carry_out(self, waiting: Sequence[_Wanted]) -> None:
        """Carry out changes together; if that fails, one by one, so that one failure does not affect the others."""
        if len(waiting) > 1:
            with suppress(Exception):
                await self._make(waiting)
                return
        for one in waiting:
            if one.done.done():  # it was written, and failed after that
                continue
            try:
                await self._make_alone(one)
            except Exception as error:  # reported to the requester
                one.settle(error)

    async def _make_alone(self, wanted: _Wanted) -> None:
        """Carry out one change, after loading files edited meanwhile. Raises its failure, of any type."""
        for _ in range(TRIES):
            try:
                await self._make([wanted])
                return
            except StaleError as error:
                await self._catch_up(error.keys)
        raise refused(Reason.NOT_WRITABLE, "the files keep changing; nothing was written: try again")

    async def _make(self, waiting: Sequence[_Wanted]) -> None:
        """Make changes one upon another, then write and publish them. Raises StaleError or OSError for all of them."""
        before = self._current.loaded
        if before is None:
            raise refused(Reason.NOT_LOADED, "the files cannot be used; the last snapshot is served, read-only")
        self._publisher.is_behind = True
        self._is_to_save.set()
        outcomes = await in_thread(partial(draw_up, [one.make for one in waiting], before))
        loaded = next((one.loaded for one in reversed(outcomes) if isinstance(one, Changed)), before)
        if loaded is not before:
            read, journal = self._current.source or before.source, self._current.journal
            source = await in_thread(partial(write_change, before.files, loaded.files, read, journal))
            try:
                await self._current.replace(loaded, source=source)
                self._loader.note_change(loaded)
            except Exception as error:  # settled here, so that no change is written twice
                for one in waiting:
                    one.settle(error)
                raise
        for one, outcome in zip(waiting, outcomes, strict=True):
            one.settle(replace(outcome, revision=self._publisher.revision) if isinstance(outcome, Changed) else outcome)

    async def _catch_up(self, keys: Collection[str]) -> None:
        """Load edited files. Raises RefusedError with an error of them, of one of these keys if there is one."""
        await self._loader.catch_up()
        if self._loader.last.ok:
            return
        errors = [problem for problem in self._loader.last.problems if not problem.warning]
        first = next((problem for problem in errors if problem.source in keys), errors[0])
        raise refused(Reason.NOT_WRITABLE, f"a file was edited and cannot be used: {first}")
