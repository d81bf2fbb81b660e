"""The last good accounts and maps at a start: enough to see whether an account is taken off its bar from the pool.

Zones are not read: they are most of the octets, and say nothing about the pool.
"""

from __future__ import annotations

from dnsd.model.dataset import Dataset
from dnsd.store.directory import Files, account_of
from dnsd.store.load import Loading


def changed_policies(loading: Loading, found: Files, good: Files) -> Dataset:
    """The last good version, without zones, of each account with a file changed or gone since; others are left out.

    Errors are ignored, as this version has been served.
    """
    texts = {file.key: file.content.digest for file in found.files}
    changed = {account_of(file.key) for file in good.files if texts.get(file.key) != file.content.digest}
    files = tuple(file for file in good.files if account_of(file.key) in changed)
    return loading.judge(Files(good.root, tuple(sorted(changed)), files)).stored.dataset
