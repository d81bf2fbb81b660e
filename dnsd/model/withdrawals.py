"""The rules on changes to BGP prefixes: nothing in use is withdrawn by a slip, and nothing unapproved is advertised."""

from __future__ import annotations

from collections.abc import Iterator

from dnsd.errors import Problem
from dnsd.model.accounts import Account, BgpPrefix, Prefix, contains
from dnsd.model.advertisement import answers
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress, IPNetwork
from dnsd.model.maps import MissingFamily, effective
from dnsd.model.zones import Zone

MAX_NAMED = 20  # zones in a message


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
    own = sorted(zone.name_text for zone in used if zone.account_id == account.id)
    others = len(used) - len(own)
    if used:
        names = [*own[:MAX_NAMED], *([f"{len(own) - MAX_NAMED:,} more"] if len(own) > MAX_NAMED else [])]
        names += [f"{others:,} of other accounts"] if others else []
        count = f"{len(used):,} zone{'' if len(used) == 1 else 's'}"
        message = (
            f"{bgp.cidr} cannot be {what}: maps answer with its addresses for {count}: {', '.join(names)}; "
            "change the maps first, or force it"
        )
        yield Problem(account.key, ("prefixes", "advertised"), message)


def zones_without_route(dataset: Dataset, network: IPNetwork) -> list[Zone]:
    """The zones answered with addresses in a network to which no route is declared advertised."""

    def is_lost(ip: IPAddress) -> bool:
        return contains(network, ip) and dataset.declared_routes.state(ip) is not True

    accounts = {one.account_id for one in dataset.maps.values() if answers(one) and any(map(is_lost, one.ips))}
    found = []
    for zone in dataset.zones.values():
        if zone.account_id in accounts and dataset.applies_maps(zone):
            used = effective(dataset.considered(zone), MissingFamily.FALLBACK)
            if used and any(map(is_lost, (*used.v4, *used.v6))):
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
