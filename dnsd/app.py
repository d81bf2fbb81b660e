"""From settings and data files to a snapshot, the same way for `serve`, `check` and `explain`.

A reload reads the source. If its content is unchanged, the reload ends there; else the source is loaded, reusing
unchanged parts of the served data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from dnsd.compile.build import BuiltChange, build_snapshot, flattening_problems
from dnsd.compile.foreign import foreign_answers
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import InvalidDataError, Problem, in_order
from dnsd.formats.kept_items import ReadAlready
from dnsd.model.advertisement import NO_ROUTES, Routes, observed_warnings
from dnsd.model.dataset import Dataset
from dnsd.model.quota_rules import Uses, quota_warnings, uses_of
from dnsd.model.sightings import NEVER_SEEN, ObjectTimes, see
from dnsd.model.zone_rules import WIDEST_LIMITS
from dnsd.process.memory import trim
from dnsd.process.memory_limit import memory_left, memory_limit
from dnsd.progress import Progress, no_progress
from dnsd.settings.file import SettingsFile
from dnsd.settings.sections import LimitSettings, OnError
from dnsd.settings.server import Settings
from dnsd.source import Source, read_source
from dnsd.store.directory import Files, SourceFile, account_of, contents_of
from dnsd.store.files_edit import FilesEdit
from dnsd.store.hold import MayGo, Served, Stopped
from dnsd.store.judging import LastGood, judge_and_load
from dnsd.store.kept_zones import NOTHING_KEPT, KeptZones
from dnsd.store.load import NOTHING, Loading, Stored, load_files
from dnsd.store.room import Room
from dnsd.store.text_file import MIB


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A whole configuration, ready to be served."""

    settings: Settings
    dataset: Dataset
    snapshot: Snapshot
    warnings: tuple[Problem, ...]
    source: Source
    files: Files  # the served files: the source's, but for held accounts the last good ones
    held: Mapping[str, tuple[Problem, ...]]  # the errors of held accounts, by folder name
    stored: Stored
    settings_file: SettingsFile
    flattening: tuple[Problem, ...]  # warnings about flattened CNAMEs, which depend on the snapshot's names
    foreign: tuple[Problem, ...]  # warnings about names of barred accounts that lead to other accounts
    times: ObjectTimes
    uses: Uses  # of the accounts' quotas
    observed: Routes = NO_ROUTES  # as they were when this was built

    @property
    def errors(self) -> tuple[Problem, ...]:
        """All errors in held accounts, in the order of their files."""
        return in_order(dict.fromkeys(problem for problems in self.held.values() for problem in problems))

    def reason(self, account: str, *, is_operator: bool) -> str:
        """The reason why an account is held; only the operator sees details of other accounts."""
        return self.described(self.held[account][0], account, is_operator=is_operator)

    def described(self, problem: Problem, account: str, *, is_operator: bool) -> str:
        """A problem of a held account in words, with its place relative to the folder of accounts."""
        if not is_operator and not {account_of(problem.source), account_of(problem.other)} <= {"", account}:
            return "it conflicts with another account"
        place = problem.place
        file = os.path.relpath(place.file, self.files.root) if place else ""
        return str(replace(problem, place=place and replace(place, file=file)))

    def unserved(self, key: str) -> Problem | None:
        """The problem that keeps an object's file from being served; None if the file is served."""
        account = account_of(key)
        if account not in self.held or not self.source.files:
            return None
        if self.source.files.by_key().get(key) == self.files.by_key().get(key):
            return None
        problems = self.held[account]
        return next((problem for problem in problems if problem.source == key), problems[0])

    def locate(self, problem: Problem) -> Problem:
        """The problem with its place in its object's file; without a source, in the settings file."""
        if problem.source:
            return self.stored.locate([problem])[0]
        return self.settings_file.locate(replace(problem, source=self.source.seen.settings_file.path))

    def summary(self) -> str:
        """The counts of accounts, maps, zones, records and names, in words."""
        dataset, names = self.dataset, len(self.snapshot.names)
        records = sum(len(zone.records) for zone in dataset.zones.values())
        counts = [(len(dataset.accounts), "account"), (len(dataset.maps), "map"), (len(dataset.zones), "zone")]
        counts += [(records, "record"), (names, "name")]
        return ", ".join(f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in counts)


class LoadedChange(NamedTuple):
    """The data before and after a change."""

    before: Loaded
    after: Loaded


def load(
    config: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    previous: Loaded | None = None,
    source: Source | None = None,
    good: Callable[[], Files | None] = lambda: None,
    good_policies: Callable[[], Files | None] = lambda: None,
    may_go: MayGo = lambda account: False,
    progress: Progress = no_progress,
    seen: ObjectTimes = NEVER_SEEN,
    now: datetime | None = None,
    stopped: Stopped = MappingProxyType({}),
    observed: Routes = NO_ROUTES,
    others: Callable[[], Iterable[int]] = tuple,
    kept: KeptZones = NOTHING_KEPT,
) -> Loaded:
    """Load the configuration, reusing unchanged parts of `previous`; return `previous` itself if nothing changed.

    `source` is the result of an earlier `read_source`. `good` returns the files served last, and is called if needed:
    with them and `on_error: hold`, accounts with errors are held at these files, and accounts that would be taken off
    their bar from the pool by a slip; so are those in `stopped`, for the reasons given. `good_policies` are the good
    files without zones, for a start, and `may_go` says whether a barred account may be removed, given its folder.
    `progress` is called while files are read. `others` returns the pids of processes whose memory counts, too. Without
    `previous`, `seen` are the times of objects seen by an earlier process, `kept` the zones it read, `observed` the
    observed routes, and new objects are seen `now`. Raises InvalidDataError with all problems: nothing loads in part.
    """
    good = cache(good)
    if source is None:
        before_it = previous.source if previous else None
        source = read_source(config, environment, previous=before_it, served=lambda: contents_of(good()))
    if previous and source == previous.source and not previous.held and not stopped:
        return previous
    settings_file, files = _usable(source, config, others)
    settings = settings_file.settings
    stored = previous.stored if previous else NOTHING
    limits, room = settings.rrset_limits, _room(settings, others)
    loading = Loading(settings.nameservers, stored, progress, limits=limits, room=room, good=good, kept=kept)
    served = judge_and_load(
        loading,
        files,
        LastGood(good, good_policies, previous.dataset if previous else None),
        may_go,
        stopped,
        may_hold=settings.on_error is not OnError.REFUSE,
        was_held=bool(previous and previous.held),
    )
    trim()  # what reading has freed: packing needs as much again
    seen, data = (previous.times, previous.dataset) if previous else (seen, None)
    times = see(served.stored.dataset, now or datetime.now(UTC), before=seen, previous=data)
    return _built(source, settings_file, served, times, previous.observed if previous else observed, previous, kept)


def _usable(source: Source, config: Path, others: Callable[[], Iterable[int]]) -> tuple[SettingsFile, Files]:
    """The settings and files of a source. Raises InvalidDataError if it lacks one of them."""
    settings_file = source.settings
    if isinstance(settings_file, InvalidDataError):
        raise InvalidDataError((*settings_file.problems, *_problems_in(source, _room(None, others))))
    if source.files is None:
        raise InvalidDataError([settings_file.locate(Problem(str(config), ("data",), source.seen.absence))])
    return settings_file, source.files


def load_change(
    previous: Loaded,
    files: Files,
    now: datetime,
    read: Mapping[SourceFile, ReadAlready] = MappingProxyType({}),
    *,
    known: LoadedChange | None = None,
) -> Loaded:
    """Load a change that makes `files` the served files at the time `now`; return `previous` itself if they are equal.

    The unserved files of held accounts stay unchanged; `read` has what is known of zones' texts already, and `known` is
    the same change as loaded on top of other data. Raises InvalidDataError.
    """
    if files == previous.files:
        return previous
    assert previous.source.files is not None
    found = files if not previous.held else FilesEdit(previous.files, files).applied(previous.source.files)
    settings, before = previous.settings, previous.stored
    stored = load_files(
        files,
        settings.nameservers,
        before,
        limits=settings.rrset_limits,
        room=before.room,
        read=read,
        known=known.after.stored if known else NOTHING,
    )
    times = see(stored.dataset, now, before=previous.times, previous=previous.dataset)
    served = Served(stored, files, previous.held)
    source = replace(previous.source, seen=replace(previous.source.seen, files=found))
    return _built(source, previous.settings_file, served, times, previous.observed, previous, change=known)


def with_observed(loaded: Loaded, observed: Routes) -> Loaded:
    """The same data with other observed routes."""
    served = Served(loaded.stored, loaded.files, loaded.held)
    return _built(loaded.source, loaded.settings_file, served, loaded.times, observed, loaded)


def _built(
    source: Source,
    settings_file: SettingsFile,
    served: Served,
    times: ObjectTimes,
    observed: Routes,
    previous: Loaded | None,
    kept: KeptZones = NOTHING_KEPT,
    change: LoadedChange | None = None,
) -> Loaded:
    settings, stored = settings_file.settings, served.stored
    before = previous.snapshot if previous else kept.snapshot(stored.objects.zones)
    known = BuiltChange(change.before.snapshot, change.after.snapshot) if change else None
    snapshot = build_snapshot(stored.dataset, settings.options, before, observed=observed, known=known)
    dataset, places = stored.dataset, dict(stored.places)

    def located(problems: Iterable[Problem]) -> tuple[Problem, ...]:
        found = stored.located(problems, previous.stored if previous else None)
        places.update(found)
        return tuple(found.values())

    if previous and snapshot.names is previous.snapshot.names:
        flattening = previous.flattening
    else:
        flattening = located(flattening_problems(snapshot))
    if previous and flattening is previous.flattening and dataset.barred == previous.dataset.barred:
        foreign = previous.foreign
    else:
        foreign = located(foreign_answers(dataset, snapshot))
    unseen = located(observed_warnings(dataset.accounts, dataset.maps.values(), observed))
    uses = uses_of(dataset)
    over = located(quota_warnings(dataset, uses, settings.quotas))
    found = (*settings_file.warnings, *stored.warnings, *flattening, *foreign, *unseen, *over)
    if any(not problem.warning for problem in found):
        raise InvalidDataError(found)
    return Loaded(
        settings=settings,
        dataset=dataset,
        snapshot=snapshot,
        warnings=in_order(found),
        source=source,
        files=served.files,
        held=served.held,
        stored=replace(stored, places=places),
        settings_file=settings_file,
        flattening=flattening,
        foreign=foreign,
        times=times,
        uses=uses,
        observed=observed,
    )


def _room(settings: Settings | None, others: Callable[[], Iterable[int]]) -> Room:
    """The memory for zones and the largest file, with default settings if there are none."""
    limits = settings.limits if settings else LimitSettings()
    limit = memory_limit(limits.memory_mib)
    workers = settings.worker_count if settings else 1
    return Room(limit, lambda: memory_left(limit, others()), workers, limits.file_mib * MIB)


def _problems_in(source: Source, room: Room) -> tuple[Problem, ...]:
    """The data's problems, in addition to the settings', so that a user sees all at once."""
    if source.files is not None:
        try:
            load_files(source.files, (), limits=WIDEST_LIMITS, room=room)
        except InvalidDataError as error:
            return error.problems
    return ()
