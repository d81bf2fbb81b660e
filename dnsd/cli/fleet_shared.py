"""`dnsd fleet settings` and `level`: the state of a fleet that belongs to no account."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnsd.cli.fleet import fleet_commands
from dnsd.cli.fleet_files import as_control_of, settings_of
from dnsd.cli.options import config_option
from dnsd.cli.show import fail, report, say
from dnsd.errors import InvalidDataError, printable

if TYPE_CHECKING:
    from dnsd.fleet.node import FleetNode
    from dnsd.fleet.settings_change import SettingsPlan
    from dnsd.store.directory import SourceFile

STDIN = "-"


@fleet_commands.command("settings")
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@config_option
@click.option("--plan", "is_plan", is_flag=True, help="Only print what would change.")
def settings_command(file: Path | None, config: Path, *, is_plan: bool) -> None:
    """Print the settings that all nodes of the fleet share, or make them those in FILE.

    FILE has the keys of dnsd.yaml that answers and rules depend on, all of them: one that it lacks has its default. `-`
    reads standard input. Checks them as dnsd.yaml, prints what changes, with the number of names that get other
    addresses, and has all nodes use them at once. Refused if an account would be in error. Exit status 3: no server
    answers.
    """
    if file is None:
        _print_settings(config)
        return
    new = _read(file)

    def work(node: FleetNode, servers: int) -> Coroutine[Any, Any, SettingsPlan]:
        from dnsd.fleet.settings_change import change_settings

        return change_settings(node, config, new, is_plan=is_plan)

    changes, notes = as_control_of(settings_of(config), config, work)
    for key, before, after in changes:
        click.echo(printable(f"{key}: {before} -> {after}"))
    report(notes)
    count = f"{len(changes):,} setting{'' if len(changes) == 1 else 's'}"
    click.echo(f"{count} would change" if is_plan else f"{count} changed")


def _print_settings(config: Path) -> None:
    def work(node: FleetNode, servers: int) -> Coroutine[Any, Any, SourceFile | None]:
        from dnsd.fleet.settings_change import fleet_settings

        return fleet_settings(node)

    found = as_control_of(settings_of(config), config, work)
    if found is None:
        say("the fleet has no settings: each node has its own, until `dnsd fleet settings FILE`")
        sys.exit(1)
    from dnsd.fleet.settings_in_force import octets_of_settings

    sys.stdout.buffer.write(octets_of_settings(found))


def _read(file: Path) -> SourceFile:
    """The settings in a file, or the end of the command with their problems."""
    from dnsd.settings.shared import MAX_SHARED, shared_file
    from dnsd.store.kept_file import read_octets

    try:
        if str(file) == STDIN:
            return shared_file(sys.stdin.buffer.read(MAX_SHARED + 1), name="standard input")
        return shared_file(read_octets(file, MAX_SHARED), int(file.stat().st_mtime), name=str(file))
    except InvalidDataError as error:
        fail(error)
    except (OSError, ValueError) as error:
        say(printable(f"{file} cannot be read: {error}"))
    sys.exit(1)


@fleet_commands.command("level")
@click.argument("level", required=False, type=click.IntRange(1))
@config_option
@click.option("--force", is_flag=True, help="Although edges with a record tell nothing.")
def level_command(level: int | None, config: Path, *, force: bool) -> None:
    """Print the level of the fleet's state, or raise it to LEVEL.

    The level is the latest form of the state that all nodes read, and that controls write. Raise it once all nodes have
    a version that reads it: edges first, then controls. Refused while an edge is older, or tells nothing. It never
    goes back.
    """

    def work(node: FleetNode, servers: int) -> Coroutine[Any, Any, int]:
        from dnsd.fleet.raise_level import fleet_level, raise_level

        return fleet_level(node) if level is None else raise_level(node, level, is_forced=force)

    before = as_control_of(settings_of(config), config, work)
    click.echo(f"level {before}" if level in (None, before) else f"level {before} -> {level}")
