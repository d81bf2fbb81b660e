"""A record from a request: reads a body as tolerantly as clients need, and collects every fault.

The model decides which values are valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dnsd.api.records.data import DataError, ShownData, data_text, has_priority, kept_data
from dnsd.api.records.parts import MAX_U16, PARTS, DataPart, whole_number
from dnsd.errors import Path
from dnsd.manage.records import Build
from dnsd.manage.refusal import REASON_OF_RULE, Fault, Reason, RefusedError
from dnsd.model.contents import AS_WRITTEN, GENERIC, WITH_PRIORITY
from dnsd.model.fields import parse_ip, validate
from dnsd.model.records import (
    AUTOMATIC_TTL,
    PROXIABLE,
    UNWRITTEN,
    Record,
    RecordError,
    RecordFields,
    build_record,
    parse_data_type,
    parse_owner,
)
from dnsd.model.requests import TTL_S, is_reachable, is_ttl, unreachable_message, unreachable_target
from dnsd.model.zones import Zone
from dnsd.wire.names import has_blanks, name_text
from dnsd.wire.rdata import AAAA, A, type_text

MAX_MESSAGE = 400  # characters; messages quote input, which may be long
SETTINGS = ("ipv4_only", "ipv6_only", "flatten_cname")
ADDRESS_REASONS = {A: Reason.BAD_IPV4, AAAA: Reason.BAD_IPV6}
ADDRESS_VERSIONS = {A: 4, AAAA: 6}


def content_reason(rtype: int) -> Reason:
    """The reason for invalid content, by record type."""
    return ADDRESS_REASONS.get(rtype, Reason.BAD_CONTENT)


def record_fault(reason: Reason, message: str, path: Path) -> Fault:
    """A fault, with its message cut to a readable length."""
    return Fault(reason, message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}…", path)


class RecordBodyError(RefusedError):
    """All faults of a record in a request, each with its reason, message and path."""


def record_builder(zone: Zone, body: Mapping[str, Any], *path: str | int, is_whole: bool = True) -> Build:
    """A function that builds a record from a body. Unless `is_whole`, absent fields stay as in the record to change.

    `path` is the body's place in the request.
    """

    def build(before: Record | None) -> Record:
        try:
            return built_record(body, zone.name, None if is_whole else before)
        except RecordBodyError as error:
            raise RefusedError(*(Fault(one.reason, one.message, (*path, *one.path)) for one in error.faults)) from None

    return build


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
        raise RecordBodyError(record_fault(Reason.TARGET_NOT_ALLOWED, unreachable_message(target), ("content",)))
    return replace(record, identity=(base.identity if base else UNWRITTEN)._replace(written=record.identity.written))


def _reason(error: RecordError, rtype_text: str) -> Reason:
    if error.rule:
        return REASON_OF_RULE[error.rule]
    return content_reason(parse_data_type(rtype_text)) if error.path == ("content",) else Reason.INVALID


def record_fields(body: Mapping[str, Any], zone_name: bytes, *, base: Record | None = None) -> RecordFields:
    """The fields for `build_record` from a request; without `base`, it must have a name, a type and data.

    Unknown keys are ignored. Raises RecordBodyError.
    """
    if not isinstance(body, Mapping):
        raise RecordBodyError(record_fault(Reason.INVALID, "a record must be a JSON object", ()))
    reader = RecordReader(body, base)
    rtype = reader.rtype()
    content, priority = ("", None) if rtype is None else reader.data(rtype)
    ttl, proxied = reader.ttl(), reader.proxied(rtype, content)
    values = {
        "name": reader.name(zone_name),
        "type": "" if rtype is None else type_text(rtype),
        "content": content,
        "priority": priority,
        "ttl": AUTOMATIC_TTL if proxied else ttl,
        "proxied": proxied,
        "settings": reader.settings(),
        "comment": reader.comment(),
        "tags": reader.tags(),
    }
    fields, problems = validate(RecordFields, values, "")
    faults = reader.faults or [record_fault(Reason.INVALID, one.message, one.path) for one in problems]
    if fields is None or faults:
        raise RecordBodyError(*faults)
    return fields


class RecordReader:
    """Reads a body value by value. Null counts as absent; absent values come from the stored record, `base`.

    Every reader returns a usable value, even for wrong input; `faults` collects the errors.
    """

    def __init__(self, given: Mapping[str, Any], base: Record | None) -> None:
        self.faults: list[Fault] = []
        self._base = base
        self._given = _without_nulls(given)

    def blame(self, reason: Reason, message: str, *path: str | int) -> None:
        """Note a fault."""
        self.faults.append(record_fault(reason, message, path))

    def rtype(self) -> int | None:
        """The record type; None if it is missing or unknown."""
        text = self._text("type", type_text(self._base.rtype) if self._base else None)
        try:
            return None if text is None else parse_data_type(text)
        except ValueError as error:
            self.blame(Reason.INVALID, str(error), "type")
            return None

    def name(self, zone_name: bytes) -> str:
        """The owner name as it was sent."""
        text = self._text("name", f"{name_text(self._base.owner).removesuffix('.')}." if self._base else None)
        if text is not None and has_blanks(text) and not self._is_kept(text, zone_name):
            self.blame(Reason.BAD_NAME, "DNS name is invalid: it has blanks or control characters.", "name")
            return text
        try:
            if text is not None:
                parse_owner(text, zone_name)
        except ValueError as error:
            self.blame(Reason.INVALID, str(error), "name")
        return text or ""

    def _is_kept(self, name: str, zone_name: bytes) -> bool:
        """Whether the name is the stored one: files may contain names that requests may not."""
        try:
            return self._base is not None and parse_owner(name, zone_name) == self._base.owner
        except ValueError:
            return False

    def comment(self) -> str:
        """The comment; an empty one clears it."""
        return self._text("comment", self._base.comment if self._base else "") or ""

    def ttl(self) -> int:
        """The TTL. The stored TTL is accepted even out of range, as the operator's files may contain any."""
        stored = self._base.ttl if self._base else AUTOMATIC_TTL
        try:
            ttl = whole_number(self._given.get("ttl", stored), max(TTL_S.stop, stored))
        except ValueError:
            ttl = -1
        if not is_ttl(ttl) and ttl != stored:
            self.blame(Reason.BAD_TTL, "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for automatic.", "ttl")
        return ttl

    def proxied(self, rtype: int | None, content: str) -> bool:
        """Whether the record is proxied; its type and target must allow it."""
        proxied = self._flag(self._given.get("proxied"), "proxied")
        if proxied is None:
            proxied = self._base is not None and self._base.proxied
        if proxied and rtype is not None and rtype not in PROXIABLE:
            self.blame(Reason.NOT_PROXIABLE, f"{type_text(rtype)} records cannot be proxied.", "proxied")
        if (
            proxied
            and rtype in ADDRESS_VERSIONS
            and _is_address(rtype, content)
            and not is_reachable(parse_ip(content))
        ):
            self.blame(Reason.TARGET_NOT_ALLOWED, unreachable_message(content), "content")
        return proxied

    def settings(self) -> dict[str, bool]:
        """The record's settings."""
        settings = self._base.settings.model_dump(exclude_none=True) if self._base else {}
        given = self._given.get("settings", {})
        if not isinstance(given, Mapping):
            self.blame(Reason.INVALID, "settings must be an object", "settings")
            return settings
        for name in SETTINGS:
            flag = self._flag(given.get(name), "settings", name)
            if flag is not None:
                settings[name] = flag
        return settings

    def tags(self) -> list[str]:
        """The tags."""
        tags = self._given.get("tags", self._base.tags if self._base else ())
        if not isinstance(tags, list | tuple) or not all(_is_text(tag) for tag in tags):
            self.blame(Reason.INVALID, "tags must be a list of texts", "tags")
            return []
        return [*tags]

    def data(self, rtype: int) -> tuple[str, int | None]:
        """The content in the model's form, and the priority if the content does not include it.

        `data` takes precedence over `content`. Either one replaces the stored data; absent parts of `data` are kept.
        """
        base = self._base if self._base and self._base.rtype == rtype else None
        shown = kept_data(base) if base else None
        data = self._data(rtype)
        if data:
            content = self._content_of_data(rtype, {**(shown.data or {} if shown else {}), **data})
        elif base and shown and "content" not in self._given:
            content = base.written_content if rtype in AS_WRITTEN else shown.content
        else:
            content = self._content(rtype)
        priority = self._priority(rtype, content, data, shown) if content and rtype in WITH_PRIORITY else None
        return content, priority

    def _data(self, rtype: int) -> dict[str, Any]:
        """The type's parts in `data`; empty if no part carries a value: some clients send `data` with every type."""
        data = self._given.get("data", {}) if rtype in PARTS else {}
        if not isinstance(data, Mapping):
            self.blame(Reason.INVALID, "data must be an object", "data")
            return {}
        parts = {part.name: part for part in PARTS.get(rtype, ())}
        names = {*parts, "priority"} if rtype in WITH_PRIORITY else {*parts}
        given = {name: value for name, value in _without_nulls(data).items() if name in names}
        return given if any(self._has_value(parts.get(name), value) for name, value in given.items()) else {}

    def _has_value(self, part: DataPart | None, value: Any) -> bool:
        """Whether a part carries a value: an empty text counts only without `content`, and if the part may be empty."""
        return value != "" or ("content" not in self._given and part is not None and part.may_be_empty)

    def _content_of_data(self, rtype: int, data: Mapping[str, Any]) -> str:
        try:
            return data_text(rtype, data)
        except DataError as error:
            for name, message in error.wrong:
                self.blame(Reason.BAD_CONTENT, f"{name} {message}", "data", name)
            return ""

    def _content(self, rtype: int) -> str:
        reason = content_reason(rtype)
        content = self._text("content", None, reason)
        if content is None:
            return ""
        if rtype in ADDRESS_VERSIONS and not content.startswith(GENERIC) and not _is_address(rtype, content):
            message = f"Content for {type_text(rtype)} record must be a valid IPv{ADDRESS_VERSIONS[rtype]} address."
            self.blame(reason, message, "content")
        return content

    def _priority(self, rtype: int, content: str, data: Mapping[str, Any], shown: ShownData | None) -> int | None:
        """The priority, unless the content includes it."""
        stored = shown.priority if shown else None
        if "priority" in data:
            return self._number(data["priority"], "data", "priority")
        if "priority" in self._given:
            return self._number(self._given["priority"], "priority")
        if not data and has_priority(rtype, content):
            return None
        if stored is None:
            self.blame(Reason.INVALID, "priority is a required field.", "priority")
        return stored

    def _number(self, value: Any, *path: str) -> int:
        try:
            return whole_number(value, MAX_U16)
        except ValueError as error:
            self.blame(Reason.INVALID, f"{path[-1]} {error}", *path)
            return 0

    def _text(self, key: str, otherwise: str | None, reason: Reason = Reason.INVALID) -> str | None:
        """A text, or `otherwise` if it is absent; None, with a fault, if both are missing or it is not text."""
        value = self._given.get(key, otherwise)
        if value is None:
            self.blame(reason, f"{key} is missing", key)
        elif not _is_text(value):
            self.blame(reason, f"{key} must be text", key)
        else:
            return str(value)
        return None

    def _flag(self, value: Any, *path: str) -> bool | None:
        if value is not None and not isinstance(value, bool):
            self.blame(Reason.INVALID, f"{path[-1]} must be true or false", *path)
            return None
        return value


def _without_nulls(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def _is_text(value: Any) -> bool:
    """Whether a JSON value is text without lone surrogates, which cannot be encoded."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_address(rtype: int, content: str) -> bool:
    try:
        return parse_ip(content).version == ADDRESS_VERSIONS[rtype]
    except ValueError:
        return False
