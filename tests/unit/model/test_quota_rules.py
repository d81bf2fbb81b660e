"""The rule on quotas: what a change adds, of which account, and the warnings in files."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from dnsd.model.accounts import Account, AccountSettings, Approval, Delegation, Prefix
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap, MemberKind, Membership
from dnsd.model.quota_rules import quota_problems, quota_warnings, uses_of
from dnsd.model.quotas import Quotas
from dnsd.model.zones import Zone
from tests.models import record, zone

A1, A2 = "a1" * 16, "a2" * 16
NETWORK = ip_network("203.0.113.0/24")
PREFIX = Prefix("91" * 16, NETWORK, None, Approval.ACTIVE, "", (Delegation(NETWORK, A2),))
ADA = Account("ada", A1, "Ada", (PREFIX,), (), AccountSettings())
BOB = Account("bob", A2, "Bob", (), (), AccountSettings())
MAP = AddressMap("ada/maps/m", "11" * 16, A1, "", True, (ip_address("203.0.113.1"),), (), None, False)
MEMBERS = tuple(Membership(MemberKind.ZONE, f"{number:032x}") for number in range(3))
TIGHT = Quotas(
    zones=1,
    records_per_zone=2,
    records=3,
    maps=1,
    addresses_per_map=1,
    members_per_map=2,
    prefixes=1,
    delegations=1,
)


def zone_of(account_id: str, number: int, records: int) -> Zone:
    made = zone(f"z{number}.test", [record(f"r{one} A 192.0.2.1") for one in range(records)])
    return replace(made, id=f"{number:032x}", key=f"{account_id[:2]}/zones/z{number}", account_id=account_id)


def world(zones: tuple[Zone, ...] = (), maps: tuple[AddressMap, ...] = (), ada: Account = ADA) -> Dataset:
    return Dataset({A1: ada, A2: BOB}, {one.id: one for one in maps}, {one.id: one for one in zones})


Z1, Z2, FULL = zone_of(A1, 1, 1), zone_of(A1, 2, 1), zone_of(A1, 1, 5)
SECOND = replace(MAP, id="22" * 16, key="ada/maps/n")
WIDE = replace(MAP, ips=tuple(map(ip_address, ("203.0.113.1", "203.0.113.2", "203.0.113.3"))))
PEOPLED = replace(MAP, memberships=MEMBERS)
CASES = {
    "a first zone": (world(), world((Z1,)), []),
    "a second zone": (world((Z1,)), world((Z1, Z2)), ["zones"]),
    "a zone of another account": (world((Z1,)), world((Z1, zone_of(A2, 2, 1))), []),
    "one zone instead of another": (world((Z1,)), world((Z2,)), []),
    "a zone gone of too many": (world((Z1, Z2, zone_of(A1, 3, 0))), world((Z1, Z2)), []),
    "records up to the limit": (world((Z1,)), world((zone_of(A1, 1, 2),)), []),
    "records over both limits": (world((Z1,)), world((FULL,)), ["records", "records_per_zone"]),
    "a record replaced in a zone that is over": (world((FULL,)), world((replace(FULL, paused=True),)), []),
    "a record gone from a zone that is over": (world((FULL,)), world((zone_of(A1, 1, 4),)), []),
    "a second map": (world((), (MAP,)), world((), (MAP, SECOND)), ["maps"]),
    "a map disabled": (world((), (MAP, SECOND)), world((), (replace(MAP, enabled=False), SECOND)), []),
    "addresses over the limit": (world((), (MAP,)), world((), (WIDE,)), ["addresses_per_map"]),
    "fewer addresses, still over": (world((), (WIDE,)), world((), (replace(WIDE, ips=WIDE.ips[:2]),)), []),
    "members over the limit": (world((), (MAP,)), world((), (PEOPLED,)), ["members_per_map"]),
    "other members, as many": (world((), (PEOPLED,)), world((), (replace(PEOPLED, memberships=MEMBERS[::-1]),)), []),
    "a second prefix": (world(), world((), (), replace(ADA, prefixes=(PREFIX, PREFIX))), ["prefixes", "delegations"]),
    "a new account over its quotas": (
        Dataset({A2: BOB}, {}, {}),
        world((Z1, Z2), (MAP,), replace(ADA, prefixes=())),
        ["zones"],
    ),
    "an account with a quota of its own": (
        world((Z1,)),
        world((Z1, Z2), (), replace(ADA, quotas=(("zones", 2),))),
        [],
    ),
}


@pytest.mark.parametrize(("old", "new", "over"), CASES.values(), ids=CASES.keys())
def test_change_over_a_quota(old: Dataset, new: Dataset, over: list[str]) -> None:
    found = quota_problems(old, new, uses_of(old), uses_of(new), TIGHT)
    assert [problem.message.split("`")[1] for problem in found] == over
    assert not any(problem.warning for problem in found)


def test_added_object_is_named() -> None:
    [problem] = quota_problems(world((Z1,)), world((Z1, Z2)), uses_of(world((Z1,))), uses_of(world((Z1, Z2))), TIGHT)
    assert (problem.source, problem.path) == ("a1/zones/z2", ("name",))
    assert problem.message.startswith("the quota `zones` is 1, and there would be 2 zones in the account: delete some")


def test_files_over_a_quota_are_warned_of_once_each() -> None:
    dataset = world((FULL, Z2), (WIDE, SECOND))
    found = quota_warnings(dataset, uses_of(dataset), TIGHT)
    assert all(problem.warning for problem in found)
    assert [(problem.source, problem.path[-1]) for problem in found] == [
        ("ada", "zones"),
        ("ada", "records"),
        ("ada", "maps"),
        ("a1/zones/z1", "records"),
        ("ada/maps/m", "ips"),
    ]
    assert quota_warnings(dataset, uses_of(dataset), Quotas()) == []


def test_servers_own_records_do_not_count() -> None:
    lines = ("@ NS ns1.example.net", "sub NS ns2.example.net", "www A 192.0.2.1")
    made = zone("own.test", map(record, lines))
    assert len(made.records) > made.client_records == 2
