"""Long work in turns: each turn is short and in a thread, and new work goes before work that has had a turn."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from dnsd.model.record_parts import Steps

T = TypeVar("T")
TURN_S = 0.005
NEW_IN_A_ROW = 10  # first turns, before work that waits for a further one


class RecordTurns:
    """Gives turns, one at a time."""

    def __init__(self) -> None:
        self._new: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()
        self._is_taken = False
        self._in_a_row = 0

    async def take(self, *, is_new: bool) -> None:
        """Wait for a turn."""
        if not self._is_taken:
            self._is_taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        (self._new if is_new else self._others).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """End a turn, and give the next one."""
        while self._new or self._others:
            is_new = bool(self._new) and (self._in_a_row < NEW_IN_A_ROW or not self._others)
            self._in_a_row = self._in_a_row + 1 if is_new else 0
            turn = (self._new if is_new else self._others).popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False


_turns = RecordTurns()


async def in_turns(steps: Steps[T]) -> T:
    """The result of work in steps: none waits for all of another."""
    is_new = True
    while True:
        await _turns.take(is_new=is_new)
        try:
            ended = await run_in_threadpool(_one_turn, steps)
        finally:
            _turns.give_back()
        if ended:
            return ended[0]
        is_new = False


def _one_turn(steps: Steps[T]) -> tuple[T] | None:
    """Take steps for a while; the result if that was the last."""
    end = time.monotonic() + TURN_S
    try:
        while True:
            next(steps)
            if time.monotonic() >= end:
                return None
    except StopIteration as last:
        return (last.value,)
