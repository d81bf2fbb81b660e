"""Changes that are asked for: drawn up on what is loaded, written durably and published, many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from dnsd.manage.change import Changed, Make, StaleError, draw_up, write_change
from dnsd.manage.refusal import Code, refused
from dnsd.model.records import forget_contents
from dnsd.serve.loading import Loader
from dnsd.serve.memory import trim
from dnsd.serve.publish import Publisher
from dnsd.serve.tasks import in_thread

T = TypeVar("T")

TRIES = 3  # how often a change is drawn up anew because files were edited meanwhile
SAVE_PAUSE_S = 1.0  # from the last of several changes to the snapshot file: saving keeps those that come then waiting
SAVE_WITHIN_S = 30.0  # of the first of them; till then, who starts anew is told that the file is behind
SAVE_SHARE = 10  # but saving takes no more than a tenth of the time


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """A change that somebody waits for."""

    make: Make[Any]
    done: asyncio.Future[Changed[Any]]

    def settle(self, outcome: Changed[Any] | Exception) -> None:
        """Tell who waits, unless they have gone."""
        if self.done.done():
            return
        if isinstance(outcome, Changed):
            self.done.set_result(outcome)
        else:
            self.done.set_exception(outcome)


class Changes:
    """Carries changes out, in turn with the loader, which reads what people change in the files themselves."""

    def __init__(self, loader: Loader, publisher: Publisher) -> None:
        self._loader = loader
        self._publisher = publisher
        self._wanted: list[_Wanted] = []
        self._is_to_save = asyncio.Event()

    async def change(self, make: Make[T]) -> Changed[T]:
        """Write a change that somebody asks for, and publish it.

        `make` draws it up, in a thread, on what is loaded; nobody else changes anything meanwhile. It may be asked
        again, where files have been edited and not loaded yet. Raises what it raises, RefusedError with what the rules
        say, and OSError; nothing has changed then. Changes that wait for their turn are written and published together.
        """
        wanted = _Wanted(make, asyncio.get_running_loop().create_future())
        self._wanted.append(wanted)
        async with self._loader.turn:
            if not wanted.done.done():  # else somebody who came before has carried it out with theirs
                waiting, self._wanted = self._wanted, []
                await self._carry_out(waiting)
        changed: Changed[T] = await wanted.done
        if not self._loader.last.ok:
            await self._publisher.save()  # who starts after us cannot read the source, and serves the snapshot file
        return changed

    async def save(self) -> None:
        """Keep the snapshot file up to date with changes, beside everything else."""
        pause_s = SAVE_PAUSE_S
        while True:
            await self._is_to_save.wait()
            deadline = time.monotonic() + SAVE_WITHIN_S
            while self._is_to_save.is_set() and time.monotonic() < deadline:  # until nothing more comes
                self._is_to_save.clear()
                await asyncio.sleep(pause_s)
            self._is_to_save.clear()
            start = time.monotonic()
            await self._publisher.save(gently=True)
            forget_contents()
            await in_thread(trim)
            pause_s = max(SAVE_PAUSE_S, SAVE_SHARE * (time.monotonic() - start))
            if self._loader.turn.locked():
                self._is_to_save.set()
            elif self._publisher.save_problem is None:
                self._publisher.is_behind = False

    async def _carry_out(self, waiting: Sequence[_Wanted]) -> None:
        """Carry out changes together; where that fails, one by one, so that each fails by itself."""
        if len(waiting) > 1:
            with suppress(Exception):
                await self._make(waiting)
                return
        for one in waiting:
            if one.done.done():  # it was written, and went wrong after that
                continue
            try:
                await self._make_alone(one)
            except Exception as error:  # it is for who asked
                one.settle(error)

    async def _make_alone(self, wanted: _Wanted) -> None:
        """Carry out one change, on what was edited in the files meanwhile. Raises whatever keeps it from being made."""
        for _ in range(TRIES):
            try:
                await self._make([wanted])
                return
            except StaleError as error:
                await self._catch_up(error.keys)
        raise refused(Code.NOT_WRITABLE, "the files keep changing; nothing was written")

    async def _make(self, waiting: Sequence[_Wanted]) -> None:
        """Draw up changes one upon another, write and publish them. Raises StaleError and OSError: for all of them."""
        before = self._loader.loaded
        if before is None:
            raise refused(Code.NOT_LOADED, "the files cannot be used; what was served before is served read-only")
        self._publisher.is_behind = True
        self._is_to_save.set()
        outcomes = await in_thread(partial(draw_up, [one.make for one in waiting], before))
        loaded = next((one.loaded for one in reversed(outcomes) if isinstance(one, Changed)), before)
        if loaded is not before:
            read, journal = self._loader.source or before.source, self._loader.journal
            source = await in_thread(partial(write_change, before.files, loaded.files, read, journal))
            try:
                await self._loader.publish_change(loaded, source)
            except Exception as error:  # it must not be written a second time
                for one in waiting:
                    one.settle(error)
                raise
        for one, outcome in zip(waiting, outcomes, strict=True):
            one.settle(replace(outcome, revision=self._publisher.revision) if isinstance(outcome, Changed) else outcome)

    async def _catch_up(self, keys: Collection[str]) -> None:
        """Have edited files loaded. Raises RefusedError with a reason if they cannot be, one of these keys' if so."""
        await self._loader.catch_up()
        if self._loader.last.ok:
            return
        errors = [problem for problem in self._loader.last.problems if not problem.warning]
        first = next((problem for problem in errors if problem.source in keys), errors[0])
        raise refused(Code.NOT_WRITABLE, f"a file was edited, and cannot be used: {first}")
