"""The routes of history: earlier versions of objects, and restoring them."""

from __future__ import annotations

from functools import partial

from dnsd.api.envelope import Reply
from dnsd.api.pending import carry_out
from dnsd.api.request import Call
from dnsd.api.shapes import map_shape, version_shape, zone_shape
from dnsd.app import Loaded
from dnsd.formats.odd_octets import readable
from dnsd.manage.find import find_account, find_map, find_zone
from dnsd.manage.map_request import MapRequest
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.restore import restore
from dnsd.manage.versions import Version
from dnsd.manage.zones import unverified_notes
from dnsd.store.directory import FileKind

MAPS = (FileKind.MAP.name,)
ZONES = (FileKind.ZONE_YAML.name, FileKind.ZONE_MASTER.name)


async def list_map_versions(call: Call) -> Reply:
    """List the versions of an address map, also of a deleted one, newest first"""
    return await _versions(call, call.path["map_id"])


async def get_map_version(call: Call) -> Reply:
    """Get a version of an address map as the text of its file"""
    return await _version(call, call.path["map_id"])


async def restore_map(call: Call) -> Reply:
    """Restore a version of an address map; also brings back a deleted map"""
    map_id, account_id = call.path["map_id"], call.path["account_id"]
    await _version_in_path(call, map_id)
    request = MapRequest("map.restore", account_id, map_id, {"version": call.path["version"].upper()})

    def answer(loaded: Loaded) -> Reply:
        return Reply(map_shape(loaded, find_map(loaded.dataset, account_id, map_id)))

    return await carry_out(call, request, answer, is_new=True)


async def list_zone_versions(call: Call) -> Reply:
    """List the versions of a zone, newest first"""
    return await _versions(call, call.path["zone_id"])


async def get_zone_version(call: Call) -> Reply:
    """Get a version of a zone as the text of its file"""
    return await _version(call, call.path["zone_id"])


async def restore_zone(call: Call) -> Reply:
    """Restore a version of a zone"""
    zone_id = call.path["zone_id"]
    await _version_in_path(call, zone_id)
    _, loaded = await call.service.change(
        call.actor,
        "zone.restore",
        lambda draft: restore(
            draft, call.service.history, _account(call), zone_id, call.path["version"].upper(), is_map=False
        ),
    )
    zone = find_zone(loaded.dataset, zone_id)
    return Reply(zone_shape(loaded, zone), unverified_notes(loaded, zone))


async def _versions(call: Call, object_id: str) -> Reply:
    account_id = _account(call)
    kept = await call.aside(partial(call.service.history.versions, object_id))  # reads up to a hundred files
    found = [one for one in kept if _is_of(call, one)]
    current = (call.dataset.maps if "map_id" in call.path else call.dataset.zones).get(object_id)
    exists = current is not None and current.account_id == account_id
    if not found and not exists:
        raise refused(Reason.NOT_FOUND, "not_found: there is no object with this id, and no version of it")
    viewer = call.actor.token
    shapes = [version_shape(one, viewer, is_current=exists and not number) for number, one in enumerate(found)]
    return Reply(call.listed(shapes, dict))


async def _version(call: Call, object_id: str) -> Reply:
    version, text = await _version_in_path(call, object_id)
    return Reply({"version": version.version, "text": await call.aside(partial(readable, text))})


async def _version_in_path(call: Call, object_id: str) -> tuple[Version, str]:
    """The version in a path, and its text. Raises RefusedError."""
    found = await call.aside(partial(call.service.history.text, object_id, call.path["version"].upper()))
    if found is None or not _is_of(call, found[0]):
        raise refused(Reason.NOT_FOUND, "not_found: there is no such version of the object")
    return found


def _is_of(call: Call, version: Version) -> bool:
    """Whether a version belongs to the account and the kind of object in the path."""
    kinds = MAPS if "map_id" in call.path else ZONES
    return version.account_id == _account(call) and version.kind in kinds


def _account(call: Call) -> str:
    """The id of the account that must own the object in the path."""
    if "account_id" in call.path:
        return find_account(call.dataset, call.path["account_id"]).id
    return find_zone(call.dataset, call.path["zone_id"]).account_id
