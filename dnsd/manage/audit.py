"""The audit log: one JSON object per line for each request to change data, with its time, actor, client and outcome.

Lines are written at once and never changed. A full file is renamed to `NAME.1`, and so on; the oldest is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from dnsd.errors import shown
from dnsd.manage.audit_entries import (
    OWNER,
    Entry,
    Outcome,
    PendingEntries,
    PendingEntry,
    is_pending,
    json_of,
    line_of,
    owner_of_entry,
)
from dnsd.manage.audit_files import KEPT_FILES, SECONDS_PER_DAY, LineFile
from dnsd.manage.audit_search import FoundEntries, LogGroup, LogQuery, LogSearch
from dnsd.model.quotas import DEFAULT_QUOTAS

FILE_NAME = "audit.log"  # of operators, in the state folder
FOLDER = "audit"  # of the accounts' files, in the state folder
MAX_FILE_SIZE = 64 * 1024 * 1024  # octets of one file of operators
UNDONE = "undone: it could not be made, or the server ended before it was made"
LOST = "{:,} entries before this one could not be written"
MAX_NAMED = 3  # files in a message
MAX_PROBED = 20  # files tried at a time


@dataclass(frozen=True, slots=True)
class _Failure:
    """The last write of a file failed."""

    problem: str
    lost: int  # entries since the last write that succeeded


NOT_MADE = {"outcome": Outcome.REFUSED, "message": UNDONE}


class AuditLog:
    """The log, written by one process.

    What operators do goes into one file, which tenants cannot fill. What a tenant's token does, or the server for an
    account, goes into a file of the account in the folder `audit`: no tenant can push out the evidence of others.
    """

    def __init__(
        self,
        file: Path,
        *,
        max_file_size: int = MAX_FILE_SIZE,
        room: Callable[[str], int] = lambda account_id: DEFAULT_QUOTAS.audit_octets,
        report: Callable[[str], None] = lambda problem: None,
    ) -> None:
        """`room` is the octets that an account's entries may have; `report` is called when entries are lost."""
        self._main = LineFile(file)
        self._file = file
        self._folder = file.parent / FOLDER
        self._max_file_size = max_file_size
        self._room = room
        self._report = report
        self._turn = Lock()
        self._failing: dict[str, _Failure] = {}  # by owner: the files whose last write failed

    @property
    def problem(self) -> str | None:
        """The errors of the files whose last write failed, in short; None if there are none."""
        found = [one.problem for one in [*self._failing.values()]]
        more = [f"so do {len(found) - MAX_NAMED:,} more files"] if len(found) > MAX_NAMED else []
        return "; ".join([*found[:MAX_NAMED], *more]) or None

    def append(self, *entries: Entry) -> str | None:
        """Write entries, and sync those of successful changes to disk. Returns the problem or None; never raises.

        A file that cannot be written costs the entries of its owner, no others.
        An entry of an operator has at most about 150 kB, a tenant's about 8 kB: a larger state is replaced by its size,
        its digest and its beginning.
        """
        owned: dict[str, list[Entry]] = {}
        for entry in entries:
            owned.setdefault(owner_of_entry(entry), []).append(entry)
        with self._turn:
            failed = [problem for owner, own in owned.items() if (problem := self._append(owner, own))]
        return "; ".join(failed) or None

    def testify(self, entries: PendingEntries) -> None:
        """Write entries of changes that are not made yet, all or none, and sync them to disk. Raises OSError."""
        with self._turn:
            self._write_pending(entries)
            for owner in {one["owner"] for one in entries} & self._failing.keys():
                self._append(owner, [])

    def settle(self, entries: PendingEntries, is_made: bool, revision: int | None = None) -> None:
        """Write the outcome of entries, and sync it to disk. Raises OSError."""
        outcome = {"outcome": Outcome.OK, "revision": revision} if is_made else NOT_MADE
        with self._turn:
            self._write_pending([one | {"entry": one["entry"] | outcome} for one in entries])

    def settle_again(self, entries: PendingEntries, is_made: bool) -> None:
        """The same for entries of an earlier process, which may have written it.

        Raises OSError, and ValueError if some are damaged, once the others have their outcome.
        """
        usable = [one for one in entries if is_pending(one)]
        self.settle([one for one in usable if not self._is_settled(one)], is_made)
        if len(usable) < len(entries):
            raise ValueError("damaged entries")

    def _is_settled(self, pending: PendingEntry) -> bool:
        wanted = str(pending["entry"]["id"])
        owners = [pending["owner"]] if pending["owner"] else []
        query = LogQuery(1, lambda one: one.get("id") == wanted, text=wanted.encode(), accounts=owners)
        return bool(self.read(query).entries)

    def _write_pending(self, entries: PendingEntries) -> None:
        lines: dict[str, bytes] = {}
        for one in entries:
            lines[one["owner"]] = lines.get(one["owner"], b"") + json_of(one["entry"]) + b"\n"
        self._write(lines, lines)

    def probe(self) -> None:
        """Look whether files that could not be written can be again, some of them each time."""
        with self._turn:
            for owner in [*self._failing][:MAX_PROBED]:
                resumed = _own("audit.resumed", "the log can be written again", owner)
                if self._append(owner, [resumed], is_own=True):
                    self._failing[owner] = self._failing.pop(owner)  # last in the order: all get their turn

    def size(self, account_id: str) -> int:
        """The octets of the entries of an account's tokens."""
        return self._of(account_id).size()

    def prune(self, days: int, now: float) -> None:
        """Delete the files whose newest entry is older than `days`, at `now` in seconds since 1970. Blocks."""
        before = now - days * SECONDS_PER_DAY
        with self._turn:
            for file in (self._main, *map(self._of, self._owners())):
                file.prune(before)

    def search(self, query: LogQuery) -> LogSearch:
        """A search of all files, or of those that may have entries of the query's accounts."""
        owners = self._owners() if query.accounts is None else query.accounts
        files = {owner: self._of(owner) for owner in ("", *owners)}
        return LogSearch([LogGroup(owner, one.paths(), one.changed_at()) for owner, one in files.items()], query)

    def read(self, query: LogQuery) -> FoundEntries:
        """The result of a search, in one go. Blocks. Raises OSError if a file cannot be read."""
        search = self.search(query)
        while search.step():
            pass
        found = search.result()
        for one in found.unread:
            raise one.error
        return found

    def _append(self, owner: str, entries: Sequence[Entry], *, is_own: bool = False) -> str | None:
        """Write entries to the file of an owner, all or none. Returns the problem or None.

        They follow an entry about those that could not be written. If `is_own`, losing these is no loss.
        """
        failure = self._failing.get(owner)
        gap = [_own("audit.gap", LOST.format(failure.lost), owner)] if failure and failure.lost else []
        written = [*gap, *entries]
        try:
            if written:
                is_synced = any(entry.outcome is Outcome.OK for entry in written)
                self._write({owner: b"".join(map(line_of, written))}, {owner} if is_synced else ())
        except OSError:
            failure = self._failing[owner]
            self._failing[owner] = replace(failure, lost=failure.lost + (0 if is_own else len(entries)))
            return failure.problem
        self._failing.pop(owner, None)
        return None

    def _write(self, lines: Mapping[str, bytes], synced: Collection[str]) -> None:
        """Append lines to the files of their owners, to all or to none, and note a failure. Raises OSError."""
        done: list[tuple[LineFile, int]] = []
        owner = ""
        dropped: list[str] = []
        try:
            for owner, octets in lines.items():
                if owner:
                    self._folder.mkdir(mode=0o700, exist_ok=True)
                file = self._of(owner)
                largest = self._room(owner) // (KEPT_FILES + 1) if owner else self._max_file_size
                size, has_dropped = file.append(octets, largest, is_synced=owner in synced)
                done.append((file, size))
                dropped += [owner] * has_dropped
        except OSError as error:
            for file, size in done:
                file.cut(size)
            lost = self._failing[owner].lost if owner in self._failing else 0
            problem = f"{shown(self._of(owner).path)} cannot be written: {error.strerror}"
            self._failing[owner] = _Failure(problem, lost)
            raise
        for owner in dropped:
            self._tell_of_loss(owner)

    def _tell_of_loss(self, owner: str) -> None:
        """Report that the oldest entries went for lack of room, and say so in the main file: never silently."""
        what = f"the oldest entries of {owner or 'operators'} were deleted"
        self._report(f"audit log: {what}, for lack of room{' (quota `audit_octets`)' if owner else ''}")
        if owner:
            with suppress(OSError):
                self._write({"": line_of(replace(_own("audit.dropped", what), account_id=owner))}, {""})

    def _of(self, owner: str) -> LineFile:
        return LineFile(self._folder / f"{owner}.log") if owner else self._main

    def _owners(self) -> list[str]:
        """The owners of the files in the folder."""
        with suppress(OSError):
            return [name for file in self._folder.iterdir() if OWNER.fullmatch(name := file.name.removesuffix(".log"))]
        return []


def _own(action: str, message: str, owner: str = "") -> Entry:
    """An entry about the log itself, or the file of an owner."""
    now, what = datetime.now(UTC), f"{FOLDER}/{owner}" if owner else FOLDER
    return Entry(at=now, token=None, client="", action=action, object=what, outcome=Outcome.OK, message=message)
