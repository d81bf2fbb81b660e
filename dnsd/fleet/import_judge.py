"""Judge an import as a reload of the same files would be: by the guard, the brake and the bars from the pool.

The files that a fleet has are loaded on top of the new ones, with the same settings, so only what differs is read.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from dnsd.app import Loaded, load_change
from dnsd.errors import InvalidDataError, Problem
from dnsd.manage.brake import FILES, Book, Overrun, judged, limit_of
from dnsd.manage.judge import findings, moves_between
from dnsd.model.guard import FORCE, listed
from dnsd.model.pool import slips
from dnsd.store.directory import Files, SourceFile, account_of, path_of

RELOAD_FORCE = re.compile(r"`dnsd reload --force[^`]*`")  # in the messages of rules
IMPORT_FORCE = "`dnsd fleet import --force`"
BRAKE = ("reload", "brake")  # path of the setting


def check_import(fleet: Files, after: Loaded, *, is_forced: bool, force: str = IMPORT_FORCE) -> None:
    """Raise InvalidDataError, with each problem, if a server that has the files `fleet` would refuse those in `after`.

    A forced import may do what a forced reload may; `force` is the command for it, in messages. The brake counts this
    import alone. Blocks.
    """
    before = _loaded_before(fleet, after)
    if before is after:
        return
    found = [after.locate(one) for one in slips(before.dataset, after.dataset, lambda account: is_forced)]
    if not is_forced:
        found += _judged(before, after)
    if found:
        raise InvalidDataError(
            replace(one, message=RELOAD_FORCE.sub(force, one.message)) for one in dict.fromkeys(found)
        )


def _judged(before: Loaded, after: Loaded) -> list[Problem]:
    """The findings of guard and brake."""
    moved = moves_between(before, after)
    found = [one.problem for one in findings(before, after, moved)]
    reload = after.settings.reload
    limit = limit_of(len(before.dataset.accounts), reload.brake_limits, reload.window_s)
    overrun = judged(Book(), FILES, moved.zones, moved.base, after.snapshot, limit, time.time())
    if isinstance(overrun, Overrun):
        counts = {one.account: one.names.total for one in moved.accounts}
        what = f"{len(counts):,} accounts would change their addresses; the limit is {overrun.limit.accounts:,}"
        found.append(after.locate(Problem("", BRAKE, f"{what}: {listed(counts)}: {FORCE}")))
    return found


def _loaded_before(fleet: Files, after: Loaded) -> Loaded:
    """The files that a fleet has as a server has loaded them; those of an account in error count as the new ones.

    An edge serves such an account from an earlier state, or not at all.
    """
    left: set[str] = set()
    while True:
        try:
            return load_change(after, _with_new(fleet, after.files, left), datetime.now(UTC))
        except InvalidDataError as error:
            wrong = {account_of(one.source) for one in error.problems if not one.warning}
            left |= wrong - left if wrong - left - {""} else {*fleet.accounts, *after.files.accounts}


def _with_new(fleet: Files, new: Files, left: set[str]) -> Files:
    """The files of a fleet, but those that are alike, or of the accounts `left`, from the new ones."""
    root, there = new.root, new.by_key()
    files = [file for file in new.files if account_of(file.key) in left]
    files += [as_new(file, there, root) for file in fleet.files if account_of(file.key) not in left]
    return with_files(new, files)


def with_files(folder: Files, files: Iterable[SourceFile]) -> Files:
    """A folder with these files in place of its own, in order."""
    found = sorted(files, key=lambda file: file.path.removeprefix(folder.root).split(os.sep))
    return replace(folder, accounts=tuple(sorted({account_of(file.key) for file in found})), files=tuple(found))


def as_new(file: SourceFile, new: Mapping[str, SourceFile], root: str) -> SourceFile:
    """A fleet's file, as the new one if they are alike, else with a path below the same folder."""
    other = new.get(file.key)
    if other and not file.problem and (file.kind, file.content) == (other.kind, other.content):
        return other
    return replace(file, path=path_of(root, file.key, file.kind))
