"""Rows made from columns of records: compiled and in Python, they are those made name by name."""

from __future__ import annotations

from array import array
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.engine import entry
from dnsd.engine.entry import PLAIN, SPECIAL, Treatment, row
from dnsd.model.octet_column import OctetColumn
from tests.limits import examples

try:
    from dnsd.engine import _rows
except ImportError:  # no compiler was found
    COMPILED = []
else:
    COMPILED = [_rows]
MODULES = [entry, *COMPILED]

TREATMENTS: list[Treatment] = [
    (PLAIN, 256, 1, 300, False),
    (PLAIN, 256, 1, 60, False),
    (PLAIN, 256, 16, 2**32 - 1, False),
    (SPECIAL, 259, 5, 300, False),
    (PLAIN, 257, 0, 0, True),
]
NAMES = st.sampled_from([b"\0", b"\1a\0", b"\2ab\1z\0", b"x" * 255])
DATA = st.sampled_from([b"", b"a", b"ab", b"abc", b"x" * 65_522, b"x" * 65_523, b"x" * 65_535])
RECORDS = st.lists(st.tuples(st.integers(0, len(TREATMENTS) - 1), st.booleans(), DATA), min_size=1, max_size=5)
Records = list[tuple[int, bool, bytes]]


def one_row(name: bytes, records: Records) -> bytes:
    found: dict[int, list[tuple[int, bytes]]] = {}
    flags, kind = TREATMENTS[records[0][0]][:2]
    for number, is_ruled, data in records:
        own, _, rtype, ttl, is_hidden = TREATMENTS[number]
        flags = SPECIAL if is_ruled or own == SPECIAL else flags
        if not is_hidden:
            found.setdefault(rtype, []).append((ttl, data))
    sets = []
    for rtype, of_type in found.items():
        ttl = min(ttl for ttl, _ in of_type).to_bytes(4)
        body = (b"\xc0\x0c" + rtype.to_bytes(2) + b"\0\1" + ttl + len(one).to_bytes(2) + one for _, one in of_type)
        sets.append((rtype, len(of_type), b"".join(body)))
    return row(flags, kind, name, sets)


def made(module: object, names: list[tuple[bytes, Records]], **other: object) -> bytes:
    """The rows, from columns in which the records stand in reverse."""
    records = [(name, *one) for name, of_name in names for one in of_name][::-1]
    order = array("I", range(len(records) - 1, -1, -1))
    owners, rdatas = OctetColumn.of([one[0] for one in records]), OctetColumn.of([one[3] for one in records])
    given = {
        "owners": owners.octets,
        "owner_ends": owners.ends,
        "rdatas": rdatas.octets,
        "rdata_ends": rdatas.ends,
        "traits": array("I", [one[1] for one in records]),
        "special": bytes(one[2] for one in records),
        "order": order,
        "ends": array("I", accumulate(len(of_name) for _, of_name in names)),
        "treatments": TREATMENTS,
    }
    return module.rows(*(given | other).values())


@pytest.mark.parametrize("module", MODULES)
@settings(max_examples=examples(300, 3_000), deadline=None)
@given(names=st.lists(st.tuples(NAMES, RECORDS), max_size=4))
def test_rows_are_those_of_each_name(module: object, names: list[tuple[bytes, Records]]) -> None:
    assert made(module, names) == b"".join(one_row(*one) for one in names)
    single = [(name, records[:1]) for name, records in names]
    assert made(module, single, ends=None) == made(module, single)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    ("name", "data", "other"),
    [
        (b"x" * 256, b"", {}),
        (b"\0", b"x" * 65_536, {}),
        (b"\0", b"", {"ends": array("I", [0])}),
        (b"\0", b"", {"ends": array("I", [1, 1])}),
    ],
    ids=["name", "data", "no record", "none left"],
)
def test_what_does_not_fit_into_rows_is_refused(module: object, name: bytes, data: bytes, other: object) -> None:
    with pytest.raises(ValueError, match="do not fit into rows"):
        made(module, [(name, [(0, False, data)])], **other)  # type: ignore[arg-type]


@pytest.mark.parametrize("module", COMPILED)
@pytest.mark.parametrize(
    "other",
    [
        {"traits": array("I", [9])},
        {"traits": b""},
        {"special": b""},
        {"order": array("I", [7])},
        {"order": b"\0"},
        {"order": b""},
        {"owner_ends": array("I", [9])},
        {"rdata_ends": array("I", [9])},
        {"treatments": []},
        {"treatments": [None]},
    ],
    ids=lambda other: " ".join(f"{key} {value!r}" for key, value in other.items()),
)
def test_columns_that_do_not_belong_together_are_refused(module: object, other: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"rows|column"):
        made(module, [(b"\1a\0", [(0, False, b"data")])], **other)
