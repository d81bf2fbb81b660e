"""The output of `dnsd map`: maps, and the answers that a change would affect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from dnsd.cli.client import ApiObject, ApiRefusedError, Client
from dnsd.cli.find import FoundMap, map_name
from dnsd.cli.show import labelled, print_json, print_rows, say
from dnsd.errors import printable

MAX_SINGLE_REQUESTS = 20  # zones requested one by one; for more, the list of all zones is cheaper
MAX_EXAMPLES = 5  # recent questions that would be answered otherwise
SOURCES = {
    "pool": "the default pool",
    "stored": "as stored",
    "none": "no addresses",
    "other_account": "a map of another account",
}
EFFECTS = {  # those that need attention
    "onto_pool": "would fall onto the default pool",
    "into_open": "would be answered as stored: their origin becomes public",
    "unanswered": "would have no addresses any more",
}

MemberKey = tuple[str, str]  # kind and id of a member


def ips_of(found: FoundMap) -> list[str]:
    """The addresses of a map, in its order."""
    return [one["ip"] for one in found.shape["ips"]]


def keys_of(found: FoundMap) -> list[MemberKey]:
    """The members of a map."""
    return [(one["kind"], one["identifier"]) for one in found.shape["memberships"]]


def members_body(keys: Iterable[MemberKey]) -> list[ApiObject]:
    """Members in a request's body, each once."""
    return [{"kind": kind, "identifier": identifier} for kind, identifier in dict.fromkeys(keys)]


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
        for answers in zone["answers"]:
            _print_answers(answers, descriptions)
    for line in _effect_lines(plan):
        click.echo(printable(line))
    total, zones, others = plan["names_total"], plan["zones_total"], plan["names_of_other_accounts"]
    changed = [f"{_names(total)} in {zones:,} zone{'' if zones == 1 else 's'}"] if total else []
    changed += [f"{_names(others)} of other accounts"] if others else []
    what = f"{' and '.join(changed)} would be answered differently" if changed else "no answer would change"
    click.echo(f"{what}; nothing was written")


def _print_answers(answers: ApiObject, descriptions: dict[str, str]) -> None:
    """Print a zone's names with the same answers, before and after."""
    old, new, total = answers["old"], answers["new"], answers["names_total"]
    names = [f"{one['name']} ({one['via']})" if one["via"] else one["name"] for one in answers["names"]]
    more = [f"and {total - len(names):,} more"] if total > len(names) else []
    changes = [
        (family, f"{', '.join(old[family]) or 'none'} -> {', '.join(new[family]) or 'none'}")
        for family in ("A", "AAAA")
        if old[family] != new[family]
    ]
    sources = " -> ".join(dict.fromkeys(_source(one, descriptions) for one in (old, new)))
    print_rows([("names", ", ".join(names + more)), *changes, ("map", sources)])


def _effect_lines(plan: ApiObject) -> Iterator[str]:
    """The figures of a plan's effect, in words."""
    for effect, words in EFFECTS.items():
        if count := plan["effects"][effect]:
            yield f"{_names(count)} {words}"
    if share := plan["share_of_questions"]:
        of = "these names" if share["is_sampled"] else "these zones"
        yield f"{100 * share['share']:.0f} % of the account's recent questions were for {of}"
    if seconds := plan["forgotten_after_s"]:
        yield f"caches may give the old answers for {seconds:,} s after the change"
    if replay := plan.get("replay"):  # a server of the version before sends none
        yield from replay["text"]
        for one in replay["examples"][:MAX_EXAMPLES]:
            yield f"for example {one['name']} {one['type']}: {one['old']} -> {one['new']}"


def _names(count: int) -> str:
    return f"{count:,} name{'' if count == 1 else 's'}"


def _source(addresses: ApiObject, descriptions: dict[str, str]) -> str:
    """The source of a name's addresses."""
    if addresses["outside"]:
        return f"as stored, a CNAME to {addresses['outside']}"
    if addresses["source"] in SOURCES:
        return SOURCES[addresses["source"]]
    maps = dict.fromkeys((addresses["map"], addresses["AAAA_map"]))
    return " and ".join(_map_text(one, descriptions) for one in maps if one)


def _map_text(map_id: str, descriptions: dict[str, str]) -> str:
    if map_id not in descriptions:
        return "the new map"
    return descriptions[map_id] or map_id
