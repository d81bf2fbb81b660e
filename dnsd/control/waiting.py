"""Changes that wait for their turn: nobody waits for all changes of another author, nor while a slow one is drawn up.

The changes of slow authors are drawn up aside, on the data of the moment, one after another; those of quick authors in
the turn, on top of each other. Both are made in batches.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dnsd.app import Loaded
from dnsd.manage.change import Changed, Drawn, DrawnUp, Make, Pace, drawn, drawn_aside
from dnsd.store.text_file import FileChangedError
from dnsd.store.write import BegunFile

MAX_OF_AUTHOR = 2  # changes in one batch
SLOW_S = 0.05  # CPU time to draw up one change
SLOW_FOR_S = 60.0  # an author with a slow change is slow for so long
MAX_SLOW = 10_000  # slow authors that are remembered
TRIES_ASIDE = 3  # to draw up a change, before it is drawn up in the turn


@dataclass(slots=True, eq=False)
class WaitingChange:
    """A requested change, and the future on which its requester waits."""

    make: Make[Any]
    author: str
    future: asyncio.Future[Changed[Any]]
    pace: Pace = field(default_factory=Pace)
    drawn: Drawn[Any] | None = None  # as drawn up aside
    begun: Sequence[BegunFile] = ()  # of its texts, on disk already
    is_drawing: bool = False  # whether it is being drawn up aside
    tries_aside: int = TRIES_ASIDE  # left

    def on(self, loaded: Loaded) -> Drawn[Any]:
        """The change on top of the loaded data, in its turn: a long one is drawn up aside, if that can be tried.

        Raises FileChangedError, LongChangeError, MovedOnError and the exceptions of `make`.
        """
        self.pace.is_hurried = self.tries_aside > 0
        return self.drawn.on(loaded) if self.drawn else drawn(self.make, loaded)

    def aside(self, loaded: Loaded) -> DrawnUp[Drawn[Any]]:
        """The change drawn up aside, where nobody waits for it."""
        self.pace.is_hurried = False
        return drawn_aside(self.make, loaded)

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

    A batch has a few changes of each quick author, and one of each slow author whose first change is drawn up. So a
    change waits for the batch before it and its own. In both, a change of a slow author is drawn up only if the data
    has moved on too often while it was drawn up aside, or once if it cannot be put on other data.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting: list[WaitingChange] = []
        self._slow: dict[str, float] = {}  # authors, and until when; the last at the end
        self._in_batch: set[str] = set()  # authors of the changes that are being made
        self._clock = clock

    def add(self, change: WaitingChange) -> None:
        """Have a change wait behind the others of its author."""
        self._waiting.append(change)

    def of_author(self, author: str) -> int:
        """The number of an author's waiting changes."""
        return sum(one.author == author for one in self._waiting)

    @property
    def has_next(self) -> bool:
        """Whether changes can be made now."""
        return any(True for _ in self._next())

    def next_batch(self) -> list[WaitingChange]:
        """The changes whose turn it is, no longer waiting; `end_batch` must follow."""
        self._forget_gone()
        batch = [*self._next()]
        taken = set(map(id, batch))
        self._waiting = [one for one in self._waiting if id(one) not in taken]
        self._in_batch = {one.author for one in batch}
        return batch

    def end_batch(self, again: Sequence[WaitingChange]) -> None:
        """Note that the batch has ended, except for changes that have to be drawn up again."""
        self._in_batch = set()
        for one in again:
            one.drawn = None
        self._waiting = [*again, *self._waiting]

    def next_aside(self) -> WaitingChange | None:
        """The change to draw up aside, which goes on waiting; the others of its author go behind those of others."""
        self._forget_gone()
        for change in self._first():
            if self._is_for_aside(change):
                same = [one for one in self._waiting if one.author == change.author and one is not change]
                others = [one for one in self._waiting if one.author != change.author]
                self._waiting = [*others, change, *same]
                change.is_drawing = True
                change.tries_aside -= 1
                return change
        return None

    def end_aside(self, change: WaitingChange, found: DrawnUp[Drawn[Any]] | None) -> None:
        """Take the outcome of drawing up a change aside; None: it was not, and will be in its turn."""
        change.is_drawing = False
        if found is not None:
            self.note(change.author, found.cpu_s)
        if change.future.done():
            self._forget_gone()
            return
        if found is None or isinstance(found.outcome, FileChangedError):
            change.tries_aside = 0
            return
        if isinstance(found.outcome, Exception):
            self._waiting.remove(change)
            change.settle(found.outcome)
            return
        change.drawn = found.outcome
        if found.cpu_s <= SLOW_S or not change.drawn.draft.can_move:
            change.tries_aside = 0  # drawing it up again delays nobody, or would end like this

    def note(self, author: str, cpu_s: float) -> None:
        """Remember the author of a slow change, given the CPU time of drawing it up."""
        if cpu_s <= SLOW_S:
            return
        self._slow.pop(author, None)
        self._slow[author] = self._clock() + SLOW_FOR_S
        if len(self._slow) > MAX_SLOW:
            del self._slow[next(iter(self._slow))]

    def _next(self) -> Iterator[WaitingChange]:
        """The next changes of each author: all those before them are made, and slow ones are drawn up."""
        counts: Counter[str] = Counter()
        for one in self._waiting:
            if counts[one.author] < MAX_OF_AUTHOR and not one.is_drawing and not self._is_for_aside(one):
                is_alone = one.drawn or self._is_slow(one.author)  # if it has to wait again, those after it wait, too
                counts[one.author] += MAX_OF_AUTHOR if is_alone else 1
                yield one
            else:
                counts[one.author] = MAX_OF_AUTHOR

    def _forget_gone(self) -> None:
        """Forget the changes whose outcome is known, or whose request was cancelled, unless one is being drawn up."""
        self._waiting = [one for one in self._waiting if one.is_drawing or not one.future.done()]

    def _first(self) -> Iterator[WaitingChange]:
        """The first change of each author without one in the batch."""
        seen = set(self._in_batch)
        for one in self._waiting:
            if one.author not in seen:
                seen.add(one.author)
                yield one

    def _is_for_aside(self, change: WaitingChange) -> bool:
        """Whether a change has to be drawn up aside before its turn."""
        is_plain = not change.is_drawing and change.drawn is None
        return is_plain and change.tries_aside > 0 and self._is_slow(change.author)

    def _is_slow(self, author: str) -> bool:
        return self._clock() < self._slow.get(author, 0.0)
