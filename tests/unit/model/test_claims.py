"""Zones of several accounts with one name, or one below another's: which of them are served."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dnsd.model.changes import change_problems
from dnsd.model.claims import claim_time, verification_key
from dnsd.model.dataset import Dataset
from dnsd.model.fields import derived_id
from dnsd.model.zones import Status, Zone
from dnsd.wire.names import parse_name_text
from tests.models import SPACE, resolved, zone

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNTS: dict[str, dict[str, Any]] = {"acme": {**SPACE}, "globex": {}, "initech": {}}


def made(account: str, name: str, minute: int | None = None, *, verified: bool = False, **fields: Any) -> Zone:
    """A zone of an account, with the time of its claim in minutes after noon."""
    at = {} if minute is None else {"created_on": NOON + timedelta(minutes=minute)}
    zone_id = derived_id("zone", account, name)
    return zone(name, account=account, id=zone_id, verified=verified, **at, **fields)


def dataset(*zones: Zone) -> Dataset:
    found, problems = resolved(ACCOUNTS, zones, {})
    assert [problem for problem in problems if not problem.warning] == []
    return found


CASES: dict[str, tuple[list[Zone], list[int]]] = {  # the zones, and the places of those that wait
    "alone": ([made("acme", "a.test", 1)], []),
    "the first is served": ([made("acme", "a.test", 2), made("globex", "a.test", 1)], [0]),
    "the verified one is served": ([made("acme", "a.test", 1), made("globex", "a.test", 2, verified=True)], [0]),
    "one without a time was there before": ([made("acme", "a.test", 1), made("globex", "a.test")], [0]),
    "of three": (
        [made("acme", "a.test", 3), made("globex", "a.test", 1), made("initech", "a.test", 2)],
        [0, 2],
    ),
    "below another's": ([made("acme", "a.test", 1), made("globex", "www.a.test", 2)], [1]),
    "below another's, made first": ([made("acme", "a.test", 2), made("globex", "www.a.test", 1)], []),
    "below a verified one": ([made("acme", "a.test", 2, verified=True), made("globex", "www.a.test", 1)], [1]),
    "above a verified one": ([made("acme", "a.test", 2), made("globex", "www.a.test", 1, verified=True)], []),
    "below one's own": ([made("acme", "a.test", 1), made("acme", "www.a.test", 2)], []),
    "below one's own, below another's": (
        [made("acme", "a.test", 1), made("globex", "b.a.test", 2, verified=True), made("globex", "c.b.a.test", 3)],
        [],
    ),
    "below one that waits": (
        [made("acme", "a.test", 1), made("globex", "a.test", 2), made("acme", "www.a.test", 3)],
        [1],
    ),
    "labels count, not letters": ([made("acme", "a.test", 1), made("globex", "ba.test", 2)], []),
    "in the root zone": ([made("acme", ".", verified=True), made("globex", "a.test", 1)], []),
    "in any status": ([made("acme", "a.test", 1, status="initializing"), made("globex", "a.test", 2)], [1]),
}


@pytest.mark.parametrize(("zones", "waiting"), CASES.values(), ids=CASES.keys())
def test_zones_that_wait(zones: list[Zone], waiting: list[int]) -> None:
    for order in (zones, zones[::-1]):
        found = dataset(*order)
        assert found.waiting == {zones[place].id for place in waiting}
        assert {one.id for one in found.zones_by_name.values()} == {one.id for one in zones} - found.waiting
        assert set(found.zones) == {one.id for one in zones}


def test_zones_are_found_by_name_and_account() -> None:
    acme, globex = made("acme", "a.test", 1), made("globex", "a.test", 2)
    found = dataset(globex, acme)
    assert found.zones_called(acme.name) == [acme, globex]
    assert [found.zone_called(acme.name, one.account_id) for one in (acme, globex)] == [acme, globex]
    assert found.zone_called(acme.name, derived_id("account", "initech")) is None
    assert (found.status_of(acme), found.status_of(globex)) == (Status.ACTIVE, Status.PENDING)
    assert (found.applies_maps(acme), found.applies_maps(globex)) == (True, False)


def test_member_by_name_is_the_accounts_own_zone() -> None:
    zones = [made("globex", "a.test", 1), made("acme", "a.test", 2)]
    written = {"ips": ["203.0.113.1"], "enabled": True, "memberships": [{"kind": "zone", "identifier": "A.test."}]}
    found, problems = resolved(ACCOUNTS, zones, {"acme/m": written})
    assert [problem for problem in problems if not problem.warning] == []
    (address_map,) = found.maps.values()
    assert [member.identifier for member in address_map.memberships] == [zones[1].id]


CLASHES: dict[str, tuple[Zone, Zone, bool]] = {
    "both verified": (made("acme", "a.test", verified=True), made("globex", "a.test", verified=True), True),
    "one verified": (made("acme", "a.test", verified=True), made("globex", "a.test"), False),
    "neither verified": (made("acme", "a.test", 1), made("globex", "a.test", 1), False),
}


@pytest.mark.parametrize(("one", "other", "is_clash"), CLASHES.values(), ids=CLASHES.keys())
def test_only_verified_zones_clash(one: Zone, other: Zone, is_clash: bool) -> None:
    _, problems = resolved(ACCOUNTS, [one, other], {})
    errors = [problem.message for problem in problems if not problem.warning]
    assert errors == (["the zone a.test is already served from acme/zones/a.test"] if is_clash else [])


@pytest.mark.parametrize("verified", [(True, True), (True, False), (False, False)])
def test_account_has_one_zone_of_a_name(verified: tuple[bool, bool]) -> None:
    zones = [zone("a.test", account="acme", id=str(n) * 32, verified=is_so) for n, is_so in enumerate(verified)]
    _, problems = resolved(ACCOUNTS, zones, {})
    assert ["already served" in problem.message for problem in problems if not problem.warning] == [True]


OF_ACME, BELOW, VERIFIED = made("acme", "a.test", 2), made("acme", "b.a.test", 2), made("acme", "a.test", verified=True)
CHANGES: dict[str, tuple[list[Zone], list[Zone], bool]] = {  # before, after, whether a tenant may make the change
    "a second claim": ([OF_ACME], [OF_ACME, made("globex", "a.test", 3)], True),
    "a claim below": ([OF_ACME], [OF_ACME, made("globex", "b.a.test", 3)], True),
    "a claim above": ([BELOW], [BELOW, made("globex", "a.test", 3)], True),
    "an earlier claim": ([OF_ACME], [OF_ACME, made("globex", "a.test", 1)], False),
    "an earlier claim above": ([BELOW], [BELOW, made("globex", "a.test", 1)], False),
    "a claim to a verified name": ([VERIFIED], [VERIFIED, made("globex", "a.test", 3)], False),
    "a claim below a verified name": ([VERIFIED], [VERIFIED, made("globex", "b.a.test", 3)], False),
    "a claim above a verified name": ([VERIFIED], [VERIFIED, made("globex", "test", 3)], False),
    "a zone of its own waits, as it gives up the one above": (
        [OF_ACME, made("globex", "a.test", 3), made("acme", "b.a.test", 4)],
        [made("globex", "a.test", 3), made("acme", "b.a.test", 4)],
        True,
    ),
    "the first gives up": ([OF_ACME, made("globex", "a.test", 3)], [made("globex", "a.test", 3)], True),
}


@pytest.mark.parametrize(("before", "after", "allowed"), CHANGES.values(), ids=CHANGES.keys())
def test_tenant_takes_no_zone_out_of_service(before: list[Zone], after: list[Zone], allowed: bool) -> None:
    kept = {one.id: one for one in before}  # unchanged zones stay the same objects
    old, new = dataset(*before), dataset(*(kept.get(one.id, one) for one in after))
    assert (change_problems(old, new, by_operator=False) == []) is allowed
    assert change_problems(old, new, by_operator=True) == []


TIMES = {  # the name and the minute of another account's claim -> whether a claim at noon must come later
    ("a.test", 5): True,
    ("b.a.test", 5): True,
    ("test", 5): True,
    ("a.test", -5): False,
    ("c.test", 5): False,
}


@pytest.mark.parametrize(("other", "is_later"), TIMES.items())
def test_claim_is_later_than_others_whatever_the_clock_says(other: tuple[str, int], is_later: bool) -> None:
    zones = [made("globex", *other), made("acme", "x.a.test", 9)]
    account = derived_id("account", "acme")
    expected = NOON + timedelta(minutes=5, microseconds=1) if is_later else NOON
    assert claim_time(zones, parse_name_text("a.test"), account, NOON) == expected


def test_verification_key_is_the_accounts_own() -> None:
    keys = {verification_key(made(account, name)) for account in ACCOUNTS for name in ("a.test", "b.test")}
    assert len(keys) == 6
    assert all(part.isdigit() for key in keys for part in key.split("-"))
