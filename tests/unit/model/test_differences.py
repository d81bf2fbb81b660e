"""The differences of two lists of records cost what differs."""

from __future__ import annotations

from collections.abc import Callable

from dnsd.model.columns import Records
from dnsd.model.differences import NEAR, differences
from dnsd.model.records import Record
from tests.limits import growth

RECORDS, DIFFERENT = 10_000, 3_900


def hosts(first: int, count: int) -> list[Record]:
    return [
        Record(b"\x08h%07d\x07example\0" % number, 1, 300, number.to_bytes(4)) for number in range(first, first + count)
    ]


def with_blocks(old: list[Record], size: int) -> list[Record]:
    """The records, with so many new ones before each of the first: DIFFERENT in all."""
    found: list[Record] = []
    for number, record in enumerate(old):
        if number < DIFFERENT // size:
            found += hosts(1_000_000 + number * size, size)
        found.append(record)
    return found


def test_gaps_cost_no_more_than_the_records_in_them() -> None:
    old = hosts(0, RECORDS)
    before = Records.of(old)
    after = {size: Records.of(with_blocks(old, size)) for size in (NEAR - 1, NEAR + 1)}

    def comparing(size: int) -> Callable[[], object]:
        return lambda: differences(after[size], before, DIFFERENT)

    for size, records in after.items():
        found = differences(records, before, DIFFERENT)
        assert found
        assert [len(new) for new, _ in found] == [size] * (DIFFERENT // size)
        assert not any(was for _, was in found)
    assert growth(comparing, NEAR - 1, NEAR + 1, enough=10) <= 10  # 80 if each gap looked at all of DIFFERENT
