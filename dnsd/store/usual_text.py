"""Small zones often differ in nothing but their items: the meaning of all else is remembered by its text.

A text of which nothing but plain items follows such fields is read at once, with the same result as item by item.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import NamedTuple

from dnsd.errors import Problem
from dnsd.formats.plain_items import PlainItems
from dnsd.formats.yaml_items import (
    ALIKE,
    MAX_ALIKE,
    MAX_COLUMN,
    STAND_IN,
    ItemLines,
    find_items,
    has_odd_breaks,
    parsed_again,
    parsed_rest,
)
from dnsd.formats.yaml_text import Data
from dnsd.model.columns import Columns
from dnsd.model.fields import validate
from dnsd.model.zones import ZoneFields
from dnsd.store.control_characters import ESCAPE
from dnsd.store.yaml_records import RECORDS, interpreted

KEY_LINE = f"{RECORDS}:\n"
LATER_KEY_LINE = f"\n{KEY_LINE}"
MAX_USUAL = 16_384  # characters of a text that is read at once


class UsualText(NamedTuple):
    """The text of a small zone: the fields, which stand before the items, and the items up to the end of the text."""

    fields: ZoneFields
    items: ItemLines


def usual_text(text: str) -> UsualText | None:
    """What a text is if only plain items follow the fields, which `read_usual` finds out; None if it is another one."""
    at = 0 if text.startswith(KEY_LINE) else text.find(LATER_KEY_LINE, 0, MAX_ALIKE) + 1
    start = at + len(KEY_LINE)
    if not (at or text.startswith(KEY_LINE)) or "\r" in text or len(text) > MAX_USUAL or has_odd_breaks(text):
        return None
    column = text.find("-", start, start + MAX_COLUMN + 1) - start
    fields = _fields_before(text[:start], column) if column >= 0 else None
    return UsualText(fields, ItemLines(RECORDS, start, len(text), column, len(text))) if fields else None


def read_usual(key: str, zone_name: bytes, text: str, items: ItemLines) -> Columns | None:
    """The records of the zone with this key, if all items are plain, and nothing follows them."""
    columns = Columns()
    plain = PlainItems(zone_name, columns, partial(interpreted, key=key, zone_name=zone_name, items=items))
    start = items.start
    while start < items.end:
        if (after := plain.read(text, start, items.end, items.column)) == start:
            return None
        start = after
    return columns


@lru_cache(maxsize=ALIKE)
def _fields_before(head: str, column: int) -> ZoneFields | None:
    """The fields in a text up to its items in this column, if they are valid, and all without escapes."""
    text = f"{head}{' ' * column}{STAND_IN}"
    items = find_items(text, RECORDS)
    if ESCAPE in head or items is None or items[1:4] != (len(head), len(text), column):
        return None
    return _usual_fields(text) if parsed_rest(text, items) else None


def valid_fields(key: str, text: str, data: Mapping[str, Data]) -> tuple[ZoneFields | None, list[Problem]]:
    """The fields of the zone with this key, from its text without the items, and from what that means."""
    fields = _usual_fields(text) if len(text) <= MAX_ALIKE else None
    return (fields, []) if fields else validate(ZoneFields, data, key)


@lru_cache(maxsize=ALIKE)
def _usual_fields(text: str) -> ZoneFields | None:
    """The fields in such a text, if they are valid: small zones often differ in nothing but their items."""
    data, _ = parsed_again(text)
    return validate(ZoneFields, {**data, RECORDS: None}, "")[0] if isinstance(data, dict) else None
