"""The brake in control: the book of all authors, kept on disk, and its check of each change on request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dnsd.app import Loaded
from dnsd.log import Log
from dnsd.manage.audit import AuditLog
from dnsd.manage.audit_entries import Entry, Outcome
from dnsd.manage.brake import FILES, Author, Book, Overrun, judged, limit_of
from dnsd.manage.brake_file import BrakeFile
from dnsd.manage.judge import moves_between
from dnsd.manage.refusal import Reason, refused
from dnsd.process.tasks import in_thread

if TYPE_CHECKING:
    from dnsd.manage.draft import Draft
    from dnsd.manage.tokens import Token


class Brake:
    """Holds the book; only the holder of `turn` may replace it."""

    def __init__(self, state: Path, audit: AuditLog, log: Log) -> None:
        self.audit = audit
        self._file = BrakeFile(state)
        self._log = log
        self.book = self._file.load()
        self._report(None)
        self.refusals = {"files": 0, "token": 0}  # since the start, by kind of author
        self.when_kept: Callable[[], None] = lambda: None  # called with each new book

    async def keep(self, book: Book) -> None:
        """Replace the book, and save it."""
        if book == self.book:
            return
        self.book, before = book, self._file.problem
        self.when_kept()
        await in_thread(partial(self._file.save, book))
        self._report(before)

    async def note_refusal(self, *, is_refused: bool) -> None:
        """Keep whether files wait for the operator's word: a start then judges like a reload."""
        await self.keep(replace(self.book, is_refused=is_refused))

    async def release(self, author: str, seconds: int, token: Token | None, client: str) -> None:
        """Lift the limit for an author, or ALL, for a time, as a token or, without one, a command on this host asks."""
        await self.keep(self.book.released_for(author, seconds, time.time()))
        action, message = "brake.release", f"for {seconds:,} s"
        await self.record(action, message, Outcome.OK, what=author, token=token, client=client)
        whose = (token.name or token.id) if token else "a command on this host"
        self._log.warning(f"{action}: {author} {message}, by {whose}")

    async def record(
        self,
        action: str,
        message: str,
        outcome: Outcome,
        *,
        what: str = FILES.key,
        token: Token | None = None,
        client: str = "",
    ) -> None:
        """Write an entry about the files, or another author, to the audit log."""
        now = datetime.now(UTC)
        entry = Entry(at=now, token=token, client=client, action=action, object=what, outcome=outcome, message=message)
        if problem := await in_thread(partial(self.audit.append, entry)):
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
        result = self._judged(draft.author, before, after)
        if isinstance(result, Overrun):
            self._brake.refusals["token"] += 1
            raise refused(Reason.FORBIDDEN, _refusal(result))
        self.book = result

    def objection(self, author: Author | None, before: Loaded, after: Loaded) -> str:
        """The reason to refuse a change if it were made now; empty without one."""
        result = self._judged(author, before, after)
        return f"the brake would refuse this now: {_refusal(result)}" if isinstance(result, Overrun) else ""

    def _judged(self, author: Author | None, before: Loaded, after: Loaded) -> Book | Overrun:
        reload, now = after.settings.reload, time.time()
        limit = limit_of(len(before.dataset.accounts), reload.brake_limits, reload.window_s)
        if author is None or after is before or limit is None or self.book.is_released(author.key, now):
            return self.book
        moved = moves_between(before, after)
        return judged(self.book, author, moved.zones, moved.base, after.snapshot, limit, now)


def _refusal(overrun: Overrun) -> str:
    remedy = f"an operator may lift it with `dnsd brake release {overrun.author.key}`"
    return f"{overrun.message(time.time())}; {remedy}"
