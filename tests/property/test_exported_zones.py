"""Exported zones are read back unchanged, by us and by dnspython."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC

import dns.zone
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dnsd.formats.zone_export import export
from dnsd.model.record_parts import finished
from dnsd.model.records import Identity, Record, RecordSettings
from dnsd.model.zones import Zone
from dnsd.wire.names import ROOT
from dnsd.wire.rdata import CNAME, TXT, A, canonical_rdata
from tests.limits import examples
from tests.unit.formats.test_zone_export import APEX, EXAMPLE, ID, NOW, read, record, zone_of
from tests.unit.wire.test_rdata import SAMPLES

ODD_LABELS = [b".", b"*", b"@", b'"', b"\\", b";", b"(", b" ", b"$", b"\xff", b"a.b"]
ODD_COMMENTS = [
    ";",
    "a cf_tags=cf-proxied:true",
    '"',
    "(",
    "\\",
    'cf_tags=a:"',
    "cf_tags=",
    "x cf_tags= ",
    "cf_tags=a,",
]
ODD_TAGS = [
    "",
    "a",
    "a:",
    "A:b",
    ":",
    "::",
    'a:"',
    "a:,b",
    "a b",
    "a:b c",
    "cf-proxied:true",
    "DNSD-id:x",
    "cf_tags=x",
    "n:ü\x85",
]


def with_lengths(parts: Iterable[bytes]) -> bytes:
    return b"".join(bytes((len(part),)) + part for part in parts)


labels = (st.binary(min_size=1, max_size=20) | st.sampled_from(ODD_LABELS)).map(bytes.lower)
names = st.lists(labels, max_size=4).map(with_lengths)
strings = st.lists(st.binary(max_size=255) | labels, min_size=1, max_size=4).map(with_lengths)
samples = st.sampled_from([record("x", rtype, content) for rtype, content in SAMPLES.items() if rtype != "SOA"])
data = samples.map(lambda one: (one.rtype, one.rdata))
texts = st.tuples(st.just(TXT), strings)
addresses = st.tuples(st.just(A), st.binary(min_size=4, max_size=4))
unknown = st.tuples(st.sampled_from([65_280, 65_534, 31, 10]), st.binary(max_size=40))
printed = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t\n\r\b\f")
comments = st.text(printed, max_size=12) | st.sampled_from(ODD_COMMENTS)
comments = comments | st.lists(comments, max_size=3).map(" ".join)
tags = st.lists(st.text(printed, max_size=8) | st.sampled_from(ODD_TAGS), max_size=20).map(tuple)
flags = st.none() | st.booleans()
switches = st.builds(RecordSettings, ipv4_only=flags, ipv6_only=flags, flatten_cname=flags)
times = st.none() | st.datetimes(timezones=st.just(UTC))


@st.composite
def records(draw: st.DrawFn, zone_name: bytes) -> Record:
    rtype, rdata = draw(data | texts | addresses | unknown)
    is_proxied = rtype in (1, 5, 28) and draw(st.booleans())
    comment, identity = draw(comments), draw(st.builds(Identity, st.none() | st.just(ID), times, times))
    ttl = 1 if is_proxied else draw(st.integers(0, 2**31 - 1))
    owner = draw(names) + zone_name
    return Record(owner, rtype, ttl, rdata, is_proxied, draw(switches), comment, draw(tags), identity)


@st.composite
def zones(draw: st.DrawFn) -> Zone:
    name = draw(st.sampled_from([EXAMPLE, b"\0", b"\3org\0", b"\4a.b\xff\0", b"\1@\0"]))
    found = draw(st.lists(records(name), max_size=8))
    soa = replace(APEX[0], owner=name)
    distinct = {(one.owner, one.rtype, canonical_rdata(one.rtype, one.rdata)): one for one in found}
    return zone_of(*distinct.values(), soa, name=name)


@settings(max_examples=examples(200, 600))
@given(zones(), st.booleans())
def test_records_are_read_back(zone: Zone, identities: bool) -> None:
    expected = Counter(
        one if identities else replace(one, identity=Identity(written=one.identity.written)) for one in zone.records
    )
    assert read(finished(export(zone, NOW, identities=identities))) == expected


@settings(max_examples=100)
@given(zones())
def test_others_read_the_same(zone: Zone) -> None:
    """The zone as read by dnspython, independently of our reader; it refuses a CNAME with other data."""
    aliases = {one.owner for one in zone.records if one.rtype == CNAME}
    assume(not any(one.owner in aliases and one.rtype != CNAME for one in zone.records))
    text = finished(export(zone, NOW))
    found = dns.zone.from_text(text, origin=dns.name.from_wire(zone.name, 0)[0], relativize=False, check_origin=False)
    theirs = {
        (bytes(name.to_wire() or ROOT).lower(), int(rdata.rdtype), rdata.to_digestable())
        for name, _, rdata in found.iterate_rdatas()
    }
    assert theirs == {(one.owner, one.rtype, canonical_rdata(one.rtype, one.rdata)) for one in zone.records}
