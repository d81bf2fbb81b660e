"""Whether the routes to addresses are advertised: as declared in the accounts' files, and as observed on routers.

An address counts as withdrawn if routes that contain it are known, and all of them are withdrawn. Without known routes
it counts as advertised. Only the observed state may change answers, and only for accounts with `withdrawn: skip`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from dnsd.errors import Problem
from dnsd.model.accounts import Account, WithdrawnAction
from dnsd.model.fields import IPAddress, IPNetwork
from dnsd.model.maps import AddressMap
from dnsd.model.networks import NetworkIndex


@dataclass(frozen=True)
class Routes:
    """Networks, each with its state: True if it is advertised, False if it is withdrawn."""

    states: Mapping[IPNetwork, bool]

    @cached_property
    def has_withdrawn(self) -> bool:
        """Whether any network is withdrawn."""
        return not all(self.states.values())

    @cached_property
    def _index(self) -> NetworkIndex[bool]:
        return NetworkIndex(self.states.items())

    def state(self, ip: IPAddress) -> bool | None:
        """True if a network with the address is advertised, False if all are withdrawn, None if there is none."""
        found = self._index.around(ip)
        return any(found) if found else None

    def is_withdrawn(self, ip: IPAddress) -> bool:
        """Whether all networks with the address are withdrawn, and there is at least one."""
        return self.state(ip) is False


NO_ROUTES = Routes({})


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The addresses of an account's maps without a route."""

    withdrawn: frozenset[IPAddress]  # declared or observed
    skipped: frozenset[IPAddress]  # those left out of answers while others of their family are left


REACHABLE = Unreachable(frozenset(), frozenset())


def unreachable(
    accounts: Mapping[str, Account], maps: Iterable[AddressMap], declared: Routes, observed: Routes
) -> dict[str, Unreachable]:
    """The unreachable addresses in the answering maps of each account; accounts without any are left out."""
    found: dict[str, Unreachable] = {}
    if not declared.has_withdrawn and not observed.has_withdrawn:
        return found
    for one in filter(answers, maps):
        seen = frozenset(filter(observed.is_withdrawn, one.ips))
        lost = seen.union(filter(declared.is_withdrawn, one.ips))
        if lost:
            before = found.get(one.account_id, REACHABLE)
            skips = accounts[one.account_id].withdrawn is WithdrawnAction.SKIP
            found[one.account_id] = Unreachable(before.withdrawn | lost, before.skipped | (seen if skips else set()))
    return found


def observed_warnings(
    accounts: Mapping[str, Account], maps: Iterable[AddressMap], observed: Routes
) -> Iterator[Problem]:
    """A warning for each address of an answering map that is observed withdrawn."""
    if not observed.has_withdrawn:
        return
    for one in filter(answers, maps):
        skips = accounts[one.account_id].withdrawn is WithdrawnAction.SKIP
        effect = ": it is left out while others of its family are left" if skips else ", but the map answers with it"
        for index, ip in enumerate(one.ips):
            if observed.is_withdrawn(ip):
                yield Problem(one.key, ("ips", index), f"{ip} is observed withdrawn{effect}", warning=True)


def declared_routes(accounts: Iterable[Account]) -> Routes:
    """The declared routes to approved prefixes; a pending prefix is an unverified claim and says nothing."""
    return Routes(
        {
            bgp.cidr: bgp.advertised
            for account in accounts
            for prefix in account.prefixes
            if prefix.is_active
            for bgp in prefix.bgp_prefixes
        }
    )


def answers(address_map: AddressMap) -> bool:
    """Whether a map may answer for a zone."""
    return address_map.enabled and bool(address_map.memberships) and bool(address_map.ips)


def declared_warnings(routes: Routes, address_map: AddressMap) -> Iterator[Problem]:
    """A warning for each address of an answering map that is declared withdrawn."""
    if not routes.has_withdrawn or not answers(address_map):
        return
    for index, ip in enumerate(address_map.ips):
        if routes.is_withdrawn(ip):
            message = f"{ip} is declared withdrawn, but the map answers with it"
            yield Problem(address_map.key, ("ips", index), message, warning=True)
