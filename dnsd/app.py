"""Putting the parts together: settings and data to a snapshot, the same for `serve`, `check` and `explain`.

A reload is: read the source; if it says what it said last time, nothing is to be done; else load it, with what is
served to take over from.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from dnsd.engine.build import build_snapshot, flattening_problems
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import InvalidDataError, Problem, in_order
from dnsd.model.dataset import Dataset
from dnsd.model.guard import drop_problems
from dnsd.model.sightings import NEVER_SEEN, ObjectTimes, see
from dnsd.model.zone_rules import WIDEST_LIMITS
from dnsd.progress import Progress, no_progress
from dnsd.settings import InvalidSettingsError, OnError, Settings, SettingsFile, load_settings
from dnsd.store.directory import Files, Kind, SourceFile, is_folder, read_file, read_files
from dnsd.store.files_edit import FilesEdit
from dnsd.store.hold import Served, account_of, load_served
from dnsd.store.load import NOTHING, Loading, Stored, load_files


@dataclass(frozen=True, slots=True)
class Source:
    """What all files say; equal to another where that says the same, whenever it was written."""

    settings_file: SourceFile
    settings: SettingsFile | InvalidDataError = field(compare=False)
    folder: Path | None  # of accounts; None where the settings say nothing at all
    files: Files | None  # None: there is no such folder


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """Everything that a configuration says, ready to be served."""

    settings: Settings
    dataset: Dataset
    snapshot: Snapshot
    warnings: tuple[Problem, ...]
    source: Source
    files: Files  # those that are served: the source's, but the last good ones of accounts that are held
    held: Mapping[str, tuple[Problem, ...]]  # why accounts are held, by their folder names; errors
    stored: Stored
    settings_file: SettingsFile
    flattening: tuple[Problem, ...]  # the warnings about flattened CNAMEs, which depend on the snapshot's names
    times: ObjectTimes

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Everything that is wrong in accounts that are held, in the order of their files."""
        return in_order(dict.fromkeys(problem for problems in self.held.values() for problem in problems))

    def reason(self, account: str, *, is_operator: bool) -> str:
        """Why an account is held, in words; only the operator hears of other accounts."""
        return self.said(self.held[account][0], account, is_operator=is_operator)

    def said(self, problem: Problem, account: str, *, is_operator: bool) -> str:
        """A problem that keeps an account held, with its place below the folder of accounts."""
        if not is_operator and not {account_of(problem.source), account_of(problem.other)} <= {"", account}:
            return "it clashes with what another account has"
        place = problem.place
        file = os.path.relpath(place.file, self.files.root) if place else ""
        return str(replace(problem, place=place and replace(place, file=file)))

    def unserved(self, key: str) -> Problem | None:
        """What is wrong with an object whose file is not what is served; None where it is."""
        account = account_of(key)
        if account not in self.held or not self.source.files:
            return None
        if self.source.files.by_key().get(key) == self.files.by_key().get(key):
            return None
        problems = self.held[account]
        return next((problem for problem in problems if problem.source == key), problems[0])

    def locate(self, problem: Problem) -> Problem:
        """The problem at its place: in the file of the object that it is in; without a source, in the settings."""
        if problem.source:
            return self.stored.locate([problem])[0]
        return self.settings_file.locate(replace(problem, source=self.source.settings_file.path))

    def summary(self) -> str:
        """How much it is, in words."""
        dataset, names = self.dataset, len(self.snapshot.names)
        records = sum(len(zone.records) for zone in dataset.zones.values())
        counts = [(len(dataset.accounts), "account"), (len(dataset.maps), "map"), (len(dataset.zones), "zone")]
        counts += [(records, "record"), (names, "name")]
        return ", ".join(f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in counts)


def load(
    config: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    previous: Loaded | None = None,
    source: Source | None = None,
    good: Callable[[], Files | None] = lambda: None,
    progress: Progress = no_progress,
    seen: ObjectTimes = NEVER_SEEN,
    now: datetime | None = None,
) -> Loaded:
    """What the configuration says; `previous` is what to take over from, and is returned itself if nothing changed.

    `source` is what `read_source` returned, if it was asked before. Where there are `good` files, those that were
    served last, an account in error is held at them, if the settings say so; they are asked for when they are needed.
    `progress` hears how far the reading of a file is. `seen` is what an earlier process has seen, where there is no
    `previous`; what is new is seen `now`. Raises InvalidDataError with every problem, warnings among them; nothing is
    half-read.
    """
    source = source or read_source(config, environment, previous=previous.source if previous else None)
    if previous and source == previous.source and not previous.held:
        return previous
    settings_file = source.settings
    if isinstance(settings_file, InvalidDataError):
        raise InvalidDataError((*settings_file.problems, *_problems_in(source)))
    if source.files is None:
        message = f"there is no folder {source.folder}"
        raise InvalidDataError([settings_file.locate(Problem(str(config), ("data",), message))])
    settings = settings_file.settings
    stored = previous.stored if previous else NOTHING
    loading = Loading(settings.nameservers, stored, progress, limits=settings.rrset_limits)
    judged = loading.judge(source.files)
    is_clean = not judged.has_errors and not (previous and previous.held)
    before = None if is_clean or settings.on_error is OnError.REFUSE else good()
    if before is None:
        served = Served(loading.accept(judged), source.files, {})
    else:
        served = load_served(loading, source.files, before)
    known = previous.dataset if previous else None
    seen = previous.times if previous else seen
    times = see(served.stored.dataset, now or datetime.now(UTC), before=seen, previous=known)
    return _built(source, settings_file, served, times, previous)


def load_change(previous: Loaded, files: Files, now: datetime) -> Loaded:
    """What is loaded once the files that are served are these, `now`; `previous` itself if they say the same.

    The files that are not served, of accounts that are held, stay as they are. Raises InvalidDataError.
    """
    if files == previous.files:
        return previous
    assert previous.source.files is not None
    found = files if not previous.held else FilesEdit(previous.files, files).applied(previous.source.files)
    settings = previous.settings
    stored = load_files(files, settings.nameservers, previous.stored, limits=settings.rrset_limits)
    times = see(stored.dataset, now, before=previous.times, previous=previous.dataset)
    served = Served(stored, files, previous.held)
    return _built(replace(previous.source, files=found), previous.settings_file, served, times, previous)


def _built(
    source: Source, settings_file: SettingsFile, served: Served, times: ObjectTimes, previous: Loaded | None
) -> Loaded:
    settings, stored = settings_file.settings, served.stored
    snapshot = build_snapshot(stored.dataset, settings.options, previous.snapshot if previous else None)
    if previous and snapshot.names is previous.snapshot.names:
        flattening = previous.flattening
    else:
        flattening = tuple(stored.locate(flattening_problems(snapshot)))
    found = (*stored.warnings, *flattening)
    if any(not problem.warning for problem in found):
        raise InvalidDataError(found)
    return Loaded(
        settings=settings,
        dataset=stored.dataset,
        snapshot=snapshot,
        warnings=in_order(found),
        source=source,
        files=served.files,
        held=served.held,
        stored=stored,
        settings_file=settings_file,
        flattening=flattening,
        times=times,
    )


def guard_problems(loaded: Loaded, previous: Loaded) -> tuple[Problem, ...]:
    """Why `loaded` must not replace `previous` unless somebody insists: what it would drop. Each at its place."""
    found = drop_problems(previous.dataset, loaded.dataset, loaded.settings.reload.max_drop_percent)
    return in_order(map(loaded.locate, found))


def read_source(
    config: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    previous: Source | None = None,
    patient: bool = False,
) -> Source:
    """The text of all files; those that did not change since `previous` was read are not read again.

    What cannot be read is part of it, and no error yet. `patient` is that of `read_files`.
    """
    # The text is read before the settings: should the file change in between, the next reading sees another text.
    before = previous.settings_file if previous else None
    file = read_file(str(config), "", Kind.SETTINGS, previous=before, now_ns=time.time_ns())
    settings = previous.settings if previous and file == before else _settings(config, environment)
    folder = _data_folder(config, settings)
    if folder is None or not is_folder(folder):
        return Source(file, settings, folder, None)
    return Source(file, settings, folder, read_files(folder, previous.files if previous else None, patient=patient))


def _settings(config: Path, environment: Mapping[str, str]) -> SettingsFile | InvalidDataError:
    try:
        return load_settings(config, environment)
    except InvalidDataError as error:
        return error.with_traceback(None)


def _data_folder(config: Path, settings: SettingsFile | InvalidDataError) -> Path | None:
    if isinstance(settings, InvalidSettingsError):
        return config.parent / settings.data
    return config.parent / settings.settings.data if isinstance(settings, SettingsFile) else None


def _problems_in(source: Source) -> tuple[Problem, ...]:
    """What is wrong with the data, where the settings are wrong already: a user sees all of it at once."""
    if source.files is not None:
        try:
            load_files(source.files, (), limits=WIDEST_LIMITS)
        except InvalidDataError as error:
            return error.problems
    return ()
