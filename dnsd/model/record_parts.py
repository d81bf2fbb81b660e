"""A zone's records in parts of a few thousand. Answers to questions about a part are kept with it, and an edit of
records renews only the parts that it touches.

Questions about a whole zone are answered in steps, one part at a time, so that other work gets its turn between them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Generator, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from sys import getsizeof
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from dnsd.model.columns import Records

T = TypeVar("T")
SIZE = 2048  # records of a new part: a question about them takes some milliseconds
MOST_PARTS = 3  # times the number of new parts for as many records, before small ones are joined

Steps: TypeAlias = Generator[None, None, T]  # work in steps, and its result


def finished(steps: Steps[T]) -> T:
    """The result of work after all its steps, taken at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


class RecordPart:
    """Some successive records, and what has been found out about them."""

    __slots__ = ("__weakref__", "kept", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: dict[Hashable, Any] = {}  # answers, by question

    def forget(self) -> None:
        """Drop all that is kept."""
        self.kept.clear()


@dataclass(frozen=True, slots=True)
class PartView:
    """The records from `start` to `stop` of a zone, which are one part."""

    records: Records
    part: RecordPart
    start: int
    stop: int

    def ask(self, question: Callable[[Records, int, int], T]) -> T:
        """The answer to a question about records from a start to a stop, kept for the next time.

        The answer must depend on these records alone, and equal questions must have equal answers.
        """
        kept = self.part.kept
        if question not in kept:
            kept[question] = question(self.records, self.start, self.stop)
        answer: T = kept[question]
        return answer


class RecordParts:
    """The parts of one zone's records, in order; and what has been found out about all of them."""

    __slots__ = ("__weakref__", "kept", "parts", "starts")

    def __init__(self, parts: Iterable[RecordPart]) -> None:
        self.parts = [part for part in parts if part.size]
        self.starts = [0, *accumulate(part.size for part in self.parts)]
        self.kept: dict[Hashable, Any] = {}

    @classmethod
    def of(cls, count: int) -> RecordParts:
        """New parts for so many records."""
        return cls(RecordPart(min(SIZE, count - start)) for start in range(0, count, SIZE))

    @property
    def octets(self) -> int:
        """About the size of all that is kept."""
        return sum(getsizeof(answer) for part in self.parts for answer in tuple(part.kept.values()))

    def forget(self) -> None:
        """Drop what is kept about all of them together."""
        self.kept.clear()

    def views(self, records: Records) -> Iterator[PartView]:
        """The parts with their records."""
        for part, start in zip(self.parts, self.starts[:-1], strict=True):
            yield PartView(records, part, start, start + part.size)

    def after(self, removed: Collection[int], changed: Collection[int], left: int, count: int) -> RecordParts:
        """The parts after an edit that removes and changes the records at these indexes.

        Of the records, only the first `left` stay, the others are made anew. The result is for `count` records; what
        follows the remaining ones is new.
        """
        lost = dict.fromkeys((self._number(index) for index in changed), 0)
        for index in removed:
            number = self._number(index)
            lost[number] = lost.get(number, 0) + (index < left)
        parts = []
        for number, part in enumerate(self.parts):
            size = min(part.size, max(0, left - self.starts[number]))
            if number in lost or size < part.size:
                part = RecordPart(size - lost.get(number, 0))
            parts.append(part)
        rest = count - sum(part.size for part in parts)
        if rest < 0 or len(parts) > MOST_PARTS * (1 + count // SIZE):
            return RecordParts.of(count)
        if rest and parts and parts[-1].size < SIZE:
            rest += parts.pop().size
        return RecordParts((*parts, *RecordParts.of(rest).parts))

    def _number(self, index: int) -> int:
        """The number of the part that an index belongs to."""
        return bisect_right(self.starts, index) - 1
