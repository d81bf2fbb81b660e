"""DNS records as JSON of Cloudflare's API: a single record by its id, and the pages of lists."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from dnsd.api.envelope import Listed, Page
from dnsd.api.records.data import shown_record
from dnsd.api.records.filter import is_descending, record_filter, sort_key
from dnsd.api.request import etag_of
from dnsd.api.shapes import JsonObject, held_meta
from dnsd.app import Loaded
from dnsd.manage.records import RecordIds, record_ids
from dnsd.manage.refusal import Reason, refused
from dnsd.model.records import PROXIABLE, Record
from dnsd.model.times import Times, time_text
from dnsd.model.zones import Zone
from dnsd.wire.names import name_text
from dnsd.wire.rdata import type_text

JsonRecord = dict[str, Any]


def record_json(record: Record, record_id: str, *, zone_id: str, zone_name: str, times: Times) -> JsonRecord:
    """The record as the API shows it."""
    shown = shown_record(record)
    return {
        "id": record_id,
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


def find_shown(loaded: Loaded, zone: Zone, record_id: str) -> JsonObject:
    """The record with an id. Raises RefusedError."""
    ids = record_ids(zone)
    if record_id not in ids.by_id:
        raise refused(Reason.NO_RECORD, "Record does not exist.")
    return shown_at(loaded, zone, ids, ids.by_id[record_id])


def record_tag(loaded: Loaded, zone: Zone, record_id: str) -> str | None:
    """The entity tag of the record with an id; None if there is no such record."""
    ids = record_ids(zone)
    index = ids.by_id.get(record_id)
    return None if index is None else etag_of(shown_at(loaded, zone, ids, index))


def shown_at(loaded: Loaded, zone: Zone, ids: RecordIds, index: int) -> JsonObject:
    """The record at an index of the zone."""
    shown = record_json(
        zone.records[index],
        ids.by_index[index],
        zone_id=zone.id,
        zone_name=zone.name_text,
        times=loaded.times.of_record(zone, zone.records[index]),
    )
    return {**shown, "meta": held_meta(loaded, zone.key)}


def listed_records(loaded: Loaded, zone: Zone, query: Mapping[str, str], page: Page) -> Listed:
    """The page of records that a query asks for; only records that are examined or shown become JSON."""
    ids = record_ids(zone)
    is_wanted, key = record_filter(query), sort_key(query.get("order", ""))
    is_reversed = is_descending(query.get("direction", ""))
    shape = partial(shown_at, loaded, zone, ids)
    indexes = [index for index in is_wanted.candidates(zone.records) if index in ids.by_index]
    if not is_wanted.needs_json and key is None:  # build JSON for this page only
        return page.of_list(indexes[::-1] if is_reversed else indexes, shape)
    found = list(filter(is_wanted, map(shape, indexes)))
    if key:
        found.sort(key=key)
    return page.of_list(found[::-1] if is_reversed else found, dict)
