"""The settings of a node of a fleet, for commands that read the folder of accounts: such a node has none."""

from __future__ import annotations

import os
from pathlib import Path

from dnsd.errors import InvalidDataError
from dnsd.settings.file import SettingsFile, load_settings


def settings_of_fleet(config: Path) -> SettingsFile | None:
    """The settings, if the accounts are those of a fleet and $DNSD_DATA names no folder to read in their place."""
    try:
        found = load_settings(config)
    except InvalidDataError:  # the caller reports them
        return None
    return found if found.settings.role.is_in_fleet and not os.environ.get("DNSD_DATA") else None
