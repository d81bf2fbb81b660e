"""Records of a zone: the list with the proxy switch, a form for each type, import and export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from dnsd.api.envelope import Listed, Page
from dnsd.api.records.change import change_zone
from dnsd.api.records.parts import PARTS
from dnsd.api.records.read import record_builder
from dnsd.api.records.show import find_shown, listed_records
from dnsd.api.request import check_texts, etag_of, in_thread
from dnsd.api.shapes import JsonObject
from dnsd.dashboard.forms import FormErrors, FormValues
from dnsd.dashboard.listing import PER_PAGE
from dnsd.dashboard.page import Download, HtmlPage, Redirect, sentence
from dnsd.dashboard.visit import Visit
from dnsd.formats.zone_export import exported_zone
from dnsd.manage.records import Batch, import_records, relative_name
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.model.records import AUTOMATIC_TTL, PROXIABLE, WITH_PRIORITY, parse_owner
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


def records_path(visit: Visit) -> str:
    """The path of the list of a zone's records."""
    return f"/zones/{visit.path['zone_id']}/records"


async def list_records(visit: Visit) -> HtmlPage:
    """The records of a zone."""
    return await _list_page(visit, FormErrors())


async def _list_page(visit: Visit, errors: FormErrors) -> HtmlPage:
    zone, query = visit.zone, visit.query
    if back := _back(visit):  # a form on the list was sent
        query = FormValues.of(urlsplit(back).query)
    q, rtype, page = query.text("q"), query.text("type").upper(), query.number("page", 1)
    found = await _found(visit, q, rtype, page)
    pages = max(1, -(-found.total // PER_PAGE))
    if page > pages:
        found, page = await _found(visit, q, rtype, pages), pages

    def link(number: int) -> str:
        values = {"q": q, "type": rtype, "page": str(number) if number > 1 else ""}
        return f"{records_path(visit)}?{urlencode({name: text for name, text in values.items() if text})}"

    return HtmlPage(
        "records.html",
        {
            "zone": zone,
            "account": visit.dataset.accounts[zone.account_id],
            "records": found.items,
            "total": found.total,
            "page": page,
            "pages": pages,
            "link": link,
            "q": q,
            "type": rtype,
            "types": TYPES,
            "errors": errors,
            "path": records_path(visit),
            "back": link(page),
        },
        errors.status,
    )


async def _found(visit: Visit, q: str, rtype: str, page: int) -> Listed:
    """The records of a page, in the order of the zone's file: any other order would require examining all records."""
    zone = visit.zone
    query = {name: text for name, text in (("search", q), ("type", rtype)) if text}
    return await in_thread(len(zone.records), listed_records, visit.loaded, zone, query, Page(page, PER_PAGE))


async def turn_proxy(visit: Visit) -> HtmlPage | Redirect:
    """Turn the proxy of one record on or off."""
    try:
        await _edit(visit, {"proxied": visit.form.get("proxied") == "on"})
    except RefusedError as error:
        return await _list_page(visit, FormErrors(error))
    return Redirect(_back(visit) or records_path(visit))


def _back(visit: Visit) -> str:
    """The page of the list that a form was sent from; empty if the form names no such page."""
    back = visit.form.get("back")
    return back if back.partition("?")[0] == records_path(visit) else ""


# Forms


async def show_create(visit: Visit) -> HtmlPage:
    """The form of a new record of a type."""
    rtype = visit.query.text("type").upper()
    typed = {name: visit.query.text(name) for name in ("name", "comment")}
    return _form_page(visit, {"type": rtype if rtype in TYPES else "A", "ttl": AUTOMATIC_TTL, **typed}, FormErrors())


async def create(visit: Visit) -> HtmlPage | Redirect:
    """Create a record."""
    values = _values(visit)
    try:
        check_texts(values)
        await _change(visit, "record.create", lambda zone: Batch(posts=[record_builder(zone, values)]))
    except RefusedError as error:
        return _form_page(visit, values, FormErrors(error, _fields(values)))
    return Redirect(records_path(visit), "The record is created. DNS answers it.")


async def show_edit(visit: Visit) -> HtmlPage:
    """The form, filled with the current record."""
    shown = _shown(visit)
    return _form_page(visit, shown, FormErrors(), tag=etag_of(shown), is_stored=True)


async def edit(visit: Visit) -> HtmlPage | Redirect:
    """Change a record, unless it has changed since the form was made."""
    values = _values(visit)
    try:
        check_texts(values)
        await _edit(visit, values, tag=visit.form.get("tag"))
    except RefusedError as error:
        has_conflict = error.faults[0].reason is Reason.CHANGED_MEANWHILE
        now = _current(visit) if has_conflict else None
        tag = etag_of(now) if now else visit.form.get("tag")
        return _form_page(visit, values, FormErrors(error, _fields(values)), tag=tag, now=now)
    return Redirect(records_path(visit), "The record is saved. DNS answers it.")


async def _edit(visit: Visit, values: Mapping[str, Any], *, tag: str = "") -> None:
    """Change fields of the record in the path; with `tag`, only if it has not changed since."""
    record_id = visit.path["record_id"]

    def batch(zone: Zone) -> Batch:
        return Batch(patches=[(record_id, record_builder(zone, values, is_whole=False))])

    await _change(visit, "record.edit", batch, tag=tag)


async def _change(visit: Visit, action: str, batch: Callable[[Zone], Batch], *, tag: str = "") -> None:
    await change_zone(
        visit.service,
        visit.actor,
        action,
        visit.path["zone_id"],
        batch,
        record_id=visit.path.get("record_id", ""),
        if_match=tag or "*",
    )


def _current(visit: Visit) -> JsonObject | None:
    try:
        return _shown(visit)
    except RefusedError:
        return None


def _shown(visit: Visit) -> JsonObject:
    """The record in the path, as the API shows it. Raises RefusedError."""
    return find_shown(visit.loaded, visit.zone, visit.path["record_id"])


def _form_page(
    visit: Visit,
    values: Mapping[str, Any],
    errors: FormErrors,
    *,
    tag: str = "",
    now: Any = None,
    is_stored: bool = False,
) -> HtmlPage:
    zone = visit.zone
    rtype = str(values["type"])
    name = str(values.get("name") or "")
    return HtmlPage(
        "record_form.html",
        {
            "zone": zone,
            "account": visit.dataset.accounts[zone.account_id],
            "values": {**values, "name": _shown_name(name, zone) if is_stored else name},
            "type": rtype,
            "types": TYPES if rtype in TYPES else (*TYPES, rtype),
            "parts": FORM_OF.get(rtype, ()),
            "data": values.get("data") or {},
            "content_label": CONTENT_LABELS.get(rtype, "Content"),
            "has_priority": rtype in PRIORITY_TYPES,
            "is_proxiable": rtype in PROXIABLE_TYPES,
            "ttls": TTLS,
            "ttl": _number(values.get("ttl")),
            "errors": errors,
            "tag": tag,
            "now": now,
            "is_new": "record_id" not in visit.path,
            "path": records_path(visit),
        },
        errors.status,
    )


def _values(visit: Visit) -> dict[str, Any]:
    """The body of a request, from the form."""
    form = visit.form
    rtype = form.text("type").upper()
    values: dict[str, Any] = {
        "type": rtype,
        "name": form.text("name") or "@",
        "ttl": _number(form.text("ttl_s") or form.text("ttl") or "1"),
        "comment": form.text("comment"),
        "tags": [line.strip() for line in form.get("tags").splitlines() if line.strip()],
    }
    if rtype in FORM_OF:
        values["data"] = {name: form.text(f"data_{name}") or None for name in FORM_OF[rtype]}
    else:
        values["content"] = form.get("content").strip()
    if rtype in PRIORITY_TYPES:
        values["priority"] = _number(form.text("priority"))
    if rtype in PROXIABLE_TYPES:
        values["proxied"] = "proxied" in form
        values["settings"] = _settings(form, rtype)
    return values


def _settings(form: FormValues, rtype: str) -> dict[str, bool | None]:
    """The settings of a record; a setting that is off and was absent stays absent."""
    wanted = {name: form.get("only") == name for name in ("ipv4_only", "ipv6_only")}
    if rtype == "CNAME":
        wanted["flatten_cname"] = "flatten_cname" in form
    was_set = form.all("said_setting")
    return {name: is_on or (False if name in was_set else None) for name, is_on in wanted.items()}


def _fields(values: Mapping[str, Any]) -> tuple[str, ...]:
    return ("type", "name", "content", "priority", "ttl", "proxied", "comment", "tags", *(values.get("data") or ()))


def _shown_name(name: str, zone: Zone) -> str:
    """The shortest spelling of a stored name; other text unchanged."""
    try:
        return relative_name(parse_owner(f"{name}.", zone.name), zone.name)
    except ValueError:
        return name


def _number(text: Any) -> Any:
    """A number, or else the text as typed, for the API to report."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 12 else text


# Delete, import, export


async def show_delete(visit: Visit) -> HtmlPage:
    """Show a record and ask to confirm its deletion."""
    zone = visit.zone
    data = {"zone": zone, "account": visit.dataset.accounts[zone.account_id], "record": _shown(visit)}
    return HtmlPage("record_delete.html", data | {"errors": FormErrors(), "path": records_path(visit)})


async def delete(visit: Visit) -> HtmlPage | Redirect:
    """Delete a record."""
    record_id = visit.path["record_id"]
    try:
        await _change(visit, "record.delete", lambda zone: Batch(deletes=[record_id]))
    except RefusedError as error:
        return await _list_page(visit, FormErrors(error))
    return Redirect(records_path(visit), "The record is deleted.")


async def export(visit: Visit) -> Download:
    """The zone as a master file."""
    zone = visit.zone
    text = await in_thread(len(zone.records), exported_zone, zone, datetime.now(UTC))
    return Download(f"{zone.name_text}.zone", text)


async def show_import(visit: Visit) -> HtmlPage:
    """The form for a master file."""
    return _import_page(visit, b"", FormErrors())


async def import_file(visit: Visit) -> HtmlPage | Redirect:
    """Add the records of an uploaded or pasted master file."""
    octets = visit.upload.get("file") or visit.form.get("text").encode()
    zone_id, proxies = visit.zone.id, "proxied" in visit.form
    try:
        if not octets.strip():
            raise refused(Reason.INVALID, "choose a file, or paste its text", "file")
        counts, _ = await visit.change(
            "record.import", lambda draft: import_records(draft, zone_id, octets, proxies=proxies)
        )
    except RefusedError as error:
        return _import_page(visit, octets, FormErrors(error, ("file",)))
    done = f"{counts.added:,} of {counts.parsed:,} records were added."
    if not counts.added:
        done = "Nothing to add: the zone already has all of these records."
    return Redirect(records_path(visit), " ".join((done, *map(sentence, counts.warnings))))


def _import_page(visit: Visit, octets: bytes, errors: FormErrors) -> HtmlPage:
    """The form, with the text that was sent; if it is not UTF-8, without it, as the form would alter it."""
    zone = visit.zone
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = ""
    data = {"zone": zone, "account": visit.dataset.accounts[zone.account_id], "text": text, "errors": errors}
    return HtmlPage("record_import.html", data | {"path": records_path(visit)}, errors.status)
