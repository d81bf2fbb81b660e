"""The routes of a zone's records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from dnsd.api.bodies import BatchBody, RecordBody, RecordEditBody
from dnsd.api.envelope import Reply
from dnsd.api.multipart import MultipartError, read_parts
from dnsd.api.records.change import change_zone
from dnsd.api.records.read import record_builder
from dnsd.api.records.show import find_all_shown, find_shown, listed_records
from dnsd.api.request import Call, etag_of
from dnsd.api.shapes import JsonObject
from dnsd.app import Loaded
from dnsd.manage.find import find_zone
from dnsd.manage.records import Batch, BatchResult, import_records
from dnsd.manage.refusal import Reason, refused
from dnsd.model.zones import Zone

MAX_RECORDS = 5_000_000  # on one page
MAX_BATCH = 10_000  # records of each part
MAX_SHOWN = 40  # octets of a part quoted in a message


async def list_records(call: Call) -> Reply:
    """List the records of a zone, without its SOA and apex NS records"""
    loaded, zone = call.service.loaded, find_zone(call.dataset, call.path["zone_id"])
    page = call.page(default=100, largest=MAX_RECORDS)
    return Reply(await call.in_turns(listed_records(loaded, zone, call.query, page)))


async def create_record(call: Call) -> Reply:
    """Create a record"""
    call.check_others(RecordBody, None)
    body = call.json
    result, loaded, zone = await _change(call, "record.create", lambda zone: Batch(posts=[record_builder(zone, body)]))
    return await _reply(call, loaded, zone, result.posts[0])


async def get_record(call: Call) -> Reply:
    """Get a record"""
    zone = find_zone(call.dataset, call.path["zone_id"])
    return await _reply(call, call.service.loaded, zone, call.path["record_id"])


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
    parts = await call.read(partial(_batch_parts, call))
    before = find_zone(call.dataset, call.path["zone_id"])
    ids = [_id_of(one) for one in parts["deletes"]]
    deleted = await call.in_turns(find_all_shown(call.service.loaded, before, ids))
    result, loaded, zone = await _change(call, "record.batch", partial(_batch, parts))
    shapes = {
        name: await call.in_turns(find_all_shown(loaded, zone, getattr(result, name)))
        for name in ("patches", "puts", "posts")
    }
    return Reply({"deletes": deleted, **shapes})


async def import_zone(call: Call) -> Reply:
    """Create the records of a master file; its SOA and apex NS records are skipped"""
    parts = await _parts(call)
    if not parts.get("file", b"").strip():
        raise refused(Reason.INVALID, "the part `file` is missing or empty: send a master file", "file")
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


async def _edit(call: Call, action: str, *, is_whole: bool) -> Reply:
    record_id, body = call.path["record_id"], call.json
    before = find_zone(call.dataset, call.path["zone_id"])
    shown = await call.in_turns(find_all_shown(call.service.loaded, before, [record_id]))
    call.check_others(RecordBody if is_whole else RecordEditBody, shown[0] if shown else None)

    def batch(zone: Zone) -> Batch:
        change = (record_id, record_builder(zone, body, is_whole=is_whole))
        return Batch(puts=[change]) if is_whole else Batch(patches=[change])

    _, loaded, zone = await _change(call, action, batch)
    return await _reply(call, loaded, zone, record_id)


async def _change(call: Call, action: str, batch: Callable[[Zone], Batch]) -> tuple[BatchResult, Loaded, Zone]:
    return await change_zone(
        call.service,
        call.actor,
        action,
        call.path["zone_id"],
        batch,
        record_id=call.path.get("record_id", ""),
        if_match=call.headers.get("if-match", "*"),
    )


def _batch_parts(call: Call) -> dict[str, list[JsonObject]]:
    call.check_others(BatchBody, None)
    body = call.json
    parts = {name: _items(body, name) for name in ("deletes", "patches", "puts", "posts")}
    if not any(parts.values()):
        raise refused(Reason.INVALID, "nothing to do: send deletes, patches, puts or posts")
    return parts


def _batch(parts: Mapping[str, list[JsonObject]], zone: Zone) -> Batch:
    return Batch(
        deletes=[_id_of(one) for one in parts["deletes"]],
        patches=[
            (_id_of(one), record_builder(zone, one, "patches", index, is_whole=False))
            for index, one in enumerate(parts["patches"])
        ],
        puts=[(_id_of(one), record_builder(zone, one, "puts", index)) for index, one in enumerate(parts["puts"])],
        posts=[record_builder(zone, one, "posts", index) for index, one in enumerate(parts["posts"])],
        is_list=True,
    )


async def _reply(call: Call, loaded: Loaded, zone: Zone, record_id: str) -> Reply:
    shape = await call.in_turns(find_shown(loaded, zone, record_id))
    return Reply(shape, etag=etag_of(shape))


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
    """The parts of a multipart body by name, with or without a file name. Raises RefusedError."""
    try:
        return {part.name: part.octets for part in await read_parts(call.headers.get("content-type", ""), call.body)}
    except MultipartError as error:
        raise refused(Reason.INVALID, f"{error} with the parts file and proxied") from None
