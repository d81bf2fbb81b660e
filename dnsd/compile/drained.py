"""Drained addresses: the addresses of each map that names moved off, and how long caches may still give them.

From two snapshots, and the moves between them. A name that leads to another account's name drains nothing there: caches
keep only the alias of it, and the answers to its target are as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import islice
from typing import Any

from dnsd.compile.edge import EDGE_TTL_S
from dnsd.compile.endings import Ending, ending
from dnsd.compile.moved import Moved
from dnsd.compile.moves import ZoneMoves
from dnsd.engine.answer import EdgeSource
from dnsd.engine.snapshot import BuiltZone, Snapshot
from dnsd.model.fields import IPAddress

MAX_ALIASES = 1_000  # changed aliases of one zone that are compared


@dataclass(slots=True)
class Drained:
    """The addresses of one map that names moved off."""

    map: str  # key
    addresses: set[IPAddress] = field(default_factory=set)
    names_total: int = 0
    ttl_s: int = 0  # the highest TTL of what was answered before


def drained(old: Snapshot, new: Snapshot, moved: Iterable[ZoneMoves]) -> list[Drained]:
    """The drained addresses of each map; `moved` are the moves from `old` to `new`."""
    found: dict[str, Drained] = {}
    together: dict[int, list[Any]] = {}
    for off, names, ttl_s in _drained(old, new, moved):
        same = together.setdefault(id(off), [off, 0, 0])
        same[1:] = same[1] + names, max(same[2], ttl_s)
    for off, names, ttl_s in together.values():
        for key in {key for key, _ in off}:
            one = found.setdefault(key, Drained(key))
            one.addresses |= {ip for other, ip in off if other == key}
            one.names_total += names
            one.ttl_s = max(one.ttl_s, ttl_s)
    return list(found.values())


Off = set[tuple[str, IPAddress]]  # keys of maps, with addresses


def _drained(old: Snapshot, new: Snapshot, moved: Iterable[ZoneMoves]) -> Iterator[tuple[Off, int, int]]:
    """Sets of drained addresses, each with its number of names and the TTL."""
    known: dict[tuple[int, int, bool, bool], Off] = {}  # many zones move together
    for zone in moved:
        if zone.names.total > zone.alone_total:
            key = (id(zone.old), id(zone.new), *_shown(old, zone))
            off = known.get(key)
            if off is None:
                kept = set(zone.new.ips) if zone.new else set()
                off = known[key] = {(source, ip) for source, ip in _edge(old, zone) if ip not in kept}
            yield off, zone.names.total - zone.alone_total, EDGE_TTL_S
        if zone.alone_total > len(zone.alone):
            yield _edge(old, zone), zone.alone_total, EDGE_TTL_S
        else:
            for name in zone.alone:
                yield _off_name(old, new, name), 1, EDGE_TTL_S
    for zone_id, built in old.zones.items():
        if new.zones.get(zone_id) is not built:
            yield from _off_aliases(old, new, built)


def _shown(old: Snapshot, zone: ZoneMoves) -> tuple[bool, bool]:
    """Whether proxied names of a zone showed IPv4 and IPv6 addresses."""
    built = old.zones.get(zone.zone_id)
    if built is None:
        return True, True
    return built.proxied.v4 + built.proxied.both > 0, built.proxied.v6 + built.proxied.both > 0


def _edge(old: Snapshot, zone: ZoneMoves) -> Off:
    """The addresses of the maps that answered for a zone's proxied names."""
    shown = dict(zip((4, 6), _shown(old, zone), strict=True))
    sources = dict(zip((4, 6), zone.old.sources, strict=True))
    return {(sources[ip.version].map, ip) for ip in zone.old.ips if sources[ip.version].map and shown[ip.version]}


def _off_name(old: Snapshot, new: Snapshot, name: bytes) -> Off:
    return _off(ending(old, old.search(name), name), ending(new, new.search(name), name))


def _off_aliases(old: Snapshot, new: Snapshot, built: BuiltZone) -> Iterator[tuple[Off, int, int]]:
    """The drained addresses of a zone's changed and removed aliases."""
    after = new.zones.get(built.zone.id)
    rules = dict(after.aliases()) if after else {}
    account = built.zone.key.partition("/")[0]
    changed = (name for name, rule in built.aliases() if rules.get(name) != rule)
    for name in islice(changed, MAX_ALIASES):
        pair = ending(old, old.search(name), name), ending(new, new.search(name), name)
        off = {(key, ip) for key, ip in _off(*pair) if key.startswith(f"{account}/")}
        if off:
            yield off, 1, Moved(built.zone.id, *pair).ttl_s


def _off(before: Ending, after: Ending) -> Off:
    lost = [(before.v4_source, set(before.v4) - set(after.v4)), (before.v6_source, set(before.v6) - set(after.v6))]
    return {(source.map, ip_address(ip)) for source, ips in lost if _is_map(source) and source for ip in ips}


def _is_map(source: EdgeSource | None) -> bool:
    return source is not None and bool(source.map)
