"""Changes that wait for their turn: nobody waits for all changes of another author, nor with another's slow ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dnsd.manage.change import Changed, Make

MAX_OF_AUTHOR = 2  # changes in one batch
SLOW_S = 0.05  # CPU time to draw up one change; an author whose last one took longer is slow
MAX_SLOW = 10_000  # slow authors that are remembered


@dataclass(frozen=True, slots=True, eq=False)
class WaitingChange:
    """A requested change, and the future on which its requester waits."""

    make: Make[Any]
    author: str
    future: asyncio.Future[Changed[Any]]

    def settle(self, outcome: Changed[Any] | BaseException) -> None:
        """Set the outcome, unless the requester has gone."""
        if self.future.done():
            return
        if isinstance(outcome, Changed):
            self.future.set_result(outcome)
        else:
            # Without the frames that it passed: they refer to it, and to the data before the change.
            self.future.set_exception(outcome.with_traceback(None))


class WaitingChanges:
    """The waiting changes, in batches that are made together.

    A batch has a few changes of each quick author, or one change of a slow author, in turn. So a quick change waits for
    at most one slow one, which may take as long as the largest zone needs.
    """

    def __init__(self) -> None:
        self._waiting: list[WaitingChange] = []
        self._slow: dict[str, None] = {}  # authors, those that were slow last at the end
        self._is_turn_of_slow = False

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, change: WaitingChange) -> None:
        """Have a change wait behind the others of its author."""
        self._waiting.append(change)

    def of_author(self, author: str) -> int:
        """The number of an author's waiting changes."""
        return sum(one.author == author for one in self._waiting)

    def next_batch(self) -> list[WaitingChange]:
        """The changes whose turn it is, no longer waiting."""
        slow = [one for one in self._waiting if one.author in self._slow]
        if slow and (self._is_turn_of_slow or len(slow) == len(self._waiting)):
            self._is_turn_of_slow = False
            return self._take_slow(slow[0])
        self._is_turn_of_slow = True
        return self._take_quick()

    def _take_slow(self, change: WaitingChange) -> list[WaitingChange]:
        """This change alone; the others of its author go behind those of all other authors."""
        same = [one for one in self._waiting if one.author == change.author and one is not change]
        self._waiting = [one for one in self._waiting if one.author != change.author] + same
        return [change]

    def _take_quick(self) -> list[WaitingChange]:
        """The first changes of each author that is not slow."""
        counts: Counter[str] = Counter()
        batch: list[WaitingChange] = []
        left: list[WaitingChange] = []
        for one in self._waiting:
            counts[one.author] += 1
            is_next = one.author not in self._slow and counts[one.author] <= MAX_OF_AUTHOR
            (batch if is_next else left).append(one)
        self._waiting = left
        return batch

    def note(self, seconds: Mapping[str, float]) -> None:
        """Remember the CPU time of each author's last change."""
        for author, spent in seconds.items():
            self._slow.pop(author, None)
            if spent > SLOW_S:
                self._slow[author] = None
        while len(self._slow) > MAX_SLOW:
            del self._slow[next(iter(self._slow))]
