"""The passes over columns of records, compiled and in Python, find the same."""

from __future__ import annotations

import random
from array import array
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.model import plain_columns
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


@pytest.mark.parametrize("module", MODULES)
@settings(max_examples=examples(300, 3_000))
@given(owners=st.lists(NAMES, max_size=20), shared=st.booleans())
def test_groups(module: object, owners: list[bytes], shared: bool) -> None:
    column = [name if shared else bytes(bytearray(name)) for name in owners]
    octets, most = module.group(column)
    number = Counter(owners)
    assert indexes(octets) == [index for index, name in enumerate(owners) if number[name] > 1]
    assert most == max(number.values(), default=1)
    assert column == owners
    assert len(set(map(id, column))) == len(number)


@pytest.mark.parametrize("module", MODULES)
@settings(max_examples=examples(300, 3_000))
@given(rows=st.lists(st.tuples(NAMES, DATA), max_size=20), seed=st.integers())
def test_records_alike(module: object, rows: list[tuple[bytes, bytes]], seed: int) -> None:
    owners, rdatas = tuple(name for name, _ in rows), tuple(data for _, data in rows)
    rng = random.Random(seed)
    grouped = array("I", [index for index in range(len(rows)) if rng.random() < 0.8])
    seen: set[tuple[bytes, bytes]] = set()
    expected = []
    for index in grouped:
        one = owners[index], rdatas[index].lower()
        if one in seen:
            expected.append(index)
        seen.add(one)
    assert indexes(module.like(owners, rdatas, grouped, KEY)) == expected


@pytest.mark.parametrize("module", MODULES)
@settings(max_examples=examples(300, 3_000))
@given(owners=st.lists(NAMES, max_size=20), zone=NAMES, most=st.integers(0, 5))
def test_names_outside_a_zone(module: object, owners: list[bytes], zone: bytes, most: int) -> None:
    expected = [index for index, name in enumerate(owners) if name != zone and not is_below(name, zone)]
    assert indexes(module.outside(tuple(owners), zone, most)) == expected[:most]


@pytest.mark.parametrize("module", COMPILED)
def test_other_columns_are_refused(module: object) -> None:
    name = b"\0"
    for call in (
        lambda: module.group((name,)),
        lambda: module.group(["a"]),
        lambda: module.group([name, None]),
        lambda: module.like((name,), (name,), array("I", [1]), KEY),
        lambda: module.like((name,), (), array("I"), KEY),
        lambda: module.like((name,), (name,), array("I", [0]), b"x"),
        lambda: module.like((name,), ("a",), array("I", [0]), KEY),
        lambda: module.like((name,), (bytes(65_536),), array("I", [0]), KEY),
        lambda: module.outside(("a",), name, 1),
        lambda: module.outside([name], name, 1),
    ):
        with pytest.raises((TypeError, ValueError)):
            call()


@pytest.mark.parametrize("module", COMPILED)
def test_names_that_are_not_well_formed_end_the_search(module: object) -> None:
    for name in (b"", b"\xff", b"\x05ab", b"\1a", b"\0\0\0"):
        assert indexes(module.outside((name,), b"\1a\0", 9)) == [0]
