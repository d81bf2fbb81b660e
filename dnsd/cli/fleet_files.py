"""`dnsd fleet import`, `export` and `accept-shrink`: the state of a fleet, with a control's identity."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from dnsd.cli.fleet import fleet_commands
from dnsd.cli.options import config_option
from dnsd.cli.show import fail, report, say
from dnsd.errors import DnsdError, InvalidDataError, printable
from dnsd.progress import progress_on

if TYPE_CHECKING:
    from dnsd.app import Loaded
    from dnsd.fleet.carried_state import CarriedState
    from dnsd.fleet.export_files import ExportedFiles
    from dnsd.fleet.node import FleetNode
    from dnsd.settings.server import Settings
    from dnsd.store.directory import SourceFile

T = TypeVar("T")
STATE = click.Path(path_type=Path, exists=True, file_okay=False)
STATE_OUT = click.Path(path_type=Path)


@fleet_commands.command("import")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@config_option
@click.option("--force", is_flag=True, help="Also a change that guard or brake refuse, as `dnsd reload --force`.")
@click.option(
    "--state", type=STATE, metavar="STATE", help="Also tokens, sessions and pending changes, from this state folder."
)
def import_command(folder: Path, config: Path, *, force: bool, state: Path | None) -> None:
    """Make the fleet's files those of FOLDER, a folder of accounts.

    Checks them first as `dnsd check` does, with the fleet's settings, and judges the change as a reload does, by guard
    and brake. Sends the files that differ, and removes those that FOLDER does not have. Edges see a change of an
    account at once, unless it is of more than some 1,000 files: that comes in parts. The first import gives the fleet
    its settings, those of the settings file. The section `fleet` of that has the servers, and a control's identity.
    Exit status 3: no server answers.

    With --state, the fleet's tokens, sessions and pending changes become those of STATE, the state folder of a server
    alone.
    """

    def loaded(shared: SourceFile | None) -> Loaded:
        from dnsd.app import load
        from dnsd.source import read_source

        environment = {**os.environ, "DNSD_DATA": str(folder.absolute())}
        with progress_on(sys.stderr) as progress:
            return load(config, source=read_source(config, environment, shared=shared), progress=progress)

    carried = _carried(state) if state else None

    async def work(node: FleetNode, servers: int) -> tuple[int, int, int]:
        from dnsd.fleet.import_folder import import_folder

        done = await import_folder(node, config, loaded, replicas=servers, is_forced=force)
        if carried:
            from dnsd.fleet.carried_state import import_state

            await import_state(node, carried)
        return done

    new, changed, removed = as_control_of(settings_of(config), config, work)
    click.echo(f"{new:,} new, {changed:,} changed, {removed:,} removed")
    if carried:
        click.echo(_counted(carried))


@fleet_commands.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--state", type=STATE_OUT, metavar="STATE", help="Also tokens, sessions and pending changes, into this new folder."
)
@config_option
@click.option(
    "--settings", type=click.Path(path_type=Path), metavar="FILE", help="Also write the fleet's settings into FILE."
)
def export_command(folder: Path, config: Path, *, settings: Path | None, state: Path | None) -> None:
    """Write the fleet's files into the new folder FOLDER, with their times.

    FOLDER appears once it is whole. A file that cannot be written is named; the others are there, and the exit status
    is 1. The file `.dnsd-revision` in it says what the fleet had, for `dnsd fleet push`. The section `fleet` of the
    settings has the servers, and a control's identity.

    With --state, its tokens, sessions and pending changes go into the new folder STATE, which can be the state folder
    of a server alone. It has the hashes of secrets, and is for its owner alone.
    """

    async def work(node: FleetNode, servers: int) -> tuple[ExportedFiles, CarriedState | None]:
        from dnsd.fleet.carried_state import check_new, export_state
        from dnsd.fleet.export_files import export_files

        if state:
            check_new(state)
        done = await export_files(node, folder, settings)
        return done, await export_state(node, state) if state else None

    done, carried = as_control_of(settings_of(config), config, work)
    for problem in done.problems:
        say(printable(problem))
    click.echo(f"{done.number:,} files")
    if carried:
        click.echo(_counted(carried))
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

    as_control_of(settings_of(config), config, work)
    click.echo("accepted: edges serve it within a minute")


def _carried(state: Path) -> CarriedState:
    """What a state folder has for a fleet; exits with a message if it cannot be read."""
    try:
        from dnsd.fleet.carried_state import read_state

        return read_state(state)
    except ModuleNotFoundError as error:
        say(f"{error}: install dnsd[fleet]")
    except (DnsdError, OSError) as error:
        say(printable(str(error)))
    sys.exit(1)


def _counted(state: CarriedState) -> str:
    return f"{len(state.tokens):,} tokens, {len(state.sessions):,} sessions, {len(state.pending):,} pending changes"


def settings_of(config: Path) -> Settings:
    """The settings in a file; with an error in them, prints it and exits."""
    from dnsd.settings.file import load_settings

    try:
        return load_settings(config).settings
    except InvalidDataError as error:
        fail(error)


def as_control_of(settings: Settings, config: Path, work: Callable[[FleetNode, int], Coroutine[Any, Any, T]]) -> T:
    """The result of work with the fleet of the settings, and the number of its servers that are listed."""
    fleet = settings.fleet
    if fleet is None:
        no_fleet(config)
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


def no_fleet(config: Path) -> NoReturn:
    """Say that the settings have no fleet, and exit."""
    say(f"{printable(str(config))} has no section `fleet`, with `servers` and a node's `identity`")
    sys.exit(1)


def _note(text: str) -> None:
    say(printable(text))


def _status(error: Exception) -> int:
    """The exit status: 3 if no server answers."""
    from dnsd.fleet.fetch import NotFetchedError
    from dnsd.fleet.link import NoAnswerError
    from dnsd.fleet.writer import FleetAwayError

    return 3 if isinstance(error, NoAnswerError | FleetAwayError | NotFetchedError) else 1
