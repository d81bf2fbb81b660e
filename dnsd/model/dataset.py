"""The dataset: all accounts, address maps and zones together. `dataset_rules` has the rules between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from dnsd.errors import Problem
from dnsd.model.accounts import Account, PoolUse, Prefix
from dnsd.model.advertisement import Routes, declared_routes
from dnsd.model.claims import clashes, waiting_zones
from dnsd.model.fields import IPAddress, IPNetwork
from dnsd.model.maps import AddressMap, Considered, considered
from dnsd.model.networks import NetworkIndex
from dnsd.model.zones import Status, Zone, closest

T = TypeVar("T", Account, AddressMap, Zone)


@dataclass(frozen=True)
class Dataset:
    """All accounts, address maps and zones, by id."""

    accounts: Mapping[str, Account]
    maps: Mapping[str, AddressMap]
    zones: Mapping[str, Zone]

    @cached_property
    def waiting(self) -> frozenset[str]:
        """The ids of the zones that are not served, as another account's zone has the name."""
        return waiting_zones(self.zones.values())

    @cached_property
    def zones_by_name(self) -> Mapping[bytes, Zone]:
        """The served zones by canonical name."""
        waiting = self.waiting
        return {zone.name: zone for zone in self.zones.values() if zone.id not in waiting}

    def zone_of(self, name: bytes) -> Zone | None:
        """The served zone that contains canonical `name`, in any state."""
        return closest(name, self.zones_by_name)

    def zones_called(self, name: bytes) -> list[Zone]:
        """All accounts' zones with a canonical name, first the served one."""
        served = self.zones_by_name.get(name)
        return [*([served] if served else ()), *self._waiting_by_name.get(name, ())]

    @cached_property
    def _waiting_by_name(self) -> Mapping[bytes, list[Zone]]:
        """The zones that wait by canonical name, in the order of their ids."""
        found: dict[bytes, list[Zone]] = defaultdict(list)
        for zone_id in sorted(self.waiting):
            found[self.zones[zone_id].name].append(self.zones[zone_id])
        return found

    def zone_called(self, name: bytes, account_id: str) -> Zone | None:
        """An account's zone with a canonical name."""
        return next((zone for zone in self.zones_called(name) if zone.account_id == account_id), None)

    def status_of(self, zone: Zone) -> Status:
        """The status of a zone as shown: a zone that waits is pending."""
        return Status.PENDING if zone.id in self.waiting and zone.status is Status.ACTIVE else zone.status

    @cached_property
    def maps_by_member(self) -> Mapping[str, tuple[AddressMap, ...]]:
        """The maps that a zone or an account is a member of, by its id."""
        found: dict[str, list[AddressMap]] = defaultdict(list)
        for address_map in self.maps.values():
            for member in address_map.memberships:
                found[member.identifier].append(address_map)
        return {identifier: tuple(maps) for identifier, maps in found.items()}

    @cached_property
    def usable_space(self) -> Mapping[str, tuple[tuple[IPNetwork, Prefix], ...]]:
        """The prefixes, or parts of other accounts' prefixes, that each account may use once they are active."""
        found: dict[str, list[tuple[IPNetwork, Prefix]]] = defaultdict(list)
        for account in self.accounts.values():
            for prefix in account.prefixes:
                found[account.id].append((prefix.cidr, prefix))
                for delegation in prefix.delegations:
                    found[delegation.account_id].append((delegation.cidr, prefix))
        return {account_id: tuple(space) for account_id, space in found.items()}

    def space_around(self, account_id: str, ip: IPAddress) -> list[tuple[IPNetwork, Prefix]]:
        """The parts of an account's usable space that contain an address."""
        if account_id not in self._spaces:
            space = self.usable_space.get(account_id, ())
            self._spaces[account_id] = NetworkIndex((one[0], one) for one in space)
        return self._spaces[account_id].around(ip)

    @cached_property
    def _spaces(self) -> dict[str, NetworkIndex[tuple[IPNetwork, Prefix]]]:
        """The usable space of accounts that was asked for, by id."""
        return {}

    @cached_property
    def declared_routes(self) -> Routes:
        """The declared routes to the accounts' approved prefixes."""
        return declared_routes(self.accounts.values())

    def considered(self, zone: Zone) -> list[Considered]:
        """The maps that cover a zone, in order of precedence."""
        maps = (*self.maps_by_member.get(zone.id, ()), *self.maps_by_member.get(zone.account_id, ()))
        return considered({found.id: found for found in maps}.values(), zone.account_id, zone.id)

    def considered_elsewhere(self, account_id: str) -> list[Considered]:
        """The maps that cover an account's zones without maps of their own, in order of precedence."""
        return considered(self.maps_by_member.get(account_id, ()), account_id, None)

    def account_wide(self, account_id: str) -> list[AddressMap]:
        """The maps in effect for a whole account, in order of precedence."""
        return [one.map for one in self.considered_elsewhere(account_id) if one.skipped is None]

    @cached_property
    def immutable_maps(self) -> Mapping[str, AddressMap]:
        """An immutable map in effect of each account that has one, by the account's id."""
        immutable = (one for one in self.maps.values() if one.immutable)
        return {one.account_id: one for one in immutable if considered([one], one.account_id, None)[0].skipped is None}

    @cached_property
    def barred(self) -> frozenset[str]:
        """The ids of the accounts that are barred from the default pool."""
        return frozenset(account.id for account in self.accounts.values() if self.is_barred(account))

    def is_barred(self, account: Account) -> bool:
        """Whether no name of an account may be answered from the default pool."""
        if account.pool is None:
            return account.id in self.immutable_maps
        return account.pool is PoolUse.NEVER

    def applies_maps(self, zone: Zone) -> bool:
        """Whether a zone is served and its proxied records are answered from maps instead of as stored."""
        if zone.id in self.waiting or not zone.applies_maps:
            return False
        return not self.accounts[zone.account_id].settings.enforce_dns_only


def build_dataset(
    accounts: Iterable[Account], maps: Iterable[AddressMap], zones: Iterable[Zone]
) -> tuple[Dataset, list[Problem]]:
    """Return the dataset of these objects, and a problem for every duplicate id or zone name."""
    found: list[Problem] = []
    zones = tuple(zones)
    found += clashes(zones)
    clashing = {problem.source for problem in found}
    zones_by_id = {zone.id: zone for zone in zones} | _by_id((one for one in zones if one.key not in clashing), found)
    return Dataset(_by_id(accounts, found), _by_id(maps, found), zones_by_id), found


def _by_id(objects: Iterable[T], found: list[Problem]) -> dict[str, T]:
    by_id: dict[str, T] = {}
    for item in objects:
        other = by_id.setdefault(item.id, item)
        if other is not item:
            found.append(Problem(item.key, ("id",), f"{other.key} has the same id", other=other.key))
    return by_id
