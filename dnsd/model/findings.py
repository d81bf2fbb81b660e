"""The problems of accounts, of address maps, and between objects, judged again only where a change can affect them.

Each group of findings depends on known parts of the data. If these are as before, the findings are, too, and are taken
over: a change of one account costs the judgement of that account, not of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from dnsd.errors import Problem
from dnsd.model.accounts import Account
from dnsd.model.advertisement import declared_routes
from dnsd.model.dataset import Dataset
from dnsd.model.dataset_rules import account_problems, map_problems, space_problems
from dnsd.model.guard import differing
from dnsd.model.maps import AddressMap

NO_DATA = Dataset({}, {}, {})


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """The problems of a dataset but for those of single zones."""

    dataset: Dataset = NO_DATA
    space: tuple[Problem, ...] = ()  # address space with two claims
    accounts: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)  # with their maps, by id; unless empty
    maps: Mapping[str, tuple[AddressMap, tuple[Problem, ...]]] = field(default_factory=dict)  # each by itself, by key

    def problems(self) -> Iterator[Problem]:
        """All of them."""
        of_maps = (found for _, found in self.maps.values())
        return chain(self.space, chain.from_iterable(self.accounts.values()), chain.from_iterable(of_maps))


NOTHING_FOUND = Findings()


def findings(dataset: Dataset, maps: Iterable[AddressMap], known: Findings = NOTHING_FOUND) -> Findings:
    """The findings of a dataset and all its maps; those that cannot differ are taken over from `known`."""
    before = known.dataset
    accounts = {*_changed(before.accounts, dataset.accounts)}
    zones = {*_moved_zones(before, dataset)}
    return Findings(
        dataset,
        _space(dataset, known, accounts),
        _of_accounts(dataset, known, accounts, zones),
        _of_maps(dataset, maps, known, accounts, zones),
    )


def _space(dataset: Dataset, known: Findings, changed: set[str]) -> tuple[Problem, ...]:
    before = known.dataset.accounts
    if all(_claims(before.get(one)) == _claims(dataset.accounts.get(one)) for one in changed):
        return known.space
    return tuple(space_problems(dataset))


def _claims(account: Account | None) -> object:
    """Everything in an account on which the rules on claims depend; None without claims."""
    if account is None or not (account.prefixes or account.static_ips):
        return None
    return account.key, [(one.cidr, one.approved) for one in account.prefixes], account.static_ips


def _of_accounts(
    dataset: Dataset, known: Findings, changed: set[str], zones: set[str]
) -> Mapping[str, tuple[Problem, ...]]:
    both, maps = (known.dataset, dataset), [*_changed(known.dataset.maps, dataset.maps)]
    affected = changed | {data.maps[one].account_id for data in both for one in maps if one in data.maps}
    affected |= {data.zones[one].account_id for data in both for one in zones if one in data.zones}
    found = {one: some for one, some in known.accounts.items() if one not in affected}
    groups: dict[str, list[AddressMap]] = {one: [] for one in affected if one in dataset.accounts}
    for one in dataset.maps.values() if groups else ():
        if one.account_id in groups:
            groups[one.account_id].append(one)
    for account_id, of_account in groups.items():
        if some := tuple(account_problems(dataset, dataset.accounts[account_id], of_account)):
            found[account_id] = some
    return found


def _of_maps(
    dataset: Dataset, maps: Iterable[AddressMap], known: Findings, changed: set[str], zones: set[str]
) -> Mapping[str, tuple[AddressMap, tuple[Problem, ...]]]:
    """The findings of each map by itself: they depend on its account's space, on routes, and on its member zones."""
    pairs = [(known.dataset.accounts.get(one), dataset.accounts.get(one)) for one in changed]
    seen = [account for pair in pairs for account in pair if account]
    affected = changed | {
        one.account_id for account in seen for prefix in account.prefixes for one in prefix.delegations
    }
    routes = [declared_routes(account for account in side if account) for side in zip(*pairs, strict=True)]
    has_same_routes = not pairs or routes[0] == routes[1]
    found = {}
    for one in maps:
        judged = known.maps.get(one.key)
        if (
            judged is None
            or judged[0] is not one
            or not has_same_routes
            or one.account_id in affected
            or (zones and not zones.isdisjoint(member.identifier for member in one.memberships))
        ):
            judged = one, tuple(map_problems(dataset, one))
        found[one.key] = judged
    return found


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    """The keys of objects that came, went or are others."""
    yield from differing(before, after)
    if not after.keys() <= before.keys():
        yield from after.keys() - before.keys()


def _moved_zones(before: Dataset, after: Dataset) -> Iterator[str]:
    """The ids of zones that went, or have another name or account."""
    for zone_id in differing(before.zones, after.zones):
        old, new = before.zones[zone_id], after.zones.get(zone_id)
        if new is None or (old.name, old.account_id) != (new.name, new.account_id):
            yield zone_id
