"""Entries of the table of names: their octets, of which entry.h has a description, and their order.

A *row* is the octets of one entry, from `row` or `rows`.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from dnsd.wire.message import IN, RECORD_FIXED
from dnsd.wire.names import MAX_NAME
from dnsd.wire.rdata import NS

Octets = bytes | memoryview

CUT = 1  # a delegation
OCCLUDED = 2  # below a delegation: found as glue, but not answered
EMPTY = 4  # an empty non-terminal
PLAIN = 8  # its sets are its answers
SPECIAL = 16  # has a rule
GONE = 32  # in changes: the name is removed
SHADOWED = 64  # at or below the name of a child zone that is served: not in the hash
MARK = 128  # the begin of a zone; the name is the zone's
COMPUTED = CUT | OCCLUDED | EMPTY | GONE | SHADOWED | MARK
ABSENT = OCCLUDED | GONE | SHADOWED | MARK  # not a name for `in`


FIXED = struct.Struct("<BBHI")  # flags, octets of the name, sets, kind
SET = struct.Struct("<HHH")  # type, records, octets of the body
NUMBER = struct.Struct("<I")
LARGE = 0xFFFF  # octets of a body, or more: then a u32 follows
MAX_RDATA = 0xFFFF  # octets, RFC 1035 §3.2.1
CUT_OFF = "an entry of a table is cut off"

SortKey = tuple[bytes, ...]


class PackedSet(NamedTuple):
    """An RRset as the body of its answer: the owner of each record is the pointer C0 0C."""

    rtype: int
    records: int
    body: bytes


class NameEntry(NamedTuple):
    """What a table has for a name; `kind` is a number of its user."""

    flags: int
    kind: int
    name: bytes
    sets: tuple[PackedSet, ...]


class NameHead(NamedTuple):
    """An entry without its data."""

    flags: int
    kind: int
    types: tuple[int, ...]  # of its sets


class RawEntry(NamedTuple):
    """An entry and its octets."""

    flags: int
    kind: int
    name: bytes
    octets: bytes
    has_ns: bool


def row(flags: int, kind: int, name: bytes, sets: Iterable[tuple[int, int, bytes]] = ()) -> bytes:
    """The octets of an entry."""
    parts = [b""]
    count = 0
    for rtype, records, body in sets:
        size = len(body)
        parts.append(SET.pack(rtype, records, min(size, LARGE)))
        if size >= LARGE:
            parts.append(NUMBER.pack(size))
        parts.append(body + b"\0" if size & 1 else body)
        count += 1
    parts[0] = FIXED.pack(flags, len(name), count, kind) + (name + b"\0" if len(name) & 1 else name)
    octets = b"".join(parts)
    return octets + bytes(-len(octets) % 4)


Column: TypeAlias = "bytes | memoryview | array[int]"
Treatment = tuple[int, int, int, int, bool]  # flags, kind, type, TTL, whether nothing stands for the record


def rows(
    owners: Column,
    owner_ends: Column,
    rdatas: Column,
    rdata_ends: Column,
    traits: Column,
    special: bytes,
    order: Column,
    ends: Column | None,
    treatments: list[Treatment],
) -> bytes:
    """The rows of the names whose records are at the indexes `order`, name by name, up to `ends` there.

    Without `ends`, each name has one record.
    Columns are octets, and the ends of each record's, in numbers of 4 octets, or of 8 if there are too many. `special`
    has an octet for each record, `traits` the index of its treatment. Raises ValueError for what does not fit.
    """
    names, datas = _items(owners, owner_ends), _items(rdatas, rdata_ends)
    numbers, places = _numbers(traits), _numbers(order)
    made, start = [], 0
    for stop in range(1, len(places) + 1) if ends is None else _numbers(ends):
        indexes = places[start:stop]
        if not indexes:
            raise ValueError("records that do not fit into rows")
        flags, kind = treatments[numbers[indexes[0]]][:2]
        sets: dict[int, tuple[list[int], list[bytes]]] = {}
        for index in indexes:
            own_flags, _, rtype, ttl, is_hidden = treatments[numbers[index]]
            flags = SPECIAL if special[index] or own_flags & SPECIAL else flags
            if not is_hidden:
                ttls, found = sets.setdefault(rtype, ([], []))
                ttls.append(ttl)
                found.append(datas(index))
        bodies = ((rtype, len(found), _body(rtype, min(ttls), found)) for rtype, (ttls, found) in sets.items())
        name = names(indexes[0])
        if len(name) > MAX_NAME:
            raise ValueError("records that do not fit into rows")
        made.append(row(flags, kind, name, bodies))
        start = stop
    return b"".join(made)


def _body(rtype: int, ttl: int, rdatas: list[bytes]) -> bytes:
    if any(len(rdata) > MAX_RDATA for rdata in rdatas):
        raise ValueError("records that do not fit into rows")
    pack = RECORD_FIXED.pack
    return b"".join([b"\xc0\x0c" + pack(rtype, IN, ttl, len(rdata)) + rdata for rdata in rdatas])


def _numbers(octets: Column) -> memoryview:
    return memoryview(octets).cast("B").cast("I")


def _items(octets: Column, ends: Column) -> Callable[[int], bytes]:
    """The items of a column, by index."""
    cuts = memoryview(octets)
    numbers = memoryview(ends).cast("B").cast("I" if cuts.nbytes < 2**32 else "Q")
    return lambda index: bytes(cuts[numbers[index - 1] if index else 0 : numbers[index]])


def in_order(name: bytes) -> SortKey:
    """The key that sorts names canonically (RFC 4034 §6.1)."""
    labels = []
    at = 0
    while at < len(name) and (size := name[at]):
        labels.append(name[at + 1 : at + 1 + size])
        at += 1 + size
    labels.reverse()
    return tuple(labels)


def is_within(name: bytes, above: bytes) -> bool:
    """Whether a name is `above` or below it."""
    excess = len(name) - len(above)
    if excess < 0 or not name.endswith(above):
        return False
    at = 0
    while at < excess:
        at += 1 + name[at]
    return at == excess


def sets_end(octets: Octets, at: int, count: int) -> tuple[int, bool]:
    """The offset after so many sets, and whether there is an NS set. Raises struct.error for sets that are cut off."""
    has_ns = False
    for _ in range(count):
        rtype, _, size = SET.unpack_from(octets, at)
        has_ns = has_ns or rtype == NS
        at += SET.size
        if size == LARGE:
            (size,) = NUMBER.unpack_from(octets, at)
            at += NUMBER.size
        if size > len(octets) - at:
            raise struct.error
        at += size + (size & 1)
    return at, has_ns


def raw_entries(octets: Octets, at: int, end: int) -> Iterator[tuple[int, RawEntry]]:
    """The places and entries from `at` up to `end`. Raises ValueError for an entry that is cut off."""
    while at < end:
        place = at
        try:
            flags, size, count, kind = FIXED.unpack_from(octets, place)
            at = place + FIXED.size + size + (size & 1)
            at, has_ns = sets_end(octets, at, count)
        except struct.error:
            raise ValueError(CUT_OFF) from None
        at += -at % 4
        if at > len(octets):
            raise ValueError(CUT_OFF)
        name = bytes(octets[place + FIXED.size : place + FIXED.size + size])
        yield place, RawEntry(flags, kind, name, bytes(octets[place:at]), has_ns)


def read_entry(octets: Octets, place: int) -> NameEntry:
    """The entry at a place. Raises ValueError if it is cut off."""
    flags, size, _, kind = _fixed(octets, place)
    name = bytes(octets[place + FIXED.size : place + FIXED.size + size])
    return NameEntry(flags, kind, name, tuple(_packed(octets, *one) for one in _set_places(octets, place)))


def read_head(octets: Octets, place: int) -> NameHead:
    """The entry at a place without its data. Raises ValueError if it is cut off."""
    flags, _, _, kind = _fixed(octets, place)
    return NameHead(flags, kind, tuple([one[0] for one in _set_places(octets, place)]))


def read_set(octets: Octets, place: int, rtype: int) -> PackedSet | None:
    """One of the sets of the entry at a place. Raises ValueError if it is cut off."""
    return next((_packed(octets, *one) for one in _set_places(octets, place) if one[0] == rtype), None)


def _packed(octets: Octets, rtype: int, records: int, at: int, end: int) -> PackedSet:
    return PackedSet(rtype, records, bytes(octets[at:end]))


def _fixed(octets: Octets, place: int) -> tuple[int, int, int, int]:
    try:
        return FIXED.unpack_from(octets, place)
    except struct.error:
        raise ValueError(CUT_OFF) from None


def _set_places(octets: Octets, place: int) -> list[tuple[int, int, int, int]]:
    """The type, number of records, begin and end of the body of each set of an entry."""
    _, size, count, _ = _fixed(octets, place)
    at = place + FIXED.size + size + (size & 1)
    places = []
    try:
        for _ in range(count):
            rtype, records, size = SET.unpack_from(octets, at)
            at += SET.size
            if size == LARGE:
                (size,) = NUMBER.unpack_from(octets, at)
                at += NUMBER.size
            places.append((rtype, records, at, at + size))
            at += size + (size & 1)
    except struct.error:
        raise ValueError(CUT_OFF) from None
    if places and places[-1][3] > len(octets):
        raise ValueError(CUT_OFF)
    return places
