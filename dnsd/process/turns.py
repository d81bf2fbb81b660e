"""Long work in threads, one short turn at a time: authors in rotation, and no turn for clients that have gone."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dnsd.errors import DnsdError
from dnsd.process.tasks import in_thread

if TYPE_CHECKING:
    from dnsd.model.record_parts import Steps

T = TypeVar("T")
TURN_S = 0.005
NEW_IN_A_ROW = 10  # first turns of an author, before its work that waits for a further one

Turn = asyncio.Future[bool]  # False: the client has gone; as an error, it would refer to the frames that hold it


class ClientGoneError(DnsdError):
    """The client closed its connection before its work had ended; the rest is not done."""


class Presence:
    """Whether the client that waits for work is still there; at first it is."""

    def __init__(self) -> None:
        self._waiting: set[Turn] = set()
        self._is_gone = False

    def end(self) -> None:
        """Note that the client has gone: its work gets no further turn."""
        self._is_gone = True
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(False)

    def check(self) -> None:
        """Raise ClientGoneError if the client has gone."""
        if self._is_gone:
            raise ClientGoneError("the client has gone")

    async def wait(self, turn: Turn) -> None:
        """Wait for a turn. Raises ClientGoneError if the client goes first."""
        self._waiting.add(turn)
        try:
            if not await turn:
                raise ClientGoneError("the client has gone")
        finally:
            self._waiting.discard(turn)


class FairTurns:
    """Gives turns to work in steps, one at a time.

    Authors are in rotation: nobody waits for more than one turn of each other author, however much work they have. Of
    one author's work, the new goes first, so that a small piece does not wait for a large one. Work whose client has
    gone leaves its place at once, so that the work that waits is bounded by the number of connections.
    """

    def __init__(self, *, is_new_first: bool = True) -> None:
        """Without `is_new_first`, an author's begun work ends first: what it holds until then is held once or twice."""
        self._is_new_first = is_new_first
        self._waiting: dict[str, _Queue] = {}  # by author; the next author first
        self._is_taken = False

    async def run(self, author: str, steps: Steps[T], presence: Presence | None = None) -> T:
        """The result of an author's work. Raises ClientGoneError."""
        presence = presence or Presence()
        is_new = True
        while True:
            await self._take(author, presence, is_new=is_new)
            try:
                ended = await in_thread(partial(_one_turn, steps))
            finally:
                self._give_back()
            if ended:
                return ended[0]
            is_new = False

    async def _take(self, author: str, presence: Presence, *, is_new: bool) -> None:
        """Wait for a turn."""
        presence.check()
        if not self._is_taken:
            self._is_taken = True
            return
        turn: Turn = asyncio.get_running_loop().create_future()
        line = self._waiting.setdefault(author, _Queue(NEW_IN_A_ROW if self._is_new_first else 0))
        line.add(turn, is_new=is_new)
        try:
            await presence.wait(turn)
        except ClientGoneError:
            self._leave(author, turn)
            raise
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self._give_back()
            else:
                self._leave(author, turn)
            raise

    def _give_back(self) -> None:
        """End a turn, and give the next one to the next author."""
        while self._waiting:
            author = next(iter(self._waiting))
            line = self._waiting.pop(author)
            turn = line.next()
            if line:
                self._waiting[author] = line  # last in the rotation
            if turn is not None and not turn.done():
                turn.set_result(True)
                return
        self._is_taken = False

    def _leave(self, author: str, turn: Turn) -> None:
        """Take a turn that will not be used out of its line."""
        if line := self._waiting.get(author):
            line.remove(turn)
            if not line:
                del self._waiting[author]


class _Queue:
    """The waiting turns of one author."""

    def __init__(self, new_in_a_row: int) -> None:
        self._most_in_a_row = new_in_a_row
        self._new: deque[Turn] = deque()
        self._others: deque[Turn] = deque()
        self._in_a_row = 0  # first turns, since another

    def __len__(self) -> int:
        return len(self._new) + len(self._others)

    def add(self, turn: Turn, *, is_new: bool) -> None:
        (self._new if is_new else self._others).append(turn)

    def next(self) -> Turn | None:
        """Remove and return the next turn."""
        is_new = bool(self._new) and (self._in_a_row < self._most_in_a_row or not self._others)
        self._in_a_row = self._in_a_row + 1 if is_new else 0
        turns = self._new if is_new else self._others
        return turns.popleft() if turns else None

    def remove(self, turn: Turn) -> None:
        for turns in (self._new, self._others):
            if turn in turns:
                turns.remove(turn)


def at_once(work: Callable[[], T]) -> Steps[T]:
    """Work that cannot be divided, as one step."""
    yield from ()
    return work()


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
