"""A change of a fleet's shared settings: what it would do to the accounts that the fleet has, and its commit.

The accounts are loaded with the settings in force and with the new ones, as every node will.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dnsd.app import load
from dnsd.errors import DnsdError, InvalidDataError, Problem
from dnsd.fleet.fetch import fetched_state
from dnsd.fleet.level import SETTINGS_LEVEL, LevelError
from dnsd.fleet.node import FleetNode
from dnsd.fleet.readable_accounts import load_readable
from dnsd.fleet.settings_in_force import octets_of_settings, settings_of, settings_value
from dnsd.fleet.shared_object import SharedValue, change_shared, shared_value
from dnsd.fleet.subjects import SETTINGS
from dnsd.manage.judge import moved_by_settings
from dnsd.process.tasks import in_thread
from dnsd.settings.shared import changed_keys
from dnsd.source import SettingsReader, Source
from dnsd.store.directory import FileKind, Files, SourceFile
from dnsd.store.folder import read_file
from dnsd.store.port import Seen


class SettingsOvertakenError(DnsdError):
    """Others have changed the settings since they were read."""


class SettingsPlan(NamedTuple):
    """The keys that change, each with its old and new value in words, and notes on what that does."""

    changes: tuple[tuple[str, str, str], ...]
    notes: tuple[Problem, ...]


async def fleet_settings(node: FleetNode) -> SourceFile | None:
    """The shared settings at the leader; None without any. Raises InvalidDataError, and as `shared_value` does."""
    value = (await shared_value(node, SETTINGS)).value
    return None if value is None else settings_of(value)


async def change_settings(node: FleetNode, config: Path, new: SourceFile, *, is_plan: bool = False) -> SettingsPlan:
    """Make the shared settings `new`; with `is_plan`, only say what that would do.

    `config` has the settings that hold as long as the fleet has none. Raises InvalidDataError if an account would be
    in error, as nodes could not hold it; LevelError, SettingsOvertakenError, and the errors of `fetched_state` and
    `change_shared`.
    """
    found = await shared_value(node, SETTINGS)
    if found.level < SETTINGS_LEVEL:
        raise LevelError(
            f"the fleet has level {found.level}, at which nodes may have settings of their own: once all have this "
            f"version, `dnsd fleet level {SETTINGS_LEVEL}`"
        )
    old = _readable(found.value)
    async with fetched_state(node) as state:
        plan = await in_thread(partial(planned_settings, config, state.files, old, new))
    if is_plan:
        return plan

    def make(now: SharedValue) -> bytes:
        if now.value != found.value:
            raise SettingsOvertakenError("others have changed the settings meanwhile: nothing was changed")
        return settings_value(octets_of_settings(new), max(new.modified, old.modified + 1 if old else 0))

    await change_shared(node, SETTINGS, make, "fleet.settings")
    return plan


def planned_settings(config: Path, files: Files, old: SourceFile | None, new: SourceFile) -> SettingsPlan:
    """What new settings do to the files that a fleet has. Raises InvalidDataError. Blocks.

    An account that is in error with the old ones, too, does not count; without old ones, each counts.
    """
    reader = SettingsReader(config)
    file = read_file(str(config), "", FileKind.SETTINGS, previous=None, now_ns=0)  # no status is trusted
    seen = Seen(file, None, files, shared=old)
    before = load_readable(config, reader.source(seen)) if _has_settings(reader.source(seen)) else None
    after = reader.source(replace(seen, files=before.source.files if before else files, shared=new))
    loaded = load(config, previous=before, source=after)
    if before is None:
        return SettingsPlan((), loaded.settings_file.warnings)
    changes = tuple(changed_keys(before.settings, loaded.settings))
    return SettingsPlan(changes, (*moved_by_settings(before, loaded), *loaded.settings_file.warnings))


def _has_settings(source: Source) -> bool:
    return not isinstance(source.settings, InvalidDataError)


def _readable(value: bytes | None) -> SourceFile | None:
    """The settings in force, as far as this version can read them."""
    try:
        return None if value is None else settings_of(value)
    except InvalidDataError:
        return None
