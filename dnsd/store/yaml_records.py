"""The records of a YAML zone, read item by item: plain items fast, all others through YAML and the fields' rules."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from typing import NamedTuple

from dnsd.errors import Problem
from dnsd.formats.plain_items import PlainItems, begins_plain
from dnsd.formats.yaml_items import (
    BLANK,
    ItemLines,
    Same,
    changed_items,
    parsed_items,
    same_parts,
)
from dnsd.formats.yaml_text import FORBIDDEN
from dnsd.model.columns import Columns, Records
from dnsd.model.fields import MAX_PROBLEMS, validate
from dnsd.model.records import Record, RecordError, RecordFields, build_record
from dnsd.store.blocks import TextBlock
from dnsd.store.control_characters import ESCAPE, control_problems
from dnsd.store.text_file import Content

RECORDS = "records"  # key of a zone's file
PACKED = 4096  # records between calls of `Columns.pack`


class KnownItems(NamedTuple):
    """The items of an earlier version of a zone."""

    items: ItemLines
    records: Records  # one for each item, and then others
    number: int  # of items
    same: Same  # what its text and the new one have in common


class ItemsRead(NamedTuple):
    """The records in the items of a text, and the row of each."""

    records: Records | Columns
    rows: Sequence[int]
    problems: list[Problem]
    controls: list[Problem]  # warnings of control characters
    is_counted: bool  # whether each line that begins like an item is one


def read_items(
    key: str, zone_name: bytes, text: str, items: ItemLines, known: KnownItems | None, progress: Callable[[int], None]
) -> ItemsRead | None:
    """Read the records of the zone with this key; None if the text must be read whole.

    The records of items that the `known` version has, too, before and after those that differ, are taken over.
    """
    before, after, start, end = 0, 0, items.start, items.end
    if known and known.items.column == items.column:
        before, after, start, end = changed_items(known.items, text, items, known.same)
    read = _Reader(key, zone_name, text, items, first=before)
    if not read.read(start, end, progress):
        return None
    count = read.count + after
    rows: Sequence[int] = range(count)
    if len(read.rows) < read.count - before:  # some items are wrong
        rows = array("I", [*range(before), *read.rows, *range(read.count, count)])
    if known and (before or after):
        new = read.columns.records()
        records: Records | Columns = known.records.spliced(before, known.number - after, known.number, new)
    else:
        records = read.columns
    is_counted = items.count(text, start, end) == read.count - before
    return ItemsRead(records, rows, read.problems, read.controls, is_counted)


def same_as_before(before: Content, content: Content, text: str) -> Same:
    """What the text of a content and an earlier text have in common; if only its blocks are known, whole blocks."""
    if before.text is not None:
        return same_parts(before.text, text)
    begin, end = _same_octets(before.blocks, content.blocks), _same_octets(before.blocks[::-1], content.blocks[::-1])
    if text.isascii() and len(text) == content.size:
        return Same(begin, end)
    octets = text.encode()
    mark = content.size - len(octets)  # of the byte order, which is not part of the text
    first, last = octets[: max(0, begin - mark)], octets[max(0, len(octets) - end) :]
    return Same(len(first.decode(errors="ignore")), len(last.decode(errors="ignore")))  # a block may end anywhere


def _same_octets(blocks: Sequence[TextBlock], others: Sequence[TextBlock]) -> int:
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(blocks, others, strict=False))
    return sum(block.size for block, _ in pairs)


class _Reader:
    """Reads items one after another."""

    def __init__(self, key: str, zone_name: bytes, text: str, items: ItemLines, *, first: int = 0) -> None:
        """`key` is the zone's; `first` is the row of the first item to be read."""
        self.columns, self.rows = Columns(), array("I")
        self.count = first  # of items up to the next one
        self.problems: list[Problem] = []
        self.controls: list[Problem] = []  # warnings of control characters
        self._key, self._zone_name = key, zone_name
        self._text, self._items = text, items
        interpret = partial(interpreted, key=key, zone_name=zone_name, items=items)  # without a cycle through this
        self._plain = PlainItems(zone_name, self.columns, interpret)

    def read(self, start: int, end: int, progress: Callable[[int], None]) -> bool:
        """Read the items between two offsets; False: the text must be read whole."""
        while start < end:
            blank = BLANK.match(self._text, start, end)
            if blank and FORBIDDEN.search(blank[0]):
                return False
            start = blank.end() if blank else start
            before = len(self.columns.owners)
            after = self._plain.read(self._text, start, end, self._items.column)
            found = len(self.columns.owners) - before
            self.rows.extend(range(self.count, self.count + found))
            self.count += found
            self.columns.pack(at_least=PACKED)
            progress(self.count)
            if after == start < end:
                after = self._next_plain(start, end)
                if not self._read_others(self._text[start:after]):
                    return False
            start = after
        return True

    def _next_plain(self, start: int, end: int) -> int:
        """The start of the next plain item after the item at `start`."""
        dash = self._items.dash
        while (found := self._text.find(dash, start, end)) >= 0:
            start = found + 1
            if begins_plain(self._text, start):
                return start
        return end

    def _read_others(self, lines: str) -> bool:
        items = parsed_items(lines, self._items)
        for data in items or ():
            if len(self.problems) >= MAX_PROBLEMS:
                return False
            path = "records", self.count
            if ESCAPE in lines:
                self.controls += control_problems(self._key, data, path)
            fields, found = validate(RecordFields, data, self._key, path)
            self.problems += found
            if fields:
                try:
                    self.columns.add(build_record(fields, self._zone_name))
                    self.rows.append(self.count)
                except RecordError as error:
                    self.problems.append(Problem(self._key, (*path, *error.path), str(error)))
            self.count += 1
        return items is not None


def interpreted(lines: str, *, key: str, zone_name: bytes, items: ItemLines) -> tuple[Record, int | None] | None:
    """The record in the text of one item, and its `priority`; None if the item is wrong."""
    found = parsed_items(lines, items)
    if not found or len(found) > 1 or any(control_problems(key, found[0])):
        return None
    fields, _ = validate(RecordFields, found[0], key)
    try:
        return (build_record(fields, zone_name), fields.priority) if fields else None
    except RecordError:
        return None
