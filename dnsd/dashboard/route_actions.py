"""Advertising and withdrawing a prefix on the dashboard, and the news of its routes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dnsd.dashboard.address_actions import AddressAction
from dnsd.dashboard.visit import Visit
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_prefix
from dnsd.manage.prefixes import set_advertised
from dnsd.model.accounts import Prefix
from dnsd.model.fields import IPNetwork
from dnsd.model.withdrawals import named_zones, zones_answered_from

MAX_SHOWN = 10  # observed routes of a prefix


@dataclass(frozen=True, slots=True)
class SeenRoute:
    """The last news of a route, for a page."""

    cidr: IPNetwork
    is_advertised: bool
    age: str
    is_current: bool


def announcement(visit: Visit) -> AddressAction:
    """The declaration that a prefix is advertised."""
    return _declaration(visit, advertised=True)


def withdrawal(visit: Visit) -> AddressAction:
    """The declaration that a prefix is withdrawn; the page names the zones that are answered with its addresses."""
    return _declaration(visit, advertised=False)


def _declaration(visit: Visit, *, advertised: bool) -> AddressAction:
    account_id, prefix_id = visit.path["account_id"], visit.path["prefix_id"]
    _, prefix, _ = find_prefix(visit.dataset, account_id, prefix_id)

    def verb(draft: Draft) -> None:
        draft.forced = True  # the page has named the zones
        set_advertised(draft, account_id, prefix_id, advertised=advertised)

    return AddressAction(
        "prefix.advertise" if advertised else "prefix.withdraw",
        prefix.cidr,
        "Advertise" if advertised else "Withdraw",
        _effect(visit, prefix, advertised=advertised),
        f"The prefix is declared {'advertised' if advertised else 'withdrawn'}.",
        verb,
        is_dangerous=not advertised,
        shown=lambda dataset: () if advertised else sorted(one.id for one in zones_answered_from(dataset, prefix.cidr)),
    )


def _effect(visit: Visit, prefix: Prefix, *, advertised: bool) -> str:
    """The effect in words."""
    stays = "Answers stay as they are; your routers are not changed from here."
    if advertised:
        return f"All its routes are declared advertised. {stays}"
    zones = zones_answered_from(visit.dataset, prefix.cidr)
    if not zones:
        return f"All its routes are declared withdrawn. No zone is answered with its addresses. {stays}"
    used = named_zones(zones, visit.account.id)
    return (
        f"Maps answer with its addresses for {used}. Without a route, clients of these zones reach nothing: change the "
        f"maps first. {stays}"
    )


def seen_routes(visit: Visit, cidr: IPNetwork) -> list[SeenRoute]:
    """The observed routes to a prefix or its parts, newest news first."""
    now, counting = datetime.now(UTC), visit.loaded.observed.states
    found = sorted(visit.service.observed.at(cidr).items(), key=lambda pair: pair[1].at, reverse=True)
    return [
        SeenRoute(network, one.advertised, _words(now - one.at), network in counting)
        for network, one in found[:MAX_SHOWN]
    ]


def _words(age: timedelta) -> str:
    """An age in words: `2 min`."""
    seconds = max(0, int(age.total_seconds()))
    return next(_parts(seconds))


def _parts(seconds: int) -> Iterator[str]:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            yield f"{seconds // length} {unit}"
    yield f"{seconds} s"
