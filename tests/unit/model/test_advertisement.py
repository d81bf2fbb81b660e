"""Declared routes: which addresses count as withdrawn, and which changes of BGP prefixes are refused."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from dnsd.model.accounts import Account, AccountSettings, Approval, BgpPrefix, Prefix
from dnsd.model.advertisement import Routes, declared_routes, declared_warnings
from dnsd.model.changes import change_problems
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap, MemberKind, Membership
from dnsd.model.zones import Zone
from tests.models import zone

A1, A2, B1, B2 = "a1" * 16, "a2" * 16, "b1" * 16, "b2" * 16

STATES = {
    "nothing known": ({}, "203.0.113.9", None),
    "an advertised network": ({"203.0.113.0/24": True}, "203.0.113.9", True),
    "a withdrawn network": ({"203.0.113.0/24": False}, "203.0.113.9", False),
    "its first address": ({"203.0.113.0/24": False}, "203.0.113.0", False),
    "its last address": ({"203.0.113.0/24": False}, "203.0.113.255", False),
    "next to it": ({"203.0.113.0/24": False}, "203.0.114.0", None),
    "a withdrawn part of an advertised network": (
        {"203.0.113.0/24": True, "203.0.113.0/25": False},
        "203.0.113.9",
        True,
    ),
    "an advertised part of a withdrawn network": (
        {"203.0.113.0/24": False, "203.0.113.0/25": True},
        "203.0.113.9",
        True,
    ),
    "outside the advertised part": ({"203.0.113.0/24": False, "203.0.113.0/25": True}, "203.0.113.200", False),
    "IPv6": ({"2001:db8::/32": False}, "2001:db8:7::1", False),
    "the same bits in the other family": ({"::/0": False}, "203.0.113.9", None),
    "everything": ({"0.0.0.0/0": False}, "203.0.113.9", False),
    "one address": ({"203.0.113.9/32": False}, "203.0.113.9", False),
}


@pytest.mark.parametrize("case", STATES)
def test_state_of_an_address(case: str) -> None:
    states, ip, expected = STATES[case]
    routes = Routes({ip_network(network): state for network, state in states.items()})
    assert routes.state(ip_address(ip)) is expected
    assert routes.is_withdrawn(ip_address(ip)) is (expected is False)


WHOLE = BgpPrefix(B1, ip_network("203.0.113.0/24"), advertised=True)
PART = BgpPrefix(B2, ip_network("203.0.113.0/25"), advertised=True)
PREFIX = Prefix("91" * 16, ip_network("203.0.113.0/24"), None, Approval.ACTIVE, "", ())


def account(*bgp: BgpPrefix, **fields: object) -> Account:
    prefix = replace(PREFIX, bgp_prefixes=bgp, **fields)
    return Account("acme", A1, "Acme", (prefix,), (), AccountSettings())


SHOP = AddressMap(
    *("acme/maps/shop", "31" * 16, A1, "", True, (ip_address("203.0.113.9"),)),
    *((Membership(MemberKind.ACCOUNT, A1),), None, False),
)
OTHERS = replace(
    SHOP, id="32" * 16, key="globex/maps/m", account_id=A2, memberships=(Membership(MemberKind.ACCOUNT, A2),)
)


def served(name: str, zone_id: str, account_id: str) -> Zone:
    return replace(zone(name, id=zone_id), account_id=account_id)


ZONES = {f"2{n}" * 16: served(f"shop{n}.example", f"2{n}" * 16, A1) for n in range(3)}
ZONES["2a" * 16] = served("secret.example", "2a" * 16, A2)


def problems(
    before: Account, after: Account, *maps: AddressMap, forced: bool = False, by_operator: bool = False
) -> str:
    def dataset(one: Account) -> Dataset:
        other = Account("globex", A2, "Globex", (), (), AccountSettings())
        return Dataset({A1: one, A2: other}, {each.id: each for each in maps}, ZONES)

    found = change_problems(dataset(before), dataset(after), by_operator=by_operator, forced=forced)
    return "; ".join(problem.message for problem in found)


WITHDRAWN = replace(WHOLE, advertised=False)
CHANGES = {
    "withdrawn while in use": (account(WHOLE), account(WITHDRAWN), "3 zones: shop0.example, shop1.example, shop2"),
    "advertised": (account(WITHDRAWN), account(WHOLE), ""),
    "first declared, as withdrawn": (account(), account(WITHDRAWN), ""),
    "deleted while in use": (account(WITHDRAWN), account(), "cannot be deleted"),
    "a part is withdrawn, the whole stays": (account(WHOLE, PART), account(WHOLE, replace(PART, advertised=False)), ""),
    "the whole is withdrawn, a part with the addresses stays": (account(WHOLE, PART), account(WITHDRAWN, PART), ""),
    "both are withdrawn": (
        account(WHOLE, PART),
        account(WITHDRAWN, replace(PART, advertised=False)),
        "203.0.113.0/25 cannot be withdrawn",
    ),
    "a part without used addresses is withdrawn": (
        account(replace(PART, cidr=ip_network("203.0.113.128/25"))),
        account(replace(PART, cidr=ip_network("203.0.113.128/25"), advertised=False)),
        "",
    ),
    "its range is changed": (account(WHOLE), account(replace(WHOLE, cidr=PART.cidr, advertised=False)), "deleted"),
    "prepends change": (account(WHOLE), account(replace(WHOLE, asn_prepend_count=3)), ""),
    "advertised without approval": (
        account(WITHDRAWN, approved=Approval.PENDING),
        account(WHOLE, approved=Approval.PENDING),
        "not approved yet",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_route_in_use_is_not_taken_away_by_a_slip(case: str) -> None:
    before, after, expected = CHANGES[case]
    found = problems(before, after, SHOP)
    assert expected in found
    assert bool(found) is bool(expected)
    if "not approved" not in expected:
        assert problems(before, after, SHOP, forced=True) == ""
        assert problems(before, after, replace(SHOP, enabled=False)) == ""


def test_refusal_counts_zones_of_other_accounts_and_does_not_name_them() -> None:
    found = problems(account(WHOLE), account(WITHDRAWN), SHOP, OTHERS)
    assert "4 zones" in found
    assert "1 of other accounts" in found
    assert "secret" not in found


def test_long_list_of_zones_is_cut() -> None:
    many = {f"{n:032x}": served(f"z{n:03}.example", f"{n:032x}", A1) for n in range(30)}
    before, after = (Dataset({A1: account(one)}, {SHOP.id: SHOP}, many) for one in (WHOLE, WITHDRAWN))
    (found,) = change_problems(before, after, by_operator=True)
    assert "30 zones" in found.message
    assert "10 more" in found.message


LOCKED = replace(WHOLE, locked=True)
LOCKS = {
    "a locked one is withdrawn": (
        account(LOCKED),
        account(replace(LOCKED, advertised=False)),
        "locked by the operator",
    ),
    "a locked one is deleted": (account(LOCKED), account(), "locked by the operator"),
    "it is locked": (account(WHOLE), account(LOCKED), "only the operator can lock"),
    "it is unlocked": (account(LOCKED), account(WHOLE), "only the operator can lock"),
    "a new one is locked": (account(), account(LOCKED), "only the operator can lock"),
    "a locked one gets prepends": (account(LOCKED), account(replace(LOCKED, asn_prepend_count=1)), ""),
}


@pytest.mark.parametrize("case", LOCKS)
def test_only_the_operator_changes_locked_routes(case: str) -> None:
    before, after, expected = LOCKS[case]
    found = problems(before, after)
    assert expected in found
    assert bool(found) is bool(expected)
    assert problems(before, after, by_operator=True) == ""


def test_pending_prefix_declares_nothing() -> None:
    assert declared_routes([account(WITHDRAWN, approved=Approval.PENDING)]).states == {}
    assert declared_routes([account(WITHDRAWN)]).states == {WHOLE.cidr: False}


def test_answering_map_with_withdrawn_addresses_gets_a_warning() -> None:
    routes = Routes({WHOLE.cidr: False})
    (found,) = declared_warnings(routes, SHOP)
    assert found.warning
    assert (found.source, found.path) == ("acme/maps/shop", ("ips", 0))
    assert "203.0.113.9 is declared withdrawn" in found.message
    for silent in (replace(SHOP, enabled=False), replace(SHOP, memberships=())):
        assert [*declared_warnings(routes, silent)] == []
    assert [*declared_warnings(Routes({WHOLE.cidr: True}), SHOP)] == []
