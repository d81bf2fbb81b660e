"""The rules on changes to maps, accounts and zones, which need both the old and the new dataset.

They apply to requested changes. The operator's own files may contain anything that a dataset allows.
"""

from __future__ import annotations

from collections.abc import Iterator

from dnsd.errors import BrokenRule, Path, Problem
from dnsd.model.accounts import Approval, Prefix
from dnsd.model.dataset import Dataset
from dnsd.model.dataset_rules import may_not_use
from dnsd.model.maps import AddressMap
from dnsd.model.pool import slip
from dnsd.model.withdrawals import locked_problems, unapproved_problems, withdrawal_problems
from dnsd.model.zone_changes import zone_change_problems


def change_problems(old: Dataset, new: Dataset, *, by_operator: bool, forced: bool = False) -> list[Problem]:
    """Reasons to refuse the change from `old` to `new`; some changes are allowed to the operator only.

    `forced`: the requester knows that maps answer with the addresses to be withdrawn.
    """
    found = [*unapproved_problems(old, new)]
    found += () if forced else withdrawal_problems(old, new)
    for map_id in dict.fromkeys((*old.maps, *new.maps)):
        before, after = old.maps.get(map_id), new.maps.get(map_id)
        if before is not after and (after or (before and before.account_id in new.accounts)):
            found += map_change_problems(before, after, by_operator=by_operator)
            found += foreign_addresses(new, before, after) if after else ()
    found += _slips(old, new)
    found += _delegations(old, new)
    return found if by_operator else [*found, *_operator_only(old, new)]


def map_change_problems(before: AddressMap | None, after: AddressMap | None, *, by_operator: bool) -> Iterator[Problem]:
    """Reasons to refuse the change of a map; None: it does not exist."""
    if before and after:
        yield from _edit(before, after)
    elif after:
        yield from _creation(after, by_operator=by_operator)
    elif before:
        yield from _deletion(before)


def foreign_addresses(new: Dataset, before: AddressMap | None, after: AddressMap) -> Iterator[Problem]:
    """Addresses that a map may not get; those withdrawn from its account may stay in it while it is disabled."""
    known = set(before.ips) if before else ()
    for index, ip in enumerate(after.ips):
        if ip not in known and (message := may_not_use(new, after.account_id, ip)):
            yield Problem(after.key, ("ips", index), f"{ip} {message}", rule=BrokenRule.OUTSIDE_SPACE)


def _slips(old: Dataset, new: Dataset) -> Iterator[Problem]:
    """Accounts that would no longer be barred from the pool without the operator's word.

    The rules above keep their immutable maps.
    """
    for account_id, account in new.accounts.items():
        before = old.accounts.get(account_id)
        if before and before is not account and (reason := slip(old, before, new, account)):
            yield Problem(account.key, ("pool",), reason)


def _delegations(old: Dataset, new: Dataset) -> Iterator[Problem]:
    """New delegations of prefixes that are not approved: nobody has verified that the account may lend them."""
    for account_id, account in new.accounts.items():
        before = old.accounts.get(account_id)
        if before is account:
            continue
        known = {(prefix.id, one) for prefix in before.prefixes for one in prefix.delegations} if before else set()
        for index, prefix in enumerate(account.prefixes):
            for number, one in enumerate(() if _is_approved(prefix) else prefix.delegations):
                if (prefix.id, one) not in known:
                    message = f"{prefix.cidr} is not approved yet: a part of it can be delegated once it is"
                    yield Problem(account.key, ("prefixes", index, "delegations", number, "cidr"), message)


def _operator_only(old: Dataset, new: Dataset) -> Iterator[Problem]:
    """Changes reserved to the operator: approval, static IPs, the pool, and changes of zones."""
    for account_id, account in new.accounts.items():
        before = old.accounts.get(account_id)
        if before is account:
            continue
        yield from locked_problems(before, account)
        approved = {prefix.cidr for prefix in before.prefixes if _is_approved(prefix)} if before else set()
        for index, prefix in enumerate(account.prefixes):
            if _is_approved(prefix) and prefix.cidr not in approved:
                message = f"only the operator can approve {prefix.cidr}"
                yield Problem(account.key, ("prefixes", index, "approved"), message)
        if account.quotas != (before.quotas if before else ()):
            yield Problem(account.key, ("quotas",), "only the operator can change `quotas`")
        if account.pool is not (before.pool if before else None):
            yield Problem(account.key, ("pool",), "only the operator can change `pool`")
        if not set(account.static_ips) <= set(before.static_ips if before else ()):
            yield Problem(account.key, ("static_ips",), "only the operator can lease static IPs")
    yield from zone_change_problems(old, new)


def _is_approved(prefix: Prefix) -> bool:
    return prefix.approved is Approval.ACTIVE


def _creation(made: AddressMap, *, by_operator: bool) -> Iterator[Problem]:
    if made.immutable and not by_operator:
        yield _problem(made, ("immutable",), "only the operator can create immutable maps")
    if made.memberships and not made.ips:
        yield _problem(made, ("memberships",), "a map without addresses cannot have members: give it an address first")


def _deletion(gone: AddressMap) -> Iterator[Problem]:
    if not gone.can_delete:
        yield _problem(gone, (), "the map is immutable: it cannot be deleted")
    elif gone.enabled:
        yield _problem(gone, (), "the map is enabled: disable it before deleting it")


def _edit(before: AddressMap, after: AddressMap) -> Iterator[Problem]:
    if before.immutable != after.immutable:
        yield _problem(after, ("immutable",), "`immutable` cannot be changed after the map is created")
    if not before.can_modify_ips and before.ips != after.ips:
        yield _problem(after, ("ips",), "the map is immutable: its addresses cannot be changed")
    if before.immutable and before.enabled and not after.enabled:
        yield _problem(after, ("enabled",), "the map is immutable: it cannot be disabled")
    if before.immutable and not before.by_member.keys() <= after.by_member.keys():
        yield _problem(after, ("memberships",), "the map is immutable: its membership cannot be removed")
    if after.memberships and not after.ips:
        if before.ips:
            yield _problem(after, ("ips",), "the last address cannot be removed while the map has members")
        elif not after.by_member.keys() <= before.by_member.keys():
            message = "a member cannot be added to a map without addresses: give it an address first"
            yield _problem(after, ("memberships",), message)


def _problem(address_map: AddressMap, path: Path, message: str) -> Problem:
    return Problem(address_map.key, path, message)
