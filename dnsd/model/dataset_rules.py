"""The rules between accounts, address maps and zones: every problem of a dataset.

A dataset with a problem other than a warning is never served.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from dnsd.errors import BrokenRule, Path, Problem
from dnsd.model.accounts import Account, Approval, BgpPrefix, Binding, Prefix, contains
from dnsd.model.advertisement import declared_warnings
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress, IPNetwork
from dnsd.model.maps import MAX_ADDRESSES, AddressMap, MemberKind, considered
from dnsd.model.pool import missing_key, pool_problems
from dnsd.model.space import lent_addresses, shared_static_ips
from dnsd.model.zone_rules import zone_problems


def problems(dataset: Dataset) -> list[Problem]:
    """All problems of the dataset, warnings included."""
    maps: dict[str, list[AddressMap]] = defaultdict(list)
    for one in dataset.maps.values():
        maps[one.account_id].append(one)
    return [
        *space_problems(dataset),
        *(found for one in dataset.accounts.values() for found in account_problems(dataset, one, maps[one.id])),
        *(found for one in dataset.maps.values() for found in map_problems(dataset, one)),
        *(found for zone in dataset.zones.values() for found in zone_problems(zone)),
    ]


def account_problems(dataset: Dataset, account: Account, maps: Sequence[AddressMap]) -> Iterator[Problem]:
    """Problems of an account, and between its `maps`; without those of a single map."""
    yield from _prefix_problems(account)
    yield from _rivals(dataset, account, maps)
    yield from pool_problems(dataset, account)
    yield from shared_static_ips(dataset, account)


def _prefix_problems(account: Account) -> Iterator[Problem]:
    for index, prefix in enumerate(account.prefixes):
        for number, delegation in enumerate(prefix.delegations):
            path = ("prefixes", index, "delegations", number)
            if not contains(prefix.cidr, delegation.cidr):
                yield Problem(account.key, (*path, "cidr"), f"{delegation.cidr} lies outside the prefix {prefix.cidr}")
            if delegation.account_id == account.id:
                yield Problem(account.key, (*path, "account"), "a prefix cannot be delegated to its own account")
        yield from _parts_problems(account, prefix, ("prefixes", index))


def _parts_problems(account: Account, prefix: Prefix, place: Path) -> Iterator[Problem]:
    """Problems of a prefix's BGP prefixes and bindings."""
    kinds: Mapping[str, Sequence[BgpPrefix | Binding]] = {
        "bgp_prefixes": prefix.bgp_prefixes,
        "bindings": prefix.bindings,
    }
    for kind, parts in kinds.items():
        ids: set[str] = set()
        networks: set[IPNetwork] = set()
        for number, part in enumerate(parts):
            path = (*place, kind, number)
            if not contains(prefix.cidr, part.cidr):
                yield Problem(account.key, (*path, "cidr"), f"{part.cidr} lies outside the prefix {prefix.cidr}")
            elif part.cidr in networks:
                yield Problem(account.key, (*path, "cidr"), f"{part.cidr} is listed twice")
            elif part.id in ids:
                yield Problem(account.key, (*path, "id"), "another one has the same id")
            ids.add(part.id)
            networks.add(part.cidr)


def space_problems(dataset: Dataset) -> Iterator[Problem]:
    """Address space that is claimed twice."""
    claims = [
        (account, ("prefixes", index, "cidr"), prefix.cidr, prefix.approved is Approval.ACTIVE)
        for account in dataset.accounts.values()
        for index, prefix in enumerate(account.prefixes)
    ]
    claims.sort(key=lambda claim: (claim[2].version, int(claim[2].network_address), claim[2].prefixlen))
    enclosing: list[tuple[Account, Path, IPNetwork, bool]] = []
    for claim in claims:
        while enclosing and not contains(enclosing[-1][2], claim[2]):
            enclosing.pop()
        if enclosing and enclosing[-1][2] == claim[2] and enclosing[-1][0] is claim[0]:
            yield Problem(claim[0].key, claim[1], f"{claim[2]} is listed twice")
            continue
        others = [other for other in enclosing if other[0] is not claim[0]]
        # A pending prefix is an unverified claim: it must not lock out the rightful holder.
        if other := next((other for other in others if claim[3] and other[3]), None):
            message = f"{claim[2]} overlaps with {other[2]} of the account {other[0].key!r}"
            yield Problem(claim[0].key, claim[1], message, other=other[0].key)
        elif other := next(iter(others), None):
            message = f"{claim[2]} overlaps with {other[2]} of the account {other[0].key!r}; one of them is pending"
            yield Problem(claim[0].key, claim[1], message, warning=True, other=other[0].key)
        enclosing.append(claim)
    holders: dict[IPAddress, Account] = {}
    for account in dataset.accounts.values():
        for index, ip in enumerate(account.static_ips):
            holder = holders.setdefault(ip, account)
            if holder is not account:
                message = f"{ip} is a static IP of the account {holder.key!r}"
                yield Problem(account.key, ("static_ips", index), message, other=holder.key)


def map_problems(dataset: Dataset, address_map: AddressMap) -> Iterator[Problem]:
    """Problems of one address map."""
    key = address_map.key
    listed: set[IPAddress] = set()
    for index, ip in enumerate(address_map.ips[: 2 * MAX_ADDRESSES + 1]):  # more are refused below
        if ip in listed:
            yield Problem(key, ("ips", index), f"{ip} is listed twice")
        elif message := may_not_use(dataset, address_map.account_id, ip):
            # Owners may withdraw space that only disabled maps list: a warning must not hold the maps' account.
            is_used = address_map.enabled
            message = f"{ip} {message}{'' if is_used else ': the map cannot be enabled while it lists it'}"
            yield Problem(key, ("ips", index), message, warning=not is_used, rule=BrokenRule.OUTSIDE_SPACE)
        listed.add(ip)
    for version in (4, 6):
        count = sum(ip.version == version for ip in address_map.ips)
        if count > MAX_ADDRESSES:
            yield Problem(key, ("ips",), f"{count} IPv{version} addresses; the limit is {MAX_ADDRESSES}")
    seen = set()
    for index, member in enumerate(address_map.memberships):
        path = ("memberships", index, "identifier")
        if (member.kind, member.identifier) in seen:
            yield Problem(key, path, "is already a member")
        seen.add((member.kind, member.identifier))
        if member.kind is MemberKind.ZONE:
            zone = dataset.zones[member.identifier]
            if zone.account_id != address_map.account_id:
                message = f"the zone {zone.name_text} and the map belong to different accounts"
                yield Problem(key, path, message, other=zone.key)
            elif address_map.immutable:
                yield Problem(key, path, "an immutable map is account-wide: only the account can be a member")
    yield from _without_effect(address_map)
    yield from missing_key(dataset, address_map)
    yield from declared_warnings(dataset.declared_routes, address_map)
    yield from lent_addresses(dataset, address_map)


def _without_effect(address_map: AddressMap) -> Iterator[Problem]:
    if address_map.memberships and not address_map.ips:
        yield Problem(address_map.key, ("ips",), "the map has members but no addresses: it is skipped", warning=True)
    if address_map.immutable and not (address_map.enabled and address_map.memberships):
        missing = "it is not enabled" if not address_map.enabled else "the account is not its member"
        yield Problem(address_map.key, ("immutable",), f"the immutable map has no effect: {missing}", warning=True)


def may_not_use(dataset: Dataset, account_id: str, ip: IPAddress) -> str | None:
    """The reason that an account may not use an address in its maps, as a sentence without subject; None if it may.

    An account may use its active prefixes, the parts of other accounts' active prefixes that are delegated to it, and
    its static IPs.
    """
    if ip in dataset.accounts[account_id].static_ips:
        return None
    around = [prefix for _, prefix in dataset.space_around(account_id, ip)]
    if any(prefix.approved is Approval.ACTIVE for prefix in around):
        return None
    own = [prefix for prefix in around if prefix in dataset.accounts[account_id].prefixes]
    if own:  # a pending prefix of another account is none of this account's business, delegated or not
        return f"lies in {own[0].cidr}, which is not approved yet (`approved` is P and must be V)"
    return "is outside the account's prefixes, the prefixes delegated to it, and its static IPs"


def _rivals(dataset: Dataset, account: Account, maps: Sequence[AddressMap]) -> Iterator[Problem]:
    """Warnings for maps that do not answer for a member because another of the member's maps takes precedence."""
    sharing: dict[tuple[bool, MemberKind, str], dict[str, AddressMap]] = defaultdict(dict)
    for address_map in maps:
        for member in address_map.memberships:
            sharing[address_map.immutable, member.kind, member.identifier][address_map.id] = address_map
    for (_, kind, identifier), rivals in sharing.items():
        if len(rivals) == 1:
            continue
        zone_id = identifier if kind is MemberKind.ZONE else None
        candidates = considered(rivals.values(), account.id, zone_id)
        usable = [candidate.map for candidate in candidates if not candidate.skipped]
        for loser in usable[1:]:
            index = next(i for i, m in enumerate(loser.memberships) if (m.kind, m.identifier) == (kind, identifier))
            what = dataset.zones[identifier].name_text if zone_id else "the account"
            message = f"{what} is also a member of {usable[0].key}, which takes precedence"
            yield Problem(loser.key, ("memberships", index), message, warning=True)
