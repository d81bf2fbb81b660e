"""The routes of a zone's records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from dnsd.api.envelope import Listed, Reply
from dnsd.api.multipart import MultipartError, read_parts
from dnsd.api.record_filter import is_descending, record_filter, sort_key
from dnsd.api.record_shape import RecordBodyError, built_record, record_json
from dnsd.api.request import Call, etag_of, in_thread
from dnsd.api.shapes import JsonObject, held_meta
from dnsd.app import Loaded
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_zone
from dnsd.manage.records import Batch, BatchResult, Build, RecordIds, change_records, import_records, record_ids
from dnsd.manage.refusal import Fault, Reason, RefusedError, refused
from dnsd.model.records import Record
from dnsd.model.zones import Zone

MAX_RECORDS = 5_000_000  # on one page
MAX_BATCH = 10_000  # records of each part
MAX_SHOWN = 40  # octets of a part quoted in a message


async def list_records(call: Call) -> Reply:
    """List the records of a zone, without its SOA and apex NS records"""
    zone = find_zone(call.dataset, call.path["zone_id"])
    return Reply(await in_thread(len(zone.records), _listed, call))


async def create_record(call: Call) -> Reply:
    """Create a record"""
    body = call.json()
    result, loaded, zone = await _change(call, "record.create", lambda zone: Batch(posts=[_builder(zone, body)]))
    return _reply(loaded, zone, result.posts[0])


async def get_record(call: Call) -> Reply:
    """Get a record"""
    return _reply(call.service.loaded, find_zone(call.dataset, call.path["zone_id"]), call.path["record_id"])


async def replace_record(call: Call) -> Reply:
    """Replace a record"""
    return await _edit(call, "record.replace", is_whole=True)


async def edit_record(call: Call) -> Reply:
    """Change some fields of a record"""
    return await _edit(call, "record.edit", is_whole=False)


async def delete_record(call: Call) -> Reply:
    """Delete a record"""
    record_id = call.path["record_id"]
    await _change(call, "record.delete", lambda zone: Batch(deletes=[record_id]))
    return Reply({"id": record_id})


async def change_batch(call: Call) -> Reply:
    """Delete, change, replace and create records, in this order, all or nothing"""
    body = call.json()
    parts = {name: _items(body, name) for name in ("deletes", "patches", "puts", "posts")}
    if not any(parts.values()):
        raise refused(Reason.INVALID, "nothing to do: give deletes, patches, puts or posts")
    before = find_zone(call.dataset, call.path["zone_id"])
    gone = [
        _shape(call.service.loaded, before, record_ids(before), index)
        for one in parts["deletes"]
        if (index := record_ids(before).by_id.get(_id_of(one))) is not None
    ]
    result, loaded, zone = await _change(call, "record.batch", partial(_batch, parts))
    ids = record_ids(zone)
    shapes = {
        name: [_shape(loaded, zone, ids, ids.by_id[one]) for one in getattr(result, name)]
        for name in ("patches", "puts", "posts")
    }
    return Reply({"deletes": gone, **shapes})


async def import_zone(call: Call) -> Reply:
    """Create the records of a master file; its SOA and apex NS records are skipped"""
    parts = await _parts(call)
    if not parts.get("file", b"").strip():
        raise refused(Reason.INVALID, "the part `file` is missing or empty; it is a master file", "file")
    proxied = _proxied(parts)
    zone_id = call.path["zone_id"]
    before = _warnings(call.service.loaded, zone_id)
    counts, loaded = await call.service.change(
        call.actor,
        "record.import",
        lambda draft: import_records(draft, zone_id, parts["file"], proxies=proxied),
    )
    new = _warnings(loaded, zone_id).difference(before)
    return Reply(
        {"recs_added": counts.added, "total_records_parsed": counts.parsed}, messages=[*counts.warnings, *sorted(new)]
    )


def _warnings(loaded: Loaded, zone_id: str) -> set[str]:
    """The warnings about a zone."""
    zone = loaded.dataset.zones.get(zone_id)
    return {one.message for one in loaded.warnings if zone and one.source == zone.key}


def _listed(call: Call) -> Listed:
    """The records that a query asks for; only records that are examined or shown become JSON."""
    loaded, zone = call.service.loaded, find_zone(call.dataset, call.path["zone_id"])
    ids = record_ids(zone)
    is_wanted, key = record_filter(call.query), sort_key(call.query.get("order", ""))
    page, is_reversed = call.page(default=100, largest=MAX_RECORDS), is_descending(call.query.get("direction", ""))
    shape = partial(_shape, loaded, zone, ids)
    indexes = [index for index in is_wanted.candidates(zone.records) if index in ids.by_index]
    if not is_wanted.needs_json and key is None:  # build JSON for this page only
        return page.of_list(indexes[::-1] if is_reversed else indexes, shape)
    found = list(filter(is_wanted, map(shape, indexes)))
    if key:
        found.sort(key=key)
    return page.of_list(found[::-1] if is_reversed else found, dict)


async def _edit(call: Call, action: str, *, is_whole: bool) -> Reply:
    record_id, body = call.path["record_id"], call.json()

    def batch(zone: Zone) -> Batch:
        change = (record_id, _builder(zone, body, is_whole=is_whole))
        return Batch(puts=[change]) if is_whole else Batch(patches=[change])

    _, loaded, zone = await _change(call, action, batch)
    return _reply(loaded, zone, record_id)


async def _change(call: Call, action: str, batch: Callable[[Zone], Batch]) -> tuple[BatchResult, Loaded, Zone]:
    """Change the records of a zone; a single record only if it has not changed since the client read it."""
    zone_id, record_id = call.path["zone_id"], call.path.get("record_id")

    def verb(draft: Draft) -> BatchResult:
        zone = find_zone(draft.dataset, zone_id)
        if record_id and (index := record_ids(zone).by_id.get(record_id)) is not None:
            call.expect(etag_of(_shape(draft.loaded, zone, record_ids(zone), index)))
        return change_records(draft, zone_id, batch(zone))

    result, loaded = await call.service.change(call.actor, action, verb)
    zone = find_zone(loaded.dataset, zone_id)
    await in_thread(len(zone.records), record_ids, zone)
    return result, loaded, zone


def _batch(parts: Mapping[str, list[JsonObject]], zone: Zone) -> Batch:
    return Batch(
        deletes=[_id_of(one) for one in parts["deletes"]],
        patches=[
            (_id_of(one), _builder(zone, one, "patches", index, is_whole=False))
            for index, one in enumerate(parts["patches"])
        ],
        puts=[(_id_of(one), _builder(zone, one, "puts", index)) for index, one in enumerate(parts["puts"])],
        posts=[_builder(zone, one, "posts", index) for index, one in enumerate(parts["posts"])],
        is_list=True,
    )


def _builder(zone: Zone, body: JsonObject, *path: str | int, is_whole: bool = True) -> Build:
    """A function that builds a record from a body, completed from the record it changes unless `is_whole`."""

    def build(before: Record | None) -> Record:
        try:
            return built_record(body, zone.name, None if is_whole else before)
        except RecordBodyError as error:
            raise RefusedError(*(Fault(one.reason, one.message, (*path, *one.path)) for one in error.faults)) from None

    return build


def _reply(loaded: Loaded, zone: Zone, record_id: str) -> Reply:
    ids = record_ids(zone)
    if record_id not in ids.by_id:
        raise refused(Reason.NO_RECORD, "Record does not exist.")
    shape = _shape(loaded, zone, ids, ids.by_id[record_id])
    return Reply(shape, etag=etag_of(shape))


def _shape(loaded: Loaded, zone: Zone, ids: RecordIds, index: int) -> JsonObject:
    shape = record_json(
        zone.records[index],
        ids.by_index[index],
        zone_id=zone.id,
        zone_name=zone.name_text,
        times=loaded.times.of_record(zone, zone.records[index]),
    )
    return {**shape, "meta": held_meta(loaded, zone.key)}


def _items(body: JsonObject, name: str) -> list[JsonObject]:
    items = body.get(name)
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise refused(Reason.INVALID, "expected a list of objects", name)
    if len(items) > MAX_BATCH:
        raise refused(Reason.INVALID, f"{len(items):,} records; the limit is {MAX_BATCH:,}", name)
    return items


def _id_of(item: JsonObject) -> str:
    record_id = item.get("id")
    return record_id.lower() if isinstance(record_id, str) else ""


def _proxied(parts: Mapping[str, bytes]) -> bool:
    """Whether to proxy imported records; forms send text, `true` or `false`. Raises RefusedError."""
    sent = parts.get("proxied", b"").strip().lower() or b"false"
    if sent not in (b"true", b"false"):
        shown = sent[:MAX_SHOWN].decode(errors="replace")
        raise refused(Reason.INVALID, f"expected true or false, found {shown!r}", "proxied")
    return sent == b"true"


async def _parts(call: Call) -> dict[str, bytes]:
    """The parts of a multipart body, with a file name or without. Raises RefusedError."""
    try:
        return {part.name: part.octets for part in await read_parts(call.headers.get("content-type", ""), call.body)}
    except MultipartError as error:
        raise refused(Reason.INVALID, f"{error} with the parts file and proxied") from None
