"""Alarms: accounts that are held for longer than somebody needs to save two files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from dnsd.app import Loaded
from dnsd.log import Log
from dnsd.manage.audit import AuditLog, Entry, Outcome
from dnsd.serve.loading import Loader
from dnsd.serve.tasks import in_thread

PATIENCE_S = 5.0  # how long an account may be held before people hear of it
LOOK_S = 0.5


class Alarms:
    """Tells the log and the audit log once an account has been held for a while, and when it is let go again."""

    def __init__(self, loader: Loader, audit: AuditLog, log: Log) -> None:
        self._loader = loader
        self._audit = audit
        self._log = log
        self._since: dict[str, float] = {}  # on the monotonic clock, by account
        self._told: set[str] = set()

    async def watch(self) -> None:
        """Look now and then, for ever."""
        while True:
            entries = [*self.due(self._loader.loaded, time.monotonic())] if self._loader.loaded else []
            if entries and (problem := await in_thread(partial(self._audit.append, *entries))):
                self._log.error(problem)
            await asyncio.sleep(LOOK_S)

    def due(self, loaded: Loaded, now: float) -> Iterator[Entry]:
        """The entries that are due at `now`; each is logged, too."""
        self._since = {account: self._since.get(account, now) for account in loaded.held}
        for account, since in self._since.items():
            if account not in self._told and now - since >= PATIENCE_S:
                self._told.add(account)
                why = loaded.reason(account, is_operator=True)
                self._log.error(f"alarm: the account {account} is held at its last good version: {why}")
                yield self._entry(loaded, account, "account.held", loaded.reason(account, is_operator=False))
        for account in sorted(self._told - loaded.held.keys()):
            self._told.remove(account)
            self._log.info(f"the account {account} is not held any more")
            yield self._entry(loaded, account, "account.let_go")

    def _entry(self, loaded: Loaded, account: str, action: str, why: str = "") -> Entry:
        found = loaded.stored.surroundings.accounts.get(account)
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
