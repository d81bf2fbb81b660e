"""How snapshots travel to other processes: as what makes one revision of another, in parts of bounded size but one.

A whole snapshot is the delta from nothing: its nodes, and the octets of its table of names. The parts are plain data of
this package, safe to pickle; what a part shares with an earlier one (nodes, answers) stays shared when both go through
one pickler.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from dnsd.engine.answer import Answer
from dnsd.engine.names import Changes, NameTable, Octets, changes_of, names_in, packed_names
from dnsd.engine.node import REFUSED_NODE, Node
from dnsd.engine.snapshot import Addresses, Snapshot

PART = 50  # names, nodes or zones in one part: some milliseconds of work for who packs it, and for who takes it in


@dataclass(frozen=True, slots=True)
class Heading:
    """The first part: all but the names and the addresses."""

    base: int  # the revision that this is to be applied to; 0: to nothing
    revision: int
    changes_names: bool
    longest: int  # octets of the longest name, or more
    default: Addresses
    chaos: Mapping[bytes, Answer]
    nsid: bytes


@dataclass(frozen=True, slots=True)
class AddressChanges:
    """Addresses of some zones and accounts, by their ids; None: there is no entry any more."""

    by_zone: Mapping[str, Addresses | None]
    by_account: Mapping[str, Addresses | None]


# Of a whole: the heading, addresses, nodes by their numbers, the octets that the names are in. Of a change: the
# heading, addresses, changes of names.
Part = Heading | AddressChanges | list[Node] | Octets | Changes


def delta(base: Snapshot | None, snapshot: Snapshot) -> Iterator[Part]:
    """The parts that make `snapshot` of `base`, which must be older."""
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
    """Whether their names differ in little: those of the one were not packed anew for the other."""
    return snapshot.names.shares_octets(base.names)


def apply_delta(base: Snapshot | None, parts: Iterable[Part]) -> Iterator[Snapshot | None]:
    """What the parts make of `base`: the last item, after a None for each part that was taken in.

    Raises ValueError where they belong to another base.
    """
    parts = iter(parts)
    heading = next(parts, None)
    if not isinstance(heading, Heading):
        raise ValueError("not the beginning of a snapshot")
    if heading.base == 0:
        base = None
    elif base is None or base.revision != heading.base:
        raise ValueError(f"a change of revision {heading.base}, not of {base.revision if base else 'none'}")
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


def _whole(names: NameTable) -> Iterator[Part]:
    if names.changes:
        names = packed_names(*names.columns())
    for start in range(0, len(names.nodes), PART):
        yield names.nodes[start : start + PART]
    yield names.octets


def _chunks(changes: Mapping[K, V | None]) -> Iterator[dict[K, V | None]]:
    iterator = iter(changes.items())
    while chunk := dict(islice(iterator, PART)):
        yield chunk
