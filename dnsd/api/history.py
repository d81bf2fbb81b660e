"""Earlier versions of objects, and how to have them back: what each route answers."""

from __future__ import annotations

from dnsd.api.envelope import Reply, listed
from dnsd.api.request import Call
from dnsd.api.shapes import map_shape, version_shape, zone_shape
from dnsd.manage.find import find_account, find_map, find_zone
from dnsd.manage.history import restore
from dnsd.manage.refusal import Code, refused


async def list_map_versions(call: Call) -> Reply:
    """The versions of an address map, also of one that is gone; the newest first"""
    return _versions(call, call.path["map_id"])


async def get_map_version(call: Call) -> Reply:
    """One version of an address map, as its file said it"""
    return _version(call, call.path["map_id"])


async def restore_map(call: Call) -> Reply:
    """Have an address map say again what it said, or bring it back"""
    map_id, account_id = call.path["map_id"], call.path["account_id"]
    _, loaded = await call.service.change(
        call.actor,
        "map.restore",
        lambda draft: restore(draft, call.service.history, account_id, map_id, call.path["version"].upper()),
    )
    return Reply(map_shape(loaded, find_map(loaded.dataset, account_id, map_id)))


async def list_zone_versions(call: Call) -> Reply:
    """The versions of a zone; the newest first"""
    return _versions(call, call.path["zone_id"])


async def get_zone_version(call: Call) -> Reply:
    """One version of a zone, as its file said it"""
    return _version(call, call.path["zone_id"])


async def restore_zone(call: Call) -> Reply:
    """Have a zone say again what it said"""
    zone_id = call.path["zone_id"]
    _, loaded = await call.service.change(
        call.actor,
        "zone.restore",
        lambda draft: restore(draft, call.service.history, _account(call), zone_id, call.path["version"].upper()),
    )
    return Reply(zone_shape(loaded, find_zone(loaded.dataset, zone_id)))


def _versions(call: Call, object_id: str) -> Reply:
    found = [one for one in call.service.history.versions(object_id) if one.account_id == _account(call)]
    is_there = object_id in call.dataset.maps or object_id in call.dataset.zones
    if not found and not is_there:
        raise refused(Code.NOT_FOUND, "not_found: nothing is known of an object with this id")
    return Reply(listed([version_shape(one, is_current=is_there and not place) for place, one in enumerate(found)]))


def _version(call: Call, object_id: str) -> Reply:
    found = call.service.history.text(object_id, call.path["version"].upper())
    if found is None or found[0].account_id != _account(call):
        raise refused(Code.NOT_FOUND, "not_found: there is no such version of the object")
    return Reply({"version": found[0].version, "text": found[1]})


def _account(call: Call) -> str:
    """The id of the account that an object in the path must have."""
    if "account_id" in call.path:
        return find_account(call.dataset, call.path["account_id"]).id
    return find_zone(call.dataset, call.path["zone_id"]).account_id
