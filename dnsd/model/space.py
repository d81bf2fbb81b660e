"""Warnings about address space that has two users, or that its account may not be able to announce."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network

from dnsd.errors import Problem
from dnsd.model.accounts import Account, Prefix, contains
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress, IPNetwork
from dnsd.model.maps import AddressMap

SMALLEST = {4: 24, 6: 48}  # the longest prefixes that networks accept from each other
LARGEST = {4: 8, 6: 19}  # the shortest prefixes that registries allocate to one holder
NOT_GLOBAL = [  # documentation prefixes are left out: examples use them
    ip_network(prefix)
    for prefix in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/8", "100::/64", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
]
MAX_NAMED = 5  # overlapping prefixes in a sentence


def lent_addresses(dataset: Dataset, address_map: AddressMap) -> Iterator[Problem]:
    """Addresses of a map in parts of its account's prefixes that are delegated: both accounts may answer with them."""
    prefixes = dataset.accounts[address_map.account_id].prefixes
    lent = dict.fromkeys(delegation.cidr for prefix in prefixes for delegation in prefix.delegations)
    for part in lent:
        found = [(index, ip) for index, ip in enumerate(address_map.ips) if contains(part, ip)]
        if found:
            index, ip = found[0]
            what = f"{ip} lies" if len(found) == 1 else f"{len(found):,} addresses, such as {ip}, lie"
            message = f"{what} in {part}, which is delegated to another account: both accounts may answer with it"
            yield Problem(address_map.key, ("ips", index), message, warning=True)


def shared_static_ips(dataset: Dataset, account: Account) -> Iterator[Problem]:
    """Static IPs in a second map in effect for the whole account; moves without a gap need two for a while."""
    if not account.static_ips or len(dataset.maps_by_member.get(account.id, ())) < 2:
        return
    leased, first = {*account.static_ips}, dict[IPAddress, AddressMap]()
    for address_map in dataset.account_wide(account.id):
        for index, ip in enumerate(address_map.ips):
            if ip in leased and (other := first.setdefault(ip, address_map)) is not address_map:
                message = f"{ip} is a static IP, and also in {other.key}, which is enabled for the account, too"
                yield Problem(address_map.key, ("ips", index), message, warning=True)


def doubts(dataset: Dataset, account: Account, prefix: Prefix, pool: Iterable[IPAddress]) -> list[str]:
    """Doubts to settle before an operator approves a prefix, as sentences, which may name other accounts.

    `pool` are the addresses of the default pool.
    """
    cidr, smallest, largest = prefix.cidr, SMALLEST[prefix.cidr.version], LARGEST[prefix.cidr.version]
    found = [f"It overlaps with {one}, which is not global address space." for one in NOT_GLOBAL if overlap(one, cidr)]
    if cidr.prefixlen > smallest:
        found.append(f"It is smaller than a /{smallest}: most networks accept no route to it.")
    if cidr.prefixlen < largest:
        found.append(f"It is larger than a /{largest}: registries allocate no such block to one holder.")
    if prefix.asn is None:
        found.append("It has no AS number.")
    if any(contains(cidr, ip) for ip in pool):
        found.append("It contains addresses of the default pool.")
    for other in dataset.accounts.values():
        if other.id != account.id:
            claims = [str(one.cidr) for one in other.prefixes if overlap(one.cidr, cidr)]
            claims += [str(ip) for ip in other.static_ips if contains(cidr, ip)]
            more = f" and {len(claims) - MAX_NAMED:,} more" if len(claims) > MAX_NAMED else ""
            if claims:
                found.append(f"It overlaps with space of {other.name}: {', '.join(claims[:MAX_NAMED])}{more}.")
    return found


def overlap(one: IPNetwork, other: IPNetwork) -> bool:
    """Whether two prefixes have addresses in common."""
    return contains(one, other) or contains(other, one)
