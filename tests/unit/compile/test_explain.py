"""`explain`: each way to match and serve a name, and a verdict on every map."""

from __future__ import annotations

import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.compile.explain import Explanation, explain
from dnsd.model.dataset import Dataset
from dnsd.model.fields import parse_ip
from dnsd.model.maps import MissingFamily
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import parse_type_text
from tests.models import SPACE, Fields, account_map, dataset, proxied, record, zone, zone_map
from tests.packets import rcode_text

ZONES = [
    zone(
        "example.com",
        [
            proxied("www A 192.0.2.1"),
            proxied("al CNAME origin.example.org"),
            record("dns A 192.0.2.2"),
            record("a CNAME b.example.com"),
            record("b CNAME www.example.com"),
            record("out CNAME www.example.org"),
            record("@ CNAME dns.example.com"),
            record("*.w A 192.0.2.3"),
            record("x.y.deep A 192.0.2.4"),
            record("sub NS ns1.example.net"),
            record("d DNAME example.net"),
            record("grows DNAME s.grows.example.com"),
            record("l1 CNAME l2.example.com"),
            record("l2 CNAME l1.example.com"),
        ],
    ),
    zone(
        "example.net",
        [proxied("www A 192.0.2.1"), record("kid NS ns1.example.org"), record(f"kid DS 1 13 2 {'ab' * 32}")],
    ),
    zone("kid.example.net", [record("@ A 192.0.2.9")], account="a2"),
    zone("k.w.example.com", [proxied("@ A 192.0.2.9")]),
    zone("paused.example", [proxied("www A 192.0.2.1")], paused=True),
    zone("pending.example", [proxied("www A 192.0.2.1")], status="pending"),
    zone("new.example", [record("www A 192.0.2.1")], status="initializing"),
    zone("example.edu", [proxied("www A 192.0.2.1")], account="a2"),
    zone("plain.example", [proxied("www A 192.0.2.1")], account="a3"),
]
MAPS = {
    "a1/off": zone_map("example.com", "203.0.113.9", enabled=False),
    "a1/shop": zone_map("example.com", "203.0.113.1"),
    "a1/company": account_map("203.0.113.2", "2001:db8:100::2"),
    "a1/empty": account_map(),
    "a1/other": zone_map("paused.example", "203.0.113.3"),
    "a1/nobody": {"enabled": True, "ips": ["203.0.113.4"]},
}
ACCOUNTS: dict[str, Fields] = {"a1": SPACE, "a2": {}, "a3": {"settings": {"enforce_dns_only": True}}}


def explained(name: str, qtype: str = "A", missing: MissingFamily = MissingFamily.NODATA) -> Explanation:
    data: Dataset = dataset(ZONES, MAPS, ACCOUNTS)
    snapshot = build_snapshot(data, Options((parse_ip("198.51.100.10"),), missing))
    return explain(snapshot, data, parse_name_text(name), parse_type_text(qtype), missing)


# name, type, then for the first name: zone, kind of match, part of the text for `served`, the map used
ROWS: dict[str, tuple[str, str, str | None, str, str, str | None]] = {
    "proxied": (
        "www.example.com",
        "A",
        "example.com (active)",
        "exact",
        "proxied: addresses of its map",
        "a1/maps/shop",
    ),
    "proxied CNAME": ("al.example.com", "A", "example.com (active)", "exact", "proxied: addresses", "a1/maps/shop"),
    "of the account's map": ("www.example.net", "A", "example.net (active)", "exact", "proxied", "a1/maps/company"),
    "of the pool": (
        "www.example.edu",
        "A",
        "example.edu (active)",
        "exact",
        "proxied: addresses of the default pool",
        None,
    ),
    "proxied, another type": ("www.example.com", "TXT", "example.com (active)", "exact", "no data", None),
    "DNS-only": ("dns.example.com", "A", "example.com (active)", "exact", "as stored", None),
    "no data": ("dns.example.com", "TXT", "example.com (active)", "exact", "no data", None),
    "a CNAME": (
        "a.example.com",
        "A",
        "example.com (active)",
        "exact",
        "a CNAME to b.example.com, which is followed",
        None,
    ),
    "a query for CNAME": ("a.example.com", "CNAME", "example.com (active)", "exact", "as stored", None),
    "flattened": (
        "example.com",
        "A",
        "example.com (active)",
        "exact",
        "flattened to the addresses of dns.example.com",
        None,
    ),
    "flattened, another type": ("example.com", "MX", "example.com (active)", "exact", "no data", None),
    "a wildcard": (
        "q.w.example.com",
        "A",
        "example.com (active)",
        "matched by the wildcard *.w.example.com",
        "as stored",
        None,
    ),
    "an empty non-terminal": (
        "y.deep.example.com",
        "A",
        "example.com (active)",
        "an empty non-terminal",
        "no data",
        None,
    ),
    "no such name": (
        "nope.deep.example.com",
        "A",
        "example.com (active)",
        "no such name; the closest encloser is deep.example.com",
        "no data",
        None,
    ),
    "a delegation": ("sub.example.com", "A", "example.com (active)", "a delegation", "a referral", None),
    "below a delegation": (
        "x.sub.example.com",
        "A",
        "example.com (active)",
        "below the delegation of sub.example.com",
        "a referral",
        None,
    ),
    "below a DNAME": (
        "www.d.example.com",
        "A",
        "example.com (active)",
        "below the DNAME at d.example.com",
        "a DNAME to example.net",
        None,
    ),
    "paused": ("www.paused.example", "A", "paused.example (active, paused)", "exact", "maps do not apply", None),
    "pending": ("www.pending.example", "A", "pending.example (pending)", "exact", "maps do not apply", None),
    "not set up": ("www.new.example", "A", "new.example (initializing)", "not in a served zone", "refused", None),
    "enforced": (
        "www.plain.example",
        "A",
        "plain.example (active, its account enforces DNS-only)",
        "exact",
        "maps do not apply",
        None,
    ),
    "elsewhere": ("www.example.org", "A", None, "not in a served zone", "refused", None),
    "DS between two zones": ("kid.example.net", "DS", "example.net (active)", "a delegation", "as stored", None),
    "another type between two zones": ("kid.example.net", "A", "kid.example.net (active)", "exact", "as stored", None),
    "DS where the zone above has a wildcard": (
        "k.w.example.com",
        "DS",
        "example.com (active)",
        "matched by the wildcard *.w.example.com",
        "no data",
        None,
    ),
    "a family that the map lacks": (
        "www.example.com",
        "AAAA",
        "example.com (active)",
        "exact",
        "proxied: no data, as its map has no address of the family",
        "a1/maps/shop",
    ),
    "a DNAME that leads below itself": (
        "x.grows.example.com",
        "A",
        "example.com (active)",
        "below the DNAME at grows.example.com",
        "a DNAME to s.grows.example.com, which is not followed: its target is below its own owner name",
        None,
    ),
    "a transfer": (
        "example.com",
        "AXFR",
        "example.com (active)",
        "exact",
        "refused: not a query for records",
        None,
    ),
}


@pytest.mark.parametrize(("name", "qtype", "zone", "node", "served", "taken"), ROWS.values(), ids=ROWS.keys())
def test_name(name: str, qtype: str, zone: str | None, node: str, served: str, taken: str | None) -> None:
    found = explained(name, qtype).names[0]
    assert (found.name, found.zone, found.node) == (name, zone, node)
    assert served in found.served
    assert [verdict.map for verdict in found.maps if verdict.taken] == ([taken] if taken else [])


BETWEEN = {
    "nope.deep.example.com": "d.example.com and x.y.deep.example.com",  # empty non-terminals are no owners
    "0.example.com": "example.com and a.example.com",
    "zz.example.com": "www.example.com and the end of the zone",
    "subs.example.com": "sub.example.com and *.w.example.com",
    "*.example.com": "example.com and a.example.com",
    "\\000.l1.example.com": "l1.example.com and l2.example.com",
    "none.kid.example.net": "kid.example.net and the end of the zone",
    "www.example.com": None,
    "deep.example.com": None,
    "www.w.example.com": None,
    "x.sub.example.com": None,
    "www.d.example.com": None,
    "www.elsewhere.example": None,
}


@pytest.mark.parametrize(("name", "between"), BETWEEN.items())
def test_absent_name_is_between_its_neighbours(name: str, between: str | None) -> None:
    assert explained(name).names[0].between == between


WAYS = {
    "a chain": ("a.example.com", "A", ["a.example.com", "b.example.com", "www.example.com"]),
    "a chain that is not followed": ("a.example.com", "CNAME", ["a.example.com"]),
    "a chain that leaves our zones": ("out.example.com", "A", ["out.example.com", "www.example.org"]),
    "a loop": ("l1.example.com", "A", ["l1.example.com", "l2.example.com"]),
    "flattened": ("example.com", "AAAA", ["example.com", "dns.example.com"]),
    "a DNAME": ("www.d.example.com", "A", ["www.d.example.com", "www.example.net"]),
    "a proxied CNAME": ("al.example.com", "A", ["al.example.com"]),
}


@pytest.mark.parametrize(("name", "qtype", "names"), WAYS.values(), ids=WAYS.keys())
def test_way(name: str, qtype: str, names: list[str]) -> None:
    assert [step.name for step in explained(name, qtype).names] == names


def test_growing_names_end() -> None:
    found = explained("x.grows.example.com")
    assert rcode_text(found.reply) == "NOERROR"
    assert [step.name for step in found.names] == ["x.grows.example.com"]


def test_loop_is_reported_at_its_last_name() -> None:
    served = [step.served for step in explained("l1.example.com").names]
    assert served == [
        "as stored: a CNAME to l2.example.com, which is followed",
        "as stored: a CNAME to l1.example.com, which is not followed: it leads back to an earlier name of the chain",
    ]


def test_every_map_has_a_verdict() -> None:
    maps = explained("www.example.com").names[0].maps
    assert {verdict.map: (verdict.step, verdict.taken, verdict.why) for verdict in maps} == {
        "a1/maps/off": ("zone", False, "it is disabled"),
        "a1/maps/shop": ("zone", True, "it is the first usable map for the zone"),
        "a1/maps/company": ("account", False, "a1/maps/shop takes precedence"),
        "a1/maps/empty": ("account", False, "it has no addresses"),
        "a1/maps/nobody": ("-", False, "it has no members"),
        "a1/maps/other": ("-", False, "no member covers the zone"),
    }
    assert [verdict.step for verdict in maps] == ["zone", "zone", "account", "account", "-", "-"]


def test_map_that_provides_the_missing_family() -> None:
    found = explained("www.example.com", "AAAA", MissingFamily.FALLBACK).names[0]
    assert {verdict.map: verdict.why for verdict in found.maps if verdict.taken} == {
        "a1/maps/shop": "it is the first usable map for the zone",
        "a1/maps/company": "it has a family that the first map lacks",
    }
