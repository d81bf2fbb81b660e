"""Loads under the guard: new files are served only if its rules allow them, or the operator's word does.

An account with a finding of its own is held like an account in error; a finding over several accounts refuses the whole
load. All of this runs in a thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dnsd.app import Loaded, load
from dnsd.control.current import Current
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import DnsdError, InvalidDataError, Problem
from dnsd.manage.brake import FILES, Book, Overrun, judged, limit_of
from dnsd.manage.judge import Moves, findings, moved_by_settings, moves_between, moves_from
from dnsd.model.advertisement import NO_ROUTES, Routes
from dnsd.model.guard import FORCE, AccountMoves, GuardFinding, listed, move_findings, names_problems, taken
from dnsd.model.sightings import NEVER_SEEN
from dnsd.process.garbage import garbage_paused
from dnsd.process.memory import trim
from dnsd.progress import progress_on
from dnsd.settings.sections import OnError
from dnsd.source import Source
from dnsd.store.directory import Files
from dnsd.store.hold import Stopped, changed_accounts
from dnsd.store.kept_zones import NOTHING_KEPT, KeptZones

MAX_ROUNDS = 20  # in which accounts are held, before the load is refused
BRAKE = ("reload", "brake")  # path of the setting
NOTHING_WAITS = "no change of this account waits; --account is the name of its folder"
NOT_FORCED = "waits for `dnsd reload`, as --account named another account"


@dataclass(frozen=True, slots=True)
class Force:
    """The operator's word to pass the guard: for all files, or for those of one account."""

    account: str = ""  # folder


@dataclass(frozen=True, slots=True, eq=False)
class Admitted:
    """Data that may be served."""

    loaded: Loaded
    book: Book  # of the brake, with this load
    notes: tuple[Problem, ...] = ()  # warnings about the change itself
    waits: bool = False  # whether accounts are held that wait for the operator's word


class GuardRefusedError(InvalidDataError):
    """The guard refuses the files; `waiting` are the moves that wait for the operator's word."""

    def __init__(
        self, problems: Iterable[Problem], waiting: tuple[AccountMoves, ...] = (), *, is_overrun: bool = False
    ) -> None:
        super().__init__(problems)
        self.waiting = waiting
        self.is_overrun = is_overrun  # of the brake


class UnsettledError(DnsdError):
    """Names would be taken off their maps, by files that may still be changing."""


class GuardedLoad:
    """Loads of the files, each judged against the data before it."""

    def __init__(self, config: Path, current: Current, *, is_judged: bool = False) -> None:
        """`is_judged`: all that is loaded was judged elsewhere, before it came here."""
        self.kept: KeptZones = NOTHING_KEPT  # at a start, the zones that an earlier process has read
        self._config = config
        self._current = current
        self._is_judged = is_judged

    def first(self, source: Source, base: Loaded | None, book: Book) -> Admitted:
        """The data of the files as they are or, with a `base`, as judged against it. Raises GuardRefusedError."""
        return self.next(source, base, book) if base else Admitted(self._load(source, None), book)

    def last_good(self, source: Source) -> Loaded | None:
        """The last good version of all accounts; None if nothing has changed since, or without such a version."""
        good = self._current.good_files()
        if good is None or source.files is None or not (changed := changed_accounts(source.files, good)):
            return None
        reason = "waits: the files are judged against this version"
        return self._load(source, None, {account: (Problem(account, (), reason),) for account in changed})

    @garbage_paused()
    def next(
        self, source: Source, before: Loaded, book: Book, *, force: Force | None = None, is_settled: bool = True
    ) -> Admitted:
        """The data of the files after `before`, with accounts held as the rules say.

        Raises GuardRefusedError, other InvalidDataErrors, and UnsettledError unless `is_settled`.
        """
        if self._is_judged:
            return Admitted(self._load(source, before), book)
        waiting = (
            changed_accounts(source.files, before.files) if force and force.account and source.files else frozenset()
        )
        if force and (not force.account or force.account in waiting):
            others = waiting - {force.account}
            stopped = {account: (Problem(account, (), NOT_FORCED),) for account in others}
            loaded = self._load(source, before, stopped, force)
            notes = _notes(before, loaded, moves_between(before, loaded))
            return Admitted(loaded, book.renewed(FILES.key), notes, waits=bool(others))
        loaded, moved, held = self._held(source, before, is_settled=is_settled)
        reload = loaded.settings.reload
        limit = limit_of(len(before.dataset.accounts), reload.brake_limits, reload.window_s)
        after = judged(book, FILES, moved.zones, moved.base, loaded.snapshot, limit, time.time())
        if isinstance(after, Overrun):
            problems = (*loaded.errors, loaded.locate(_brake_problem(after, moved)))
            raise GuardRefusedError(problems, moved.accounts, is_overrun=True)
        unknown = Problem(force.account, (), NOTHING_WAITS, warning=True) if force else None
        notes = _notes(before, loaded, moved)
        return Admitted(loaded, after, (*notes, unknown) if unknown else notes, waits=bool(held))

    def after_snapshot(self, source: Source, served: Snapshot, book: Book, *, force: Force | None) -> Admitted:
        """The data of the files, if only the answers before are known. Raises GuardRefusedError."""
        loaded = self._load(source, None, force=force)
        if self._is_judged or (force and not force.account):
            return Admitted(loaded, book.renewed(FILES.key))
        limit = loaded.settings.reload.max_drop_percent
        moved = moves_from(served, loaded, loaded.dataset.accounts)
        found = [one.problem for one in move_findings(moved.accounts, moved.proxied, limit)]
        found += names_problems(served.names, loaded.snapshot.names, limit)
        if found:
            raise GuardRefusedError((*loaded.errors, *map(loaded.locate, found)), moved.accounts)
        return Admitted(loaded, book, tuple(map(loaded.locate, taken(moved.accounts))))

    def _held(self, source: Source, before: Loaded, *, is_settled: bool) -> tuple[Loaded, Moves, Stopped]:
        """The data with accounts held until no finding is left, its moves, and these accounts.

        Raises GuardRefusedError and, unless `is_settled`, UnsettledError.
        """
        stopped: dict[str, tuple[Problem, ...]] = {}
        rounds = 0
        while True:
            loaded = self._load(source, before, stopped)
            if loaded is before:
                return loaded, Moves(before.snapshot, (), (), 0), stopped
            moved = moves_between(before, loaded)
            if not is_settled and any(_leaves_map(moved)):
                raise UnsettledError
            found = findings(before, loaded, moved)
            if not found:
                return loaded, moved, stopped
            own = {} if loaded.settings.on_error is OnError.REFUSE else _by_account(found, stopped)
            over = [one for one in found if not one.accounts & own.keys() or len(one.accounts) > 1]
            rounds += 1
            if not own or any(not one.is_share for one in over) or rounds > MAX_ROUNDS:
                problems = (*loaded.errors, *(one.problem for one in found))
                raise GuardRefusedError(problems, moved.accounts)
            stopped |= own

    def _load(
        self, source: Source, before: Loaded | None, stopped: Stopped | None = None, force: Force | None = None
    ) -> Loaded:
        stream = None if before else sys.stderr  # the operator waits for the first load
        with _no_garbage(freeze=before is None), progress_on(stream) as progress:
            return load(
                self._config,
                previous=before,
                source=source,
                good=self._good_files,
                good_policies=self._current.good_policies,
                may_go=None if self._is_judged else partial(_may_go, force),
                progress=progress,
                seen=NEVER_SEEN if before else self._current.times.load(),
                observed=NO_ROUTES if before else self._routes(source),
                stopped=stopped or {},
                others=self._current.other_processes,
                kept=NOTHING_KEPT if before else self.kept,
            )

    def _good_files(self) -> Files | None:
        """The last good files. An edge without any leaves out accounts in error, so that the others are served."""
        return self._current.good_files() or (Files("") if self._is_judged else None)

    def _routes(self, source: Source) -> Routes:
        """The routes observed by an earlier process, and those in the watched file, as far as they still count."""
        if isinstance(source.settings, InvalidDataError):
            return NO_ROUTES
        settings = source.settings.settings.advertisement
        self._current.routes.load(settings.feed_file(self._config))
        return self._current.routes.routes(settings.max_age)


def _may_go(force: Force | None, account: str) -> bool:
    return force is not None and force.account in ("", account)


def snapshot_of(steps: Iterable[Snapshot | None]) -> Snapshot | None:
    """The snapshot to which the steps from a file lead; None if it is of no use to this version."""
    try:
        return next(filter(None, steps))
    except ValueError:
        return None


def moved_by_start(before: Snapshot, loaded: Loaded) -> list[Problem]:
    """Warnings with the figures of names lost, or with other answers than in the snapshot file."""
    lost = _lost_by_start(len(before.names), loaded)
    moved = moves_from(before, loaded, loaded.dataset.accounts).accounts
    counts = {one.account: one.names.total for one in moved}
    if not counts:
        return lost
    what = f"this start changes the answers of {sum(counts.values()):,} proxied names: {listed(counts)}"
    return [*lost, Problem("", (), what, warning=True), *taken(moved)]


def _lost_by_start(before: int, loaded: Loaded) -> list[Problem]:
    """A warning if the start lost more of the names, proxied or not, than a reload may."""
    now, limit = len(loaded.snapshot.names), loaded.settings.reload.max_drop_percent
    if (before - now) * 100 <= before * limit:
        return []
    return [Problem("", (), f"serving {now:,} names; {before:,} were served before this start", warning=True)]


def _by_account(found: Iterable[GuardFinding], stopped: Stopped) -> dict[str, tuple[Problem, ...]]:
    """The problems of findings within one account that is not held yet."""
    own: dict[str, tuple[Problem, ...]] = {}
    for one in found:
        if len(one.accounts) == 1 and not one.accounts & stopped.keys():
            (account,) = one.accounts
            own[account] = (*own.get(account, ()), one.problem)
    return own


def _leaves_map(moved: Moves) -> Iterator[bool]:
    """Whether names leave their map, for each zone."""
    for one in moved.zones:
        yield one.old is not moved.base.default and one.names.total > one.names.readdressed


def _brake_problem(overrun: Overrun, moved: Moves) -> Problem:
    counts = {one.account: one.names.total for one in moved.accounts}
    what = f"{overrun.message(time.time())}: {listed(counts)}"
    return Problem("", BRAKE, f"{what}: use `dnsd brake release files`, then `dnsd reload`; or {FORCE}")


def _notes(before: Loaded, loaded: Loaded, moved: Moves) -> tuple[Problem, ...]:
    return (*map(loaded.locate, taken(moved.accounts)), *moved_by_settings(before, loaded))


@contextmanager
def _no_garbage(*, freeze: bool) -> Iterator[None]:
    """Collect no garbage in this context; return free memory at its end. `freeze`: see `garbage_paused`."""
    try:
        with garbage_paused(freeze=freeze):
            yield
    finally:
        trim()
