"""The places where two lists of records differ, if these are few. Equal records are compared many at a time."""

from __future__ import annotations

from array import array
from typing import TypeAlias

from dnsd.model.columns import NO_INDEX, Records

STEP = 4096  # records compared at once
NEAR = 16  # records after a difference that are looked at first for the next one alike
WIDER = 4  # times as many are looked at then: the work is that of the records that differ

Key: TypeAlias = tuple[bytes, bytes, int]  # owner, data, number of the traits


def differences(new: Records, old: Records, most: int) -> list[tuple[range, range]] | None:
    """Where records differ in owner, data or traits: the indexes in `new`, and those in `old` in their place.

    None if more than `most` records differ on either side, or if too many are far from their places.
    """
    comparison = _RecordComparison(new, old)
    found: list[tuple[range, range]] = []
    at, was, left, gone = 0, 0, most, most
    while True:
        same = comparison.alike(at, was)
        at, was = at + same, was + same
        if at == len(new) and was == len(old):
            return found
        within = NEAR
        while (after := comparison.next_alike(at, was, within)) is None and within <= most:
            within = min(WIDER * within, most + 1)
        if after is None:
            return None
        found.append((range(at, after[0]), range(was, after[1])))
        left, gone = left - (after[0] - at), gone - (after[1] - was)
        if left < 0 or gone < 0:
            return None
        at, was = after


def are_same_but(rtype: int, new: Records, old: Records) -> bool:
    """Whether both have the same records in the same places, but for the data of those of one type."""
    if new is old:
        return True
    if len(new) != len(old) or not new.has_traits_of(old) or new.owners != old.owners:
        return False
    ends = [*new.of_types((rtype,)), len(new)]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return all(new.rdatas.is_same(start, end, old.rdatas, start) for start, end in zip(starts, ends, strict=True))


class _RecordComparison:
    """The columns of two lists of records, with the same numbers for the same traits."""

    def __init__(self, new: Records, old: Records) -> None:
        self._new, self._old = new, old
        self._own_numbers = _own_numbers(new, old)
        traits = old.traits
        if any(number != place for place, number in enumerate(self._own_numbers)):
            traits = array("I", map(self._own_numbers.__getitem__, old.traits))
        self._was_traits = traits

    def alike(self, at: int, was: int) -> int:
        """How many records are alike, from these indexes on."""
        most, found, step = min(len(self._new) - at, len(self._old) - was), 0, NEAR
        while found < most:
            size = min(step, most - found)
            if self._are_alike(at + found, was + found, size):
                found += size
                step = min(STEP, 2 * step)
            elif size == 1:
                break
            else:
                step, most = max(1, size // 2), found + size
        return found

    def _are_alike(self, at: int, was: int, size: int) -> bool:
        new, old = self._new, self._old
        return (
            new.traits[at : at + size] == self._was_traits[was : was + size]
            and new.rdatas.is_same(at, at + size, old.rdatas, was)
            and new.owners.is_same(at, at + size, old.owners, was)
        )

    def next_alike(self, at: int, was: int, within: int) -> tuple[int, int] | None:
        """The next indexes with records alike, or both ends; None if they are not `within` so many records."""
        ends = len(self._new), len(self._old)
        places: dict[Key, int] = {}
        for index in range(was, min(was + within, ends[1])):
            places.setdefault((self._old.owners[index], self._old.rdatas[index], self._was_traits[index]), index)
        for index in range(at, min(at + within, ends[0])):
            key = self._new.owners[index], self._new.rdatas[index], self._new.traits[index]
            if key in places:
                return index, places[key]
        return ends if ends[0] - at < within and ends[1] - was < within else None


def _own_numbers(new: Records, old: Records) -> list[int]:
    """For each of the old traits, its number in the new records."""
    own = {traits: number for number, traits in enumerate(new.distinct)}
    return [own.get(traits, NO_INDEX) for traits in old.distinct]
