"""DNS records to and from the JSON of Cloudflare's API. The model decides which values are valid; this module adds the
error codes of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dnsd.api.record_body import Body, content_reason, record_fault
from dnsd.api.record_data import shown_record
from dnsd.manage.refusal import OF_RULES, Reason, RefusedError
from dnsd.model.fields import validate
from dnsd.model.records import (
    AUTOMATIC_TTL,
    PROXIABLE,
    UNWRITTEN,
    Record,
    RecordError,
    RecordFields,
    build_record,
    parse_data_type,
)
from dnsd.model.requests import not_reachable, unreachable_target
from dnsd.model.times import Times, time_text
from dnsd.wire.names import name_text
from dnsd.wire.rdata import type_text

JsonRecord = dict[str, Any]


class RecordBodyError(RefusedError):
    """All faults of a record in a request, each with its reason, message and path."""


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
    }


def built_record(body: Mapping[str, Any], zone_name: bytes, base: Record | None = None) -> Record:
    """The record that a request describes. `base` is the stored record to change; its identity is kept.

    Raises RecordBodyError.
    """
    fields = record_fields(body, zone_name, base=base)
    try:
        record = build_record(fields, zone_name)
    except RecordError as error:
        raise RecordBodyError(record_fault(_reason(error, fields.type), str(error), error.path)) from None
    if record.proxied and (target := unreachable_target(record)):  # the content may be octets (RFC 3597)
        raise RecordBodyError(record_fault(Reason.TARGET_NOT_ALLOWED, not_reachable(target), ("content",)))
    return replace(record, identity=(base.identity if base else UNWRITTEN)._replace(written=record.identity.written))


def _reason(error: RecordError, rtype_text: str) -> Reason:
    if error.rule:
        return OF_RULES[error.rule]
    return content_reason(parse_data_type(rtype_text)) if error.path == ("content",) else Reason.INVALID


def record_fields(body: Mapping[str, Any], zone_name: bytes, *, base: Record | None = None) -> RecordFields:
    """The fields for `build_record` from a request; without `base`, it must have a name, a type and data.

    Unknown keys are ignored. Raises RecordBodyError.
    """
    if not isinstance(body, Mapping):
        raise RecordBodyError(record_fault(Reason.INVALID, "a record must be a JSON object", ()))
    reading = Body(body, base)
    rtype = reading.rtype()
    content, priority = ("", None) if rtype is None else reading.data(rtype)
    ttl, proxied = reading.ttl(), reading.proxied(rtype, content)
    said = {
        "name": reading.name(zone_name),
        "type": "" if rtype is None else type_text(rtype),
        "content": content,
        "priority": priority,
        "ttl": AUTOMATIC_TTL if proxied else ttl,
        "proxied": proxied,
        "settings": reading.settings(),
        "comment": reading.comment(),
        "tags": reading.tags(),
    }
    fields, problems = validate(RecordFields, said, "")
    faults = reading.faults or [record_fault(Reason.INVALID, one.message, one.path) for one in problems]
    if fields is None or faults:
        raise RecordBodyError(*faults)
    return fields
