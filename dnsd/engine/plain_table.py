"""Tables of names in Python, for systems without _table.c: the same octets, of which entry.h has a description.

In a table with an overlay, what the overlay has for a name in a zone replaces what the base has.
"""

from __future__ import annotations

import heapq
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from dnsd.engine.entry import (
    FIXED,
    GONE,
    NUMBER,
    OCCLUDED,
    NameEntry,
    NameHead,
    Octets,
    PackedSet,
    RawEntry,
    SortKey,
    in_order,
    is_within,
    raw_entries,
    read_entry,
    read_head,
    read_set,
)
from dnsd.wire.names import MAX_NAME, ROOT
from dnsd.wire.siphash import siphash

MAGIC = b"dnsdtab1"
HEAD = struct.Struct("<8s16sIIIIIIQ")  # magic, key, names, slots, entries with marks, zones, longest, 0, octets
ORDER_STEP = 16
MAX_ENTRIES = 0xFFFFFFFF * 4 - 4  # octets of all entries
NOT_A_TABLE = "not a table of names"


class EntryTable:
    """Names in octets from `pack` or `merge`, and an overlay. Raises ValueError for other octets."""

    def __init__(self, octets: Octets, overlay: Octets | None = None) -> None:
        self._use(octets, overlay)

    def _use(self, octets: Octets, overlay: Octets | None) -> None:
        layers = [Layer(octets)] if overlay is None else [Layer(octets), Layer(overlay)]
        self.octets, self.overlay, self.layers = octets, overlay, layers

    def move(self, octets: Octets) -> None:
        """Switch to an identical copy of the octets that processes share."""
        self._use(octets, self.overlay)

    @property
    def longest(self) -> int:
        """An upper bound on the octets of a name, at least 1."""
        return max(1, *(layer.longest for layer in self.layers))

    def find(self, name: bytes) -> NameEntry | None:
        """The entry of a name, of the deepest zone that holds it; also an occluded one."""
        found = self._place(name)
        return found and read_entry(*found)

    def find_in(self, apex: bytes, name: bytes) -> NameEntry | None:
        """The entry of a name in this zone; also a shadowed or occluded one."""
        found = self._place(name, apex)
        return found and read_entry(*found)

    def head(self, name: bytes, apex: bytes | None = None) -> NameHead | None:
        """The entry of a name without its data: as `find`, or as `find_in`."""
        found = self._place(name, apex)
        return found and read_head(*found)

    def find_set(self, rtype: int, name: bytes, apex: bytes | None = None) -> PackedSet | None:
        """One RRset of a name, of the entry as for `head`."""
        found = self._place(name, apex)
        return found and read_set(*found, rtype)

    def _place(self, name: bytes, apex: bytes | None = None) -> tuple[Octets, int] | None:
        """The octets that have the entry of a name, and its place there."""
        for layer in reversed(self.layers):
            place = layer.find(name) if apex is None else layer.find_in(apex, name)
            if place is not None:
                return None if layer.flags(place) & GONE else (layer.entries, place)
        return None

    def __contains__(self, name: object) -> bool:
        if isinstance(name, bytes):
            for layer in reversed(self.layers):
                place = layer.find(name)
                if place is not None:
                    return not layer.flags(place) & (GONE | OCCLUDED)
        return False

    def __len__(self) -> int:
        base, *overlays = self.layers
        names = base.names
        for place in (place for overlay in overlays for place in overlay.hashed()):
            flags, _, name, _ = overlays[0].entry(place)
            before = base.find(name)
            names += not flags & (GONE | OCCLUDED)
            names -= before is not None and not base.flags(before) & OCCLUDED
        return max(names, 0)

    def before(self, apex: bytes, name: bytes) -> NameEntry | None:
        """The last entry of a zone before a name; None without one."""
        while True:
            places = [(layer, layer.seek(*layer.zone(apex), name)[1]) for layer in self.layers]
            found = [layer.entry(place) for layer, place in places if place is not None]
            if not found:
                return None
            last = max(reversed(found), key=lambda entry: in_order(entry.name))
            if not last.flags & GONE:
                return last
            name = last.name

    def walk(self, apex: bytes, name: bytes | None = None, past: bool = False, /) -> Iterator[NameEntry]:
        """Iterate over the entries of a zone in canonical order, from a name on.

        With `past`, from the first name after it and all names below it.
        """
        starts = []
        for layer in self.layers:
            start, end = layer.zone(apex)
            starts.append((layer, start if name is None else layer.seek(start, end, name, past=past)[0], end))
        for raw in merged([raw_entries(layer.entries, start, end) for layer, start, end in starts]):
            if not raw.flags & GONE:
                yield read_entry(raw.octets, 0)

    def zones(self, above: bytes = ROOT, /) -> list[bytes]:
        """The names of the zones that have entries, in canonical order; or of those at or below a name."""
        apexes = {apex for layer in self.layers for apex in layer.apexes()}
        return [apex for apex in sorted(apexes, key=in_order) if is_within(apex, above) and next(self.walk(apex), None)]


class Layer:
    """The octets of one table. Raises ValueError for other octets."""

    def __init__(self, octets: Octets) -> None:
        if len(octets) < HEAD.size:
            raise ValueError(NOT_A_TABLE)
        magic, key, names, slots, entries, zones, longest, _, size = HEAD.unpack_from(octets)
        order = -(-entries // ORDER_STEP)
        tail = 4 * (slots + order + zones)
        is_sound = magic == MAGIC and slots and not slots & (slots - 1) and size <= MAX_ENTRIES and not size & 3
        fits = entries <= size // FIXED.size and zones <= entries >= names and longest <= MAX_NAME
        if not (is_sound and fits and len(octets) == HEAD.size + size + tail):
            raise ValueError(NOT_A_TABLE)
        view = memoryview(octets)
        self.names: int = names
        self.key, self.count = key, entries
        self.longest: int = longest
        self.entries = view[HEAD.size : HEAD.size + size]
        self.slots = _Numbers(view[HEAD.size + size :][: 4 * slots])
        self.order = _Places(view[HEAD.size + size + 4 * slots :][: 4 * order])
        self.zone_places = _Places(view[len(octets) - 4 * zones :])

    def find(self, name: bytes) -> int | None:
        """The place of the entry that a name leads to; it may be GONE."""
        slots, entries = self.slots, self.entries
        mask = len(slots) - 1
        slot = siphash(name, self.key) & mask
        for _ in range(self.count):
            number = slots[slot]
            place = (number - 1) * 4
            if not number or place > len(entries) - FIXED.size:
                return None
            if entries[place + 1] == len(name) and entries[place + 8 : place + 8 + len(name)] == name:
                return place
            slot = slot + 1 & mask
        return None

    def find_in(self, apex: bytes, name: bytes) -> int | None:
        """The place of the entry of a name in a zone; it may be GONE."""
        start, end = self.zone(apex)
        at = self.find(name)
        if at is None or not start <= at < end:  # the hash leads to the deepest of several zones
            at, _ = self.seek(start, end, name)
        return at if at < end and self.name(at) == name else None

    def hashed(self) -> Iterator[int]:
        """The places of all entries in the hash."""
        return ((number - 1) * 4 for number in self.slots if number)

    def apexes(self) -> Iterator[bytes]:
        """The names of the zones."""
        return map(self.name, self.zone_places)

    def raw(self, apex: bytes) -> Iterator[tuple[int, RawEntry]]:
        """The places and entries of a zone."""
        return raw_entries(self.entries, *self.zone(apex))

    def flags(self, place: int) -> int:
        """The flags of the entry at a place."""
        return self.entries[place]

    def name(self, place: int) -> bytes:
        """The name of the entry at a place; empty if it is cut off."""
        if place > len(self.entries) - FIXED.size:
            return b""
        return bytes(self.entries[place + FIXED.size :][: self.entries[place + 1]])

    def entry(self, place: int) -> NameEntry:
        """The entry at a place. Raises ValueError if it is cut off."""
        return read_entry(self.entries, place)

    def zone(self, apex: bytes) -> tuple[int, int]:
        """The places where the entries of a zone begin and end."""
        places, end = self.zone_places, len(self.entries)
        number = bisect_left(places, in_order(apex), key=lambda place: in_order(self.name(place)))
        if number == len(places) or self.name(places[number]) != apex:
            return 0, 0
        start = places[number] + FIXED.size + len(apex)
        if number + 1 < len(places):
            end = min(end, places[number + 1])
        return start + -start % 4, end

    def seek(self, start: int, end: int, name: bytes, *, past: bool = False) -> tuple[int, int | None]:
        """The places of the first entry of a zone that does not come before a name, and of the last that does.

        With `past`, all names below it come before it, too.
        """
        sought = in_order(name)

        def is_before(other: bytes) -> bool:
            return in_order(other) < sought or (past and is_within(other, name))

        def is_late(place: int) -> bool:
            return place >= end or (place >= start and not is_before(self.name(place)))

        first = bisect_left(self.order, True, key=is_late)
        at = max(start, self.order[first - 1]) if first else start
        before = None
        for place, raw in raw_entries(self.entries, at, end):
            if not is_before(raw.name):
                return place, before
            before = place
        return end, before


class _Numbers(Sequence[int]):
    """The numbers in octets."""

    def __init__(self, octets: memoryview) -> None:
        self._octets = octets

    def __len__(self) -> int:
        return len(self._octets) // NUMBER.size

    def __getitem__(self, index: int) -> int:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError
        return int(NUMBER.unpack_from(self._octets, index * NUMBER.size)[0])


class _Places(_Numbers):
    """The places that numbers in octets stand for."""

    def __getitem__(self, index: int) -> int:  # type: ignore[override]
        return 4 * super().__getitem__(index)


def merged(layers: Sequence[Iterator[tuple[int, RawEntry]]]) -> Iterator[RawEntry]:
    """The entries of a zone in several tables, for each name that of the latest table."""
    if len(layers) == 1:
        yield from (raw for _, raw in layers[0])
        return
    keyed = [_keyed(layer, -number) for number, layer in enumerate(layers)]
    for _, same in groupby(heapq.merge(*keyed, key=itemgetter(0, 1)), key=itemgetter(0)):
        yield next(same)[2]


def _keyed(layer: Iterator[tuple[int, RawEntry]], rank: int) -> Iterator[tuple[SortKey, int, RawEntry]]:
    return ((in_order(raw.name), rank, raw) for _, raw in layer)
