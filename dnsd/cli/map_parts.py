"""`dnsd map add-…` and `dnsd map remove-…`: the addresses and members of a map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from dnsd.cli.client import ApiObject, Client, FailedError, in_path
from dnsd.cli.find import FoundMap, find_zone, map_name, maps_path, pending_path
from dnsd.cli.map_change import ChangeOptions, on_map, plan
from dnsd.cli.map_show import MemberKey, ips_of, keys_of, members_body, print_done
from dnsd.cli.maps import map_commands, read_ips
from dnsd.cli.pending_show import print_scheduled
from dnsd.cli.show import say
from dnsd.errors import printable


@map_commands.command("add-ip")
@on_map
@click.argument("ips", metavar="IP...", nargs=-1, required=True, callback=read_ips)
def add_ip_command(api: Client, found: FoundMap, options: ChangeOptions, *, ips: Sequence[str]) -> None:
    """Add addresses to a map.

    Addresses already in the map keep their place.
    """
    wanted = list(dict.fromkeys((*ips_of(found), *ips)))
    _change_parts(api, found, options, {"ips": wanted}, api.put, [f"ips/{in_path(ip)}" for ip in ips])


@map_commands.command("remove-ip")
@on_map
@click.argument("ips", metavar="IP...", nargs=-1, required=True, callback=read_ips)
def remove_ip_command(api: Client, found: FoundMap, options: ChangeOptions, *, ips: Sequence[str]) -> None:
    """Remove addresses from a map."""
    _warn_of_missing(found, [ip for ip in ips if ip not in ips_of(found)])
    left = [ip for ip in ips_of(found) if ip not in ips]
    _change_parts(api, found, options, {"ips": left}, api.delete, [f"ips/{in_path(ip)}" for ip in ips])


@map_commands.command("add-zone")
@on_map
@click.argument("zones", metavar="ZONE...", nargs=-1, required=True)
def add_zone_command(api: Client, found: FoundMap, options: ChangeOptions, *, zones: Sequence[str]) -> None:
    """Add zones to a map's members.

    The map then answers for the proxied names of each ZONE, given by name or id.
    """
    _add_members(api, found, options, [("zone", find_zone(api, zone)["id"]) for zone in zones])


@map_commands.command("remove-zone")
@on_map
@click.argument("zones", metavar="ZONE...", nargs=-1, required=True)
def remove_zone_command(api: Client, found: FoundMap, options: ChangeOptions, *, zones: Sequence[str]) -> None:
    """Remove zones from a map's members.

    ZONE is a zone's name or id.
    """
    members = [("zone", find_zone(api, zone)["id"]) for zone in zones]
    _warn_of_missing(found, [zone for zone, key in zip(zones, members, strict=True) if key not in keys_of(found)])
    _remove_members(api, found, options, members)


@map_commands.command("add-account")
@on_map
def add_account_command(api: Client, found: FoundMap, options: ChangeOptions) -> None:
    """Add the account to its map's members.

    The map then answers for all zones of the account without a map of their own.
    """
    _add_members(api, found, options, [("account", found.account_id)])


@map_commands.command("remove-account")
@on_map
def remove_account_command(api: Client, found: FoundMap, options: ChangeOptions) -> None:
    """Remove the account from its map's members."""
    key = ("account", found.account_id)
    _warn_of_missing(found, ["its account"] if key not in keys_of(found) else [])
    _remove_members(api, found, options, [key])


# Shared by the commands


def _add_members(api: Client, found: FoundMap, options: ChangeOptions, members: Sequence[MemberKey]) -> None:
    wanted = members_body((*keys_of(found), *members))
    _change_parts(api, found, options, {"memberships": wanted}, api.put, [f"{kind}s/{one}" for kind, one in members])


def _remove_members(api: Client, found: FoundMap, options: ChangeOptions, members: Sequence[MemberKey]) -> None:
    left = members_body(key for key in keys_of(found) if key not in members)
    _change_parts(api, found, options, {"memberships": left}, api.delete, [f"{kind}s/{one}" for kind, one in members])


def _change_parts(
    api: Client,
    found: FoundMap,
    options: ChangeOptions,
    body: ApiObject,
    change: Callable[..., Any],
    parts: Sequence[str],
) -> None:
    """Change several parts of a map one by one, as the API requires; `body` has the fields of the final map.

    The whole change is planned first, so that a change against the rules is refused before anything is written.
    """
    if options.dry_run:
        plan(api, found, options, body)
        return
    if options.at:
        _schedule_parts(api, found, options, change, parts)
        return
    now = {"ips": ips_of(found), "memberships": members_body(keys_of(found))}
    if all(now[name] == wanted for name, wanted in body.items()):
        print_done("unchanged", found.shape, as_json=options.as_json)
        return
    if len(parts) > 1:
        api.post(f"{maps_path(found.account_id)}/plan", {"id": found.shape["id"], **body})
    for number, part in enumerate(parts):
        try:
            change(f"{found.path}/{part}")
        except FailedError as error:
            done = f"the first {number} of {len(parts)} changes were carried out" if number else ""
            raise FailedError(*error.lines, *filter(None, [done]), status=error.status) from None
    print_done("changed", api.get(found.path), as_json=options.as_json)


def _schedule_parts(
    api: Client, found: FoundMap, options: ChangeOptions, change: Callable[..., Any], parts: Sequence[str]
) -> None:
    """A pending change for each part, all at the same time; if one is refused, none is kept."""
    scheduled: list[ApiObject] = []
    try:
        for part in parts:
            scheduled.append(change(f"{found.path}/{part}", **options.query))
    except FailedError:
        for one in scheduled:
            api.delete(f"{pending_path(found.account_id)}/{one['id']}")
        raise
    print_scheduled(scheduled, as_json=options.as_json)


def _warn_of_missing(found: FoundMap, missing: Sequence[str]) -> None:
    """Warn about parts to remove that the map does not have: not an error, but perhaps a slip."""
    for one in missing:
        say(printable(f"warning: the map {map_name(found.shape)} does not have {one}"))
