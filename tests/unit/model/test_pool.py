"""The rules that keep a barred account off the default pool: the data they need, and the changes they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dnsd.errors import BrokenRule
from dnsd.model.changes import change_problems
from dnsd.model.dataset import Dataset
from dnsd.model.fields import derived_id
from tests.models import SPACE, account_map, resolved, zone, zone_map

Fields = Mapping[str, Any]
Maps = dict[str, Fields]

A1 = derived_id("account", "a1")
ZONES = [zone("example.com"), zone("example.net")]
PLAIN, IMMUTABLE = account_map("203.0.113.1"), account_map("203.0.113.9", immutable=True)
V6_ONLY = account_map("2001:db8:100::1")
DISABLED = account_map("203.0.113.1", enabled=False)
EMPTY = account_map()
OF_ZONES = {
    "enabled": True,
    "ips": ["203.0.113.1"],
    "memberships": [{"kind": "zone", "identifier": one.name_text} for one in ZONES],
}
NO_MEMBER = {"enabled": True, "ips": ["203.0.113.1"]}


def state(pool: str | None, maps: Maps) -> tuple[Dataset, list[Any]]:
    written = {**SPACE, **({"pool": pool} if pool else {})}
    return resolved({"a1": written, "a2": {}}, ZONES, maps)


RULE: dict[str, tuple[str | None, Maps, bool, bool]] = {  # key, maps, whether barred, whether the rule is broken
    "nothing": (None, {}, False, False),
    "allowed": ("allowed", {}, False, False),
    "allowed, with an immutable map": ("allowed", {"a1/i": IMMUTABLE}, False, False),
    "an ordinary account-wide map": (None, {"a1/m": PLAIN}, False, False),
    "an immutable map": (None, {"a1/i": IMMUTABLE}, True, False),
    "a disabled immutable map": (None, {"a1/i": {**IMMUTABLE, "enabled": False}}, False, False),
    "an immutable map without addresses": (None, {"a1/i": {**IMMUTABLE, "ips": []}}, False, False),
    "an immutable map without members": (None, {"a1/i": {**IMMUTABLE, "memberships": []}}, False, False),
    "never, with an ordinary map": ("never", {"a1/m": PLAIN}, True, False),
    "never, with one family": ("never", {"a1/m": V6_ONLY}, True, False),
    "never, with an immutable map": ("never", {"a1/i": IMMUTABLE}, True, False),
    "never, with one of two in effect": ("never", {"a1/m": DISABLED, "a1/n": PLAIN}, True, False),
    "never, without a map": ("never", {}, True, True),
    "never, with a disabled map": ("never", {"a1/m": DISABLED}, True, True),
    "never, with an empty map": ("never", {"a1/m": EMPTY}, True, True),
    "never, with maps of all zones": ("never", {"a1/m": OF_ZONES}, True, True),
    "never, with a map without members": ("never", {"a1/m": NO_MEMBER}, True, True),
    "never, with another account's map": ("never", {"a2/m": account_map(account="a2")}, True, True),
}


@pytest.mark.parametrize("case", RULE)
def test_barred_account_has_an_account_wide_map_in_effect(case: str) -> None:
    pool, maps, is_barred, is_broken = RULE[case]
    built, found = state(pool, maps)
    assert built.is_barred(built.accounts[A1]) == is_barred
    broken = [one for one in found if one.rule is BrokenRule.BARRED_FROM_POOL]
    assert [(one.source, one.path, one.warning) for one in broken] == ([("a1", ("pool",), False)] if is_broken else [])
    assert is_broken or not [one for one in found if not one.warning]


@pytest.mark.parametrize(("pool", "warns"), [(None, True), ("never", False), ("allowed", False)])
def test_missing_key_of_an_account_with_an_immutable_map_is_a_warning(pool: str | None, warns: bool) -> None:
    _, found = state(pool, {"a1/i": IMMUTABLE, "a1/m": PLAIN})
    expected = [("a1/maps/i", "write `pool: never` in a1/account.yaml")] if warns else []
    assert [(one.source, one.message[-len("write `pool: never` in a1/account.yaml") :]) for one in found] == expected
    assert all(one.warning for one in found)


Change = tuple[tuple[str | None, Maps], tuple[str | None, Maps], str | None]
CHANGES: dict[str, Change] = {  # before, after, words of the refusal
    "the key appears": ((None, {"a1/m": PLAIN}), ("never", {"a1/m": PLAIN}), None),
    "never becomes allowed": (("never", {"a1/m": PLAIN}), ("allowed", {"a1/m": PLAIN}), None),
    "never goes": (("never", {"a1/m": PLAIN}), (None, {"a1/m": PLAIN}), "barred from the pool"),
    "never goes, an immutable map stays": (("never", {"a1/i": IMMUTABLE}), (None, {"a1/i": IMMUTABLE}), None),
    "allowed goes": (("allowed", {"a1/m": PLAIN}), (None, {"a1/m": PLAIN}), None),
    "the map changes its addresses": (("never", {"a1/m": PLAIN}), ("never", {"a1/m": V6_ONLY}), None),
    "another map takes over": (
        ("never", {"a1/m": DISABLED, "a1/n": PLAIN}),
        ("never", {"a1/m": PLAIN, "a1/n": DISABLED}),
        None,
    ),
    "a zone gets a map": (
        (None, {"a1/i": IMMUTABLE}),
        (None, {"a1/i": IMMUTABLE, "a1/z": zone_map("example.com", "203.0.113.2")}),
        None,
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_no_change_ends_the_bar_by_a_slip(case: str) -> None:
    (pool, maps), after, words = CHANGES[case]
    old, new = state(pool, maps)[0], state(*after)[0]
    found = change_problems(old, new, by_operator=True)
    assert [(one.source, one.path) for one in found] == ([("a1", ("pool",))] if words else [])
    assert all(words and words in one.message and "`pool: allowed`" in one.message for one in found)


@pytest.mark.parametrize(
    ("before", "after"), [(None, "never"), ("never", "allowed"), ("allowed", None), (None, "allowed")]
)
def test_customers_do_not_change_the_key(before: str | None, after: str | None) -> None:
    old, new = (state(pool, {"a1/i": IMMUTABLE})[0] for pool in (before, after))
    found = change_problems(old, new, by_operator=False)
    assert [(one.source, one.path) for one in found] == [("a1", ("pool",))]
    assert "only the operator" in found[0].message
    assert change_problems(old, new, by_operator=True) == []


def test_immutable_map_goes_with_its_account_alone() -> None:
    old = resolved({"a1": SPACE, "a2": {}}, [], {"a1/i": IMMUTABLE})[0]
    without_account = resolved({"a2": {}}, [], {})[0]
    without_map = resolved({"a1": SPACE, "a2": {}}, [], {})[0]
    assert change_problems(old, without_account, by_operator=True) == []
    assert change_problems(old, without_map, by_operator=True) != []
