"""The first page, what was answered lately; accounts; a name explained; and the audit log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dnsd.dashboard.listing import listing
from dnsd.dashboard.page import Page, Redirect
from dnsd.dashboard.plots import Plot, plot_of, rates_of
from dnsd.dashboard.views import map_title
from dnsd.dashboard.visit import Visit, Wrong
from dnsd.engine.explain import Explanation, NameExplained, explain
from dnsd.manage.refusal import Code, RefusedError, refused
from dnsd.manage.traffic import MAPS, QUERIES, RCODES, ZONES
from dnsd.model.dataset import Dataset
from dnsd.wire.names import ancestors, parse_name_text
from dnsd.wire.rdata import parse_type_text
from dnsd.wire.reply_text import reply_data

AUDIT_PAGE = 100  # entries
AUDIT_READ = 20_000  # that are looked through
TYPES = ("A", "AAAA", "HTTPS", "CNAME", "TXT", "MX", "NS", "SOA", "SRV", "CAA", "ANY")
POOL = "default pool"


async def show_overview(visit: Visit) -> Page:
    """How much is asked, and what is answered from."""
    dataset = visit.dataset
    accounts = visit.accounts()
    zones = [zone for zone in dataset.zones.values() if visit.token.covers(zone.account_id, zone.id)]
    maps = [one for one in dataset.maps.values() if visit.token.covers(one.account_id)]
    return Page(
        "overview.html",
        {
            "accounts": accounts,
            "zones_total": len(zones),
            "maps_total": len(maps),
            "enabled_total": sum(one.enabled for one in maps),
            "plots": _plots(visit),
            "problems": visit.service.problems() if visit.token.is_operator else [],
            "warnings": [one for one in visit.loaded.warnings if _is_own(visit, one.source)][:20],
        },
    )


def _plots(visit: Visit) -> list[Plot]:
    samples, dataset = list(visit.service.traffic.samples), visit.dataset
    maps = {one.key: map_title(one) for one in dataset.maps.values() if visit.token.covers(one.account_id)}
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


async def show_accounts(visit: Visit) -> Page | Redirect:
    """The accounts that the token is for."""
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
        texts=lambda one: f"{one.name} {one.id}",
        orders={
            "name": lambda one: one.name.lower(),
            "zones": lambda one: zones.get(one.id, 0),
            "maps": lambda one: maps.get(one.id, 0),
        },
        order="name",
    )
    return Page("accounts.html", {"listing": found, "zones": zones, "maps": maps})


# Explain


async def show_explained(visit: Visit) -> Page:
    """The answer to a question, and the path to it."""
    name, rtype = visit.query.text("name"), visit.query.text("type").upper() or "A"
    data: dict[str, Any] = {"name": name, "type": rtype, "types": TYPES, "wrong": Wrong(), "found": None}
    if not name:
        return Page("explain.html", data)
    try:
        wire, number = _question(visit, name, rtype)
    except RefusedError as error:
        return Page("explain.html", data | {"wrong": Wrong(error, ("name", "type"))}, error.status)
    loaded = visit.loaded
    found = explain(loaded.snapshot, loaded.dataset, wire, number, loaded.settings.missing_family)
    maps = {one.key: one for one in loaded.dataset.maps.values()}
    return Page(
        "explain.html", data | {"found": _visible(visit, found), "reply": reply_data(found.reply), "maps": maps}
    )


def _question(visit: Visit, name: str, rtype: str) -> tuple[bytes, int]:
    """The name and type that are asked for. Raises RefusedError, also where the token may not ask."""
    try:
        wire = parse_name_text(name.rstrip(".") or ".").lower()
    except ValueError as error:
        raise refused(Code.INVALID, str(error), "name") from None
    try:
        number = parse_type_text(rtype)
    except ValueError as error:
        raise refused(Code.INVALID, str(error), "type") from None
    if not _covers(visit, wire):
        raise refused(Code.NOT_FOUND, f"{name} is in no zone that your token is for", "name")
    return wire, number


def _covers(visit: Visit, name: bytes) -> bool:
    """Whether a name is in a zone of the token's; the operator may ask for any."""
    zone = _zone_of(visit.dataset, name)
    return visit.token.is_operator or (zone is not None and visit.token.covers(*zone))


def _zone_of(dataset: Dataset, name: bytes) -> tuple[str, str] | None:
    """The ids of the account and of the zone that a name is in."""
    for one in (name, *ancestors(name)):
        if zone := dataset.zones_by_name.get(one):
            return zone.account_id, zone.id
    return None


def _visible(visit: Visit, found: Explanation) -> Explanation:
    """As much of the path as the token may see: what others' names lead through, it may not."""
    return replace(found, names=tuple(step for step in found.names if _covers_step(visit, step)))


def _covers_step(visit: Visit, step: NameExplained) -> bool:
    return _covers(visit, parse_name_text(step.name).lower())


# Audit log


async def show_audit(visit: Visit) -> Page:
    """Who changed what."""
    entries = await visit.service.audit(AUDIT_READ)
    q = visit.query.text("q").lower()
    own = [one for one in entries if _is_own(visit, str(one.get("object") or "")) and q in str(one).lower()]
    page = visit.query.number("page", 1)
    start = (page - 1) * AUDIT_PAGE
    return Page(
        "audit.html",
        {
            "entries": own[start : start + AUDIT_PAGE],
            "page": page,
            "has_more": len(own) > start + AUDIT_PAGE,
            "total": len(own),
            "q": visit.query.text("q"),
        },
    )


def _is_own(visit: Visit, key: str) -> bool:
    """Whether an object, by its key, is the token's to hear of."""
    if visit.token.is_operator:
        return True
    account = key.partition("/")[0]
    if any(one.key == account for one in visit.accounts()):
        return True
    return any(
        zone.key == key and visit.token.covers(zone.account_id, zone.id) for zone in visit.dataset.zones.values()
    )
