"""The overview page with recent traffic, and the list of the token's accounts."""

from __future__ import annotations

from dnsd.dashboard.listing import listing
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.plots import Plot, plot_of, rates_of
from dnsd.dashboard.visit import Visit
from dnsd.manage.tokens import AccessLevel, Area
from dnsd.manage.traffic import MAPS, QUERIES, RCODES, ZONES, TimeRange
from dnsd.model.maps import AddressMap

MAX_WARNINGS = 20
POOL = "default pool"


async def show_overview(visit: Visit) -> HtmlPage:
    """Totals, traffic, problems and warnings."""
    dataset = visit.dataset
    accounts = visit.accounts()
    zones = [zone for zone in dataset.zones.values() if visit.token.covers(zone.account_id, zone.id)]
    maps = [one for one in dataset.maps.values() if _may_read(visit, one)]
    return HtmlPage(
        "overview.html",
        {
            "accounts": accounts,
            "zones_total": len(zones),
            "maps_total": len(maps),
            "enabled_total": sum(one.enabled for one in maps),
            "plots": _plots(visit),
            "problems": visit.service.problems() if visit.token.is_operator else [],
            "warnings": visit.loaded.warnings[:MAX_WARNINGS] if visit.token.is_operator else (),
        },
    )


def _may_read(visit: Visit, address_map: AddressMap) -> bool:
    return visit.token.may(Area.MAPS, AccessLevel.READ, account_id=address_map.account_id)


def _plots(visit: Visit) -> list[Plot]:
    samples, dataset = list(visit.service.traffic.rings[TimeRange.HOUR].samples), visit.dataset
    maps = {one.key: one.description or one.key for one in dataset.maps.values() if _may_read(visit, one)}
    if visit.token.is_operator:
        return [
            plot_of("Queries a second", samples, rates_of(samples, QUERIES, {"": "queries"})),
            plot_of("Responses a second, by rcode", samples, rates_of(samples, RCODES)),
            plot_of("Answers a second, by address map", samples, rates_of(samples, MAPS, {"": POOL, **maps})),
        ]
    zones = {
        zone.name_text: zone.name_text
        for zone in dataset.zones.values()
        if visit.token.covers(zone.account_id, zone.id)
    }
    return [
        plot_of("Queries a second, by zone", samples, rates_of(samples, ZONES, zones)),
        plot_of("Answers a second, by address map", samples, rates_of(samples, MAPS, maps)),
    ]


async def show_accounts(visit: Visit) -> HtmlPage | Redirect:
    """The accounts that the token covers."""
    dataset = visit.dataset
    zones: dict[str, int] = {}
    maps: dict[str, int] = {}
    for zone in dataset.zones.values():
        zones[zone.account_id] = zones.get(zone.account_id, 0) + 1
    for one in dataset.maps.values():
        maps[one.account_id] = maps.get(one.account_id, 0) + 1
    found = listing(
        visit,
        "/accounts",
        visit.accounts(),
        texts=lambda one: (one.name, one.id),
        orders={
            "name": lambda one: one.name.lower(),
            "zones": lambda one: zones.get(one.id, 0),
            "maps": lambda one: maps.get(one.id, 0),
        },
        order="name",
    )
    return HtmlPage("accounts.html", {"listing": found, "zones": zones, "maps": maps})
