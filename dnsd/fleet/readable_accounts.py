"""Load what a fleet has although some of its accounts are in error: each node holds these, and they judge nothing."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from pathlib import Path

from dnsd.app import Loaded, load
from dnsd.errors import InvalidDataError
from dnsd.source import Source
from dnsd.store.directory import Files, account_of


def load_readable(
    config: Path, source: Source, *, previous: Loaded | None = None, needed: Set[str] = frozenset()
) -> Loaded:
    """The files of a source without the accounts in error. Blocks.

    Raises InvalidDataError for an error in one of the `needed` accounts, or one that has to do with them, and for
    errors outside of accounts.
    """
    left = set[str]()
    while True:
        files = source.files and without_accounts(source.files, left)
        try:
            return load(config, previous=previous, source=replace(source, seen=replace(source.seen, files=files)))
        except InvalidDataError as error:
            wrong = [one for one in error.problems if not one.warning]
            found = {account_of(one.source) for one in wrong} - left - {""}
            if not found or needed & {account_of(key) for one in wrong for key in (one.source, one.other)}:
                raise
            left |= found


def without_accounts(files: Files, accounts: Set[str]) -> Files:
    """The files without those of some accounts."""
    if not accounts:
        return files
    rest = tuple(file for file in files.files if account_of(file.key) not in accounts)
    return replace(files, files=rest, accounts=tuple(one for one in files.accounts if one not in accounts))
