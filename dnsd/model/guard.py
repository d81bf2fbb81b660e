"""The change guard: refuses files that would move or remove too much, unless the operator confirms it.

A source that shrinks a lot, or moves many customers at once, is usually an accident: a generator that stopped half-way,
a folder that is not mounted, an export without a column. The rules judge counts; `compile/moves.py` makes those of
moved names. A finding within one account holds that account; one over several accounts refuses the reload.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, islice, takewhile
from operator import is_not
from typing import NamedTuple, TypeVar

from dnsd.errors import Path, Problem
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap
from dnsd.model.zones import Zone
from dnsd.wire.rdata import NS, SOA

T = TypeVar("T")

LIMIT: Path = ("reload", "max_drop_percent")  # of the setting, for problems about shares
FORCE = "use `dnsd reload --force` to apply it anyway"
MAX_NAMED = 3  # zones in a message
MAX_ACCOUNTS = 50  # accounts in a message
LEAST_UNPROXIED = 10  # names of an account that lose `proxied` at once, before it looks like an accident


class MovedNames(NamedTuple):
    """Numbers of proxied names with other answers than before: all of them were answered before."""

    readdressed: int = 0  # with other edge addresses
    pooled: int = 0  # with the default pool's addresses, after those of a map
    opened: int = 0  # as stored: the origin is public
    gone: int = 0  # no longer

    @property
    def total(self) -> int:
        """The number of all moved names."""
        return sum(self)

    def plus(self, other: MovedNames) -> MovedNames:
        """The sums of both."""
        return MovedNames(*map(sum, zip(self, other, strict=True)))

    def text(self) -> str:
        """The numbers in words."""
        words = ("other edge addresses", "onto the default pool", "into the open", "no longer answered")
        return ", ".join(f"{count:,} {what}" for count, what in zip(self, words, strict=True) if count)


@dataclass(frozen=True, slots=True)
class AccountMoves:
    """The moved names of an account, of those that were proxied before."""

    account: str  # folder
    names: MovedNames
    unproxied: int = 0  # of those in the open, names whose records lost `proxied`
    proxied: int = 0  # all proxied names before


@dataclass(frozen=True, slots=True)
class GuardFinding:
    """A reason not to serve files without confirmation, and the accounts that it concerns.

    A `share` depends on all accounts together: it may be gone when one of them is held.
    """

    problem: Problem
    accounts: frozenset[str]  # folders
    is_share: bool = False


def move_findings(moved: Collection[AccountMoves], total: int, max_drop_percent: int) -> Iterator[GuardFinding]:
    """Rules 1 to 3: names of several accounts onto the pool, too many new addresses, names into the open.

    `total` is the number of all proxied names before. A limit of 100 percent allows everything.
    """
    if max_drop_percent == 100:
        return
    for fate, what in (("pooled", "fall from their maps onto the default pool"), ("opened", "go into the open")):
        counts = {one.account: count for one in moved if (count := getattr(one.names, fate))}
        if len(counts) > 1:
            yield _over(f"{_names(counts)} of {len(counts):,} accounts would {what}", counts)
    counts = {one.account: one.names.total for one in moved if one.names.total}
    if len(counts) > 1 and _is_over(sum(counts.values()), total, max_drop_percent):
        what = f"{sum(counts.values()):,} of {total:,} proxied names would change their addresses"
        yield _over(f"{what}; the limit is {max_drop_percent} percent", counts, is_share=True)
    for one in moved:
        if one.unproxied >= LEAST_UNPROXIED and one.unproxied * 2 > one.proxied:
            message = f"{one.unproxied:,} of {one.proxied:,} proxied names of the account would lose `proxied`"
            message = f"{message} and go into the open, as after an export without tags: {_force(one.account)}"
            yield GuardFinding(Problem(one.account, (), message), frozenset([one.account]))


def taken(moved: Collection[AccountMoves]) -> Iterator[Problem]:
    """Warnings with the figures of names that a change takes off their maps or into the open."""
    for fate, one_does, many_do in (
        ("pooled", "falls from its map onto the default pool", "fall from their maps onto the default pool"),
        ("opened", "goes into the open", "go into the open"),
    ):
        counts = {one.account: count for one in moved if (count := getattr(one.names, fate))}
        if counts:
            does = one_does if sum(counts.values()) == 1 else many_do
            source = next(iter(counts)) if len(counts) == 1 else ""
            yield Problem(source, (), f"{_names(counts)} {does}: {listed(counts)}", warning=True)


def drop_findings(old: Dataset, new: Dataset, max_drop_percent: int) -> list[GuardFinding]:
    """Rule 4, as half-written files look like this: zones, records or a map's addresses are gone.

    If more than `max_drop_percent` of the zones, or of the records of all zones together, would be removed: a problem
    of the account that had them or, of several, at the path LIMIT of the settings, without a source. If a map with
    effect would lose all its addresses: a problem at its `ips`. A limit of 100 percent allows everything.

    A record with new data or a new TTL is not removed. The SOA and NS records at the apex are not counted.
    """
    if max_drop_percent == 100:
        return []
    return [
        *_too_many_zones(old, new, max_drop_percent),
        *_too_many_records(old, new, max_drop_percent),
        *_emptied_maps(old, new),
    ]


def names_problems(old: Collection[bytes], new: Container[bytes], max_drop_percent: int) -> list[Problem]:
    """The same check if only the served names are known: at most one problem, with the number of names removed."""
    gone = sum(name not in new for name in old)
    if not _is_over(gone, len(old), max_drop_percent):
        return []
    return [_excess(f"{gone:,} of {len(old):,} names would be removed", max_drop_percent, ()).problem]


def brake_limit(total: int, accounts: int, accounts_percent: int) -> int:
    """Rule 5: the number of accounts, of `total`, that one author may move within a window."""
    return max(accounts, total * accounts_percent // 100)


def listed(counts: Mapping[str, int]) -> str:
    """Accounts with their numbers of names, the largest first: `acme (12 names), globex (1 name)`."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{account} ({_names({account: count})})" for account, count in ranked[:MAX_ACCOUNTS])
    rest = dict(ranked[MAX_ACCOUNTS:])
    more = f"{len(rest):,} more account{'' if len(rest) == 1 else 's'}"
    return f"{shown} and {more} ({_names(rest)})" if rest else shown


def _over(what: str, counts: Mapping[str, int], *, is_share: bool = False) -> GuardFinding:
    """A finding over several accounts."""
    return GuardFinding(Problem("", LIMIT, f"{what}: {listed(counts)}: {FORCE}"), frozenset(counts), is_share)


def _force(account: str) -> str:
    return FORCE.replace("--force", f"--force --account {account}")


def _names(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    return f"{total:,} name{'' if total == 1 else 's'}"


def differing(before: Mapping[str, T], after: Mapping[str, T]) -> Iterator[str]:
    """The keys in `before` whose values are other objects in `after`; fast, as most loads change few of many."""
    return compress(before, map(is_not, before.values(), map(after.get, before)))


def _too_many_zones(old: Dataset, new: Dataset, limit: int) -> Iterator[GuardFinding]:
    if old.zones.keys() <= new.zones.keys():
        return
    gone = [zone for zone_id, zone in old.zones.items() if zone_id not in new.zones]
    if _is_over(len(gone), len(old.zones), limit):
        yield _excess(f"{len(gone):,} of {len(old.zones):,} zones would be removed: {_named(gone)}", limit, gone)


def _too_many_records(old: Dataset, new: Dataset, limit: int) -> Iterator[GuardFinding]:
    changed = differing(old.zones, new.zones)
    losses = {zone_id: _loss(old.zones[zone_id], new.zones.get(zone_id)) for zone_id in changed}
    losing = sorted((zone_id for zone_id, loss in losses.items() if loss), key=losses.__getitem__, reverse=True)
    if not losing:
        return
    gone, total = sum(losses.values()), sum(_counted(zone) for zone in old.zones.values())
    if _is_over(gone, total, limit):
        zones = [old.zones[zone_id] for zone_id in losing]
        yield _excess(f"{gone:,} of {total:,} records would be removed, from {_named(zones)}", limit, zones)


def _is_over(gone: int, total: int, limit: int) -> bool:
    return gone * 100 > total * limit


def _excess(what: str, limit: int, zones: Iterable[Zone]) -> GuardFinding:
    """A finding about a share; of one account, the problem is the account's."""
    accounts = frozenset(zone.key.partition("/")[0] for zone in zones)
    what = f"{what}; the limit is {limit} percent"
    if len(accounts) != 1:
        return GuardFinding(Problem("", LIMIT, f"{what}: {FORCE}"), accounts, is_share=True)
    (account,) = accounts
    return GuardFinding(Problem(account, (), f"{what}: {_force(account)}"), accounts, is_share=True)


def _named(zones: Sequence[Zone]) -> str:
    names = ", ".join(zone.name_text for zone in zones[:MAX_NAMED])
    return f"{names} and {len(zones) - MAX_NAMED:,} more" if len(zones) > MAX_NAMED else names


def _loss(old: Zone, new: Zone | None) -> int:
    """The number of records that a zone would lose: the sum of the losses of its RRsets."""
    if new is None:
        return _counted(old)
    if old is new or (old.name == new.name and old.records.has_names_of(new.records)):
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


def _emptied_maps(old: Dataset, new: Dataset) -> Iterator[GuardFinding]:
    for map_id in differing(old.maps, new.maps):
        if _has_effect(one := old.maps[map_id]) and _is_empty(new.maps.get(map_id)):
            yield _emptied(one)


def _emptied(address_map: AddressMap) -> GuardFinding:
    count = len(address_map.ips)
    addresses = "its address" if count == 1 else f"all its {count} addresses"
    members = len(address_map.memberships)
    whose = f"{members:,} member{'' if members == 1 else 's'}"
    account = address_map.key.partition("/")[0]
    remedy = f"disable the map, or remove its file, to switch it off; else {_force(account)}"
    message = f"the map answers for {whose} and would lose {addresses}: {remedy}"
    return GuardFinding(Problem(address_map.key, ("ips",), message), frozenset([account]))
