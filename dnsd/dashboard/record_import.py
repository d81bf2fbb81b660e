"""The import of a master file into a zone: the form, and the review of the records that it adds."""

from __future__ import annotations

import binascii
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import partial
from typing import Any

from dnsd.api.records.show import record_json
from dnsd.api.request import MAX_BODY
from dnsd.app import Loaded
from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.page import HtmlPage, Redirect, sentence
from dnsd.dashboard.records import records_path
from dnsd.dashboard.visit import Visit
from dnsd.manage.draft import Draft
from dnsd.manage.record_ids import is_shown
from dnsd.manage.records import Imported, import_records
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.model.zones import Zone

SHOWN_ADDED = 50  # records listed by a review


async def show_import(visit: Visit) -> HtmlPage:
    """The form for a master file."""
    return _page(visit, b"", FormErrors())


async def import_file(visit: Visit) -> HtmlPage | Redirect:
    """Show the records that an uploaded or pasted master file adds; once confirmed, add them."""
    octets = b""
    try:
        octets = await visit.aside(partial(_octets, visit))
        if visit.form.get("do") != "import":
            return await _review(visit, octets)
        counts, _ = await visit.change("record.import", lambda draft: _import(visit, draft, octets))
    except RefusedError as error:
        return _page(visit, octets, FormErrors(error, ("file",)))
    done = f"{counts.added:,} of {counts.parsed:,} records were added."
    if not counts.added:
        done = "Nothing to add: the zone already has all of these records."
    return Redirect(records_path(visit), " ".join((done, *map(sentence, counts.warnings))))


def _import(visit: Visit, draft: Draft, octets: bytes) -> Imported:
    return import_records(draft, visit.path["zone_id"], octets, proxies="proxied" in visit.form)


async def _review(visit: Visit, octets: bytes) -> HtmlPage:
    counts: list[Imported] = []
    before, after = await visit.service.plan(visit.actor, lambda draft: counts.append(_import(visit, draft, octets)))
    zone = visit.zone
    added = await visit.planned(partial(_added, before, after, zone))
    kept = await visit.aside(partial(_packed, octets))
    return _page(visit, octets, FormErrors(), {"counts": counts[-1], "added": added, "kept": kept})


def _added(before: Loaded, after: Loaded, zone: Zone) -> list[dict[str, Any]]:
    """The first records that an import adds, as the API shows them."""
    old = {record.duplicate_key for record in before.dataset.zones[zone.id].records}
    found = []
    for record in after.dataset.zones[zone.id].records:
        if is_shown(zone, record) and record.duplicate_key not in old:
            times = after.times.of_record(zone, record)
            found.append(record_json(record, "", zone_id=zone.id, zone_name=zone.name_text, times=times))
            if len(found) == SHOWN_ADDED:
                break
    return found


def _octets(visit: Visit) -> bytes:
    """The master file: uploaded, pasted, or kept by the review. Raises RefusedError."""
    kept = visit.form.get("kept")
    octets = _unpacked(kept) if kept else visit.upload.get("file") or visit.form.get("text").encode()
    if not octets.strip():
        raise refused(Reason.INVALID, "choose a file, or paste its text", "file")
    return octets


def _packed(octets: bytes) -> str:
    """A file in a field of a form, which can hold UTF-8 only."""
    return urlsafe_b64encode(zlib.compress(octets)).decode()


def _unpacked(text: str) -> bytes:
    try:
        return zlib.decompressobj().decompress(urlsafe_b64decode(text), MAX_BODY)
    except (binascii.Error, ValueError, zlib.error):
        raise refused(Reason.INVALID, "the form cannot be read") from None


def _page(visit: Visit, octets: bytes, errors: FormErrors, review: dict[str, Any] | None = None) -> HtmlPage:
    """The form, with the text that was sent; if it is not UTF-8, without it, as the form would alter it."""
    zone = visit.zone
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = ""
    data = {"zone": zone, "account": visit.dataset.accounts[zone.account_id], "text": text, "errors": errors}
    more = {"path": records_path(visit), "is_proxied": "proxied" in visit.form, "review": review}
    return HtmlPage("record_import.html", data | more, errors.status)
