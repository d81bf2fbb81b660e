"""The records of one zone together: conflicts, limits, and generated records at the apex."""

from __future__ import annotations

import pytest

from dnsd.model.records import RecordFields
from dnsd.model.zone_rules import MOST_RRSET_OCTETS, zone_problems
from dnsd.model.zones import SoaFields
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import NS, SOA, pack_rdata, parse_rdata_text, type_text
from tests.models import apex_records, proxied, record, zone

A = record("www A 192.0.2.1")
CNAME = record("www CNAME a.example.org")
LARGE = [record(f"big TXT {' '.join([chr(34) + f'{n:03}' + 'x' * 240 + chr(34)] * 10)}") for n in range(24)]
assert 24 * 10 * 244 < MOST_RRSET_OCTETS < 26 * 10 * 244

# Records; index and part of the text of each problem.
CASES: dict[str, tuple[list[RecordFields], list[tuple[int, str]]]] = {
    "nothing": ([], []),
    "different data": ([A, record("www A 192.0.2.2")], []),
    "the same data twice": ([A, A], [(1, "duplicate of records[0]")]),
    "the same data twice, other TTL": ([A, record("www A 192.0.2.1", ttl=60)], [(1, "duplicate of records")]),
    "the same data twice, proxied once": ([A, proxied("www A 192.0.2.1")], [(1, "duplicate of records")]),
    "the same data thrice": ([A, A, A], [(1, "records[0]"), (2, "records[0]")]),
    "the same data at two names": ([A, record("w2 A 192.0.2.1")], []),
    # CNAME with other types
    "CNAME alone": ([CNAME], []),
    "CNAME with TXT and MX": ([CNAME, record("www TXT a"), record("www MX 1 m.example.org")], []),
    "CNAME with A": ([A, CNAME], [(1, "a CNAME cannot coexist with A records at www.example.com")]),
    "CNAME before A": ([CNAME, A], [(1, "cannot coexist with A records")]),
    "CNAME with AAAA": ([record("www AAAA 2001:db8::1"), CNAME], [(1, "cannot coexist with AAAA records")]),
    "proxied CNAME with A": ([A, proxied("www CNAME a.example.org")], [(1, "cannot coexist with A")]),
    "CNAME with NS": ([record("www NS ns1.example.org"), CNAME], [(1, "cannot coexist with NS records")]),
    "CNAME with DNAME": ([record("www DNAME a.example.net"), CNAME], [(1, "cannot coexist with DNAME")]),
    "two CNAMEs": (
        [CNAME, record("www CNAME b.example.org")],
        [(1, "2 CNAME records at www.example.com; only one is allowed")],
    ),
    "CNAME at the apex": ([record("@ CNAME a.example.org"), record("@ MX 1 m.example.org")], []),
    "CNAME and A at the apex": (
        [record("@ CNAME a.example.org"), record("@ A 192.0.2.1")],
        [(1, "cannot coexist with A")],
    ),
    # DNAME, NS, SOA
    "DNAME alone": ([record("d DNAME a.example.org"), record("d TXT a")], []),
    "DNAME at the apex": ([record("@ DNAME example.org")], []),
    "a name below DNAME": (
        [record("d DNAME a.example.org"), record("x.y.d A 192.0.2.1")],
        [(1, "x.y.d.example.com lies below the DNAME at d.example.com")],
    ),
    "a name below DNAME at the apex": ([record("@ DNAME example.org"), A], [(1, "below the DNAME at example.com")]),
    "a name that only looks as if below DNAME": ([record("d DNAME a.example.org"), record("xd A 192.0.2.1")], []),
    "two DNAMEs": ([record("d DNAME a.example.org"), record("d DNAME b.example.org")], [(1, "2 DNAME records")]),
    "DNAME with NS": (
        [record("d NS ns1.example.org"), record("d DNAME a.example.org")],
        [(1, "cannot coexist with NS")],
    ),
    "DNAME at a wildcard": ([record("*.d DNAME a.example.org")], [(0, "a wildcard cannot own DNAME")]),
    "NS at a wildcard": ([record("* NS ns1.example.org")], [(0, "a wildcard cannot own NS")]),
    "NS below a wildcard": ([record("a.* NS ns1.example.org")], []),
    "a proxied wildcard": ([proxied("*.a.b A 192.0.2.1"), proxied("* CNAME a.example.org")], []),
    "SOA below the apex": ([record("a SOA a. b. 1 2 3 4 5")], [(0, "must be at the apex, example.com")]),
    "two SOAs": ([record("@ SOA a. b. 1 2 3 4 5"), record("@ SOA a. b. 2 2 3 4 5")], [(1, "2 SOA records")]),
    # Limits: reliability.md
    "100 records of one type": ([record(f"www A 192.0.2.{n}") for n in range(100)], []),
    "101 records of one type": (
        [record(f"www A 192.0.2.{n}") for n in range(101)],
        [(100, "101 A records at www.example.com; the limit is 100 (limits.rrset_records")],
    ),
    "an RRset just small enough": (LARGE, []),
    "an RRset too large": ([*LARGE, record(f"big TXT {'y' * 2500}")], [(0, "the limit is 60000 (limits.rrset_octets")]),
    "100 types": ([record(rf"www TYPE{65_280 + n} \# 0") for n in range(100)], []),
    "101 types": (
        [record(rf"www TYPE{65_280 + n} \# 0") for n in range(101)],
        [(100, "101 types at www.example.com; the limit is 100")],
    ),
    "several": (
        [A, CNAME, A, record("a SOA a. b. 1 2 3 4 5")],
        [(1, "cannot coexist with A"), (2, "duplicate"), (3, "apex")],
    ),
}


@pytest.mark.parametrize(("records", "expected"), CASES.values(), ids=CASES.keys())
def test_records_together(records: list[RecordFields], expected: list[tuple[int, str]]) -> None:
    found = zone_problems(zone("example.com", records))
    assert [problem.path for problem in found] == [("records", index) for index, _ in expected]
    for problem, (_, text) in zip(found, expected, strict=True):
        assert text in problem.message


EXAMPLE = parse_name_text("example.com")
HOSTS = ["ns1.example.net.", "ns2.example.net.", "ns1.example.net."]
APEX: dict[str, tuple[list[RecordFields], dict[str, object], list[tuple[str, int, str]]]] = {
    "all": (
        [],
        {},
        [
            ("SOA", 3600, "ns1.example.net. hostmaster.example.com. 7 10000 2400 604800 300"),
            ("NS", 86_400, "ns1.example.net."),
            ("NS", 86_400, "ns2.example.net."),
        ],
    ),
    "NS alone": (
        [record("@ SOA a. b. 1 2 3 4 5")],
        {},
        [("NS", 86_400, "ns1.example.net."), ("NS", 86_400, "ns2.example.net.")],
    ),
    "SOA alone": (
        [record("@ NS ns9.example.net")],
        {},
        [("SOA", 3600, "ns1.example.net. hostmaster.example.com. 7 10000 2400 604800 300")],
    ),
    "nothing": ([record("@ NS ns9.example.net"), record("@ SOA a. b. 1 2 3 4 5")], {}, []),
    "an SOA as told": (
        [record("@ NS ns9.example.net")],
        {
            "mname": "m.example.org",
            "rname": "first.last@example.org",
            "refresh": 1,
            "retry": 2,
            "expire": 3,
            "minimum": 0,
        },
        [("SOA", 3600, r"m.example.org. first\.last.example.org. 7 1 2 3 0")],
    ),
    "NS below the apex does not count": (
        [record("sub NS ns9.example.net"), record("@ SOA a. b. 1 2 3 4 5")],
        {},
        [("NS", 86_400, "ns1.example.net."), ("NS", 86_400, "ns2.example.net.")],
    ),
}


@pytest.mark.parametrize(("given", "soa", "made"), APEX.values(), ids=APEX.keys())
def test_made_at_the_apex(given: list[RecordFields], soa: dict[str, object], made: list[tuple[str, int, str]]) -> None:
    written = zone("example.com", given).records[: len(given)]
    found = apex_records(EXAMPLE, written, HOSTS, SoaFields.model_validate(soa), 7)
    assert [(type_text(r.rtype), r.ttl_s, r.content) for r in found] == made


@pytest.mark.parametrize("zone", ["example.com", "xn--bcher-kva.example", "a.b.c.d.example", ".", "_x.*.example"])
@pytest.mark.parametrize(
    "soa",
    [
        SoaFields(),
        SoaFields(mname="NS.x.example", rname="a.b@example.org", refresh=7),
        SoaFields(rname="Host\\.x.example."),
    ],
    ids=["default", "given", "escaped"],
)
def test_apex_records_are_those_of_their_text(zone: str, soa: SoaFields) -> None:
    name = parse_name_text(zone)
    rname = soa.rname or ("hostmaster." if zone == "." else f"hostmaster.{zone}.")
    numbers = f"5 {soa.refresh} {soa.retry} {soa.expire} {soa.minimum}"
    hosts = ["NS1.example.net.", "ns2.example.net."]
    data = pack_rdata(parse_rdata_text(SOA, f"{soa.mname or hosts[0]} {rname} {numbers}"))
    made = apex_records(name, [], hosts, soa, 5)
    assert [(record.rtype, record.ttl, record.rdata) for record in made] == [
        (SOA, 3600, data),
        *((NS, 86_400, pack_rdata(parse_rdata_text(NS, host))) for host in hosts),
    ]


def test_zone_whose_name_leaves_no_room_for_hostmaster_needs_a_mailbox() -> None:
    name = parse_name_text(".".join(["a" * 49] * 5) + ".")
    with pytest.raises(ValueError, match=r"too long: the limit is 255 octets; give `rname`"):
        apex_records(name, [], ["ns1.example.net."], SoaFields(), 5)
    assert apex_records(name, [], ["ns1.example.net."], SoaFields(rname="a@b.example"), 5)
