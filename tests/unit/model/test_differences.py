"""The differences of two lists of records cost what differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dnsd.model.columns import Records
from dnsd.model.differences import NEAR, are_same_but, differences
from dnsd.model.records import Record
from dnsd.model.runs import ItemRun
from dnsd.wire.rdata import SOA
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


SOA_DATA, OTHER_DATA = b"\0\0" + bytes(20), b"\0\0" + b"\1" * 20
APEX = b"\x07example\0"


@pytest.mark.parametrize(
    ("edit", "is_same"),
    {
        "nothing": (lambda rows: None, True),
        "data of the type": (lambda rows: rows.__setitem__(2, replace(rows[2], rdata=OTHER_DATA)), True),
        "data of another": (lambda rows: rows.__setitem__(1, replace(rows[1], rdata=b"\1\1\1\1")), False),
        "data behind it": (lambda rows: rows.__setitem__(-1, replace(rows[-1], rdata=b"\1\1\1\1")), False),
        "the TTL": (lambda rows: rows.__setitem__(2, replace(rows[2], ttl=60)), False),
        "a name": (lambda rows: rows.__setitem__(0, replace(rows[0], owner=APEX)), False),
        "a record more": (lambda rows: rows.append(rows[0]), False),
        "a record less": (lambda rows: rows.pop(), False),
    }.values(),
)
def test_same_but_for_the_data_of_one_type(edit: Callable[[list[Record]], object], is_same: bool) -> None:
    rows = [*hosts(0, 2), Record(APEX, SOA, 300, SOA_DATA), *hosts(2, 2)]
    edited = list(rows)
    edit(edited)
    assert are_same_but(SOA, Records.of(edited), Records.of(rows)) is is_same
    assert are_same_but(SOA, Records.of(rows), Records.of(edited)) is is_same


def test_same_records_with_traits_in_another_order_are_the_same() -> None:
    rows = hosts(0, 3)
    rows[1] = replace(rows[1], ttl=60)
    other = Records.of([replace(rows[0], ttl=60), *rows[1:]])
    edited = other.replaced([ItemRun(0, 1, 0, 1)], Records.of(rows[:1]))
    assert edited.distinct != Records.of(rows).distinct
    assert are_same_but(SOA, edited, Records.of(rows))
