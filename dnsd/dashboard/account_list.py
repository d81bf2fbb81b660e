"""The list of the token's accounts."""

from __future__ import annotations

from dnsd.dashboard.listing import listing
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.visit import Visit


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
