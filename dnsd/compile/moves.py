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
from ipaddress import IPv4Address, IPv6Address
from itertools import compress, islice
from operator import attrgetter
from typing import NamedTuple

from dnsd.engine.edge_rules import EDGE, NO_V4, NO_V6
from dnsd.engine.entry import CUT
from dnsd.engine.names import rule_number
from dnsd.engine.node import Alias, Apex, Edge, Flattened, Node, Redirection
from dnsd.engine.snapshot import Addresses, BuiltZone, ShownNames, Snapshot
from dnsd.model.fields import IPAddress
from dnsd.model.guard import MovedNames, differing
from dnsd.model.zones import Status
from dnsd.wire.names import ancestors
from dnsd.wire.rdata import AAAA, CNAME, A

MAX_ALONE = 100  # names of one zone that are listed

Families = tuple[frozenset[IPAddress], frozenset[IPAddress]]  # IPv4, IPv6


class After(NamedTuple):
    """The answer to a name after a change, as far as names with the same rule share it."""

    apex: Apex | None
    shown: tuple[bool, bool] | None  # the families of edge addresses; None without any
    is_stored: bool = False  # with the records as stored: addresses, or an alias


RulePair = tuple[int, After]  # the rule of a name before the change, and its answer after it

NONE: frozenset[IPAddress] = frozenset()
SHOWN_KINDS = ((True, False), (False, True), (True, True))  # as in ShownNames: IPv4 alone, IPv6 alone, both
STORED = frozenset((A, AAAA, CNAME))


class Fate(Enum):
    """The new answer of a name that was answered with edge addresses."""

    SAME = auto()
    READDRESSED = auto()  # other edge addresses
    POOLED = auto()  # the default pool's addresses, after those of a map
    OPENED = auto()  # as stored: the origin is public
    GONE = auto()  # no addresses


MOVING = tuple(fate for fate in Fate if fate is not Fate.SAME)  # in the order of MovedNames


@dataclass(frozen=True, slots=True, eq=False)
class ZoneMoves:
    """The moved names of a zone, with the addresses of the zone's proxied names before and after.

    `alone` are names that moved apart from their zone, such as removed ones, at most MAX_ALONE of `alone_total`; all
    others moved because the zone's addresses did.
    """

    zone_id: str
    zone: bytes  # canonical name
    account_id: str  # before the change
    old: Addresses
    new: Addresses | None  # None: the zone is no longer served
    names: MovedNames
    alone: tuple[bytes, ...] = ()
    alone_total: int = 0
    applies_maps: bool = True  # after the change; else the zone's state sends its names into the open


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


def families(addresses: Addresses) -> Families:
    """The addresses of each family, without their order."""
    v4 = frozenset([ip for ip in addresses.ips if isinstance(ip, IPv4Address)])
    v6 = (
        frozenset([ip for ip in addresses.ips if isinstance(ip, IPv6Address)]) if len(v4) < len(addresses.ips) else NONE
    )
    return v4, v6


def answered(snapshot: Snapshot, name: bytes) -> Families | None:
    """The edge addresses that canonical `name` is answered with; None if it is not answered from a map or the pool."""
    node = snapshot.search(name)
    if not isinstance(node.rule, Edge) or node.apex is None:
        return None
    both = families(snapshot.addresses(node.apex.zone_id, node.apex.account_id))
    return of_shown(both, (A in node.rule.keys, AAAA in node.rule.keys))


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
            names = self._by_families(built.proxied, old, new)
            return ZoneMoves(apex.zone_id, apex.name, apex.account_id, old, new, names) if names.total else None
        pairs = self._pairs(zone, is_nested=is_nested)
        fates = {pair: self._fate(old, pair) for pair in pairs}
        counts: Counter[Fate] = Counter()
        for pair, count in pairs.items():
            counts[fates[pair]] += count
        if not (names := _moved(counts)).total:
            return None
        alone_total = sum(pairs[pair] for pair, fate in fates.items() if _is_alone(zone, pair, fate))
        applies_maps = built is None or built.applies_maps
        alone: Iterable[bytes] = ()
        if alone_total:
            are_all = alone_total == len(zone.names)
            alone = zone.names if are_all else self._alone(zone, fates, is_nested=is_nested)
        listed = tuple(islice(alone, MAX_ALONE))
        return ZoneMoves(apex.zone_id, apex.name, apex.account_id, old, new, names, listed, alone_total, applies_maps)

    def _by_families(self, shown: ShownNames, old: Addresses, new: Addresses) -> MovedNames:
        """The moved names of a zone with unchanged names."""
        moved: dict[Fate, int] = {}
        before, after = self._families(old), self._families(new)
        for kind, count in zip(SHOWN_KINDS, shown, strict=True):
            if count:
                fate = self._fate_of(of_shown(before, kind), of_shown(after, kind), old, new)
                moved[fate] = moved.get(fate, 0) + count
        return _moved(moved)

    def _pairs(self, zone: _ZoneBefore, *, is_nested: bool) -> Counter[RulePair]:
        """The proxied names of the zone by their rule before, and their answer after the change."""
        built = self.new.zones.get(zone.apex.zone_id)
        if built and not is_nested:
            if zone.names == built.proxied_names:
                numbers = Counter(zip(zone.rules, built.rules, strict=True))
                return Counter({(old, _edge_after(built, new)): count for (old, new), count in numbers.items()})
            if _is_opened(zone, built):
                return Counter({(rule, After(built.apex, None, True)): n for rule, n in Counter(zone.rules).items()})
        return Counter(pair for _, pair in self._named_pairs(zone, is_nested=is_nested))

    def _named_pairs(self, zone: _ZoneBefore, *, is_nested: bool) -> Iterator[tuple[bytes, RulePair]]:
        """The proxied names of a zone that were answered from it."""
        built = self.new.zones.get(zone.apex.zone_id)
        edges: dict[bytes, After] = {}
        if built and not is_nested:
            afters = {rule: _edge_after(built, rule) for rule in set(built.rules)}
            edges = dict(zip(built.proxied_names, map(afters.__getitem__, built.rules), strict=True))
        for name, rule in zip(zone.names, zone.rules, strict=True):
            if not is_nested or self._was_answered_from(zone, name):
                yield name, (rule, edges.get(name) or self._after(name))

    def _was_answered_from(self, zone: _ZoneBefore, name: bytes) -> bool:
        entry = self.old.names.entry(name)
        return entry is not None and self.old.names.apex(entry) is zone.apex

    def _after(self, name: bytes) -> After:
        entry = self.new.names.entry(name)
        if entry is None:
            node = self.new.search(name)
            rule = node.rule
            shown = (A in rule.keys, AAAA in rule.keys) if isinstance(rule, Edge) and node.apex else None
            return After(node.apex, shown, is_stored(node))
        apex, number = self.new.names.apex(entry), rule_number(entry.kind)
        if number & EDGE:
            return After(apex, _shown(number))
        return After(apex, None, not entry.flags & CUT and any(rtype in STORED for rtype, _, _ in entry.sets))

    def _alone(self, zone: _ZoneBefore, fates: Mapping[RulePair, Fate], *, is_nested: bool) -> Iterator[bytes]:
        """The names that moved apart from their zone."""
        return (
            name for name, pair in self._named_pairs(zone, is_nested=is_nested) if _is_alone(zone, pair, fates[pair])
        )

    def _fate(self, old: Addresses, pair: RulePair) -> Fate:
        """The fate of names with this rule before, in a zone with the addresses `old`, and this answer after."""
        rule, now = pair
        before = of_shown(self._families(old), _shown(rule))
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


def _edge_after(built: BuiltZone, rule: int) -> After:
    """The answer to proxied names of a zone with this rule."""
    return After(built.apex, _shown(rule))


def _is_opened(zone: _ZoneBefore, built: BuiltZone) -> bool:
    """Whether a zone has the same records, but all of its proxied names are answered as stored."""
    if zone.built is None or built.applies_maps or built.zone.status is Status.INITIALIZING:
        return False
    before, after = zone.built.zone.records, built.zone.records
    return before is after or before == after


def _moved(counts: Mapping[Fate, int]) -> MovedNames:
    return MovedNames(*(counts.get(fate, 0) for fate in MOVING))


def _shown(rule: int) -> tuple[bool, bool]:
    """The families that proxied names with this rule show: IPv4, IPv6."""
    return not rule & NO_V4, not rule & NO_V6


def of_shown(both: Families, shown: tuple[bool, bool]) -> Families:
    """The addresses of the shown families; the others are empty."""
    return both[0] if shown[0] else NONE, both[1] if shown[1] else NONE


def is_stored(node: Node) -> bool:
    """Whether a node answers with the records as stored: addresses, or an alias."""
    return isinstance(node.rule, Alias | Flattened | Redirection) or not STORED.isdisjoint(node.answers)


def _is_alone(zone: _ZoneBefore, pair: RulePair, fate: Fate) -> bool:
    """Whether names moved apart from the addresses of their zone."""
    rule, now = pair
    if fate is Fate.SAME:
        return False
    if not now.shown or now.apex is None or now.apex.zone_id != zone.apex.zone_id:
        return True
    return _shown(rule) != now.shown
