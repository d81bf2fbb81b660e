"""Deltas: the difference between two revisions of a snapshot, sent to other processes in parts of bounded size.

A whole snapshot is a delta from nothing: its nodes, and the octets of its table of names, the only part of unbounded
size. The parts are plain data of this package, safe to pickle; objects shared by parts (nodes, answers) stay shared if
one pickler writes all parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from dnsd.engine.answer import Answer
from dnsd.engine.names import NameChanges, NameTable, Octets, changes_of, names_in, packed_names
from dnsd.engine.node import REFUSED_NODE, Node
from dnsd.engine.snapshot import Addresses, Snapshot

PART = 50  # names, nodes or zones in one part: a few milliseconds of work for sender and receiver


@dataclass(frozen=True, slots=True)
class Heading:
    """The first part: everything but the names and the addresses."""

    base: int  # the revision to apply the delta to; 0: a whole snapshot
    revision: int
    changes_names: bool
    longest: int  # upper bound on the octets of a name
    default: Addresses
    chaos: Mapping[bytes, Answer]
    nsid: bytes


@dataclass(frozen=True, slots=True)
class AddressChanges:
    """Changed addresses of zones and accounts, by id; None: removed."""

    by_zone: Mapping[str, Addresses | None]
    by_account: Mapping[str, Addresses | None]


# Parts of a whole snapshot: heading, addresses, nodes by number, octets of the names. Parts of a change: heading,
# addresses, changes of names.
DeltaPart = Heading | AddressChanges | list[Node] | Octets | NameChanges


def delta(base: Snapshot | None, snapshot: Snapshot) -> Iterator[DeltaPart]:
    """Yield the parts that turn `base`, which must be older, into `snapshot`."""
    yield Heading(
        base=base.revision if base else 0,
        revision=snapshot.revision,
        changes_names=base is None or base.names is not snapshot.names,
        longest=snapshot.longest,
        default=snapshot.default,
        chaos=snapshot.chaos,
        nsid=snapshot.nsid,
    )
    for chunk in _chunks(_changes(base.by_zone if base else {}, snapshot.by_zone)):
        yield AddressChanges(chunk, {})
    for chunk in _chunks(_changes(base.by_account if base else {}, snapshot.by_account)):
        yield AddressChanges({}, chunk)
    if base is None:
        yield from _whole(snapshot.names)
    elif base.names is not snapshot.names:
        yield from _chunks(changes_of(base.names, snapshot.names))


def is_small(base: Snapshot, snapshot: Snapshot) -> bool:
    """Whether both have their names in the same octets, and thus differ only in a few changes of names."""
    return snapshot.names.shares_octets(base.names)


def apply_delta(base: Snapshot | None, parts: Iterable[DeltaPart]) -> Iterator[Snapshot | None]:
    """Apply the parts to `base`: yield None after each part, and the new snapshot as the last item.

    Raises ValueError if the parts belong to another base.
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
    names, nodes = base.names if base else packed_names((), ()), list[Node]()
    by_zone, by_account = (dict(base.by_zone), dict(base.by_account)) if base else ({}, {})
    if base and heading.changes_names:
        names = names.copy()
    for part in parts:
        if isinstance(part, dict):
            _apply(names, part)
        elif isinstance(part, AddressChanges):
            _apply(by_zone, part.by_zone)
            _apply(by_account, part.by_account)
        elif isinstance(part, list):
            nodes += part
        elif not isinstance(part, Heading):
            names = names_in(part, nodes)
        yield None
    yield Snapshot(
        names=names,
        longest=heading.longest,
        by_zone=by_zone,
        by_account=by_account,
        default=heading.default,
        refused=REFUSED_NODE,
        chaos=heading.chaos,
        nsid=heading.nsid,
        revision=heading.revision,
        zones={},
    )


K = TypeVar("K", bytes, str)
V = TypeVar("V", Addresses, Node)


def _changes(old: Mapping[str, Addresses], new: Mapping[str, Addresses]) -> dict[str, Addresses | None]:
    changed: dict[str, Addresses | None] = {key: value for key, value in new.items() if old.get(key) is not value}
    return changed | dict.fromkeys(old.keys() - new.keys())


def _apply(current: MutableMapping[K, V], changes: Mapping[K, V | None]) -> MutableMapping[K, V]:
    for key, value in changes.items():
        if value is None:
            current.pop(key, None)
        else:
            current[key] = value
    return current


def _whole(names: NameTable) -> Iterator[DeltaPart]:
    if names.changes:
        names = packed_names(*names.columns())
    for start in range(0, len(names.nodes), PART):
        yield names.nodes[start : start + PART]
    yield names.octets


def _chunks(changes: Mapping[K, V | None]) -> Iterator[dict[K, V | None]]:
    iterator = iter(changes.items())
    while chunk := dict(islice(iterator, PART)):
        yield chunk
