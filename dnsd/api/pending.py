"""The routes of pending changes, and `deploy_at`, with which changes of address maps wait for their time."""

from __future__ import annotations

from collections.abc import Callable

from dnsd.api.envelope import Reply, listed
from dnsd.api.request import Call
from dnsd.api.shapes import JsonObject, map_shape
from dnsd.app import Loaded
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_map
from dnsd.manage.map_request import MapRequest
from dnsd.manage.maps import map_tag
from dnsd.manage.pending import FIELD, NO_MAP, PendingChange, map_of, parse_deploy_at
from dnsd.manage.tokens import Token
from dnsd.model.times import time_text


async def carry_out(
    call: Call, request: MapRequest, answer: Callable[[Loaded], Reply], *, is_new: bool = False
) -> Reply:
    """Make a change now or, given `deploy_at`, keep it until then.

    Unless the map may be new, refuse it if the client read another version of the map.
    """

    def expect(tag: str) -> None:
        if not is_new:
            call.expect(tag)

    if FIELD in call.query:
        at = parse_deploy_at(call.query[FIELD])
        change = await call.service.schedule.add(call.actor, request, at, expect)
        return Reply(pending_shape(change, call.actor.token), status=202)

    def verb(draft: Draft) -> None:
        if not is_new:
            expect(map_tag(find_map(draft.dataset, request.account_id, request.map_id)))
        request.carry_out(draft, call.service.history)

    _, loaded = await call.service.change(call.actor, request.action, verb)
    return answer(loaded)


async def list_pending(call: Call) -> Reply:
    """List the pending changes of an account, or of one of its maps, the next one first"""
    found = await call.service.schedule.of_account(call.path["account_id"])
    if map_id := call.path.get("map_id") or call.query.get("map_id", "").lower():
        found = [one for one in found if one.request.map_id == map_id]
        if not found and "map_id" in call.path:
            find_map(call.dataset, call.path["account_id"], map_id)  # raises "not found"
    return Reply(call.listed(found, lambda one: pending_shape(one, call.actor.token)))


async def get_pending(call: Call) -> Reply:
    """Get a pending change with its plan"""
    found = await call.service.schedule.find(call.path["account_id"], call.path["change_id"])
    return Reply(pending_shape(found, call.actor.token))


async def cancel_pending(call: Call) -> Reply:
    """Cancel a pending change"""
    left = await call.service.schedule.cancel(call.actor, call.path["account_id"], call.path["change_id"])
    notes = [f"the pending change {one.id} was planned to follow it, and will be stopped" for one in left]
    return Reply({"id": call.path["change_id"]}, notes)


async def run_pending(call: Call) -> Reply:
    """Make a stopped change now, with this token's permissions"""
    account_id, schedule = call.path["account_id"], call.service.schedule
    change = await schedule.find(account_id, call.path["change_id"])
    loaded = await schedule.run(call.actor, account_id, change.id)
    found = map_of(loaded.dataset, account_id, change.request.map_id)
    return Reply(map_shape(loaded, found), etag=map_tag(found)) if found else Reply(listed([]))


def pending_shape(change: PendingChange, viewer: Token) -> JsonObject:
    """A pending change, as a token may see it."""
    request = change.request
    token_id, token_name = change.token_as_seen(viewer)
    return {
        "id": change.id,
        "account_id": request.account_id,
        "map_id": request.map_id,
        "action": request.action,
        "arguments": dict(request.arguments),
        "deploy_at": time_text(change.at),
        "created_at": time_text(change.created_at),
        "token": {"id": token_id, "name": token_name},
        "etag": None if change.tag == NO_MAP else change.tag,
        "follows": list(change.follows),
        "state": "stopped" if change.stopped else "pending",
        "reason": change.stopped or None,
        "stopped_at": time_text(change.stopped_at) if change.stopped_at else None,
        "plan": change.plan,
    }
