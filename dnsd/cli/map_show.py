"""The output of `dnsd map`: maps, and the answers that a change would affect."""

from __future__ import annotations

import click

from dnsd.cli.client import ApiObject, ApiRefusedError, Client
from dnsd.cli.find import FoundMap, map_name
from dnsd.cli.show import labelled, print_json, print_rows, say
from dnsd.errors import printable

MAX_SINGLE_REQUESTS = 20  # zones requested one by one; for more, the list of all zones is cheaper
POOL = "the default pool"

MemberKey = tuple[str, str]  # kind and id of a member


def ips_of(found: FoundMap) -> list[str]:
    """The addresses of a map, in its order."""
    return [one["ip"] for one in found.shape["ips"]]


def keys_of(found: FoundMap) -> list[MemberKey]:
    """The members of a map."""
    return [(one["kind"], one["identifier"]) for one in found.shape["memberships"]]


def print_done(what: str, shape: ApiObject, *, as_json: bool) -> None:
    """Print the result of a change: `what` was done, and the map."""
    if as_json:
        print_json(shape)
    else:
        click.echo(f"{what} {printable(map_name(shape))}")


def map_row(shape: ApiObject, account: tuple[str, ...]) -> tuple[str, ...]:
    """A map's row in the table of maps; `account` is its name if the table has that column."""
    kinds = [one["kind"] for one in shape["memberships"]]
    zones = kinds.count("zone")
    members = ["account"] if "account" in kinds else []
    members += [f"{zones} zone{'' if zones == 1 else 's'}"] if zones else []
    return (
        shape["id"],
        shape["description"] or "-",
        *account,
        "yes" if shape["enabled"] else "no",
        ", ".join(members) or "-",
        str(len(shape["ips"])),
    )


def print_map(api: Client, found: FoundMap) -> None:
    """Print a map with its account, addresses and members."""
    shape = found.shape
    account = api.get(f"/accounts/{found.account_id}")
    zones = _zone_names(api, found)
    members = [
        f"account {account['name']}" if kind == "account" else f"zone {zones.get(one, one)}"
        for kind, one in keys_of(found)
    ]
    click.secho(printable(map_name(shape)), bold=True)
    print_rows(
        [
            ("account", f"{account['name']} ({account['id']})"),
            ("enabled", "yes" if shape["enabled"] else "no"),
            ("immutable", "" if shape["can_modify_ips"] else "yes"),
            ("sni", shape["default_sni"] or ""),
            *labelled("addresses", ips_of(found)),
            *labelled("members", members),
            ("created", shape["created_at"]),
            ("modified", shape["modified_at"]),
        ]
    )


def _zone_names(api: Client, found: FoundMap) -> dict[str, str]:
    """The names of a map's zones by id; empty if the token may not see one of them."""
    ids = [identifier for kind, identifier in keys_of(found) if kind == "zone"]
    try:
        if len(ids) > MAX_SINGLE_REQUESTS:
            zones = api.all("/zones", **{"account.id": found.account_id})
        else:
            zones = [api.get(f"/zones/{one}") for one in ids]
    except ApiRefusedError:
        return {}
    return {one["id"]: one["name"] for one in zones}


def print_plan(plan: ApiObject, descriptions: dict[str, str], *, as_json: bool) -> None:
    """Print the zones whose answers would change, with the old and the new addresses."""
    if as_json:
        print_json(plan)
        return
    for warning in plan["warnings"]:
        say(printable(f"warning: {warning}"))
    for zone in plan["zones"]:
        click.secho(printable(zone["name"]), bold=True)
        names = [one["name"] for one in zone["names"]]
        more = [f"and {zone['names_total'] - len(names):,} more"] if zone["names_total"] > len(names) else []
        old, new = zone["old"], zone["new"]
        changes = [
            (family, f"{', '.join(old[family]) or 'none'} -> {', '.join(new[family]) or 'none'}")
            for family in ("A", "AAAA")
            if old[family] != new[family]
        ]
        maps = " -> ".join(dict.fromkeys(_answering_name(one["map"], descriptions) for one in (old, new)))
        print_rows([("names", ", ".join(names + more)), *changes, ("map", maps)])
    total, zones = plan["names_total"], plan["zones_total"]
    names_text = f"{total:,} name{'' if total == 1 else 's'} in {zones:,} zone{'' if zones == 1 else 's'}"
    what = f"{names_text} would be answered differently" if total else "no answer would change"
    click.echo(f"{what}; nothing was written")


def _answering_name(map_id: str | None, descriptions: dict[str, str]) -> str:
    if map_id is None:
        return POOL
    if map_id not in descriptions:
        return "the new map"
    return descriptions[map_id] or map_id
