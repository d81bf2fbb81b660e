"""Putting the parts together: settings and data to a snapshot, the same for `serve`, `check` and `explain`.

A reload is: read the source; if it says what it said last time, nothing is to be done; else load it, with what is
served to take over from.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from dnsd.engine.build import build_snapshot, flattening_problems
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import InvalidDataError, Problem, in_order
from dnsd.model.dataset import Dataset
from dnsd.model.guard import drop_problems
from dnsd.model.sightings import NEVER_SEEN, ObjectTimes, see
from dnsd.progress import Progress, no_progress
from dnsd.settings import InvalidSettingsError, Settings, SettingsFile, load_settings
from dnsd.store.directory import Files, Kind, SourceFile, is_folder, read_file, read_files
from dnsd.store.load import NOTHING, Stored, load_files


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
    stored: Stored
    settings_file: SettingsFile
    flattening: tuple[Problem, ...]  # the warnings about flattened CNAMEs, which depend on the snapshot's names
    times: ObjectTimes

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
    progress: Progress = no_progress,
    seen: ObjectTimes = NEVER_SEEN,
    now: datetime | None = None,
) -> Loaded:
    """What the configuration says; `previous` is what to take over from, and is returned itself if nothing changed.

    `source` is what `read_source` returned, if it was asked before. `progress` hears how far the reading of a file is.
    `seen` is what an earlier process has seen, where there is no `previous`; what is new is seen `now`.
    Raises InvalidDataError with every problem, warnings among them; nothing is half-read.
    """
    source = source or read_source(config, environment, previous=previous.source if previous else None)
    if previous and source == previous.source:
        return previous
    settings_file = source.settings
    if isinstance(settings_file, InvalidDataError):
        raise InvalidDataError((*settings_file.problems, *_problems_in(source)))
    if source.files is None:
        message = f"there is no folder {source.folder}"
        raise InvalidDataError([settings_file.locate(Problem(str(config), ("data",), message))])
    before = previous.stored if previous else NOTHING
    stored = load_files(source.files, settings_file.settings.nameservers, before, progress=progress)
    times = see(
        stored.dataset,
        now or datetime.now(UTC),
        before=previous.times if previous else seen,
        previous=previous.dataset if previous else None,
    )
    return _built(source, settings_file, stored, times, previous)


def _built(
    source: Source, settings_file: SettingsFile, stored: Stored, times: ObjectTimes, previous: Loaded | None
) -> Loaded:
    settings = settings_file.settings
    snapshot = build_snapshot(stored.dataset, settings.options, previous.snapshot if previous else None)
    if previous and snapshot.names is previous.snapshot.names:
        flattening = previous.flattening
    else:
        flattening = tuple(stored.locate(flattening_problems(snapshot)))
    found = (*stored.warnings, *flattening)
    if any(not problem.warning for problem in found):
        raise InvalidDataError(found)
    return Loaded(settings, stored.dataset, snapshot, in_order(found), source, stored, settings_file, flattening, times)


def guard_problems(loaded: Loaded, previous: Loaded) -> tuple[Problem, ...]:
    """Why `loaded` must not replace `previous` unless somebody insists: what it would drop. Each at its place."""
    found = drop_problems(previous.dataset, loaded.dataset, loaded.settings.reload.max_drop_percent)
    return in_order(map(loaded.locate, found))


def read_source(config: Path, environment: Mapping[str, str] = os.environ, *, previous: Source | None = None) -> Source:
    """The text of all files; those that did not change since `previous` was read are not read again.

    What cannot be read is part of it, and no error yet.
    """
    # The text is read before the settings: should the file change in between, the next reading sees another text.
    before = previous.settings_file if previous else None
    file = read_file(str(config), "", Kind.SETTINGS, previous=before, now_ns=time.time_ns())
    settings = previous.settings if previous and file == before else _settings(config, environment)
    folder = _data_folder(config, settings)
    if folder is None or not is_folder(folder):
        return Source(file, settings, folder, None)
    return Source(file, settings, folder, read_files(folder, previous.files if previous else None))


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
            load_files(source.files, ())
        except InvalidDataError as error:
            return error.problems
    return ()
