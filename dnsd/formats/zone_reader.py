"""Read the entries of a master file one after the other: records, $ORIGIN and $TTL.

The text is cut into entries. dnspython's tokenizer reads each one separately, so that a wrong entry does not hide the
others, and each problem has its line and column. Plain entries, which are nearly all, need no tokenizer
(plain_lines.py).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import dns.exception
import dns.name
import dns.rdata
import dns.tokenizer

from dnsd.compiled import require
from dnsd.formats.comments import parse_comment
from dnsd.formats.odd_octets import readable
from dnsd.formats.plain_lines import LINE, KnownParts, LineMeaning, PlainRows, first_ttl, parse_head, unfolded
from dnsd.formats.zone_entries import (
    BLANK,
    NOTHING,
    EntryError,
    Words,
    comment_of,
    entry_end,
    parse_ttl,
    read_rdata,
    unclosed,
)
from dnsd.model.columns import Columns
from dnsd.model.octet_column import OctetColumn
from dnsd.model.records import (
    PROXIABLE,
    UNWRITTEN,
    Record,
    RecordError,
    Traits,
    build_traits,
    parse_data_type,
)
from dnsd.wire.names import ROOT, parse_name_text
from dnsd.wire.rdata import SOA, pack_rdata, reason

try:
    require("dnsd.formats._lines")
    from dnsd.formats._lines import Lines
except ImportError:  # no compiler was found
    from dnsd.formats.plain_lines import Lines  # type: ignore[assignment]

OTHER_CLASSES = frozenset({"CH", "HS", "CHAOS", "HESIOD", "CLASS3", "CLASS4"})
BLANKS = frozenset(" \t\n;")
MAX_PROBLEMS = 100  # in one file
MAX_ENTRY = 300_000  # characters: record data of 65,535 octets, each as \\DDD, and some space


@dataclass(frozen=True, slots=True, order=True)
class TextProblem:
    """A problem at a line and column, both from 1."""

    line: int
    column: int
    message: str


class ReaderState(NamedTuple):
    """All that the meaning of an entry depends on, apart from its own text."""

    zone_name: bytes
    origin: bytes
    origin_given: bool
    has_soa: bool
    owner: bytes | None  # of the last record
    last_ttl: int | None
    default_ttl: int | None


class Parts(NamedTuple):
    """The parts of a record's entry."""

    name: bytes | None  # the owner, case kept; None: the previous one's
    relative: str  # the text of a relative owner; else empty
    ttl: int | None  # seconds; None: none is given
    rtype: int
    rdata: bytes
    comment: str


class ZoneReader:
    """Reads entries; keeps the state between them: the origin, the default TTL, the last owner name."""

    def __init__(self, default_name: bytes, *, proxies: bool) -> None:
        self.proxies = proxies
        self.zone_name = default_name
        self.columns = Columns()
        self.lines = array("I")  # line number of each record
        self.problems: list[TextProblem] = []
        self.warnings: list[TextProblem] = []
        self.line = 1  # of the next entry
        self.has_soa = False
        self.last_ttl: int | None = None
        self.owner: bytes | None = None
        self.default_ttl: int | None = None
        self.known = KnownParts(default_name, self._interpret)
        self._plain = Lines(self.known)

    @property
    def state(self) -> ReaderState:
        """The state in which the next entry is read."""
        return ReaderState(
            self.zone_name,
            self.known.origin,
            self.known.origin_given,
            self.has_soa,
            self.owner,
            self.last_ttl,
            self.default_ttl,
        )

    def go_on(self, state: ReaderState, *, lines: int) -> None:
        """Go on after some lines that leave the reader in this state."""
        self.zone_name, origin, is_given, self.has_soa, self.owner, self.last_ttl, self.default_ttl = state
        if origin != self.known.origin:
            self.known.move(origin)
        self.known.origin_given = is_given
        self.line += lines

    def add(self, record: Record) -> None:
        """Add a record that was read before, without its line."""
        self.columns.add(record)
        self.lines.append(0)

    def read(self, text: str, *, is_last: bool = False) -> str:
        """Read all complete entries; return the rest of the text. `is_last`: no more text follows."""
        start = 0
        while start < len(text):
            if self.is_full():
                return ""
            start = self._read_plain(text, self._skip_blank(text, start))
            end = entry_end(text, start, is_last=is_last)
            if end is None:
                break
            self.read_entry(text[start:end])
            start = end + 1
        return text[start:]

    def is_full(self) -> bool:
        """Whether the number of problems has reached its limit."""
        return len(self.problems) >= MAX_PROBLEMS

    def _skip_blank(self, text: str, start: int) -> int:
        match = BLANK.match(text, start) if text[start] in BLANKS else None
        end = match.end() if match else start
        self.line += text.count("\n", start, end)
        return end

    def _read_plain(self, text: str, start: int) -> int:
        """Read lines from `start` on while they are plain; return the start of the first other line."""
        is_plain = True
        while is_plain:
            end, self.owner, self.default_ttl, self.last_ttl, directives, soa, rows = self._plain.read(
                text, start, self.owner, self.default_ttl, self.last_ttl
            )
            self.line += directives
            if rows[4]:
                self._add_rows(rows, soa)
            is_plain = end > start and text.startswith("$", end)  # a directive after records
            start = end
        return start

    def _add_rows(self, rows: PlainRows, soa: int | None) -> None:
        owners, owner_ends, rdatas, rdata_ends, traits, identities = rows
        names = OctetColumn(owners, owner_ends)
        if soa is not None and not self.has_soa:
            self.has_soa, self.zone_name = True, names[soa]
        self.columns.extend(names, OctetColumn(rdatas, rdata_ends), traits, identities)
        count = len(self.columns.traits) - len(self.lines)
        self.lines.extend(range(self.line, self.line + count))
        self.line += count

    def read_entry(self, entry: str) -> None:
        """Read one entry of any kind."""
        if len(entry) > MAX_ENTRY and not NOTHING.match(entry):
            self._problem(entry, f"the entry is too long: the limit is {MAX_ENTRY:,} characters", 0)
        elif entry.strip() and not entry.lstrip().startswith(";"):
            self._read_words(entry)
        self.line += entry.count("\n") + 1

    def read_last(self, entry: str) -> None:
        """Read an entry that does not end with a line, after which nothing is read."""
        opened = unclosed(entry)
        if opened is None:
            self.read_entry(entry)
        else:
            within = f" within {MAX_ENTRY:,} characters, the limit of an entry" if len(entry) > MAX_ENTRY else ""
            self._problem(entry, f"unbalanced parentheses: this one is not closed{within}", opened)

    def _read_words(self, entry: str) -> None:
        try:
            if entry.startswith("$"):
                self._directive(entry)
            else:
                self._record(entry)
        except EntryError as error:
            self._problem(entry, str(error), error.offset)
        except (dns.exception.DNSException, RecordError, ValueError) as error:
            self._problem(entry, reason(error))

    def _problem(self, entry: str, message: str, offset: int | None = None) -> None:
        if offset is None:
            offset = len(entry) - len(entry.lstrip())
        before = entry[:offset]
        column = offset - before.rfind("\n")
        self.problems.append(TextProblem(self.line + before.count("\n"), column, message))

    def _warn(self, line: int, message: str) -> None:
        """Warn of the first comment that is not kept whole; one warning is enough for a file."""
        self.warnings = self.warnings or [TextProblem(line, 1, message)]

    def _directive(self, entry: str) -> None:
        words = Words(entry)
        directive = str(words.next().value).upper()
        if directive == "$ORIGIN":
            origin = words.tokenizer.get_name(_name(self.known.origin))
            self.known.set_origin(bytes(origin.to_wire() or ROOT))
        elif directive == "$TTL":
            token = words.next()
            if not token.is_identifier():
                raise EntryError("the value of $TTL is missing or malformed")
            self.default_ttl = parse_ttl(words, str(token.value))
        elif directive == "$INCLUDE":
            raise words.error("$INCLUDE is not supported: a zone is one file")
        else:
            raise words.error(f"{directive} is not supported; use $ORIGIN or $TTL")
        words.tokenizer.get_eol()

    def _record(self, entry: str) -> None:
        plain = self._plain_parts(entry)
        parts = plain or self._parts(entry)
        if parts.rtype == SOA:
            self._read_soa(parts)
        ttl = first_ttl(parts.ttl, self.default_ttl, self.last_ttl)
        if ttl is None:
            raise EntryError("the record has no TTL, and no $TTL precedes it")
        meaning = self._interpret(parts.rtype, ttl, parts.comment)
        if meaning.warning:
            self._warn(self.line, meaning.warning)
        if meaning.identity != UNWRITTEN:
            self.columns.identities[len(self.columns.owners)] = meaning.identity
        self.columns.owners.append(self.owner or ROOT)
        self.columns.rdatas.append(parts.rdata)
        self.columns.traits.append(meaning.traits)
        self.lines.append(self.line)
        if not plain and parts.rtype != SOA:
            self.known.remember(entry, parts.rtype, parts.rdata)

    def _interpret(self, rtype: int, ttl: int, text: str) -> LineMeaning:
        """The meaning of a record's type, TTL and comment. Raises ValueError."""
        if not text:
            return LineMeaning(self.columns.index_of(_plain_traits(rtype, ttl, proxies=self.proxies)), UNWRITTEN, "")
        comment = parse_comment(rtype, readable(text))
        proxied = self.proxies if comment.proxied is None else comment.proxied
        traits = build_traits(
            rtype,
            ttl=ttl,
            proxied=rtype in PROXIABLE and proxied,
            settings=comment.settings,
            comment=comment.text,
            tags=comment.tags,
        )
        return LineMeaning(self.columns.index_of(traits), comment.identity, comment.warning)

    def _plain_parts(self, entry: str) -> Parts | None:
        """The parts of a plain entry, also in parentheses; None for any other entry."""
        line = unfolded(entry)
        match = LINE.fullmatch(line + "\n") if line else None
        head = parse_head(match[2]) if match else None
        if not match or not head or not (match[1] or self.owner):
            return None
        text = match[1]
        name = self.known.name(text) if text else None
        rdata = self.known.data(head.rtype, match[3])
        if rdata is None or (text and name is None):
            return None
        if head.ttl_given is not None:
            self.last_ttl = head.ttl_given
        if name is not None:
            self.owner = name.lower()
        relative = "" if text == "@" or text.endswith(".") else text
        return Parts(name, relative, head.ttl_given, head.rtype, rdata, match[4].partition(";")[2])

    def _parts(self, entry: str) -> Parts:
        words = Words(entry)
        name, relative = self._read_owner(words)
        given, rtype = self._read_ttl_class_type(words)
        rdata = read_rdata(words, rtype, _name(self.known.origin))
        try:
            packed = pack_rdata(rdata)
        except ValueError as error:
            raise words.error_after(str(error)) from None
        return Parts(name, relative, given, rtype, packed, comment_of(entry, rdata.rdcomment or ""))

    def _read_owner(self, words: Words) -> tuple[bytes | None, str]:
        """Read the owner name, if the entry has one. Return it, and its text if it is relative."""
        token = words.next(want_leading=True)
        if token.is_whitespace():
            if self.owner is None:
                raise EntryError("the first record has no owner name")
            return None, ""
        name = bytes(words.tokenizer.as_name(token, _name(self.known.origin)).to_wire() or ROOT)
        self.owner = name.lower()
        text = str(token.value)
        return name, "" if text == "@" or text.endswith(".") else text

    def _read_ttl_class_type(self, words: Words) -> tuple[int | None, int]:
        """Read `[TTL] [class] type` or `[class] [TTL] type` (RFC 1035 §5.1); return TTL and type."""
        ttl: int | None = None
        for _ in range(3):
            token = words.next()
            word = str(token.value)
            if not token.is_identifier():
                break
            if ttl is None and word[0].isdigit():
                ttl = self.last_ttl = parse_ttl(words, word)
            elif word.upper() in OTHER_CLASSES:
                raise words.error(f"class {word} is not supported; use IN")
            elif word.upper() not in ("IN", "CLASS1"):
                try:
                    return ttl, parse_data_type(word)
                except ValueError as error:
                    raise words.error(str(error)) from None
        raise EntryError("the record's type is missing")

    def _read_soa(self, parts: Parts) -> None:
        """Take the zone's name from the SOA's owner name; Cloudflare writes it in full but without the final dot."""
        name = parts.name
        if parts.relative and not self.known.origin_given:
            name = parse_name_text(parts.relative)
            self.owner = name.lower()
        if not self.has_soa:
            self.has_soa = True
            self.zone_name = self.owner or ROOT
            if not self.known.origin_given:
                self.known.move(name or self.zone_name)
        if self.default_ttl is None and self.last_ttl is None:
            self.last_ttl = int.from_bytes(parts.rdata[-4:])  # as servers did before RFC 2308 §4, and still do


@lru_cache(maxsize=1024)
def _plain_traits(rtype: int, ttl: int, *, proxies: bool) -> Traits:
    """The traits of a record without a comment; records of many zones share them."""
    return build_traits(rtype, ttl=ttl, proxied=rtype in PROXIABLE and proxies)


@lru_cache(maxsize=16)
def _name(wire: bytes) -> dns.name.Name:
    return dns.name.from_wire(wire, 0)[0]
