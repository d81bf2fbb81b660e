"""The rules on changes of a dataset, each with changes that break it and changes that do not."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from dnsd.model.accounts import Account, AccountSettings, Approval, Prefix
from dnsd.model.changes import change_problems
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap, MemberKind, Membership
from dnsd.model.zones import Status, Zone
from tests.models import zone

A1, M1 = "a1" * 16, "11" * 16
ACCOUNT_MEMBER = (Membership(MemberKind.ACCOUNT, A1),)
IPS = (ip_address("203.0.113.10"),)
FOREIGN = ip_address("198.51.100.1")
PREFIX = Prefix("91" * 16, ip_network("203.0.113.0/24"), None, Approval.ACTIVE, "", ())
ACCOUNT = Account("acme", A1, "Acme", (PREFIX,), (), AccountSettings())
ORDINARY = AddressMap("acme/maps/m", M1, A1, "", False, IPS, ACCOUNT_MEMBER, None, False)
IMMUTABLE = replace(ORDINARY, enabled=True, immutable=True)


def dataset(address_map: AddressMap | None, account: Account = ACCOUNT) -> Dataset:
    return Dataset({A1: account}, {M1: address_map} if address_map else {}, {})


CASES = {
    "nothing changes": (ORDINARY, ORDINARY, None),
    "a new map": (None, ORDINARY, None),
    "a new map with members and no addresses": (None, replace(ORDINARY, ips=()), "address first"),
    "a new immutable map": (None, IMMUTABLE, "only the operator can create"),
    "a disabled map is deleted": (ORDINARY, None, None),
    "an enabled map is deleted": (replace(ORDINARY, enabled=True), None, "disable it"),
    "an immutable map is deleted": (IMMUTABLE, None, "cannot be deleted"),
    "an immutable map is disabled": (IMMUTABLE, replace(IMMUTABLE, enabled=False), "cannot be disabled"),
    "an immutable map is described": (IMMUTABLE, replace(IMMUTABLE, description="x", default_sni="y"), None),
    "an immutable map's addresses change": (
        IMMUTABLE,
        replace(IMMUTABLE, ips=(*IPS, ip_address("203.0.113.11"))),
        "cannot be changed",
    ),
    "an immutable map's member is removed": (
        IMMUTABLE,
        replace(IMMUTABLE, memberships=()),
        "membership cannot be removed",
    ),
    "a disabled map gets an address of others": (
        ORDINARY,
        replace(ORDINARY, ips=(*IPS, FOREIGN)),
        "is outside the account's prefixes",
    ),
    "a new disabled map has an address of others": (None, replace(ORDINARY, ips=(FOREIGN,)), "is outside the account"),
    "a disabled map keeps an address that was withdrawn": (
        replace(ORDINARY, ips=(*IPS, FOREIGN)),
        replace(ORDINARY, ips=(FOREIGN,), description="x"),
        None,
    ),
    "a map becomes immutable": (ORDINARY, replace(ORDINARY, immutable=True), "cannot be changed after"),
    "the last address is removed": (ORDINARY, replace(ORDINARY, ips=()), "last address"),
    "the last address is removed with the members": (ORDINARY, replace(ORDINARY, ips=(), memberships=()), None),
    "a member is added to a map without addresses": (
        replace(ORDINARY, ips=(), memberships=()),
        replace(ORDINARY, ips=()),
        "address first",
    ),
    "a map of a file, with members and no addresses, is described": (
        replace(ORDINARY, ips=()),
        replace(ORDINARY, ips=(), description="x"),
        None,
    ),
    "an empty map is enabled": (
        replace(ORDINARY, ips=(), memberships=()),
        replace(ORDINARY, ips=(), memberships=(), enabled=True),
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_rule(case: str) -> None:
    before, after, words = CASES[case]
    found = change_problems(dataset(before), dataset(after), by_operator=False)
    assert [problem for problem in found if words is None or words not in problem.message] == []
    assert bool(found) == (words is not None)


def test_operator_can_create_an_immutable_map_but_not_delete_it() -> None:
    assert change_problems(dataset(None), dataset(IMMUTABLE), by_operator=True) == []
    assert change_problems(dataset(IMMUTABLE), dataset(None), by_operator=True) != []


ACCOUNTS = {
    "a pending prefix": (
        replace(
            ACCOUNT, prefixes=(PREFIX, replace(PREFIX, cidr=ip_network("198.51.100.0/24"), approved=Approval.PENDING))
        ),
        True,
    ),
    "an approved prefix": (
        replace(ACCOUNT, prefixes=(PREFIX, replace(PREFIX, cidr=ip_network("198.51.100.0/24")))),
        False,
    ),
    "a static IP": (replace(ACCOUNT, static_ips=(ip_address("192.0.2.1"),)), False),
    "a new name": (replace(ACCOUNT, name="x"), True),
    "no prefix": (replace(ACCOUNT, prefixes=()), True),
}


@pytest.mark.parametrize("what", ACCOUNTS)
def test_customers_do_not_approve_their_own_space(what: str) -> None:
    account, is_allowed = ACCOUNTS[what]
    found = change_problems(dataset(None), dataset(None, account), by_operator=False)
    assert (found == []) == is_allowed
    assert change_problems(dataset(None), dataset(None, account), by_operator=True) == []


def zone_of(name: str = "shop.example", *, account_id: str = A1, verified: bool = True) -> Zone:
    return replace(zone(name, verified=verified), id="2" * 32, account_id=account_id)


def locked() -> Zone:
    return replace(zone_of(), status=Status.INITIALIZING)


def below() -> Zone:
    return replace(zone_of("www.shop.example", verified=False), id="3" * 32)


VERIFICATION: dict[str, tuple[Zone | None, Zone, bool]] = {  # before, after, whether customers may make the change
    "a new zone, verified": (None, zone_of(), False),
    "a new zone, not verified": (None, zone_of(verified=False), True),
    "it becomes verified": (zone_of(verified=False), zone_of(), False),
    "it is no longer verified": (zone_of(), zone_of(verified=False), False),
    "it stays verified": (zone_of(), replace(zone_of(), paused=True), True),
    "it stays unverified": (zone_of(verified=False), replace(zone_of(verified=False), paused=True), True),
    "it is renamed": (zone_of(), zone_of("other.example"), False),
    "it is renamed, not verified": (zone_of(), zone_of("other.example", verified=False), True),
}


@pytest.mark.parametrize(("before", "after", "allowed"), VERIFICATION.values(), ids=VERIFICATION.keys())
def test_only_the_operator_verifies(before: Zone | None, after: Zone, allowed: bool) -> None:
    old = Dataset({A1: ACCOUNT}, {}, {before.id: before} if before else {})
    new = Dataset({A1: ACCOUNT}, {}, {after.id: after})
    found = change_problems(old, new, by_operator=False)
    assert [problem.path for problem in found] == ([] if allowed else [("verified",)])
    assert change_problems(old, new, by_operator=True) == []


LOCKS: dict[str, tuple[list[Zone], list[Zone], bool]] = {  # before, after, whether customers may make the change
    "an active zone is deleted": ([zone_of()], [], True),
    "a locked zone is deleted": ([locked()], [], False),
    "a locked zone is unlocked": ([locked()], [zone_of()], False),
    "a zone is locked": ([zone_of()], [locked()], False),
    "a locked zone is renamed and unlocked": ([locked()], [zone_of("other.example", verified=False)], False),
    "a zone is made below a locked one": ([locked()], [locked(), below()], False),
    "a zone is made below an active one": ([zone_of()], [zone_of(), below()], True),
}


@pytest.mark.parametrize(("before", "after", "allowed"), LOCKS.values(), ids=LOCKS.keys())
def test_only_the_operator_locks_and_unlocks(before: list[Zone], after: list[Zone], allowed: bool) -> None:
    old, new = (Dataset({A1: ACCOUNT}, {}, {one.id: one for one in zones}) for zones in (before, after))
    assert (change_problems(old, new, by_operator=False) == []) is allowed
    assert change_problems(old, new, by_operator=True) == []
