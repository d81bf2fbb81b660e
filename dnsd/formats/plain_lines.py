"""Read plain lines of large master files fast: owner name, TTL, class, type, data and comment, nothing unusual.

The text before the data, and the comment after it, mean the same on every line: their meaning is found once, and
remembered. Data of common types has code of its own (plain_data.py); of other types, data that the full reader
(zone_reader.py) has read is remembered. A line with any other part is left to the full reader.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from dnsd.formats.comments import OWN, without_identity
from dnsd.formats.plain_data import MAX_PLAIN, parse_plain
from dnsd.formats.tags import MARK_TEXT
from dnsd.model.records import MAX_TTL_S, UNWRITTEN, Identity, parse_data_type
from dnsd.wire.names import MAX_LABEL, MAX_NAME, ROOT
from dnsd.wire.rdata import SOA

MAX_KNOWN = 100_000  # remembered parts of each kind; when full, all are forgotten
MAX_PART = MAX_PLAIN  # characters of a remembered part

# No part matches in two ways, and matches are possessive: the time is that of reading the line once.
WORD = r'(?:[^ \t\n"()\\;]++|"[^"\\\n]*+")++'
LINE = re.compile(
    r"([-\w*.]*+|@)"  # owner name; if empty, the previous line's
    r"([ \t]++(?:\d++[ \t]++)?+(?:IN[ \t]++)?+[A-Z][A-Z0-9]*+[ \t]++)"  # TTL, class and type
    rf"({WORD}(?:[ \t]++{WORD})*+)"  # data
    r"([ \t]*+(?:;[^\n]*+)?+)\n"  # comment
    r"|",  # any other line: an empty match, so that the search does not skip it
    re.ASCII,
)
COMMENT = re.compile(r";[^\n]*+")
LENGTHS = tuple(chr(length) for length in range(MAX_LABEL + 1))  # one octet each


class Head(NamedTuple):
    """The meaning of the part of a line between its owner name and its data."""

    rtype: int
    ttl_given: int | None  # seconds; None: the TTL of $TTL, or of the previous record


class LineMeaning(NamedTuple):
    """The meaning of a head and a comment for the record between them."""

    traits: int  # index of the traits
    identity: Identity  # of all records with this exact comment
    warning: str  # may be empty


class Form(NamedTuple):
    """The meaning of a line apart from its owner name and its data."""

    ttl_given: int | None  # seconds
    meaning: LineMeaning
    rdatas: dict[str, bytes]  # known data of this type -> wire form
    parse: Callable[[str], bytes | None]  # other data -> wire form; None unless it is plain


Interpret = Callable[[int, int, str], LineMeaning]  # a type, a TTL and a comment -> their meaning, or ValueError


class KnownParts:
    """The parts of plain lines, and their meaning, under the current origin and $TTL."""

    def __init__(self, origin: bytes, interpret: Interpret) -> None:
        self.default_ttl: int | None = None
        self._interpret = interpret
        self._heads: dict[str, Head] = {}
        self._forms: dict[tuple[str, str, int], Form] = {}
        self._rdatas: dict[int, dict[str, bytes]] = defaultdict(dict)
        self.move(origin)

    def move(self, origin: bytes) -> None:
        """Make relative names end with `origin` from now on, case kept."""
        self.origin = origin
        self._endings: dict[str | None, bytes] = {None: origin, "": ROOT}  # text after a label and a dot -> wire form
        for known in self._rdatas.values():
            known.clear()

    def remember(self, entry: str, rtype: int, rdata: bytes) -> None:
        """Remember the data of an entry that the full reader has read, if the entry is a plain line."""
        match = LINE.fullmatch(entry + "\n")
        if match and len(entry) <= MAX_PART:
            _room_in(self._rdatas[rtype])[match[3]] = rdata

    def form(self, text: str, comment: str, last_ttl: int | None) -> tuple[Form, Identity] | None:
        """The form of a line with this text before its data and this comment, and its record's identity.

        None unless both are plain. `last_ttl` is the TTL of the last record that had one of its own.
        """
        if OWN not in comment:
            form = self._form(text, comment, last_ttl)
            return (form, form.meaning.identity) if form else None
        try:
            common, stand_in, own = without_identity(comment)
        except ValueError:
            return None
        form = self._form(text, common, last_ttl)
        if form is None or own is UNWRITTEN:
            return (form, form.meaning.identity) if form else None
        if (written := form.meaning.identity.written) is not None:
            stand_in, own = stand_in._replace(written=written), own._replace(written=written)
        # The stand-in is not read back if the replaced tags were text, or in quotes.
        return (form, own) if form.meaning.identity == stand_in else None

    def _form(self, text: str, comment: str, last_ttl: int | None) -> Form | None:
        head = self._heads.get(text) or self._new_head(text)
        if head is None or head.rtype == SOA:
            return None
        ttl = first_ttl(head.ttl_given, self.default_ttl, last_ttl)
        if ttl is None:
            return None
        return self._forms.get((text, comment, ttl)) or self._new_form(text, comment, head, ttl)

    def _new_form(self, text: str, comment: str, head: Head, ttl: int) -> Form | None:
        if len(comment) > MAX_PART:
            return None
        try:
            meaning = self._interpret(head.rtype, ttl, comment.partition(";")[2])
        except ValueError:
            return None
        form = Form(head.ttl_given, meaning, self._rdatas[head.rtype], partial(self.data, head.rtype))
        _room_in(self._forms)[text, comment, ttl] = form
        return form

    def _new_head(self, text: str) -> Head | None:
        head = parse_head(text) if len(text) <= MAX_PART else None
        if head:
            _room_in(self._heads)[text] = head
        return head

    def data(self, rtype: int, text: str) -> bytes | None:
        """The wire form of data of a type; None unless it is plain."""
        parse = parse_plain(rtype)
        try:
            rdata = parse(text, self.name) if parse and len(text) <= MAX_PART else None
        except ValueError:
            return None
        if rdata is not None:
            _room_in(self._rdatas[rtype])[text] = rdata
        return rdata

    def name(self, text: str) -> bytes | None:
        """The wire form of a name as LINE has it for the owner, case kept; None unless it is plain."""
        if text == "@":
            return self.origin
        label, dot, ending = text.partition(".")
        rest = self._endings.get(ending if dot else None) or self._new_ending(ending)
        size = len(label)
        if rest is None or not 0 < size <= MAX_LABEL or size + len(rest) >= MAX_NAME:
            return ROOT if text == "." else None
        return (LENGTHS[size] + label).encode() + rest

    def _new_ending(self, text: str) -> bytes | None:
        name = self.name(text) if text not in ("@", ".") and len(text) < MAX_NAME else None
        if name is not None:
            if len(self._endings) >= MAX_KNOWN:
                self._endings = {None: self.origin, "": ROOT}
            self._endings[text] = name
        return name


def parse_head(text: str) -> Head | None:
    """The meaning of the text before the data, as LINE has it; None unless it is plain."""
    words = text.split()
    ttl = words[0] if words[0].isdecimal() else None
    try:
        head = Head(parse_data_type(words[-1]), None if ttl is None else int(ttl))
    except ValueError:
        return None
    return head if head.ttl_given is None or head.ttl_given <= MAX_TTL_S else None


def first_ttl(*ttls: int | None) -> int | None:
    """The first known one of the given TTL, $TTL, and the previous record's (RFC 2308 §4, RFC 1035 §5.1)."""
    return next((ttl for ttl in ttls if ttl is not None), None)


def unfolded(entry: str) -> str | None:
    """A plain entry as one line, without the parentheses and the comments between them; None for any other entry."""
    if "(" not in entry:
        return entry
    *inner, last = entry.split("\n")
    text, mark, comment = last.partition(";")
    words = COMMENT.sub("", "\n".join((*inner, text)))
    before, opening, inside = words.partition("(")
    inside, closing, after = inside.partition(")")
    is_odd = '"' in words or "\\" in words or not before or "(" in inside + after or ")" in before + after
    if is_odd or not (opening and closing) or any(MARK_TEXT in line for line in inner):
        return None
    return f"{before} {inside} {after}".replace("\n", " ") + mark + comment


K = TypeVar("K")
V = TypeVar("V")


def _room_in(known: dict[K, V]) -> dict[K, V]:
    """The dict, which is emptied first if it is full."""
    if len(known) >= MAX_KNOWN:
        known.clear()
    return known
