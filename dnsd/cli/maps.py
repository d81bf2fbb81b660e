"""`dnsd map`: address maps over the running server's API, and the effect of a change on answers."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dnsd.cli.api_options import with_api
from dnsd.cli.client import ApiObject, Client, FailedError, account_option, in_path, new_account_option
from dnsd.cli.commands import main
from dnsd.cli.find import FoundMap, find_account, find_accounts, find_map, find_map_path, find_zone, map_name, maps_path
from dnsd.cli.map_change import ChangeOptions, change_options, edit, map_argument, on_map, plan
from dnsd.cli.map_show import MemberKey, map_row, members_body, print_map, print_plan
from dnsd.cli.options import json_option
from dnsd.cli.show import print_json, print_table, say
from dnsd.cli.versions import print_version, print_versions
from dnsd.errors import printable
from dnsd.formats.yaml_problems import YamlError
from dnsd.formats.yaml_text import parse_yaml
from dnsd.model.fields import parse_ip, validate
from dnsd.model.maps import MapFields


def read_ips(context: click.Context, option: click.Parameter, values: Sequence[str]) -> list[str]:
    """The addresses in the API's spelling, without duplicates."""
    try:
        return list(dict.fromkeys(str(parse_ip(value)) for value in values))
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None


@main.group("map")
def map_commands() -> None:
    """Manage address maps over the server's API.

    MAP is a map's id, the first digits of its id (at least four), or a description that no other map has. When a
    command returns, DNS already answers with the change. With --dry-run, a command shows which answers would change,
    and writes nothing. With --at, the change is made at that time (`dnsd map pending`).

    The server is given by --url, else by the settings file (-c). The token comes from --token-file or $DNSD_API_TOKEN.
    Without either, and with write access to the server's state folder, the command creates a token and revokes it when
    it ends; with --at, the token stays until the change is made.
    """


@map_commands.command("list")
@account_option
@json_option
@with_api
def list_command(api: Client, *, account: str | None, as_json: bool) -> None:
    """List all address maps, grouped by account."""
    accounts = find_accounts(api, account)
    maps = [(one, shape) for one in accounts for shape in api.all(maps_path(one["id"]))]
    if as_json:
        print_json([shape for _, shape in maps])
    elif maps:
        has_several = len(accounts) > 1
        columns = ("id", "description", *(("account",) if has_several else ()), "enabled", "members", "addresses")
        rows = [map_row(shape, (one["name"],) if has_several else ()) for one, shape in maps]
        print_table(columns, rows, words=len(columns) - 1)
    else:
        say("there are no address maps")


@map_commands.command("show")
@map_argument
@account_option
@json_option
@with_api
def show_command(api: Client, *, map: str, account: str | None, as_json: bool) -> None:
    """Show a map with its addresses and members."""
    found = find_map(api, map, account)
    if as_json:
        print_json(found.shape)
    else:
        print_map(api, found)


@map_commands.command("create")
@new_account_option
@click.option("--description", metavar="TEXT", help="Description of the map.")
@click.option(
    "--ip",
    "ips",
    metavar="IP",
    multiple=True,
    callback=read_ips,
    help="Address of the map; repeatable.",
)
@click.option("--zone", "zones", multiple=True, metavar="ZONE", help="Member zone (name or id); repeatable.")
@click.option("--account-wide", is_flag=True, help="Answer for all zones of the account without a map of their own.")
@click.option(
    "--immutable",
    is_flag=True,
    help="For operators: the account's map in place of the default pool. It implies --account-wide, is locked, and "
    "bars the account from the pool once enabled.",
)
@click.option("--sni", metavar="NAME", help="Default SNI.")
@click.option("--enable", is_flag=True, help="Enable the map; otherwise it has no effect until `dnsd map enable`.")
@change_options
def create_command(
    api: Client,
    *,
    account: str | None,
    description: str | None,
    ips: Sequence[str],
    zones: Sequence[str],
    account_wide: bool,
    immutable: bool,
    sni: str | None,
    enable: bool,
    options: ChangeOptions,
) -> None:
    """Create a map and print its id."""
    account_id = find_account(api, account)["id"]
    members: list[MemberKey] = [("zone", find_zone(api, zone)["id"]) for zone in zones]
    members += [("account", account_id)] if account_wide or immutable else []
    body = {
        "description": description,
        "default_sni": sni,
        "enabled": enable,
        "ips": ips,
        "memberships": members_body(members),
        "immutable": immutable or None,
    }
    body = {name: value for name, value in body.items() if value is not None}
    path = maps_path(account_id)
    if options.dry_run:
        descriptions = {one["id"]: one["description"] or "" for one in api.all(path)}
        print_plan(api.post(f"{path}/plan", body), descriptions, as_json=options.as_json)
    else:
        options.print_done("created", api.post(path, body, **options.query))


@map_commands.command("edit")
@on_map
@click.option("--description", metavar="TEXT", help="New description; an empty text clears it.")
@click.option("--sni", metavar="NAME", help="New default SNI; an empty text clears it.")
def edit_command(
    api: Client, found: FoundMap, options: ChangeOptions, *, description: str | None, sni: str | None
) -> None:
    """Change a map's description or default SNI."""
    body = {"description": description, "default_sni": sni}
    body = {name: value for name, value in body.items() if value is not None}
    if not body:
        raise click.UsageError("nothing to change: use --description or --sni")
    edit(api, found, options, body, "edited")


@map_commands.command("enable")
@on_map
def enable_command(api: Client, found: FoundMap, options: ChangeOptions) -> None:
    """Enable a map, so that it answers for its members."""
    edit(api, found, options, {"enabled": True}, "enabled")


@map_commands.command("disable")
@on_map
def disable_command(api: Client, found: FoundMap, options: ChangeOptions) -> None:
    """Disable a map, so that it has no effect."""
    edit(api, found, options, {"enabled": False}, "disabled")


@map_commands.command("delete")
@on_map
def delete_command(api: Client, found: FoundMap, options: ChangeOptions) -> None:
    """Delete a disabled map.

    `dnsd map restore` brings it back by its id.
    """
    if options.dry_run:
        plan(api, found, options, {"delete": True})
        return
    result = api.delete(found.path, **options.query)
    if options.at:
        options.print_done("", result)
    elif options.as_json:
        print_json(result)
    else:
        click.echo(f"deleted {printable(map_name(found.shape))}")


@map_commands.command("history")
@map_argument
@click.argument("version", required=False)
@account_option
@json_option
@with_api
def history_command(api: Client, *, map: str, version: str | None, account: str | None, as_json: bool) -> None:
    """List a map's versions, or show one VERSION.

    Lists the versions newest first, or prints the map's file as it was in VERSION. Name a deleted map by its id.
    """
    _, path, _ = find_map_path(api, map, account)
    if version:
        print_version(api, path, version, as_json=as_json)
    else:
        print_versions(api, path, as_json=as_json)


@map_commands.command("restore")
@map_argument
@click.argument("version")
@account_option
@change_options
def restore_command(api: Client, *, map: str, version: str, account: str | None, options: ChangeOptions) -> None:
    """Restore a map to a VERSION from its history.

    A deleted map, named by its id, is created again.
    """
    account_id, path, found = find_map_path(api, map, account)
    version_path = f"{path}/history/{in_path(version)}"
    if not options.dry_run:
        options.print_done("restored", api.post(f"{version_path}/restore", **options.query))
        return
    body = _body_of(api, account_id, api.get(version_path)["text"])
    if found:
        body |= {"id": found.shape["id"]}
    descriptions = found.descriptions if found else {}
    print_plan(api.post(f"{maps_path(account_id)}/plan", body), descriptions, as_json=options.as_json)


def _body_of(api: Client, account_id: str, text: str) -> ApiObject:
    """The request body for a map, from the text of its file."""
    try:
        fields, problems = validate(MapFields, parse_yaml(text), "the version")
    except YamlError as error:
        raise FailedError(f"the version cannot be read: {error}") from None
    if fields is None:
        raise FailedError(*map(str, problems))
    members = [
        (member.kind.value, find_zone(api, member.identifier)["id"] if member.kind == "zone" else account_id)
        for member in fields.memberships
    ]
    return {
        "description": fields.description,
        "default_sni": fields.default_sni,
        "enabled": fields.enabled,
        "ips": [str(ip) for ip in fields.ips],
        "memberships": members_body(members),
        **({"immutable": True} if fields.immutable else {}),
    }
