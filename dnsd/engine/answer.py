"""Answers: a reply without its question and OPT record, compiled once.

The owner name of a record that answers the question is written as `C0 0C`, a pointer to the question's name (RFC 1035
§4.1.4), and all other names in full, so that one constant body serves all queries and all names that share it. Only a
body that might not fit into the smallest reply with a long question is compressed; its pointers then move with the
length of the question.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from dnsd.wire.message import (
    AA,
    CD,
    HEADER_SIZE,
    IN,
    MAX_MESSAGE_SIZE,
    MIN_UDP_SIZE,
    NOERROR,
    QR,
    QUESTION_TAIL,
    RD,
    RECORD_FIXED,
    TC,
)
from dnsd.wire.names import MAX_NAME, ROOT, ancestors, name_end
from dnsd.wire.rdata import COMPRESSIBLE, NS, SOA

QUESTION_NAME = b"\xc0\x0c"
LARGEST_OPT = 64  # octets of our OPT record: the fixed part, an NSID of common size, an extended error
ALWAYS_FITS = MIN_UDP_SIZE - HEADER_SIZE - MAX_NAME - QUESTION_TAIL - LARGEST_OPT
FARTHEST = 0x3FFF - HEADER_SIZE - MAX_NAME - QUESTION_TAIL  # offset in a body that a pointer always reaches

LONGEST_SHARED = 64  # octets of the longest suffix that later names can point to; a whole name may be longer

_HEAD = struct.Struct("!HHHHH")  # flags and the four counts
_LENGTH = struct.Struct("!H")


class Rrset(NamedTuple):
    """The records of one owner name and type; `owner` is a wire name, or None for the question's name."""

    owner: bytes | None
    rtype: int
    ttl: int  # seconds
    rdatas: tuple[bytes, ...]
    rclass: int = IN


Section = tuple[Rrset, ...]


class EdgeSource(NamedTuple):
    """The address map that supplies edge addresses, and the step of the search that found it."""

    step: str  # zone, account, immutable; default for the pool
    map: str  # key; empty for the pool
    is_unadvertised: bool = False  # whether any of the addresses is declared or observed withdrawn


POOL = EdgeSource("default", "")


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A compiled reply: `id + heads[head] + question + body_at(…) + OPT`, with `head` from `head_index`.

    `pointers` are (where, to) pairs of a compressed body, counted from its start; `to` may lie in the question.
    `shorter` are the (octets, additional records) of the body without some of the optional glue at its end, the longest
    first. `edge` is the source of edge addresses in the answer section.
    """

    rcode: int
    aa: bool
    answer: Section
    authority: Section
    additional: Section
    option: bytes  # an EDNS option to send along, or empty
    heads: tuple[bytes, ...]
    body: bytes
    pointers: tuple[tuple[int, int], ...]
    shorter: tuple[tuple[int, int], ...]
    edge: EdgeSource | None

    def fitted(self, room: int) -> Answer:
        """This answer in at most `room` octets: with less optional glue (RFC 9471 §2.2), else TC and no records."""
        counts = _count(self.answer), _count(self.authority)
        for size, additional in self.shorter:
            if size <= room:
                pointers = tuple(pointer for pointer in self.pointers if pointer[0] < size)
                heads = _heads(self.rcode, self.aa, (*counts, additional))
                return replace(self, heads=heads, body=self.body[:size], pointers=pointers)
        return replace(self, heads=_heads(self.rcode, self.aa, (0, 0, 0), tc=True), body=b"", pointers=())

    def for_any_class(self) -> Answer:
        """This answer to a question of class ANY, like NSD's: without AA, negative answers without the SOA."""
        if any(rrset.rtype == SOA for rrset in self.authority):
            return build_answer(self.answer, rcode=self.rcode, aa=False, option=self.option, edge=self.edge)
        counts = _count(self.answer), _count(self.authority), _count(self.additional)
        return replace(self, aa=False, heads=_heads(self.rcode, False, counts))

    def body_at(self, start: int) -> bytes:
        """The body for a reply where it starts at offset `start`."""
        if not self.pointers:
            return self.body
        body = bytearray(self.body)
        for where, to in self.pointers:
            _LENGTH.pack_into(body, where, 0xC000 | start + to)
        return bytes(body)


def is_referral(answer: Answer) -> bool:
    """Whether an answer leads to the servers of another zone."""
    return not answer.answer and bool(answer.authority) and answer.authority[0].rtype == NS


def head_index(flags: int, *, edns: bool) -> int:
    """The index of the head for a query's flags: RD and CD are copied (RFC 1035 §4.1.1, RFC 4035 §3.2.2)."""
    return bool(flags & RD) | bool(flags & CD) << 1 | edns << 2


def build_answer(
    answer: Iterable[Rrset] = (),
    *,
    authority: Iterable[Rrset] = (),
    glue: Iterable[Rrset] = (),
    optional_glue: Iterable[Rrset] = (),
    rcode: int = NOERROR,
    aa: bool = True,
    option: bytes = b"",
    below: bytes = ROOT,
    cut: bytes | None = None,
    edge: EdgeSource | None = None,
) -> Answer:
    """Compile an answer to questions about names at or below canonical `below`.

    A referral has its `cut` instead, the owner of its authority: always a pointer, so that referrals of one zone differ
    in nothing but their name servers.
    A reply without all `glue` is truncated; `optional_glue` is included as far as it fits.
    """
    answer, authority, glue, optional_glue = tuple(answer), tuple(authority), tuple(glue), tuple(optional_glue)
    needed = (*answer, *authority, *glue)
    body = _Body(None, cut, most=ALWAYS_FITS)
    shorter = _pack(body, needed, optional_glue, _count(glue))
    if body.is_full:
        body = _Body(below if cut is None else cut, most=MAX_MESSAGE_SIZE)
        shorter = _pack(body, needed, optional_glue, _count(glue))
    counts = _count(answer), _count(authority), _count((*glue, *optional_glue))
    return Answer(
        rcode=rcode,
        aa=aa,
        answer=answer,
        authority=authority,
        additional=(*glue, *optional_glue),
        option=option,
        heads=_heads(rcode, aa, counts),
        body=bytes(body.octets),
        pointers=tuple(body.pointers),
        shorter=shorter,
        edge=edge,
    )


@lru_cache(maxsize=4096)
def _heads(rcode: int, aa: bool, counts: tuple[int, int, int], *, tc: bool = False) -> tuple[bytes, ...]:
    """Octets 2 to 12 of the reply for each `head_index`; with EDNS, the OPT record is counted."""
    flags = QR | (AA if aa else 0) | (TC if tc else 0) | rcode
    return tuple(
        _HEAD.pack(
            flags | (RD if index & 1 else 0) | (CD if index & 2 else 0), 1, *counts[:2], counts[2] + (index >> 2)
        )
        for index in range(8)
    )


def _count(section: Section) -> int:
    return sum([len(rrset.rdatas) for rrset in section]) if section else 0


def _pack(body: _Body, needed: Section, optional: Section, records: int) -> tuple[tuple[int, int], ...]:
    """Write all records, or until the body is full; return the sizes at which it can be cut.

    Each comes with its additional `records`.
    """
    for rrset in needed:
        body.add(rrset)
    cuts = []
    for rrset in optional:
        cuts.append((len(body.octets), records))
        body.add(rrset)
        records += len(rrset.rdatas)
    return tuple(reversed(cuts))


class _Body:
    """A body under construction.

    With `below`, a suffix of the question's name, its names are compressed; without, `cut` alone is. Beyond `most`
    octets, it is full: nothing is added any more.
    """

    def __init__(self, below: bytes | None, cut: bytes | None = None, *, most: int) -> None:
        self.octets = bytearray()
        self._most = most
        self.pointers: list[tuple[int, int]] = []
        self._cut = cut
        self._offsets: dict[bytes, int] | None = None
        if below is not None:
            # The question's name precedes its type and class, which directly precede the body.
            names = (below, *ancestors(below))
            self._offsets = {name: -QUESTION_TAIL - len(name) for name in names if name != ROOT}

    @property
    def is_full(self) -> bool:
        return len(self.octets) > self._most

    def add(self, rrset: Rrset) -> None:
        position, names = COMPRESSIBLE.get(rrset.rtype, (0, 0))
        for rdata in rrset.rdatas:
            if len(self.octets) > self._most:
                return
            if rrset.owner is None:
                self.octets += QUESTION_NAME
            elif rrset.owner == self._cut:
                self.pointers.append((len(self.octets), -QUESTION_TAIL - len(rrset.owner)))
                self.octets += QUESTION_NAME  # overwritten by body_at
            else:
                self._add_name(rrset.owner)
            self.octets += RECORD_FIXED.pack(rrset.rtype, rrset.rclass, rrset.ttl, len(rdata))
            if not names:
                self.octets += rdata
                continue
            start = len(self.octets)
            self._add_rdata(rdata, position, names)
            _LENGTH.pack_into(self.octets, start - _LENGTH.size, len(self.octets) - start)

    def _add_rdata(self, rdata: bytes, position: int, names: int) -> None:
        self.octets += rdata[:position]
        for _ in range(names):
            end = name_end(rdata, position)
            self._add_name(rdata[position:end])
            position = end
        self.octets += rdata[position:]

    def _add_name(self, name: bytes) -> None:
        """Write a name, with its longest known suffix in the same case as a pointer (RFC 1035 §4.1.4)."""
        if self._offsets is None:
            self.octets += name
            return
        if (known := self._offsets.get(name)) is not None:
            self.pointers.append((len(self.octets), known))
            self.octets += QUESTION_NAME  # overwritten by body_at
            return
        name = self._add_long(name)
        while name != ROOT:
            here = len(self.octets)
            if name in self._offsets:
                self.pointers.append((here, self._offsets[name]))
                self.octets += QUESTION_NAME
                return
            if here <= FARTHEST:
                self._offsets[name] = here
            self.octets += name[: 1 + name[0]]
            name = name[1 + name[0] :]
        self.octets += ROOT

    def _add_long(self, name: bytes) -> bytes:
        """Write the first labels of a long new name and return the rest: suffixes as long as this rarely recur."""
        assert self._offsets is not None
        start = 0
        while len(name) - start > LONGEST_SHARED:
            start += 1 + name[start]
        if not start or name in self._offsets:
            return name
        if len(self.octets) <= FARTHEST:
            self._offsets[name] = len(self.octets)
        self.octets += name[:start]
        return name[start:]
