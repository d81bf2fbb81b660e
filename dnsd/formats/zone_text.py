"""Parse master files (RFC 1035 §5), Cloudflare's exports included, to records.

The text is cut into entries. dnspython's tokenizer reads each one separately, so that a wrong entry does not hide the
others, and each problem has its line and column. The parts of lines are remembered, and lines made of known parts are
not parsed again (plain_lines.py).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.ttl

from dnsd.formats.comments import NO_COMMENT, OWN, Comment, parse_comment, without_identity
from dnsd.formats.odd_octets import readable
from dnsd.formats.plain_lines import LINE, Form, Head, KnownParts, LineMeaning
from dnsd.formats.zone_entries import BLANK, NEWLINE, EntryError, Words, comment_of, entry_end, parse_ttl, read_rdata
from dnsd.model.columns import Columns, Records
from dnsd.model.records import (
    PROXIABLE,
    UNWRITTEN,
    Identity,
    RecordError,
    build_traits,
    parse_data_type,
    record_from_rdata,
)
from dnsd.wire.names import ROOT, is_below, name_text
from dnsd.wire.rdata import SOA, canonical_rdata, pack_rdata, reason

OTHER_CLASSES = frozenset({"CH", "HS", "CHAOS", "HESIOD", "CLASS3", "CLASS4"})
MAX_PROBLEMS = 100  # in one file
MAX_ENTRY = 300_000  # characters: record data of 65,535 octets, each as \\DDD, and some space


@dataclass(frozen=True, slots=True, order=True)
class TextProblem:
    """A problem at a line and column, both from 1."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class ZoneText:
    """The content of a master file: records, the line of each, problems and warnings."""

    name: bytes  # canonical; if there is an SOA, its owner name
    records: Records
    lines: Sequence[int]
    problems: list[TextProblem]
    warnings: list[TextProblem]


def parse_zone_text(
    text: str | Iterable[str],
    default_name: bytes,
    *,
    proxies: bool = False,
    progress: Callable[[int], None] | None = None,
) -> ZoneText:
    """Parse a master file; `default_name` is the origin, and the zone's name if the file holds no SOA.

    If `proxies`, proxiable records are proxied unless their tags say no. Pass a large text in blocks of whole lines;
    after each block, `progress` gets the number of records so far. A repeated record counts once (RFC 2181 §5): stored
    zone transfers have the SOA first and last.
    """
    reader = _EntryReader(default_name, proxies=proxies)
    blocks = iter([text] if isinstance(text, str) else text)
    rest = ""  # not read yet: the beginning of an entry
    for block in blocks:
        if len(rest) > MAX_ENTRY:  # search for its end once in all of the text, not again with each block
            block = "".join((block, *blocks))
        rest += NEWLINE.sub("\n", block) if "\r" in block else block
        # After a backslash, a newline may be part of a quoted string that ends in the next block.
        if not rest.endswith("\\\n"):
            rest = reader.read(rest)
        if progress:
            progress(len(reader.lines))
    reader.read_entry(reader.read(rest))
    return reader.result()


class _EntryReader:
    """Reads entries; keeps the state between them: the origin, the default TTL, the last owner name."""

    def __init__(self, default_name: bytes, *, proxies: bool) -> None:
        self.proxies = proxies
        self.zone_name = default_name
        self.columns = Columns()
        self.lines = array("I")  # line number of each record
        self.problems: list[TextProblem] = []
        self.warnings: list[TextProblem] = []
        self.line = 1  # of the next entry
        self.origin = dns.name.from_wire(default_name, 0)[0]
        self.origin_given = False
        self.has_soa = False
        self.default_ttl: int | None = None
        self.last_ttl: int | None = None
        self.owner: bytes | None = None
        self.known = KnownParts(default_name, self._interpret)

    def read(self, text: str) -> str:
        """Read all complete entries; return the rest of the text."""
        start = 0
        while start < len(text):
            if self.is_full():
                return ""
            start = self._read_plain(text, self._skip_blank(text, start))
            end = entry_end(text, start)
            if end is None:
                break
            self.read_entry(text[start:end])
            start = end + 1
        return text[start:]

    def _skip_blank(self, text: str, start: int) -> int:
        match = BLANK.match(text, start)
        end = match.end() if match else start
        self.line += text.count("\n", start, end)
        return end

    def _read_plain(self, text: str, start: int) -> int:
        """Read lines from `start` on while all their parts are known; return the start of the first other line."""
        known, owner, last_ttl = self.known, self.owner, self.last_ttl
        owners, rdatas, traits = self.columns.owners, self.columns.rdatas, self.columns.traits
        already = len(owners)
        identities, identity = self.columns.identities, UNWRITTEN
        form, form_head, form_comment = None, "", ""
        last = None
        for match in LINE.finditer(text, start):
            owner_text, head, data, comment = match.groups()
            if head != form_head or comment != form_comment:
                form_head, form_comment, identity = head, comment, UNWRITTEN
                if comment and OWN in comment:
                    form, identity = self._form_and_identity(head, comment)
                elif form := known.form(head, comment):
                    identity = form.meaning.identity
                if form and form.meaning.warning:
                    self._warn(self.line + len(owners) - already, form.meaning.warning)
            name = known.name(owner_text) if owner_text else owner
            if form is None or name is None:
                break
            rdata = form.rdatas.get(data) or form.parse(data)
            if rdata is None:
                break
            owner = name.lower()
            if identity is not UNWRITTEN:
                identities[len(owners)] = identity
            owners.append(owner)
            rdatas.append(rdata)
            traits.append(form.meaning.traits)
            if form.ttl_given is not None:
                last_ttl = form.ttl_given
            last = match
        if last:
            start = last.end()
        self.owner, self.last_ttl = owner, last_ttl
        count = len(owners) - already
        self.lines.extend(range(self.line, self.line + count))
        self.line += count
        return start

    def _form_and_identity(self, head: str, comment: str) -> tuple[Form | None, Identity]:
        """The form of a plain line apart from its record's identity, and this identity; no form if it is malformed."""
        try:
            common, stand_in, own = without_identity(comment)
        except ValueError:
            return None, UNWRITTEN
        form = self.known.form(head, common)
        if form is None or own is UNWRITTEN:
            return form, form.meaning.identity if form else UNWRITTEN
        if (written := form.meaning.identity.written) is not None:
            stand_in, own = stand_in._replace(written=written), own._replace(written=written)
        # The stand-in is not read back if the replaced tags were text, or in quotes.
        return form if form.meaning.identity == stand_in else None, own

    def read_entry(self, entry: str) -> None:
        """Read one entry of any kind."""
        if len(entry) > MAX_ENTRY:
            message = f"an entry of {len(entry):,} characters; the limit is {MAX_ENTRY:,}"
            self.problems.append(TextProblem(self.line, 1, message))
        elif entry.strip() and not entry.lstrip().startswith(";"):
            self._read_words(entry)
        self.line += entry.count("\n") + 1

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

    def is_full(self) -> bool:
        """Whether the number of problems has reached its limit."""
        return len(self.problems) >= MAX_PROBLEMS

    def result(self) -> ZoneText:
        """The result, with a problem for each owner name outside the zone."""
        records, lines = self.columns.records(), self.lines
        if repeated := set(_repeated(records)):
            records = records.without(repeated)
            lines = array("I", (line for index, line in enumerate(lines) if index not in repeated))
        if not records and not self.problems:
            self.problems.append(TextProblem(1, 1, "the file holds no records; to remove the zone, delete the file"))
        name = self.zone_name
        outside = (
            index
            for index, owner in enumerate(records.owners)
            if owner[1 + owner[0] :] != name != owner and not is_below(owner, name)
        )
        for index in islice(outside, MAX_PROBLEMS):
            message = f"{name_text(records.owners[index])} lies outside the zone {name_text(self.zone_name)}"
            self.problems.append(TextProblem(lines[index], 1, message))
        return ZoneText(self.zone_name, records, lines, sorted(self.problems[:MAX_PROBLEMS]), self.warnings)

    def _problem(self, entry: str, message: str, offset: int | None = None) -> None:
        if offset is None:
            offset = len(entry) - len(entry.lstrip())
        before = entry[:offset]
        column = offset - before.rfind("\n")
        self.problems.append(TextProblem(self.line + before.count("\n"), column, message))

    def _directive(self, entry: str) -> None:
        words = Words(entry)
        directive = str(words.next().value).upper()
        if directive == "$ORIGIN":
            self.origin = words.tokenizer.get_name(self.origin)
            self.origin_given = True
        elif directive == "$TTL":
            token = words.next()
            if not token.is_identifier():
                raise EntryError("the value of $TTL is missing or malformed")
            self.default_ttl = parse_ttl(words, str(token.value))
        elif directive == "$INCLUDE":
            raise words.error("$INCLUDE is not supported: a zone is one file")
        else:
            raise words.error(f"{directive} is not supported; use $ORIGIN or $TTL")
        self._forget()
        words.tokenizer.get_eol()

    def _forget(self) -> None:
        """Forget all parts that depend on the origin or on $TTL."""
        self.known = KnownParts(bytes(self.origin.to_wire() or ROOT), self._interpret)

    def _record(self, entry: str) -> None:
        words = Words(entry)
        name, relative = self._read_owner(words)
        given, rtype = self._read_ttl_class_type(words)
        rdata = read_rdata(words, rtype, self.origin)
        if rtype == SOA:
            self._read_soa(name, relative, rdata)
        ttl = self._ttl(given)
        comment = parse_comment(rtype, readable(comment_of(entry, rdata.rdcomment or "")))
        proxied = self._is_proxied(rtype, comment)
        try:
            record = record_from_rdata(self.owner or ROOT, rdata, ttl=ttl, proxied=proxied)
        except RecordError as error:
            raise (words.error_after if error.path == ("content",) else EntryError)(str(error)) from None
        if comment != NO_COMMENT:
            text, identity = comment.text, comment.identity
            record = replace(record, settings=comment.settings, comment=text, tags=comment.tags, identity=identity)
        if comment.warning:
            self._warn(self.line, comment.warning)
        self.columns.add(record)
        self.lines.append(self.line)
        if rtype != SOA and (given is not None or self.default_ttl is not None):
            self.known.remember(entry, Head(rtype, ttl, given is not None), record.rdata)

    def _warn(self, line: int, message: str) -> None:
        """Warn of the first comment that is not kept whole; one warning is enough for a file."""
        self.warnings = self.warnings or [TextProblem(line, 1, message)]

    def _is_proxied(self, rtype: int, comment: Comment) -> bool:
        return rtype in PROXIABLE and (self.proxies if comment.proxied is None else comment.proxied)

    def _interpret(self, head: Head, comment_text: str) -> LineMeaning:
        """The meaning of a plain line's head and comment. Raises ValueError."""
        comment = parse_comment(head.rtype, readable(comment_text))
        traits = build_traits(
            head.rtype,
            ttl=head.ttl,
            proxied=self._is_proxied(head.rtype, comment),
            settings=comment.settings,
            comment=comment.text,
            tags=comment.tags,
        )
        return LineMeaning(self.columns.index_of(traits), comment.identity, comment.warning)

    def _read_owner(self, words: Words) -> tuple[dns.name.Name | None, str]:
        """Read the owner name, if the entry has one. Return it, and its text if it is relative."""
        token = words.next(want_leading=True)
        if token.is_whitespace():
            if self.owner is None:
                raise EntryError("the first record has no owner name")
            return None, ""
        name = words.tokenizer.as_name(token, self.origin)
        self.owner = _wire(name)
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

    def _read_soa(self, name: dns.name.Name | None, relative: str, rdata: dns.rdata.Rdata) -> None:
        """Take the zone's name from the SOA's owner name; Cloudflare writes it in full but without the final dot."""
        if relative and not self.origin_given:
            name = dns.name.from_text(relative)
            self.owner = _wire(name)
        if not self.has_soa:
            self.has_soa = True
            self.zone_name = self.owner or ROOT
            if not self.origin_given:
                self.origin = name or dns.name.from_wire(self.zone_name, 0)[0]
                self._forget()
        if self.default_ttl is None and self.last_ttl is None:
            self.last_ttl = int.from_bytes(pack_rdata(rdata)[-4:])  # as servers did before RFC 2308 §4, and still do

    def _ttl(self, given: int | None) -> int:
        """The given TTL, else $TTL, else the previous record's (RFC 2308 §4, RFC 1035 §5.1)."""
        for ttl in (given, self.default_ttl, self.last_ttl):
            if ttl is not None:
                return ttl
        raise EntryError("the record has no TTL, and no $TTL precedes it")


def _repeated(records: Records) -> Iterator[int]:
    """The indexes of records that repeat an earlier one, with any TTL."""
    for group in records.groups():
        if len({records.rtype(index) for index in group}) == len(group):
            continue
        seen = set()
        for index in group:
            rtype = records.rtype(index)
            key = rtype, canonical_rdata(rtype, records.rdatas[index])
            if key in seen:
                yield index
            seen.add(key)


def _wire(name: dns.name.Name) -> bytes:
    return bytes(name.to_wire() or ROOT).lower()
