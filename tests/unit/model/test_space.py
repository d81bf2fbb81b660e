"""Warnings about address space with two users, and what operators see before they approve a prefix."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import pytest

from dnsd.model.fields import derived_id
from dnsd.model.space import doubts
from tests.models import account_map, resolved, zone, zone_map

Fields = Mapping[str, Any]
ACCOUNTS: dict[str, Fields] = {
    "owner": {
        "prefixes": [
            {
                "cidr": "203.0.113.0/24",
                "approved": "V",
                "delegations": [{"cidr": "203.0.113.64/26", "account": "guest"}],
            },
            {
                "cidr": "2001:db8:100::/48",
                "approved": "V",
                "delegations": [{"cidr": "2001:db8:100::/64", "account": "guest"}],
            },
        ],
        "static_ips": ["192.0.2.7", "2001:db8::7"],
    },
    "guest": {"static_ips": ["192.0.2.8"]},
}
ZONES = [zone("example.com", account="owner"), zone("example.net", account="guest")]


def owned(*ips: str, **fields: Any) -> Fields:
    return account_map(*ips, account="owner", **fields)


WARNED: dict[str, tuple[dict[str, Fields], list[tuple[str, int, str]]]] = {  # maps; map, index, words
    "an own address": ({"owner/m": owned("203.0.113.1", "2001:db8:100:1::1")}, []),
    "a lent address": (
        {"owner/m": zone_map("example.com", "203.0.113.1", "203.0.113.70")},
        [("owner/maps/m", 1, "203.0.113.64/26, which is delegated")],
    ),
    "a lent IPv6 address": ({"owner/m": owned("2001:db8:100::9")}, [("owner/maps/m", 0, "2001:db8:100::/64")]),
    "a lent address, in a disabled map": (
        {"owner/m": owned("203.0.113.70", enabled=False)},
        [("owner/maps/m", 0, "delegated")],
    ),
    "the guest's map": ({"guest/m": account_map("203.0.113.70", account="guest")}, []),
    "a static IP in one map": ({"owner/m": owned("192.0.2.7"), "owner/n": zone_map("example.com", "192.0.2.7")}, []),
    "a static IP in two maps for the account": (
        {"owner/m": owned("203.0.113.1", "2001:db8::7"), "owner/n": owned("2001:db8::7", immutable=True)},
        [("owner/maps/n", 0, "2001:db8::7 is a static IP, and also in owner/maps/m")],
    ),
    "a static IP in two maps, one disabled": (
        {"owner/m": owned("192.0.2.7"), "owner/n": owned("192.0.2.7", enabled=False)},
        [],
    ),
    "an address of a prefix in two maps": (
        {"owner/m": owned("203.0.113.1"), "owner/n": owned("203.0.113.1", immutable=True)},
        [],
    ),
}


@pytest.mark.parametrize(("maps", "expected"), WARNED.values(), ids=WARNED.keys())
def test_space_with_two_users_is_a_warning(maps: dict[str, Fields], expected: list[tuple[str, int, str]]) -> None:
    _, found = resolved(ACCOUNTS, ZONES, maps)
    assert all(one.warning for one in found)
    shown = [one for one in found if one.path[:1] == ("ips",)]
    assert [(one.source, one.path) for one in shown] == [(key, ("ips", index)) for key, index, _ in expected]
    for problem, (_, _, words) in zip(shown, expected, strict=True):
        assert words in problem.message


POOL = [ip_address("198.51.100.10"), ip_address("2001:db8:f::10")]
DOUBTS: dict[str, tuple[str, int | None, list[str]]] = {  # prefix, AS number, words of each doubt
    "a good one": ("198.18.0.0/24", 64500, []),
    "a good IPv6 one": ("2001:db8:200::/48", 64500, []),
    "no AS number": ("198.18.0.0/24", None, ["no AS number"]),
    "everything": ("0.0.0.0/0", 64500, ["0.0.0.0/8", "larger than a /8", "default pool", "owner: 203.0.113.0/24"]),
    "all of IPv6": ("::/0", 64500, ["fc00::/7", "larger than a /19", "default pool", "owner: 2001:db8:100::/48"]),
    "private space": ("10.1.0.0/16", 64500, ["10.0.0.0/8"]),
    "part of private space": ("172.16.5.0/25", 64500, ["172.16.0.0/12", "smaller than a /24"]),
    "local IPv6 space": ("fd00:1::/48", 64500, ["fc00::/7"]),
    "too small": ("198.18.0.0/26", 64500, ["smaller than a /24"]),
    "too small for IPv6": ("2001:db8:200::/56", 64500, ["smaller than a /48"]),
    "another's": ("203.0.113.0/24", 64500, ["owner: 203.0.113.0/24"]),
    "around another's": ("203.0.112.0/23", 64500, ["owner: 203.0.113.0/24"]),
    "inside another's": ("203.0.113.128/25", 64500, ["smaller", "owner: 203.0.113.0/24"]),
    "around others' static IPs": ("192.0.2.0/24", 64500, ["owner: 192.0.2.7", "guest: 192.0.2.8"]),
    "around the pool": ("198.51.100.0/24", 64500, ["default pool"]),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_operator_sees_what_is_odd_about_a_pending_prefix(case: str) -> None:
    cidr, asn, expected = DOUBTS[case]
    tenant: Fields = {"prefixes": [{"cidr": cidr, "asn": asn}]}
    dataset, _ = resolved({**ACCOUNTS, "tenant": tenant}, ZONES, {})
    account = dataset.accounts[derived_id("account", "tenant")]
    found = "\n".join(doubts(dataset, account, account.prefixes[0], POOL))
    assert bool(found) == bool(expected)
    assert all(words in found for words in expected), found


def test_a_prefix_over_many_others_names_a_few() -> None:
    many = {"prefixes": [{"cidr": f"198.18.{n}.0/24", "approved": "V"} for n in range(20)]}
    dataset, _ = resolved({"many": many, "tenant": {"prefixes": [{"cidr": "198.18.0.0/15", "asn": 1}]}}, [], {})
    account = dataset.accounts[derived_id("account", "tenant")]
    assert "and 15 more" in "\n".join(doubts(dataset, account, account.prefixes[0], POOL))
