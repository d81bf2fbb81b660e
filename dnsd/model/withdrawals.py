"""The rules on withdrawing routes and lent address space: nothing in use is withdrawn by a slip.

Nor is anything unapproved advertised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dnsd.errors import Problem
from dnsd.model.accounts import Account, BgpPrefix, Prefix, contains
from dnsd.model.advertisement import answers
from dnsd.model.dataset import Dataset
from dnsd.model.dataset_rules import may_not_use
from dnsd.model.fields import IPAddress, IPNetwork
from dnsd.model.maps import AddressMap, MissingFamily, effective
from dnsd.model.zones import Zone

MAX_NAMED = 20  # zones, maps or addresses in a message


@dataclass(frozen=True, slots=True)
class Loss:
    """The addresses that an enabled map would lose with the space of its account, or the space lent to it."""

    map: AddressMap
    ips: tuple[IPAddress, ...]

    @property
    def left(self) -> tuple[IPAddress, ...]:
        """The addresses that the map would keep."""
        lost = set(self.ips)
        return tuple(ip for ip in self.map.ips if ip not in lost)

    def __str__(self) -> str:
        ips = ", ".join(map(str, self.ips[:MAX_NAMED])) + (", …" if len(self.ips) > MAX_NAMED else "")
        return f"{self.map.key} loses {ips}{'' if self.left else ', all that it has, and is disabled'}"


def losses(dataset: Dataset, after: Account, *, of_own: bool = False) -> list[Loss]:
    """The losses of other accounts' enabled maps, or also `of_own` ones, if an account's space becomes `after`'s."""
    before = dataset.accounts[after.id]
    losing = {one.account_id for prefix in before.prefixes for one in prefix.delegations} - {after.id}
    losing |= {after.id} if of_own else set()
    changed = replace(dataset, accounts={**dataset.accounts, after.id: after})
    found = []
    for one in dataset.maps.values():
        if one.enabled and one.account_id in losing:
            ips = tuple(ip for ip in one.ips if may_not_use(changed, one.account_id, ip))
            found += [Loss(one, ips)] if ips else []
    return found


def loss_message(dataset: Dataset, found: Iterable[Loss], *, by_operator: bool) -> str:
    """The reason why lent space is not withdrawn; only the operator sees other accounts' maps and zones."""
    if not by_operator:
        return (
            "enabled address maps of another account use these addresses: that account has to give them up, or the "
            "server's operator withdraws them"
        )
    found = list(found)
    lost = {ip for one in found for ip in one.ips}
    zones = zones_with(dataset, lambda ip: ip in lost)
    maps = "; ".join(map(str, found[:MAX_NAMED])) + ("; …" if len(found) > MAX_NAMED else "")
    names = ", ".join(sorted(zone.name_text for zone in zones)[:MAX_NAMED])
    answered = f"{len(zones):,} zone{'' if len(zones) == 1 else 's'}{': ' if names else ''}{names}"
    return f"enabled maps use these addresses for {answered}. If it is forced, {maps}"


def withdrawal_problems(old: Dataset, new: Dataset) -> Iterator[Problem]:
    """The BGP prefixes that would be withdrawn or removed although maps answer with their addresses."""
    for account_id, account in new.accounts.items():
        before = old.accounts.get(account_id)
        if before is None or before is account:
            continue
        after = {bgp.id: bgp for prefix in account.prefixes for bgp in prefix.bgp_prefixes}
        for prefix in before.prefixes:
            for bgp in prefix.bgp_prefixes:
                if what := _loss(bgp, after.get(bgp.id)):
                    yield from _in_use(new, account, bgp, what)


def _loss(before: BgpPrefix, after: BgpPrefix | None) -> str:
    """The word for a change that takes away a route; empty for any other change."""
    if after is None or after.cidr != before.cidr:
        return "deleted"
    return "withdrawn" if before.advertised and not after.advertised else ""


def _in_use(dataset: Dataset, account: Account, bgp: BgpPrefix, what: str) -> Iterator[Problem]:
    used = zones_without_route(dataset, bgp.cidr)
    if used:
        message = (
            f"{bgp.cidr} cannot be {what}: maps answer with its addresses for {named_zones(used, account.id)}; "
            "change the maps first, or force it"
        )
        yield Problem(account.key, ("prefixes", "advertised"), message)


def named_zones(zones: Sequence[Zone], account_id: str) -> str:
    """The number of zones, and the names of those of an account."""
    own = sorted(zone.name_text for zone in zones if zone.account_id == account_id)
    others = len(zones) - len(own)
    names = [*own[:MAX_NAMED], *([f"{len(own) - MAX_NAMED:,} more"] if len(own) > MAX_NAMED else [])]
    names += [f"{others:,} of other accounts"] if others else []
    return f"{len(zones):,} zone{'' if len(zones) == 1 else 's'}: {', '.join(names)}"


def zones_without_route(dataset: Dataset, network: IPNetwork) -> list[Zone]:
    """The zones answered with addresses in a network to which no route is declared advertised."""
    routes = dataset.declared_routes
    return zones_with(dataset, lambda ip: contains(network, ip) and routes.state(ip) is not True)


def zones_answered_from(dataset: Dataset, network: IPNetwork) -> list[Zone]:
    """The zones answered with addresses in a network."""
    return zones_with(dataset, lambda ip: contains(network, ip))


def zones_with(dataset: Dataset, is_meant: Callable[[IPAddress], bool]) -> list[Zone]:
    """The zones whose proxied names are answered with an address of some kind."""
    accounts = {one.account_id for one in dataset.maps.values() if answers(one) and any(map(is_meant, one.ips))}
    found = []
    for zone in dataset.zones.values():
        if zone.account_id in accounts and dataset.applies_maps(zone):
            used = effective(dataset.considered(zone), MissingFamily.FALLBACK)
            if used and any(map(is_meant, (*used.v4, *used.v6))):
                found.append(zone)
    return found


def unapproved_problems(old: Dataset, new: Dataset) -> Iterator[Problem]:
    """Routes that would be advertised although their prefix is not approved."""
    for account_id, account in new.accounts.items():
        before = old.accounts.get(account_id)
        if before is account:
            continue
        known = {bgp.id for prefix in before.prefixes for bgp in _advertised(prefix)} if before else set()
        for prefix in account.prefixes:
            if not prefix.is_active and any(bgp.id not in known for bgp in _advertised(prefix)):
                message = f"{prefix.cidr} is not approved yet: it cannot be advertised"
                yield Problem(account.key, ("prefixes", "advertised"), message)


def _advertised(prefix: Prefix) -> Iterator[BgpPrefix]:
    return (bgp for bgp in prefix.bgp_prefixes if bgp.advertised)


def locked_problems(before: Account | None, account: Account) -> Iterator[Problem]:
    """Changes of locks, and of the state of locked BGP prefixes, which only the operator may make."""
    known = {bgp.id: bgp for prefix in before.prefixes for bgp in prefix.bgp_prefixes} if before else {}
    now = {bgp.id: bgp for prefix in account.prefixes for bgp in prefix.bgp_prefixes}
    for bgp_id in dict.fromkeys((*known, *now)):
        was, one = known.get(bgp_id), now.get(bgp_id)
        is_locked, is_now_locked = bool(was and was.locked), bool(one and one.locked)
        if is_locked and (one is None or was is None or one.advertised != was.advertised):
            yield Problem(account.key, ("prefixes", "advertised"), "the BGP prefix is locked by the operator")
        elif is_locked != is_now_locked:
            yield Problem(account.key, ("prefixes", "on_demand_locked"), "only the operator can lock a BGP prefix")
