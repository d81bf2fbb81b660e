"""The routes of address maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import ip_network

from dnsd.api import bodies
from dnsd.api.envelope import Reply, listed
from dnsd.api.request import Call, etag_of, in_thread
from dnsd.api.shapes import map_shape, plan_shape
from dnsd.app import Loaded
from dnsd.manage import maps
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_map
from dnsd.manage.plan import plan_of
from dnsd.manage.refusal import Reason, refused
from dnsd.model.fields import IPAddress, parse_ip
from dnsd.model.maps import MemberKind


async def list_maps(call: Call) -> Reply:
    """List the address maps of an account"""
    loaded = call.service.loaded
    found = [one for one in loaded.dataset.maps.values() if one.account_id == call.path["account_id"]]
    if text := call.query.get("ip"):
        found = [one for one in found if _parsed(text) in one.ips]
    if text := call.query.get("cidr"):
        found = [one for one in found if any(_lies_in(ip, text) for ip in one.ips)]
    return Reply(call.listed(found, partial(map_shape, loaded)))


async def create_map(call: Call) -> Reply:
    """Create an address map"""
    account_id, new = call.path["account_id"], bodies.new_map(call.fields(bodies.MapBody))
    map_id, loaded = await call.service.change(
        call.actor, "map.create", lambda draft: maps.create_map(draft, account_id, new)
    )
    return _reply(loaded, account_id, map_id)


async def plan_map(call: Call) -> Reply:
    """Show how answers would change with a new map or, given an id, with a change to a map; changes nothing"""
    account_id, body, given = call.path["account_id"], call.fields(bodies.MapPlan), call.json
    map_id = body.id

    def verb(draft: Draft) -> None:
        if map_id is None:
            maps.create_map(draft, account_id, bodies.new_map(body))
        elif body.delete:
            maps.delete_map(draft, account_id, map_id.lower())
        else:
            maps.edit_map(draft, account_id, map_id.lower(), bodies.map_change(body, given))

    before, after = await call.service.plan(call.actor, verb)
    return Reply(plan_shape(await in_thread(len(after.dataset.zones), plan_of, before, after)))


async def get_map(call: Call) -> Reply:
    """Get an address map with its addresses and members"""
    return _reply(call.service.loaded, call.path["account_id"], call.path["map_id"])


async def edit_map(call: Call) -> Reply:
    """Change the description or default SNI of a map, or enable or disable it"""
    change = bodies.map_change(call.fields(bodies.MapEdit), call.json)
    loaded = await _change(call, "map.edit", partial(maps.edit_map, change=change))
    return _reply(loaded, call.path["account_id"], call.path["map_id"])


async def delete_map(call: Call) -> Reply:
    """Delete an address map; it must be disabled"""
    await _change(call, "map.delete", maps.delete_map)
    return Reply(listed([]))


async def add_ip(call: Call) -> Reply:
    """Add an address"""
    ip = _ip(call)
    await _change(call, "map.add_ip", partial(maps.add_ip, ip=ip))
    return Reply(listed([]))


async def remove_ip(call: Call) -> Reply:
    """Remove an address"""
    ip = _ip(call)
    await _change(call, "map.remove_ip", partial(maps.remove_ip, ip=ip))
    return Reply(listed([]))


async def add_zone(call: Call) -> Reply:
    """Add a zone as a member"""
    return await _add_member(call, MemberKind.ZONE)


async def remove_zone(call: Call) -> Reply:
    """Remove a zone from the members"""
    return await _remove_member(call, MemberKind.ZONE)


async def add_account(call: Call) -> Reply:
    """Add the account as a member: the map then covers all its zones"""
    return await _add_member(call, MemberKind.ACCOUNT)


async def remove_account(call: Call) -> Reply:
    """Remove the account from the members"""
    return await _remove_member(call, MemberKind.ACCOUNT)


async def _add_member(call: Call, kind: MemberKind) -> Reply:
    member_id = call.path["member_id"]
    await _change(call, f"map.add_{kind}", partial(maps.add_member, kind=kind, identifier=member_id))
    return Reply(listed([]))


async def _remove_member(call: Call, kind: MemberKind) -> Reply:
    member_id = call.path["member_id"]
    await _change(call, f"map.remove_{kind}", partial(maps.remove_member, kind=kind, identifier=member_id))
    return Reply(listed([]))


async def _change(call: Call, action: str, verb: Callable[[Draft, str, str], None]) -> Loaded:
    """Change the map in the path, unless it has changed since the client read it."""
    account_id, map_id = call.path["account_id"], call.path["map_id"]

    def checked(draft: Draft) -> None:
        call.expect(etag_of(map_shape(draft.loaded, find_map(draft.dataset, account_id, map_id))))
        verb(draft, account_id, map_id)

    _, loaded = await call.service.change(call.actor, action, checked)
    return loaded


def _reply(loaded: Loaded, account_id: str, map_id: str) -> Reply:
    shape = map_shape(loaded, find_map(loaded.dataset, account_id, map_id))
    return Reply(shape, etag=etag_of(shape))


def _lies_in(ip: IPAddress, cidr: str) -> bool:
    try:
        return ip in ip_network(cidr)
    except ValueError:
        return False


def _parsed(text: str) -> IPAddress | None:
    try:
        return parse_ip(text)
    except ValueError:
        return None


def _ip(call: Call) -> IPAddress:
    try:
        return parse_ip(call.path["ip"])
    except ValueError as error:
        raise refused(Reason.INVALID, str(error)) from None
