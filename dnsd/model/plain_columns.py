"""Passes over all records of a zone, for systems without _columns.c, which does the same."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import compress, count, islice

from dnsd.wire.names import is_below

BLOCK = 1000  # names compared at once


def group(owners: list[bytes]) -> tuple[bytes, int]:
    """The indexes of records that share their owner with others, and the largest number of records of one owner.

    Indexes take 4 octets each. Equal owners in the list become one object.
    """
    first = list(dict.fromkeys(owners))
    shared = {owners[index] for index in _repeats(owners, first)}
    if not shared:
        return b"", 1
    grouped = array("I", compress(count(), map(shared.__contains__, owners)))
    one: dict[bytes, bytes] = {}
    for index in grouped:
        owners[index] = one.setdefault(owners[index], owners[index])
    return grouped.tobytes(), max(Counter(map(owners.__getitem__, grouped)).values())


def _repeats(owners: list[bytes], first: list[bytes]) -> Iterator[int]:
    """The indexes of repeated owners; `first` has each owner once, in the same order."""
    index = at = 0
    while at < len(first):
        if owners[index : index + BLOCK] == first[at : at + BLOCK]:  # most blocks of a large zone have no repeats
            index, at = index + BLOCK, at + BLOCK
            continue
        for owner in owners[index : index + BLOCK]:
            if at < len(first) and owner is first[at]:
                at += 1
            else:
                yield index
            index += 1
    yield from range(index, len(owners))


def like(owners: Sequence[bytes], rdatas: Sequence[bytes], grouped: array[int], key: bytes) -> bytes:
    """Of the records at the indexes `grouped`, those that may repeat one before.

    Their owner and data are equal but for the case of letters. `key` is for the hash of _columns.c.
    """
    named, data = map(owners.__getitem__, grouped), map(rdatas.__getitem__, grouped)
    numbers = list(map(hash, zip(named, map(bytes.lower, data), strict=True)))
    if len(set(numbers)) == len(numbers):
        return b""
    seen: set[int] = set()
    found = array("I")
    for index, number in zip(grouped, numbers, strict=True):
        if number in seen:
            found.append(index)
        seen.add(number)
    return found.tobytes()


def outside(owners: Sequence[bytes], name: bytes, most: int) -> bytes:
    """The indexes of owners that are neither `name` nor below it, the first `most` of them."""
    found = (
        index
        for index, owner in enumerate(owners)
        if owner[1 + owner[0] :] != name != owner and not is_below(owner, name)
    )
    return array("I", islice(found, most)).tobytes()
