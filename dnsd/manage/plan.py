"""The effect of a change on answers: the zones with new addresses, and a sample of their proxied names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dnsd.app import Loaded
from dnsd.engine.node import Edge
from dnsd.engine.snapshot import Addresses
from dnsd.errors import Problem
from dnsd.model.zones import Zone
from dnsd.wire.names import name_text

MAX_NAMES = 10  # of one zone


@dataclass(frozen=True, slots=True)
class ZoneAddresses:
    """The addresses that answer for a zone's proxied names, and their map."""

    v4: tuple[str, ...]
    v6: tuple[str, ...]
    map_id: str | None  # None: the default pool


@dataclass(frozen=True, slots=True)
class ZonePlan:
    """A zone with changed answers: old and new addresses, the number of names, and a sample of them."""

    zone: Zone
    old: ZoneAddresses
    new: ZoneAddresses
    names_total: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The effect of a change on all answers."""

    zones: tuple[ZonePlan, ...]
    warnings: tuple[Problem, ...]  # only new ones

    @property
    def names_total(self) -> int:
        """The number of names with changed answers."""
        return sum(one.names_total for one in self.zones)


def plan_of(before: Loaded, after: Loaded) -> Plan:
    """The effect of replacing `before` with `after`; created and deleted zones are left out."""
    old = {(problem.source, problem.message) for problem in before.warnings}
    warnings = tuple(problem for problem in after.warnings if (problem.source, problem.message) not in old)
    return Plan(tuple(_changed_zones(before, after)), warnings)


def answering(loaded: Loaded, zone: Zone) -> ZoneAddresses:
    """The addresses that answer for a zone's proxied names now."""
    return _answering(loaded, loaded.snapshot.addresses(zone.id, zone.account_id))


def _answering(loaded: Loaded, addresses: Addresses) -> ZoneAddresses:
    keys = {source.map for source in addresses.sources if source.map}
    maps = [found.id for key in sorted(keys) if (found := loaded.stored.maps.get(key))]
    v4 = tuple(str(ip) for ip in addresses.ips if ip.version == 4)
    v6 = tuple(str(ip) for ip in addresses.ips if ip.version == 6)
    return ZoneAddresses(v4, v6, maps[0] if maps else None)


def proxied_names(loaded: Loaded, zone: Zone) -> Iterator[bytes]:
    """The names of a zone that are answered with edge addresses."""
    built = loaded.snapshot.zones[zone.id]
    return (name for name, node in built.items() if isinstance(node.rule, Edge))


def _changed_zones(before: Loaded, after: Loaded) -> Iterator[ZonePlan]:
    cache: dict[int, ZoneAddresses] = {}  # one map may answer for thousands of zones

    def cached(loaded: Loaded, addresses: Addresses) -> ZoneAddresses:
        return cache.get(id(addresses)) or cache.setdefault(id(addresses), _answering(loaded, addresses))

    for zone in after.dataset.zones.values():
        if zone.id not in before.dataset.zones or not after.dataset.applies_maps(zone):
            continue
        old, new = (one.snapshot.addresses(zone.id, zone.account_id) for one in (before, after))
        if old is new or old.ips == new.ips:
            continue
        names = list(proxied_names(after, zone))
        sample = tuple(map(name_text, names[:MAX_NAMES]))
        yield ZonePlan(zone, cached(before, old), cached(after, new), len(names), sample)
