"""Rules between objects: addresses a map may use, members it may have, properties that must be unique."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import pytest

from dnsd.model.dataset_rules import may_not_use
from dnsd.model.fields import derived_id
from dnsd.wire.names import parse_name_text
from tests.models import account_map, dataset, record, resolved, zone, zone_map

Fields = Mapping[str, Any]

ACCOUNTS: dict[str, Fields] = {
    "a1": {
        "prefixes": [
            {
                "cidr": "203.0.113.0/24",
                "approved": "V",
                "delegations": [
                    {"cidr": "203.0.113.64/26", "account": "a2"},
                    {"cidr": "203.0.113.128/32", "account": derived_id("account", "a2")},
                ],
            },
            {"cidr": "2001:db8:100::/48", "approved": "V"},
            {
                "cidr": "198.51.100.0/25",
                "approved": "P",
                "delegations": [{"cidr": "198.51.100.64/26", "account": "a2"}],
            },
        ],
        "static_ips": ["192.0.2.200", "2001:db8::200"],
    },
    "a2": {"prefixes": [{"cidr": "2001:db8:200::/48"}]},
}
ZONES = [zone("example.com"), zone("example.net"), zone("example.org", account="a2")]

# account, address, message; None: allowed
USE = {
    "own prefix": ("a1", "203.0.113.10", None),
    "the first and last of a prefix": ("a1", "203.0.113.255", None),
    "own IPv6 prefix": ("a1", "2001:db8:100:ffff::1", None),
    "own prefix, delegated to another": ("a1", "203.0.113.70", None),
    "a static IP": ("a1", "192.0.2.200", None),
    "a static IPv6": ("a1", "2001:db8::200", None),
    "next to a prefix": ("a1", "203.0.114.0", "is outside the account"),
    "next to a static IP": ("a1", "192.0.2.201", "is outside the account"),
    "next to an IPv6 prefix": ("a1", "2001:db8:101::", "is outside the account"),
    "a pending prefix": ("a1", "198.51.100.1", "198.51.100.0/25, which is not approved"),
    "delegated": ("a2", "203.0.113.64", None),
    "delegated to an id": ("a2", "203.0.113.128", None),
    "next to a delegated prefix": ("a2", "203.0.113.129", "is outside the account"),
    "another's prefix": ("a2", "203.0.113.10", "is outside the account"),
    "another's static IP": ("a2", "192.0.2.200", "is outside the account"),
    "delegated from a pending prefix": ("a2", "198.51.100.65", "is outside the account"),
    "approval is pending by default": ("a2", "2001:db8:200::1", "not approved"),
}


@pytest.mark.parametrize(("key", "ip", "expected"), USE.values(), ids=USE.keys())
def test_addresses_that_an_account_may_use(key: str, ip: str, expected: str | None) -> None:
    found = may_not_use(dataset([], {}, ACCOUNTS), derived_id("account", key), ip_address(ip))
    assert found is None if expected is None else found is not None and expected in found


# Maps by name; problems as (map, path, text, is a warning); an empty list: the maps are valid.
MEMBER = {"kind": "zone", "identifier": "example.com"}
Expected = tuple[str, tuple[str | int, ...], str, bool]
MAPS: dict[str, tuple[dict[str, Fields], list[Expected]]] = {
    "of a zone": ({"a1/m": zone_map("example.com", "203.0.113.1")}, []),
    "of a zone's id": ({"a1/m": zone_map(ZONES[0].id, "203.0.113.1")}, []),
    "of a zone in another spelling": ({"a1/m": zone_map("EXAMPLE.com.", "203.0.113.1")}, []),
    "of an account": ({"a1/m": account_map("203.0.113.1")}, []),
    "of an account's id": ({"a1/m": account_map("203.0.113.1", account=derived_id("account", "a1"))}, []),
    "of another account's zone": (
        {"a1/m": zone_map("example.org", "203.0.113.1")},
        [("m", ("memberships", 0, "identifier"), "belong to different accounts", False)],
    ),
    "of another account": (
        {"a1/m": account_map("203.0.113.1", account="a2")},
        [("m", ("memberships", 0, "identifier"), "not the map's own account", False)],
    ),
    "of no zone": (
        {"a1/m": zone_map("example.edu", "203.0.113.1")},
        [("m", ("memberships", 0, "identifier"), "there is no zone 'example.edu'", False)],
    ),
    "of an invalid zone name": (
        {"a1/m": zone_map("a..b", "203.0.113.1")},
        [("m", ("memberships", 0, "identifier"), "there is no zone 'a..b'", False)],
    ),
    "of a zone twice, by name and by id": (
        {"a1/m": {"ips": ["203.0.113.1"], "memberships": [MEMBER, {"kind": "zone", "identifier": ZONES[0].id}]}},
        [("m", ("memberships", 1, "identifier"), "is already a member", False)],
    ),
    "an address twice, spelled in two ways": (
        {"a1/m": {"ips": ["2001:db8:100::1", "2001:DB8:100:0::1"]}},
        [("m", ("ips", 1), "is listed twice", False)],
    ),
    "100 addresses of each family": (
        {"a1/m": {"ips": [f"203.0.113.{n}" for n in range(100)] + [f"2001:db8:100::{n:x}" for n in range(100)]}},
        [("m", ("ips", 64), "36 addresses, such as 203.0.113.64, lie in 203.0.113.64/26, which is delegated", True)],
    ),
    "101 addresses of one family": (
        {"a1/m": {"ips": [f"203.0.113.{n}" for n in range(101)]}},
        [
            ("m", ("ips",), "101 IPv4 addresses; the limit is 100", False),
            ("m", ("ips", 64), "37 addresses", True),
        ],
    ),
    "enabled and empty": ({"a1/m": {"enabled": True}}, []),
    "members without addresses": (
        {"a1/m": zone_map("example.com")},
        [("m", ("ips",), "skipped", True)],
    ),
    "immutable of an account without the key `pool`": (
        {"a1/m": account_map("203.0.113.1", immutable=True)},
        [("m", ("immutable",), "write `pool: never`", True)],
    ),
    "immutable of a zone": (
        {"a1/m": zone_map("example.com", "203.0.113.1", immutable=True)},
        [("m", ("memberships", 0, "identifier"), "only the account can be a member", False)],
    ),
    "immutable and disabled": (
        {"a1/m": account_map("203.0.113.1", immutable=True, enabled=False)},
        [("m", ("immutable",), "it is not enabled", True)],
    ),
    "immutable without its account": (
        {"a1/m": {"immutable": True, "enabled": True, "ips": ["203.0.113.1"]}},
        [("m", ("immutable",), "the account is not its member", True)],
    ),
    "a foreign address": (
        {"a1/m": {"enabled": True, "ips": ["203.0.113.1", "192.0.2.1"]}},
        [("m", ("ips", 1), "is outside", False)],
    ),
    "a foreign address in a disabled map": (
        {"a1/m": {"ips": ["203.0.113.1", "192.0.2.1"]}},
        [("m", ("ips", 1), "static IPs: the map cannot be enabled while it lists it", True)],
    ),
    # Warnings for members of several enabled maps
    "two of one zone": (
        {
            "a1/m": zone_map("example.com", "203.0.113.1"),
            "a1/n": account_map("203.0.113.2"),
            "a1/o": zone_map("example.net", "203.0.113.3"),
        },
        [],
    ),
    "a zone in two, the newer decides": (
        {
            "a1/m": {"enabled": True, "ips": ["203.0.113.1"], "memberships": [MEMBER]},
            "a1/n": {
                "enabled": True,
                "ips": ["203.0.113.2"],
                "memberships": [{**MEMBER, "created_at": "2026-01-01T00:00:00Z"}],
            },
        },
        [("m", ("memberships", 0), "example.com is also a member of a1/maps/n, which takes precedence", True)],
    ),
    "an account in two, a tie": (
        {"a1/m": account_map("203.0.113.1", id="f" * 32), "a1/n": account_map("203.0.113.2", id="0" * 32)},
        [("n", ("memberships", 0), "the account is also a member of a1/maps/m", True)],
    ),
    "an account in an ordinary and an immutable one": (
        {"a1/m": account_map("203.0.113.1"), "a1/n": account_map("203.0.113.2", immutable=True)},
        [("n", ("immutable",), "write `pool: never`", True)],
    ),
    "a zone in two, one disabled": (
        {"a1/m": zone_map("example.com", "203.0.113.1"), "a1/n": zone_map("example.com", "203.0.113.2", enabled=False)},
        [],
    ),
}


@pytest.mark.parametrize(("maps", "expected"), MAPS.values(), ids=MAPS.keys())
def test_map(maps: dict[str, Fields], expected: list[Expected]) -> None:
    _, found = resolved(ACCOUNTS, ZONES, maps)
    assert [(p.source.rpartition("/")[2], p.path, p.warning) for p in found] == [
        (m, path, w) for m, path, _, w in expected
    ]
    for problem, (_, _, text, _) in zip(found, expected, strict=True):
        assert text in problem.message


SPACES: dict[str, tuple[dict[str, Fields], list[str]]] = {
    "next to each other": (
        {"a1": {"prefixes": [{"cidr": "203.0.113.0/25"}]}, "a2": {"prefixes": [{"cidr": "203.0.113.128/25"}]}},
        [],
    ),
    "of one account inside each other": (
        {"a1": {"prefixes": [{"cidr": "203.0.113.0/24"}, {"cidr": "203.0.113.0/25"}]}, "a2": {}},
        [],
    ),
    "inside another's": (
        {"a1": {"prefixes": [{"cidr": "203.0.113.0/24"}]}, "a2": {"prefixes": [{"cidr": "203.0.113.128/25"}]}},
        ["203.0.113.128/25 overlaps with 203.0.113.0/24 of the account 'a1'"],
    ),
    "the same as another's": (
        {"a1": {"prefixes": [{"cidr": "203.0.113.0/24"}]}, "a2": {"prefixes": [{"cidr": "203.0.113.0/24"}]}},
        ["overlaps with 203.0.113.0/24 of the account 'a1'"],
    ),
    "inside another's that begins before an own one": (
        {
            "a1": {"prefixes": [{"cidr": "2001:db8::/32"}]},
            "a2": {"prefixes": [{"cidr": "203.0.113.0/24"}, {"cidr": "2001:db8:5::/48"}, {"cidr": "2001:db8:5::/64"}]},
        },
        ["2001:db8:5::/48 overlaps", "2001:db8:5::/64 overlaps"],
    ),
    "the same octets in two families": (
        {"a1": {"prefixes": [{"cidr": "0.0.0.0/0"}]}, "a2": {"prefixes": [{"cidr": "::/0"}]}},
        [],
    ),
    "a static IP of both": (
        {"a1": {"static_ips": ["192.0.2.1"]}, "a2": {"static_ips": ["192.0.2.1"]}},
        ["192.0.2.1 is a static IP of the account 'a1'"],
    ),
    "a delegation as large as its prefix": (
        {
            "a1": {
                "prefixes": [{"cidr": "203.0.113.0/24", "delegations": [{"cidr": "203.0.113.0/24", "account": "a2"}]}]
            },
            "a2": {},
        },
        [],
    ),
    "a delegation larger than its prefix": (
        {
            "a1": {
                "prefixes": [{"cidr": "203.0.113.0/24", "delegations": [{"cidr": "203.0.112.0/23", "account": "a2"}]}]
            },
            "a2": {},
        },
        ["203.0.112.0/23 lies outside the prefix 203.0.113.0/24"],
    ),
    "a delegation of another family": (
        {
            "a1": {
                "prefixes": [{"cidr": "203.0.113.0/24", "delegations": [{"cidr": "2001:db8::/48", "account": "a2"}]}]
            },
            "a2": {},
        },
        ["2001:db8::/48 lies outside"],
    ),
    "a delegation to oneself": (
        {
            "a1": {
                "prefixes": [{"cidr": "203.0.113.0/24", "delegations": [{"cidr": "203.0.113.0/25", "account": "a1"}]}]
            },
            "a2": {},
        },
        ["cannot be delegated to its own account"],
    ),
    "a delegation to an unknown account": (
        {
            "a1": {
                "prefixes": [{"cidr": "203.0.113.0/24", "delegations": [{"cidr": "203.0.113.0/25", "account": "a9"}]}]
            },
            "a2": {},
        },
        ["there is no account 'a9'"],
    ),
    "two accounts of one id": (
        {"a1": {"id": "0" * 32}, "a2": {"id": "0" * 32}},
        ["a1 has the same id"],
    ),
}


@pytest.mark.parametrize(("accounts", "expected"), SPACES.values(), ids=SPACES.keys())
def test_address_space(accounts: dict[str, Fields], expected: list[str]) -> None:
    _, found = resolved(accounts, [], {})
    assert len(found) == len(expected)
    for problem, text in zip(found, expected, strict=True):
        assert text in problem.message


def test_zone_is_served_once() -> None:
    _, found = resolved(ACCOUNTS, [zone("example.com"), zone("Example.COM", account="a2")], {})
    assert [(p.source, p.path) for p in found] == [("a2/zones/Example.COM", ("name",))]


def test_two_zones_of_one_id() -> None:
    _, found = resolved(ACCOUNTS, [zone("example.com", id="0" * 32), zone("example.net", id="0" * 32)], {})
    assert [(p.source, p.message) for p in found] == [("a1/zones/example.net", "a1/zones/example.com has the same id")]


def test_ids_are_stable() -> None:
    """Users' scripts contain them: the same names must always give the same ids."""
    built = dataset([zone("example.com")], {"a1/m": {}}, ACCOUNTS)
    assert list(built.zones) == ["a65d7d0c6f97330768e12fb74f755061"]
    assert next(iter(built.accounts)) == "066877e9870395eb748dc5261e4f6db6"
    assert list(built.maps) == ["989b2ad2e1f6ac93f09cfe55fb01766d"]


STATES = {
    "active": ({}, {}, True),
    "pending": ({"status": "pending"}, {}, False),
    "moved": ({"status": "moved"}, {}, False),
    "initializing": ({"status": "initializing"}, {}, False),
    "paused": ({"paused": True}, {}, False),
    "an account that enforces DNS-only": ({}, {"settings": {"enforce_dns_only": True}}, False),
}


@pytest.mark.parametrize(("fields", "account", "applies"), STATES.values(), ids=STATES.keys())
def test_maps_are_consulted_for_active_zones_only(fields: Fields, account: Fields, applies: bool) -> None:
    built = dataset([zone("example.com", [record("www A 192.0.2.1")], **fields)], {}, {"a1": account})
    assert built.applies_maps(built.zones_by_name[parse_name_text("example.com")]) is applies
