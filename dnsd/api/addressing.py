"""The routes of BGP prefixes, the advertisement of prefixes, service bindings and services."""

from __future__ import annotations

from functools import partial

from dnsd.api.envelope import Reply, listed
from dnsd.api.prefix_bodies import AdvertisedBody, BgpPrefixBody, BgpPrefixEdit, BindingBody, bgp_change
from dnsd.api.request import Call
from dnsd.api.shapes import JsonObject, advertised_at, prefix_shape
from dnsd.app import Loaded
from dnsd.manage import prefixes
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_account, find_bgp_prefix, find_binding, find_prefix
from dnsd.manage.prefixes import BgpChange
from dnsd.manage.refusal import Reason, refused
from dnsd.model.accounts import Approval, BgpPrefix, Binding, Prefix
from dnsd.model.fields import IPNetwork
from dnsd.model.observed import FeedFields, Observation
from dnsd.model.times import time_text


async def list_bgp_prefixes(call: Call) -> Reply:
    """List the BGP prefixes of a prefix: its routes, with their declared states"""
    prefix = _prefix(call)
    return Reply(call.listed(prefix.bgp_prefixes, partial(_bgp_shape, call.service.loaded, prefix)))


async def create_bgp_prefix(call: Call) -> Reply:
    """Create a BGP prefix; it starts withdrawn"""
    account_id, prefix_id = _ids(call)
    body = call.fields(BgpPrefixBody)
    advertised = bool(body.on_demand.advertised)

    def verb(draft: Draft) -> str:
        return prefixes.create_bgp_prefix(draft, account_id, prefix_id, body.cidr, advertised=advertised)

    bgp_id, loaded = await call.service.change(call.actor, "bgp_prefix.create", verb)
    return _bgp_reply(loaded, account_id, prefix_id, bgp_id)


async def get_bgp_prefix(call: Call) -> Reply:
    """Get a BGP prefix"""
    return _bgp_reply(call.service.loaded, *_ids(call), call.path["bgp_prefix_id"])


async def edit_bgp_prefix(call: Call) -> Reply:
    """Advertise or withdraw a BGP prefix: `on_demand.advertised`. Withdrawing one in use needs `?force=true`"""
    account_id, prefix_id = _ids(call)
    bgp_id, change, is_forced = call.path["bgp_prefix_id"], bgp_change(call.fields(BgpPrefixEdit)), forced(call)

    def verb(draft: Draft) -> None:
        draft.forced = is_forced
        prefixes.edit_bgp_prefix(draft, account_id, prefix_id, bgp_id, change)

    _, loaded = await call.service.change(call.actor, _action(change), verb)
    return _bgp_reply(loaded, account_id, prefix_id, bgp_id)


async def delete_bgp_prefix(call: Call) -> Reply:
    """Delete a withdrawn BGP prefix; if maps still answer with its addresses, this needs `?force=true`"""
    account_id, prefix_id = _ids(call)
    bgp_id, is_forced = call.path["bgp_prefix_id"], forced(call)

    def verb(draft: Draft) -> None:
        draft.forced = is_forced
        prefixes.delete_bgp_prefix(draft, account_id, prefix_id, bgp_id)

    await call.service.change(call.actor, "bgp_prefix.delete", verb)
    return Reply(listed([]))


async def get_bgp_status(call: Call) -> Reply:
    """Get the declared state of a prefix; null without a BGP prefix"""
    return Reply(_status_shape(call.service.loaded, _prefix(call)))


async def edit_bgp_status(call: Call) -> Reply:
    """Advertise or withdraw all BGP prefixes of a prefix. Withdrawing one in use needs `?force=true`"""
    account_id, prefix_id = _ids(call)
    advertised, is_forced = call.fields(AdvertisedBody).advertised, forced(call)

    def verb(draft: Draft) -> None:
        draft.forced = is_forced
        prefixes.set_advertised(draft, account_id, prefix_id, advertised=advertised)

    _, loaded = await call.service.change(call.actor, _action({"advertised": advertised}), verb)
    return Reply(_status_shape(loaded, find_prefix(loaded.dataset, account_id, prefix_id)[1]))


async def validate_prefix(call: Call) -> Reply:
    """Check ownership, ASN, size and RPKI of a prefix; the result is in its `…_validation_state`"""
    account_id, prefix_id = _ids(call)
    account, prefix, _ = find_prefix(call.dataset, account_id, prefix_id)
    result = await call.service.validate(call.actor, account, prefix)
    return Reply(prefix_shape(call.service.loaded, account, prefix, result), messages=result.remarks)


async def list_observed(call: Call) -> Reply:
    """List what routers or monitoring last said about routes to a prefix"""
    prefix = _prefix(call)  # the operator has not verified that a pending one belongs to the account
    is_shown = prefix.approved is Approval.ACTIVE or call.actor.token.is_operator
    found = call.service.observed.at(prefix.cidr) if is_shown else {}
    return Reply(listed([_observed_shape(call, network, one) for network, one in found.items()]))


async def list_all_observed(call: Call) -> Reply:
    """List what routers or monitoring last said about all routes"""
    found = call.service.observed.by_network
    shapes = [_observed_shape(call, network, one) | {"source": one.source} for network, one in found.items()]
    return Reply(call.listed(shapes, dict))


async def feed_observed(call: Call) -> Reply:
    """Report the observed states of routes; others stay as they are until they are too old"""
    feed = await call.read(partial(call.fields, FeedFields))
    await call.service.feed(call.actor, feed)
    return Reply({"routes": len(feed.routes)})


async def list_bindings(call: Call) -> Reply:
    """List the service bindings of a prefix"""
    return Reply(call.listed(_prefix(call).bindings, _binding_shape))


async def create_binding(call: Call) -> Reply:
    """Bind the traffic to a prefix, or to a part of it, to a service; answers stay as they are"""
    account_id, prefix_id = _ids(call)
    body = call.fields(BindingBody)
    binding_id, loaded = await call.service.change(
        call.actor,
        "binding.create",
        lambda draft: prefixes.create_binding(draft, account_id, prefix_id, body.cidr, body.service_id),
    )
    return Reply(_binding_shape(find_binding(loaded.dataset, account_id, prefix_id, binding_id)[1]))


async def get_binding(call: Call) -> Reply:
    """Get a service binding"""
    return Reply(_binding_shape(find_binding(call.dataset, *_ids(call), call.path["binding_id"])[1]))


async def delete_binding(call: Call) -> Reply:
    """Delete a service binding"""
    account_id, prefix_id = _ids(call)
    binding_id = call.path["binding_id"]
    await call.service.change(
        call.actor, "binding.delete", lambda draft: prefixes.delete_binding(draft, account_id, prefix_id, binding_id)
    )
    return Reply(listed([]))


async def list_services(call: Call) -> Reply:
    """List the services to which traffic can be bound"""
    find_account(call.dataset, call.path["account_id"])
    shapes = [{"id": one.id, "name": one.service.value} for one in prefixes.SERVICES]
    return Reply(listed(shapes))


def forced(call: Call) -> bool:
    """Whether the request has `?force=true`. Raises RefusedError for any value but true and false."""
    word = call.query.get("force", "false").lower()
    if word not in ("true", "false"):
        raise refused(Reason.INVALID, "the query parameter `force` is true or false", "force")
    return word == "true"


def _action(change: BgpChange) -> str:
    """The name of a change in the audit log."""
    if "advertised" in change:
        return "prefix.advertise" if change["advertised"] else "prefix.withdraw"
    return "bgp_prefix.edit"


def _ids(call: Call) -> tuple[str, str]:
    return call.path["account_id"], call.path["prefix_id"]


def _prefix(call: Call) -> Prefix:
    return find_prefix(call.dataset, *_ids(call))[1]


def _bgp_reply(loaded: Loaded, account_id: str, prefix_id: str, bgp_id: str) -> Reply:
    prefix, bgp, _ = find_bgp_prefix(loaded.dataset, account_id, prefix_id, bgp_id)
    return Reply(_bgp_shape(loaded, prefix, bgp))


def _bgp_shape(loaded: Loaded, prefix: Prefix, bgp: BgpPrefix) -> JsonObject:
    created, modified, _ = loaded.times.of_bgp_prefix(bgp)
    return {
        "id": bgp.id,
        "asn": prefix.asn,
        "asn_prepend_count": bgp.asn_prepend_count,
        "auto_advertise_withdraw": bgp.auto_advertise_withdraw,
        "bgp_signal_opts": {"enabled": False, "modified_at": None},
        "cidr": str(bgp.cidr),
        "created_at": time_text(created),
        "modified_at": time_text(modified),
        "on_demand": {
            "advertised": bgp.advertised,
            "advertised_modified_at": time_text(loaded.times.of_advertisement(bgp).modified),
            "on_demand_enabled": True,
            "on_demand_locked": bgp.locked,
        },
    }


def _observed_shape(call: Call, network: IPNetwork, one: Observation) -> JsonObject:
    is_current = network in call.service.loaded.observed.states
    return {
        "cidr": str(network),
        "advertised": one.advertised,
        "observed_at": time_text(one.at),
        "is_current": is_current,
    }


def _status_shape(loaded: Loaded, prefix: Prefix) -> JsonObject:
    return {"advertised": prefix.advertised, "advertised_modified_at": advertised_at(loaded, prefix)}


def _binding_shape(binding: Binding) -> JsonObject:
    return {
        "id": binding.id,
        "cidr": str(binding.cidr),
        "provisioning": {"state": "active"},
        "service_id": prefixes.service_id(binding.service),
        "service_name": binding.service.value,
    }
