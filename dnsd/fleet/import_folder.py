"""Import a folder with the settings of the fleet; the first import gives a fleet those of its own settings file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from dnsd.app import Loaded
from dnsd.fleet.beginning import in_new_cluster
from dnsd.fleet.fetch import NoStateError
from dnsd.fleet.import_files import import_files
from dnsd.fleet.node import FleetNode
from dnsd.fleet.settings_change import fleet_settings
from dnsd.fleet.settings_in_force import settings_value
from dnsd.formats.yaml_edit import written_yaml
from dnsd.process.tasks import in_thread
from dnsd.settings.shared import parse_shared, shared_part
from dnsd.settings.written import read_settings
from dnsd.store.directory import SourceFile

FIRST = "# Shared by all nodes of the fleet, as written by the first import: `dnsd fleet settings` changes them.\n"


async def import_folder(
    node: FleetNode,
    config: Path,
    load_with: Callable[[SourceFile | None], Loaded],
    *,
    replicas: int,
    is_forced: bool = False,
) -> tuple[int, int, int]:
    """Import what `load_with` loads with the fleet's settings, or None; otherwise as `import_files`.

    Raises InvalidDataError for an error in the folder, or in the fleet's settings.
    """
    try:
        shared = await in_new_cluster(node, partial(fleet_settings, node))
    except NoStateError:
        shared = None
    loaded = await in_thread(partial(load_with, shared))
    settings = None if shared else await in_thread(partial(first_settings, config))
    return await import_files(node, loaded, replicas=replicas, is_forced=is_forced, settings=settings)


def first_settings(config: Path) -> bytes:
    """The value of a fleet's first shared settings: those in a settings file. Raises InvalidDataError."""
    text = FIRST + written_yaml(shared_part(read_settings(config).data))
    parse_shared(text)
    return settings_value(text.encode(), 0)
