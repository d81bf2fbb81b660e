"""`dnsd fleet code`, `join` and `leave`: how an edge comes into a fleet, and goes."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnsd.cli.fleet import fleet_commands
from dnsd.cli.fleet_files import as_control_of, no_fleet, settings_of
from dnsd.cli.options import config_option
from dnsd.cli.show import say
from dnsd.errors import DnsdError, printable

if TYPE_CHECKING:
    from dnsd.fleet.edge_record import EdgeRecord
    from dnsd.fleet.node import FleetNode
    from dnsd.settings.server import Settings


@fleet_commands.command("code")
@click.argument("name")
@config_option
@click.option("--ring", type=int, default=0, metavar="N", help="The edge's ring of rollouts, from 0 to 9; default: 0.")
@click.option("--label", default="", metavar="TEXT", help="The edge's place, in words.")
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="URL",
    help="Where a control lets edges join, such as tls://192.0.2.1:8443, repeatable; default: `fleet.join.urls`.",
)
def code_command(name: str, config: Path, *, ring: int, label: str, urls: tuple[str, ...]) -> None:
    """Make a code with which one machine joins as the edge NAME.

    It is valid for an hour, and once: `dnsd fleet join CODE` on that machine. Whoever has it can join in the machine's
    place, so send it like a password. In a pipe, only the code is printed. The section `fleet` of the settings has the
    servers, and a control's identity. Exit status 3: no server answers.
    """
    settings = settings_of(config)

    def work(node: FleetNode, servers: int) -> Coroutine[Any, Any, str]:
        from dnsd.fleet.offer import new_code

        assert settings.fleet
        urls_of_code = urls or _join_urls(settings)
        return new_code(node, settings.fleet.identity_folder(config), name, ring=ring, label=label, urls=urls_of_code)

    code = as_control_of(settings, config, work)
    if not sys.stdout.isatty():
        click.echo(code)
        return
    click.secho(f"A code for {name}, valid for an hour, and once. On the machine of the edge:", bold=True)
    click.echo(f"\n  dnsd fleet join {code} -c dnsd.yaml")


def _join_urls(settings: Settings) -> tuple[str, ...]:
    """The URLs of the settings; none if they do not tell the address."""
    join = settings.fleet.join if settings.fleet else None
    if join is None:
        return ()
    is_everywhere = ipaddress.ip_address(join.listen.host).is_unspecified
    return join.urls or (() if is_everywhere else (f"tls://{join.listen}",))


@fleet_commands.command("join")
@click.argument("code")
@config_option
@click.option("--again", "is_again", is_flag=True, help="Replace the papers that this edge has by new ones.")
def join_command(code: str, config: Path, *, is_again: bool) -> None:
    """Make this machine the edge of CODE, a code of `dnsd fleet code`; `-` reads it from standard input.

    Makes a key, which stays here, and writes the folder of the setting `fleet.identity`: whole, or not at all. As root,
    gives it to the setting `user`, who renews the papers in it; without the setting, to the owner of the folder that is
    there, else of the one above. Before it asks with the code, it checks that the control is one of the code's fleet.
    Exit status 3: no control answers.
    """
    settings = settings_of(config)
    if settings.fleet is None:
        no_fleet(config)
    text = sys.stdin.readline() if code == "-" else code
    try:
        from dnsd.fleet.join import NoControlError, join_fleet
        from dnsd.fleet.join_code import parse_code

        parsed, folder = parse_code(text), settings.fleet.identity_folder(config)
        join_fleet(parsed, folder.absolute(), is_again=is_again, owner=_owner(settings))
    except ModuleNotFoundError as error:
        say(f"{error}: install dnsd[fleet]")
        sys.exit(1)
    except (DnsdError, OSError) as error:
        say(printable(str(error)))
        sys.exit(3 if isinstance(error, NoControlError) else 1)
    click.echo(f"{parsed.name} has joined: {printable(str(folder))} has its key and papers. Next:")
    click.echo(f"  dnsd serve -c {printable(str(config))}")


def _owner(settings: Settings) -> tuple[int, int] | None:
    """The user and group to which root gives an identity; None if the settings name none. Raises PrivilegeError."""
    from dnsd.process.privileges import user_to_assume

    if os.geteuid() or (settings.user is None and settings.group is None):
        return None
    user = user_to_assume(settings.user, settings.group)
    return (user.uid, user.gid) if user else (os.getuid(), os.getgid())


@fleet_commands.command("leave")
@click.argument("name")
@config_option
def leave_command(name: str, config: Path) -> None:
    """Let the edge NAME go: no control gives it papers any more.

    It follows the fleet until its papers end, for up to 90 days. To cut it at once, run the command that is printed, in
    the root folder's parent. The section `fleet` of the settings has the servers, and a control's identity. Exit status
    3: no server answers.
    """

    def work(node: FleetNode, servers: int) -> Coroutine[Any, Any, EdgeRecord]:
        from dnsd.fleet.edge_list import EdgeList

        return EdgeList(node.line, node.name).leave(name)

    record = as_control_of(settings_of(config), config, work)
    if not record.key:
        click.echo(f"{name} has left; no control knew its key")
        return
    click.echo(f"{name} has left: it gets no new papers. To cut it at once, where the root folder is:")
    click.echo(f"  dnsd fleet revoke FOLDER --edge {record.key}")
