"""The table of all names as octets that processes share, and its changes.

A table has a base, packed once, and later an overlay: the entries that have changed since, in which removed names are
GONE. *Changes* are octets of the same form: what an edit makes, what workers receive, and what an overlay is made of.
entry.h describes the octets; with and without a compiler they are the same.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Self

from dnsd.compiled import require
from dnsd.engine.entry import (
    COMPUTED,
    CUT,
    EMPTY,
    GONE,
    OCCLUDED,
    SHADOWED,
    NameEntry,
    Octets,
    is_within,
    read_entry,
    row,
)
from dnsd.wire.names import ancestors
from dnsd.wire.rdata import NS

try:
    require("dnsd.engine._table")
    from dnsd.engine._table import EntryTable, difference, merge, pack
except ImportError:  # no compiler was found, or the system is not Linux
    from dnsd.engine.plain_pack import difference, merge, pack  # type: ignore[assignment]
    from dnsd.engine.plain_table import EntryTable  # type: ignore[assignment]

try:
    require("dnsd.engine._rows")
    from dnsd.engine._rows import rows
except ImportError:
    from dnsd.engine.entry import rows

__all__ = ["NameRows", "Table", "ZoneChanges", "edited", "packed_table", "replaced", "rows"]

KEY_SIZE = 16  # octets
KEY_AT = slice(8, 8 + KEY_SIZE)
ENTRIES = struct.Struct("<32xI")  # their number, in the head
MAX_OVERLAY = 4_096  # entries; more are merged into a new base
NO_LIMIT = 2**32 - 1

ZoneChanges = Mapping[bytes, tuple[int, Octets] | None]  # zone -> kind of empty non-terminals, rows; None: removed
NameRows = Mapping[bytes, bytes | None]  # name -> its row; None: it has no records any more


class Table(EntryTable):
    """Canonical names and their entries."""

    @property
    def key(self) -> bytes:
        """The key of the hash, different for each packing of a base."""
        return bytes(self.octets[KEY_AT])

    def shares_octets(self, other: Table) -> bool:
        """Whether two tables differ only in their overlays."""
        return self.key == other.key

    def has_same_entries(self, other: Table) -> bool:
        """Whether two tables with the same base have the same entries; False if their bases differ."""
        changes = self.changes_since(other)
        return changes is not None and not _count(changes)

    def entries(self, apex: bytes | None = None) -> Iterator[NameEntry]:
        """The entries of a zone in canonical order, or of all zones; also occluded and shadowed ones."""
        for zone in self.zones() if apex is None else (apex,):
            yield from self.walk(zone)

    def with_changes(self, changes: Octets) -> Self:
        """This table with changes: in the overlay, which shares the base; or, if these are many, in a new base."""
        if not _count(changes):
            return self
        overlays = (changes,) if self.overlay is None else (self.overlay, changes)
        if sum(map(_count, overlays)) > MAX_OVERLAY:
            return type(self)(merge((self.octets, *overlays), os.urandom(KEY_SIZE), False))
        return self.with_overlay(changes)

    def with_zones(self, apexes: Iterable[bytes], packed: Octets) -> Self:
        """This table in a new base, where these zones have the entries of a packed table, and no others."""
        layers = (self.octets,) if self.overlay is None else (self.octets, self.overlay)
        return type(self)(merge((*layers, packed), os.urandom(KEY_SIZE), False, tuple(apexes)))

    def moved(self, base: Table, now: Table, apexes: Sequence[bytes]) -> Self | None:
        """This table, which differs from `base` in these zones alone, with what has changed from `base` to `now`.

        None if that is about these zones, too, or about zones inside them, even if they came and went, or if `now` has
        another base.
        """
        from dnsd.engine.plain_table import Layer  # a worker, which moves no table, has no use for it

        changes, own = now.changes_since(base), set(apexes)
        if changes is None or any(not own.isdisjoint((one, *ancestors(one))) for one in Layer(changes).apexes()):
            return None
        return self.with_changes(changes)

    def with_overlay(self, changes: Octets) -> Self:
        """This table with changes in the overlay, however many: a base of its own would not be shared by processes."""
        overlays = (changes,) if self.overlay is None else (self.overlay, changes)
        return type(self)(self.octets, merge(overlays, self.key, True)) if _count(changes) else self

    def changes_since(self, older: Table) -> bytes | None:
        """What turns an older table into this one; None if it had another base, or changes that this one lacks."""
        if not self.shares_octets(older):
            return None
        nothing = pack([], self.key)
        before, now = older.overlay or nothing, self.overlay or nothing
        changes = difference(EntryTable(before), now, None, self.key)
        assert changes is not None, "their number has no limit"
        return changes if merge((before, changes), self.key, True) == bytes(now) else None

    def whole(self) -> Octets:
        """The octets of a base that has the changes, too."""
        return self.octets if self.overlay is None else merge((self.octets, self.overlay), os.urandom(KEY_SIZE), False)


def packed_table(zones: Mapping[bytes, tuple[int, Octets]]) -> Table:
    """A table of zones: by name, the kind of their empty non-terminals, and their rows joined, in any order.

    Each zone needs a row of its own name. Raises ValueError for rows that cannot be those of a table.
    """
    return Table(pack([(apex, *zone) for apex, zone in zones.items()], os.urandom(KEY_SIZE)))


def replaced(table: Table, zones: ZoneChanges) -> Table:
    """A table where these zones have these rows, or are removed; the same one if nothing differs.

    Raises ValueError for rows that cannot be those of a table.
    """
    given = [(apex, *found) for apex, found in zones.items() if found is not None]
    children = {child for apex, _, _ in given for child in table.zones(apex)}.difference(zones)
    new = pack([*given, *((apex, 0, b"") for apex in children)], table.key)
    shadows = _Shadows(table, zones)
    for apex, found in zones.items():
        if (found is None) != (table.find_in(apex, apex) is None):
            shadows.change(apex)
    changes = difference(table, new, list(zones), table.key, NO_LIMIT if shadows.rows else MAX_OVERLAY)
    if changes is None:  # a new base in any case, for which the changes need not be found
        return table.with_zones(zones, new)
    changed = table.with_changes(shadows.merged_into(changes))
    packed = EntryTable(changes)
    shadowed = (
        (apex, entry.name)
        for apex, _, _ in given
        for child in changed.zones(apex)[1:]
        for entry in _within(packed, apex, child)
    )
    return _without_stale(changed, shadowed)


def _within(table: EntryTable, apex: bytes, name: bytes) -> Iterator[NameEntry]:
    """The entries of a zone at and below a name."""
    return takewhile(lambda entry: is_within(entry.name, name), table.walk(apex, name))


def _without_stale(table: Table, shadowed: Iterable[tuple[bytes, bytes]]) -> Table:
    """The table, where no shadowed name leads to an older entry of its zone: pairs of zones and such names.

    The overlay's hash has no shadowed entry, and the base's hash may lead to the entry that it replaces. An entry that
    is GONE, in the zone that has the name now, comes before it.
    """
    rows: dict[bytes, dict[bytes, bytes]] = {}
    for above, name in shadowed:
        below = (one for one in (name, *ancestors(name)) if len(one) > len(above))
        owner = next((one for one in below if table.find_in(one, one) is not None), None)
        if owner is not None and table.find_in(owner, name) is None and table.find(name) is not None:
            rows.setdefault(owner, {})[name] = row(GONE, 0, name)
    found = [(owner, 0, b"".join(names.values())) for owner, names in rows.items()]
    return table.with_changes(pack(found, table.key, True)) if found else table


class _Shadows:
    """The names of zones in which a zone is added or removed: they become shadowed, or visible."""

    def __init__(self, table: Table, zones: ZoneChanges) -> None:
        self.table, self.zones = table, zones
        self.rows: dict[bytes, dict[bytes, bytes]] = {}

    def _is_served(self, apex: bytes) -> bool:
        if apex in self.zones:
            return self.zones[apex] is not None
        return self.table.find_in(apex, apex) is not None

    def change(self, apex: bytes) -> None:
        """Change the closest zone above this one, which is added or removed."""
        above = next((one for one in ancestors(apex) if self._is_served(one)), None)
        if above is None or above in self.zones:
            return  # a zone packed anew already is as it should be
        for entry in _within(self.table, above, apex):
            shadow = self._shadow_of(entry.name, above)
            if bool(entry.flags & SHADOWED) != (shadow is not None):
                flags = entry.flags ^ SHADOWED
                self.rows.setdefault(above, {})[entry.name] = row(flags, entry.kind, entry.name, entry.sets)
                if shadow is not None:  # the hash of the base leads to the shadowed entry
                    self.rows.setdefault(shadow, {})[entry.name] = row(GONE, 0, entry.name)

    def _shadow_of(self, name: bytes, above: bytes) -> bytes | None:
        """The deepest zone below `above` that has this name or names above it."""
        below = (one for one in (name, *ancestors(name)) if len(one) > len(above))
        return next(filter(self._is_served, below), None)

    def merged_into(self, changes: bytes) -> bytes:
        """The changes, and those found here; a name that a zone has is not GONE in it."""
        if not self.rows:
            return changes
        found = [(apex, 0, b"".join(names.values())) for apex, names in self.rows.items()]
        return merge((pack(found, self.table.key, True), changes), self.table.key, True)


def edited(table: Table, apex: bytes, kind: int, changed: NameRows) -> Table:
    """A table where these names of a zone have these rows; `kind` is that of the zone's empty non-terminals.

    The flags of these names, and of those above and below them, are those that packing the zone again would give.
    """
    changes = _NameEdit(table, apex, kind, changed).changes()
    shadowed = [(apex, entry.name) for entry in EntryTable(changes).walk(apex) if entry.flags & SHADOWED]
    return _without_stale(table.with_changes(changes), shadowed)


class _NameEdit:
    """One edit of a zone."""

    def __init__(self, table: Table, apex: bytes, kind: int, changed: NameRows) -> None:
        self.table, self.apex, self.kind, self.changed = table, apex, kind, changed
        self.new = {name: _entry_in(octets) for name, octets in changed.items() if octets is not None}
        self.above_new = {above for name in self.new for above in self._above(name)}

    def changes(self) -> bytes:
        """The entries that differ from those of the table."""
        affected: set[bytes] = set()
        for name in self.changed:
            affected |= {name, *self._above(name)}
            before = self.table.find_in(self.apex, name)
            if name != self.apex and _has_ns(before) != _has_ns(self.new.get(name)):
                affected |= {one for below in self._below(name) for one in (below, *self._above(below))}
        found = (self._changed(name) for name in affected)
        return pack([(self.apex, 0, b"".join(filter(None, found)))], self.table.key, True)

    def _above(self, name: bytes) -> list[bytes]:
        """The names between a name and the zone's name."""
        return [above for above in ancestors(name) if len(above) > len(self.apex)]

    def _below(self, name: bytes) -> Iterator[bytes]:
        return (entry.name for entry in _within(self.table, self.apex, name))

    def _records(self, name: bytes) -> NameEntry | None:
        """The entry of a name that will have records."""
        if name in self.changed:
            return self.new.get(name)
        entry = self.table.find_in(self.apex, name)
        return None if entry is None or entry.flags & EMPTY else entry

    def _changed(self, name: bytes) -> bytes | None:
        """The row of a name; None if it does not change."""
        old = self.table.find_in(self.apex, name)
        new = self._row(name, self._records(name), SHADOWED if self._is_shadowed(name, old) else 0)
        if new is None and old is None:
            return None
        new = new or row(GONE | (old.flags & SHADOWED if old else 0), 0, name)
        return None if old is not None and new == row(*old) else new

    def _row(self, name: bytes, entry: NameEntry | None, shadowed: int) -> bytes | None:
        is_occluded = any(_has_ns(self._records(above)) for above in self._above(name))
        if entry is not None:
            flags = entry.flags & ~COMPUTED | shadowed
            if is_occluded:
                flags |= OCCLUDED
            elif name != self.apex and _has_ns(entry):
                flags |= CUT
            return row(flags, entry.kind, name, entry.sets)
        if is_occluded or not self._has_names_below(name):
            return None
        return row(EMPTY | shadowed, self.kind, name)

    def _has_names_below(self, name: bytes) -> bool:
        if name in self.above_new:
            return True
        return any(below != name and self._records(below) is not None for below in self._below(name))

    def _is_shadowed(self, name: bytes, old: NameEntry | None) -> bool:
        if old is not None:
            return bool(old.flags & SHADOWED)
        return any(self.table.find_in(one, one) is not None for one in (name, *self._above(name)) if one != self.apex)


def _count(octets: Octets) -> int:
    """The number of entries in a table."""
    return int(ENTRIES.unpack_from(octets)[0])


def _entry_in(octets: bytes) -> NameEntry:
    return read_entry(octets, 0)


def _has_ns(entry: NameEntry | None) -> bool:
    return entry is not None and any(one.rtype == NS for one in entry.sets)
