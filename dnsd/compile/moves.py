"""Moves: the proxied names whose answers a change alters, by zone, from two snapshots.

Families count as they are shown: a name without IPv6 moves only with the IPv4 addresses, and the hints of HTTPS records
follow. Aliases and new names are left out. A zone counts for the account that had it before. The work starts from the
zones that changed, and one effective set of addresses serves all names of a zone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from itertools import compress, islice
from operator import attrgetter
from typing import NamedTuple

from dnsd.compile.edge_addresses import SHOWN_BY, After, Families, Shown, answer_to, edge_answer, families, of_shown
from dnsd.engine.edge_rules import EDGE
from dnsd.engine.names import rule_number
from dnsd.engine.node import Apex
from dnsd.engine.snapshot import Addresses, BuiltZone, ShownNames, Snapshot
from dnsd.model.differences import are_same_but
from dnsd.model.guard import MovedNames, differing
from dnsd.model.zones import Status
from dnsd.wire.names import ancestors
from dnsd.wire.rdata import SOA

MAX_ALONE = 100  # names of one zone that are listed

RulePair = tuple[int, After]  # the rule of a name before the change, and its answer after it

SHOWN_KINDS = ((True, False), (False, True), (True, True))  # as in ShownNames: IPv4 alone, IPv6 alone, both


class Fate(Enum):
    """The new answer of a name that was answered with edge addresses."""

    SAME = auto()
    READDRESSED = auto()  # other edge addresses
    POOLED = auto()  # the default pool's addresses, after those of a map
    OPENED = auto()  # as stored: the origin is public
    GONE = auto()  # no addresses


MOVING = tuple(fate for fate in Fate if fate is not Fate.SAME)  # in the order of MovedNames


@dataclass(frozen=True, eq=False)
class ZoneMoves:
    """The moved names of a zone, with the addresses of the zone's proxied names before and after.

    Names move alone, such as removed ones, or because the zone's addresses do.
    """

    zone_id: str
    zone: bytes  # canonical name
    account_id: str  # before the change
    old: Addresses
    new: Addresses | None  # None: the zone is no longer served
    ips: Families  # of `old`
    names: MovedNames
    alone_total: int = 0  # names that moved alone
    found: Iterable[tuple[bytes, int]] = ()  # these names, each with its rule before; read once
    applies_maps: bool = True  # after the change; else the zone's state sends its names into the open

    @cached_property
    def alone(self) -> Mapping[bytes, Shown]:
        """The first MAX_ALONE names that moved alone, each with the families that it showed."""
        return {name: SHOWN_BY[rule] for name, rule in islice(self.found, MAX_ALONE)}


def moves(old: Snapshot, new: Snapshot) -> Iterator[ZoneMoves]:
    """The zones with moved names. `old` may come from a snapshot file; `new` must know its zones."""
    comparison = _Comparison(old, new)
    before = tuple(_zones_before(old, new))
    nested = _may_hide(before, old, new) if before else set()
    for zone in before:
        moved = comparison.moved(zone, is_nested=zone.apex.name in nested)
        if moved is not None:
            yield moved


def proxied_by_account(snapshot: Snapshot, only: str | None = None) -> Counter[str]:
    """The number of proxied names of each account, or of the `only` account asked for, by id."""
    found: Counter[str] = Counter()
    if snapshot.zones:
        for built in snapshot.zones.values():
            if only is None or built.zone.account_id == only:
                found[built.zone.account_id] += sum(built.proxied)
    else:
        for zone in _zones_in_file(snapshot):
            found[zone.account_id] += len(zone.names)
    return found


class _Counted(NamedTuple):
    """The numbers of a zone's moved names, and the names that moved alone, each with its rule before."""

    names: MovedNames
    alone_total: int = 0
    alone: Iterable[tuple[bytes, int]] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _ZoneBefore:
    """A zone before the change."""

    apex: Apex
    names: Sequence[bytes]  # the proxied ones
    rules: bytes | bytearray  # of each name
    built: BuiltZone | None = None  # None for a zone from a snapshot file

    @property
    def account_id(self) -> str:
        return self.apex.account_id

    @property
    def edges(self) -> Mapping[int, int]:
        """The rules, each with the number of names."""
        return self.built.edges if self.built else Counter(self.rules)


def _zones_before(old: Snapshot, new: Snapshot) -> Iterator[_ZoneBefore]:
    """The zones whose names may have moved."""
    if not old.zones:
        yield from _zones_in_file(old)
        return
    for zone_id in changed_zones(old, new):
        built = old.zones[zone_id]
        yield _ZoneBefore(built.apex, built.proxied_names, built.rules, built)


def _zones_in_file(old: Snapshot) -> Iterable[_ZoneBefore]:
    """All zones of a snapshot that has only names."""
    found: dict[Apex, tuple[list[bytes], bytearray]] = defaultdict(lambda: ([], bytearray()))
    for entry in old.names.entries():
        if (rule := rule_number(entry.kind)) & EDGE:
            names, rules = found[old.names.apex(entry)]
            names.append(entry.name)
            rules.append(rule)
    return [_ZoneBefore(apex, *columns) for apex, columns in found.items()]


def changed_zones(old: Snapshot, new: Snapshot) -> set[str]:
    """The ids of the zones in `old` that were rebuilt, have other addresses, or contain a zone that came or went."""
    changed = {*differing(old.zones, new.zones)}
    changed |= {*_differing(old.by_zone, new.by_zone)} & old.zones.keys()
    if accounts := {*_differing(old.by_account, new.by_account)}:
        account_ids = map(attrgetter("zone.account_id"), old.zones.values())
        changed |= {*compress(old.zones, map(accounts.__contains__, account_ids))}
    if old.default.ips != new.default.ips:
        changed |= {
            zone_id
            for zone_id, built in old.zones.items()
            if zone_id not in old.by_zone and built.zone.account_id not in old.by_account
        }
    if old.zones.keys() != new.zones.keys():
        by_name = {built.zone.name: zone_id for zone_id, built in old.zones.items()}
        for one, other in ((old.zones, new.zones), (new.zones, old.zones)):
            for zone_id in one.keys() - other.keys():
                changed |= {by_name[name] for name in ancestors(one[zone_id].zone.name) if name in by_name}
    return changed


def _differing(before: Mapping[str, Addresses], after: Mapping[str, Addresses]) -> Iterator[str]:
    yield from differing(before, after)
    if before.keys() != after.keys():
        yield from after.keys() - before.keys()


def _may_hide(zones: Sequence[_ZoneBefore], old: Snapshot, new: Snapshot) -> set[bytes]:
    """The names of zones that contain another zone, which answers for its names, before or after.

    If the zones have few names, it is cheaper to look each of them up: then all zones.
    """
    apexes = {zone.apex.name for zone in zones}
    if sum(len(zone.names) for zone in zones) <= len(new.zones):
        return apexes
    name = attrgetter("zone.name")
    others = {*map(name, new.zones.values())}
    if old.zones.keys() != new.zones.keys():
        others |= {*map(name, old.zones.values())}
    return {name for other in others for name in ancestors(other) if name in apexes}


@dataclass(frozen=True, slots=True, eq=False)
class _Comparison:
    """Two snapshots, and the families of their addresses."""

    old: Snapshot
    new: Snapshot
    known: dict[int, Families] = field(default_factory=dict)  # by the id of addresses, which the snapshots keep alive

    def moved(self, zone: _ZoneBefore, *, is_nested: bool) -> ZoneMoves | None:
        """The moved names of a zone; None without any."""
        apex = zone.apex
        old = self.old.addresses(apex.zone_id, apex.account_id)
        built = self.new.zones.get(apex.zone_id)
        new = self.new.addresses(apex.zone_id, built.zone.account_id) if built else None
        if built and built is zone.built and new and not is_nested:
            found = _Counted(self._by_families(built.proxied, old, new))
        elif built and not is_nested and _is_opened(zone, built):
            found = self._opened(zone, old)
        else:
            found = self._by_name(zone, old, is_nested=is_nested)
        if not found.names.total:
            return None
        applies_maps = built is None or built.applies_maps
        ips = self._families(old)
        return ZoneMoves(
            apex.zone_id,
            apex.name,
            apex.account_id,
            old,
            new,
            ips,
            found.names,
            found.alone_total,
            found.alone,
            applies_maps,
        )

    def _by_families(self, shown: ShownNames, old: Addresses, new: Addresses) -> MovedNames:
        """The moved names of a zone with unchanged names."""
        moved: dict[Fate, int] = {}
        before, after = self._families(old), self._families(new)
        for kind, count in zip(SHOWN_KINDS, shown, strict=True):
            if count:
                fate = self._fate_of(of_shown(before, kind), of_shown(after, kind), old, new)
                moved[fate] = moved.get(fate, 0) + count
        return _moved(moved)

    def _opened(self, zone: _ZoneBefore, old: Addresses) -> _Counted:
        """The moved names of a zone whose proxied names are all answered as stored now."""
        before, edges = self._families(old), zone.edges
        opened = {rule for rule in edges if any(of_shown(before, SHOWN_BY[rule]))}
        total = sum([edges[rule] for rule in opened])
        alone: Iterable[tuple[bytes, int]] = zip(zone.names, zone.rules, strict=True)
        if total < len(zone.names):
            alone = (pair for pair in alone if pair[1] in opened)
        return _Counted(MovedNames(opened=total), total, alone)

    def _by_name(self, zone: _ZoneBefore, old: Addresses, *, is_nested: bool) -> _Counted:
        """The moved names of a zone with other names, or with a zone inside it."""
        pairs = self._pairs(zone, is_nested=is_nested)
        fates = {pair: self._fate(old, pair) for pair in pairs}
        counts: Counter[Fate] = Counter()
        for pair, count in pairs.items():
            counts[fates[pair]] += count
        total = sum(pairs[pair] for pair, fate in fates.items() if _is_alone(zone, pair, fate))
        alone: Iterable[tuple[bytes, int]] = ()
        if total == len(zone.names):
            alone = zip(zone.names, zone.rules, strict=True)
        elif total:
            alone = self._alone(zone, fates, is_nested=is_nested)
        return _Counted(_moved(counts), total, alone)

    def _pairs(self, zone: _ZoneBefore, *, is_nested: bool) -> Counter[RulePair]:
        """The proxied names of the zone by their rule before, and their answer after the change."""
        built = self.new.zones.get(zone.apex.zone_id)
        if built and not is_nested and zone.names == built.proxied_names:
            numbers = Counter(zip(zone.rules, built.rules, strict=True))
            return Counter({(old, edge_answer(built, new)): count for (old, new), count in numbers.items()})
        return Counter(pair for _, pair in self._named_pairs(zone, is_nested=is_nested))

    def _named_pairs(self, zone: _ZoneBefore, *, is_nested: bool) -> Iterator[tuple[bytes, RulePair]]:
        """The proxied names of a zone that were answered from it."""
        built = self.new.zones.get(zone.apex.zone_id)
        edges: dict[bytes, After] = {}
        if built and not is_nested:
            afters = {rule: edge_answer(built, rule) for rule in set(built.rules)}
            edges = dict(zip(built.proxied_names, map(afters.__getitem__, built.rules), strict=True))
        for name, rule in zip(zone.names, zone.rules, strict=True):
            if not is_nested or self._was_answered_from(zone, name):
                yield name, (rule, edges.get(name) or answer_to(self.new, name))

    def _was_answered_from(self, zone: _ZoneBefore, name: bytes) -> bool:
        entry = self.old.names.entry(name)
        return entry is not None and self.old.names.apex(entry) is zone.apex

    def _alone(
        self, zone: _ZoneBefore, fates: Mapping[RulePair, Fate], *, is_nested: bool
    ) -> Iterator[tuple[bytes, int]]:
        """The names that moved apart from their zone, with their rules before."""
        for name, pair in self._named_pairs(zone, is_nested=is_nested):
            if _is_alone(zone, pair, fates[pair]):
                yield name, pair[0]

    def _fate(self, old: Addresses, pair: RulePair) -> Fate:
        """The fate of names with this rule before, in a zone with the addresses `old`, and this answer after."""
        rule, now = pair
        before = of_shown(self._families(old), SHOWN_BY[rule])
        if now.shown and now.apex:
            new = self.new.addresses(now.apex.zone_id, now.apex.account_id)
            return self._fate_of(before, of_shown(self._families(new), now.shown), old, new)
        if not any(before):
            return Fate.SAME
        return Fate.OPENED if now.is_stored else Fate.GONE

    def _fate_of(self, before: Families, after: Families, old: Addresses, new: Addresses) -> Fate:
        """The fate of names that were answered with `before`, from `old`, and are with `after`, from `new`."""
        if before == after or not any(before):
            return Fate.SAME
        if not any(after):
            return Fate.GONE
        return Fate.POOLED if new is self.new.default and old is not self.old.default else Fate.READDRESSED

    def _families(self, addresses: Addresses) -> Families:
        return self.known.get(id(addresses)) or self.known.setdefault(id(addresses), families(addresses))


def _is_opened(zone: _ZoneBefore, built: BuiltZone) -> bool:
    """Whether a zone has the same records but for its serial, and all of its proxied names are answered as stored."""
    if zone.built is None or built.applies_maps or built.zone.status is Status.INITIALIZING:
        return False
    return are_same_but(SOA, built.zone.records, zone.built.zone.records)


def _moved(counts: Mapping[Fate, int]) -> MovedNames:
    return MovedNames(*(counts.get(fate, 0) for fate in MOVING))


def _is_alone(zone: _ZoneBefore, pair: RulePair, fate: Fate) -> bool:
    """Whether names moved apart from the addresses of their zone."""
    rule, now = pair
    if fate is Fate.SAME:
        return False
    if not now.shown or now.apex is None or now.apex.zone_id != zone.apex.zone_id:
        return True
    return SHOWN_BY[rule] != now.shown
