"""The change guard: refuses a reload that would remove too much, unless the operator confirms it.

A source that shrinks a lot is usually an accident, such as a generator that stopped half-way or a folder that is not
mounted.
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

LIMIT = ("reload", "max_drop_percent")  # path of the setting, for problems about shares
FORCE = "use `dnsd reload --force` to apply it anyway"
MAX_NAMED = 3  # examples in a message


def drop_problems(old: Dataset, new: Dataset, max_drop_percent: int) -> list[Problem]:
    """Reasons not to replace `old` with `new` without confirmation; an empty list if it may be replaced.

    If more than `max_drop_percent` of the zones, or of the records of all zones together, would be removed: a problem
    at the path LIMIT of the settings, without a source. If a map with effect would lose all its addresses: a problem at
    its `ips`. A limit of 100 percent allows everything.

    A record with new data or a new TTL is not removed. The SOA and NS records at the apex are not counted.
    """
    if max_drop_percent == 100:
        return []
    return [
        *_too_many_zones(old, new, max_drop_percent),
        *_too_many_records(old, new, max_drop_percent),
        *(_emptied(one) for one in old.maps.values() if _has_effect(one) and _is_empty(new.maps.get(one.id))),
    ]


def names_problems(old: Collection[bytes], new: Container[bytes], max_drop_percent: int) -> list[Problem]:
    """The same check if only the served names are known: at most one problem, with the number of names removed."""
    gone = sum(name not in new for name in old)
    if not _is_over(gone, len(old), max_drop_percent):
        return []
    return [_excess(f"{gone:,} of {len(old):,} names would be removed", max_drop_percent)]


def _too_many_zones(old: Dataset, new: Dataset, limit: int) -> Iterator[Problem]:
    gone = [zone for zone_id, zone in old.zones.items() if zone_id not in new.zones]
    if _is_over(len(gone), len(old.zones), limit):
        yield _excess(f"{len(gone):,} of {len(old.zones):,} zones would be removed: {_named(gone)}", limit)


def _too_many_records(old: Dataset, new: Dataset, limit: int) -> Iterator[Problem]:
    losses = {zone_id: _loss(zone, new.zones.get(zone_id)) for zone_id, zone in old.zones.items()}
    losing = sorted((zone_id for zone_id, loss in losses.items() if loss), key=losses.__getitem__, reverse=True)
    if not losing:
        return
    gone, total = sum(losses.values()), sum(_counted(zone) for zone in old.zones.values())
    if _is_over(gone, total, limit):
        zones = [old.zones[zone_id] for zone_id in losing]
        yield _excess(f"{gone:,} of {total:,} records would be removed, from {_named(zones)}", limit)


def _is_over(gone: int, total: int, limit: int) -> bool:
    return gone * 100 > total * limit


def _excess(what: str, limit: int) -> Problem:
    return Problem("", LIMIT, f"{what}; the limit is {limit} percent: {FORCE}")


def _named(zones: Sequence[Zone]) -> str:
    names = ", ".join(zone.name_text for zone in zones[:MAX_NAMED])
    return f"{names} and {len(zones) - MAX_NAMED:,} more" if len(zones) > MAX_NAMED else names


def _loss(old: Zone, new: Zone | None) -> int:
    """The number of records that a zone would lose: the sum of the losses of its RRsets."""
    if new is None:
        return _counted(old)
    if old is new:
        return 0
    # Skip the common beginning: most changes of a large zone are small.
    pairs = zip(_keys(old), _keys(new), strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return (Counter(islice(_keys(old), same, None)) - Counter(islice(_keys(new), same, None))).total()


def _counted(zone: Zone) -> int:
    return sum(1 for _ in _keys(zone))


def _keys(zone: Zone) -> Iterator[tuple[bytes, int]]:
    """The owner name and type of each counted record."""
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
