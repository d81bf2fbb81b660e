"""The brake in control: the book of all authors, kept on disk, and its check of each change on request."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from dnsd.app import Loaded
from dnsd.log import Log
from dnsd.manage.audit import AuditLog, Entry, Outcome
from dnsd.manage.brake import FILES, Book, Overrun, judged, limit_of
from dnsd.manage.brake_file import BrakeFile
from dnsd.manage.draft import Draft
from dnsd.manage.judge import moves_between
from dnsd.manage.refusal import Reason, refused
from dnsd.process.tasks import in_thread


class Brake:
    """Holds the book; only the holder of `turn` may replace it."""

    def __init__(self, state: Path, audit: AuditLog, log: Log) -> None:
        self._audit = audit
        self._file = BrakeFile(state)
        self._log = log
        self.book = self._file.load()
        self._report(None)
        self.refusals = {"files": 0, "token": 0}  # since the start, by kind of author

    async def keep(self, book: Book) -> None:
        """Replace the book, and save it."""
        if book == self.book:
            return
        self.book, before = book, self._file.problem
        await in_thread(partial(self._file.save, book))
        self._report(before)

    async def note_refusal(self, *, is_refused: bool) -> None:
        """Keep whether files wait for the operator's word: a start then judges like a reload."""
        await self.keep(replace(self.book, is_refused=is_refused))

    async def record(self, action: str, message: str, outcome: Outcome) -> None:
        """Write an entry about a reload to the audit log."""
        now = datetime.now(UTC)
        entry = Entry(at=now, token=None, client="", action=action, object=FILES.key, outcome=outcome, message=message)
        if problem := await in_thread(partial(self._audit.append, entry)):
            self._log.error(problem)

    def trial(self) -> Trial:
        """Checks of changes that are not made yet."""
        return Trial(self)

    def _report(self, before: str | None) -> None:
        if self._file.problem and self._file.problem != before:
            self._log.error(self._file.problem)


class Trial:
    """The book with changes that are drawn up but not written."""

    def __init__(self, brake: Brake) -> None:
        self._brake = brake
        self.book = brake.book

    def check(self, draft: Draft, before: Loaded, after: Loaded) -> None:
        """Judge a change by its author, and add it to the book. Raises RefusedError over the limit."""
        author, reload = draft.author, after.settings.reload
        limit = limit_of(len(before.dataset.accounts), reload.brake_limits, reload.window_s)
        if author is None or after is before or limit is None or self.book.is_released(author.key, now := time.time()):
            return
        moved = moves_between(before, after)
        result = judged(self.book, author, moved.zones, moved.base, after.snapshot, limit, now)
        if isinstance(result, Overrun):
            self._brake.refusals["token"] += 1
            remedy = f"an operator may lift it with `dnsd brake release {author.key}`"
            raise refused(Reason.FORBIDDEN, f"{result.message(now)}; {remedy}")
        self.book = result
