"""`dnsd map drains`: the addresses that names moved off, and the wait until the last cache has forgotten them."""

from __future__ import annotations

import sys
import time

import click

from dnsd.cli.api_options import with_api
from dnsd.cli.client import ApiObject, Client, account_option
from dnsd.cli.find import find_map_path
from dnsd.cli.map_change import map_argument
from dnsd.cli.maps import map_commands
from dnsd.cli.options import json_option
from dnsd.cli.show import print_json, print_table, say
from dnsd.errors import printable

POLL_S = 5.0  # the longest pause between requests
FORGOTTEN = "forgotten"


@map_commands.command("drains")
@map_argument
@click.option("--wait", is_flag=True, help="Wait until caches have forgotten all addresses that names moved off.")
@account_option
@json_option
@with_api
def drains_command(api: Client, *, map: str, wait: bool, account: str | None, as_json: bool) -> None:
    """List the changes that moved names off addresses of a map.

    For 30 days: the addresses, when the last worker answered with the change, and when the last cache that obeys TTLs
    has forgotten them. With --wait, the exit status is 0 once all have: old machines may then be switched off, unless
    a warning says that an address still answers for other names. Name a deleted map by its id.
    """
    _, path, _ = find_map_path(api, map, account)
    drains = awaited(api, path) if wait else api.get(f"{path}/drains")
    if as_json:
        print_json(drains)
    elif drains:
        columns = ("changed", "state", "last answer", "forgotten", "addresses", "names", "ttl s")
        print_table(columns, [_row(one) for one in drains], words=5)
    else:
        say("no names moved off addresses of this map in the last 30 days")
    if wait:
        for one in dict.fromkeys(ip for drain in drains for ip in drain["answered_addresses"]):
            say(f"warning: {printable(one)} still answers for other names")


def awaited(api: Client, path: str) -> list[ApiObject]:
    """The drains, once all are forgotten."""
    is_terminal, told = sys.stderr.isatty(), ""
    while True:
        drains: list[ApiObject] = api.get(f"{path}/drains")
        waiting = [one for one in drains if one["state"] != FORGOTTEN]
        if not waiting:
            if is_terminal and told:
                click.echo("\r\x1b[K", nl=False, err=True)
            return drains
        left = [one["remaining_s"] for one in waiting]
        is_switching = any(one is None for one in left)
        text = "waiting for the last worker" if is_switching else "waiting for caches"
        if is_terminal:
            more = "" if is_switching else f": {max(left):,} s left"
            click.echo(f"\r\x1b[K{text}{more}", nl=False, err=True)
        elif text != told:
            say(text if is_switching else f"{text}, for at most {max(left):,} s")
        told = text
        time.sleep(1.0 if is_terminal or is_switching else min(POLL_S, max(left, default=0) + 0.2))


def _row(drain: ApiObject) -> tuple[str, ...]:
    return (
        _second(drain["changed_at"]),
        drain["state"],
        _second(drain["last_answer_at"]),
        _second(drain["forgotten_at"]),
        " ".join(drain["addresses"]),
        f"{drain['names_total']:,}",
        f"{drain['ttl_s']:,}",
    )


def _second(at: str | None) -> str:
    """A time to the second; `-` if it has not come."""
    return f"{at[:19]}Z" if at else "-"
