"""The rule on quotas: a request may neither exceed a limit nor add to an excess; in files, an excess is a warning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from dnsd.errors import BrokenRule, Path, Problem
from dnsd.model.accounts import Account
from dnsd.model.dataset import Dataset
from dnsd.model.fields import MAX_PROBLEMS
from dnsd.model.maps import AddressMap
from dnsd.model.quotas import Quotas
from dnsd.model.zones import Zone

TOTALS = ("zones", "records", "maps", "prefixes", "delegations")  # of an account
REMEDY = "delete some, or ask the server's operator for more"


@dataclass(slots=True)
class AccountUse:
    """The use of an account's quotas; of a quota for each object, the most that one object has."""

    zones: int = 0
    records_per_zone: int = 0
    records: int = 0
    maps: int = 0
    addresses_per_map: int = 0
    members_per_map: int = 0
    prefixes: int = 0
    delegations: int = 0


UNUSED = AccountUse()
Uses = Mapping[str, AccountUse]  # by the account's id


def uses_of(dataset: Dataset) -> Uses:
    """The use of the quotas of all accounts: one pass over the zones and maps, not over their records."""
    uses: defaultdict[str, AccountUse] = defaultdict(AccountUse)
    for account in dataset.accounts.values():
        use = uses[account.id]
        use.prefixes = len(account.prefixes)
        use.delegations = sum(len(prefix.delegations) for prefix in account.prefixes)
    for zone in dataset.zones.values():
        use, count = uses[zone.account_id], zone.client_records
        use.zones += 1
        use.records += count
        use.records_per_zone = max(use.records_per_zone, count)
    for one in dataset.maps.values():
        use = uses[one.account_id]
        use.maps += 1
        use.addresses_per_map = max(use.addresses_per_map, len(one.ips))
        use.members_per_map = max(use.members_per_map, len(one.memberships))
    return dict(uses)


def quotas_of(account: Account, quotas: Quotas) -> Quotas:
    """The quotas of an account: the settings', with its own."""
    return quotas.with_own(account.quotas)


def quota_problems(old: Dataset, new: Dataset, before: Uses, after: Uses, quotas: Quotas) -> list[Problem]:
    """Reasons to refuse the change from `old` to `new`, whose accounts' uses are `before` and `after`."""
    found: list[Problem] = []
    for account_id, use in after.items():
        had = before.get(account_id, UNUSED)
        grown = [name for name in TOTALS if getattr(use, name) > getattr(had, name)]
        limits = quotas_of(new.accounts[account_id], quotas)
        for name in grown:
            if getattr(use, name) > getattr(limits, name):
                key, path = _added(old, new, account_id, name)
                found.append(_over(key, path, name, getattr(limits, name), getattr(use, name), "in the account"))
    for zone_id, zone in new.zones.items():
        if (known := old.zones.get(zone_id)) is not zone:
            limits = quotas_of(new.accounts[zone.account_id], quotas)
            found += _zone_problems(zone, known.client_records if known else 0, limits)
    for map_id, one in new.maps.items():
        if (known_map := old.maps.get(map_id)) is not one:
            found += _map_problems(one, known_map, quotas_of(new.accounts[one.account_id], quotas))
    return found


def quota_warnings(dataset: Dataset, uses: Uses, quotas: Quotas) -> list[Problem]:
    """A warning for each account, zone and map over a quota, MAX_PROBLEMS at most."""
    return [*islice(_warnings(dataset, uses, quotas), MAX_PROBLEMS)]


def _warnings(dataset: Dataset, uses: Uses, quotas: Quotas) -> Iterator[Problem]:
    crowded: dict[str, Quotas] = {}  # accounts with a zone or map that is over
    for account in dataset.accounts.values():
        use, limits = uses[account.id], quotas_of(account, quotas)
        for name in TOTALS:
            if (count := getattr(use, name)) > (limit := getattr(limits, name)):
                yield _over(account.key, ("quotas", name), name, limit, count, "in the account", warning=True)
        if (
            use.records_per_zone > limits.records_per_zone
            or use.addresses_per_map > limits.addresses_per_map
            or use.members_per_map > limits.members_per_map
        ):
            crowded[account.id] = limits
    if not crowded:
        return
    for zone in dataset.zones.values():
        if zone.account_id in crowded:
            yield from _zone_problems(zone, 0, crowded[zone.account_id], warning=True)
    for one in dataset.maps.values():
        if one.account_id in crowded:
            yield from _map_problems(one, None, crowded[one.account_id], warning=True)


def _zone_problems(zone: Zone, had: int, limits: Quotas, *, warning: bool = False) -> Iterator[Problem]:
    count, limit = zone.client_records, limits.records_per_zone
    if count > max(had, limit):
        yield _over(zone.key, ("records",), "records_per_zone", limit, count, f"in {zone.name_text}", warning=warning)


def _map_problems(
    one: AddressMap, before: AddressMap | None, limits: Quotas, *, warning: bool = False
) -> Iterator[Problem]:
    for name, path, count, had in (
        ("addresses_per_map", "ips", len(one.ips), len(before.ips) if before else 0),
        ("members_per_map", "memberships", len(one.memberships), len(before.memberships) if before else 0),
    ):
        if count > max(had, limit := getattr(limits, name)):
            yield _over(one.key, (path,), name, limit, count, "in the map", warning=warning)


def _added(old: Dataset, new: Dataset, account_id: str, name: str) -> tuple[str, Path]:
    """The key of an object that a change adds to a total, and the place of its addition."""
    if name in ("zones", "records"):
        for zone_id, zone in new.zones.items():
            before = old.zones.get(zone_id)
            if zone.account_id == account_id and zone.client_records > (before.client_records if before else -1):
                return zone.key, ("name",) if name == "zones" else ("records",)
    if name == "maps":
        for map_id, one in new.maps.items():
            if one.account_id == account_id and map_id not in old.maps:
                return one.key, ()
    return new.accounts[account_id].key, ("prefixes",)


def _over(key: str, path: Path, name: str, limit: int, count: int, where: str, *, warning: bool = False) -> Problem:
    """The problem of one quota."""
    if name == "zones":
        rule = BrokenRule.ZONE_QUOTA
    else:
        rule = BrokenRule.RECORD_QUOTA if name.startswith("records") else BrokenRule.QUOTA
    message = quota_message(name, limit, count, where, verb="are" if warning else "would be")
    return Problem(key, path, message, warning=warning, rule=rule)


def quota_message(name: str, limit: int, count: int, where: str, *, verb: str = "would be") -> str:
    """The message about a quota that is exceeded."""
    return f"the quota `{name}` is {limit:,}, and there {verb} {count:,} {name.partition('_per_')[0]} {where}: {REMEDY}"
