"""The settings of a node of a fleet, for commands that read the folder of accounts: such a node has none."""

from __future__ import annotations

import os
from pathlib import Path

from dnsd.errors import InvalidDataError
from dnsd.manage.state_names import FLEET_SETTINGS
from dnsd.settings.file import SettingsFile, load_settings
from dnsd.settings.shared import kept_shared, parse_shared
from dnsd.settings.written import state_folder
from dnsd.source import Source, read_source
from dnsd.store.directory import SourceFile


def settings_of_fleet(config: Path) -> SettingsFile | None:
    """The settings, if the accounts are those of a fleet and $DNSD_DATA names no folder to read in their place.

    They have the fleet's own, as the server used them last.
    """
    try:
        found = load_settings(config)
        if not found.settings.role.is_in_fleet or os.environ.get("DNSD_DATA"):
            return None
        shared = _shared(config)
        return load_settings(config, shared=parse_shared(shared.text())) if shared else found
    except InvalidDataError:  # the caller reports them
        return None


def source_of_node(config: Path) -> Source | None:
    """The folder in $DNSD_DATA, with the settings of the fleet as this node used them last; None of a server alone."""
    try:
        is_in_fleet = load_settings(config).settings.role.is_in_fleet
    except InvalidDataError:  # the caller reports them
        return None
    return read_source(config, shared=_shared(config)) if is_in_fleet else None


def _shared(config: Path) -> SourceFile | None:
    return kept_shared(state_folder(config) / FLEET_SETTINGS)
