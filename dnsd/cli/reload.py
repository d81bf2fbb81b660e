"""`dnsd reload`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dnsd.cli.commands import main
from dnsd.cli.local import RELOAD_TIMEOUT_S, ask_server
from dnsd.cli.options import config_option, json_option
from dnsd.cli.show import print_json, say
from dnsd.errors import printable
from dnsd.process.link import MessageKind


@main.command("reload")
@config_option
@click.option("--force", is_flag=True, help="Apply changes that the guard refuses; the brake then begins anew.")
@click.option("--account", metavar="FOLDER", default="", help="With --force: only the changes of this account.")
@json_option
def reload_command(config: Path, *, force: bool, account: str, as_json: bool) -> None:
    """Reload the running server's files. Returns once every worker serves them.

    If a file has an error, its whole account is held at its last good version and all other accounts are updated; every
    problem is printed, and the exit status is 1. With `on_error: refuse`, or with an error in dnsd.yaml, nothing
    changes. A map with a member that does not exist is an error: when you remove a zone, remove its memberships, too.

    A guard refuses a reload if names of several accounts would fall from their maps onto the default pool, or go into
    the open; if more than `reload.max_drop_percent` of all zones or records would go, or of all proxied names would
    change their addresses; or if names of more accounts than `reload.brake` would change their addresses within
    `reload.window`. One account alone is held instead, if most of its names would lose `proxied`, a map would lose all
    its addresses, or its zones or records that would go exceed the percentage; its other addresses are applied. Use
    --force to apply the changes anyway, with --account those of one account.

    Without --force, a file is read only if its status has changed: its size, its times or its inode. With --force, all
    files are read: the remedy for a file system on which a change left the status as it was.

    With --json, `served` is the revision or null, `held` lists the held accounts, and `refused` is true if nothing
    changed.
    """
    if account and not force:
        raise click.UsageError("--account needs --force")
    result = ask_server(config, MessageKind.RELOAD, {"force": force, "account": account}, RELOAD_TIMEOUT_S)
    if as_json:
        print_json(result)
    else:
        for problem in result["problems"]:
            say(problem["text"])
        if result["refused"]:
            say(f"refused; still serving revision {result['revision']}")
        elif result["late"]:
            say(f"revision {result['revision']} is not yet served by {', '.join(result['late'])}")
        elif result["held"]:
            say(printable(f"revision {result['revision']} is served; held: {', '.join(result['held'])}"))
        else:
            click.echo(f"revision {result['revision']} is served, after {result['seconds']:.2f} s")
    sys.exit(0 if result["ok"] and not result["late"] else 1)
