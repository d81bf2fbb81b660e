"""The routes of zones and their settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dnsd.api.access import account_for_zone
from dnsd.api.envelope import Raw, Reply
from dnsd.api.request import Call
from dnsd.api.shapes import zone_shape, zones_in_order
from dnsd.api.zone_bodies import ZoneBody, ZoneEdit
from dnsd.app import Loaded
from dnsd.engine.content import answered_rrsets
from dnsd.formats.zone_export import export, export_answered
from dnsd.manage import zones
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_zone
from dnsd.manage.refusal import Reason, refused
from dnsd.model.dataset import Dataset
from dnsd.model.spelling import readings, spellings
from dnsd.model.zones import Zone
from dnsd.wire.names import parse_name_text

MAX_ZONES = 50  # on one page
NOT_EQUAL = "not_equal"
OPERATORS: Mapping[str, Callable[[str, str], bool]] = {  # of a filter such as name=contains:shop
    "equal": str.__eq__,
    NOT_EQUAL: str.__eq__,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": str.__contains__,
    "starts_with_case_sensitive": str.startswith,
    "ends_with_case_sensitive": str.endswith,
    "contains_case_sensitive": str.__contains__,
}


async def list_zones(call: Call) -> Reply:
    """List the zones that the token covers"""
    listed = partial(_listed_zones, call, call.service.loaded)
    return listed() if _is_exact(call.query.get("name", "").strip()) else await call.aside(listed)


def _listed_zones(call: Call, loaded: Loaded) -> Reply:
    found = [
        zone for zone in _matching_zones(call, loaded.dataset) if call.actor.token.covers(zone.account_id, zone.id)
    ]
    in_order = zones_in_order(
        loaded.dataset, found, call.query.get("order", ""), descending=call.query.get("direction") == "desc"
    )
    return Reply(call.page(default=20, largest=MAX_ZONES).of_list(in_order, partial(zone_shape, loaded)))


async def create_zone(call: Call) -> Reply:
    """Create a zone; it is active at once, but verified only if the operator creates it"""
    body = call.fields(ZoneBody)
    account_id = account_for_zone(call.actor.token, call.dataset, body.account.id)
    zone_id, loaded = await call.service.change(
        call.actor, "zone.create", lambda draft: zones.create_zone(draft, account_id, body.name)
    )
    zone = find_zone(loaded.dataset, zone_id)
    return Reply(zone_shape(loaded, zone), zones.unverified_notes(loaded, zone))


async def get_zone(call: Call) -> Reply:
    """Get a zone"""
    loaded = call.service.loaded
    return Reply(zone_shape(loaded, find_zone(loaded.dataset, call.path["zone_id"])))


async def edit_zone(call: Call) -> Reply:
    """Pause a zone (its proxied records are answered as stored) or resume it; the operator can also verify it"""
    shown = zone_shape(call.service.loaded, find_zone(call.dataset, call.path["zone_id"]))
    edit = call.fields(ZoneEdit, shown)
    verb = partial(zones.edit_zone, paused=edit.paused, verified=edit.verified)
    zone, loaded = await _change(call, "zone.edit", verb)
    return Reply(zone_shape(loaded, zone))


async def delete_zone(call: Call) -> Reply:
    """Delete a zone and its memberships in address maps"""
    zone_id = call.path["zone_id"]
    await call.service.change(call.actor, "zone.delete", lambda draft: zones.delete_zone(draft, zone_id))
    return Reply({"id": zone_id})


async def get_dnssec(call: Call) -> Reply:
    """Get the DNSSEC status of a zone: always disabled"""
    return Reply({"status": "disabled", "dnssec_multi_signer": False, "dnssec_presigned": False})


async def check_activation(call: Call) -> Reply:
    """Look up soon, with `resolver`, whether an unverified zone belongs to its account"""
    zone = find_zone(call.dataset, call.path["zone_id"])
    call.service.check_activation(zone)
    return Reply({"id": zone.id})


async def list_page_rules(call: Call) -> Reply:
    """List page rules: always an empty list"""
    return Reply(call.listed([], dict))


async def export_zone(call: Call) -> Raw:
    """Export a zone as a master file: as stored, or as DNS answers it (`view=answered`)"""
    loaded = call.service.loaded
    zone = find_zone(loaded.dataset, call.path["zone_id"])
    view = call.query.get("view", "stored")
    if view not in ("stored", "answered"):
        raise refused(Reason.INVALID, "the query parameter `view` is stored or answered", "view")
    now = datetime.now(UTC)
    if view == "stored":
        return Raw(await call.in_turns(export(zone, now)))
    is_served = zone.id in loaded.snapshot.zones
    rrsets = answered_rrsets(loaded.snapshot, zone.name) if is_served else ()
    return Raw(await call.in_turns(export_answered(zone.name, rrsets, now)))


async def _change(call: Call, action: str, verb: Callable[[Draft, str], None]) -> tuple[Zone, Any]:
    zone_id = call.path["zone_id"]
    _, loaded = await call.service.change(call.actor, action, lambda draft: verb(draft, zone_id))
    return find_zone(loaded.dataset, zone_id), loaded


def _matching_zones(call: Call, dataset: Dataset) -> Iterator[Zone]:
    """The zones that match the filters of a query."""
    query = call.query
    zones: Iterator[Zone] = iter(dataset.zones.values())
    if name := query.get("name", "").strip():
        operator, _, value = name.partition(":")
        if not _is_exact(name):
            is_named = partial(_is_named, OPERATORS[operator], spellings(value.strip().rstrip(".")) or ("",))
            zones = (zone for zone in zones if is_named(zone) is not (operator == NOT_EQUAL))
        else:
            zones = _zones_named(dataset, name)
    if account_id := query.get("account.id"):
        zones = (zone for zone in zones if zone.account_id == account_id.lower())
    if account_name := query.get("account.name"):
        zones = (zone for zone in zones if dataset.accounts[zone.account_id].name == account_name)
    if status := query.get("status"):
        zones = (zone for zone in zones if dataset.status_of(zone).value == status)
    return zones


def _is_exact(name: str) -> bool:
    """Whether a filter asks for one name."""
    operator, colon, _ = name.partition(":")
    return bool(name) and not (colon and operator in OPERATORS)


def _is_named(compare: Callable[[str, str], bool], values: Sequence[str], zone: Zone) -> bool:
    """Whether the name of a zone, in A-labels or U-labels, matches one of these values."""
    return any(compare(text, value) for text in readings(zone.name_text) for value in values)


def _zones_named(dataset: Dataset, name: str) -> Iterator[Zone]:
    try:
        wire = parse_name_text(name).lower()
    except ValueError:
        return
    yield from dataset.zones_called(wire)
