"""The requests whose outcome is known, written to the audit log and the history, many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from dnsd.control.change_request import ChangeRequest
from dnsd.log import Log
from dnsd.manage.audit import AuditLog
from dnsd.manage.history import History
from dnsd.process.tasks import in_thread
from dnsd.store.directory import account_of

MAX_AT_ONCE = 8  # batches that are written at the same time, each in a thread


@dataclass(slots=True)
class _Unwritten:
    """What is known of a request that is to be written, or being written."""

    accounts: frozenset[str]  # whose objects it changed
    done: asyncio.Future[None]
    is_begun: bool = False


class Recorder:
    """Writes requests: those of an account in the order of the calls of `record`, those of others at the same time.

    So nobody waits for the large versions of another account.
    """

    def __init__(self, audit: AuditLog, history: History, log: Log) -> None:
        self._audit = audit
        self._history = history
        self._log = log
        self._unwritten: dict[ChangeRequest, _Unwritten] = {}  # in the order of the calls
        self._running = 0  # batches that are being written

    async def record(self, request: ChangeRequest) -> None:
        """Write a request, together with other waiting ones of its account; its place among them is taken at once."""
        accounts = frozenset(account_of(key) for key in request.keys) or frozenset({""})
        self._unwritten[request] = _Unwritten(accounts, asyncio.get_running_loop().create_future())
        self._begin()
        await self._until_written([request])

    async def record_earlier(self, keys: frozenset[str]) -> None:
        """Have the versions of these objects that earlier changes made in the history; those of others may wait."""
        await self._until_written([one for one in self._unwritten if not keys.isdisjoint(one.keys)])

    async def _until_written(self, requests: Collection[ChangeRequest]) -> None:
        """Wait until the requests are written, also if cancelled meanwhile: they would be lost at control's end."""
        cancelled: asyncio.CancelledError | None = None
        while waiting := [self._unwritten[one].done for one in requests if one in self._unwritten]:
            try:
                await asyncio.wait(waiting)  # neither cancels them nor raises their exceptions
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled:
            raise cancelled

    def _begin(self) -> None:
        """Begin to write the requests that wait for no earlier one of their accounts."""
        batches: dict[frozenset[str], list[ChangeRequest]] = {}
        busy = {account for one in self._unwritten.values() if one.is_begun for account in one.accounts}
        for request, one in self._unwritten.items():
            if one.is_begun:
                continue
            has_turn = busy.isdisjoint(one.accounts)
            if has_turn and one.accounts in batches:
                batches[one.accounts].append(request)
            elif has_turn and self._running + len(batches) < MAX_AT_ONCE and one.accounts.isdisjoint(chain(*batches)):
                batches[one.accounts] = [request]
            else:
                busy |= one.accounts  # none of these accounts overtakes it
        for batch in batches.values():
            self._start(batch)

    def _start(self, batch: Sequence[ChangeRequest]) -> None:
        """Write requests in a thread."""
        self._running += 1
        for request in batch:
            self._unwritten[request].is_begun = True
        in_thread(partial(self._write, batch)).add_done_callback(partial(self._end, batch))

    def _end(self, batch: Sequence[ChangeRequest], writing: asyncio.Future[list[str]]) -> None:
        self._running -= 1
        for request in batch:
            self._unwritten.pop(request).done.set_result(None)
        self._begin()
        for problem in writing.result():
            self._log.error(problem)

    def _write(self, requests: Sequence[ChangeRequest]) -> list[str]:
        """Write requests, in a thread; return the problems."""
        entries = [entry for request in requests if not request.has_testified for entry in request.entries()]
        problem = self._audit.append(*entries) if entries else None
        return [*filter(None, [problem, *(request.keep(self._history) for request in requests)])]
