"""Read plain lines of master files fast: owner name, TTL, class, type, data and comment, nothing unusual.

The text before the data, and the comment after it, mean the same on every line: their meaning is found once, and
remembered. Data of common types has code of its own (plain_data.py); of other types, data that the full reader
(zone_reader.py) has read is remembered. A line with any other part is left to the full reader.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple, TypeVar

from dnsd.formats.comments import OWN, without_identity
from dnsd.formats.plain_data import MAX_PLAIN, parse_plain
from dnsd.formats.tags import MARK_TEXT
from dnsd.model.plain_columns import pack
from dnsd.model.records import MAX_TTL_S, UNWRITTEN, Identity, parse_data_type
from dnsd.wire.names import MAX_LABEL, MAX_NAME, ROOT
from dnsd.wire.rdata import SOA

MAX_KNOWN = 100_000  # remembered parts of each kind; when full, all are forgotten
MAX_PART = MAX_PLAIN  # characters of a remembered part
MAX_LINE = 65_536  # characters with the newline
MAX_HEAD = 64  # characters of a head that is remembered for all zones

# No part matches in two ways, and matches are possessive: the time is that of reading the line once.
WORD = r'(?:[^ \t\n"()\\;]++|"[^"\\\n]*+")++'
LINE = re.compile(
    r"([-\w*.]*+|@)"  # owner name; if empty, the previous line's
    r"([ \t]++(?:(?:\d++|[Ii][Nn])[ \t]++){0,2}+[A-Za-z][A-Za-z0-9]*+[ \t]++)"  # TTL and class, in any order, and type
    rf"({WORD}(?:[ \t]++{WORD})*+)"  # data
    r"([ \t]*+(?:;[^\n]*+)?+)\n"  # comment
    r"|",  # any other line: an empty match, so that the search does not skip it
    re.ASCII,
)
DIRECTIVE = re.compile(r"\$(?:TTL[ \t]++(\d{1,10})|ORIGIN[ \t]++([-\w*.]++))[ \t]*+(?:;[^\n]*+)?+\n", re.ASCII)
PIECES = re.compile(r'"[^"\\\n]*+"|;[^\n]*+|[^"\\();\n]++|["\\()\n]')  # strings, comments, others, single characters
LENGTHS = tuple(chr(length) for length in range(MAX_LABEL + 1))  # one octet each


class Head(NamedTuple):
    """The meaning of the part of a line between its owner name and its data."""

    rtype: int
    ttl_given: int | None  # seconds; None: the TTL of $TTL, or of the previous record


class Form(NamedTuple):
    """The meaning of a line apart from its owner name and its data. _lines.c reads these fields by position."""

    rtype: int
    traits: int  # index of the traits
    ttl_given: int | None  # seconds
    identity: Identity | None  # of the record, if it has one
    rdatas: dict[str, bytes]  # known data of this type -> wire form
    parse: Callable[[str], bytes | None]  # any data -> wire form; None unless it is plain


class LineMeaning(NamedTuple):
    """The meaning of a type, a TTL and a comment."""

    traits: int  # index of the traits
    identity: Identity  # of all records with this exact comment
    warning: str  # may be empty


# Records: owners and data, each as the octets and ends of a column; the indexes of their traits, 4 octets each; and the
# identities of those that have one, by the index of the record.
PlainRows = tuple[bytes, bytes, bytes, bytes, bytes, dict[int, Identity]]
# The end of what was read; owner, default TTL and last TTL, as they are there; the number of directives, all before the
# records; the index of the first SOA; the records.
PlainRead = tuple[int, bytes | None, int | None, int | None, int, int | None, PlainRows]
Interpret = Callable[[int, int, str], LineMeaning]  # a type, a TTL and a comment -> their meaning, or ValueError


class KnownParts:
    """The parts of plain lines, and their meaning, under the current origin."""

    def __init__(self, origin: bytes, interpret: Interpret) -> None:
        self._interpret = interpret
        self._forms: dict[tuple[str, str, int], Form] = {}
        self._rdatas: dict[int, dict[str, bytes]] = defaultdict(dict)
        self.origin_given = False  # by $ORIGIN
        self.move(origin)

    def move(self, origin: bytes) -> None:
        """Make relative names end with `origin` from now on, case kept."""
        self.origin = origin
        self._endings: dict[str, bytes] = {}  # text after a label and a dot -> wire form
        for known in self._rdatas.values():
            known.clear()

    def set_origin(self, origin: bytes) -> None:
        """Carry out $ORIGIN with this name."""
        self.move(origin)
        self.origin_given = True

    def release(self) -> None:
        """Forget all, and drop `interpret`: no cycle of references remains, which could hold the records for long."""
        self._interpret = _nothing
        self._forms.clear()

    def remember(self, entry: str, rtype: int, rdata: bytes) -> None:
        """Remember the data of an entry that the full reader has read, if the entry is a plain line."""
        match = LINE.fullmatch(entry + "\n")
        if match and len(entry) <= MAX_PART:
            room_in(self._rdatas[rtype])[match[3]] = rdata

    def form(self, text: str, comment: str, ttl_else: int | None) -> Form | None:
        """The form of a line with this text before its data and this comment; None unless both are plain.

        `ttl_else` is the TTL of a record without one of its own.
        """
        if OWN not in comment:
            return self._form(text, comment, ttl_else)
        try:
            common, stand_in, own = without_identity(comment)
        except ValueError:
            return None
        form = self._form(text, common, ttl_else)
        if form is None or own is UNWRITTEN:
            return form
        found = form.identity or UNWRITTEN
        if found.written is not None:
            stand_in, own = stand_in._replace(written=found.written), own._replace(written=found.written)
        # The stand-in is not read back if the replaced tags were text, or in quotes.
        return form._replace(identity=own) if found == stand_in else None

    def _form(self, text: str, comment: str, ttl_else: int | None) -> Form | None:
        head = parse_head(text)
        ttl = head and first_ttl(head.ttl_given, ttl_else)
        if head is None or ttl is None:
            return None
        return self._forms.get((text, comment, ttl)) or self._new_form(text, comment, head, ttl)

    def _new_form(self, text: str, comment: str, head: Head, ttl: int) -> Form | None:
        if len(comment) > MAX_PART:
            return None
        try:
            traits, identity, warning = self._interpret(head.rtype, ttl, comment.partition(";")[2])
        except ValueError:
            return None
        if warning:
            return None
        own = identity if identity != UNWRITTEN else None
        form = Form(head.rtype, traits, head.ttl_given, own, self._rdatas[head.rtype], partial(self.data, head.rtype))
        room_in(self._forms)[text, comment, ttl] = form
        return form

    def data(self, rtype: int, text: str) -> bytes | None:
        """The wire form of data of a type; None unless it is plain, or known."""
        parse, rdata = parse_plain(rtype), self._rdatas[rtype].get(text)
        if rdata is not None:
            return rdata
        try:
            rdata = parse(text, self.name) if parse and len(text) <= MAX_PART else None
        except ValueError:
            return None
        if rdata is not None:
            room_in(self._rdatas[rtype])[text] = rdata
        return rdata

    def name(self, text: str) -> bytes | None:
        """The wire form of a name as LINE has it for the owner, case kept; None unless it is plain."""
        if text == "@":
            return self.origin
        if text.endswith("."):
            return _full_name(text)
        label, dot, ending = text.partition(".")
        rest = self._endings.get(ending) or self._new_ending(ending) if dot else self.origin
        size = len(label)
        if rest is None or not 0 < size <= MAX_LABEL or size + len(rest) >= MAX_NAME:
            return None
        return (LENGTHS[size] + label).encode() + rest

    def _new_ending(self, text: str) -> bytes | None:
        name = self.name(text) if text not in ("@", ".") and len(text) < MAX_NAME else None
        if name is not None:
            room_in(self._endings)[text] = name
        return name


class Lines:
    """Reads plain lines into columns of records, and plain directives before them; _lines.c does the same."""

    def __init__(self, known: KnownParts) -> None:
        self._known = known

    def read(
        self, text: str, start: int, owner: bytes | None, default_ttl: int | None, last_ttl: int | None
    ) -> PlainRead:
        """Read plain lines from `start` on.

        An SOA that changes the origin is not plain; nor is a directive after a record.
        """
        known = self._known
        start, directives, default_ttl = self._read_directives(text, start, default_ttl)
        owners, rdatas, traits = list[bytes](), list[bytes](), array("I")
        identities: dict[int, Identity] = {}
        soa = None
        form, form_head, form_comment = None, "", ""
        for match in LINE.finditer(text, start):
            owner_text, head, data, comment = match.groups()
            if head != form_head or comment != form_comment:
                form_head, form_comment = head, comment
                form = known.form(head, comment, first_ttl(default_ttl, last_ttl)) if head else None
            name = known.name(owner_text) if owner_text else owner
            if form is None or name is None or match.end() - match.start() > MAX_LINE:
                break
            if form.rtype == SOA and owner_text != "@" and not known.origin_given:
                break
            rdata = form.rdatas.get(data) or form.parse(data)
            if rdata is None:
                break
            owner = name.lower()
            if form.rtype == SOA and soa is None:
                soa = len(owners)
            if form.identity:
                identities[len(owners)] = form.identity
            owners.append(owner)
            rdatas.append(rdata)
            traits.append(form.traits)
            if form.ttl_given is not None:
                last_ttl = form.ttl_given
            start = match.end()
        rows = (*pack(owners), *pack(rdatas), traits.tobytes(), identities)
        return start, owner, default_ttl, last_ttl, directives, soa, rows

    def _read_directives(self, text: str, start: int, default_ttl: int | None) -> tuple[int, int, int | None]:
        """Carry out plain directives from `start` on; return their end, their number, and the new default TTL."""
        known, count = self._known, 0
        while match := DIRECTIVE.match(text, start):
            ttl, name = match.groups()
            origin = None if name is None else known.name(name)
            if match.end() - start > MAX_LINE or (int(ttl) > MAX_TTL_S if ttl else origin is None):
                break
            if origin is None:
                default_ttl = int(ttl)
            else:
                known.set_origin(origin)
            start, count = match.end(), count + 1
        return start, count, default_ttl


@lru_cache(maxsize=4096)
def _full_name(text: str) -> bytes | None:
    """The wire form of a name with its final dot; zones have the same hosts."""
    if text == ".":
        return ROOT
    labels = text.encode().split(b".")  # the last one is empty
    if len(text) >= MAX_NAME or not all(0 < len(label) <= MAX_LABEL for label in labels[:-1]):
        return None
    return b"".join([bytes((len(label),)) + label for label in labels])


def _nothing(rtype: int, ttl: int, comment: str) -> LineMeaning:
    raise ValueError("nothing more is read")


def parse_head(text: str) -> Head | None:
    """The meaning of the text before the data, as LINE has it; None unless it is plain."""
    return _short_head(text) if len(text) <= MAX_HEAD else _parsed_head(text)


@lru_cache(maxsize=1024)
def _short_head(text: str) -> Head | None:
    return _parsed_head(text)


def _parsed_head(text: str) -> Head | None:
    *words, rtype = text.split()
    ttls = [word for word in words if word.isdecimal()]
    try:
        ttl = int(ttls[0]) if ttls else None
        return Head(parse_data_type(rtype), ttl) if len(ttls) < 2 and (ttl or 0) <= MAX_TTL_S else None
    except ValueError:
        return None


def first_ttl(*ttls: int | None) -> int | None:
    """The first known one of some TTLs: the given one, $TTL, the previous record's (RFC 2308 §4, RFC 1035 §5.1)."""
    for ttl in ttls:
        if ttl is not None:
            return ttl
    return None


def unfolded(entry: str) -> str | None:
    """A plain entry as one line, without the parentheses and the comments between them; None for any other entry."""
    if "(" not in entry:
        return entry
    words, comment, depth = [], "", 0
    for piece in PIECES.findall(entry):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece in ('"', "\\") or depth not in (0, 1) or (depth and piece[0] == ";" and MARK_TEXT in piece):
            return None
        comment = piece if piece[0] == ";" else ""
        words.append(" " if piece in "()\n" or comment else piece)
    return "".join(words) + comment if entry[0] != "(" and not depth else None


K = TypeVar("K")
V = TypeVar("V")


def room_in(known: dict[K, V]) -> dict[K, V]:
    """The dict, which is emptied first if it is full."""
    if len(known) >= MAX_KNOWN:
        known.clear()
    return known
