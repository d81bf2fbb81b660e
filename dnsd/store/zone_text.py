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

from dnsd.model.records import MAX_TTL_S, PROXIABLE, Record, RecordError, parse_data_type, record_from_rdata
from dnsd.wire.names import is_below, name_text
from dnsd.wire.rdata import SOA, pack_rdata, reason, type_text

SPECIAL = re.compile(r'\\.|"(?:[^"\\\n]|\\.)*"|;[^\n]*|[()\n]', re.DOTALL)
NEWLINE = re.compile("\r\n?")
CLOUDFLARE_TAGS = re.compile(r"\s*\bcf_tags=(\S+)")
PROXIED_TAG = "cf-proxied:"
OTHER_CLASSES = frozenset({"CH", "HS", "CHAOS", "HESIOD", "CLASS3", "CLASS4"})
MAX_PROBLEMS = 100  # in one file
MAX_ENTRY = 300_000  # characters: record data of 65,535 octets, each as \\DDD, and some space


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
        if len(entry) > MAX_ENTRY:
            message = f"an entry of {len(entry):,} characters; {MAX_ENTRY:,} are possible"
            reader.found.problems.append(TextProblem(line, 1, message))
        else:
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
    """What is wrong with an entry, and at which offset in it; None for what it lacks."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        self.offset = offset
        super().__init__(message)


class _Words:
    """The words of an entry, one after another; knows where the last one stands."""

    def __init__(self, entry: str) -> None:
        self.tokenizer = dns.tokenizer.Tokenizer(entry)
        self.offset = 0
        self._entry = entry
        self._end = 0

    def next(self, *, want_leading: bool = False) -> dns.tokenizer.Token:
        token = self.tokenizer.get(want_leading=want_leading)
        self.offset = max(self._entry.find(str(token.value), self._end), self._end)
        self._end = self.offset + len(str(token.value))
        return token

    def error(self, message: str) -> _EntryError:
        """That the last word is wrong."""
        return _EntryError(message, self.offset)

    def error_behind(self, message: str) -> _EntryError:
        """That what follows the last word is wrong; where nothing follows, the entry."""
        rest = self._entry[self._end :]
        return _EntryError(message, self._end + len(rest) - len(rest.lstrip()) if rest.strip() else None)


class _Reader:
    """What carries over from entry to entry: the origin, the default TTL, the last owner."""

    def __init__(self, default_name: bytes) -> None:
        self.found = ZoneText(default_name)
        self.origin = dns.name.from_wire(default_name, 0)[0]
        self.origin_given = False
        self.has_soa = False
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
            self._problem(line, entry, str(error), error.offset)
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

    def _problem(self, line: int, entry: str, message: str, offset: int | None = None) -> None:
        if offset is None:
            offset = len(entry) - len(entry.lstrip())
        before = entry[:offset]
        column = offset - before.rfind("\n")
        self.found.problems.append(TextProblem(line + before.count("\n"), column, message))

    def _directive(self, entry: str) -> None:
        words = _Words(entry)
        directive = str(words.next().value).upper()
        if directive == "$ORIGIN":
            self.origin = words.tokenizer.get_name(self.origin)
            self.origin_given = True
        elif directive == "$TTL":
            token = words.next()
            if not token.is_identifier():
                raise _EntryError("the value of $TTL is missing or malformed")
            self.default_ttl = self._parse_ttl(words, str(token.value))
        elif directive == "$INCLUDE":
            raise words.error("$INCLUDE is refused: a zone is one file")
        else:
            raise words.error(f"{directive} is not supported; $ORIGIN and $TTL are")
        words.tokenizer.get_eol()

    def _record(self, line: int, entry: str) -> None:
        words = _Words(entry)
        relative = self._read_owner(words)
        ttl, rtype = self._read_ttl_class_type(words)
        rdata = self._read_rdata(words, rtype)
        if rtype == SOA:
            self._read_soa(relative, rdata)
        comment = rdata.rdcomment or ""
        tags = CLOUDFLARE_TAGS.search(comment)
        record = record_from_rdata(
            self._wire(self.owner),
            rdata,
            ttl=self._ttl(ttl),
            proxied=rtype in PROXIABLE and self._is_proxied(tags[1].split(",") if tags else []),
            comment=CLOUDFLARE_TAGS.sub("", comment).strip(),
        )
        key = (record.owner, record.rtype, rdata.to_digestable())
        if key not in self.seen:
            self.seen.add(key)
            self.found.records.append(record)
            self.found.lines.append(line)

    @staticmethod
    def _is_proxied(tags: list[str]) -> bool:
        """What the tags say; a slip there would show an origin, so anything but true and false is an error."""
        said = {tag.partition(":")[2] for tag in tags if tag.lower().startswith(PROXIED_TAG)}
        if said - {"true", "false"}:
            raise _EntryError(f"cf-proxied is true or false, found {', '.join(sorted(said))!r}")
        return "true" in said

    def _read_rdata(self, words: _Words, rtype: int) -> dns.rdata.Rdata:
        try:
            return dns.rdata.from_text(
                dns.rdataclass.IN, dns.rdatatype.RdataType.make(rtype), words.tokenizer, self.origin, relativize=False
            )
        except (dns.exception.DNSException, ValueError) as error:
            raise words.error_behind(f"not valid {type_text(rtype)} data: {reason(error)}") from None

    def _read_owner(self, words: _Words) -> str:
        """Read the owner, if the entry has one; its text, where that is a relative name."""
        token = words.next(want_leading=True)
        if token.is_whitespace():
            if self.owner is None:
                raise _EntryError("the first record has no owner")
            return ""
        self.owner = words.tokenizer.as_name(token, self.origin)
        text = str(token.value)
        return "" if text == "@" or text.endswith(".") else text

    def _read_ttl_class_type(self, words: _Words) -> tuple[int | None, int]:
        """`[TTL] [class] type` or `[class] [TTL] type` (RFC 1035 §5.1)."""
        ttl: int | None = None
        for _ in range(3):
            token = words.next()
            word = str(token.value)
            if not token.is_identifier():
                break
            if ttl is None and word[0].isdigit():
                ttl = self.last_ttl = self._parse_ttl(words, word)
            elif word.upper() in OTHER_CLASSES:
                raise words.error(f"class {word} is not served; IN is")
            elif word.upper() not in ("IN", "CLASS1"):
                try:
                    return ttl, parse_data_type(word)
                except ValueError as error:
                    raise words.error(str(error)) from None
        raise _EntryError("the record's type is missing")

    @staticmethod
    def _parse_ttl(words: _Words, word: str) -> int:
        """Seconds, or units such as 1h30m. Raises _EntryError."""
        try:
            ttl = dns.ttl.from_text(word)
        except (dns.ttl.BadTTL, ValueError):
            raise words.error(f"{word[:20]!r} is not a TTL") from None
        if ttl > MAX_TTL_S:
            raise words.error(f"the TTL {word} is over {MAX_TTL_S} seconds (RFC 2181 §8)")
        return ttl

    def _read_soa(self, relative: str, rdata: dns.rdata.Rdata) -> None:
        """The zone's name is its SOA's owner; Cloudflare writes that in full, yet without the final dot."""
        if relative and not self.origin_given:
            self.owner = dns.name.from_text(relative)
        if not self.has_soa:
            self.has_soa = True
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
