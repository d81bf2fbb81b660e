"""Edit a zone's records in the text of its master file, keeping comments and formatting of everything else.

Later entries may inherit their owner name or TTL from an edited entry (RFC 1035 §5.1); it is then written into them.
The edited text is parsed to check it: only a text with the expected records is returned.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple, TypeAlias

import dns.ttl

from dnsd.errors import InvalidDataError, Problem
from dnsd.formats.odd_octets import readable
from dnsd.formats.record_line import full_name, record_line
from dnsd.formats.zone_entries import BLANK, NEWLINE, entry_end
from dnsd.formats.zone_text import ZoneText, parse_zone_text
from dnsd.model.columns import Records
from dnsd.model.edits import RecordEdit, apply_edit, is_edited
from dnsd.model.records import AUTOMATIC_TTL, Record
from dnsd.model.zone_rules import WIDEST_LIMITS, zone_problems
from dnsd.model.zones import Zone
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import SOA

WORD = re.compile(r'[ \t\n()]++|;[^\n]*+|("(?:[^"\\]|\\.)*+"?|(?:[^ \t\n()";\\]|\\.?)++)', re.DOTALL)
DEFAULT_TTL = re.compile(r"\$TTL\b", re.IGNORECASE)
COMMENT_LINE = re.compile(r"^[ \t]*+;[^\n]*+", re.MULTILINE)
SERIALS = 2**32
NEAR = 4096  # characters, and lines that are each searched for
MAX_ROUNDS = 16  # of edits: so many repeats of a record can be removed


class UnwritableError(InvalidDataError):
    """No master file can hold the zone: the text would be read as other records. `problems` lists the reasons."""


class EditedZone(NamedTuple):
    """The text of an edited master file, and what it was read as."""

    text: str
    read: ZoneText


ReadText: TypeAlias = Callable[[str], ZoneText]
Finish: TypeAlias = Callable[[str], EditedZone]  # a text whose line breaks are newlines -> the text of the file


def edited_zone_text(
    text: str, zone: Zone, rows: Sequence[int], edit: RecordEdit, *, now_s: int, read: ReadText | None = None
) -> EditedZone:
    """The text of a zone's master file after an edit; the serial of an SOA in the file moves forward.

    `zone` was read from `text`, and `rows` are the lines of its records. Records after these were made for the zone
    (`apex_rdatas`); they are written only if replaced, or if the file would be empty without them. If the text cannot
    be edited in place, the whole zone is rewritten. `read` reads a text as that of the zone's file. Raises
    UnwritableError if that fails too, as with two equal records, and ValueError if a record to be removed is not in the
    file.
    """
    plan = _plan(zone, len(rows), edit, now_s)
    made = range(len(rows), len(zone.records))
    whole = replace(plan, removed=plan.removed.union(made))
    newline = _newline(text) if "\r" in text else "\n"

    def finished(plain: str) -> EditedZone:
        new = plain.replace("\n", newline) if newline != "\n" else plain
        return EditedZone(new, read(new) if read else _read(new, zone))

    plain = NEWLINE.sub("\n", text) if "\r" in text else text
    edited = _edited_in_place(plain, zone, rows, plan, whole, finished)
    return edited or _written_anew(plain, zone, apply_edit(zone.records, whole), finished)


def _edited_in_place(
    text: str, zone: Zone, rows: Sequence[int], edit: RecordEdit, whole: RecordEdit, finished: Finish
) -> EditedZone | None:
    """The text with the edit made; None if it would not hold the records of `whole`, the edit of all records."""
    records = zone.records
    for _ in range(MAX_ROUNDS):
        text = _edited(text, records, rows, edit)
        edited = finished(text)
        found = edited.read
        if not found.problems and found.name == zone.name and is_edited(zone.records, whole, found.records):
            return edited
        edit = RecordEdit(removed=_surfaced_repeats(found.records, apply_edit(zone.records, whole)))
        if not edit.removed:
            break
        records, rows = found.records, found.lines
    return None


def _written_anew(text: str, zone: Zone, expected: Records, finished: Finish) -> EditedZone:
    """A new text: all comment lines of the old one, then the records. Raises UnwritableError."""
    anew = "".join(f"{line}\n" for line in COMMENT_LINE.findall(text)) + zone_file_text(expected)
    edited = finished(anew)
    found = edited.read
    if found.problems or found.name != zone.name or found.records != expected:
        unknown = Problem(zone.key, ("records",), "the edited records cannot be written as a master file")
        errors = [one for one in zone_problems(replace(zone, records=expected), WIDEST_LIMITS) if not one.warning]
        raise UnwritableError(errors or [unknown])
    return edited


def comment_lines(text: str) -> list[str]:
    """The texts of a master file's comment lines."""
    return [readable(line).strip().lstrip(";").strip() for line in COMMENT_LINE.findall(text)]


def zone_file_text(records: Iterable[Record]) -> str:
    """A master file of these records."""
    return "".join(f"{record_line(record)}\n" for record in records)


def next_serial(serial: int, now_s: int) -> int:
    """The next serial: the time in seconds if that is later (RFC 1982 §3.2), else the next number."""
    now = now_s % SERIALS
    is_later = 0 < (now - serial) % SERIALS < SERIALS // 2
    return now if is_later else (serial + 1) % SERIALS


def _plan(zone: Zone, written: int, edit: RecordEdit, now_s: int) -> RecordEdit:
    """The edit for the file, which holds the zone's first `written` records, with the SOA's new serial."""
    if any(index >= written for index in edit.removed):
        raise ValueError(f"{zone.key}: a record to be removed is not in the zone's file")
    replaced = {index: record for index, record in edit.replaced.items() if index < written}
    added = [record for index, record in edit.replaced.items() if index >= written] + list(edit.added)
    for index in zone.records.of_types({SOA}):
        if index < written and index not in edit.removed:
            old = zone.records[index]
            replaced[index] = _with_serial(replaced.get(index, old), next_serial(_serial(old), now_s))
    if len(edit.removed) == written and not added:
        added = list(zone.records[written:])  # a file without records is an error
    added = [_with_serial(one, next_serial(_serial(one), now_s)) if one.rtype == SOA else one for one in added]
    return RecordEdit(edit.removed, replaced, tuple(added))


def _serial(soa: Record) -> int:
    return int.from_bytes(soa.rdata[-20:-16])


def _with_serial(soa: Record, serial: int) -> Record:
    return replace(soa, rdata=soa.rdata[:-20] + serial.to_bytes(4) + soa.rdata[-16:])


def _newline(text: str) -> str:
    """The line break of a text if all are the same, else a newline."""
    found = NEWLINE.search(text)
    return found[0] if found and NEWLINE.sub("\n", text).replace("\n", found[0]) == text else "\n"


def _read(text: str, zone: Zone) -> ZoneText:
    """Parse a text as that of the zone's file."""
    return parse_zone_text(text, parse_name_text(zone.key.rpartition("/")[2]).lower())


def _surfaced_repeats(found: Records, expected: Records) -> frozenset[int]:
    """The unexpected records: repeats, which counted for nothing until the edit changed their first occurrence."""
    if len(found) <= len(expected):
        return frozenset()
    wanted = {record.duplicate_key for record in expected}
    return frozenset(index for index, record in enumerate(found) if record.duplicate_key not in wanted)


def _edited(text: str, records: Records, rows: Sequence[int], edit: RecordEdit) -> str:
    """The text with the edit made; its line breaks are newlines."""
    sweep = _Sweep(text, records, rows, edit)
    for index in sorted((*edit.removed, *edit.replaced)):
        sweep.edit_at(rows[index])
    return sweep.result()


@dataclass(frozen=True, slots=True)
class _Head:
    """The part of an entry before its data."""

    owner_end: int  # 0: no owner name; the previous entry's applies
    ttl: str  # as written; may be empty
    end: int


def _head(entry: str) -> _Head:
    """The head of a record's well-formed entry (RFC 1035 §5.1)."""
    owner_end, ttl, end = 0, "", 0
    for match in WORD.finditer(entry):
        word, end = match[1], match.end()
        if word is None:
            continue
        if not owner_end and entry[0] not in " \t":
            owner_end = end
        elif not ttl and word[0].isdigit():
            ttl = word
        elif word.upper() not in ("IN", "CLASS1"):
            break
    return _Head(owner_end, ttl, end)


def line_start(text: str, line: int, *, start: int = 0, number: int = 1) -> int:
    """The offset of a line, searched for from `start`, the offset of line `number`: counting is faster than finding."""
    left, size = line - number, NEAR
    while left > NEAR:
        count = text.count("\n", start, start + size)
        if count > left or start + size >= len(text):
            break
        start, left = start + size, left - count
    while left:
        start = text.index("\n", start) + 1
        left -= 1
    return start


def _default_ttl_from(text: str) -> int:
    """The offset of the first line with $TTL; the text's end without one."""
    start = 0
    while not DEFAULT_TTL.match(text, start):
        start = text.find("\n$", start) + 1
        if not start:
            return len(text)
    return start


class _Sweep:
    """One pass through a text: edits entries, and completes the following entries that depend on them."""

    def __init__(self, text: str, records: Records, rows: Sequence[int], edit: RecordEdit) -> None:
        self._text = text
        self._records = records
        self._rows = rows
        self._edit = edit
        self._default_ttl_from = _default_ttl_from(text)
        self._line, self._start = 1, 0  # of the next entry
        self._parts: list[str] = []  # of the new text
        self._taken = 0  # end in the old text of the part already copied
        self._owner: bytes | None = None  # to write into the next entry if it has no owner name
        self._lacks_ttl = False  # whether the next entry, without a TTL of its own, would get another TTL

    def edit_at(self, line: int) -> None:
        """Edit the entry in this line and the entries that depend on it, unless already done."""
        if line < self._line:
            return
        self._start, self._line = line_start(self._text, line, start=self._start, number=self._line), line
        self._edit_next()
        while (self._owner is not None or self._lacks_ttl) and self._start < len(self._text):
            self._edit_next()

    def result(self) -> str:
        """The new text."""
        self._put(len(self._text), len(self._text), "")
        text = "".join(self._parts)
        separator = "" if not text or text.endswith("\n") else "\n"
        return text + separator + zone_file_text(self._edit.added)

    def _edit_next(self) -> None:
        start = self._start
        end = entry_end(self._text, start)
        end = len(self._text) if end is None else end
        entry = self._text[start:end]
        if start >= self._default_ttl_from:
            self._lacks_ttl = False
        if not entry.startswith("$") and not BLANK.fullmatch(entry + "\n"):
            self._edit_record(start, end, entry)
        self._line += entry.count("\n") + 1
        self._start = end + 1

    def _edit_record(self, start: int, end: int, entry: str) -> None:
        index, head = self._index(), _head(entry)
        if index is not None and index in self._edit.removed:
            self._remove(index, head)
            self._put(start, end + 1, "")
        elif index is not None and index in self._edit.replaced:
            self._put(start, end, self._replaced(index, head, entry))
        else:
            self._put(start, end, self._completed(index, head, entry))

    def _index(self) -> int | None:
        """The index of the record in this line; None if it repeats an earlier one."""
        index = bisect_left(self._rows, self._line)
        return index if index < len(self._rows) and self._rows[index] == self._line else None

    def _remove(self, index: int, head: _Head) -> None:
        """Note the owner name and TTL that later entries inherited from a removed one."""
        if head.owner_end:
            self._owner = self._records.owners[index]
        self._lacks_ttl = self._lacks_ttl or bool(head.ttl)

    def _replaced(self, index: int, head: _Head, entry: str) -> str:
        """The replacement of an entry; notes the owner name and TTL that later entries inherited from it."""
        old, new = self._records[index], self._edit.replaced[index]
        if in_place := _with_serial_of(new, old, head, entry):
            return self._completed(index, head, in_place)
        self._owner = old.owner if new.owner != old.owner else None
        before = dns.ttl.from_text(head.ttl) if head.ttl else old.ttl if not old.proxied else None
        self._lacks_ttl = before != new.ttl
        return record_line(new)

    def _completed(self, index: int | None, head: _Head, entry: str) -> str:
        """A kept entry, completed by the owner name or TTL that it inherited from an edited one."""
        start = entry[: head.owner_end]
        if self._owner is not None and not start:
            start = full_name(self._owner)
        self._owner = None
        if self._lacks_ttl:
            # The TTL of a proxied or repeated record does not matter, but the next entry must not inherit it.
            ttl = AUTOMATIC_TTL if index is None else self._records[index].ttl
            start += "" if head.ttl else f" {ttl}"
            self._lacks_ttl = not head.ttl and (index is None or self._records[index].proxied)
        return start + entry[head.owner_end :]

    def _put(self, start: int, end: int, text: str) -> None:
        self._parts += (self._text[self._taken : start], text)
        self._taken = end


def _with_serial_of(new: Record, old: Record, head: _Head, entry: str) -> str | None:
    """The entry of an SOA record with the new serial; None if more has changed, or the serial is written oddly."""
    if new.rtype != SOA or old != _with_serial(new, _serial(old)):
        return None
    words = (match for match in WORD.finditer(entry, head.end) if match[1])
    serial = next(islice(words, 2, None), None)  # after the names of the server and of the mailbox
    if serial is None or serial[1] != str(_serial(old)):
        return None
    return entry[: serial.start()] + str(_serial(new)) + entry[serial.end() :]
