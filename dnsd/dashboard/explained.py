"""A name explained: the answer to a question, and the path to it within the token's scope."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dnsd.compile.explain import NO_STEP, Explanation, MapVerdict, NameExplained, explain
from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.page import HtmlPage
from dnsd.dashboard.visit import Visit
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.tokens import AccessLevel, Area
from dnsd.model.zones import Zone
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import parse_type_text
from dnsd.wire.reply_text import reply_data

TYPES = ("A", "AAAA", "HTTPS", "CNAME", "TXT", "MX", "NS", "SOA", "SRV", "CAA", "ANY")


async def show_explained(visit: Visit) -> HtmlPage:
    """The answer to a question, and the path to it."""
    name, rtype = visit.query.text("name"), visit.query.text("type").upper() or "A"
    data: dict[str, Any] = {"name": name, "type": rtype, "types": TYPES, "errors": FormErrors(), "found": None}
    if not name:
        return HtmlPage("explain.html", data)
    try:
        wire, number = _question(visit, name, rtype)
    except RefusedError as error:
        errors = FormErrors(error, ("name", "type"))
        return HtmlPage("explain.html", data | {"errors": errors}, errors.status)
    loaded = visit.loaded
    found = explain(loaded.snapshot, loaded.dataset, wire, number, loaded.settings.missing_family)
    maps = {one.key: one for one in loaded.dataset.maps.values()}
    return HtmlPage(
        "explain.html", data | {"found": _visible(visit, found), "reply": reply_data(found.reply), "maps": maps}
    )


def _question(visit: Visit, name: str, rtype: str) -> tuple[bytes, int]:
    """The name and type of the question. Raises RefusedError, also for a name outside the token's scope."""
    try:
        wire = parse_name_text(name.rstrip(".") or ".").lower()
    except ValueError as error:
        raise refused(Reason.INVALID, str(error), "name") from None
    try:
        number = parse_type_text(rtype)
    except ValueError as error:
        raise refused(Reason.INVALID, str(error), "type") from None
    if not _covers(visit, wire):
        raise refused(Reason.NOT_FOUND, f"{name} is not in a zone that your token covers", "name")
    return wire, number


def _covers(visit: Visit, name: bytes) -> bool:
    """Whether a name is in a zone that the token covers; the operator's token covers all names."""
    return _covers_zone(visit, visit.dataset.zone_of(name))


def _covers_zone(visit: Visit, zone: Zone | None) -> bool:
    return visit.token.is_operator or (zone is not None and visit.token.covers(zone.account_id, zone.id))


def _visible(visit: Visit, found: Explanation) -> Explanation:
    """The part of the path that the token may see: steps in its zones and, with permission, their maps."""
    zones = visit.dataset.zones
    steps = [step for step in found.names if _covers_zone(visit, zones.get(step.zone_id or ""))]
    return replace(found, names=tuple(replace(step, maps=_visible_maps(visit, step)) for step in steps))


def _visible_maps(visit: Visit, step: NameExplained) -> tuple[MapVerdict, ...]:
    zone = visit.dataset.zones.get(step.zone_id or "")
    may_read = zone is not None and visit.token.may(Area.MAPS, AccessLevel.READ, account_id=zone.account_id)
    return tuple(verdict for verdict in step.maps if verdict.step != NO_STEP) if may_read else ()
