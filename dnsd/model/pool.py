"""The rules that keep a barred account (`pool: never`) off the default pool, in every state and over every change.

A barred account always has a map for all its zones, so the search for a zone's addresses ends before the pool, whatever
happens to zones, their maps and records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dnsd.errors import BrokenRule, Problem
from dnsd.model.accounts import Account, PoolUse
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap

GONE = "the account is barred from the pool, and its folder is gone: restore it, or remove it by `dnsd reload --force`"
REMEDY = "if the account may use the pool, write `pool: allowed` in its account.yaml"


def pool_problems(dataset: Dataset, account: Account) -> Iterator[Problem]:
    """The problem of a barred account without a map for all its zones."""
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


def slips(old: Dataset, new: Dataset, may_go: Callable[[str], bool]) -> Iterator[Problem]:
    """Accounts of `old` that `new` takes off their bar by a slip, as problems of their old keys.

    A whole account may go if its file said `pool: allowed`, or with `--force`: if `may_go`, given its key.
    """
    by_key: Mapping[str, Account] = {account.key: account for account in new.accounts.values()}
    for before in old.accounts.values():
        if before.pool is not PoolUse.NEVER and before.id not in old.immutable_maps:
            continue
        after = new.accounts.get(before.id) or by_key.get(before.key)
        if after:
            reason = slip(old, before, new, after)
        else:
            reason = None if before.pool is PoolUse.ALLOWED or may_go(before.key) else GONE
        if reason:
            yield Problem(before.key, ("pool",), reason)


def slip(old: Dataset, before: Account, new: Dataset, after: Account) -> str | None:
    """The reason why a change of an account may not take it off its bar by a slip; None if it may.

    The operator's word is `pool: allowed` in the account's file.
    """
    if after.pool is PoolUse.ALLOWED:
        return None
    immutable = old.immutable_maps.get(before.id)
    if immutable and after.id not in new.immutable_maps:
        return f"{immutable.key}, which answers in place of the pool, would no longer be in effect: {REMEDY}"
    if old.is_barred(before) and not new.is_barred(after):
        return f"the account is barred from the pool (`pool: never`) and would be so no longer: {REMEDY}"
    return None
