"""Deltas: the difference between two revisions of a snapshot, sent to other processes in parts of bounded size.

A whole snapshot is a delta from nothing: its zones, and the octets of its table of names, the only part of unbounded
size. Octets of a later delta are changes of that table. The parts are plain data of this package, safe to pickle;
objects shared by parts stay shared if one pickler writes all parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from dnsd.engine.answer import Answer
from dnsd.engine.entry import Octets
from dnsd.engine.names import NameTable
from dnsd.engine.node import REFUSED_NODE, Apex
from dnsd.engine.snapshot import Addresses, Snapshot
from dnsd.engine.table import Table

PART = 50  # zones or addresses in one part: a few milliseconds of work for sender and receiver


@dataclass(frozen=True, slots=True)
class Heading:
    """The first part: everything but the names and the addresses of zones and accounts; None: as in the base."""

    base: int  # the revision to apply the delta to; 0: a whole snapshot
    revision: int
    default: Addresses | None
    chaos: Mapping[bytes, Answer] | None
    nsid: bytes | None


@dataclass(frozen=True, slots=True)
class AddressChanges:
    """Changed addresses of zones and accounts, by id; None: removed."""

    by_zone: Mapping[str, Addresses | None]
    by_account: Mapping[str, Addresses | None]


NumberedZones = dict[int, Apex | None]  # zones by number; None: no longer in use

# Parts of a whole snapshot: heading, addresses, zones, octets of the names: the base of their table, and its overlay if
# there is one. Parts of a change: heading, addresses, zones, changes of names.
DeltaPart = Heading | AddressChanges | NumberedZones | Octets


def delta(base: Snapshot | None, snapshot: Snapshot) -> Iterator[DeltaPart]:
    """Yield the parts that turn `base`, which must be older, into `snapshot`. Raises ValueError unless `is_small`."""
    yield Heading(
        base=base.revision if base else 0,
        revision=snapshot.revision,
        default=None if base and _are_same(base.default, snapshot.default) else snapshot.default,
        chaos=None if base and base.chaos == snapshot.chaos else snapshot.chaos,
        nsid=None if base and base.nsid == snapshot.nsid else snapshot.nsid,
    )
    for chunk in _chunks(_changes(base.by_zone if base else {}, snapshot.by_zone)):
        yield AddressChanges(chunk, {})
    for chunk in _chunks(_changes(base.by_account if base else {}, snapshot.by_account)):
        yield AddressChanges({}, chunk)
    yield from _chunks(_changed_zones(base.names if base else None, snapshot.names))
    yield from _octets(base.names.table if base else None, snapshot.names.table)


def is_small(base: Snapshot, snapshot: Snapshot) -> bool:
    """Whether both have their names in the same octets, and thus differ only in a few changes of names."""
    return base.names is snapshot.names or snapshot.names.table.changes_since(base.names.table) is not None


def apply_delta(base: Snapshot | None, parts: Iterable[DeltaPart]) -> Iterator[Snapshot | None]:
    """Apply the parts to `base`: yield None after each part, and the new snapshot as the last item.

    Raises ValueError if the parts belong to another base, or have no table of names.
    """
    parts = iter(parts)
    heading = next(parts, None)
    if not isinstance(heading, Heading):
        raise ValueError("not the beginning of a snapshot")
    if heading.base == 0:
        base = None
    elif base is None or base.revision != heading.base:
        found = f"revision {base.revision}" if base else "nothing"
        raise ValueError(f"a delta from revision {heading.base}, applied to {found}")
    yield None
    applied = _Applied(base, heading)
    for part in parts:
        applied.add(part)
        yield None
    yield applied.snapshot()


class _Applied:
    """A snapshot to which the parts of a delta are applied."""

    def __init__(self, base: Snapshot | None, heading: Heading) -> None:
        self._base, self._heading = base, heading
        self._by_zone, self._by_account = (dict(base.by_zone), dict(base.by_account)) if base else ({}, {})
        self._table = base.names.table if base else None
        self._zones: list[Apex | None] | None = None if base else []

    def add(self, part: DeltaPart) -> None:
        """Apply the next part."""
        if isinstance(part, AddressChanges):
            _apply(self._by_zone, part.by_zone)
            _apply(self._by_account, part.by_account)
        elif isinstance(part, dict):
            self._add_zones(part)
        elif isinstance(part, bytes | memoryview):
            self._table = Table(part) if self._table is None else self._table.with_overlay(part)

    def _add_zones(self, zones: NumberedZones) -> None:
        if self._zones is None:
            self._zones = list(self._base.names.zones) if self._base else []
        self._zones += [None] * (max(zones) + 1 - len(self._zones))
        for number, zone in zones.items():
            self._zones[number] = zone

    def snapshot(self) -> Snapshot:
        """The new snapshot."""
        heading, base = self._heading, self._base
        default, chaos, nsid = heading.default, heading.chaos, heading.nsid
        if base is not None:
            default = base.default if default is None else default
            chaos = base.chaos if chaos is None else chaos
            nsid = base.nsid if nsid is None else nsid
        if self._table is None or default is None or chaos is None or nsid is None:
            raise ValueError("a snapshot without names, addresses or options")
        return Snapshot(
            names=self._names(self._table),
            by_zone=self._by_zone,
            by_account=self._by_account,
            default=default,
            refused=REFUSED_NODE,
            chaos=chaos,
            nsid=nsid,
            revision=heading.revision,
            zones={},
        )

    def _names(self, table: Table) -> NameTable:
        if self._base and table is self._base.names.table and self._zones is None:
            return self._base.names
        return NameTable(table, self._base.names.zones if self._base and self._zones is None else self._zones or [])


K = TypeVar("K", int, str)
V = TypeVar("V", Addresses, Apex)


def _are_same(old: Addresses, new: Addresses) -> bool:
    """Whether addresses have the same answers, compiled once or twice."""
    return (old.ips, old.sources) == (new.ips, new.sources)


def _changes(old: Mapping[str, Addresses], new: Mapping[str, Addresses]) -> dict[str, Addresses | None]:
    changed: dict[str, Addresses | None] = {key: value for key, value in new.items() if old.get(key) is not value}
    return changed | dict.fromkeys(old.keys() - new.keys())


def _changed_zones(old: NameTable | None, new: NameTable) -> NumberedZones:
    if old is new:
        return {}
    before, now = list(old.zones) if old else [], list(new.zones)
    size = max(len(before), len(now))
    before += [None] * (size - len(before))
    now += [None] * (size - len(now))
    return {number: zone for number, zone in enumerate(now) if zone is not before[number]}


def _octets(old: Table | None, new: Table) -> Iterator[Octets]:
    """The octets of a whole table, or the changes since an older one."""
    if old is None:
        yield new.octets
        if new.overlay is not None:
            yield new.overlay
    elif old is not new:
        changes = new.changes_since(old)
        if changes is None:
            raise ValueError("no delta leads to another table of names")
        yield changes


def _apply(current: MutableMapping[str, Addresses], changes: Mapping[str, Addresses | None]) -> None:
    for key, value in changes.items():
        if value is None:
            current.pop(key, None)
        else:
            current[key] = value


def _chunks(changes: Mapping[K, V | None]) -> Iterator[dict[K, V | None]]:
    iterator = iter(changes.items())
    while chunk := dict(islice(iterator, PART)):
        yield chunk
