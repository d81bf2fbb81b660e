"""Which map decides: precedence, the newest membership, ties, skipped maps, a missing family."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address

import pytest

from dnsd.model.maps import (
    AddressMap,
    MemberKind,
    Membership,
    MissingFamily,
    Precedence,
    considered,
    effective,
)

ZONE, ACCOUNT = "z1", "a1"
JANUARY, JUNE = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC)


def address_map(
    name: str,
    *members: Membership,
    ips: tuple[str, ...] = ("203.0.113.1", "2001:db8:100::1"),
    enabled: bool = True,
    immutable: bool = False,
    id: str | None = None,
) -> AddressMap:
    return AddressMap(
        key=name,
        id=id or name,
        account_id=ACCOUNT,
        description="",
        enabled=enabled,
        ips=tuple(map(ip_address, ips)),
        memberships=members,
        default_sni=None,
        immutable=immutable,
    )


def in_zone(at: datetime | None = None, zone: str = ZONE) -> Membership:
    return Membership(MemberKind.ZONE, zone, at)


def in_account(at: datetime | None = None, account: str = ACCOUNT) -> Membership:
    return Membership(MemberKind.ACCOUNT, account, at)


MZ = address_map("MZ", in_zone())
MA = address_map("MA", in_account())
MI = address_map("MI", in_account(), immutable=True)
V4 = ("203.0.113.9",)
V6 = ("2001:db8:100::9",)

# The maps, and the chosen map; None is the default pool.
CASES: dict[str, tuple[list[AddressMap], str | None]] = {
    "none": ([], None),
    "the zone's": ([MZ], "MZ"),
    "the account's": ([MA], "MA"),
    "the immutable one": ([MI], "MI"),
    "the zone's before the account's": ([MA, MZ], "MZ"),
    "the account's before the immutable one": ([MI, MA], "MA"),
    "the zone's before all": ([MI, MA, MZ], "MZ"),
    "another zone's": ([address_map("M", in_zone(zone="z2"))], None),
    "another account's": ([address_map("M", in_account(account="a2"))], None),
    "disabled": ([address_map("M", in_zone(), enabled=False)], None),
    "disabled, and the search goes on": ([address_map("M", in_zone(), enabled=False), MA], "MA"),
    "no members": ([address_map("M")], None),
    "no addresses": ([address_map("M", in_zone(), ips=()), MA], "MA"),
    "an immutable one without addresses": ([address_map("M", in_account(), ips=(), immutable=True)], None),
    "one family is enough to be found": ([address_map("M", in_zone(), ips=V6), MA], "M"),
    "a map of the zone and the account is the zone's": (
        [address_map("M", in_account(), in_zone()), MZ, address_map("A", in_account(JUNE))],
        "MZ",
    ),
    "the newest membership": ([address_map("X", in_zone(JANUARY)), address_map("B", in_zone(JUNE))], "B"),
    "a membership without a time is oldest": ([address_map("X", in_zone()), address_map("B", in_zone(JANUARY))], "B"),
    "the newest, but disabled": (
        [address_map("X", in_zone(JANUARY)), address_map("B", in_zone(JUNE), enabled=False)],
        "X",
    ),
    "the time of the membership that covers the zone counts": (
        [address_map("X", in_zone(JANUARY), in_account(JUNE)), address_map("B", in_zone(JUNE))],
        "B",
    ),
    "precedence counts before time": ([address_map("X", in_zone(JANUARY)), address_map("B", in_account(JUNE))], "X"),
    "a tie goes to the greater id": ([address_map("X", in_zone(JUNE)), address_map("Y", in_zone(JUNE))], "Y"),
    "a tie without times": ([address_map("X", in_zone(), id="f0"), address_map("Y", in_zone(), id="0f")], "X"),
    "a tie of immutable maps": ([MI, address_map("MJ", in_account(), immutable=True)], "MJ"),
    "times compare across their zones": (
        [
            address_map("X", in_zone(JUNE)),
            address_map("B", in_zone(datetime(2025, 6, 1, 1, tzinfo=timezone(timedelta(hours=2))))),
        ],
        "X",
    ),
    "microseconds count": (
        [address_map("X", in_zone(JUNE)), address_map("B", in_zone(JUNE + timedelta(microseconds=1)))],
        "B",
    ),
}


@pytest.mark.parametrize(("maps", "taken"), CASES.values(), ids=CASES.keys())
def test_precedence(maps: list[AddressMap], taken: str | None) -> None:
    for order in itertools.permutations(maps):
        found = effective(considered(order, ACCOUNT, ZONE), MissingFamily.NODATA)
        assert (found.maps[0].map.key if found else None) == taken


def both(maps: list[AddressMap], missing: MissingFamily) -> tuple[list[str], list[str]] | None:
    found = effective(considered(maps, ACCOUNT, ZONE), missing)
    return ([str(ip) for ip in found.v4], [str(ip) for ip in found.v6]) if found else None


ZONE_V4, ZONE_V6 = address_map("Z4", in_zone(), ips=V4), address_map("Z6", in_zone(), ips=V6)
FAMILIES: dict[str, tuple[list[AddressMap], tuple[list[str], list[str]], tuple[list[str], list[str]]]] = {
    "a map with both": ([MZ], (["203.0.113.1"], ["2001:db8:100::1"]), (["203.0.113.1"], ["2001:db8:100::1"])),
    "v4 only": ([ZONE_V4], ([*V4], []), ([*V4], [])),
    "v6 only": ([ZONE_V6], ([], [*V6]), ([], [*V6])),
    "v4 only, then the account's": ([ZONE_V4, MA], ([*V4], []), ([*V4], ["2001:db8:100::1"])),
    "v4 only, then a disabled map": (
        [ZONE_V4, address_map("M", in_account(), enabled=False)],
        ([*V4], []),
        ([*V4], []),
    ),
    "v4 only twice, then the immutable one": (
        [ZONE_V4, address_map("M", in_account(), ips=("203.0.113.7",)), MI],
        ([*V4], []),
        ([*V4], ["2001:db8:100::1"]),
    ),
}


@pytest.mark.parametrize(("maps", "nodata", "fallback"), FAMILIES.values(), ids=FAMILIES.keys())
def test_missing_family(
    maps: list[AddressMap], nodata: tuple[list[str], list[str]], fallback: tuple[list[str], list[str]]
) -> None:
    assert both(maps, MissingFamily.NODATA) == nodata
    assert both(maps, MissingFamily.FALLBACK) == fallback


def test_addresses_keep_the_order_of_the_map() -> None:
    ips = ("203.0.113.9", "2001:db8:100::9", "203.0.113.1", "2001:db8:100::1", "203.0.113.5")
    assert both([address_map("M", in_zone(), ips=ips)], MissingFamily.NODATA) == (list(ips[::2]), list(ips[1::2]))


def test_fallback_lists_every_map_used() -> None:
    found = effective(considered([ZONE_V4, MA], ACCOUNT, ZONE), MissingFamily.FALLBACK)
    assert found
    assert [candidate.map.key for candidate in found.maps] == ["Z4", "MA"]


REASONS = {
    "it is disabled": (address_map("M", in_zone(), enabled=False), Precedence.ZONE),
    "it has no members": (address_map("M"), None),
    "no member covers the zone": (address_map("M", in_zone(zone="z2")), None),
    "it has no addresses": (address_map("M", in_account(), ips=()), Precedence.ACCOUNT),
}


@pytest.mark.parametrize(("reason", "case"), REASONS.items(), ids=REASONS.keys())
def test_reason_to_skip(reason: str, case: tuple[AddressMap, Precedence | None]) -> None:
    [candidate] = considered([case[0]], ACCOUNT, ZONE)
    assert (candidate.skipped, candidate.step) == (reason, case[1])


def test_every_map_is_considered_the_decisive_one_first() -> None:
    maps = [address_map("other", in_zone(zone="z2")), MI, MA, address_map("off", in_zone(JUNE), enabled=False), MZ]
    assert [candidate.map.key for candidate in considered(maps, ACCOUNT, ZONE)] == ["off", "MZ", "MA", "MI", "other"]


def test_zones_without_a_map_of_their_own() -> None:
    assert [c.step for c in considered([MZ, MI, MA], ACCOUNT, None)] == [Precedence.ACCOUNT, Precedence.IMMUTABLE, None]


def test_immutable_maps_may_not_be_deleted_nor_their_addresses_changed() -> None:
    assert (MI.can_delete, MI.can_modify_ips) == (False, False)
    assert (MA.can_delete, MA.can_modify_ips) == (True, True)
