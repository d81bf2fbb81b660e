"""Runs of items that take the place of others: the columns after it, and the new indexes of the items that stay."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import accumulate
from typing import NamedTuple, TypeVar

from dnsd.compiled import require
from dnsd.model.octet_column import Numbers, OctetColumn

try:
    require("dnsd.model._columns")
    from dnsd.model._columns import chosen
except ImportError:  # no compiler was found
    from dnsd.model.plain_columns import chosen

SAMPLE = 4096  # numbers that are looked at first

T = TypeVar("T")


class ItemRun(NamedTuple):
    """Old items from `start` to `stop`, and the new ones from `first` to `last` in their place."""

    start: int
    stop: int
    first: int
    last: int


class Runs:
    """Runs in order that do not overlap, and the number of old items."""

    def __init__(self, runs: Sequence[ItemRun], size: int) -> None:
        self.runs = runs
        self._size = size
        self._stops = [run.stop for run in runs]
        growths = [run.last - run.first - (run.stop - run.start) for run in runs]
        self._moves = [0, *accumulate(growths)]  # of items after so many runs
        self._moves_any = any(growth and run.stop < size for growth, run in zip(growths, runs, strict=True))

    @property
    def count(self) -> int:
        """The number of items that go and come."""
        return sum(run.stop - run.start + run.last - run.first for run in self.runs)

    def _pieces(self) -> Iterator[tuple[bool, int, int]]:
        """The parts of the result in order: whether the items are new, and from where to where."""
        at = 0
        for start, stop, first, last in self.runs:
            yield False, at, start
            yield True, first, last
            at = stop
        yield False, at, self._size

    def octets(self, old: OctetColumn, new: OctetColumn) -> OctetColumn:
        """The column after the runs."""
        return OctetColumn.joined([(new if is_new else old, start, stop) for is_new, start, stop in self._pieces()])

    def numbers(self, old: Numbers, new: Numbers) -> array[int]:
        """The column of numbers after the runs."""
        numbers = array("I")
        for is_new, start, stop in self._pieces():
            numbers.frombytes(bytes((new if is_new else old)[start:stop]))
        return numbers

    def gone(self, old: Sequence[T]) -> set[T]:
        """The old items that are replaced."""
        return {item for start, stop, _, _ in self.runs for item in old[start:stop]}

    def put(self, new: Sequence[T]) -> set[T]:
        """The new items."""
        return {item for _, _, first, last in self.runs for item in new[first:last]}

    def moved(self, index: int) -> int:
        """The new index of an old item that stays."""
        return index + self._moves[bisect_right(self._stops, index)]

    def by_index(self, old: Mapping[int, T], new: Mapping[int, T]) -> dict[int, T]:
        """The values of items by their index after the runs."""
        if self._moves_any:
            found = {self.moved(index): value for index, value in old.items() if not self._is_replaced(index)}
        elif old:
            found = dict(old)
            for index in [index for start, stop, _, _ in self.runs for index in range(start, stop) if index in old]:
                del found[index]
        else:
            found = {}
        if new:
            for number, (start, _, first, last) in enumerate(self.runs):
                more = start + self._moves[number] - first
                found.update((index + more, new[index]) for index in range(first, last) if index in new)
        return found

    def _is_replaced(self, index: int) -> bool:
        number = bisect_right(self._stops, index)
        return number < len(self.runs) and self.runs[number].start <= index


def values_between(values: Mapping[int, T], start: int, stop: int) -> dict[int, T]:
    """The values of the items from a start to a stop, by their number from the start."""
    return {index - start: values[index] for index in range(start, stop) if index in values} if values else {}


def without_unused(numbers: array[int], items: tuple[T, ...], lost: Set[int]) -> tuple[array[int], tuple[T, ...]]:
    """Drop the items with the lost numbers, unless these are still among the numbers, and count the others anew."""
    unused = lost - {*numbers[:SAMPLE]}
    if unused:
        are_left = chosen(numbers, bytes(number in unused for number in range(len(items))))
        unused -= {*map(numbers.__getitem__, array("I", are_left))}
    if not unused:
        return numbers, items
    left = [number for number in range(len(items)) if number not in unused]
    if left != [*range(len(left))]:
        new = {number: place for place, number in enumerate(left)}
        numbers = array("I", map(new.__getitem__, numbers))
    return numbers, tuple(map(items.__getitem__, left))
