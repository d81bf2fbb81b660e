"""*Save and Deploy* › *later*: changes of maps that wait for their time, on pages and in forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dnsd.dashboard.page import Redirect
from dnsd.dashboard.views import UNNAMED, map_title
from dnsd.dashboard.visit import Visit
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending import FIELD, PendingChange, map_of, obstacle, parse_deploy_at
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.tokens import Token
from dnsd.model.dataset import Dataset

LATER = "later"  # the value of the button
WITHOUT_SECONDS = len("2026-12-01T03:00")
VERBS = {
    "map.create": "Create the map",
    "map.edit": "Edit the map",
    "map.enable": "Enable the map",
    "map.disable": "Disable the map",
    "map.delete": "Delete the map",
    "map.restore": "Restore the version",
    "map.add_ip": "Add the address",
    "map.remove_ip": "Remove the address",
    "map.add_zone": "Add the zone",
    "map.remove_zone": "Remove the zone",
    "map.add_account": "Add the account",
    "map.remove_account": "Remove the account",
}
FIELD_WORDS = {"default_sni": "default SNI", "ips": "addresses", "memberships": "members", "description": "name"}


@dataclass(frozen=True, slots=True)
class PendingRow:
    """A pending change on a page."""

    change: PendingChange
    title: str  # of its map
    place: str  # the page of its map; empty: the map does not exist yet
    words: str
    will_stop: str  # the reason why it would be stopped as things are; empty: none is known
    zones: Sequence[Mapping[str, Any]]  # of its plan
    zones_total: int
    names_total: int


def is_later(visit: Visit) -> bool:
    """Whether the form asks for a change at a set time."""
    return visit.form.get("do") == LATER


async def schedule(visit: Visit, request: MapRequest, *, tag: str | None = None, changed: str = "") -> PendingChange:
    """Keep a change until the time in the form. Raises RefusedError.

    With `tag`, the map must be the one that the form was made for; `changed` is the message if it is another.
    """
    text = visit.form.text(FIELD)
    at = parse_deploy_at(f"{text}{':00' if len(text) == WITHOUT_SECONDS else ''}Z" if text else "")

    def expect(current: str) -> None:
        if tag is not None and current != tag:
            raise refused(Reason.CHANGED_MEANWHILE, changed)

    return await visit.service.schedule.add(visit.actor, request, at, expect)


def scheduled(change: PendingChange) -> str:
    """The notice after a change was scheduled."""
    return f"The change is scheduled for {change.at:%Y-%m-%d %H:%M:%S} UTC. Until then, nothing changes."


async def pending_rows(visit: Visit, map_id: str | None = None) -> list[PendingRow]:
    """The pending changes of the account in the path, or of one of its maps, in the order of their times."""
    changes = await visit.service.schedule.of_account(visit.account.id)
    found = [one for one in changes if map_id is None or one.request.map_id == map_id]
    tokens = {token.id: token for token in await visit.aside(visit.service.tokens.tokens)} if found else {}
    return [_row(visit, one, tokens.get(one.token_id)) for one in found]


def _row(visit: Visit, change: PendingChange, token: Token | None) -> PendingRow:
    dataset, request = visit.dataset, change.request
    found = map_of(dataset, request.account_id, request.map_id)
    given = request.arguments.get("description")
    title = map_title(found) if found else str(given or UNNAMED)
    # Those before it may still be made, so they are no obstacle yet.
    why = "" if change.stopped else obstacle(replace(change, follows=()), visit.loaded, token, change.at)
    plan = change.plan
    return PendingRow(
        change,
        title,
        f"/accounts/{request.account_id}/maps/{request.map_id}" if found else "",
        _words(dataset, request),
        why,
        plan.get("zones", ()),
        plan.get("zones_total", 0),
        plan.get("names_total", 0),
    )


def _words(dataset: Dataset, request: MapRequest) -> str:
    """A request in words."""
    verb, given = VERBS[request.action], request.arguments
    if request.action == "map.edit" and set(given) == {"enabled"}:
        return VERBS["map.enable" if given["enabled"] else "map.disable"]
    if request.action == "map.edit":
        return f"{verb}: {_listed(FIELD_WORDS.get(name, name) for name in given)}" if given else verb
    if request.action in ("map.add_zone", "map.remove_zone"):
        zone = dataset.zones.get(given["identifier"].lower())
        return f"{verb} {zone.name_text if zone else given['identifier']}"
    if request.action in ("map.add_ip", "map.remove_ip", "map.restore"):
        return f"{verb} {given.get('ip') or given.get('version')}"
    return verb


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


async def cancel(visit: Visit) -> Redirect:
    """Cancel a pending change."""
    account_id, schedule = visit.account.id, visit.service.schedule
    change = await schedule.find(account_id, visit.path["change_id"])
    left = await schedule.cancel(visit.actor, account_id, change.id)
    more = f" {len(left)} later {'change was' if len(left) == 1 else 'changes were'} planned to follow it, and will"
    return Redirect(_place(visit, change), f"The change is cancelled.{f'{more} be stopped.' if left else ''}")


async def run(visit: Visit) -> Redirect:
    """Make a stopped change now. Raises RefusedError."""
    account_id, schedule = visit.account.id, visit.service.schedule
    change = await schedule.find(account_id, visit.path["change_id"])
    await schedule.run(visit.actor, account_id, change.id)
    return Redirect(_place(visit, change), "The change is made. DNS answers accordingly.")


def _place(visit: Visit, change: PendingChange) -> str:
    """The page that lists a map's pending changes: the map's own, or the list of maps."""
    request = change.request
    maps = f"/accounts/{request.account_id}/maps"
    return f"{maps}/{request.map_id}" if map_of(visit.dataset, request.account_id, request.map_id) else maps
