"""DNS records as JSON of Cloudflare's API: single records by id, and the pages of lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from dnsd.api.envelope import Listed, Page
from dnsd.api.records.data import shown_record
from dnsd.api.records.order import ORDERS, in_order, is_descending
from dnsd.api.records.search import record_search
from dnsd.api.request import etag_of
from dnsd.api.shapes import JsonObject, held_meta
from dnsd.app import Loaded
from dnsd.manage.record_ids import find_record, find_records, record_id, shown_page
from dnsd.manage.refusal import Reason, refused
from dnsd.model.record_parts import Steps, finished
from dnsd.model.records import PROXIABLE, Record
from dnsd.model.times import Times, time_text
from dnsd.model.zones import Zone
from dnsd.wire.names import name_text
from dnsd.wire.rdata import type_text

JsonRecord = dict[str, Any]
SHOWN = 100  # records of one step


def record_json(record: Record, its_id: str, *, zone_id: str, zone_name: str, times: Times) -> JsonRecord:
    """The record as the API shows it."""
    shown = shown_record(record)
    return {
        "id": its_id,
        "zone_id": zone_id,
        "zone_name": zone_name,
        "name": name_text(record.owner),
        "type": type_text(record.rtype),
        "content": shown.content,
        **({} if shown.priority is None else {"priority": shown.priority}),
        **({} if shown.data is None else {"data": shown.data}),
        "proxiable": record.rtype in PROXIABLE,
        "proxied": record.proxied,
        "ttl": record.ttl,
        "settings": record.settings.model_dump(exclude_none=True),
        "meta": {},
        "comment": record.comment or None,
        "tags": [*record.tags],
        "created_on": time_text(times.created),
        "modified_on": time_text(times.modified),
        # The record's own time: no other is kept.
        **({"comment_modified_on": time_text(times.modified)} if record.comment else {}),
        **({"tags_modified_on": time_text(times.modified)} if record.tags else {}),
    }


def find_shown(loaded: Loaded, zone: Zone, wanted: str) -> Steps[JsonObject]:
    """The record with an id. Raises RefusedError."""
    index = yield from find_record(zone, wanted)
    if index is None:
        raise refused(Reason.NO_RECORD, "Record does not exist.")
    return shown_at(loaded, zone, index)


def find_all_shown(loaded: Loaded, zone: Zone, ids: Sequence[str]) -> Steps[list[JsonObject]]:
    """The records with these ids, in their order; those that exist."""
    found = yield from find_records(zone, ids)
    return (yield from _all_shown(loaded, zone, [found[one] for one in ids if one in found]))


def record_tag(loaded: Loaded, zone: Zone, wanted: str) -> str | None:
    """The entity tag of the record with an id; None if there is no such record."""
    index = finished(find_record(zone, wanted))
    return None if index is None else etag_of(shown_at(loaded, zone, index))


def shown_at(loaded: Loaded, zone: Zone, index: int) -> JsonObject:
    """The record at an index of the zone."""
    record = zone.records[index]
    shown = record_json(
        record,
        record_id(zone, index),
        zone_id=zone.id,
        zone_name=zone.name_text,
        times=loaded.times.of_record(zone, record),
    )
    return {**shown, "meta": held_meta(loaded, zone.key)}


def listed_records(loaded: Loaded, zone: Zone, query: Mapping[str, str], page: Page) -> Steps[Listed]:
    """The page of records that a query asks for; only the records of the page become JSON."""
    search, order = record_search(query), query.get("order", "")
    is_reversed = is_descending(query.get("direction", ""))
    start, stop = (page.number - 1) * page.size, page.number * page.size
    if search.finds_all and order not in ORDERS:
        total = zone.client_records
        indexes: Sequence[int] = yield from shown_page(zone, start, stop, is_reversed=is_reversed)
    else:
        found = yield from search.found_in(zone)
        total = len(found)
        if is_reversed:
            start, stop = max(0, total - stop), max(0, total - start)
        if order in ORDERS:
            indexes = yield from in_order(zone, found, order, start, stop)
        else:
            indexes = found[start:stop]
        indexes = indexes[::-1] if is_reversed else indexes
    return Listed(indexes, page, total, partial(shown_at, loaded, zone))


def _all_shown(loaded: Loaded, zone: Zone, indexes: Sequence[int]) -> Steps[list[JsonObject]]:
    items = []
    for number, index in enumerate(indexes, 1):
        items.append(shown_at(loaded, zone, index))
        if number % SHOWN == 0:
            yield
    return items
