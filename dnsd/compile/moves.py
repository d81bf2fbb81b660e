"""Moves: the proxied names whose answers a change alters, by zone, from two snapshots.

Families count as they are shown: a name without IPv6 moves only with the IPv4 addresses, and the hints of HTTPS records
follow. Aliases and new names are left out. A zone counts for the account that had it before. The work starts from the
zones that changed, and one effective set of addresses serves all names of a zone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address
from itertools import compress, islice
from operator import attrgetter

from dnsd.engine.node import Alias, Edge, Flattened, Node, Redirection, Rule
from dnsd.engine.snapshot import Addresses, ShownNames, Snapshot
from dnsd.model.fields import IPAddress
from dnsd.model.guard import MovedNames, differing
from dnsd.wire.names import ancestors
from dnsd.wire.rdata import AAAA, CNAME, A

MAX_ALONE = 100  # names of one zone that are listed

Families = tuple[frozenset[IPAddress], frozenset[IPAddress]]  # IPv4, IPv6
Pairs = Counter[tuple[Node, Node]]  # the node of a name before, and the node that answers for it now -> names

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
    before = {zone.zone_id: zone for zone in _zones_before(old, new)}
    nested = _may_hide(before.values(), old, new) if before else set()
    for zone in before.values():
        moved = comparison.moved(zone, is_nested=zone.name in nested)
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
        nodes = Counter(node for _, node in snapshot.names.entries())
        for node, count in nodes.items():
            if isinstance(node.rule, Edge) and node.apex:
                found[node.apex.account_id] += count
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
    return of_shown(families(snapshot.addresses(node.apex.zone_id, node.apex.account_id)), _shown(node.rule))


@dataclass(frozen=True, slots=True, eq=False)
class _ZoneBefore:
    """A zone before the change."""

    zone_id: str
    name: bytes
    account_id: str
    names: Sequence[bytes]
    nodes: Sequence[Node]
    shown: ShownNames | None  # None: not counted

    def items(self) -> Iterator[tuple[bytes, Node]]:
        return zip(self.names, self.nodes, strict=True)


def _zones_before(old: Snapshot, new: Snapshot) -> Iterator[_ZoneBefore]:
    """The zones whose names may have moved."""
    if not old.zones:
        yield from _zones_in_file(old)
        return
    for zone_id in changed_zones(old, new):
        built = old.zones[zone_id]
        shown = built.proxied if new.zones.get(zone_id) is built else None
        yield _ZoneBefore(zone_id, built.zone.name, built.zone.account_id, built.names, built.nodes, shown)


def _zones_in_file(old: Snapshot) -> Iterator[_ZoneBefore]:
    """All zones of a snapshot that has only names."""
    found: dict[str, tuple[list[bytes], list[Node]]] = {}
    for name, node in old.names.entries():
        if isinstance(node.rule, Edge) and node.apex:
            names, nodes = found.setdefault(node.apex.zone_id, ([], []))
            names.append(name)
            nodes.append(node)
    for zone_id, (names, nodes) in found.items():
        apex = nodes[0].apex
        assert apex is not None
        yield _ZoneBefore(zone_id, apex.name, apex.account_id, names, nodes, None)


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


def _may_hide(zones: Iterable[_ZoneBefore], old: Snapshot, new: Snapshot) -> set[bytes]:
    """The names of zones that contain another zone, which answers for its names, before or after.

    If the zones have few names, it is cheaper to look each of them up: then all zones.
    """
    zones = tuple(zones)
    apexes = {zone.name for zone in zones}
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
        old = self.old.addresses(zone.zone_id, zone.account_id)
        built = self.new.zones.get(zone.zone_id)
        new = self.new.addresses(zone.zone_id, built.zone.account_id) if built else None
        if zone.shown and new and not is_nested:
            names = self._by_families(zone.shown, old, new)
            return ZoneMoves(zone.zone_id, zone.name, zone.account_id, old, new, names) if names.total else None
        pairs = self._pairs(zone, is_nested=is_nested)
        fates = {pair: self._fate(old, pair) for pair in pairs}
        counts: Counter[Fate] = Counter()
        for pair, count in pairs.items():
            counts[fates[pair]] += count
        if not (names := _moved(counts)).total:
            return None
        alone_total = sum(pairs[pair] for pair, fate in fates.items() if _is_alone(zone, pair, fate))
        applies_maps = built is None or built.applies_maps
        alone = tuple(islice(self._alone(zone, old, fates), MAX_ALONE)) if alone_total else ()
        return ZoneMoves(zone.zone_id, zone.name, zone.account_id, old, new, names, alone, alone_total, applies_maps)

    def _by_families(self, shown: ShownNames, old: Addresses, new: Addresses) -> MovedNames:
        """The moved names of a zone with unchanged names."""
        moved: dict[Fate, int] = {}
        before, after = self._families(old), self._families(new)
        for kind, count in zip(SHOWN_KINDS, shown, strict=True):
            if count:
                fate = self._fate_of(of_shown(before, kind), of_shown(after, kind), old, new)
                moved[fate] = moved.get(fate, 0) + count
        return _moved(moved)

    def _pairs(self, zone: _ZoneBefore, *, is_nested: bool) -> Pairs:
        """The nodes that answer for the zone's proxied names, before and after, counted."""
        built = self.new.zones.get(zone.zone_id)
        if built and not is_nested and zone.names == built.names:
            return Counter(pair for pair in zip(zone.nodes, built.nodes, strict=True) if isinstance(pair[0].rule, Edge))
        return Counter(pair for _, pair in self._named_pairs(zone))

    def _named_pairs(self, zone: _ZoneBefore) -> Iterator[tuple[bytes, tuple[Node, Node]]]:
        """The proxied names of a zone that were answered from it, with their nodes before and after."""
        before, after, search = self.old.names.get, self.new.names.get, self.new.search
        for name, node in zone.items():
            if isinstance(node.rule, Edge):
                served = before(name)
                if served is not None and served.apex is not None and served.apex.zone_id == zone.zone_id:
                    yield name, (node, after(name) or search(name))

    def _alone(self, zone: _ZoneBefore, old: Addresses, fates: dict[tuple[Node, Node], Fate]) -> Iterator[bytes]:
        """The names that moved apart from their zone."""
        for name, pair in self._named_pairs(zone):
            fate = fates.get(pair) or fates.setdefault(pair, self._fate(old, pair))
            if _is_alone(zone, pair, fate):
                yield name

    def _fate(self, old: Addresses, pair: tuple[Node, Node]) -> Fate:
        """The fate of names with these nodes, before and after, in a zone with the addresses `old`."""
        node, now = pair
        before = of_shown(self._families(old), _shown(node.rule))
        if isinstance(now.rule, Edge) and now.apex:
            new = self.new.addresses(now.apex.zone_id, now.apex.account_id)
            return self._fate_of(before, of_shown(self._families(new), _shown(now.rule)), old, new)
        if not any(before):
            return Fate.SAME
        return Fate.OPENED if is_stored(now) else Fate.GONE

    def _fate_of(self, before: Families, after: Families, old: Addresses, new: Addresses) -> Fate:
        """The fate of names that were answered with `before`, from `old`, and are with `after`, from `new`."""
        if before == after or not any(before):
            return Fate.SAME
        if not any(after):
            return Fate.GONE
        return Fate.POOLED if new is self.new.default and old is not self.old.default else Fate.READDRESSED

    def _families(self, addresses: Addresses) -> Families:
        return self.known.get(id(addresses)) or self.known.setdefault(id(addresses), families(addresses))


def _moved(counts: Mapping[Fate, int]) -> MovedNames:
    return MovedNames(*(counts.get(fate, 0) for fate in MOVING))


def _shown(rule: Rule | None) -> tuple[bool, bool]:
    """The families that a proxied name shows: IPv4, IPv6."""
    assert isinstance(rule, Edge)
    return A in rule.keys, AAAA in rule.keys


def of_shown(both: Families, shown: tuple[bool, bool]) -> Families:
    """The addresses of the shown families; the others are empty."""
    return both[0] if shown[0] else NONE, both[1] if shown[1] else NONE


def is_stored(node: Node) -> bool:
    """Whether a node answers with the records as stored: addresses, or an alias."""
    return isinstance(node.rule, Alias | Flattened | Redirection) or not STORED.isdisjoint(node.answers)


def _is_alone(zone: _ZoneBefore, pair: tuple[Node, Node], fate: Fate) -> bool:
    """Whether names with these nodes moved apart from the addresses of their zone."""
    node, now = pair
    if fate is Fate.SAME:
        return False
    if not isinstance(now.rule, Edge) or now.apex is None or now.apex.zone_id != zone.zone_id:
        return True
    return _shown(node.rule) != _shown(now.rule)
