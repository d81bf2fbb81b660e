"""Commits of what controls share: drawn up on a copy that has the guard's last number, and found out without an answer.

A guard stands for all objects of one kind, or of one kind and account; each commit of them rewrites it, as its last
message. So a copy that has the guard has all before it.
"""

from __future__ import annotations

import asyncio
import errno
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from uuid import uuid4

from dnsd.fleet.link import EngineRefusedError, Link
from dnsd.fleet.op_verdict import is_stored
from dnsd.fleet.shared_copy import SharedCopy
from dnsd.fleet.writer import (
    GIVE_UP_S,
    MAX_BATCH,
    MAX_OCTETS,
    FleetAwayError,
    SharedWrite,
    StaleAccountsError,
    Writer,
)
from dnsd.store.port import StoreAwayError

COPIED_WITHIN_S = 5.0
TOLD_WITHIN_S = 3.0  # by the servers: what became of a commit
KNOWN_S = 500  # less than the marker of a commit lives
TRIES = 30  # of a change that others overtake
PAUSE_S = 0.2
LATER_S = 5  # for a requester
MOST_WRITES = MAX_BATCH - 2  # the rest are the marker and the guard
LAGS = "this control does not have all that the fleet's controls share yet; nothing has changed"
SILENT = "the fleet's servers do not answer; nothing has changed"
UNKNOWN = "the fleet's servers do not tell what became of the change: look at the object"
BUSY = "other controls change the same all the time; nothing has changed"

DrawUp = Callable[[int], Awaitable[Sequence[SharedWrite] | None]]  # writes on the copy of now; None: nothing to do


class SharedWrites:
    """Changes what controls share. `link` gives the open connection, and raises NoAnswerError without one."""

    def __init__(self, copy: SharedCopy, link: Callable[[], Awaitable[Link]]) -> None:
        self._copy = copy
        self._link = link
        self._turn = asyncio.Lock()  # among the changes of this control, in their order
        self._away_at = float("-inf")  # the last change that failed without servers: those in turn then fail with it
        self._untold: dict[str, float] = {}  # ids of commits whose outcome is not known, and when they were sent

    async def change(self, guard: str, draw_up: DrawUp) -> None:
        """Make a change. `draw_up` gets the guard's number, and is called again if others came first.

        On return, the copy has it. Raises what `draw_up` raises, StoreAwayError (the change may be made if no server
        tells), and OSError if the servers refuse it or have no room.
        """
        began = time.monotonic()
        await self.catch_up(guard)  # before the turn: without servers, all wait at the same time
        async with self._turn:
            if self._away_at > began:
                raise StoreAwayError(SILENT, LATER_S)
            try:
                await self._change(guard, draw_up)
            except StoreAwayError:
                self._away_at = time.monotonic()
                raise

    async def _change(self, guard: str, draw_up: DrawUp) -> None:
        for attempt in range(TRIES):
            if attempt:
                await self.catch_up(guard)
            seq = self._copy.seq(guard)
            writes = await draw_up(seq)
            if writes is None:
                return
            try:
                await self._commit(writes, guard, seq)
            except StaleAccountsError:
                await asyncio.sleep(random.uniform(0, PAUSE_S))
            else:
                return
        raise StoreAwayError(BUSY, LATER_S)

    async def settle(self, subject: str) -> None:
        """Find out what became of earlier changes. Raises StoreAwayError while that is not known, or the copy lags."""
        for op, at in [*self._untold.items()]:
            if time.monotonic() - at > KNOWN_S:  # the servers no longer know
                self._untold.pop(op, None)
                continue
            await self._outcome(op)
        await self.catch_up(subject)

    async def catch_up(self, subject: str) -> None:
        """Wait until the copy has the last message of a subject, or below it. Raises StoreAwayError."""
        last = await self._guard(subject, SILENT)
        if not await self._copy.until(lambda: self._copy.is_whole and self._copy.last >= last, COPIED_WITHIN_S):
            raise StoreAwayError(LAGS, LATER_S)

    async def _commit(self, writes: Sequence[SharedWrite], guard: str, seq: int) -> None:
        """Store writes, in several batches if need be: each beginning is valid. Raises StaleAccountsError, OSError."""
        for number, part in enumerate(parts := [*_parts(writes)]):
            op = str(uuid4())
            entry = json.dumps({"action": "shared", "changed": len(part)}).encode()
            try:
                seq = await self._writer.commit_shared(op, entry, part, guard, seq)
            except StaleAccountsError:
                if number and all(one.new is None for one in part):
                    break  # what is left depends on what is gone, and goes with the next change
                raise
            except FleetAwayError:
                self._untold[op] = time.monotonic()
                is_made = await self._outcome(op)
                if not is_made or number + 1 < len(parts):
                    raise StoreAwayError(UNKNOWN if is_made else SILENT, LATER_S) from None
                seq = await self._guard(guard, UNKNOWN)
            except EngineRefusedError as error:
                raise OSError(errno.EIO, str(error)) from None
        await self._copy.until(lambda: self._copy.seq(guard) >= seq, COPIED_WITHIN_S)

    async def _outcome(self, op: str) -> bool:
        """Whether a commit is stored, for good. Raises StoreAwayError while no server tells."""
        try:
            async with asyncio.timeout(TOLD_WITHIN_S):
                found = await is_stored(self._link, op)
        except TimeoutError:
            raise StoreAwayError(UNKNOWN, LATER_S) from None
        self._untold.pop(op, None)
        return found

    async def _guard(self, guard: str, why: str) -> int:
        """The number of a guard at the leader. Raises StoreAwayError."""
        try:
            return await self._writer.guard(guard)
        except FleetAwayError:
            raise StoreAwayError(why, LATER_S) from None

    @property
    def _writer(self) -> Writer:
        return Writer(self._link, give_up_s=GIVE_UP_S)


def _parts(writes: Sequence[SharedWrite]) -> Iterator[list[SharedWrite]]:
    """The writes in batches, of which there is at least one."""
    part, octets = list[SharedWrite](), 0
    for write in writes:
        octets += len(write.new or b"")
        if part and (len(part) == MOST_WRITES or octets > MAX_OCTETS):
            yield part
            part, octets = [], len(write.new or b"")
        part.append(write)
    yield part
