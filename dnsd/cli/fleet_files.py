"""`dnsd fleet import`, `export` and `accept-shrink`: the state of a fleet, with a control's identity."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dnsd.cli.fleet import fleet_commands
from dnsd.cli.options import config_option
from dnsd.cli.show import fail, report, say
from dnsd.errors import DnsdError, InvalidDataError, printable
from dnsd.progress import progress_on

if TYPE_CHECKING:
    from dnsd.fleet.export_files import ExportedFiles
    from dnsd.fleet.node import FleetNode
    from dnsd.settings.server import Settings

T = TypeVar("T")


@fleet_commands.command("import")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@config_option
@click.option("--force", is_flag=True, help="Also a change that guard or brake refuse, as `dnsd reload --force`.")
def import_command(folder: Path, config: Path, *, force: bool) -> None:
    """Make the fleet's files those of FOLDER, a folder of accounts.

    Checks them first as `dnsd check` does, and judges the change as a reload does, by guard and brake. Sends the files
    that differ, and removes those that FOLDER does not have. Edges see a change of an account at once, unless it is of
    more than some 1,000 files: that comes in parts. The section `fleet` of the settings has the servers, and a
    control's identity. Exit status 3: no server answers.
    """
    from dnsd.app import load

    try:
        with progress_on(sys.stderr) as progress:
            loaded = load(config, {**os.environ, "DNSD_DATA": str(folder.absolute())}, progress=progress)
    except InvalidDataError as error:
        fail(error)

    def work(node: FleetNode, servers: int) -> Coroutine[Any, Any, tuple[int, int, int]]:
        from dnsd.fleet.import_files import import_files

        return import_files(node, loaded, replicas=servers, is_forced=force)

    new, changed, removed = _as_control(loaded.settings, config, work)
    click.echo(f"{new:,} new, {changed:,} changed, {removed:,} removed")


@fleet_commands.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@config_option
def export_command(folder: Path, config: Path) -> None:
    """Write the fleet's files into the new folder FOLDER, with their times.

    FOLDER appears once it is whole. A file that cannot be written is named; the others are there, and the exit status
    is 1. The section `fleet` of the settings has the servers, and a control's identity.
    """

    def work(node: FleetNode, servers: int) -> Coroutine[Any, Any, ExportedFiles]:
        from dnsd.fleet.export_files import export_files

        return export_files(node, folder)

    done = _as_control(_settings(config), config, work)
    for problem in done.problems:
        say(printable(problem))
    click.echo(f"{done.number:,} files")
    if done.problems:
        sys.exit(1)


@fleet_commands.command("accept-shrink")
@config_option
def accept_shrink_command(config: Path) -> None:
    """Have edges serve a new state with much fewer files.

    A state made anew, by servers that have lost theirs or by a restored backup, is served by an edge only if it lacks
    at most `reload.max_drop_percent` of the files before. This command says that it is meant; edges look every minute.
    """

    def work(node: FleetNode, servers: int) -> Coroutine[Any, Any, None]:
        from dnsd.fleet.import_files import accept_shrink

        return accept_shrink(node)

    _as_control(_settings(config), config, work)
    click.echo("accepted: edges serve it within a minute")


def _settings(config: Path) -> Settings:
    from dnsd.settings.file import load_settings

    try:
        return load_settings(config).settings
    except InvalidDataError as error:
        fail(error)


def _as_control(settings: Settings, config: Path, work: Callable[[FleetNode, int], Coroutine[Any, Any, T]]) -> T:
    """The result of work with the fleet of the settings, and the number of its servers that are listed."""
    fleet = settings.fleet
    if fleet is None:
        say(f"{printable(str(config))} has no section `fleet`, with `servers` and a control's `identity`")
        sys.exit(1)
    try:
        from dnsd.fleet.node import as_control

        identity = fleet.identity_folder(config)
        return as_control(identity, fleet.servers, lambda node: work(node, len(fleet.servers)), note=_note)
    except ModuleNotFoundError as error:
        say(f"{error}: install dnsd[fleet]")
    except InvalidDataError as error:  # of guard or brake
        report(error.problems)
        say("nothing was changed")
    except (DnsdError, OSError) as error:
        say(printable(str(error)))
        sys.exit(_status(error))
    sys.exit(1)


def _note(text: str) -> None:
    say(printable(text))


def _status(error: Exception) -> int:
    """The exit status: 3 if no server answers."""
    from dnsd.fleet.fetch import NotFetchedError
    from dnsd.fleet.link import NoAnswerError
    from dnsd.fleet.writer import FleetAwayError

    return 3 if isinstance(error, NoAnswerError | FleetAwayError | NotFetchedError) else 1
