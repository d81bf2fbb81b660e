"""A column of octets: those of all records of a zone one after the other, and where each one's end.

A million names are then two buffers, which may be parts of a mapped file, instead of a million objects.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import eq
from typing import Any, TypeAlias, overload

from dnsd.compiled import require
from dnsd.model.plain_columns import WIDE

try:
    require("dnsd.model._columns")
    from dnsd.model._columns import cut, ending, larger, marked, moved, pack, pick, places, set_marks, starting
except ImportError:  # no compiler was found
    from dnsd.model.plain_columns import cut, ending, larger, marked, moved, pack, pick, places, set_marks, starting

BLOCK = 1024  # items made at once
COMPARED = 1024 * 1024  # octets compared at once

Numbers: TypeAlias = "array[int] | memoryview"  # of 4 octets each


class OctetColumn(Sequence[bytes]):
    """Octets of each record, in order; immutable. Items are made on access."""

    __slots__ = ("ends", "octets")

    def __init__(self, octets: bytes | memoryview, ends: bytes | memoryview) -> None:
        self.octets = octets
        self.ends: Numbers
        if isinstance(ends, bytes):  # in small zones, a view would need more memory than the numbers
            self.ends = array("I" if len(octets) < WIDE else "Q", ends)
        else:
            self.ends = ends.cast("B").cast("I" if len(octets) < WIDE else "Q")

    @classmethod
    def of(cls, items: list[bytes]) -> OctetColumn:
        """A column of these items."""
        return cls(*pack(items))

    @classmethod
    def joined(cls, pieces: Sequence[tuple[OctetColumn, int, int]]) -> OctetColumn:
        """A column of pieces of others, each from a start to a stop, without making their items."""
        if len(pieces) == 1 and pieces[0][1:] == (0, len(pieces[0][0])):
            return pieces[0][0]
        spans = [(column, start, max(start, stop)) for column, start, stop in pieces]
        octets = b"".join(
            [memoryview(column.octets)[column._end(start) : column._end(stop)] for column, start, stop in spans]
        )
        ends, base = [], 0
        for column, start, stop in spans:
            ends.append(moved(column.octets, column.ends, start, stop, base, len(octets) >= WIDE))
            base += column._end(stop) - column._end(start)
        return cls(octets, b"".join(ends))

    def rest_on(self, there: OctetColumn) -> None:
        """Use the buffers of an equal column, such as those in a mapped file, in place of the own ones."""
        self.octets, self.ends = there.octets, there.ends

    def _end(self, count: int) -> int:
        """The end of the first `count` items."""
        return int(self.ends[count - 1]) if count else 0

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self.ends))
            if step != 1:
                return [self[at] for at in range(start, stop, step)]
            return cut(self.octets, self.ends, start, stop)
        if index < 0:
            index += len(self.ends)
        begin = self.ends[index - 1] if index > 0 else 0
        return bytes(self.octets[begin : self.ends[index]])

    def __iter__(self) -> Iterator[bytes]:
        starts = range(0, len(self.ends), BLOCK)
        return chain.from_iterable(self[start : start + BLOCK] for start in starts)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, OctetColumn):
            return len(self) == len(other) and self.is_same(0, len(self), other, 0)
        if isinstance(other, list):
            return len(self) == len(other) and all(map(eq, self, other))
        return NotImplemented

    def __hash__(self) -> int:
        return hash((len(self.ends), *self[: BLOCK // 100]))

    def __contains__(self, item: object) -> bool:
        return bool(self.places(item)) if isinstance(item, bytes) else False

    def index(self, item: bytes, start: int = 0, stop: int | None = None) -> int:
        """The index of the first such item. Raises ValueError."""
        for place in self.places(item):
            if start <= place and (stop is None or place < stop):
                return place
        raise ValueError("no such item")

    def count(self, item: Any) -> int:
        """The number of such items."""
        return len(self.places(item))

    def places(self, item: bytes) -> array[int]:
        """The indexes of such items."""
        return array("I", places(self.octets, self.ends, item))

    def starting(self, beginning: bytes) -> array[int]:
        """The indexes of items that begin like this."""
        return array("I", starting(self.octets, self.ends, beginning))

    def ending(self, end: bytes, among: Numbers) -> array[int]:
        """Of these indexes, those of items that end like this but for the case of letters; `end` is in lower case."""
        return array("I", ending(self.octets, self.ends, among, end))

    def at(self, indexes: Iterable[int]) -> Iterator[bytes]:
        """The items at these indexes."""
        numbers = memoryview(indexes) if isinstance(indexes, memoryview | array) else memoryview(array("I", indexes))
        starts = range(0, len(numbers), BLOCK)
        return chain.from_iterable(pick(self.octets, self.ends, numbers[start : start + BLOCK]) for start in starts)

    def among(self, indexes: array[int]) -> OctetColumn:
        """The column of the items at these indexes, which ascend: octets of this one if no item between is left out."""
        first, last = indexes[0], indexes[-1]
        if last - first + 1 == len(indexes):
            return self.joined([(self, first, last + 1)])
        return self.of([*self.at(indexes)])

    def larger(self, size: int) -> array[int]:
        """The indexes of items with more octets than `size`."""
        if len(self.octets) <= size:
            return array("I")
        return array("I", larger(self.octets, self.ends, size))

    def is_same(self, start: int, stop: int, other: OctetColumn, place: int) -> bool:
        """Whether the items from a start to a stop are those of another column from a place on."""
        end = place + max(0, stop - start)
        if max(start, stop) > len(self) or end > len(other):
            return False
        mine, theirs = self._end(start), other._end(place)
        size = self._end(max(start, stop)) - mine
        if size != other._end(end) - theirs:
            return False
        blocks = range(0, size, COMPARED)
        if any(
            bytes(self.octets[mine + at : mine + min(size, at + COMPARED)])
            != bytes(other.octets[theirs + at : theirs + min(size, at + COMPARED)])
            for at in blocks
        ):
            return False
        wide = max(len(self.octets), len(other.octets)) >= WIDE
        ends = moved(self.octets, self.ends, start, max(start, stop), 0, wide)
        return ends == moved(other.octets, other.ends, place, end, 0, wide)


class Marks(bytearray):
    """An octet of bits for each record."""

    def set(self, indexes: Numbers, bits: int) -> None:
        """Set these bits at these indexes."""
        set_marks(self, indexes, bits)

    def places(self, wanted: bytes) -> array[int]:
        """The indexes of the octets at which `wanted`, of 256 octets, has one that is not 0."""
        return array("I", marked(self, wanted))


def count_alike(most: int, are_alike: Callable[[int, int], bool]) -> int:
    """How many of the first `most` items are alike; each is compared about twice."""
    if are_alike(0, most):
        return most
    start, stop = 0, most  # all before `start` are alike, and not all before `stop`
    while stop - start > 1:
        middle = (start + stop) // 2
        if are_alike(start, middle):
            start = middle
        else:
            stop = middle
    return start
