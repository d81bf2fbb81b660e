"""Passes over all records of a zone, for systems without _columns.c, which does the same.

A column is the octets of all records, and the end of each one's octets: numbers of 4 octets, or of 8 if there are too
many octets. Indexes take 4 octets each.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, chain, compress, count, islice, repeat
from typing import TypeAlias

from dnsd.wire.names import is_below

WIDE = 2**32
FEW = 16  # of so many items, one has octets that are looked for

Buffer: TypeAlias = "bytes | memoryview | array[int]"


def pack(items: list[bytes]) -> tuple[bytes, bytes]:
    """A column of these octets, as its octets and ends."""
    octets = b"".join(items)
    return octets, array(_form(len(octets)), accumulate(map(len, items))).tobytes()


def cut(octets: Buffer, ends: Buffer, start: int, stop: int) -> list[bytes]:
    """The items from a start to a stop."""
    numbers, cuts = _ends(octets, ends), memoryview(octets)
    if start < stop and not 0 <= start < stop <= len(numbers):
        raise ValueError("a column has octets for each record")
    begin = numbers[start - 1] if start else 0
    found = []
    for end in numbers[start:stop]:
        found.append(bytes(cuts[begin:end]))
        begin = end
    return found


def pick(octets: Buffer, ends: Buffer, indexes: Buffer) -> list[bytes]:
    """The items at these indexes."""
    numbers, cuts = _ends(octets, ends), memoryview(octets)
    wanted = memoryview(indexes).cast("B").cast("I")
    return [bytes(cuts[numbers[index - 1] if index else 0 : numbers[index]]) for index in wanted]


def moved(octets: Buffer, ends: Buffer, start: int, stop: int, base: int, is_wide: bool) -> bytes:
    """The ends of these items if they begin at `base`, as numbers of 8 octets or of 4."""
    numbers = _ends(octets, ends)
    if not 0 <= start <= stop <= len(numbers):
        raise ValueError("no such items")
    by = base - (numbers[start - 1] if start else 0)
    return array("Q" if is_wide else "I", map(int.__add__, numbers[start:stop], repeat(by))).tobytes()


def places(octets: Buffer, ends: Buffer, wanted: bytes) -> bytes:
    """The indexes of the items that equal `wanted`."""
    cuts, numbers = memoryview(octets), _ends(octets, ends)
    sizes = map(int.__sub__, numbers, chain((0,), numbers))
    found = compress(count(), map(len(wanted).__eq__, sizes))  # no other item is made
    return array("I", (one for one in found if cuts[numbers[one] - len(wanted) : numbers[one]] == wanted)).tobytes()


def starting(octets: Buffer, ends: Buffer, beginning: bytes) -> bytes:
    """The indexes of the items that begin like this."""
    text, numbers = bytes(octets), _ends(octets, ends)
    if not beginning or FEW * text.count(beginning) > len(numbers):
        found: Iterator[int] = (at for at, item in enumerate(_items(octets, ends)) if item.startswith(beginning))
    else:
        found = _starting(text, numbers, beginning)
    return array("I", found).tobytes()


def _starting(text: bytes, ends: memoryview, beginning: bytes) -> Iterator[int]:
    """The same where few items have these octets at all."""
    at = text.find(beginning)
    while at >= 0:
        index = bisect_right(ends, at)  # the first item that ends behind it
        start = ends[index - 1] if index else 0
        if start == at and at + len(beginning) <= ends[index]:
            yield index
        at = text.find(beginning, at + 1)


def ending(octets: Buffer, ends: Buffer, indexes: Buffer, end: bytes) -> bytes:
    """Of these indexes, those of items that end like this but for the case of letters; `end` is in lower case."""
    wanted = memoryview(indexes).cast("B").cast("I")
    found = zip(wanted, pick(octets, ends, indexes), strict=True)
    return array("I", (index for index, item in found if item.lower().endswith(end))).tobytes()


def set_marks(marks: bytearray, indexes: Buffer, bits: int) -> None:
    """Set these bits of the octets at these indexes."""
    try:
        for index in memoryview(indexes).cast("B").cast("I"):
            marks[index] |= bits
    except IndexError:
        raise ValueError("no such mark") from None


def marked(marks: bytearray, wanted: bytes) -> bytes:
    """The indexes of the octets at which `wanted`, of 256 octets, has one that is not 0."""
    if len(wanted) != 256:
        raise ValueError("`wanted` has 256 octets")
    return array("I", compress(count(), marks.translate(wanted))).tobytes()


def chosen(numbers: Buffer, wanted: bytes) -> bytes:
    """The indexes of the numbers, of 4 octets each, at which `wanted` has an octet that is not 0."""
    try:
        return array("I", compress(count(), map(wanted.__getitem__, memoryview(numbers).cast("B").cast("I")))).tobytes()
    except IndexError:
        raise ValueError("`wanted` has an octet for each number") from None


def larger(octets: Buffer, ends: Buffer, size: int) -> bytes:
    """The indexes of the items with more octets than `size`."""
    found, begin = array("I"), 0
    for index, end in enumerate(_ends(octets, ends)):
        if end - begin > size:
            found.append(index)
        begin = end
    return found.tobytes()


def group(octets: Buffer, ends: Buffer, key: bytes) -> tuple[bytes, int]:
    """The indexes of records that share their owner with others, and the largest number of records of one owner.

    `key` is for the hash of _columns.c.
    """
    numbers = Counter(_items(octets, ends))
    most = max(numbers.values(), default=1)
    if most == 1:
        return b"", 1
    shared = {owner for owner, number in numbers.items() if number > 1}
    return array("I", (index for index, owner in enumerate(_items(octets, ends)) if owner in shared)).tobytes(), most


def together(octets: Buffer, ends: Buffer, indexes: Buffer, key: bytes) -> tuple[bytes, bytes]:
    """These indexes name by name, and where each name's end; names in the order of their first records."""
    found: dict[bytes, list[int]] = {}
    for index, owner in zip(memoryview(indexes).cast("B").cast("I"), pick(octets, ends, indexes), strict=True):
        found.setdefault(owner, []).append(index)
    stops = array("I", accumulate(map(len, found.values())))
    return array("I", chain.from_iterable(found.values())).tobytes(), stops.tobytes()


def like(owners: Buffer, owner_ends: Buffer, rdatas: Buffer, rdata_ends: Buffer, grouped: Buffer, key: bytes) -> bytes:
    """Of the records at the indexes `grouped`, those that may repeat one before.

    Their owner and data are equal but for the case of letters. `key` is for the hash of _columns.c.
    """
    named, data = pick(owners, owner_ends, grouped), pick(rdatas, rdata_ends, grouped)
    numbers = list(map(hash, zip(named, map(bytes.lower, data), strict=True)))
    if len(set(numbers)) == len(numbers):
        return b""
    seen: set[int] = set()
    found = array("I")
    for index, number in zip(memoryview(grouped).cast("B").cast("I"), numbers, strict=True):
        if number in seen:
            found.append(index)
        seen.add(number)
    return found.tobytes()


def outside(octets: Buffer, ends: Buffer, name: bytes, most: int) -> bytes:
    """The indexes of owners that are neither `name` nor below it, the first `most` of them."""
    found = (
        index
        for index, owner in enumerate(_items(octets, ends))
        if owner[1 + owner[0] :] != name != owner and not is_below(owner, name)
    )
    return array("I", islice(found, most)).tobytes()


def _form(size: int) -> str:
    """The form of the ends of so many octets."""
    return "I" if size < WIDE else "Q"


def _ends(octets: Buffer, ends: Buffer) -> memoryview:
    return memoryview(ends).cast("B").cast(_form(memoryview(octets).nbytes))  # type: ignore[call-overload,no-any-return]


def _items(octets: Buffer, ends: Buffer) -> Iterator[bytes]:
    cuts, begin = memoryview(octets), 0
    for end in _ends(octets, ends):
        yield bytes(cuts[begin:end])
        begin = end
