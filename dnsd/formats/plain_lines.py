"""Read plain lines of large master files fast: owner name, TTL, class, type, data and comment, nothing unusual.

The text before the data, and the comment after it, mean the same on every line. This module does not parse them: it
remembers the meaning that the full reader (zone_text.py) found. Only names and addresses, which differ from line to
line, have code of their own. A line with an unknown part is left to the full reader.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import dns.exception
import dns.ipv6

from dnsd.model.records import Identity
from dnsd.wire.names import MAX_LABEL, MAX_NAME, ROOT
from dnsd.wire.rdata import AAAA, CNAME, DNAME, NS, PTR, A

MAX_KNOWN = 100_000  # remembered parts of each kind; when full, all are forgotten
MAX_PART = 10_000  # characters of a remembered part

# No part matches in two ways, and matches are possessive: the time is that of reading the line once.
WORD = r'(?:[^ \t\n"()\\;]++|"[^"\\\n]*+")++'
LINE = re.compile(
    r"([-\w*.]*+)"  # owner name; if empty, the previous line's
    r"([ \t]++(?:\d++[ \t]++)?+(?:IN[ \t]++)?+[A-Z][A-Z0-9]*+[ \t]++)"  # TTL, class and type
    rf"({WORD}(?:[ \t]++{WORD})*+)"  # data
    r"([ \t]*+(?:;[^\n]*+)?+)\n"  # comment
    r"|",  # any other line: an empty match, so that the search does not skip it
    re.ASCII,
)
PLAIN_NAME = re.compile(r"[-\w*.]+", re.ASCII)
HOSTS = frozenset({NS, CNAME, DNAME, PTR})  # types whose data is a name
LENGTHS = tuple(chr(length) for length in range(MAX_LABEL + 1))  # one octet each


class Head(NamedTuple):
    """The meaning of the part of a line between its owner name and its data."""

    rtype: int
    ttl: int  # seconds
    is_ttl_given: bool  # else it comes from $TTL


class LineMeaning(NamedTuple):
    """The meaning of a head and a comment for the record between them."""

    traits: int  # index of the traits
    identity: Identity  # of all records with this exact comment
    warning: str  # may be empty


class Form(NamedTuple):
    """The meaning of a line apart from its owner name and its data."""

    ttl_given: int | None  # seconds; None if it comes from $TTL
    meaning: LineMeaning
    rdatas: dict[str, bytes]  # known data of this type -> wire form
    parse: Callable[[str], bytes | None]  # other data -> wire form; None unless it is plain


class KnownParts:
    """The known parts of lines and their meaning, under one origin and one $TTL."""

    def __init__(self, origin: bytes, interpret: Callable[[Head, str], LineMeaning]) -> None:
        """`interpret` returns the meaning of a head and a comment, or raises ValueError if they are wrong."""
        self._endings: dict[str | None, bytes] = {None: origin, "": ROOT}  # text after a label and a dot -> wire form
        self._origin = origin
        self._interpret = interpret
        self._heads: dict[str, Head] = {}
        self._forms: dict[tuple[str, str], Form] = {}
        self._rdatas: dict[int, dict[str, bytes]] = defaultdict(dict)

    def remember(self, entry: str, head: Head, rdata: bytes) -> None:
        """Remember the parts of an entry that the full reader has read, if the entry is a plain line."""
        match = LINE.fullmatch(entry + "\n")
        if match and len(entry) <= MAX_PART:
            _, text, data, _ = match.groups()
            _room_in(self._heads)[text] = head
            _room_in(self._rdatas[head.rtype])[data] = rdata

    def form(self, text: str, comment: str) -> Form | None:
        """The form of a line with this text before its data and this comment; None if unknown."""
        return self._forms.get((text, comment)) or self._new_form(text, comment)

    def _new_form(self, text: str, comment: str) -> Form | None:
        head = self._heads.get(text)
        if head is None or len(comment) > MAX_PART:
            return None
        try:
            meaning = self._interpret(head, comment.partition(";")[2])
        except ValueError:
            return None
        ttl_given = head.ttl if head.is_ttl_given else None
        form = Form(ttl_given, meaning, self._rdatas[head.rtype], self._parser(head.rtype))
        _room_in(self._forms)[text, comment] = form
        return form

    def name(self, text: str) -> bytes | None:
        """The wire form of a plain name, such as LINE has as owner name, case kept; None for any other name."""
        label, dot, ending = text.partition(".")
        rest = self._endings.get(ending if dot else None) or self._new_ending(ending)
        size = len(label)
        if rest is None or not 0 < size <= MAX_LABEL or size + len(rest) >= MAX_NAME:
            return None
        return (LENGTHS[size] + label).encode() + rest

    def _new_ending(self, text: str) -> bytes | None:
        name = self.name(text) if len(text) < MAX_NAME else None
        if name is not None:
            if len(self._endings) >= MAX_KNOWN:
                self._endings = {None: self._origin, "": ROOT}
            self._endings[text] = name
        return name

    def _parser(self, rtype: int) -> Callable[[str], bytes | None]:
        rdatas = self._rdatas[rtype]
        parse = {A: _ipv4, AAAA: _ipv6}.get(rtype, self._host if rtype in HOSTS else _unknown)

        def parsed(text: str) -> bytes | None:
            rdata = parse(text)
            if rdata is not None:
                _room_in(rdatas)[text] = rdata
            return rdata

        return parsed

    def _host(self, text: str) -> bytes | None:
        return self.name(text) if PLAIN_NAME.fullmatch(text) else None


def _ipv4(text: str) -> bytes | None:
    try:
        address = bytes(map(int, text.split(".")))
    except ValueError:
        return None
    # Python also accepts numbers such as 007 and 1_0, which are not valid in an address.
    return address if len(address) == 4 and ".".join(map(str, address)) == text else None


def _ipv6(text: str) -> bytes | None:
    try:
        return dns.ipv6.inet_aton(text)
    except dns.exception.SyntaxError:
        return None


def _unknown(text: str) -> bytes | None:
    return None


K = TypeVar("K")
V = TypeVar("V")


def _room_in(known: dict[K, V]) -> dict[K, V]:
    """The dict, which is emptied first if it is full."""
    if len(known) >= MAX_KNOWN:
        known.clear()
    return known
