"""`dnsd fleet`: the keys and certificates of a fleet. Works without a server; imports `cryptography` once it runs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from dnsd.cli.commands import main
from dnsd.cli.show import say
from dnsd.errors import DnsdError, printable

if TYPE_CHECKING:
    from dnsd.fleet.root import RootFolder

folder_argument = click.argument("folder", type=click.Path(path_type=Path))


@main.group("fleet")
def fleet_commands() -> None:
    """Make the keys of a fleet, and keep them.

    A fleet is one control plane with any number of edges, connected by nats-servers. Its root folder stands above all
    keys and belongs on no server.
    """


@fleet_commands.command("init")
@folder_argument
@click.option(
    "--server",
    "servers",
    multiple=True,
    required=True,
    metavar="NAME=ADDRESS[:PORT]",
    help="A nats-server, repeatable: 1, 3 or 5; default port: 4222.",
)
@click.option(
    "--control",
    "controls",
    multiple=True,
    default=("control",),
    metavar="NAME",
    help="A control node, repeatable; default: one with the name control.",
)
def init_command(folder: Path, *, servers: tuple[str, ...], controls: tuple[str, ...]) -> None:
    """Make the root folder of a new fleet.

    FOLDER gets all keys, a folder for each server with its configuration file, and a folder for each control with its
    identity. An existing FOLDER is refused and stays as it is. In a pipe, the command prints the folders to copy: what
    for, name and path, separated by tabs.
    """
    from dnsd.fleet.root import make_root
    from dnsd.fleet.server_file import parse_server

    try:
        parsed = [parse_server(text) for text in servers]
    except ValueError as error:
        raise click.UsageError(f"--server: {error}") from None
    try:
        root = make_root(folder.absolute(), parsed, controls, now=datetime.now(UTC))
    except (DnsdError, OSError) as error:
        _fail(error)
    if sys.stdout.isatty():
        _print_steps(folder, root)
        return
    for server in root.servers:
        click.echo(f"server\t{server.name}\t{printable(str(folder / 'servers' / server.name))}")
    for name in root.controls:
        click.echo(f"control\t{name}\t{printable(str(folder / 'controls' / name))}")


@fleet_commands.command("renew")
@folder_argument
@click.argument("name")
def renew_command(folder: Path, name: str) -> None:
    """Give the server or control NAME new papers.

    Of a server, replaces key.pem and cert.pem in its folder below FOLDER; they are valid for two years. Copy both to
    the server and send it SIGHUP: no connection is lost. Of a control, replaces cert.pem and user.jwt, which are valid
    for 90 days, and issuer.pem, its authority, valid for five years. `dnsd fleet edge` renews the papers of an edge.
    """
    from dnsd.fleet.root import load_root

    try:
        for renewed in load_root(folder).renew(name, now=datetime.now(UTC)):
            click.echo(f"renewed {printable(str(folder / renewed))}")
    except (DnsdError, OSError) as error:
        _fail(error)


@fleet_commands.command("edge")
@folder_argument
@click.argument("name")
@click.option("--control", default="control", metavar="NAME", help="The control that lets it in; default: control.")
def edge_command(folder: Path, name: str, *, control: str) -> None:
    """Make the identity of the edge NAME, or renew its papers.

    Writes FOLDER/edges/NAME, to be copied to the edge. Run again, it replaces cert.pem and user.jwt there: copy them to
    the edge within 90 days. Prints the folder.
    """
    from dnsd.fleet.root import load_root

    try:
        load_root(folder).make_edge(name, control, now=datetime.now(UTC))
    except (DnsdError, OSError, ValueError) as error:
        _fail(error)
    click.echo(printable(str(folder / "edges" / name)))


@fleet_commands.command("revoke")
@folder_argument
@click.option("--edge", metavar="KEY", help="Void the JWTs of the edge with this public key until now.")
@click.option("--control", metavar="NAME", help="Withdraw this control, with all edges that have papers from it.")
def revoke_command(folder: Path, *, edge: str | None, control: str | None) -> None:
    """Withdraw an edge or a control.

    Changes the accounts in the root folder FOLDER, and sends them to the running servers, which cut the node at once.
    A server that does not run gets them from the others later. Without --edge and --control, only sends them again.
    Copy the changed nats.conf of each server below FOLDER to that server: it begins with it if it loses its disk.
    Keep the copy of FOLDER new, too: the servers' withdrawals must be in it, or nothing is sent.
    """
    from dnsd.fleet.root import load_root

    if edge and control:
        raise click.UsageError("--edge and --control exclude each other: run the command twice")
    now = datetime.now(UTC)
    try:
        from dnsd.fleet.send_accounts import send_accounts

        root = load_root(folder)
        if control:
            root.revoke_control(control, now=now)
        if edge:
            root.revoke_edge(edge, now=now)
        done = send_accounts(root, now=now)
    except ModuleNotFoundError as error:
        say(f"{error}: install dnsd[fleet]")
        sys.exit(1)
    except (DnsdError, OSError) as error:
        _fail(error)
    for server in root.servers:
        click.echo(f"{server.name}: {'done' if server.name in done else 'no answer'}")
    if len(done) < len(root.servers):
        say("a server without an answer gets the change from the others; `dnsd fleet revoke FOLDER` sends it again")
        sys.exit(1)


def _print_steps(folder: Path, root: RootFolder) -> None:
    """Print what to do next."""
    place = printable(str(folder))
    click.secho(f"{place} has the keys of a new fleet.", bold=True)
    click.echo("\nNext:")
    for server in root.servers:
        click.echo(f"  copy {place}/servers/{server.name} to {server.host}, and start nats-server in the copy:")
        click.echo("      nats-server -c nats.conf")
    for name in root.controls:
        click.echo(f"  copy {place}/controls/{name} to the machine for the control {name}")
    click.echo(f"  move {place} to a place off these machines: it can make and withdraw every key of the fleet")


def _fail(error: Exception) -> NoReturn:
    say(printable(str(error)))
    sys.exit(1)
