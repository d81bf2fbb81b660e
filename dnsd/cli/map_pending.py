"""`dnsd map pending`, `cancel` and `run`: changes that wait for their time."""

from __future__ import annotations

import click

from dnsd.cli.api_options import with_api, with_changing_api
from dnsd.cli.client import ApiObject, Client, FailedError, account_option
from dnsd.cli.find import ID_PREFIX, find_accounts, find_map_path, maps_path, pending_path
from dnsd.cli.map_show import print_done
from dnsd.cli.maps import map_commands
from dnsd.cli.options import json_option
from dnsd.cli.pending_show import print_pending, print_pending_of_map, request_words
from dnsd.cli.show import print_json, say
from dnsd.errors import printable

change_argument = click.argument("change", metavar="CHANGE")


@map_commands.command("pending")
@click.argument("map", metavar="MAP", required=False)
@account_option
@json_option
@with_api
def pending_command(api: Client, *, map: str | None, account: str | None, as_json: bool) -> None:
    """List the pending changes, or those of one MAP with their plans.

    A pending change was scheduled with --at. If it may not be made at its time, it is stopped, with the reason:
    `dnsd map run` then makes it, `dnsd map cancel` removes it.
    """
    if map:
        _, path, _ = find_map_path(api, map, account)
        found = api.get(f"{path}/pending_changes")
    else:
        accounts = [one["id"] for one in find_accounts(api, account)]
        found = [change for one in accounts for change in api.all(pending_path(one))]
    if as_json:
        print_json(found)
    elif not found:
        say("there are no pending changes")
    elif map:
        print_pending_of_map(found)
    else:
        of_accounts = dict.fromkeys(change["account_id"] for change in found)
        maps = [shape for one in of_accounts for shape in api.all(maps_path(one))]
        print_pending(found, {shape["id"]: shape["description"] for shape in maps if shape["description"]})


@map_commands.command("cancel")
@change_argument
@account_option
@json_option
@with_changing_api
def cancel_command(api: Client, *, change: str, account: str | None, as_json: bool) -> None:
    """Cancel a pending change.

    CHANGE is its id, or the first digits of its id (at least four).
    """
    found = _find_change(api, change, account)
    envelope = api.send("DELETE", f"{pending_path(found['account_id'])}/{found['id']}")
    for message in envelope["messages"]:
        say(printable(f"warning: {message['message']}"))
    if as_json:
        print_json(envelope["result"])
    else:
        click.echo(printable(f"cancelled: {request_words(found)} ({found['id']})"))


@map_commands.command("run")
@change_argument
@account_option
@json_option
@with_changing_api
def run_command(api: Client, *, change: str, account: str | None, as_json: bool) -> None:
    """Make a stopped change now.

    CHANGE is its id, or the first digits of its id (at least four). The change is made with this command's token,
    whatever stopped it, unless a rule refuses it.
    """
    found = _find_change(api, change, account)
    result = api.post(f"{pending_path(found['account_id'])}/{found['id']}/run")
    if isinstance(result, dict):
        print_done("changed", result, as_json=as_json)
    elif as_json:
        print_json(result)
    else:
        click.echo(printable(f"done: {request_words(found)}"))


def _find_change(api: Client, wanted: str, account: str | None) -> ApiObject:
    """The only pending change whose id begins with these digits. Raises FailedError."""
    accounts = [one["id"] for one in find_accounts(api, account)]
    start = wanted.lower()
    changes = [change for one in accounts for change in api.all(pending_path(one))]
    found = [change for change in changes if change["id"].startswith(start)]
    if len(found) == 1 and (start == found[0]["id"] or ID_PREFIX.fullmatch(start)):
        return found[0]
    if len(found) > 1 and ID_PREFIX.fullmatch(start):
        ids = ", ".join(change["id"] for change in found[:10])
        raise FailedError(f"{len(found)} pending changes have an id that begins with {wanted!r}: {ids}")
    raise FailedError(f"there is no pending change {wanted!r}; `dnsd map pending` lists them")
