"""Alarms about accounts held for longer than a person needs to save two files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from dnsd.app import Loaded
from dnsd.control.current import Current
from dnsd.log import Log
from dnsd.manage.audit import AuditLog
from dnsd.manage.audit_entries import Entry, Outcome
from dnsd.process.tasks import in_thread

PATIENCE_S = 5.0  # an account is held this long before the alarm
LOOK_S = 0.5


class Alarms:
    """Reports held accounts to the log and the audit log: once, after PATIENCE_S, and again when they are released."""

    def __init__(self, current: Current, audit: AuditLog, log: Log) -> None:
        self._current = current
        self._audit = audit
        self._log = log
        self._since: dict[str, float] = {}  # on the monotonic clock, by account
        self._reported: set[str] = set()

    async def watch(self) -> None:
        """Check every LOOK_S, forever."""
        while True:
            entries = [*self.due(self._current.loaded, time.monotonic())] if self._current.loaded else []
            if entries and (problem := await in_thread(partial(self._audit.append, *entries))):
                self._log.error(problem)
            await asyncio.sleep(LOOK_S)

    def due(self, loaded: Loaded, now: float) -> Iterator[Entry]:
        """The audit entries due at `now`, in monotonic seconds; each is also logged."""
        self._since = {account: self._since.get(account, now) for account in loaded.held}
        for account, since in self._since.items():
            if account not in self._reported and now - since >= PATIENCE_S:
                self._reported.add(account)
                why = loaded.reason(account, is_operator=True)
                self._log.error(f"alarm: the account {account} is held at its last good version: {why}")
                yield self._entry(loaded, account, "account.held", loaded.reason(account, is_operator=False))
        for account in sorted(self._reported - loaded.held.keys()):
            self._reported.remove(account)
            self._log.info(f"the account {account} is no longer held")
            yield self._entry(loaded, account, "account.let_go")

    def _entry(self, loaded: Loaded, account: str, action: str, why: str = "") -> Entry:
        found = loaded.stored.map_context.accounts.get(account)
        return Entry(
            at=datetime.now(UTC),
            token=None,
            client="",
            action=action,
            object=account,
            account_id=found.id if found else "",
            outcome=Outcome.REFUSED if why else Outcome.OK,
            revision=loaded.snapshot.revision,
            message=why,
        )
