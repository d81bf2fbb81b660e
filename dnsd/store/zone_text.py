"""Master files (RFC 1035 §5) to records, Cloudflare's exported files included.

The text is cut into entries first, each of which is then read for itself with dnspython's tokenizer, so that one wrong
entry does not hide the others, and each problem has its line and column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.ttl

from dnsd.model.records import Record, RecordError, parse_data_type, record_from_rdata
from dnsd.wire.names import is_below, name_text
from dnsd.wire.rdata import SOA, pack_rdata, reason

SPECIAL = re.compile(r'\\.|"(?:[^"\\\n]|\\.)*"|;[^\n]*|[()\n]', re.DOTALL)
NEWLINE = re.compile("\r\n?")
CLOUDFLARE_TAGS = re.compile(r"\s*\bcf_tags=(\S+)")
PROXIED_TAG = "cf-proxied:true"
MAX_PROBLEMS = 100  # in one file


@dataclass(frozen=True, slots=True, order=True)
class TextProblem:
    """Something wrong at a line and column, both from 1."""

    line: int
    column: int
    message: str


@dataclass(slots=True)
class ZoneText:
    """What a master file holds: records, the line of each, and what is wrong."""

    name: bytes  # canonical; of the SOA's owner, where there is one
    records: list[Record] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    problems: list[TextProblem] = field(default_factory=list)


def parse_zone_text(text: str, default_name: bytes) -> ZoneText:
    """The records of a master file; `default_name` is the origin, and the zone's name where the file holds no SOA.

    A record that stands twice counts once (RFC 2181 §5): zone transfers are stored with the SOA first and last.
    """
    reader = _Reader(default_name)
    for line, entry in _entries(NEWLINE.sub("\n", text)):
        reader.read(line, entry)
        if len(reader.found.problems) >= MAX_PROBLEMS:
            break
    return reader.result()


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Each entry with its first line's number: text up to a newline that is not in parentheses."""
    line = first = 1
    start = depth = 0
    for match in SPECIAL.finditer(text):
        token = match[0]
        if token == "(":
            depth += 1
        elif token == ")":
            depth = max(0, depth - 1)
        elif token == "\n":
            line += 1
            if not depth:
                yield first, text[start : match.start()]
                start, first = match.end(), line
        else:
            line += token.count("\n")
    yield first, text[start:]


class _EntryError(Exception):
    """What is wrong with an entry, and with which word of it."""

    def __init__(self, message: str, word: str = "") -> None:
        self.word = word
        super().__init__(message)


class _Reader:
    """What carries over from entry to entry: the origin, the default TTL, the last owner."""

    def __init__(self, default_name: bytes) -> None:
        self.found = ZoneText(default_name)
        self.origin = dns.name.from_wire(default_name, 0)[0]
        self.origin_given = False
        self.default_ttl: int | None = None
        self.last_ttl: int | None = None
        self.owner: dns.name.Name | None = None
        self.seen: set[tuple[bytes, int, bytes]] = set()

    def read(self, line: int, entry: str) -> None:
        if not entry.strip() or entry.lstrip().startswith(";"):
            return
        try:
            if entry.startswith("$"):
                self._directive(entry)
            else:
                self._record(line, entry)
        except _EntryError as error:
            self._problem(line, entry, str(error), error.word)
        except (dns.exception.DNSException, RecordError, ValueError) as error:
            self._problem(line, entry, reason(error))

    def result(self) -> ZoneText:
        """What was found, owners outside the zone among the problems."""
        zone_name = self.found.name
        if not self.found.records and not self.found.problems:
            self.found.problems.append(TextProblem(1, 1, "the file holds no records; delete it if the zone is to go"))
        for record, line in zip(self.found.records, self.found.lines, strict=True):
            if record.owner != zone_name and not is_below(record.owner, zone_name):
                message = f"{name_text(record.owner)} lies outside the zone {name_text(zone_name)}"
                self.found.problems.append(TextProblem(line, 1, message))
        del self.found.problems[MAX_PROBLEMS:]
        self.found.problems.sort()
        return self.found

    def _problem(self, line: int, entry: str, message: str, word: str = "") -> None:
        rows = entry.split("\n")
        for offset, row in enumerate(rows):
            if word and word in row:
                self.found.problems.append(TextProblem(line + offset, row.index(word) + 1, message))
                return
        self.found.problems.append(TextProblem(line, len(rows[0]) - len(rows[0].lstrip()) + 1, message))

    def _directive(self, entry: str) -> None:
        tokenizer = dns.tokenizer.Tokenizer(entry)
        directive = tokenizer.get().value.upper()
        if directive == "$ORIGIN":
            self.origin = tokenizer.get_name(self.origin)
            self.origin_given = True
        elif directive == "$TTL":
            self.default_ttl = tokenizer.get_ttl()
        elif directive == "$INCLUDE":
            raise _EntryError("$INCLUDE is refused: a zone is one file", "$")
        else:
            raise _EntryError(f"{directive} is not supported; $ORIGIN and $TTL are", "$")
        tokenizer.get_eol()

    def _record(self, line: int, entry: str) -> None:
        tokenizer = dns.tokenizer.Tokenizer(entry)
        relative = self._read_owner(tokenizer)
        ttl, rtype = self._read_ttl_class_type(tokenizer)
        rdata = dns.rdata.from_text(
            dns.rdataclass.IN, dns.rdatatype.RdataType.make(rtype), tokenizer, self.origin, relativize=False
        )
        if rtype == SOA:
            self._read_soa(relative, rdata)
        owner = self._wire(self.owner)
        comment = rdata.rdcomment or ""
        tags = CLOUDFLARE_TAGS.search(comment)
        proxied = tags is not None and PROXIED_TAG in tags[1].split(",")
        record = record_from_rdata(
            owner, rdata, ttl=self._ttl(ttl), proxied=proxied, comment=CLOUDFLARE_TAGS.sub("", comment).strip()
        )
        key = (record.owner, record.rtype, record.rdata)
        if key not in self.seen:
            self.seen.add(key)
            self.found.records.append(record)
            self.found.lines.append(line)

    def _read_owner(self, tokenizer: dns.tokenizer.Tokenizer) -> str:
        """Read the owner, if the entry has one; its text, where that is a relative name."""
        token = tokenizer.get(want_leading=True)
        if token.is_whitespace():
            if self.owner is None:
                raise _EntryError("the first record has no owner")
            return ""
        self.owner = tokenizer.as_name(token, self.origin)
        text = str(token.value)
        return "" if text == "@" or text.endswith(".") else text

    def _read_ttl_class_type(self, tokenizer: dns.tokenizer.Tokenizer) -> tuple[int | None, int]:
        """`[TTL] [class] type` or `[class] [TTL] type` (RFC 1035 §5.1)."""
        ttl: int | None = None
        for _ in range(3):
            token = tokenizer.get()
            word = str(token.value)
            if not token.is_identifier():
                raise _EntryError("the record's type is missing")
            if ttl is None and word[0].isdigit():
                try:
                    ttl = self.last_ttl = dns.ttl.from_text(word)
                except dns.ttl.BadTTL:
                    raise _EntryError(f"{word!r} is not a TTL", word) from None
            elif word.upper() in ("CH", "HS", "CHAOS", "HESIOD", "CLASS3", "CLASS4"):
                raise _EntryError(f"class {word} is not served; IN is", word)
            elif word.upper() not in ("IN", "CLASS1"):
                try:
                    return ttl, parse_data_type(word)
                except ValueError as error:
                    raise _EntryError(str(error), word) from None
        raise _EntryError("the record's type is missing")

    def _read_soa(self, relative: str, rdata: dns.rdata.Rdata) -> None:
        """The zone's name is its SOA's owner; Cloudflare writes that in full, yet without the final dot."""
        if relative and not self.origin_given:
            self.owner = dns.name.from_text(relative)
        if not any(record.rtype == SOA for record in self.found.records):
            self.found.name = self._wire(self.owner)
            if not self.origin_given and self.owner is not None:
                self.origin = self.owner
        if self.default_ttl is None and self.last_ttl is None:
            self.last_ttl = int.from_bytes(pack_rdata(rdata)[-4:])  # as servers did before RFC 2308 §4, and still do

    def _ttl(self, given: int | None) -> int:
        """The stated TTL, else $TTL, else that of the record before (RFC 2308 §4, RFC 1035 §5.1)."""
        for ttl in (given, self.default_ttl, self.last_ttl):
            if ttl is not None:
                return ttl
        raise _EntryError("the record has no TTL, and there is no $TTL before it")

    @staticmethod
    def _wire(name: dns.name.Name | None) -> bytes:
        return bytes(name.to_wire() or b"\0").lower() if name else b"\0"
