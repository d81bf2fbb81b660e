"""Records of a zone: the list with the proxy switch, deletion and export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from dnsd.api.envelope import Listed, Page
from dnsd.api.records.change import change_zone
from dnsd.api.records.parts import PARTS
from dnsd.api.records.read import record_builder
from dnsd.api.records.show import find_shown, listed_records
from dnsd.api.shapes import JsonObject
from dnsd.dashboard.forms import FormErrors, FormValues
from dnsd.dashboard.listing import PER_PAGE, Listing
from dnsd.dashboard.page import Download, HtmlPage, Redirect
from dnsd.dashboard.visit import Visit
from dnsd.formats import zone_export
from dnsd.manage.records import Batch
from dnsd.manage.refusal import RefusedError
from dnsd.model.contents import WITH_PRIORITY
from dnsd.model.records import PROXIABLE
from dnsd.model.zones import Zone
from dnsd.wire.rdata import type_text

TYPES: tuple[str, ...] = (
    "A",
    "AAAA",
    "CNAME",
    "MX",
    "TXT",
    "NS",
    "SRV",
    "CAA",
    "HTTPS",
    "PTR",
    "TLSA",
    "SSHFP",
    "DS",
    "NAPTR",
    "LOC",
)
TYPES += ("SVCB", "URI", "CERT", "SMIMEA", "DNSKEY")
PROXIABLE_TYPES = tuple(map(type_text, sorted(PROXIABLE)))
PRIORITY_TYPES = tuple(map(type_text, WITH_PRIORITY))
PLAIN = ("MX",)  # its only part equals the content
FORM_OF: Mapping[str, tuple[str, ...]] = {
    type_text(rtype): tuple(part.name for part in parts)
    for rtype, parts in PARTS.items()
    if type_text(rtype) not in PLAIN
}
CONTENT_LABELS = {
    "A": "IPv4 address",
    "AAAA": "IPv6 address",
    "CNAME": "Target",
    "MX": "Mail server",
    "NS": "Name server",
    "PTR": "Domain name",
    "TXT": "Text",
}
TTLS = ((1, "Auto"), (60, "1 min"), (300, "5 min"), (3600, "1 h"), (86_400, "1 day"))
ORDERS = ("name", "type", "content", "proxied", "ttl")  # columns to sort by


def records_path(visit: Visit) -> str:
    """The path of the list of a zone's records."""
    return f"/zones/{visit.path['zone_id']}/records"


async def list_records(visit: Visit) -> HtmlPage:
    """The records of a zone."""
    return await list_page(visit, FormErrors())


async def list_page(visit: Visit, errors: FormErrors) -> HtmlPage:
    """The list, with the errors of a form on it."""
    zone, query = visit.zone, list_query(visit)
    found = await found_records(visit, query, query.number("page", 1), PER_PAGE)
    return HtmlPage(
        "records.html",
        {
            "zone": zone,
            "account": visit.dataset.accounts[zone.account_id],
            "listing": _listing(visit, query, found, await visit.in_turns(found.shapes())),
            "type": _type(query),
            "types": TYPES,
            "ttls": TTLS,
            "errors": errors,
            "path": records_path(visit),
        },
        errors.status,
    )


def _listing(visit: Visit, query: FormValues, found: Listed, shapes: list[JsonObject]) -> Listing[JsonObject]:
    order = query.text("order")
    return Listing(
        path=records_path(visit),
        items=shapes,
        total=found.total,
        unfiltered_total=found.total,
        query={"q": query.text("q"), "type": _type(query)},
        order=order if order in ORDERS else "",
        is_descending=query.text("direction") == "desc",
        page=found.page.number,
    )


def _type(query: FormValues) -> str:
    return query.text("type").upper()


def list_query(visit: Visit) -> FormValues:
    """The query of the list: of the page itself, or of the page that a form was sent from."""
    back = back_of(visit)
    return FormValues.of(urlsplit(back).query) if back else visit.query


async def found_records(visit: Visit, query: FormValues, number: int, size: int) -> Listed:
    """A page of the records that a query finds; instead of a page after the last one, the last.

    Without an order, the records are in the order of the zone's file, and only those of the page are examined.
    """
    zone, by = visit.zone, query.text("order")
    wanted = {"search": query.text("q"), "type": _type(query), "order": by if by in ORDERS else ""}
    wanted["direction"] = query.text("direction")
    wanted = {name: text for name, text in wanted.items() if text}
    found = await visit.in_turns(listed_records(visit.loaded, zone, wanted, Page(number, size)))
    last = max(1, -(-found.total // size))
    return found if number <= last else await found_records(visit, query, last, size)


def back_of(visit: Visit) -> str:
    """The page of the list that a form was sent from; empty if the form names no such page."""
    back = visit.form.get("back")
    return back if back.partition("?")[0] == records_path(visit) else ""


async def turn_proxy(visit: Visit) -> HtmlPage | Redirect:
    """Turn the proxy of one record on or off."""
    try:
        await edit_record(visit, {"proxied": visit.form.get("proxied") == "on"})
    except RefusedError as error:
        return await list_page(visit, FormErrors(error))
    return Redirect(back_of(visit) or records_path(visit))


async def edit_record(visit: Visit, values: Mapping[str, Any], *, tag: str = "") -> None:
    """Change fields of the record in the path; with `tag`, only if it has not changed since. Raises RefusedError."""
    record_id = visit.path["record_id"]

    def batch(zone: Zone) -> Batch:
        return Batch(patches=[(record_id, record_builder(zone, values, is_whole=False))])

    await change(visit, "record.edit", batch, tag=tag)


async def change(visit: Visit, action: str, batch: Callable[[Zone], Batch], *, tag: str = "") -> None:
    """Change records of the zone in the path. Raises RefusedError."""
    await change_zone(
        visit.service,
        visit.actor,
        action,
        visit.path["zone_id"],
        batch,
        record_id=visit.path.get("record_id", ""),
        if_match=tag or "*",
    )


async def shown(visit: Visit) -> JsonObject:
    """The record in the path, as the API shows it. Raises RefusedError."""
    return await visit.in_turns(find_shown(visit.loaded, visit.zone, visit.path["record_id"]))


async def show_delete(visit: Visit) -> HtmlPage:
    """Show a record and ask to confirm its deletion."""
    zone = visit.zone
    data = {"zone": zone, "account": visit.dataset.accounts[zone.account_id], "record": await shown(visit)}
    return HtmlPage("record_delete.html", data | {"errors": FormErrors(), "path": records_path(visit)})


async def delete(visit: Visit) -> HtmlPage | Redirect:
    """Delete a record."""
    record_id = visit.path["record_id"]
    try:
        await change(visit, "record.delete", lambda zone: Batch(deletes=[record_id]))
    except RefusedError as error:
        return await list_page(visit, FormErrors(error))
    return Redirect(records_path(visit), "The record is deleted.")


async def export(visit: Visit) -> Download:
    """The zone as a master file."""
    zone = visit.zone
    text = await visit.in_turns(zone_export.export(zone, datetime.now(UTC)))
    return Download(f"{zone.name_text}.zone", text)
