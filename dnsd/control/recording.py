"""The requests whose outcome is known, written to the audit log and the history in order, many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from dnsd.control.change_request import ChangeRequest
from dnsd.log import Log
from dnsd.manage.audit import AuditLog
from dnsd.manage.history import History
from dnsd.process.tasks import in_thread


class Recorder:
    """Writes requests in the order of the calls of `record`."""

    def __init__(self, audit: AuditLog, history: History, log: Log) -> None:
        self._audit = audit
        self._history = history
        self._log = log
        self._waiting: list[ChangeRequest] = []
        self._written: list[ChangeRequest] = []  # those being written
        self._turn = asyncio.Lock()

    async def record(self, request: ChangeRequest) -> None:
        """Write a request, together with other waiting ones; its place among them is taken at once."""
        self._waiting.append(request)
        await self._write_waiting()

    async def record_earlier(self, keys: frozenset[str]) -> None:
        """Have the versions of these objects that earlier changes made in the history; those of others may wait."""
        if any(not keys.isdisjoint(one.keys) for one in (*self._waiting, *self._written)):
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        """Write the waiting requests, unless an earlier caller does with its own."""
        async with self._turn:
            if self._waiting:
                self._written, self._waiting = self._waiting, []
                try:
                    for problem in await in_thread(partial(self._write, self._written)):
                        self._log.error(problem)
                finally:
                    self._written = []

    def _write(self, requests: Sequence[ChangeRequest]) -> list[str]:
        """Write requests, in a thread; return the problems."""
        entries = [entry for request in requests if not request.has_testified for entry in request.entries()]
        problem = self._audit.append(*entries) if entries else None
        return [*filter(None, [problem, *(request.keep(self._history) for request in requests)])]
