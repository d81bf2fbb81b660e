"""Load the files into the current data, all or nothing: at the start, on request, and when the files change."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path

from dnsd.app import Loaded, Source, guard_problems, load, read_source
from dnsd.control.current import Current
from dnsd.control.publish import Publisher
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import InvalidDataError, Problem
from dnsd.log import Log
from dnsd.model.guard import names_problems
from dnsd.model.sightings import NEVER_SEEN
from dnsd.process.memory import trim
from dnsd.process.snapshot_file import Title, load_title
from dnsd.process.tasks import in_thread
from dnsd.progress import progress_on
from dnsd.store.directory import Files, keep_times
from dnsd.store.write import undo_unfinished

SERVED_WITHIN_S = 30.0  # a slower worker is logged and not waited for
SETTLE_S, SETTLE_TRIES = 0.1, 10  # files must stay unchanged for this long before they are loaded; number of checks
NEEDS_START = (  # settings that only a restart can change
    ("listen",),
    ("workers",),
    ("udp",),
    ("metrics",),
    ("api",),
    ("state",),
    ("user",),
    ("group",),
    ("limits", "rrl", "table_size"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The outcome of the last attempt to load the files."""

    ok: bool  # the files are served, except for held accounts
    problems: tuple[Problem, ...]
    seconds: float
    at: float  # seconds since 1970
    held: tuple[str, ...] = ()  # accounts with errors, kept at their last good version


class Loader:
    """Loads the files into the current data, and keeps and logs the outcome of each attempt."""

    def __init__(self, config: Path, current: Current, publisher: Publisher, log: Log) -> None:
        self.last = Attempt(ok=False, problems=(), seconds=0, at=0)
        self.results = {"ok": 0, "held": 0, "refused": 0, "failed": 0}  # of reloads
        self._config = config
        self._current = current
        self._first_settings = current.settings
        self._publisher = publisher
        self._log = log
        self._has_loaded_unasked = asyncio.Event()  # since the last wait for the workers
        self._served_when_held: Files | None = None  # the files served when held accounts were last judged
        self._reported: frozenset[Problem] = frozenset()

    async def load_first(self, before: int) -> bool:
        """Publish the data of the files, else the snapshot file; return whether either could be used.

        `before` is the revision published by a previous control process; 0 at the server's start.
        """
        start = time.monotonic()
        title = load_title(self._current.snapshot_file)
        self._current.number_from(max(before, title.revision if title else 0))
        try:
            await self._undo_unfinished()
            served = await in_thread(self._current.saved_snapshot) if before and not self._publisher.is_behind else None
            loaded = await self._load(force=False, served=served)
        except InvalidDataError as error:
            self._note(error.problems, start, ok=False)
        except Exception as error:
            self._note((self._problem(error),), start, ok=False)
        else:
            self._note_loaded(loaded, start)
            self._served_when_held = loaded.files
            await self._current.replace(loaded, keep_good=False)
            self._report(self.last.problems)
            if title and not before:
                self._warn_of_loss(title.names, loaded)
            self._log.info(f"serving {loaded.summary()}")
            return True
        self._report(self.last.problems)
        return await self._publish_file(title)

    async def _undo_unfinished(self) -> None:
        """Undo a change that a killed process left half written. Raises OSError: the files are then inconsistent."""
        if await in_thread(partial(undo_unfinished, self._current.journal)):
            self._log.info("undid an unfinished change of several files")

    async def reload(self, *, force: bool = False) -> Attempt:
        """Reload the files and publish them, each account whole or not at all; return once every worker serves them."""
        async with self._current.turn:
            attempt = await self._reload(force=force)
        if attempt.ok:
            await self._await_workers(again=True)
        return attempt

    def note_change(self, loaded: Loaded) -> None:
        """Update the problems of the last attempt to those of `loaded`, the data after a change on request."""
        if self.last.ok:
            self.last = replace(self.last, problems=self._problems(loaded))

    async def catch_up(self) -> None:
        """Load files edited meanwhile, once they have settled. The caller holds `turn`."""
        if await self._settled() != self._current.source or self.last.ok:
            await self._reload(force=False, patient=True)
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
        while (source := await self._settled()) != current.source or self._may_release():
            async with current.turn:
                if not self._may_release() and (source == current.source or await self._read(source) != source):
                    continue
                if current.loaded is None or source != current.loaded.source or self._may_release():
                    before = self._publisher.revision, self.last.held
                    attempt = await self._reload(force=False, patient=True)
                    if attempt.ok and before != (self._publisher.revision, attempt.held):
                        self._has_loaded_unasked.set()
                    return attempt.ok
                current.note_source(source)
                self._note_loaded(current.loaded, time.monotonic())
                self._log.info(f"files unchanged, still serving revision {self._publisher.revision}")
        current.note_source(source)  # equal, but with the files' latest status, so that they are not read again
        return False

    def _may_release(self) -> bool:
        """Whether a held account might be released: the served files have changed since it was judged."""
        loaded = self._current.loaded
        return bool(loaded and loaded.held and loaded.files is not self._served_when_held)

    async def _reload(self, *, force: bool, patient: bool = False) -> Attempt:
        start = time.monotonic()
        before = self._current.loaded
        self._served_when_held = before.files if before else None
        try:
            await self._undo_unfinished()
            served = None if before else self._publisher.snapshot
            loaded = await self._load(force=force, served=served, patient=patient)
            self._served_when_held = loaded.files
            if patient and before and _is_unchanged(loaded, before):
                await self._current.renew(loaded)
            else:
                await self._current.replace(loaded)
            if before:
                await in_thread(partial(keep_times, loaded.files, before.files))
        except InvalidDataError as error:
            return self._refuse("refused", error.problems, start)
        except Exception as error:  # a failed reload must not end the process, which serves the data
            return self._refuse("failed", (self._problem(error),), start)
        self.results["held" if loaded.held else "ok"] += 1
        self._note_loaded(loaded, start)
        return self.last

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

    async def _load(self, *, force: bool, served: Snapshot | None, patient: bool = False) -> Loaded:
        """Read and load the files, without serving them yet.

        `served` is the change guard's reference if nothing was loaded before. Raises InvalidDataError, also when the
        change guard refuses the data.
        """
        current = self._current
        source = current.note_source(await self._read(current.source, patient=patient))
        return await in_thread(partial(self._loaded, source, current.loaded, served, force=force))

    def _loaded(self, source: Source, before: Loaded | None, served: Snapshot | None, *, force: bool) -> Loaded:
        with _no_garbage(freeze=before is None):
            with progress_on(None if before else sys.stderr) as progress:  # the operator waits for the first load
                seen = NEVER_SEEN if before else self._current.times.load()
                loaded = load(
                    self._config,
                    previous=before,
                    source=source,
                    good=self._current.good_files,
                    good_policies=self._current.good_policies,
                    may_go=lambda account: force,
                    progress=progress,
                    seen=seen,
                )
            found = () if force else tuple(_dropped(loaded, before, served))
            if found:
                raise InvalidDataError((*loaded.errors, *found))
        return loaded

    async def _publish_file(self, title: Title | None) -> bool:
        snapshot = await in_thread(self._current.saved_snapshot)
        if snapshot is None or title is None:
            return False
        age = max(0, int(time.time()) - title.saved_at)
        self._log.error(
            f"the files cannot be used: serving the snapshot of {age} s ago, with {len(snapshot.names):,} names, "
            "until they are fixed"
        )
        await self._current.serve_file(snapshot)
        return True

    def _warn_of_loss(self, before: int, loaded: Loaded) -> None:
        """The change guard at a start only warns: whoever starts the server wants the files as they are."""
        now, limit = len(loaded.snapshot.names), loaded.settings.reload.max_drop_percent
        if (before - now) * 100 > before * limit:
            self._log.warning(f"warning: serving {now:,} names; {before:,} were served before this start")

    def _refuse(self, result: str, problems: tuple[Problem, ...], start: float) -> Attempt:
        self.results[result] += 1
        self._note(problems, start, ok=False)
        self._report(problems)
        self._log.error(f"reload {result}; still serving revision {self._publisher.revision}")
        return self.last

    def _note(self, problems: tuple[Problem, ...], start: float, *, ok: bool, held: tuple[str, ...] = ()) -> None:
        seconds = time.monotonic() - start
        self.last = Attempt(ok=ok, problems=problems, seconds=seconds, at=time.time(), held=held)

    def _problem(self, error: Exception) -> Problem:
        return Problem(str(self._config), (), f"{type(error).__name__}: {error}")

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

    def _note_loaded(self, loaded: Loaded, start: float) -> None:
        self._note(self._problems(loaded), start, ok=True, held=tuple(loaded.held))

    def _problems(self, loaded: Loaded) -> tuple[Problem, ...]:
        """The errors in held accounts, and all warnings, also about settings that need a restart."""
        return (*loaded.errors, *loaded.warnings, *self._waiting_for_start(loaded))

    def _waiting_for_start(self, loaded: Loaded) -> Iterator[Problem]:
        """A warning for each changed setting that only a restart can apply."""
        for path in NEEDS_START:
            get = attrgetter(".".join(path))
            if get(loaded.settings) != get(self._first_settings):
                message = "the change takes effect after a restart"
                yield loaded.locate(Problem("", path, message, warning=True))

    def _read(self, previous: Source | None, *, patient: bool = True) -> asyncio.Future[Source]:
        return in_thread(lambda: read_source(self._config, previous=previous, patient=patient))

    async def _settled(self) -> Source:
        """The source, once it stays unchanged for a moment: a half-written file may look complete."""
        known = self._current.source
        source = await self._read(known)
        for _ in range(SETTLE_TRIES):
            if source == known:
                break
            await asyncio.sleep(SETTLE_S)
            last, source = source, await self._read(source)
            if source == last:
                break
        return source


def _dropped(loaded: Loaded, before: Loaded | None, served: Snapshot | None) -> Iterable[Problem]:
    """The change guard's problems: `loaded` compared with the data before, else with the names served before."""
    if before:
        return guard_problems(loaded, before)
    if served is None:
        return ()
    limit = loaded.settings.reload.max_drop_percent
    return map(loaded.locate, names_problems(served.names, loaded.snapshot.names, limit))


def _is_unchanged(loaded: Loaded, before: Loaded) -> bool:
    """Whether settings and files equal those before."""
    return loaded.settings == before.settings and loaded.files.has_same_content(before.files)


@contextmanager
def _no_garbage(*, freeze: bool) -> Iterator[None]:
    """Collect no garbage in this context: it makes a million objects and frees few. If `freeze`, never scan them."""
    gc.disable()
    try:
        yield
        if freeze:
            gc.freeze()
    finally:
        gc.enable()
        trim()
