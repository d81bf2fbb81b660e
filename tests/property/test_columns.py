"""The passes over columns of records, compiled and in Python, find the same."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.model import plain_columns
from dnsd.model.octet_column import OctetColumn
from dnsd.wire.names import is_below
from tests.limits import examples

try:
    from dnsd.model import _columns
except ImportError:  # no compiler was found
    COMPILED = []
else:
    COMPILED = [_columns]
MODULES = [plain_columns, *COMPILED]
KEY = bytes(range(16))

LABELS = st.sampled_from([b"\1a", b"\1b", b"\1*", b"\3x-\1", b"\2\1a", b"\7example"])
NAMES = st.lists(LABELS, max_size=4).map(lambda labels: b"".join(labels) + b"\0")
DATA = st.sampled_from([b"", b"a", b"A", b"ab", b"aB", b"\xc4", b"\xe4", b"@", b"`", b"x" * 300, b"X" * 300])


def indexes(octets: bytes) -> list[int]:
    return list(array("I", octets))


Column = tuple[bytes, bytes]  # octets and ends


@pytest.mark.parametrize("module", MODULES)
@settings(max_examples=examples(300, 3_000))
@given(items=st.lists(st.one_of(NAMES, DATA), max_size=20), seed=st.integers())
def test_columns_hold_octets(module: object, items: list[bytes], seed: int) -> None:
    column = module.pack(items)
    assert column == (b"".join(items), array("I", accumulate(map(len, items))).tobytes())
    rng = random.Random(seed)
    start, stop = sorted(rng.choices(range(len(items) + 1), k=2))
    assert module.cut(*column, start, stop) == items[start:stop]
    assert module.cut(*column, stop, start) == []
    some = array("I", [rng.randrange(len(items)) for _ in range(5)] if items else [])
    assert module.pick(*column, some) == [items[index] for index in some]
    wanted = rng.choice([*items, b"\7nowhere\0"])
    assert indexes(module.places(*column, wanted)) == [index for index, item in enumerate(items) if item == wanted]
    begin = rng.choice([*items, b""])[:2]
    assert indexes(module.starting(*column, begin)) == [i for i, item in enumerate(items) if item.startswith(begin)]
    end = wanted[-2:].lower()
    alike = [index for index in some if items[index].lower().endswith(end)]
    assert indexes(module.ending(*column, some, end)) == alike
    marks = bytearray(b"\4" * len(items))
    module.set_marks(marks, some, 3)
    assert marks == bytes(7 if index in some else 4 for index in range(len(items)))
    assert indexes(module.marked(marks, bytes(number == 7 for number in range(256)))) == sorted({*some})
    numbers = array("I", [rng.randrange(3) for _ in items])
    assert indexes(module.chosen(numbers, b"\0\1\1")) == [index for index, number in enumerate(numbers) if number]
    size = rng.choice([0, 1, 3, 200])
    assert indexes(module.larger(*column, size)) == [index for index, item in enumerate(items) if len(item) > size]
    ends = accumulate(map(len, items[start:stop]), initial=7)
    assert module.moved(*column, start, stop, 7, True) == array("Q", [*ends][1:]).tobytes()


@settings(max_examples=examples(300, 3_000))
@given(items=st.lists(NAMES, max_size=12), others=st.lists(NAMES, max_size=12), seed=st.integers())
def test_columns_are_sequences(items: list[bytes], others: list[bytes], seed: int) -> None:
    column, other, rng = OctetColumn.of(items), OctetColumn.of(others), random.Random(seed)
    assert (list(column), len(column), column == items) == (items, len(items), True)
    assert (column == other, column == others) == (items == others, items == others)
    start, stop = sorted(rng.choices(range(len(items) + 1), k=2))
    joined = OctetColumn.joined(((column, 0, start), (other, 0, len(others)), (column, stop, len(items))))
    assert list(joined) == [*items[:start], *others, *items[stop:]]
    assert joined.is_same(start, start + len(others), other, 0)
    assert not column.is_same(0, len(items) + 1, column, 0)
    for step in (1, 2, -1):
        assert column[start:stop:step] == items[start:stop:step]
    for index in range(-len(items), len(items)):
        assert column[index] == items[index]
        assert (column.index(items[index]), column.count(items[index])) == (
            items.index(items[index]),
            items.count(items[index]),
        )
    place = rng.randrange(len(others) + 1)
    size = rng.randrange(len(items) + 1)
    expected = items[:size] == others[place : place + size]
    assert column.is_same(0, size, other, place) is expected


@pytest.mark.parametrize("module", MODULES)
@settings(max_examples=examples(300, 3_000))
@given(owners=st.lists(NAMES, max_size=20))
def test_groups(module: object, owners: list[bytes]) -> None:
    octets, most = module.group(*module.pack(owners), KEY)
    number = Counter(owners)
    assert indexes(octets) == [index for index, name in enumerate(owners) if number[name] > 1]
    assert most == max(number.values(), default=1)


@pytest.mark.parametrize("module", MODULES)
@settings(max_examples=examples(300, 3_000))
@given(owners=st.lists(NAMES, max_size=20), seed=st.integers())
def test_records_name_by_name(module: object, owners: list[bytes], seed: int) -> None:
    rng, expected = random.Random(seed), dict[bytes, list[int]]()
    some = array("I", [index for index in range(len(owners)) if rng.random() < 0.8])
    for index in some:
        expected.setdefault(owners[index], []).append(index)
    order, ends = module.together(*module.pack(owners), some, KEY)
    assert indexes(order) == [index for of_name in expected.values() for index in of_name]
    assert indexes(ends) == [*accumulate(map(len, expected.values()))]


@pytest.mark.parametrize("module", MODULES)
@settings(max_examples=examples(300, 3_000))
@given(rows=st.lists(st.tuples(NAMES, DATA), max_size=20), seed=st.integers())
def test_records_alike(module: object, rows: list[tuple[bytes, bytes]], seed: int) -> None:
    owners, rdatas = [name for name, _ in rows], [data for _, data in rows]
    rng = random.Random(seed)
    grouped = array("I", [index for index in range(len(rows)) if rng.random() < 0.8])
    seen: set[tuple[bytes, bytes]] = set()
    expected = []
    for index in grouped:
        one = owners[index], rdatas[index].lower()
        if one in seen:
            expected.append(index)
        seen.add(one)
    assert indexes(module.like(*module.pack(owners), *module.pack(rdatas), grouped, KEY)) == expected


@pytest.mark.parametrize("module", MODULES)
@settings(max_examples=examples(300, 3_000))
@given(owners=st.lists(NAMES, max_size=20), zone=NAMES, most=st.integers(0, 5))
def test_names_outside_a_zone(module: object, owners: list[bytes], zone: bytes, most: int) -> None:
    expected = [index for index, name in enumerate(owners) if name != zone and not is_below(name, zone)]
    assert indexes(module.outside(*module.pack(owners), zone, most)) == expected[:most]


@pytest.mark.parametrize("module", COMPILED)
def test_other_columns_are_refused(module: object) -> None:
    one = module.pack([b"\0"])
    damaged: list[Column] = [(b"\0", b"\2\0\0\0"), (b"ab", array("I", [2, 1]).tobytes()), (b"\0", b"\1\0\0")]
    calls = [
        lambda: module.pack((b"\0",)),
        lambda: module.pack(["a"]),
        lambda: module.pack([b"", bytearray(1)]),
        lambda: module.cut(*one, 0, 2),
        lambda: module.cut(*one, -1, 1),
        lambda: module.pick(*one, array("I", [1])),
        lambda: module.moved(*one, 0, 2, 0, False),
        lambda: module.moved(*one, -1, 1, 0, False),
        lambda: module.chosen(array("I", [2]), b"\0\1"),
        lambda: module.ending(*one, array("I", [1]), b""),
        lambda: module.set_marks(bytearray(1), array("I", [1]), 1),
        lambda: module.marked(bytearray(1), b"\1"),
        lambda: module.group(*one, b"x"),
        lambda: module.like(*one, *one, array("I", [1]), KEY),
        lambda: module.like(*one, *module.pack([]), array("I"), KEY),
        lambda: module.like(*one, *one, array("I", [0]), b"x"),
        lambda: module.like(*one, *module.pack([bytes(65_536)]), array("I", [0]), KEY),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError)):
            call()
    for column in damaged:
        for passes in (
            lambda: module.cut(*column, 0, 2),  # noqa: B023
            lambda: module.pick(*column, array("I", [0, 1])),  # noqa: B023
            lambda: module.places(*column, b"x"),  # noqa: B023
            lambda: module.larger(*column, 0),  # noqa: B023
            lambda: module.starting(*column, b"x"),  # noqa: B023
            lambda: module.ending(*column, array("I", [0, 1]), b"x"),  # noqa: B023
            lambda: module.group(*column, KEY),  # noqa: B023
            lambda: module.outside(*column, b"\0", 9),  # noqa: B023
            lambda: module.like(*column, *column, array("I", [0, 1]), KEY),  # noqa: B023
        ):
            with pytest.raises(ValueError):
                passes()


@pytest.mark.parametrize("module", COMPILED)
def test_names_that_are_not_well_formed_end_the_search(module: object) -> None:
    for name in (b"", b"\xff", b"\x05ab", b"\1a", b"\0\0\0"):
        assert indexes(module.outside(*module.pack([name]), b"\1a\0", 9)) == [0]
