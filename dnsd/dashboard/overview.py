"""The first page, what was answered lately; accounts; a name explained; and the audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from dnsd.dashboard.listing import listing
from dnsd.dashboard.page import Page, Redirect
from dnsd.dashboard.plots import Plot, plot_of, rates_of
from dnsd.dashboard.views import map_title
from dnsd.dashboard.visit import Visit, Wrong
from dnsd.engine.explain import NO_STEP, Explanation, MapVerdict, NameExplained, explain
from dnsd.manage.refusal import Code, RefusedError, refused
from dnsd.manage.tokens import Area, Level, Token
from dnsd.manage.traffic import MAPS, QUERIES, RCODES, ZONES
from dnsd.model.dataset import Dataset
from dnsd.wire.names import ancestors, parse_name_text
from dnsd.wire.rdata import parse_type_text
from dnsd.wire.reply_text import reply_data

MAX_WARNINGS = 20
AUDIT_PAGE = 100  # entries
AREAS = {  # of what an action is about
    "map": Area.MAPS,
    "prefix": Area.PREFIXES,
    "lease": Area.PREFIXES,
    "account": Area.PREFIXES,
    "zone": Area.ZONES,
    "record": Area.DNS,
}
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
            "warnings": visit.loaded.warnings[:MAX_WARNINGS] if visit.token.is_operator else (),
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
    """As much of the path as the token may see: nothing of what others' names lead through, and maps if it may."""
    steps = [step for step in found.names if _covers(visit, parse_name_text(step.name).lower())]
    return replace(found, names=tuple(replace(step, maps=_visible_maps(visit, step)) for step in steps))


def _visible_maps(visit: Visit, step: NameExplained) -> tuple[MapVerdict, ...]:
    zone = _zone_of(visit.dataset, parse_name_text(step.name).lower())
    may_read = zone is not None and visit.token.may(Area.MAPS, Level.READ, account_id=zone[0])
    return tuple(verdict for verdict in step.maps if verdict.step != NO_STEP) if may_read else ()


# Audit log


async def show_audit(visit: Visit) -> Page:
    """Who changed what."""
    q, page = visit.query.text("q"), visit.query.number("page", 1)
    is_wanted = partial(_may_hear, visit.token, q.lower())
    entries = await visit.service.audit(AUDIT_PAGE + 1, is_wanted, skip=(page - 1) * AUDIT_PAGE)
    data = {"entries": entries[:AUDIT_PAGE], "page": page, "has_more": len(entries) > AUDIT_PAGE, "q": q}
    return Page("audit.html", data)


def _may_hear(token: Token, text: str, entry: Mapping[str, Any]) -> bool:
    """Whether an entry is for a token, which may read what it is about, and has a text in it."""
    if not token.is_operator:
        account_id, zone_id = str(entry.get("account_id") or ""), str(entry.get("zone_id") or "")
        area = AREAS.get(str(entry.get("action") or "").partition(".")[0])
        if not account_id or area is None or not token.may(area, Level.READ, account_id=account_id, zone_id=zone_id):
            return False
    return not text or text in json.dumps(entry, ensure_ascii=False).lower()
