"""Tables of names made in Python, for systems without _table.c: the same octets, of which entry.h has a description."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from dnsd.engine.entry import (
    COMPUTED,
    CUT,
    EMPTY,
    GONE,
    MARK,
    NUMBER,
    OCCLUDED,
    SHADOWED,
    Octets,
    RawEntry,
    in_order,
    is_within,
    raw_entries,
    row,
)
from dnsd.engine.plain_table import HEAD, MAGIC, MAX_ENTRIES, ORDER_STEP, EntryTable, Layer, merged
from dnsd.errors import WireError
from dnsd.wire.names import MAX_NAME, name_end
from dnsd.wire.siphash import siphash

ZoneRows = tuple[bytes, int, Octets]  # the zone's name, the kind of its empty non-terminals, its rows joined
KEY_SIZE = 16


def pack(zones: Sequence[ZoneRows], key: bytes, changes: bool = False, /) -> bytes:
    """The octets of a table, from rows in any order.

    A zone without octets only shadows names of the zones above it. With `changes`, the rows have their flags already.
    Raises ValueError for rows that cannot be those of a table.
    """
    out = _Output(key)
    if not all(_is_name(apex) for apex, _, _ in zones):
        raise ValueError("the name of a zone is not a name")
    ordered = sorted(zones, key=lambda zone: in_order(zone[0]))
    apexes = [apex for apex, _, _ in ordered]
    if len(set(apexes)) < len(apexes):
        raise ValueError("two zones have the same name")
    for number, (apex, kind, octets) in enumerate(ordered):
        if not octets:
            continue
        found = _sorted_rows(apex, octets, changes=changes)
        if changes:
            out.put_zone(apex, found)
        elif not found or found[0].name != apex:
            raise ValueError("a zone has no row of its own name")
        else:
            children = _Children(apex, apexes, number + 1)
            out.put_zone(apex, _flagged(apex, kind, found, children))
    return out.octets()


def merge(tables: Sequence[Octets], key: bytes, keep_gone: bool, replaced: Collection[bytes] = (), /) -> bytes:
    """The octets of one table from those of several, the latest last.

    Removed names are left out, or kept as such for an overlay. Of the zones `replaced`, only the latest table counts.
    Raises ValueError.
    """
    out = _Output(key)
    layers = [Layer(octets) for octets in tables]
    for apex in sorted({apex for layer in layers for apex in layer.apexes()}, key=in_order):
        found = merged([layer.raw(apex) for layer in (layers[-1:] if apex in replaced else layers)])
        out.put_zone(apex, (raw for raw in found if keep_gone or not raw.flags & GONE))
    return out.octets()


def difference(
    old: EntryTable, new: Octets, apexes: Iterable[bytes] | None, key: bytes, most: int | None = None, /
) -> bytes | None:
    """The changes that turn zones of a table into those in octets of another one; None: all zones of the new one.

    None if there are more than `most` entries. Raises ValueError.
    """
    out = _Output(key)
    after = Layer(new)
    for apex in sorted(set(after.apexes() if apexes is None else apexes), key=in_order):
        before = {raw.name: raw for raw in merged([layer.raw(apex) for layer in old.layers])}
        now = {raw.name: raw for _, raw in after.raw(apex)}
        out.put_zone(apex, _differing(before, now))
        if most is not None and out.entries > most:
            return None
    return out.octets()


def _differing(before: dict[bytes, RawEntry], now: dict[bytes, RawEntry]) -> Iterator[RawEntry]:
    for name in sorted({*before, *now}, key=in_order):
        old, new = before.get(name), now.get(name)
        if new is None:
            if old is not None and not old.flags & GONE:
                flags = GONE | old.flags & SHADOWED
                yield RawEntry(flags, old.kind, name, row(flags, old.kind, name), False)
        elif old is None or old.octets != new.octets:
            yield new


def _is_name(name: bytes) -> bool:
    try:
        return len(name) <= MAX_NAME and name_end(name, 0) == len(name)
    except WireError:
        return False


def _sorted_rows(apex: bytes, octets: Octets, *, changes: bool) -> list[RawEntry]:
    """The rows of a zone in canonical order. Raises ValueError."""
    found = []
    try:
        for _, raw in raw_entries(memoryview(octets), 0, len(octets)):
            if not (_is_name(raw.name) and is_within(raw.name, apex)):
                raise ValueError("a row's name is not in its zone")
            if not raw.flags & (MARK if changes else MARK | EMPTY | GONE):
                found.append(raw)
    except ValueError as error:
        raise ValueError("a row of a table is cut off" if "entry" in str(error) else str(error)) from None
    found.sort(key=lambda raw: in_order(raw.name))
    if len({raw.name for raw in found}) < len(found):
        raise ValueError("two rows have the same name")
    return found


class _Children:
    """The search for names at or below the name of a child zone; they are asked for in canonical order."""

    def __init__(self, apex: bytes, apexes: list[bytes], first: int) -> None:
        self.apex, self.apexes, self.next = apex, apexes, first
        self.last: bytes | None = None  # the last child that does not come after the name

    def _is_child(self, above: bytes) -> bool:
        return self.next < len(self.apexes) and is_within(self.apexes[self.next], above)

    def shadow(self, name: bytes) -> bool:
        """Whether a child zone shadows a name."""
        while self._is_child(self.apex) and in_order(self.apexes[self.next]) <= in_order(name):
            self.last = self.apexes[self.next]
            while self._is_child(self.last):
                self.next += 1
        return self.last is not None and is_within(name, self.last)


def _flagged(apex: bytes, kind: int, found: list[RawEntry], children: _Children) -> Iterator[RawEntry]:
    """The rows of a zone with their flags, and its empty non-terminals."""
    cut, last = None, None
    for raw in found:
        flags, name = raw.flags & ~COMPUTED, raw.name
        if cut is not None and is_within(name, cut):
            flags |= OCCLUDED
        else:
            for above in _not_shared(name, last, apex):
                given = EMPTY | (SHADOWED if children.shadow(above) else 0)
                yield RawEntry(given, kind, above, row(given, kind, above), False)
            if raw.has_ns and name != apex:
                flags |= CUT
                cut = name
        if children.shadow(name):
            flags |= SHADOWED
        last = name
        yield raw._replace(flags=flags)


def _not_shared(name: bytes, last: bytes | None, apex: bytes) -> list[bytes]:
    """The ancestors of a name in its zone that the name before it does not share, the highest first."""
    found = []
    name = name[1 + name[0] :] if name != apex else apex
    while len(name) > len(apex) and not (last is not None and is_within(last, name)):
        found.append(name)
        name = name[1 + name[0] :]
    return found[::-1]


class _Output:
    """The octets of a table under construction."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError("a key has 16 octets")
        self.key = key
        self.parts: list[bytes] = []
        self.size = self.entries = self.names = self.hashed = self.longest = 0
        self.order: list[int] = []
        self.zones: list[int] = []
        self.places: dict[bytes, tuple[int, bool]] = {}  # name -> place of the entry in the hash, whether it is GONE

    def put_zone(self, apex: bytes, found: Iterable[RawEntry]) -> None:
        """Append the entries of a zone, after its mark if there are any."""
        is_marked = False
        for raw in found:
            if not is_marked:
                self._put(MARK, apex, row(MARK, 0, apex))
                is_marked = True
            flags = raw.flags & ~MARK
            is_same = flags == raw.octets[0]
            self._put(flags, raw.name, raw.octets if is_same else bytes((flags,)) + raw.octets[1:])

    def _put(self, flags: int, name: bytes, octets: bytes) -> None:
        if self.size + len(octets) > MAX_ENTRIES:
            raise ValueError("these names do not fit into a table")
        if self.entries % ORDER_STEP == 0:
            self.order.append(self.size // 4)
        if flags & MARK:
            self.zones.append(self.size // 4)
        elif not flags & SHADOWED:
            self.hashed += 1
            self.names += not flags & (OCCLUDED | GONE)
            if self.places.get(name, (0, True))[1]:
                self.places[name] = self.size, bool(flags & GONE)
        self.parts.append(octets)
        self.size += len(octets)
        self.entries += 1
        self.longest = max(self.longest, len(name))

    def octets(self) -> bytes:
        """The whole table."""
        slots = 2
        while self.hashed * 4 > slots * 3:
            slots *= 2
        numbers = [0] * slots
        mask = slots - 1
        for name, (place, _) in self.places.items():
            slot = siphash(name, self.key) & mask
            while numbers[slot]:
                slot = slot + 1 & mask
            numbers[slot] = place // 4 + 1
        zones = len(self.zones)
        head = HEAD.pack(MAGIC, self.key, self.names, slots, self.entries, zones, self.longest, 0, self.size)
        tail = b"".join(map(NUMBER.pack, (*numbers, *self.order, *self.zones)))
        return b"".join((head, *self.parts, tail))
