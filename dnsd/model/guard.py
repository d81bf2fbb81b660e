"""The change guard: what a reload would drop, and whether that is so much that a person should say so (R3).

A source that shrinks by much is more often a mishap, such as a generator that stopped half-way or a folder that is not
mounted, than what somebody wants.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterator, Sequence
from itertools import islice, takewhile

from dnsd.errors import Problem
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap
from dnsd.model.zones import Zone
from dnsd.wire.rdata import NS, SOA

LIMIT = ("reload", "max_drop_percent")  # the setting that the problems with shares are about
FORCE = "`dnsd reload --force` does it all the same"
MAX_NAMED = 3  # examples in a message


def drop_problems(old: Dataset, new: Dataset, max_drop_percent: int) -> list[Problem]:
    """Why `new` must not replace `old` unless somebody insists; none where it may.

    Over `max_drop_percent` of the zones, or of the records of all zones together, would be gone: problems at the path
    LIMIT of the settings, without a source. Or a map that has effect would lose all its addresses: at its `ips`. With a
    limit of 100 percent, everything may.

    A record that gets other data or another TTL is not gone. What every zone has, SOA and NS at its apex, counts for
    nothing.
    """
    if max_drop_percent == 100:
        return []
    return [
        *_too_many_zones(old, new, max_drop_percent),
        *_too_many_records(old, new, max_drop_percent),
        *(_emptied(one) for one in old.maps.values() if _has_effect(one) and _is_empty(new.maps.get(one.id))),
    ]


def names_problems(old: Collection[bytes], new: Container[bytes], max_drop_percent: int) -> list[Problem]:
    """The same where only names are known of what is served: none, or one that says how many of them would be gone."""
    gone = sum(name not in new for name in old)
    if not _is_over(gone, len(old), max_drop_percent):
        return []
    return [_excess(f"{gone:,} of {len(old):,} names would be gone", max_drop_percent)]


def _too_many_zones(old: Dataset, new: Dataset, limit: int) -> Iterator[Problem]:
    gone = [zone for zone_id, zone in old.zones.items() if zone_id not in new.zones]
    if _is_over(len(gone), len(old.zones), limit):
        yield _excess(f"{len(gone):,} of {len(old.zones):,} zones would be gone: {_named(gone)}", limit)


def _too_many_records(old: Dataset, new: Dataset, limit: int) -> Iterator[Problem]:
    losses = {zone_id: _loss(zone, new.zones.get(zone_id)) for zone_id, zone in old.zones.items()}
    losing = sorted((zone_id for zone_id, loss in losses.items() if loss), key=losses.__getitem__, reverse=True)
    if not losing:
        return
    gone, total = sum(losses.values()), sum(_counted(zone) for zone in old.zones.values())
    if _is_over(gone, total, limit):
        zones = [old.zones[zone_id] for zone_id in losing]
        yield _excess(f"{gone:,} of {total:,} records would be gone, of {_named(zones)}", limit)


def _is_over(gone: int, total: int, limit: int) -> bool:
    return gone * 100 > total * limit


def _excess(what: str, limit: int) -> Problem:
    return Problem("", LIMIT, f"{what}; that is over the limit of {limit} percent: {FORCE}")


def _named(zones: Sequence[Zone]) -> str:
    names = ", ".join(zone.name_text for zone in zones[:MAX_NAMED])
    return f"{names} and {len(zones) - MAX_NAMED:,} more" if len(zones) > MAX_NAMED else names


def _loss(old: Zone, new: Zone | None) -> int:
    """How many records a zone would lose: by how many each RRset, one name's records of one type, would shrink."""
    if new is None:
        return _counted(old)
    if old is new:
        return 0
    # What both begin with counts for nothing: most changes of a large zone are small.
    pairs = zip(_keys(old), _keys(new), strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return (Counter(islice(_keys(old), same, None)) - Counter(islice(_keys(new), same, None))).total()


def _counted(zone: Zone) -> int:
    return sum(1 for _ in _keys(zone))


def _keys(zone: Zone) -> Iterator[tuple[bytes, int]]:
    """Of each record that counts the owner and the type."""
    return (key for key in zone.records.owners_and_types() if key not in ((zone.name, SOA), (zone.name, NS)))


def _has_effect(address_map: AddressMap) -> bool:
    return address_map.enabled and bool(address_map.memberships) and bool(address_map.ips)


def _is_empty(address_map: AddressMap | None) -> bool:
    return address_map is not None and not address_map.ips


def _emptied(address_map: AddressMap) -> Problem:
    count = len(address_map.ips)
    addresses = "its address" if count == 1 else f"all its {count} addresses"
    members = len(address_map.memberships)
    whose = f"{members:,} member{'' if members == 1 else 's'}"
    message = f"the map answers for {whose} and would lose {addresses}: {FORCE}"
    return Problem(address_map.key, ("ips",), message)
