"""The routes of a zone's settings, and of its DNS settings."""

from __future__ import annotations

from typing import Any

from dnsd.api.envelope import Reply
from dnsd.api.request import Call
from dnsd.api.shapes import JsonObject, zone_dns_settings_shape
from dnsd.api.zone_bodies import SettingsBody, SwitchBody, ZoneDnsSettingsEdit
from dnsd.app import Loaded
from dnsd.manage import zones
from dnsd.manage.find import find_zone
from dnsd.manage.refusal import Reason, refused
from dnsd.model.times import time_text
from dnsd.model.zones import Zone

SETTINGS = ("http2", "http3", "ipv6")  # those of Cloudflare's that dnsd has; also fields of ZoneSettings


async def list_settings(call: Call) -> Reply:
    """List the settings of a zone"""
    loaded, zone = call.service.loaded, find_zone(call.dataset, call.path["zone_id"])
    return Reply([_setting_shape(loaded, zone, name) for name in SETTINGS])


async def edit_settings(call: Call) -> Reply:
    """Turn several settings of a zone on or off"""
    items = call.fields(SettingsBody).items
    for index, one in enumerate(items):
        if one.id not in SETTINGS:
            raise refused(Reason.INVALID, f"{one.id} is not available here", "items", index, "id")
    loaded, zone = await _turn(call, {one.id: one.value == "on" for one in items})
    return Reply([_setting_shape(loaded, zone, name) for name in SETTINGS])


async def get_setting(call: Call) -> Reply:
    """Get a setting of a zone: `http2` and `http3`, announced in HTTPS records; `ipv6`, AAAA of proxied names"""
    loaded, zone, name = call.service.loaded, find_zone(call.dataset, call.path["zone_id"]), _name(call)
    return Reply(_setting_shape(loaded, zone, name))


async def edit_setting(call: Call) -> Reply:
    """Turn a setting of a zone on or off"""
    name, zone = _name(call), find_zone(call.dataset, call.path["zone_id"])
    body = call.fields(SwitchBody, _setting_shape(call.service.loaded, zone, name))
    loaded, zone = await _turn(call, {name: body.value == "on"})
    return Reply(_setting_shape(loaded, zone, name))


async def get_dns_settings(call: Call) -> Reply:
    """Get the DNS settings of a zone"""
    return Reply(zone_dns_settings_shape(find_zone(call.dataset, call.path["zone_id"])))


async def edit_dns_settings(call: Call) -> Reply:
    """Change the DNS settings of a zone: `flatten_all_cnames`, `ns_ttl`, `soa`"""
    zone_id = call.path["zone_id"]
    edit = call.fields(ZoneDnsSettingsEdit, zone_dns_settings_shape(find_zone(call.dataset, zone_id)))
    switches = {} if edit.flatten_all_cnames is None else {"flatten_all_cnames": edit.flatten_all_cnames}
    soa: dict[str, Any] = edit.soa.model_dump(exclude_none=True) if edit.soa else {}
    if "mname" in (call.json.get("soa") or {}):
        soa.setdefault("mname", None)
    _, loaded = await call.service.change(
        call.actor,
        "zone.edit_dns_settings",
        lambda draft: zones.set_dns_settings(draft, zone_id, switches=switches, ns_ttl=edit.ns_ttl, soa=soa),
    )
    return Reply(zone_dns_settings_shape(find_zone(loaded.dataset, zone_id)))


async def _turn(call: Call, wanted: dict[str, bool]) -> tuple[Loaded, Zone]:
    """Turn settings of the zone in the path on or off."""
    zone_id = call.path["zone_id"]
    _, loaded = await call.service.change(
        call.actor, "zone.edit_settings", lambda draft: zones.set_zone_switches(draft, zone_id, wanted)
    )
    return loaded, find_zone(loaded.dataset, zone_id)


def _name(call: Call) -> str:
    """The setting in the path. Raises RefusedError."""
    name = call.path["setting"]
    if name not in SETTINGS:
        raise refused(Reason.NOT_FOUND, f"not_found: {name} is not available here; there are {', '.join(SETTINGS)}")
    return name


def _setting_shape(loaded: Loaded, zone: Zone, name: str) -> JsonObject:
    return {
        "id": name,
        "value": "on" if getattr(zone.settings, name) else "off",
        "editable": True,
        "modified_on": time_text(loaded.times.of_zone(zone).modified),
    }
