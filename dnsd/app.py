"""Putting the parts together: settings and data to a snapshot, the same for `serve`, `check` and `explain`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dnsd.engine.build import build_snapshot, flattening_problems
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import InvalidDataError, Problem, in_order
from dnsd.model.dataset import Dataset
from dnsd.settings import InvalidSettingsError, Settings, load_settings
from dnsd.store.directory import is_folder
from dnsd.store.load import load_directory


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that a configuration says, ready to be served."""

    settings: Settings
    dataset: Dataset
    snapshot: Snapshot
    warnings: tuple[Problem, ...]

    def summary(self) -> str:
        """How much it is, in words."""
        dataset, names = self.dataset, len(self.snapshot.names)
        records = sum(len(zone.records) for zone in dataset.zones.values())
        counts = [(len(dataset.accounts), "account"), (len(dataset.maps), "map"), (len(dataset.zones), "zone")]
        counts += [(records, "record"), (names, "name")]
        return ", ".join(f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in counts)


def load(config: Path, environment: Mapping[str, str] = os.environ, previous: Snapshot | None = None) -> Loaded:
    """Read the configuration; `previous` is the snapshot to take over from what did not change.

    Raises InvalidDataError with every problem, warnings among them; nothing is half-read.
    """
    try:
        file = load_settings(config, environment)
    except InvalidSettingsError as error:
        raise InvalidDataError((*error.problems, *_problems_in(config.parent / error.data))) from None
    settings = file.settings
    folder = config.parent / settings.data
    if not is_folder(folder):
        raise InvalidDataError([file.locate(Problem(str(config), ("data",), f"there is no folder {folder}"))])
    stored = load_directory(folder, settings.nameservers)
    snapshot = build_snapshot(stored.dataset, settings.options, previous)
    found = (
        *map(file.locate, _without_effect(settings, str(config))),
        *stored.warnings,
        *map(stored.locate, flattening_problems(snapshot)),
    )
    if any(not problem.warning for problem in found):
        raise InvalidDataError(found)
    return Loaded(settings, stored.dataset, snapshot, in_order(found))


def _without_effect(settings: Settings, source: str) -> Iterator[Problem]:
    """Warnings for settings that this version reads and checks, and does not act on yet."""
    for name in ("api", "metrics", "limits", "workers"):
        if name in settings.model_fields_set and getattr(settings, name) not in (None, "auto", 1):
            yield Problem(source, (name,), "not available in this version: it has no effect", warning=True)


def _problems_in(folder: Path) -> tuple[Problem, ...]:
    """What is wrong with the data, where the settings are wrong already: a user sees all of it at once."""
    if is_folder(folder):
        try:
            load_directory(folder, ())
        except InvalidDataError as error:
            return error.problems
    return ()
