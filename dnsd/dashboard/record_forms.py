"""Forms for records, one for each type that the API knows in parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dnsd.api.records.read import record_builder
from dnsd.api.request import check_texts, etag_of
from dnsd.api.shapes import JsonObject
from dnsd.dashboard.forms import FormErrors, FormValues
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.records import (
    CONTENT_LABELS,
    FORM_OF,
    PRIORITY_TYPES,
    PROXIABLE_TYPES,
    TTLS,
    TYPES,
    change,
    edit_record,
    records_path,
    shown,
)
from dnsd.dashboard.visit import Visit
from dnsd.manage.records import Batch, relative_name
from dnsd.manage.refusal import Reason, RefusedError
from dnsd.model.records import AUTOMATIC_TTL, parse_owner
from dnsd.model.zones import Zone

CUSTOM = "custom"  # the choice of a TTL that is typed


async def show_create(visit: Visit) -> HtmlPage:
    """The form of a new record of a type."""
    rtype = visit.query.text("type").upper()
    typed = {name: visit.query.text(name) for name in ("name", "comment")}
    return _form_page(visit, {"type": rtype if rtype in TYPES else "A", "ttl": AUTOMATIC_TTL, **typed}, FormErrors())


async def create(visit: Visit) -> HtmlPage | Redirect:
    """Create a record, or show the form of another type."""
    values = _values(visit)
    if visit.form.get("do") == "type":
        return _form_page(visit, values | {"name": visit.form.text("name")}, FormErrors())
    try:
        check_texts(values)
        await change(visit, "record.create", lambda zone: Batch(posts=[record_builder(zone, values)]))
    except RefusedError as error:
        return _form_page(visit, values, FormErrors(error, _fields(values)))
    return Redirect(records_path(visit), "The record is created. DNS answers it.")


async def show_edit(visit: Visit) -> HtmlPage:
    """The form, filled with the current record."""
    stored = await shown(visit)
    return _form_page(visit, stored, FormErrors(), tag=etag_of(stored), is_stored=True)


async def edit(visit: Visit) -> HtmlPage | Redirect:
    """Change a record, unless it has changed since the form was made."""
    values = _values(visit)
    try:
        check_texts(values)
        await edit_record(visit, values, tag=visit.form.get("tag"))
    except RefusedError as error:
        has_conflict = error.faults[0].reason is Reason.CHANGED_MEANWHILE
        now = await _current(visit) if has_conflict else None
        tag = etag_of(now) if now else visit.form.get("tag")
        return _form_page(visit, values, FormErrors(error, _fields(values)), tag=tag, now=now)
    return Redirect(records_path(visit), "The record is saved. DNS answers it.")


async def _current(visit: Visit) -> JsonObject | None:
    try:
        return await shown(visit)
    except RefusedError:
        return None


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
    name, record_id = str(values.get("name") or ""), visit.path.get("record_id", "")
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
            "is_new": not record_id,
            "record_id": record_id,
            "stored_name": values["name"],
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
        "ttl": _number(form.text("ttl_s") if form.text("ttl") == CUSTOM else form.text("ttl") or "1"),
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
