"""How snapshots travel to other processes: as what makes one revision of another, its names in parts of bounded size.

A whole snapshot is the delta from nothing. The parts are plain data of this package, safe to pickle; what a part shares
with an earlier one (nodes, answers) stays shared when both go through one pickler.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from dnsd.engine.answer import Answer
from dnsd.engine.snapshot import Addresses, Node, Snapshot
from dnsd.engine.zone import REFUSED_NODE
from dnsd.wire.names import ROOT

PART = 2_000  # names in one part: some milliseconds of work for who takes it in

Names = dict[bytes, Node | None]  # canonical name -> its new node; None: the name is no more
V = TypeVar("V", Addresses, Node)


@dataclass(frozen=True, slots=True)
class Heading:
    """The first part: all but the names."""

    base: int  # the revision that this is to be applied to; 0: to nothing
    revision: int
    changes_names: bool
    by_zone: Mapping[str, Addresses | None]  # None: the zone has no entry any more
    by_account: Mapping[str, Addresses | None]
    default: Addresses
    chaos: Mapping[bytes, Answer]
    nsid: bytes


Part = Heading | Names


def delta(base: Snapshot | None, snapshot: Snapshot) -> Iterator[Part]:
    """The parts that make `snapshot` of `base`, which must be older."""
    yield Heading(
        base=base.revision if base else 0,
        revision=snapshot.revision,
        changes_names=base is None or base.names is not snapshot.names,
        by_zone=_changes(base.by_zone if base else {}, snapshot.by_zone),
        by_account=_changes(base.by_account if base else {}, snapshot.by_account),
        default=snapshot.default,
        chaos=snapshot.chaos,
        nsid=snapshot.nsid,
    )
    if base is None:
        yield from _chunks(snapshot.names.items())
    elif base.names is not snapshot.names:
        yield from _chunks(_changes(base.names, snapshot.names).items())


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
    names: Mapping[bytes, Node] = base.names if base else {}
    longest = base.longest if base else len(ROOT)
    if heading.changes_names:
        names = changed = dict(names)
        for part in parts:
            assert isinstance(part, dict)
            _apply(changed, part)
            longest = max(longest, *map(len, part))
            yield None
    yield Snapshot(
        names=names,
        longest=longest,
        by_zone=_apply(dict(base.by_zone) if base else {}, heading.by_zone),
        by_account=_apply(dict(base.by_account) if base else {}, heading.by_account),
        default=heading.default,
        refused=REFUSED_NODE,
        chaos=heading.chaos,
        nsid=heading.nsid,
        revision=heading.revision,
        zones={},
    )


K = TypeVar("K", bytes, str)


def _changes(old: Mapping[K, V], new: Mapping[K, V]) -> dict[K, V | None]:
    changed: dict[K, V | None] = {key: value for key, value in new.items() if old.get(key) is not value}
    if len(new) - len(changed) < len(old):
        changed |= dict.fromkeys(old.keys() - new.keys())
    return changed


def _apply(current: dict[K, V], changes: Mapping[K, V | None]) -> dict[K, V]:
    for key, value in changes.items():
        if value is None:
            current.pop(key, None)
        else:
            current[key] = value
    return current


def _chunks(items: Iterable[tuple[bytes, Node | None]]) -> Iterator[Names]:
    iterator = iter(items)
    while chunk := dict(islice(iterator, PART)):
        yield chunk
