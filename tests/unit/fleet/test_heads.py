"""Heads come back, and the sum of an account tells every two states apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.fleet.heads import AccountHead, AccountSum, parse_head
from dnsd.fleet.values import ValueFormatError

HEAD = AccountHead("5f0c", 1_764_400_000, AccountSum(3, 2**128 - 1), 4)
GOOD = {"op": "x", "at": 1, "n": 2, "sum": "0" * 32, "first": 2}
WRONG = [
    *({**GOOD, key: value} for key in ("at", "n", "first") for value in (None, -1, 1.5, True, "1")),
    *({**GOOD, "sum": value} for value in (None, 5, "", "0" * 31, "0" * 34, "g" * 32)),
    *({**GOOD, "op": value} for value in (None, 5)),
    {**GOOD, "op": "x" * 5000},
    [GOOD],
    "x",
]
STATES = st.dictionaries(
    st.sampled_from(["dnsd.s.o.a.map.x", "dnsd.s.o.a.map.y", "dnsd.s.o.a.account"]), st.binary(max_size=5)
)


def sum_of(state: dict[str, bytes]) -> AccountSum:
    found = AccountSum()
    for subject, value in state.items():
        found = found.changed(subject, None, value)
    return found


@pytest.mark.parametrize("head", [HEAD, AccountHead("", 0, AccountSum(), 0)])
def test_a_head_comes_back(head: AccountHead) -> None:
    assert parse_head(head.packed()) == head


def test_keys_that_later_versions_add_are_passed_over() -> None:
    assert parse_head(json.dumps({**GOOD, "later": [1]}).encode()) == AccountHead("x", 1, AccountSum(2, 0), 2)


@pytest.mark.parametrize("found", WRONG, ids=range(len(WRONG)))
def test_a_wrong_head_is_refused(found: object) -> None:
    with pytest.raises(ValueFormatError):
        parse_head(json.dumps(found).encode())


@given(st.binary(max_size=100))
def test_any_octets_are_refused_in_words(octets: bytes) -> None:
    with pytest.raises(ValueFormatError):
        parse_head(octets)


@given(STATES, STATES)
def test_changes_of_objects_lead_from_sum_to_sum(old: dict[str, bytes], new: dict[str, bytes]) -> None:
    found = sum_of(old)
    for subject in sorted({*old, *new}):
        found = found.changed(subject, old.get(subject), new.get(subject))
    assert found == sum_of(new)
    assert (sum_of(old) == sum_of(new)) == (old == new)


def test_octets_that_move_between_objects_change_the_sum() -> None:
    swapped = sum_of({"dnsd.s.o.a.map.x": b"1", "dnsd.s.o.a.map.y": b"2"})
    assert swapped != sum_of({"dnsd.s.o.a.map.x": b"2", "dnsd.s.o.a.map.y": b"1"})
    assert sum_of({"dnsd.s.o.a.map.x": b"y"}) != sum_of({"dnsd.s.o.a.map.xy": b""})
