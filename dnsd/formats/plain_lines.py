"""The lines that large master files are made of: owner, TTL, class, type, data, comment, and nothing odd in any.

What stands before and behind the data of such a line means the same wherever it stands again. So it is not parsed here:
whoever has read a line (zone_text.py) has its parts remembered, and only names and addresses, which differ from line to
line, have code of their own. A line with a part that has not been met is left to the reader of all lines.
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

MAX_KNOWN = 100_000  # of each kind of part; when there are more, all are forgotten
MAX_PART = 10_000  # characters of one that is remembered

# No part can be matched in two ways, and what has matched is not given back: the time is that of reading the line once.
WORD = r'(?:[^ \t\n"()\\;]++|"[^"\\\n]*+")++'
LINE = re.compile(
    r"([-\w*.]*+)"  # owner; empty: that of the line before
    r"([ \t]++(?:\d++[ \t]++)?+(?:IN[ \t]++)?+[A-Z][A-Z0-9]*+[ \t]++)"  # TTL, class and type
    rf"({WORD}(?:[ \t]++{WORD})*+)"  # data
    r"([ \t]*+(?:;[^\n]*+)?+)\n"  # comment
    r"|",  # nothing, where another line stands, so that none is passed over in search of one
    re.ASCII,
)
PLAIN_NAME = re.compile(r"[-\w*.]+", re.ASCII)
HOSTS = frozenset({NS, CNAME, DNAME, PTR})  # types whose data is a name
LENGTHS = tuple(chr(length) for length in range(MAX_LABEL + 1))  # one octet each


class Head(NamedTuple):
    """What stands between the owner and the data of a line."""

    rtype: int
    ttl: int  # seconds
    is_ttl_given: bool  # else it is that of $TTL


class Said(NamedTuple):
    """What a head and a comment say of the record between them."""

    traits: int  # what stands for them
    identity: Identity  # of all records with this very comment
    warning: str  # may be empty


class Form(NamedTuple):
    """What a line says but for its owner and its data."""

    ttl_given: int | None  # seconds; None where it is that of $TTL
    said: Said
    rdatas: dict[str, bytes]  # data of this type that has been met -> wire form
    parse: Callable[[str], bytes | None]  # of other data; None where that is not plain


class Known:
    """What the parts of lines mean, under one origin and one $TTL."""

    def __init__(self, origin: bytes, said_by: Callable[[Head, str], Said]) -> None:
        """`said_by` says what a head and a comment say, and raises ValueError if they are wrong."""
        self._endings: dict[str | None, bytes] = {None: origin, "": ROOT}  # what follows a label and a dot -> wire form
        self._origin = origin
        self._said_by = said_by
        self._heads: dict[str, Head] = {}
        self._forms: dict[tuple[str, str], Form] = {}
        self._rdatas: dict[int, dict[str, bytes]] = defaultdict(dict)

    def remember(self, entry: str, head: Head, rdata: bytes) -> None:
        """Take note of an entry that has been read, if it is plain."""
        match = LINE.fullmatch(entry + "\n")
        if match and len(entry) <= MAX_PART:
            _, text, data, _ = match.groups()
            _room_in(self._heads)[text] = head
            _room_in(self._rdatas[head.rtype])[data] = rdata

    def form(self, text: str, comment: str) -> Form | None:
        """The form of a line, by what stands before its data and after; None where that is not known."""
        return self._forms.get((text, comment)) or self._new_form(text, comment)

    def _new_form(self, text: str, comment: str) -> Form | None:
        head = self._heads.get(text)
        if head is None or len(comment) > MAX_PART:
            return None
        try:
            said = self._said_by(head, comment.partition(";")[2])
        except ValueError:
            return None
        ttl_given = head.ttl if head.is_ttl_given else None
        form = Form(ttl_given, said, self._rdatas[head.rtype], self._parser(head.rtype))
        _room_in(self._forms)[text, comment] = form
        return form

    def name(self, text: str) -> bytes | None:
        """The wire form, case kept, of a plain name, of the characters that LINE has in owners; None for any other."""
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
    # Python reads numbers such as 007 and 1_0 too, which are none in an address.
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
    """The dict, emptied where it is full."""
    if len(known) >= MAX_KNOWN:
        known.clear()
    return known
