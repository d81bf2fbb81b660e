"""The names of a zone, listed in steps: a zone may have a million, and others wait for their turns meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from dnsd.compile.zone import is_occluded
from dnsd.engine.snapshot import BuiltZone
from dnsd.model.zones import Status, Zone
from dnsd.wire.rdata import NS

if TYPE_CHECKING:
    from dnsd.model.record_parts import Steps

LISTED = 4_096  # names in a step: some milliseconds


def existing_names(zone: Zone) -> Steps[dict[bytes, None]]:
    """The existing names of a zone: owners in the order of its records, then empty non-terminals (RFC 4592 §2.2.2)."""
    if zone.status is Status.INITIALIZING:
        return {zone.name: None}
    cuts, shortest = (yield from _cuts(zone)), len(zone.name)
    names: dict[bytes, None] = {}
    for some in _pieces(zone.records.owners):
        names.update(dict.fromkeys(owner for owner in some if not (cuts and is_occluded(owner, cuts))))
        yield
    above: dict[bytes, None] = {}
    for some in _pieces(names):
        for name in dict.fromkeys(name[1 + name[0] :] for name in some if len(name) > shortest):
            while name not in names and name not in above and len(name) > shortest:
                above[name] = None
                name = name[1 + name[0] :]
        yield
    yield from _add(names, above)
    return names


def names_with_rule(built: BuiltZone, rule: int) -> Iterator[bytes]:
    """The proxied names of a zone with this rule."""
    place = built.rules.find(rule)
    while place >= 0:
        yield built.proxied_names[place]
        place = built.rules.find(rule, place + 1)


def names_of(zones: Iterable[BuiltZone]) -> Steps[Iterable[bytes]]:
    """The existing names of a zone, before and after."""
    names: dict[bytes, None] = {}
    for built in zones:
        yield from _add(names, (yield from existing_names(built.zone)))
    return names


def names_with_rules(zones: Sequence[BuiltZone]) -> Steps[Sequence[bytes]]:
    """The names of a zone, before and after, that may have a rule: proxied names, aliases, and names that came or went.

    A name that came or went may lie below a wildcard on the other side. No other zone may lie inside this one.
    """
    sides: list[dict[bytes, None]] = []
    wanted: dict[bytes, None] = {}
    for built in zones:
        sides.append((yield from existing_names(built.zone)))
        yield from _add(wanted, built.proxied_names)
        yield from _add(wanted, (name for name, _ in built.aliases()))
    before, after = sides[0], sides[-1] if len(sides) > 1 else {}
    found: list[bytes] = []
    for some in _pieces(before):
        found += [name for name in some if name in wanted or name not in after]
        yield
    for some in _pieces(after):
        found += [name for name in some if name not in before]
        yield
    return found


def _add(names: dict[bytes, None], others: Iterable[bytes]) -> Steps[None]:
    """Add other names, in order."""
    for some in _pieces(others):
        names.update(dict.fromkeys(some))
        yield


def _pieces(names: Iterable[bytes]) -> Iterator[tuple[bytes, ...]]:
    """The names, a step's share at a time."""
    rest = iter(names)
    return iter(lambda: tuple(islice(rest, LISTED)), ())


def _cuts(zone: Zone) -> Steps[set[bytes]]:
    """The delegated names of a zone."""
    cuts: set[bytes] = set()
    for some in _pieces(zone.records.owners.at(zone.records.of_types({NS}))):
        cuts.update(some)
        yield
    cuts.discard(zone.name)
    return cuts
