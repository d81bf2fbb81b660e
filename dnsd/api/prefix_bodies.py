"""The bodies of requests about BGP prefixes, bindings and the advertisement of prefixes."""

from __future__ import annotations

from pydantic import Field, StrictBool

from dnsd.api.bodies import RequestBody
from dnsd.manage.prefixes import BgpChange
from dnsd.model.accounts import MAX_PREPENDS
from dnsd.model.fields import Cidr


class OnDemandBody(RequestBody):
    """The declared state of a BGP prefix."""

    advertised: StrictBool | None = None
    on_demand_locked: StrictBool | None = Field(default=None, description="operator only")


class BgpPrefixBody(RequestBody):
    """A new BGP prefix; withdrawn unless stated otherwise."""

    cidr: Cidr
    on_demand: OnDemandBody = OnDemandBody()


class BgpPrefixEdit(RequestBody):
    """The fields of a BGP prefix to change."""

    on_demand: OnDemandBody = OnDemandBody()
    asn_prepend_count: int | None = Field(default=None, ge=0, le=MAX_PREPENDS, description="no effect here")
    auto_advertise_withdraw: StrictBool | None = Field(default=None, description="no effect here")


class AdvertisedBody(RequestBody):
    """The declared state of all BGP prefixes of a prefix."""

    advertised: StrictBool


class BindingBody(RequestBody):
    """A new binding."""

    cidr: Cidr
    service_id: str


def bgp_change(body: BgpPrefixEdit) -> BgpChange:
    """The change to a BGP prefix that a body describes."""
    change = BgpChange()
    if body.on_demand.advertised is not None:
        change["advertised"] = body.on_demand.advertised
    if body.on_demand.on_demand_locked is not None:
        change["locked"] = body.on_demand.on_demand_locked
    if body.asn_prepend_count is not None:
        change["asn_prepend_count"] = body.asn_prepend_count
    if body.auto_advertise_withdraw is not None:
        change["auto_advertise_withdraw"] = body.auto_advertise_withdraw
    return change
