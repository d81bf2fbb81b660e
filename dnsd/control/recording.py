"""The requests whose outcome is known, written to the audit log and the history in order, many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
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
        self._writing: asyncio.Future[list[str]] | None = None  # the problems of writing them

    async def record(self, request: ChangeRequest) -> None:
        """Write a request, together with other waiting ones; its place among them is taken at once."""
        self._waiting.append(request)
        await self._until_written([request])

    async def record_earlier(self, keys: frozenset[str]) -> None:
        """Have the versions of these objects that earlier changes made in the history; those of others may wait."""
        unwritten = (*self._waiting, *self._written)
        await self._until_written([one for one in unwritten if not keys.isdisjoint(one.keys)])

    async def _until_written(self, requests: Collection[ChangeRequest]) -> None:
        """Wait until the requests are written, also if cancelled meanwhile: they would be lost at control's end."""
        cancelled: asyncio.CancelledError | None = None
        while any(one in self._waiting or one in self._written for one in requests):
            try:
                await asyncio.wait([self._writing or self._begin()])  # neither cancels it nor raises its exception
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled:
            raise cancelled

    def _begin(self) -> asyncio.Future[list[str]]:
        """Begin to write the waiting requests."""
        self._written, self._waiting = self._waiting, []
        self._writing = in_thread(partial(self._write, self._written))
        self._writing.add_done_callback(self._end)
        return self._writing

    def _end(self, writing: asyncio.Future[list[str]]) -> None:
        self._written, self._writing = [], None
        for problem in writing.result():
            self._log.error(problem)

    def _write(self, requests: Sequence[ChangeRequest]) -> list[str]:
        """Write requests, in a thread; return the problems."""
        entries = [entry for request in requests if not request.has_testified for entry in request.entries()]
        problem = self._audit.append(*entries) if entries else None
        return [*filter(None, [problem, *(request.keep(self._history) for request in requests)])]
