"""Things by domain name."""

from __future__ import annotations

import pytest

from dnsd.compile.nearby import Nearby
from dnsd.wire.names import parse_name_text

NAMES = ("example", "a.example", "b.a.example", "b.example", "xa.example", "other")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.example", {"example", "a.example", "b.a.example"}),
        ("example", {"example", "a.example", "b.a.example", "b.example", "xa.example"}),
        ("c.b.a.example", {"example", "a.example", "b.a.example"}),
        ("c.example", {"example"}),
        ("elsewhere", set()),
        (".", set(NAMES)),
    ],
)
def test_things_around_a_name_are_at_it_above_it_and_below_it(name: str, expected: set[str]) -> None:
    known = Nearby[str]()
    for one in NAMES:
        known.add(parse_name_text(one), one)
    found = list(known.around(parse_name_text(name)))
    assert set(found) == expected
    assert len(found) == len(expected)
