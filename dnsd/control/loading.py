"""Load the files and publish their data, all or nothing: at the start, on request, and when the files change."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path

from dnsd.app import Loaded, Source, guard_problems, load, read_source
from dnsd.control.publish import Publisher
from dnsd.control.sightings import KeptTimes
from dnsd.engine.delta import apply_delta
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import InvalidDataError, Problem
from dnsd.log import Log
from dnsd.model.guard import names_problems
from dnsd.model.sightings import NEVER_SEEN
from dnsd.process.memory import trim
from dnsd.process.snapshot_file import FILE_NAME, Title, load_snapshot, load_title
from dnsd.process.tasks import in_thread
from dnsd.progress import progress_on
from dnsd.settings import Settings
from dnsd.store.directory import Files, keep_times
from dnsd.store.good import GoodTexts
from dnsd.store.watch import Watch, watched_folders
from dnsd.store.write import JOURNAL, undo_unfinished

SERVED_WITHIN_S = 30.0  # a slower worker is logged, and not waited for
SCAN_S = 1.0  # the longest time between checks of the files, if the system reports no change
SCAN_PAUSE_FACTOR = 20  # pause per second of checking: checks take less than a 20th of the time
OWN_CHANGE_PAUSE_FACTOR = 4  # the same for checks after our own changes: less than a fifth
SETTLE_S, SETTLE_TRIES = 0.1, 10  # files are loaded once unchanged for this long; the number of checks for it
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
    """Reads the files and hands their data to the publisher."""

    def __init__(self, config: Path, settings: Settings, state: Path, publisher: Publisher, log: Log) -> None:
        """`settings` are the server's at its start."""
        self.settings = settings
        self.loaded: Loaded | None = None  # None: a snapshot file is served
        self.source: Source | None = None  # as read by the last attempt, successful or not
        self.turn = asyncio.Lock()  # its holder may change `loaded`
        self.journal = state / JOURNAL
        self.last = Attempt(ok=False, problems=(), seconds=0, at=0)
        self.results = {"ok": 0, "held": 0, "refused": 0, "failed": 0}  # of reloads
        self.good = GoodTexts(state)
        self._config = config
        self._first_settings = settings
        self._state = state
        self._publisher = publisher
        self._log = log
        self._times = KeptTimes(state, log)
        self._revision = 0  # the last one assigned
        self._has_followed = asyncio.Event()
        self._served_when_held: Files | None = None  # the files served when `held` was decided
        self._reported: frozenset[Problem] = frozenset()

    async def load_first(self, before: int) -> bool:
        """Publish the files' data, else the snapshot file's; return whether either could be used.

        `before` is the revision published by a previous control process; 0 at the server's start.
        """
        start = time.monotonic()
        title = load_title(self._state / FILE_NAME)
        self._revision = max(before, title.revision if title else 0)
        try:
            await self._undo_unfinished()
            served = await in_thread(self._file) if before and not self._publisher.is_behind else None
            loaded = await in_thread(partial(self._load, force=False, served=served))
        except InvalidDataError as error:
            self._note(error.problems, start, ok=False)
        except Exception as error:
            self._note((self._problem(error),), start, ok=False)
        else:
            self._note_loaded(loaded, start)
            self._served_when_held = loaded.files
            await self._publish(loaded)
            self._report(self.last.problems)
            if title and not before:
                self._warn_of_loss(title.names, loaded)
            self._log.info(f"serving {loaded.summary()}")
            return True
        self._report(self.last.problems)
        return await self._publish_file(title)

    async def _undo_unfinished(self) -> None:
        """Undo a change that a killed process left half written. Raises OSError: the files are then inconsistent."""
        if await in_thread(partial(undo_unfinished, self.journal)):
            self._log.info("undid an unfinished change of several files")

    async def reload(self, *, force: bool = False) -> Attempt:
        """Reload the files and publish them, each account whole or not at all; return once every worker serves them."""
        async with self.turn:
            attempt = await self._reload(force=force)
        if attempt.ok:
            await self._await_workers(again=True)
        return attempt

    async def publish_change(self, loaded: Loaded, source: Source) -> None:
        """Publish a written change; `source` is the last source read, with the change. The caller holds `turn`."""
        self.source = source
        if not self._times.has(loaded.times):
            await in_thread(partial(self._times.save, loaded.times))
        await self._keep_good(loaded)
        await self._publish(loaded)
        if self.last.ok:
            self.last = replace(self.last, problems=self._problems(loaded))

    async def catch_up(self) -> None:
        """Load files edited meanwhile, once they have settled. The caller holds `turn`."""
        if await self._settled() != self.source or self.last.ok:
            await self._reload(force=False, patient=True)
        if self.last.ok:
            self._has_followed.set()

    async def follow(self) -> None:
        """Reload when the files' content differs from the last attempt's."""
        watch = await in_thread(lambda: Watch(self._folders))
        pause_s = SCAN_S
        while True:
            await in_thread(partial(watch.wait, pause_s))
            if not self.settings.reload.watch:
                continue
            start, folder = time.monotonic(), self._folder
            is_new = await self._take_change()
            seconds = time.monotonic() - start
            pause_s = max(SCAN_S, SCAN_PAUSE_FACTOR * seconds)
            if self._folder != folder:
                await in_thread(watch.renew)
                pause_s = 0  # the new folder may have changed before it was watched
            if not is_new:
                await asyncio.sleep(min(SCAN_S, OWN_CHANGE_PAUSE_FACTOR * seconds))

    async def await_followed(self) -> None:
        """Wait until every worker serves what `follow` loaded; separate, as a hung worker must not delay `follow`."""
        while True:
            await self._has_followed.wait()
            self._has_followed.clear()
            await self._await_workers(again=False)

    async def _take_change(self) -> bool:
        """Load changed files, if any; return whether they could be served.

        A reload or change on request goes first, so that its reply reports its own effect.
        """
        while (source := await self._settled()) != self.source or self._may_release():
            async with self.turn:
                if not self._may_release() and (source == self.source or await self._read(source) != source):
                    continue
                if self.loaded is None or source != self.loaded.source or self._may_release():
                    before = self._publisher.revision, self.last.held
                    attempt = await self._reload(force=False, patient=True)
                    if attempt.ok and before != (self._publisher.revision, attempt.held):
                        self._has_followed.set()
                    return attempt.ok
                self.source = source
                self._note_loaded(self.loaded, time.monotonic())
                self._log.info(f"files unchanged, still serving revision {self._publisher.revision}")
        self.source = source  # equal, but with the files' new stat data, so that they are not read again
        return False

    def _may_release(self) -> bool:
        """Whether accounts are held and the served files have changed since: the cause may be gone."""
        return bool(self.loaded and self.loaded.held and self.loaded.files is not self._served_when_held)

    async def _reload(self, *, force: bool, patient: bool = False) -> Attempt:
        start = time.monotonic()
        before = self.loaded
        self._served_when_held = before.files if before else None
        try:
            await self._undo_unfinished()
            served = None if before else self._publisher.snapshot
            loaded = await in_thread(partial(self._load, force=force, served=served, patient=patient))
            self._served_when_held = loaded.files
            if patient and before and _is_unchanged(loaded, before):
                self.loaded = replace(loaded, snapshot=before.snapshot)
            else:
                await self._keep_good(loaded)
                await self._publish(loaded)
            if before:
                await in_thread(partial(keep_times, loaded.files, before.files))
        except InvalidDataError as error:
            return self._refuse("refused", error.problems, start)
        except Exception as error:  # no failed reload may end the process: the served data must outlive it
            return self._refuse("failed", (self._problem(error),), start)
        self.results["held" if loaded.held else "ok"] += 1
        self._note_loaded(loaded, start)
        return self.last

    async def _await_workers(self, *, again: bool) -> None:
        """Wait for the workers, without holding `turn`; then log the outcome and save the snapshot."""
        loaded, revision = self.loaded, self._publisher.revision
        if not await self._publisher.wait_until_served(revision, SERVED_WITHIN_S):
            self._log.error(f"revision {revision} is not yet served by {', '.join(self._publisher.late(revision))}")
        if loaded is not None:
            self._report(self._problems(loaded), again=again)
            held = f"; held: {', '.join(loaded.held)}" if loaded.held else ""
            self._log.info(f"reloaded: revision {revision}, {loaded.summary()}{held}")
        await self._publisher.save()

    def _load(self, *, force: bool, served: Snapshot | None, patient: bool = False) -> Loaded:
        """Load the files, in a thread. `served` is the change guard's reference if nothing was loaded before.

        Raises InvalidDataError, also for the change guard.
        """
        gc.disable()  # a million objects are made, few are freed
        try:
            self.source = read_source(self._config, previous=self.source, patient=patient)
            with progress_on(None if self.loaded else sys.stderr) as progress:  # the operator waits for the first load
                before, good = self.loaded, self._good_files
                seen = NEVER_SEEN if before else self._times.load()
                loaded = load(
                    self._config, previous=before, source=self.source, good=good, progress=progress, seen=seen
                )
            if not self.loaded:
                gc.freeze()  # these objects mostly stay, and a collection over them takes long
        finally:
            gc.enable()
            trim()
        if not force:
            found: Iterable[Problem] = ()
            if self.loaded:
                found = guard_problems(loaded, self.loaded)
            elif served:
                limit = loaded.settings.reload.max_drop_percent
                found = map(loaded.locate, names_problems(served.names, loaded.snapshot.names, limit))
            if found := tuple(found):
                raise InvalidDataError((*loaded.errors, *found))
        self._times.save(loaded.times)
        return loaded

    async def _publish(self, loaded: Loaded) -> None:
        loaded = replace(loaded, snapshot=self._numbered(loaded.snapshot))
        self.loaded, self.settings = loaded, loaded.settings
        self._log.format, self._log.level = loaded.settings.log.format, loaded.settings.log.level
        await self._publisher.publish(loaded.snapshot, loaded.settings.for_workers)

    async def keep_first_good(self) -> None:
        """Keep the texts served since the start as good; the start itself does not wait for this."""
        async with self.turn:
            if self.loaded:
                await self._keep_good(self.loaded)

    async def _keep_good(self, loaded: Loaded) -> None:
        """Keep the texts as the last good version of each account. The caller holds `turn`.

        This comes before serving them: a process killed between the two must not go back to an older version.
        """
        before = self.good.problem
        await in_thread(partial(self.good.keep, loaded.files))
        if self.good.problem and self.good.problem != before:
            self._log.error(f"{self.good.problem}; an account with an error would be held at an older version")

    def _good_files(self) -> Files | None:
        """The last good version of each account: the served one; at a start, the one served last."""
        return self.good.of(self.loaded.files) if self.loaded else self.good.read()

    def _numbered(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the next revision, which no worker and no snapshot file of an earlier run can have."""
        self._revision += 1
        return replace(snapshot, revision=self._revision)

    def _file(self) -> Snapshot | None:
        """The snapshot file's snapshot, None if unusable; slow."""
        gc.disable()  # a million objects are made, none is freed
        try:
            _, parts = load_snapshot(self._state / FILE_NAME)
            return next(filter(None, apply_delta(None, parts)))
        except ValueError as error:
            self._log.debug(f"no usable snapshot file: {error}")
            return None
        finally:
            gc.enable()

    async def _publish_file(self, title: Title | None) -> bool:
        snapshot = await in_thread(self._file)
        if snapshot is None or title is None:
            return False
        age = max(0, int(time.time()) - title.saved_at)
        self._log.error(
            f"the files cannot be used: serving the snapshot of {age} s ago, with {len(snapshot.names):,} names, "
            "until they are fixed"
        )
        await self._publisher.publish(self._numbered(snapshot), self.settings.for_workers)
        return True

    def _warn_of_loss(self, before: int, loaded: Loaded) -> None:
        """The change guard at a start: a warning only, as starting the server asks for the files as they are."""
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
        """The errors in held accounts, and all warnings."""
        return (*loaded.errors, *loaded.warnings, *self._waiting_for_start(loaded))

    def _waiting_for_start(self, loaded: Loaded) -> Iterator[Problem]:
        """A warning for each changed setting that only a restart can apply."""
        for path in NEEDS_START:
            get = attrgetter(".".join(path))
            if get(loaded.settings) != get(self._first_settings):
                message = "the change takes effect after a restart"
                yield loaded.locate(Problem("", path, message, warning=True))

    def _read(self, previous: Source | None) -> asyncio.Future[Source]:
        return in_thread(lambda: read_source(self._config, previous=previous, patient=True))

    async def _settled(self) -> Source:
        """The source, once unchanged for a moment: a file cut off between two lines may look complete."""
        source = await self._read(self.source)
        for _ in range(SETTLE_TRIES):
            if source == self.source:
                break
            await asyncio.sleep(SETTLE_S)
            last, source = source, await self._read(source)
            if source == last:
                break
        return source

    @property
    def _folder(self) -> Path | None:
        """The accounts' folder at the last attempt."""
        return self.source.folder if self.source else None

    def _folders(self) -> list[str]:
        return watched_folders(self._config, self._folder)


def _is_unchanged(loaded: Loaded, before: Loaded) -> bool:
    """Whether settings and files equal the served ones."""
    return loaded.settings == before.settings and loaded.files.has_same_content(before.files)
