"""Records in columns equal the records that were put in."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.model import columns, plain_columns
from dnsd.model.columns import Columns, Records
from dnsd.model.octet_column import OctetColumn
from dnsd.model.records import Identity, Record, RecordSettings
from dnsd.model.runs import ItemRun

NAMES = [b"\1a\0", b"\1b\0", b"\1c\1a\0"]
records = st.builds(
    Record,
    owner=st.sampled_from(NAMES).map(lambda name: bytes(bytearray(name))),  # equal, and not the same object
    rtype=st.sampled_from([1, 28]),
    ttl=st.sampled_from([1, 60]),
    rdata=st.sampled_from([b"\0\0\0\1", b"\0\0\0\2"]),
    proxied=st.booleans(),
    settings=st.sampled_from([RecordSettings(), RecordSettings(ipv4_only=True)]),
    comment=st.sampled_from(["", "x"]),
    tags=st.sampled_from([(), ("t",)]),
)
lists = st.lists(records, max_size=12)
identified = st.builds(
    replace, records, identity=st.sampled_from([Identity(), Identity("ab" * 16), Identity("cd" * 16)])
)
items = st.lists(st.sampled_from([b"", b"a", b"ab", b"ba"]), max_size=8)


@given(lists, lists)
def test_columns_hold_the_records_in_their_order(first: list[Record], second: list[Record]) -> None:
    both = Records.of(first).followed_by(second)
    assert list(both) == [*first, *second] == list(both[:])
    assert both == Records.of([*first, *second])
    assert hash(both) == hash(Records.of([*first, *second]))
    by_name = {name: [i for i, one in enumerate(both) if one.owner == name] for name in NAMES}
    order, ends = both.together(both.grouped)
    groups = [list(order[start:end]) for start, end in pairwise([0, *ends])]
    assert sorted(groups) == sorted(indexes for indexes in by_name.values() if len(indexes) > 1)
    assert both.at(NAMES[0]) == [one for one in both if one.owner == NAMES[0]]
    assert list(both.of_types({28})) == [index for index, one in enumerate(both) if one.rtype == 28]
    assert list(both.owners_and_types()) == [(one.owner, one.rtype) for one in both]


@given(lists, lists)
def test_equal_records_make_equal_columns(first: list[Record], second: list[Record]) -> None:
    assert (Records.of(first) == Records.of(second)) == (first == second)
    assert Records.of(first).without({0, 2}) == Records.of([one for i, one in enumerate(first) if i not in (0, 2)])


@given(lists.filter(bool))
def test_another_record_makes_other_columns(some: list[Record]) -> None:
    changed = [*some[:-1], replace(some[-1], ttl=7)]
    assert Records.of(some) != Records.of(changed)


@given(lists, lists)
def test_names_and_types_are_compared(first: list[Record], second: list[Record]) -> None:
    one, other = Records.of(first), Records.of(second)
    assert one.has_names_of(other) is ([*one.owners_and_types()] == [*other.owners_and_types()])
    again = Records.of(replace(record, ttl=7) for record in first)
    assert one.has_names_of(one)
    assert one.has_names_of(again)


@given(lists, lists, st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_spliced_records_are_those_of_their_lists(
    old: list[Record], new: list[Record], start: int, stop: int, end: int
) -> None:
    end = min(end, len(old))
    start, stop = sorted((min(start, end), min(stop, end)))
    found = Records.of(old).spliced(start, stop, end, Records.of(new))
    expected = Records.of([*old[:start], *new, *old[stop:end]])
    assert list(found) == list(expected)
    assert (found, list(found.grouped)) == (expected, list(expected.grouped))
    assert found.most_of_a_name == expected.most_of_a_name
    assert {*found.distinct} == {one.traits for one in expected}


@given(st.lists(identified, max_size=12), st.sets(st.integers(0, 12)), st.integers(1, 3))
def test_columns_packed_in_between_hold_the_same(given: list[Record], packed_at: set[int], at_least: int) -> None:
    made = Columns()
    for index, one in enumerate(given):
        if index in packed_at:
            made.pack(at_least=at_least)
        made.add(one)
    found = made.records()
    assert list(found) == given
    assert found == Records.of(given)
    assert not made.owners


@st.composite
def replacements(draw: st.DrawFn) -> tuple[list[Record], list[Record], list[ItemRun]]:
    """Some records, new ones, and runs of these that take the place of others."""
    old, new = (draw(st.lists(records | identified, max_size=12)) for _ in range(2))
    count = draw(st.integers(0, 3))
    places, of_new = (sorted(draw(st.integers(0, len(some))) for _ in range(2 * count)) for some in (old, new))
    runs = [ItemRun(*places[at : at + 2], *of_new[at : at + 2]) for at in range(0, 2 * count, 2)]
    return old, new, runs


@given(st.lists(identified, max_size=6), st.lists(identified, max_size=6))
def test_columns_are_empty_once_their_records_are_made(first: list[Record], second: list[Record]) -> None:
    made = Columns()
    found = []
    for some in (first, second):
        for record in some:
            made.add(record)
        found.append(made.records())
    assert [list(one) for one in found] == [first, second]
    assert found[1].distinct == Records.of(second).distinct


@given(replacements(), st.sampled_from([0, 8]))
def test_runs_take_the_place_of_others_as_in_lists(
    given: tuple[list[Record], list[Record], list[ItemRun]], few_names: int
) -> None:
    old, new, runs = given
    before = Records.of(old)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "FEW_NAMES", few_names)
        patch.setattr(columns, "MANY_CHANGED", 1 + few_names)
        found = before.replaced(runs, Records.of(new))
    for start, stop, first, last in reversed(runs):
        old[start:stop] = new[first:last]
    expected = Records.of(old)
    assert list(found) == old
    assert (found, list(found.grouped)) == (expected, list(expected.grouped))
    assert found.most_of_a_name == expected.most_of_a_name
    assert {*found.distinct} == {*expected.distinct}
    assert before.replaced([ItemRun(0, len(before), 0, len(before))], Records.of(before[:])) is before


def test_ends_of_many_octets_are_numbers_of_8_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_columns, "WIDE", 10)
    items = [b"abc", b"", b"defghi", b"jklm"]
    octets, ends = plain_columns.pack(items)
    assert ends == array("Q", [3, 3, 9, 13]).tobytes()
    assert plain_columns.cut(octets, ends, 1, 4) == items[1:]
    assert plain_columns.moved(octets, ends, 2, 4, 0, False) == array("I", [6, 10]).tobytes()


def test_many_records_go_without_a_piece_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of 1 MiB may repeat a record a hundred thousand times; a piece costs as much as several records."""
    pieces: list[int] = []
    joined = OctetColumn.joined

    def counted(parts: Sequence[tuple[OctetColumn, int, int]]) -> OctetColumn:
        pieces.append(len(parts))
        return joined(parts)

    monkeypatch.setattr(OctetColumn, "joined", counted)
    records = Records.of(Record(NAMES[number % 3], 1, 300, number.to_bytes(4)) for number in range(3_000))
    for gone in (range(1, 3_000), range(0, 3_000, 2)):
        left = records.without(gone)
        assert [*left] == [one for index, one in enumerate(records) if index not in gone]
    assert sum(pieces) <= 3_000
    few = records.without([7, 8, 2_000])
    assert len(few) == 2_997
