"""Drained addresses: what names moved off, by map, and the TTL that was out."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.compile.drained import MAX_ALIASES, drained
from dnsd.compile.moves import MAX_ALONE, moves
from dnsd.model.dataset import Dataset
from tests.models import Fields, account_map, dataset, proxied, record, zone, zone_map

OPTIONS = Options(tuple(map(ip_address, ("198.51.100.10", "2001:db8:f::10"))))
V4, V4B, V6 = "203.0.113.10", "203.0.113.11", "2001:db8:100::10"
WWW = proxied("www A 192.0.2.1")
OLD = proxied("old A 192.0.2.2", ipv4_only=True)
SPACE: Fields = {"prefixes": [{"cidr": "203.0.113.0/24", "approved": "V"}]}

Found = dict[str, tuple[str, int, int]]  # by map: addresses, names, TTL


def shop(*ips: str, names: object = (WWW, OLD), **fields: object) -> Dataset:
    return dataset([zone("example.com", names)], {"a1/shop": zone_map("example.com", *ips, **fields)})  # type: ignore[arg-type]


def aliased(target: str | None, ttl: int = 7200, account: str = "a1") -> Dataset:
    """A zone with a map, and an alias in another zone."""
    alias = [record(f"www CNAME {target}", ttl=ttl)] if target else []
    zones = [zone("example.com", [WWW]), zone("example.net", alias, account=account)]
    return dataset(zones, {"a1/shop": zone_map("example.com", V4)}, {"a1": SPACE, "a2": {}})


CASES: dict[str, tuple[Dataset, Dataset, Found]] = {
    "nothing": (shop(V4, V6), shop(V4, V6), {}),
    "an address more": (shop(V4), shop(V4, V4B), {}),
    "one address less": (shop(V4, V4B, V6), shop(V4, V6), {"a1/shop": (V4B, 2, 300)}),
    "the IPv6 addresses, that one name never had": (shop(V4, V6), shop(V4), {"a1/shop": (V6, 1, 300)}),
    "disabled": (shop(V4, V6), shop(V4, V6, enabled=False), {"a1/shop": (f"{V4} {V6}", 2, 300)}),
    "a family that no name shows": (
        shop(V4, V6, names=[OLD]),
        shop(V4, V6, names=[OLD], enabled=False),
        {"a1/shop": (V4, 1, 300)},
    ),
    "one name into the open": (
        shop(V4, V6),
        shop(V4, V6, names=[record("www A 192.0.2.1"), OLD]),
        {"a1/shop": (f"{V4} {V6}", 1, 300)},
    ),
    "one family of one name": (
        shop(V4, V6),
        shop(V4, V6, names=[proxied("www A 192.0.2.1", ipv4_only=True), OLD]),
        {"a1/shop": (V6, 1, 300)},
    ),
    "the zone is gone": (shop(V4), dataset([], {}), {"a1/shop": (V4, 2, 300)}),
    "off the pool": (shop(V4, enabled=False), shop(V4), {}),
    "from one map to another": (
        dataset([zone("example.com", [WWW])], {"a1/shop": zone_map("example.com", V4), "a1/all": account_map(V4B)}),
        dataset([zone("example.com", [WWW])], {"a1/all": account_map(V4B)}),
        {"a1/shop": (V4, 1, 300)},
    ),
    "an alias that leads elsewhere now": (
        aliased("www.example.com"),
        aliased("x.example.edu"),
        {"a1/shop": (V4, 1, 7200)},
    ),
    "an alias that is gone": (aliased("www.example.com"), aliased(None), {"a1/shop": (V4, 1, 7200)}),
    "an alias of another account": (aliased("www.example.com", account="a2"), aliased(None, account="a2"), {}),
}


@pytest.mark.parametrize(("old", "new", "expected"), CASES.values(), ids=CASES.keys())
def test_drained_addresses(old: Dataset, new: Dataset, expected: Found) -> None:
    assert found_in(old, new) == expected


def found_in(old: Dataset, new: Dataset) -> Found:
    before = build_snapshot(old, OPTIONS)
    after = build_snapshot(new, OPTIONS, before)
    found = {}
    for one in drained(before, after, moves(before, after)):
        addresses = map(str, sorted(one.addresses, key=lambda ip: (ip.version, int(ip))))
        found[one.map.replace("/maps/", "/")] = " ".join(addresses), one.names_total, one.ttl_s
    return found


def test_many_names_are_not_looked_at_one_by_one() -> None:
    names = [proxied(f"n{number} A 192.0.2.1") for number in range(MAX_ALONE + 10)]
    stored = [record(f"n{number} A 192.0.2.1") for number in range(MAX_ALONE + 10)]
    assert found_in(shop(V4, names=names), shop(V4, names=stored)) == {"a1/shop": (V4, MAX_ALONE + 10, 300)}
    aliases = [record(f"a{number} CNAME www.example.com", ttl=600) for number in range(MAX_ALIASES + 10)]
    assert found_in(shop(V4, names=[WWW, *aliases]), shop(V4, names=[WWW])) == {"a1/shop": (V4, MAX_ALIASES, 600)}
