"""Edits of a zone's records in the text of its master file, which keeps all that people wrote beside them.

An entry that is edited may be what later ones have their owner or their TTL from (RFC 1035 §5.1); those are given it in
words. What comes of an edit is read again: only a text that says what it must is returned.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import dns.ttl

from dnsd.errors import InvalidDataError, Problem
from dnsd.formats.odd_octets import readable
from dnsd.formats.record_line import full_name, record_line
from dnsd.formats.zone_entries import BLANK, NEWLINE, entry_end
from dnsd.formats.zone_text import ZoneText, parse_zone_text
from dnsd.model.columns import Records
from dnsd.model.edits import RecordEdit, apply_edit
from dnsd.model.records import AUTOMATIC_TTL, Record
from dnsd.model.zone_rules import WIDEST_LIMITS, zone_problems
from dnsd.model.zones import Zone
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import SOA, canonical_rdata

WORD = re.compile(r'[ \t\n()]++|;[^\n]*+|("(?:[^"\\]|\\.)*+"?|(?:[^ \t\n()";\\]|\\.?)++)', re.DOTALL)
DEFAULT_TTL = re.compile(r"^\$TTL\b", re.IGNORECASE | re.MULTILINE)
COMMENT_LINE = re.compile(r"^[ \t]*+;[^\n]*+", re.MULTILINE)
SERIALS = 2**32
MAX_ROUNDS = 16  # a record may stand so many times in a file


class UnwritableError(InvalidDataError):
    """A zone that no master file says: what is written would be read as something else. `problems` says why."""


def edited_zone_text(text: str, zone: Zone, rows: Sequence[int], edit: RecordEdit, *, now_s: int) -> str:
    """The text of a zone's master file after an edit; the SOA's serial, where the file has an SOA, is a later one.

    `text` is what `zone` was read from, and `rows` are the lines that its records stand in; those without one were made
    for the zone (`apex_records`) and are written down where they are replaced, or nothing else would be left. Where the
    text cannot be edited so that it says what it must, the whole zone is written anew. Raises UnwritableError where
    that does not help either, as with two records that are the same, and ValueError where a record is to be removed
    that is not in the file.
    """
    plan = _plan(zone, len(rows), edit, now_s)
    made = range(len(rows), len(zone.records))
    expected = apply_edit(zone.records, replace(plan, removed=plan.removed.union(made)))
    plain = NEWLINE.sub("\n", text)
    edited = _edited_in_place(plain, zone, rows, plan, expected) or _written_anew(plain, zone, expected)
    return edited.replace("\n", _newline(text))


def _edited_in_place(text: str, zone: Zone, rows: Sequence[int], edit: RecordEdit, expected: Records) -> str | None:
    """The text with the edit made; None where it would not say what is expected."""
    records = zone.records
    for _ in range(MAX_ROUNDS):
        text = _edited(text, records, rows, edit)
        found = _read(text, zone)
        if _says(found, zone, expected):
            return text
        edit = RecordEdit(removed=_come_to_light(found.records, expected))
        if not edit.removed:
            break
        records, rows = found.records, found.lines
    return None


def _written_anew(text: str, zone: Zone, expected: Records) -> str:
    """The records in a text of their own, behind all lines of comments. Raises UnwritableError."""
    anew = "".join(f"{line}\n" for line in COMMENT_LINE.findall(text)) + zone_file_text(expected)
    if not _says(_read(anew, zone), zone, expected):
        unknown = Problem(zone.key, ("records",), "no master file is read as the records that the edit makes")
        errors = [one for one in zone_problems(replace(zone, records=expected), WIDEST_LIMITS) if not one.warning]
        raise UnwritableError(errors or [unknown])
    return anew


def comment_lines(text: str) -> list[str]:
    """What stands on the lines of a master file that are comments."""
    return [readable(line).strip().lstrip(";").strip() for line in COMMENT_LINE.findall(text)]


def zone_file_text(records: Iterable[Record]) -> str:
    """A master file of these records."""
    return "".join(f"{record_line(record)}\n" for record in records)


def next_serial(serial: int, now_s: int) -> int:
    """The serial after this one: the time in seconds if that is a later one (RFC 1982 §3.2), else the next number."""
    now = now_s % SERIALS
    is_later = 0 < (now - serial) % SERIALS < SERIALS // 2
    return now if is_later else (serial + 1) % SERIALS


def _plan(zone: Zone, written: int, edit: RecordEdit, now_s: int) -> RecordEdit:
    """The edit as one of the file, whose records are the first ones of the zone, with that of the SOA's serial."""
    if any(index >= written for index in edit.removed):
        raise ValueError(f"{zone.key}: a record that is to be removed is not in the zone's file")
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
    """What ends the lines of a text, if that is the same for all of them."""
    found = NEWLINE.search(text)
    return found[0] if found and NEWLINE.sub("\n", text).replace("\n", found[0]) == text else "\n"


def _read(text: str, zone: Zone) -> ZoneText:
    """What the zone's file would be read as, if this were its text."""
    return parse_zone_text(text, parse_name_text(zone.key.rpartition("/")[2]).lower())


def _says(found: ZoneText, zone: Zone, expected: Records) -> bool:
    return not found.problems and found.name == zone.name and found.records == expected


def _come_to_light(found: Records, expected: Records) -> frozenset[int]:
    """The records that are not expected: they stood in the file once more, which counted for nothing until now."""
    if len(found) <= len(expected):
        return frozenset()
    wanted = {_key(record) for record in expected}
    return frozenset(index for index, record in enumerate(found) if _key(record) not in wanted)


def _key(record: Record) -> tuple[bytes, int, bytes]:
    return record.owner, record.rtype, canonical_rdata(record.rtype, record.rdata)


def _edited(text: str, records: Records, rows: Sequence[int], edit: RecordEdit) -> str:
    """The text with the edit made; its lines end with a newline alone."""
    sweep = _Sweep(text, records, rows, edit)
    for index in sorted((*edit.removed, *edit.replaced)):
        sweep.edit_at(rows[index])
    return sweep.result()


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands before the data of an entry."""

    owner_end: int  # 0: there is no owner; it is that of the entry before
    ttl: str  # as it is written; may be empty
    end: int


def _head(entry: str) -> _Head:
    """The head of a record's entry (RFC 1035 §5.1), which is known to be well-formed."""
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


class _Sweep:
    """One way through a text, from each entry that is edited to where nothing depends on it any more."""

    def __init__(self, text: str, records: Records, rows: Sequence[int], edit: RecordEdit) -> None:
        self._text = text
        self._records = records
        self._rows = rows
        self._edit = edit
        self._default_ttl_from = match.start() if (match := DEFAULT_TTL.search(text)) else len(text)
        self._line, self._start = 1, 0  # of the next entry
        self._parts: list[str] = []  # of the new text
        self._taken = 0  # where in the old text they end
        self._owner: bytes | None = None  # what an entry without an owner would lack
        self._lacks_ttl = False  # whether an entry without a TTL would have another one

    def edit_at(self, line: int) -> None:
        """Edit the entry in this line, if that has not been done on the way, and those that depend on it."""
        if line < self._line:
            return
        while self._line < line:
            self._start = self._text.index("\n", self._start) + 1
            self._line += 1
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
        """The index of the record in this line; None for one that stands before already."""
        index = bisect_left(self._rows, self._line)
        return index if index < len(self._rows) and self._rows[index] == self._line else None

    def _remove(self, index: int, head: _Head) -> None:
        """Note what an entry that is to go has said of those behind it."""
        if head.owner_end:
            self._owner = self._records.owners[index]
        self._lacks_ttl = self._lacks_ttl or bool(head.ttl)

    def _replaced(self, index: int, head: _Head, entry: str) -> str:
        """What stands in place of an entry; what it has said of those behind it is noted."""
        old, new = self._records[index], self._edit.replaced[index]
        if in_place := _with_serial_of(new, old, head, entry):
            return self._completed(index, head, in_place)
        self._owner = old.owner if new.owner != old.owner else None
        before = dns.ttl.from_text(head.ttl) if head.ttl else old.ttl if not old.proxied else None
        self._lacks_ttl = before != new.ttl
        return record_line(new)

    def _completed(self, index: int | None, head: _Head, entry: str) -> str:
        """An entry that is kept, with the owner or the TTL that it had from one that is not."""
        said = entry[: head.owner_end]
        if self._owner is not None and not said:
            said = full_name(self._owner)
        self._owner = None
        if self._lacks_ttl:
            # Of a proxied record, and of one that stands before already, it does not matter; nor does it tell the next.
            ttl = AUTOMATIC_TTL if index is None else self._records[index].ttl
            said += "" if head.ttl else f" {ttl}"
            self._lacks_ttl = not head.ttl and (index is None or self._records[index].proxied)
        return said + entry[head.owner_end :]

    def _put(self, start: int, end: int, text: str) -> None:
        self._parts += (self._text[self._taken : start], text)
        self._taken = end


def _with_serial_of(new: Record, old: Record, head: _Head, entry: str) -> str | None:
    """The entry of an SOA record with another serial; None where more than that is new, or it is written oddly."""
    if new.rtype != SOA or old != _with_serial(new, _serial(old)):
        return None
    words = (match for match in WORD.finditer(entry, head.end) if match[1])
    serial = next(islice(words, 2, None), None)  # behind the names of the server and of the mailbox
    if serial is None or serial[1] != str(_serial(old)):
        return None
    return entry[: serial.start()] + str(_serial(new)) + entry[serial.end() :]
