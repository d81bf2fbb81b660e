"""A name explained: the answer to a question, and the path to it within the token's scope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from dnsd.compile.explain import NO_STEP, Explanation, MapVerdict, NameExplained, explain
from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.page import HtmlPage
from dnsd.dashboard.views import STEP_TITLES, map_title
from dnsd.dashboard.visit import Visit
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.tokens import AccessLevel, Area
from dnsd.model.zones import Zone
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import parse_type_text
from dnsd.wire.reply_text import reply_data

EXAMPLES = 4  # zones with an example
LOOKED_AT = 200  # records of each
WILDCARD = b"\x01*"
TYPES = ("A", "AAAA", "HTTPS", "CNAME", "TXT", "MX", "NS", "SOA", "SRV", "CAA", "ANY")


async def show_explained(visit: Visit) -> HtmlPage:
    """The answer to a question, and the path to it."""
    name, rtype = visit.query.text("name"), visit.query.text("type").upper() or "A"
    data: dict[str, Any] = {"name": name, "type": rtype, "types": TYPES, "errors": FormErrors(), "found": None}
    data["examples"] = []
    if not name:
        return HtmlPage("explain.html", data | {"examples": await visit.aside(partial(_examples, visit))})
    try:
        wire, number = _question(visit, name, rtype)
    except RefusedError as error:
        errors = FormErrors(error, ("name", "type"))
        return HtmlPage("explain.html", data | {"errors": errors}, errors.status)
    return await visit.aside(partial(_explained, visit, wire, number, data))


def _explained(visit: Visit, wire: bytes, number: int, data: Mapping[str, Any]) -> HtmlPage:
    loaded = visit.loaded
    found = explain(loaded.snapshot, loaded.dataset, wire, number, loaded.settings.missing_family)
    found = _visible(visit, found)
    more = {
        "maps": {one.key: one for one in loaded.dataset.maps.values()},
        "account_names": {one.key: one.name for one in loaded.dataset.accounts.values()},
        "found": found,
        "reply": reply_data(found.reply),
        "titles": STEP_TITLES,
    }
    return HtmlPage("explain.html", {**data, **more})


def _examples(visit: Visit) -> list[tuple[str, str]]:
    """Questions about the first zones of the token: a proxied name, or else the zone's own."""
    covered = (zone for zone in visit.dataset.zones.values() if visit.token.covers(zone.account_id, zone.id))
    examples = []
    for zone in islice(covered, EXAMPLES):
        proxied = (record.owner for record in islice(zone.records, LOOKED_AT) if record.proxied)
        first = next((owner for owner in proxied if not owner.startswith(WILDCARD)), None)
        examples.append((name_text(first), "A") if first else (zone.name_text, "SOA"))
    return examples


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
    shown = [verdict for verdict in step.maps if verdict.step != NO_STEP] if may_read else []
    titles = {
        one.key: map_title(one) for one in visit.dataset.maps.values() if zone and one.account_id == zone.account_id
    }
    return tuple(replace(verdict, why=_with_title(verdict.why, titles)) for verdict in shown)


def _with_title(why: str, titles: Mapping[str, str]) -> str:
    """A reason that begins with the key of a map, with the map's title instead."""
    key, blank, rest = why.partition(" ")
    return f"{titles.get(key, key)}{blank}{rest}"
