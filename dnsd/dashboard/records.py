"""Records of a zone: the list with the proxy switch, a form for each type, import and export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from dnsd.api import records as api
from dnsd.api import zones as api_zones
from dnsd.api.codes import status_of
from dnsd.api.envelope import Listed, Raw, Reply
from dnsd.api.record_parts import PARTS
from dnsd.dashboard.listing import PER_PAGE
from dnsd.dashboard.page import Download, HtmlPage, Redirect, sentence
from dnsd.dashboard.visit import FormValues, Visit, Wrong
from dnsd.manage.records import import_records, relative_name
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
    return await _list_page(visit)


async def _list_page(visit: Visit, wrong: Wrong | None = None, status: int = 200) -> HtmlPage:
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
            "wrong": wrong or Wrong(),
            "path": records_path(visit),
            "back": link(page),
        },
        status,
    )


async def _found(visit: Visit, q: str, rtype: str, page: int) -> Listed:
    """The records of a page, in the order of the zone's file; any other order would examine all records."""
    reply = await api.list_records(visit.call(search=q, type=rtype, page=str(page), per_page=str(PER_PAGE)))
    listed: Listed = reply.result
    return listed


async def turn_proxy(visit: Visit) -> HtmlPage | Redirect:
    """Turn the proxy of one record on or off."""
    try:
        await api.edit_record(visit.call({"proxied": visit.form.get("proxied") == "on"}))
    except RefusedError as error:
        return await _list_page(visit, Wrong(error), status_of(error))
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
    return _form_page(visit, {"type": rtype if rtype in TYPES else "A", "ttl": AUTOMATIC_TTL, **typed}, Wrong())


async def create(visit: Visit) -> HtmlPage | Redirect:
    """Create a record."""
    said = _said(visit)
    try:
        await api.create_record(visit.call(said))
    except RefusedError as error:
        return _form_page(visit, said, Wrong(error, _fields(said)), status_of(error))
    return Redirect(records_path(visit), "The record is created. DNS answers it.")


async def show_edit(visit: Visit) -> HtmlPage:
    """The form, filled with the current record."""
    reply = await api.get_record(visit.call())
    return _form_page(visit, reply.result, Wrong(), tag=reply.etag or "", is_stored=True)


async def edit(visit: Visit) -> HtmlPage | Redirect:
    """Change a record, unless it has changed since the form was made."""
    said = _said(visit)
    try:
        await api.edit_record(visit.call(said, tag=visit.form.get("tag")))
    except RefusedError as error:
        has_conflict = error.faults[0].reason is Reason.CHANGED_MEANWHILE
        now = await _now(visit)
        tag = (now.etag or "") if has_conflict and now else visit.form.get("tag")
        wrong = Wrong(error, _fields(said))
        return _form_page(
            visit, said, wrong, status_of(error), tag=tag, now=now.result if has_conflict and now else None
        )
    return Redirect(records_path(visit), "The record is saved. DNS answers it.")


async def _now(visit: Visit) -> Reply | None:
    try:
        return await api.get_record(visit.call())
    except RefusedError:
        return None


def _form_page(
    visit: Visit,
    said: Mapping[str, Any],
    wrong: Wrong,
    status: int = 200,
    *,
    tag: str = "",
    now: Any = None,
    is_stored: bool = False,
) -> HtmlPage:
    zone = visit.zone
    rtype = str(said["type"])
    name = str(said.get("name") or "")
    return HtmlPage(
        "record_form.html",
        {
            "zone": zone,
            "account": visit.dataset.accounts[zone.account_id],
            "said": {**said, "name": _shown_name(name, zone) if is_stored else name},
            "type": rtype,
            "types": TYPES if rtype in TYPES else (*TYPES, rtype),
            "parts": FORM_OF.get(rtype, ()),
            "data": said.get("data") or {},
            "content_label": CONTENT_LABELS.get(rtype, "Content"),
            "has_priority": rtype in PRIORITY_TYPES,
            "is_proxiable": rtype in PROXIABLE_TYPES,
            "ttls": TTLS,
            "ttl": _number(said.get("ttl")),
            "wrong": wrong,
            "tag": tag,
            "now": now,
            "is_new": "record_id" not in visit.path,
            "path": records_path(visit),
        },
        status,
    )


def _said(visit: Visit) -> dict[str, Any]:
    """The body of a request, from the form."""
    form = visit.form
    rtype = form.text("type").upper()
    said: dict[str, Any] = {
        "type": rtype,
        "name": form.text("name") or "@",
        "ttl": _number(form.text("ttl_s") or form.text("ttl") or "1"),
        "comment": form.text("comment"),
        "tags": [line.strip() for line in form.get("tags").splitlines() if line.strip()],
    }
    if rtype in FORM_OF:
        said["data"] = {name: form.text(f"data_{name}") or None for name in FORM_OF[rtype]}
    else:
        said["content"] = form.get("content").strip()
    if rtype in PRIORITY_TYPES:
        said["priority"] = _number(form.text("priority"))
    if rtype in PROXIABLE_TYPES:
        said["proxied"] = "proxied" in form
        said["settings"] = _settings(form, rtype)
    return said


def _settings(form: FormValues, rtype: str) -> dict[str, bool | None]:
    """The settings of a record; a setting that is off and was absent stays absent."""
    wanted = {name: form.get("only") == name for name in ("ipv4_only", "ipv6_only")}
    if rtype == "CNAME":
        wanted["flatten_cname"] = "flatten_cname" in form
    known = form.all("said_setting")
    return {name: is_on or (False if name in known else None) for name, is_on in wanted.items()}


def _fields(said: Mapping[str, Any]) -> tuple[str, ...]:
    return ("type", "name", "content", "priority", "ttl", "proxied", "comment", "tags", *(said.get("data") or ()))


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
    reply = await api.get_record(visit.call())
    data = {"zone": visit.zone, "account": visit.dataset.accounts[visit.zone.account_id], "record": reply.result}
    return HtmlPage("record_delete.html", data | {"wrong": Wrong(), "path": records_path(visit)})


async def delete(visit: Visit) -> HtmlPage | Redirect:
    """Delete a record."""
    try:
        await api.delete_record(visit.call())
    except RefusedError as error:
        return await _list_page(visit, Wrong(error), status_of(error))
    return Redirect(records_path(visit), "The record is deleted.")


async def export(visit: Visit) -> Download:
    """The zone as a master file."""
    reply: Raw = await api_zones.export_zone(visit.call())
    return Download(f"{visit.zone.name_text}.zone", reply.text)


async def show_import(visit: Visit) -> HtmlPage:
    """The form for a master file."""
    return _import_page(visit, b"", Wrong(), 200)


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
        return _import_page(visit, octets, Wrong(error, ("file",)), status_of(error))
    added = f"{counts.added:,} of {counts.parsed:,} records were added."
    notes = " ".join(sentence(one) for one in counts.warnings)
    return Redirect(
        records_path(visit),
        f"{added} {notes}".strip() if counts.added else "Nothing to add: the zone already has all of these records.",
    )


def _import_page(visit: Visit, octets: bytes, wrong: Wrong, status: int) -> HtmlPage:
    """The form, with the sent text unless it is not UTF-8, which the form would alter."""
    zone = visit.zone
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = ""
    data = {"zone": zone, "account": visit.dataset.accounts[zone.account_id], "text": text, "wrong": wrong}
    return HtmlPage("record_import.html", data | {"path": records_path(visit)}, status)
