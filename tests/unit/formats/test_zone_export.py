"""Exported zones: Cloudflare's format, and the same records when read back."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dnsd.formats.record_line import record_line
from dnsd.formats.zone_export import export
from dnsd.formats.zone_text import parse_zone_text
from dnsd.model.columns import Records
from dnsd.model.record_parts import finished
from dnsd.model.records import Identity, Record, RecordSettings
from dnsd.model.zones import Status, Zone, ZoneSettings
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import pack_rdata, parse_rdata_text, parse_type_text
from tests.samples.zones import EXPORT
from tests.unit.wire.test_rdata import SAMPLES

NOW = datetime(2026, 3, 25, 2, 20, 34, 5, UTC)
EXAMPLE = parse_name_text("example.com")
ID = "0123456789abcdef0123456789abcdef"


def zone_of(*records: Record, name: bytes = EXAMPLE) -> Zone:
    return Zone("acme/zones/x", ID, ID, name, Status.ACTIVE, False, ZoneSettings(), Records.of(records))


def record(owner: str, rtype: str, content: str, ttl: int = 1) -> Record:
    number = parse_type_text(rtype)
    return Record(parse_name_text(owner), number, ttl, pack_rdata(parse_rdata_text(number, content)))


APEX = (
    record("example.com", "SOA", "ns1.example.net. host.example.com. 1 2 3 4 5", 3600),
    record("example.com", "NS", "ns1.example.net.", 86_400),
)


def read(text: str) -> Counter[Record]:
    """The records in an exported file; its name does not matter."""
    found = parse_zone_text(text, parse_name_text("export"))
    assert found.problems == []
    return Counter(found.records)


def test_sample_is_exported_unchanged_except_for_the_final_dot_of_its_soa() -> None:
    text = EXPORT.read_text("utf-8")
    found = parse_zone_text(text, EXAMPLE)
    assert len({record.rtype for record in found.records}) == 22
    zone = zone_of(*found.records, name=found.name)
    assert finished(export(zone, NOW)) == text.replace("\nbakery.example\t", "\nbakery.example.\t")


def test_sections() -> None:
    rows = [
        ("b", "TXT", "t"),
        ("b", "A", "192.0.2.2"),
        ("a", "TYPE65280", r"\# 1 ff"),
        ("a", "A", "192.0.2.1"),
        ("a", "NS", "b."),
    ]
    records = [record(f"{owner}.example.com", rtype, content) for owner, rtype, content in rows]
    exported = finished(export(zone_of(*records, *APEX), NOW))
    assert exported.partition("Use at your own risk.\n")[2] == (
        ";; SOA Record\n"
        "example.com.\t3600\tIN\tSOA\tns1.example.net. host.example.com. 1 2 3 4 5\n\n"
        ";; NS Records\n"
        "a.example.com.\t1\tIN\tNS\tb.\n"
        "example.com.\t86400\tIN\tNS\tns1.example.net.\n\n"
        ";; A Records\n"
        "b.example.com.\t1\tIN\tA\t192.0.2.2 ; cf_tags=cf-proxied:false\n"
        "a.example.com.\t1\tIN\tA\t192.0.2.1 ; cf_tags=cf-proxied:false\n\n"
        ";; TXT Records\n"
        'b.example.com.\t1\tIN\tTXT\t"t"\n\n'
        ";; TYPE65280 Records\n"
        "a.example.com.\t1\tIN\tTYPE65280\t\\# 1 ff\n"
    )


def test_identities_are_exported_on_request() -> None:
    identity = Identity(ID, NOW, None)
    one = replace(record("a.example.com", "TXT", "t"), identity=identity, comment="hello")
    zone = zone_of(one, *APEX)
    assert "dnsd-" not in finished(export(zone, NOW))
    said = f'"t" ; hello cf_tags=dnsd-id:{ID},dnsd-created:2026-03-25T02:20:34.000005Z\n'
    assert said in finished(export(zone, NOW, identities=True))


FLAT = RecordSettings(flatten_cname=True)

# A record's comment, tags and settings, and the comment of its line
LINES = {
    "tags": ("", ("owner:net", "urgent"), RecordSettings(), "cf_tags=cf-proxied:false,owner:net,urgent"),
    "tags and a comment": ("why", ("a:b",), RecordSettings(), "why cf_tags=cf-proxied:false,a:b"),
    "a tag that needs quotes": (
        "",
        ("x:a, b", 'y:"', "z:a=b", "w:\\", "v: c ", "u:d e"),
        RecordSettings(),
        r'cf_tags=cf-proxied:false,x:"a, b",y:"\"",z:"a=b",w:"\\",v:" c ",u:"d e"',
    ),
    "a flattened CNAME": ("", (), FLAT, "cf_tags=cf-proxied:false,cf-flatten-cname"),
    "settings without a tag of Cloudflare's": (
        "",
        (),
        RecordSettings(ipv4_only=True, ipv6_only=False, flatten_cname=False),
        "cf_tags=cf-proxied:false,dnsd-flatten-cname:false,dnsd-ipv4-only:true,dnsd-ipv6-only:false",
    ),
    "a mention of tags in the comment": ("a cf_tags=b", (), RecordSettings(), "a cf_tags=b cf_tags=cf-proxied:false"),
    "lines": ("a\nb", (), RecordSettings(), r'cf_tags=cf-proxied:false,dnsd-comment:"a\nb"'),
    "a reserved name": (
        "",
        ("Cf-proxied:true",),
        RecordSettings(),
        "cf_tags=cf-proxied:false,dnsd-tag:Cf-proxied:true",
    ),
    "a name with a blank": ("", ("a b",), RecordSettings(), 'cf_tags=cf-proxied:false,dnsd-tag:"a b"'),
}


@pytest.mark.parametrize(("comment", "tags", "switches", "said"), LINES.values(), ids=LINES.keys())
def test_comment_tags_and_settings_of_a_line(
    comment: str, tags: tuple[str, ...], switches: RecordSettings, said: str
) -> None:
    one = replace(record("a.example.com", "CNAME", "b.example.com."), comment=comment, tags=tags, settings=switches)
    assert record_line(one).partition(" ; ")[2] == said
    assert list(parse_zone_text(record_line(one), EXAMPLE).records) == [one]


@pytest.mark.parametrize(("rtype", "content"), SAMPLES.items(), ids=SAMPLES.keys())
def test_data_of_every_type_is_read_back(rtype: str, content: str) -> None:
    one = replace(record("example.com", rtype, content, 60), comment="c")
    zone = zone_of(*(other for other in APEX if other.rtype != one.rtype), one)
    assert read(finished(export(zone, NOW))) == Counter(zone.records)


ODD = {
    "a URI that is not text": ("URI", r"\# 5 00010001ff"),
    "a URI with a quote": ("URI", r"\# 6 00010001 2241"),
    "a URI with a backslash": ("URI", r"\# 6 00010001 5c5c"),
    "a CAA value of any octets": ("CAA", r"\# 6 00 01 61 ff2200"),
    "an empty list": ("APL", r"\# 0"),
    "an empty string": ("TXT", r"\# 1 00"),
    "no data": ("TYPE65280", r"\# 0"),
    "a name of any octets": ("CNAME", r"\000\255\.\"\;\(\@\$\\a.b."),
    "the root": ("MX", "0 ."),
    "a key without a value": ("SVCB", r"1 . key65333"),
    "a value of any octets": ("SVCB", r'1 . key65333="\"\\\255,a"'),
    "lists with commas": ("HTTPS", r'1 . alpn="f\\\\oo\\,bar,h2"'),
    "a LOC with sizes": ("LOC", "51 30 12.748 N 0 7 39.612 W -100.00m 90000m 10m 0.5m"),
    "NSEC without types": ("NSEC", "a."),
}


@pytest.mark.parametrize(("rtype", "content"), ODD.values(), ids=ODD.keys())
def test_odd_data_is_read_back(rtype: str, content: str) -> None:
    one = record("a.example.com", rtype, content)
    assert list(parse_zone_text(record_line(one), EXAMPLE).records) == [one]
