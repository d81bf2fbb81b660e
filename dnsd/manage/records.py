"""The verbs on the records of a zone, as edits of its file."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dnsd.errors import Path
from dnsd.formats.yaml_edit import written_yaml
from dnsd.formats.yaml_item_edit import ItemEdit
from dnsd.formats.zone_edit import UnwritableError, comment_lines
from dnsd.formats.zone_text import parse_zone_text
from dnsd.manage.draft import Document, Draft
from dnsd.manage.find import find_zone
from dnsd.manage.record_ids import find_records, is_shown
from dnsd.manage.refusal import Fault, Reason, RefusedError, refused, refused_for
from dnsd.manage.zone_times import shown_times, times_document
from dnsd.model.edits import RecordEdit
from dnsd.model.record_parts import finished
from dnsd.model.records import AUTOMATIC_TTL, Record, parse_owner
from dnsd.model.requests import nearest_ttl, unreachable_message, unreachable_target
from dnsd.model.times import time_text
from dnsd.model.zones import SOA_TTL_S, Zone
from dnsd.store.directory import FileKind
from dnsd.store.text_file import NotTextError, decoded
from dnsd.wire.names import name_text
from dnsd.wire.rdata import SOA, type_text

SOA_FIELDS = ("mname", "rname", "serial", "refresh", "retry", "expire", "minimum")  # RFC 1035 §3.3.13

Build = Callable[[Record | None], Record]  # builds a record; the argument is the record to replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Several changes of one zone's records, made in this order."""

    deletes: Sequence[str] = ()  # ids
    patches: Sequence[tuple[str, Build]] = ()
    puts: Sequence[tuple[str, Build]] = ()
    posts: Sequence[Build] = ()
    is_list: bool = False  # whether the request lists changes, so that an error names the change by its index


@dataclass(slots=True)
class BatchResult:
    """The ids of the records in each part of a batch."""

    deletes: list[str] = field(default_factory=list)
    patches: list[str] = field(default_factory=list)
    puts: list[str] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)


def change_records(draft: Draft, zone_id: str, batch: Batch) -> BatchResult:
    """Delete, change, replace and add records of a zone: all changes or none. Raises RefusedError."""
    zone = find_zone(draft.dataset, zone_id)
    wanted = (*batch.deletes, *(one for one, _ in (*batch.patches, *batch.puts)))
    ids = finished(find_records(zone, wanted))
    result = BatchResult()
    records: dict[int, Record | None] = {}  # index -> the new record; None: deleted
    for record_id in batch.deletes:
        records[_index(ids, records, record_id)] = None
        result.deletes.append(record_id)
    places: dict[int, Path] = {}  # index -> place in the request
    for part, changes, done in (("patches", batch.patches, result.patches), ("puts", batch.puts, result.puts)):
        for number, (record_id, build) in enumerate(changes):
            index = _index(ids, records, record_id)
            records[index] = _replacement(draft, zone, records.get(index) or zone.records[index], record_id, build)
            places[index] = (part, number)
            done.append(record_id)
    added = []
    for build in batch.posts:
        record_id = secrets.token_hex(16)
        result.posts.append(record_id)
        added.append(_with_identity(build(None), draft, record_id))
    if not all(is_shown(zone, record) for record in (*added, *filter(None, records.values()))):
        message = "the SOA record and the NS records at the zone's apex cannot be changed"
        raise refused(Reason.BAD_CONTENT, message, "type")
    edit = RecordEdit(
        removed=frozenset(index for index, record in records.items() if record is None),
        replaced={index: record for index, record in records.items() if record not in (None, zone.records[index])},
        added=tuple(added),
    )
    if edit.removed or edit.replaced or edit.added:
        write_records(draft, zone, edit)
        if batch.is_list:
            left = [index for index in range(len(zone.records)) if index not in edit.removed]
            written = len(draft.loaded.stored.objects.zones[zone.key].rows)
            first_added = sum(index < written for index in left)
            draft.places[zone.key] = {
                **{row: places[index] for row, index in enumerate(left) if index in places},
                **{first_added + number: ("posts", number) for number in range(len(added))},
            }
    return result


def write_records(draft: Draft, zone: Zone, edit: RecordEdit) -> None:
    """Write an edit of records to the zone's file. Raises RefusedError."""
    draft.removes_records |= bool(edit.removed)
    draft.record_edits[zone.id] = edit
    file, rows = draft.file(zone.key), draft.loaded.stored.objects.zones[zone.key].rows
    replaced = {index: record_document(record, zone.name) for index, record in edit.replaced.items()}
    added = [record_document(record, zone.name) for record in edit.added]
    if file.kind is not FileKind.ZONE_MASTER:
        by_row = {rows[index]: document for index, document in replaced.items()}
        draft.write_zone(zone.key, ItemEdit({rows[index] for index in edit.removed}, by_row, added))
    else:
        draft.check_room(file.content.size)
        try:
            draft.edit_master(zone, edit)
        except UnwritableError as error:
            raise refused_for(error.problems) from None
    before = [record_document(zone.records[index], zone.name) for index in (*edit.removed, *edit.replaced)]
    draft.note(zone.key, {"records": before}, {"records": [*replaced.values(), *added]})


def write_as_yaml(draft: Draft, zone: Zone, added: Mapping[str, Any]) -> None:
    """Replace a zone's master file with a YAML file with additional keys, such as settings of the zone."""
    text = text_as_yaml(
        draft.text(draft.file(zone.key)), zone, draft.written_records(zone), shown_times(draft, zone) | dict(added)
    )
    draft.remove(zone.key)
    draft.write_text(zone.key, FileKind.ZONE_YAML, text)


def text_as_yaml(master: str, zone: Zone, records: Iterable[Record], added: Mapping[str, Any]) -> str:
    """The text of a YAML file to replace a `master` file: comments, SOA, times, records and the `added` keys."""
    document: Document = {
        "name": zone.name_text,
        "soa": {name: value for name, value in soa_document(zone).items() if (name, value) != ("ttl", SOA_TTL_S)},
        **times_document(zone.written_times),
        "records": [record_document(record, zone.name) for record in records if record.rtype != SOA],
    }
    return "".join(f"# {line}\n" for line in comment_lines(master)) + written_yaml(document | dict(added))


def soa_document(zone: Zone) -> Document:
    """The SOA in the form of a YAML file: all fields but the serial."""
    soa = next(record for record in zone.records.at(zone.name) if record.rtype == SOA)
    fields = dict(zip(SOA_FIELDS, soa.content.split(), strict=True))
    numbers = {name: int(fields[name]) for name in SOA_FIELDS[3:]}
    return {"mname": fields["mname"], "rname": fields["rname"], **numbers, "ttl": soa.ttl_s}


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import: the records in the master file, the records added, and warnings."""

    parsed: int
    added: int
    warnings: Sequence[str]


def import_records(draft: Draft, zone_id: str, octets: bytes, *, proxies: bool) -> Imported:
    """Add the records of a master file that the zone lacks, except for the file's SOA and apex NS records.

    With `proxies`, records are proxied if their type allows it, unless their tags say otherwise. Raises RefusedError
    with every error and its line.
    """
    zone = find_zone(draft.dataset, zone_id)
    draft.check_length(len(octets))
    try:
        parsed = parse_zone_text(decoded(octets, any_octets=True), zone.name, proxies=proxies)
    except NotTextError as error:
        raise refused(Reason.BAD_CONTENT, f"line {error.line}, column {error.column}: {error}", "file") from None
    if parsed.problems:
        raise RefusedError(
            *(
                Fault(Reason.BAD_CONTENT, f"line {one.line}, column {one.column}: {one.message}", ("file",))
                for one in parsed.problems
            )
        )
    if parsed.name != zone.name:
        message = f"the file holds the zone {name_text(parsed.name)}, not {zone.name_text}"
        raise refused(Reason.BAD_CONTENT, message, "file")
    existing = {record.duplicate_key for record in zone.records}
    added = []
    for record in parsed.records:
        if is_shown(zone, record) and record.duplicate_key not in existing:
            if record.proxied and (target := unreachable_target(record)):
                where = f"{name_text(record.owner)} {type_text(record.rtype)}"
                raise refused(Reason.TARGET_NOT_ALLOWED, f"{where}: {unreachable_message(target)}", "file")
            added.append(_with_identity(replace(record, ttl=nearest_ttl(record.ttl)), draft, secrets.token_hex(16)))
    if added:
        write_records(draft, zone, RecordEdit(frozenset(), {}, tuple(added)))
    warnings = [f"line {one.line}: {one.message}" for one in parsed.warnings]
    return Imported(sum(is_shown(zone, record) for record in parsed.records), len(added), warnings)


def record_document(record: Record, zone_name: bytes) -> Document:
    """A record in the form of its zone's YAML file."""
    settings = record.settings.model_dump(exclude_none=True)
    created, modified = record.identity.created_on, record.identity.modified_on
    document: dict[str, Any] = {
        "name": relative_name(record.owner, zone_name),
        "type": type_text(record.rtype),
        "content": record.written_content,
        "ttl": record.ttl if record.ttl != AUTOMATIC_TTL else None,
        "proxied": record.proxied or None,
        "settings": settings or None,
        "comment": record.comment or None,
        "tags": list(record.tags) or None,
        "id": record.identity.id,
        "created_on": time_text(created) if created else None,
        "modified_on": time_text(modified) if modified else None,
    }
    return {name: value for name, value in document.items() if value is not None}


def _replacement(draft: Draft, zone: Zone, before: Record, record_id: str, build: Build) -> Record:
    """The replacement of a record, with its id and the time of the change; the record itself if nothing changes."""
    built = build(before)
    if built.duplicate_key == before.duplicate_key:  # a difference in the case of names alone is no change
        built = replace(built, rdata=before.rdata)
    after = replace(built, identity=before.identity._replace(written=built.identity.written))
    if after == before:
        return before
    created = draft.loaded.times.of_record(zone, before).created
    identity = after.identity._replace(id=record_id, created_on=created, modified_on=draft.now)
    return replace(after, identity=identity)


def _with_identity(record: Record, draft: Draft, record_id: str) -> Record:
    """A new record, with its id and its times."""
    identity = record.identity._replace(id=record_id, created_on=draft.now, modified_on=draft.now)
    return replace(record, identity=identity)


def _index(ids: Mapping[str, int], records: Mapping[int, Record | None], record_id: str) -> int:
    index = ids.get(record_id)
    if index is None or records.get(index, True) is None:
        raise refused(Reason.NO_RECORD, "Record does not exist.")
    return index


def relative_name(owner: bytes, zone_name: bytes) -> str:
    """The owner name as in a file: relative to the zone if that is unambiguous, else with a final dot."""
    if owner == zone_name:
        return "@"
    text = name_text(owner)
    relative = text.removesuffix(f".{name_text(zone_name)}")
    return relative if parse_owner(relative, zone_name) == owner else f"{text}."
