"""The rules that keep a barred account (`pool: never`) off the default pool, in every state and over every change.

A barred account always has a map for all its zones, so the search for a zone's addresses ends before the pool, whatever
happens to zones, their maps and records.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dnsd.errors import BrokenRule, Problem
from dnsd.model.accounts import Account, PoolUse

if TYPE_CHECKING:
    from dnsd.model.dataset import Dataset
    from dnsd.model.maps import AddressMap

REMEDY = "if the account may use the pool, write `pool: allowed` in its account.yaml"


def pool_problems(dataset: Dataset) -> Iterator[Problem]:
    """Barred accounts without a map for all their zones."""
    for account in dataset.accounts.values():
        if account.pool is PoolUse.NEVER and not dataset.account_wide(account.id):
            message = f"`pool: never` needs an enabled account-wide map with addresses, and there is none; {REMEDY}"
            yield Problem(account.key, ("pool",), message, rule=BrokenRule.BARRED_FROM_POOL)


def missing_key(dataset: Dataset, address_map: AddressMap) -> Iterator[Problem]:
    """A warning for an immutable map in effect in an account without the key `pool`."""
    account = dataset.accounts[address_map.account_id]
    if not address_map.immutable or account.pool is not None:
        return
    if any(one is address_map for one in dataset.account_wide(account.id)):
        message = (
            f"the account is barred only while this map is in effect: write `pool: never` in {account.key}/account.yaml"
        )
        yield Problem(address_map.key, ("immutable",), message, warning=True)


def slip(old: Dataset, before: Account, new: Dataset, after: Account) -> str | None:
    """The reason why a change of an account may not take it off its bar by a slip; None if it may.

    The operator's word is `pool: allowed` in the account's file.
    """
    if after.pool is PoolUse.ALLOWED:
        return None
    immutable = old.immutable_in_effect(before.id)
    if immutable and not new.immutable_in_effect(after.id):
        return f"the account would lose its immutable map {immutable.key}, which answers in place of the pool: {REMEDY}"
    if old.is_barred(before) and not new.is_barred(after):
        return f"the account is barred from the pool (`pool: never`) and would be so no longer: {REMEDY}"
    return None
