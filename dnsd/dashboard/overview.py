"""The overview page: where answers go, traffic over time, top names, last changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dnsd.dashboard.audit_words import AuditWords, LoggedChange
from dnsd.dashboard.flow_picture import NARROW, WIDE, percent, picture_of
from dnsd.dashboard.flows import flows_of
from dnsd.dashboard.page import HtmlPage
from dnsd.dashboard.plots import Plot, plot_of, rates_of, short
from dnsd.dashboard.visit import Visit
from dnsd.manage.audit_entries import may_see
from dnsd.manage.audit_search import LogQuery
from dnsd.manage.token_changes import accounts_of
from dnsd.manage.tokens import AccessLevel, Area
from dnsd.manage.traffic import MAPS, QUERIES, RCODES, ZONES, Ring, TimeRange
from dnsd.model.maps import AddressMap
from dnsd.model.zones import Zone

MAX_WARNINGS = 20
MAX_NAMES, MAX_CHANGES = 10, 8
MAX_SEARCHED = 2_000_000  # octets of the audit log
NOW_S = 60.0  # counts as now
LITTLE = 0.05  # difference from an average that is not worth telling
POOL = "default pool"
SUCCESS = ("NOERROR", "NXDOMAIN")


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure, with a detail below it and a link."""

    title: str
    value: str
    detail: str = ""
    path: str = ""


async def show_overview(visit: Visit) -> HtmlPage:
    """Figures, traffic, problems and warnings."""
    page = await visit.aside(partial(_page, visit))
    return replace(page, data={**page.data, "changes": await _changes(visit)})


def _page(visit: Visit) -> HtmlPage:
    time_range = _range(visit)
    ring = visit.service.traffic.rings[time_range]
    zones = [zone for zone in visit.dataset.zones.values() if visit.token.covers(zone.account_id, zone.id)]
    served = [zone for zone in zones if zone.id not in visit.dataset.waiting]
    maps = {one.key: one for one in visit.dataset.maps.values() if _may_read(visit, one)}
    is_operator = visit.token.is_operator
    return HtmlPage(
        "overview.html",
        {
            "time_range": time_range,
            "ranges": list(TimeRange),
            "tiles": [*_traffic_tiles(visit, time_range, served), *_object_tiles(visit, zones, maps)],
            "plots": _plots(visit, time_range, ring, served, maps),
            **_questions(visit, maps),
            "problems": visit.service.problems() if is_operator else [],
            "warnings": visit.loaded.warnings[:MAX_WARNINGS] if is_operator else (),
        },
    )


def _range(visit: Visit) -> TimeRange:
    wanted = visit.query.text("range")
    return TimeRange(wanted) if wanted in list(TimeRange) else TimeRange.HOUR


def _may_read(visit: Visit, address_map: AddressMap) -> bool:
    return visit.token.may(Area.MAPS, AccessLevel.READ, account_id=address_map.account_id)


def _plots(
    visit: Visit, time_range: TimeRange, ring: Ring, zones: list[Zone], maps: Mapping[str, AddressMap]
) -> list[Plot]:
    titles = {key: one.description or key for key, one in maps.items()}
    plot = partial(plot_of, time_range=time_range, ring=ring)
    if visit.token.is_operator:
        return [
            plot("Queries", rates=rates_of(ring.samples, QUERIES, {"": "queries"})),
            plot("Responses by rcode", rates=rates_of(ring.samples, RCODES)),
            plot("Answers by address map", rates=rates_of(ring.samples, MAPS, {"": POOL, **titles})),
        ]
    names = {zone.name_text: zone.name_text for zone in zones}
    return [
        plot("Queries by zone", rates=rates_of(ring.samples, ZONES, names)),
        plot("Answers by address map", rates=rates_of(ring.samples, MAPS, titles)),
    ]


def _traffic_tiles(visit: Visit, time_range: TimeRange, zones: list[Zone]) -> list[Tile]:
    """The rate of queries now, and for operators the share of errors; each beside its average."""
    rings = visit.service.traffic.rings
    hour, chosen = (rings[one].samples for one in (TimeRange.HOUR, time_range))
    latest = [one for one in hour if one.at > hour[-1].at - NOW_S]
    names = None if visit.token.is_operator else {zone.name_text for zone in zones}

    def rate(samples: Any) -> float:
        seconds = sum(one.seconds for one in samples)
        series, wanted = (QUERIES, None) if names is None else (ZONES, names)
        counts = (count for one in samples for label, count in one.counts[series].items() if _is_in(label, wanted))
        return sum(counts) / seconds if seconds else 0.0

    def errors(samples: Any) -> float:
        counts = [(label, count) for one in samples for label, count in one.counts[RCODES].items()]
        total = sum(count for _, count in counts)
        return sum(count for label, count in counts if label not in SUCCESS) / total if total else 0.0

    now = rate(latest)
    tiles = [Tile("Queries a second", short(now), _trend(now, rate(chosen), time_range))]
    if visit.token.is_operator:
        detail = f"{percent(errors(chosen))} in the last {time_range}"
        tiles.append(Tile("Responses with an error", percent(errors(latest)), detail))
    return tiles


def _is_in(label: str, wanted: set[str] | None) -> bool:
    return wanted is None or label in wanted


def _trend(now: float, mean: float, time_range: TimeRange) -> str:
    """The difference from the average in words."""
    average = f"the average of the last {time_range}"
    if not mean:
        return f"none in the last {time_range}"
    change = now / mean - 1
    if abs(change) < LITTLE:
        return f"near {average}"
    return f"▲ {percent(change)} above {average}" if change > 0 else f"▼ {percent(-change)} below {average}"


def _object_tiles(visit: Visit, zones: list[Zone], maps: Mapping[str, AddressMap]) -> list[Tile]:
    accounts, tiles = visit.accounts(), []
    if len(accounts) > 1:
        tiles.append(Tile("Accounts", f"{len(accounts):,}", path="/accounts"))
    if accounts:
        enabled = sum(one.enabled for one in maps.values())
        tiles.append(Tile("Address maps", f"{len(maps):,}", f"{enabled:,} enabled", f"/accounts/{accounts[0].id}/maps"))
    return [*tiles, Tile("Zones", f"{len(zones):,}", path="/zones")]


def _questions(visit: Visit, maps: Mapping[str, AddressMap]) -> Mapping[str, Any]:
    """The flows of answers and the top names, of the zones whose records the token may read."""
    zones = {
        zone.name: zone
        for zone in visit.dataset.zones_by_name.values()
        if visit.token.may(Area.DNS, AccessLevel.READ, account_id=zone.account_id, zone_id=zone.id)
    }
    if not zones:
        return {"flows": None, "pictures": (), "top": ()}
    recent = visit.service.recent
    flows = flows_of(visit.loaded, recent.asked(zones=zones), zones, maps)
    pictures = [picture_of(flows.flows, layout) for layout in (WIDE, NARROW)]
    return {"flows": flows, "pictures": pictures, "top": recent.top(MAX_NAMES, zones=zones)}


async def _changes(visit: Visit) -> list[LoggedChange] | None:
    """The last changes that the token may see; None if the log cannot be read."""
    is_wanted = partial(may_see, visit.token)
    accounts = [*accounts_of(visit.token, visit.dataset)] or None
    found = await visit.service.audit(
        visit.actor, LogQuery(MAX_CHANGES, is_wanted, accounts=accounts, searched=MAX_SEARCHED)
    )
    if found.unread and not found.entries:
        return None
    return AuditWords(visit.dataset).changes(found.entries)
