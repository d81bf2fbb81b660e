"""The verb that bars an account from the default pool, as an edit of its file. The model has the rules."""

from __future__ import annotations

from dnsd.manage.draft import Draft
from dnsd.manage.find import find_account
from dnsd.model.accounts import PoolUse
from dnsd.store.directory import FileKind


def bar_from_pool(draft: Draft, account_id: str) -> None:
    """Write `pool: never`, so that the bar does not depend on one map alone."""
    account = find_account(draft.dataset, account_id)
    if account.pool is not PoolUse.NEVER:
        document = draft.document(account.key) | {"pool": PoolUse.NEVER.value}
        draft.write(account.key, FileKind.ACCOUNT, document)
