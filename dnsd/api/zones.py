"""The routes of zones and their settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dnsd.api import bodies
from dnsd.api.access import account_for_zone
from dnsd.api.envelope import Raw, Reply
from dnsd.api.request import Call, in_thread
from dnsd.api.shapes import zone_dns_settings_shape, zone_shape, zones_in_order
from dnsd.formats.zone_export import exported_zone
from dnsd.manage import zones
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_zone
from dnsd.model.dataset import Dataset
from dnsd.model.spelling import readings, spellings
from dnsd.model.times import time_text
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
    loaded = call.service.loaded
    found = [
        zone for zone in _matching_zones(call, loaded.dataset) if call.actor.token.covers(zone.account_id, zone.id)
    ]
    in_order = zones_in_order(
        loaded.dataset, found, call.query.get("order", ""), descending=call.query.get("direction") == "desc"
    )
    return Reply(call.page(default=20, largest=MAX_ZONES).of_list(in_order, partial(zone_shape, loaded)))


async def create_zone(call: Call) -> Reply:
    """Create a zone; it is active at once, but verified only if the operator creates it"""
    body = call.fields(bodies.ZoneBody)
    account_id = account_for_zone(call.actor.token, call.dataset, body.account.id)
    zone_id, loaded = await call.service.change(
        call.actor, "zone.create", lambda draft: zones.create_zone(draft, account_id, body.name)
    )
    zone = find_zone(loaded.dataset, zone_id)
    return Reply(zone_shape(loaded, zone), zones.unverified_notes(zone))


async def get_zone(call: Call) -> Reply:
    """Get a zone"""
    loaded = call.service.loaded
    return Reply(zone_shape(loaded, find_zone(loaded.dataset, call.path["zone_id"])))


async def edit_zone(call: Call) -> Reply:
    """Pause a zone (its proxied records are answered as stored) or resume it; the operator can also verify it"""
    edit = call.fields(bodies.ZoneEdit)
    verb = partial(zones.edit_zone, paused=edit.paused, verified=edit.verified)
    zone, loaded = await _change(call, "zone.edit", verb)
    return Reply(zone_shape(loaded, zone))


async def delete_zone(call: Call) -> Reply:
    """Delete a zone and its memberships in address maps"""
    zone_id = call.path["zone_id"]
    await call.service.change(call.actor, "zone.delete", lambda draft: zones.delete_zone(draft, zone_id))
    return Reply({"id": zone_id})


async def get_ipv6(call: Call) -> Reply:
    """Get the IPv6 setting of a zone: whether proxied names have AAAA records"""
    return Reply(_ipv6_shape(call, find_zone(call.dataset, call.path["zone_id"])))


async def edit_ipv6(call: Call) -> Reply:
    """Turn AAAA records of proxied names on or off"""
    is_on = call.fields(bodies.SwitchBody).value == "on"
    zone, _ = await _change(
        call, "zone.edit_ipv6", lambda draft, zone_id: zones.set_zone_switches(draft, zone_id, {"ipv6": is_on})
    )
    return Reply(_ipv6_shape(call, zone))


async def get_dns_settings(call: Call) -> Reply:
    """Get the DNS settings of a zone"""
    return Reply(zone_dns_settings_shape(find_zone(call.dataset, call.path["zone_id"])))


async def edit_dns_settings(call: Call) -> Reply:
    """Change the DNS settings of a zone: `flatten_all_cnames`"""
    is_on = call.fields(bodies.ZoneDnsSettingsEdit).flatten_all_cnames

    def verb(draft: Draft, zone_id: str) -> None:
        if is_on is not None:
            zones.set_zone_switches(draft, zone_id, {"flatten_all_cnames": is_on})

    zone, _ = await _change(call, "zone.edit_dns_settings", verb)
    return Reply(zone_dns_settings_shape(zone))


async def get_dnssec(call: Call) -> Reply:
    """Get the DNSSEC status of a zone: always disabled"""
    return Reply({"status": "disabled", "dnssec_multi_signer": False, "dnssec_presigned": False})


async def check_activation(call: Call) -> Reply:
    """Ask for an activation check; it has no effect, as files set the status of zones"""
    return Reply({"id": call.path["zone_id"]})


async def list_page_rules(call: Call) -> Reply:
    """List page rules: always an empty list"""
    return Reply(call.listed([], dict))


async def export_zone(call: Call) -> Raw:
    """Export a zone as a master file"""
    zone = find_zone(call.dataset, call.path["zone_id"])
    return Raw(await in_thread(len(zone.records), exported_zone, zone, datetime.now(UTC)))


async def _change(call: Call, action: str, verb: Callable[[Draft, str], None]) -> tuple[Zone, Any]:
    zone_id = call.path["zone_id"]
    _, loaded = await call.service.change(call.actor, action, lambda draft: verb(draft, zone_id))
    return find_zone(loaded.dataset, zone_id), loaded


def _ipv6_shape(call: Call, zone: Zone) -> dict[str, Any]:
    return {
        "id": "ipv6",
        "value": "on" if zone.settings.ipv6 else "off",
        "editable": True,
        "modified_on": time_text(call.service.loaded.times.of_zone(zone).modified),
    }


def _matching_zones(call: Call, dataset: Dataset) -> Iterator[Zone]:
    """The zones that match the filters of a query."""
    query = call.query
    zones: Iterator[Zone] = iter(dataset.zones.values())
    if name := query.get("name", "").strip():
        operator, colon, value = name.partition(":")
        if colon and operator in OPERATORS:
            is_named = partial(_is_named, OPERATORS[operator], spellings(value.strip().rstrip(".")) or ("",))
            zones = (zone for zone in zones if is_named(zone) is not (operator == NOT_EQUAL))
        else:
            zones = _zone_named(dataset, name)
    if account_id := query.get("account.id"):
        zones = (zone for zone in zones if zone.account_id == account_id.lower())
    if account_name := query.get("account.name"):
        zones = (zone for zone in zones if dataset.accounts[zone.account_id].name == account_name)
    if status := query.get("status"):
        zones = (zone for zone in zones if zone.status.value == status)
    return zones


def _is_named(compare: Callable[[str, str], bool], values: Sequence[str], zone: Zone) -> bool:
    """Whether the name of a zone, in A-labels or U-labels, matches one of these values."""
    return any(compare(text, value) for text in readings(zone.name_text) for value in values)


def _zone_named(dataset: Dataset, name: str) -> Iterator[Zone]:
    try:
        zone = dataset.zones_by_name.get(parse_name_text(name).lower())
    except ValueError:
        return
    if zone:
        yield zone
