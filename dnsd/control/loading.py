"""Load the files into the current data, all or nothing: at the start, on request, and when the files change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from dnsd.app import Loaded
from dnsd.control.attempt import Attempt
from dnsd.control.brake import Brake
from dnsd.control.current import Current
from dnsd.control.guarded import (
    Admitted,
    Force,
    GuardedLoad,
    GuardRefusedError,
    UnsettledError,
    moved_by_start,
)
from dnsd.control.model_keeper import ModelKeeper
from dnsd.control.publish import Publisher
from dnsd.control.saved_start import SavedStart
from dnsd.errors import InvalidDataError, Problem
from dnsd.log import Log
from dnsd.manage.audit_entries import Outcome
from dnsd.process.snapshot_file import Title
from dnsd.process.snapshot_log import load_title
from dnsd.process.tasks import in_thread
from dnsd.settings.restart import waiting_for_start
from dnsd.source import SettingsReader
from dnsd.store.directory import Files
from dnsd.store.hold import WrongCopiesError
from dnsd.store.kept_zones import NOTHING_KEPT
from dnsd.store.port import Seen, Store

SERVED_WITHIN_S = 30.0  # a slower worker is logged and not waited for


class Loader:
    """Loads the files into the current data, and keeps and logs the outcome of each attempt."""

    def __init__(
        self,
        settings: SettingsReader,
        store: Store,
        current: Current,
        publisher: Publisher,
        brake: Brake,
        keeper: ModelKeeper,
        log: Log,
    ) -> None:
        self.last = Attempt(ok=False, problems=(), seconds=0, at=0)
        self.results = {"ok": 0, "held": 0, "refused": 0, "failed": 0}  # of reloads
        self._settings = settings
        self._store = store
        self._current = current
        self._first_settings = current.settings
        self._publisher = publisher
        self._brake = brake
        self._guarded = GuardedLoad(settings.config, current, is_judged=current.settings.role.is_in_fleet)
        self._log = log
        self._has_loaded_unasked = asyncio.Event()  # since the last wait for the workers
        self._served_when_held: Files | None = None  # the files served when held accounts were last judged
        self._reported: frozenset[Problem] = frozenset()
        self._notes: tuple[Problem, ...] = ()  # warnings about the last load itself
        self._still: Seen | None = None  # what was last still for a while
        self._start = SavedStart(store, current, publisher, keeper, log)

    async def load_first(self, before: int) -> bool:
        """Publish the data of the files, else the snapshot file; return whether either could be used.

        `before` is the revision published by a previous control process; 0 at the server's start. A start takes the
        files as they are, unless some wait for the operator's word; a restart of control judges like a reload, and
        serves the last good version of files that are refused.
        """
        start = time.monotonic()
        title = load_title(self._current.snapshot_file)
        self._current.number_from(max(before, title.revision if title else 0))
        await in_thread(self._start.open)
        self._guarded.kept, base = self._start.zones, None
        try:
            seen = await self._see_next()
            source = await in_thread(partial(self._settings.source, seen))
            if self._brake.book.is_refused or (before and self._publisher.has_good_texts):
                base = await in_thread(partial(self._guarded.last_good, source))
            admitted = await in_thread(partial(self._guarded.first, source, base, self._brake.book))
        except GuardRefusedError as error:
            await self._note_refused(error, start)
        except InvalidDataError as error:
            self._note(error.problems, start, ok=False)
            if isinstance(error, WrongCopiesError):
                await in_thread(partial(self._current.good.set_aside, error.copies))
        except Exception as error:
            self._note((self._problem(error),), start, ok=False)
        else:
            await self._brake.keep(replace(admitted.book, is_refused=admitted.waits))
            self._note_loaded(admitted.loaded, start, admitted.notes)
            self._served_when_held = admitted.loaded.files
            self._start.take_over(admitted.loaded)
            await self._current.replace(admitted.loaded, keep_good=False)
            await self._start.keep_times(admitted.loaded)
            self._report(self.last.problems)
            self._log.info(f"serving {admitted.loaded.summary()}")
            return True
        finally:
            self._guarded.kept = NOTHING_KEPT
            self._start.let_go()
        self._report(self.last.problems)
        self._current.tell_of_damage("its account is in error, and cannot be held at this version")
        if not self.last.by_guard and await self._publish_file(title):
            return True
        if base is None:  # nor a snapshot file: accounts with damaged copies are left out
            return bool(await in_thread(self._current.good.forgive)) and await self.load_first(before)
        await self._current.replace(base, keep_good=False)
        end = "`dnsd reload --force` or other files" if self.last.by_guard else "the files are fixed"
        self._log.error(f"the last good version is served until {end}")
        return True

    async def tell_of_start(self) -> None:
        """Log the number of names whose answers the start changed."""
        loaded = self._current.loaded
        before = await in_thread(partial(self._start.before, loaded))
        if before is not None and loaded:
            for problem in await in_thread(partial(moved_by_start, before, loaded)):
                self._log.warning(problem.line())
            await self._current.drains.note(before, None, loaded, revision=0)

    async def reload(self, *, force: Force | None = None) -> Attempt:
        """Reload the files and publish them, each account whole or not at all; return once every worker serves them."""
        async with self._current.turn:
            attempt = await self._reload(force=force)
        if attempt.ok:
            await self._await_workers(again=True)
        return attempt

    def note_change(self, loaded: Loaded) -> None:
        """Update the problems of the last attempt to those of `loaded`, the data after a change on request."""
        if self.last.ok:
            self._notes = ()
            self.last = replace(self.last, problems=self._problems(loaded))

    async def catch_up(self) -> None:
        """Load files edited meanwhile, once they have settled. The caller holds `turn`."""
        if (seen := await self._store.settled(self._current.seen)) != self._current.seen or self.last.ok:
            try:
                await self._reload(is_patient=True, known=seen)
            except UnsettledError:
                self._still = await self._store.still(seen)
                await self._reload(is_patient=True)
        if self.last.ok:
            self._has_loaded_unasked.set()

    async def await_workers(self) -> None:
        """After each load without a request, wait for all workers to serve it, forever: a hung one delays only this."""
        while True:
            await self._has_loaded_unasked.wait()
            self._has_loaded_unasked.clear()
            await self._await_workers(again=False)

    async def load_change(self) -> bool:
        """Load changed files; return False if there are none or they cannot be served.

        A reload or a change on request goes first, so that its reply reports its own effect.
        """
        current = self._current
        async with current.turn:  # what a change is writing is known at its end, and need not be read
            pass
        while (seen := await self._store.settled(current.seen)) != current.seen or self._may_release():
            async with current.turn:
                if not self._may_release() and (seen == current.seen or not await self._is_still(seen)):
                    continue
                if current.loaded and seen == current.loaded.source.seen and not self._may_release():
                    current.note_seen(seen)
                    await self._note_unchanged(current.loaded)
                    continue
                is_served = await self._load_unasked(seen)
            if is_served is not None:
                return is_served
            self._still = await self._store.still(seen)
        current.note_seen(seen)  # equal, but with the files' latest status, so that they are not read again
        return False

    async def _is_still(self, seen: Seen) -> bool:
        """Whether the store has what was seen just before, or may be loaded whatever others write meanwhile."""
        return self._store.is_whole or await self._store.look(seen) == seen

    async def _note_unchanged(self, loaded: Loaded) -> None:
        """Note that the files are again the served ones: edits that waited were undone."""
        self._note_loaded(loaded, time.monotonic())
        await self._brake.note_refusal(is_refused=bool(loaded.held))  # by the guard, perhaps
        self._log.info(f"files unchanged, still serving revision {self._publisher.revision}")

    async def _load_unasked(self, seen: Seen) -> bool | None:
        """Reload; return whether the files are served, None if they must first be still. The caller holds `turn`.

        `seen` is what was just seen.
        """
        before = self._publisher.revision, self.last.held
        try:
            attempt = await self._reload(is_patient=True, known=seen)
        except UnsettledError:
            return None
        if attempt.ok and before != (self._publisher.revision, attempt.held):
            self._has_loaded_unasked.set()
        return attempt.ok

    def _may_release(self) -> bool:
        """Whether a held account might be released: the served files have changed since it was judged."""
        loaded = self._current.loaded
        return bool(loaded and loaded.held and loaded.files is not self._served_when_held)

    async def _reload(
        self, *, force: Force | None = None, is_patient: bool = False, known: Seen | None = None
    ) -> Attempt:
        """Load the files; those that are as in `known` are not read again.

        An impatient caller's word is that they are complete; else UnsettledError may be raised.
        """
        start = time.monotonic()
        await self._current.until_kept()
        before, last, judged = self._current.loaded, self._current.seen, self._served_when_held
        self._served_when_held = before.files if before else None
        try:
            known = last.unstamped if force and last else known
            seen = await self._see_next(is_patient=is_patient, known=known)
            is_settled = not is_patient or seen == self._still
            admitted = await in_thread(partial(self._admit, seen, before, force, is_settled=is_settled))
            await self._serve(admitted, before, is_patient=is_patient)
            if force:
                said = "; ".join(map(str, admitted.notes)) or "no name moves"
                await self._brake.record("reload.forced", f"{force.account or 'all accounts'}: {said}", Outcome.OK)
        except UnsettledError:
            self._current.seen, self._served_when_held = last, judged  # not yet loaded
            raise
        except GuardRefusedError as error:
            self.results["refused"] += 1
            await self._note_refused(error, start)
            return self._refused("refused")
        except InvalidDataError as error:
            return self._refuse("refused", error.problems, start)
        except Exception as error:  # a failed reload must not end the process, which serves the data
            return self._refuse("failed", (self._problem(error),), start)
        self.results["held" if admitted.loaded.held else "ok"] += 1
        self._note_loaded(admitted.loaded, start, admitted.notes)
        return self.last

    def _admit(self, seen: Seen, before: Loaded | None, force: Force | None, *, is_settled: bool) -> Admitted:
        """The data that may be served after `before`; None: the snapshot file is served. Blocks."""
        source = self._settings.source(seen)
        book, served = self._brake.book, self._publisher.snapshot
        if before is None and served is not None:
            return self._guarded.after_snapshot(source, served, book, force=force)
        if before is None:
            return self._guarded.first(source, None, book)
        return self._guarded.next(source, before, book, force=force, is_settled=is_settled)

    async def _serve(self, admitted: Admitted, before: Loaded | None, *, is_patient: bool) -> None:
        loaded = admitted.loaded
        self._served_when_held = loaded.files
        await self._brake.keep(replace(admitted.book, is_refused=admitted.waits))
        if is_patient and before and _is_unchanged(loaded, before):
            await self._current.renew(loaded)
        else:
            await self._current.replace(loaded)
        if before:
            await self._store.keep_times(loaded.files, before.files)

    async def _await_workers(self, *, again: bool) -> None:
        """Wait for the workers, without holding `turn`; then log the outcome and save the snapshot."""
        loaded, revision = self._current.loaded, self._publisher.revision
        if not await self._publisher.wait_until_served(revision, SERVED_WITHIN_S):
            self._log.error(f"revision {revision} is not yet served by {', '.join(self._publisher.late(revision))}")
        if loaded is not None:
            self._report(self._problems(loaded), again=again)
            held = f"; held: {', '.join(loaded.held)}" if loaded.held else ""
            self._log.info(f"reloaded: revision {revision}, {loaded.summary()}{held}")
        await self._publisher.save()

    async def _see_next(self, *, is_patient: bool = False, known: Seen | None = None) -> Seen:
        """See what the store has, of which files as in `known` are not read again, and keep it as last seen."""
        known = known or self._current.seen
        seen = await self._store.open(known, noted=self._guarded.kept.files, is_patient=is_patient)
        return self._current.note_seen(seen)

    async def _publish_file(self, title: Title | None) -> bool:
        snapshot = await in_thread(self._start.snapshot)
        if snapshot is None or title is None:
            return False
        age = max(0, int(time.time()) - title.saved_at)
        self._log.error(
            f"the files cannot be used: serving the snapshot of {age} s ago, with {len(snapshot.names):,} names, "
            "until they are fixed"
        )
        await self._current.serve_file(snapshot)
        return True

    def _refuse(self, result: str, problems: tuple[Problem, ...], start: float) -> Attempt:
        self.results[result] += 1
        self._note(problems, start, ok=False)
        return self._refused(result)

    def _refused(self, result: str) -> Attempt:
        self._report(self.last.problems)
        self._log.error(f"reload {result}; still serving revision {self._publisher.revision}")
        return self.last

    async def _note_refused(self, error: GuardRefusedError, start: float) -> None:
        """Keep the guard's refusal, also on disk: a start then judges like a reload."""
        self._note(error.problems, start, ok=False)
        self.last = replace(self.last, by_guard=True, waiting=error.waiting)
        self._brake.refusals["files"] += error.is_overrun
        await self._brake.note_refusal(is_refused=True)
        await self._brake.record("reload.refused", str(error), Outcome.REFUSED)

    def _note(self, problems: tuple[Problem, ...], start: float, *, ok: bool, held: tuple[str, ...] = ()) -> None:
        seconds = time.monotonic() - start
        revision = self._publisher.revision
        self.last = Attempt(ok=ok, problems=problems, seconds=seconds, at=time.time(), revision=revision, held=held)

    def _problem(self, error: Exception) -> Problem:
        return Problem(str(self._settings.config), (), f"{type(error).__name__}: {error}")

    def _report(self, problems: tuple[Problem, ...], *, again: bool = True) -> None:
        """Log the problems; without `again`, only those not in the last report."""
        known = frozenset() if again else self._reported
        self._reported = frozenset(problems)
        for problem in problems:
            if problem in known:
                continue
            if problem.warning:
                self._log.warning(problem.line())
            else:
                self._log.error(problem.line())

    def _note_loaded(self, loaded: Loaded, start: float, notes: tuple[Problem, ...] = ()) -> None:
        self._notes = notes
        self._note(self._problems(loaded), start, ok=True, held=tuple(loaded.held))

    def _problems(self, loaded: Loaded) -> tuple[Problem, ...]:
        """The errors in held accounts, and all warnings: of data, of the load, and of settings that need a restart."""
        return (*loaded.errors, *loaded.warnings, *self._notes, *self._waiting_for_start(loaded))

    def _waiting_for_start(self, loaded: Loaded) -> Iterator[Problem]:
        """A warning for each changed setting that only a restart can apply."""
        for path in waiting_for_start(loaded.settings, self._first_settings):
            yield loaded.locate(Problem("", path, "the change takes effect after a restart", warning=True))


def _is_unchanged(loaded: Loaded, before: Loaded) -> bool:
    """Whether settings and files equal those before."""
    return loaded.settings == before.settings and loaded.files.has_same_content(before.files)
