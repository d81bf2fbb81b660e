"""The routes of address maps."""

from __future__ import annotations

import secrets
from functools import partial
from ipaddress import ip_network

from dnsd.api import bodies
from dnsd.api.envelope import Reply, listed
from dnsd.api.map_fields import called_fields
from dnsd.api.pending import carry_out
from dnsd.api.plans import plan_shape
from dnsd.api.request import Call
from dnsd.api.shapes import map_shape
from dnsd.api.turns import planned_in_turns
from dnsd.app import Loaded
from dnsd.manage import maps
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_map
from dnsd.manage.map_request import MapRequest, create_request, edit_request
from dnsd.manage.maps import map_tag
from dnsd.manage.plan import plan_of
from dnsd.manage.refusal import Reason, refused
from dnsd.model.fields import IPAddress, IPNetwork, parse_ip


async def list_maps(call: Call) -> Reply:
    """List the address maps of an account"""
    loaded = call.service.loaded
    found = [one for one in loaded.dataset.maps.values() if one.account_id == call.path["account_id"]]
    if text := call.query.get("ip"):
        ip = _parsed(text)
        found = [one for one in found if ip in one.ips]
    if text := call.query.get("cidr"):
        network = _network(text)
        found = [one for one in found if network and any(ip in network for ip in one.ips)]
    return Reply(call.listed(found, partial(map_shape, loaded)))


async def create_map(call: Call) -> Reply:
    """Create an address map"""
    account_id, new = (
        call.path["account_id"],
        bodies.new_map(await call.read(partial(called_fields, call, bodies.MapBody))),
    )
    request = create_request(account_id, secrets.token_hex(16), new)
    return await carry_out(call, request, partial(_reply, request=request), is_new=True)


async def plan_map(call: Call) -> Reply:
    """Show how answers would change with a new map or, given an id, with a change to a map; changes nothing"""
    account_id, body, given = (
        call.path["account_id"],
        await call.read(partial(called_fields, call, bodies.MapPlan)),
        call.json,
    )
    map_id = body.id

    def verb(draft: Draft) -> None:
        if map_id is None:
            maps.create_map(draft, account_id, bodies.new_map(body))
        elif body.delete:
            maps.delete_map(draft, account_id, map_id.lower())
        else:
            maps.edit_map(draft, account_id, map_id.lower(), bodies.map_change(body, given))

    before, after = await call.service.plan(call.actor, verb)
    objection = await call.service.objection(call.actor, before, after)
    plan = plan_of(before, after, account_id, await call.service.asked(), objection=objection)
    return Reply(plan_shape(await planned_in_turns(call.actor, plan)))


async def get_map(call: Call) -> Reply:
    """Get an address map with its addresses and members"""
    return await call.aside(partial(_reply, call.service.loaded, _request(call, "")))


async def edit_map(call: Call) -> Reply:
    """Change an address map: description, default SNI, whether it is enabled; addresses and members as whole lists"""
    shown = map_shape(call.service.loaded, find_map(call.dataset, call.path["account_id"], call.path["map_id"]))
    change = bodies.map_change(await call.read(partial(call.fields, bodies.MapEdit, shown)), call.json)
    request = edit_request(call.path["account_id"], call.path["map_id"], change)
    return await carry_out(call, request, partial(_reply, request=request))


async def delete_map(call: Call) -> Reply:
    """Delete an address map; it must be disabled"""
    return await carry_out(call, _request(call, "map.delete"), _nothing)


async def add_ip(call: Call) -> Reply:
    """Add an address"""
    return await carry_out(call, _request(call, "map.add_ip", ip=_ip(call)), _nothing)


async def remove_ip(call: Call) -> Reply:
    """Remove an address"""
    return await carry_out(call, _request(call, "map.remove_ip", ip=_ip(call)), _nothing)


async def add_zone(call: Call) -> Reply:
    """Add a zone as a member"""
    return await _change_member(call, "map.add_zone")


async def remove_zone(call: Call) -> Reply:
    """Remove a zone from the members"""
    return await _change_member(call, "map.remove_zone")


async def add_account(call: Call) -> Reply:
    """Add the account as a member: the map then covers all its zones"""
    return await _change_member(call, "map.add_account")


async def remove_account(call: Call) -> Reply:
    """Remove the account from the members"""
    return await _change_member(call, "map.remove_account")


async def _change_member(call: Call, action: str) -> Reply:
    return await carry_out(call, _request(call, action, identifier=call.path["member_id"]), _nothing)


def _request(call: Call, action: str, **arguments: str) -> MapRequest:
    """A request for the map in the path."""
    return MapRequest(action, call.path["account_id"], call.path["map_id"], arguments)


def _reply(loaded: Loaded, request: MapRequest) -> Reply:
    found = find_map(loaded.dataset, request.account_id, request.map_id)
    return Reply(map_shape(loaded, found), etag=map_tag(found))


def _nothing(loaded: Loaded) -> Reply:
    return Reply(listed([]))


def _network(text: str) -> IPNetwork | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def _parsed(text: str) -> IPAddress | None:
    try:
        return parse_ip(text)
    except ValueError:
        return None


def _ip(call: Call) -> str:
    try:
        return str(parse_ip(call.path["ip"]))
    except ValueError as error:
        raise refused(Reason.INVALID, str(error)) from None
