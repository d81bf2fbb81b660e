"""The output of `dnsd map` about pending changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import click

from dnsd.cli.client import ApiObject
from dnsd.cli.show import labelled, print_json, print_rows, print_table
from dnsd.errors import printable

SECONDS = len("2026-12-01T02:00:00")


def print_scheduled(changes: Sequence[ApiObject], *, as_json: bool) -> None:
    """Print changes that were just scheduled."""
    if as_json:
        print_json(changes[0] if len(changes) == 1 else changes)
        return
    for change in changes:
        click.echo(f"scheduled for {due_text(change)}: {printable(request_words(change))} ({change['id']})")
        click.echo(f"  {effect_words(change['plan'])}")


def print_pending(changes: Iterable[ApiObject], titles: Mapping[str, str]) -> None:
    """Print a table of pending changes; `titles` are those of the maps, by id."""
    rows = [
        (
            change["id"],
            due_text(change),
            titles.get(change["map_id"], change["map_id"]),
            request_words(change),
            change["token"]["name"] or change["token"]["id"],
            state_words(change),
        )
        for change in changes
    ]
    print_table(("id", "due", "map", "change", "by", "state"), rows, words=6)


def print_pending_of_map(changes: Iterable[ApiObject]) -> None:
    """Print the pending changes of one map with their plans."""
    for change in changes:
        click.secho(printable(f"{due_text(change)}  {request_words(change)}"), bold=True)
        plan = change["plan"]
        print_rows(
            [
                ("id", change["id"]),
                ("by", change["token"]["name"] or change["token"]["id"]),
                ("state", state_words(change)),
                ("follows", ", ".join(change["follows"])),
                ("plan", effect_words(plan)),
                *labelled("zones", [_zone_words(zone) for zone in plan.get("zones", ())]),
            ]
        )


def due_text(change: ApiObject) -> str:
    """The time of a change, in UTC to the second."""
    return f"{change['deploy_at'][:SECONDS]}Z"


def request_words(change: ApiObject) -> str:
    """A request in words: `add ip 203.0.113.9`."""
    verb = change["action"].removeprefix("map.").replace("_", " ")
    given = change["arguments"]
    if change["action"] in ("map.edit", "map.create"):
        return f"{verb} {', '.join(f'{name}={_value_words(value)}' for name, value in given.items())}".rstrip()
    return " ".join([verb, *(str(value) for name, value in given.items() if name != "enabled")])


def state_words(change: ApiObject) -> str:
    """`pending`, or `stopped` with the reason."""
    return f"stopped: {change['reason']}" if change["state"] == "stopped" else "pending"


def effect_words(plan: ApiObject) -> str:
    """The size of a plan in words."""
    names, zones = plan.get("names_total", 0), plan.get("zones_total", 0)
    if not zones:
        return "no answer will change"
    names_text = f"{names:,} name{'' if names == 1 else 's'}"
    return f"{names_text} in {zones:,} zone{'' if zones == 1 else 's'} will be answered differently"


def _value_words(value: object) -> str:
    if isinstance(value, list):
        return ",".join(one["identifier"] if isinstance(one, dict) else str(one) for one in value) or "none"
    return str(value)


def _zone_words(zone: ApiObject) -> str:
    old, new = zone["old"], zone["new"]
    changes = [
        f"{family} {', '.join(old[family]) or 'none'} -> {', '.join(new[family]) or 'none'}"
        for family in ("A", "AAAA")
        if old[family] != new[family]
    ]
    return f"{zone['name']}: {'; '.join(changes)}"
