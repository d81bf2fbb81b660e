"""Records to JSON and back: the formats that clients expect, the bodies that they send, round trips, and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.api.codes import shown_faults
from dnsd.api.records.data import in_lower_case
from dnsd.api.records.parts import PARTS
from dnsd.api.records.read import RecordBodyError, built_record, record_fields
from dnsd.api.records.show import record_json
from dnsd.formats.zone_text import parse_zone_text
from dnsd.model.records import UNWRITTEN, Identity, Record, RecordSettings, build_record
from dnsd.model.times import Times
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import MX, pack_rdata, parse_rdata_text, parse_type_text
from tests.samples.zones import EXPORT
from tests.unit.wire.test_rdata import SAMPLES

EXAMPLE = parse_name_text("example.com")
OWNER = parse_name_text("www.example.com")
WRITTEN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
TIMES = Times(WRITTEN, WRITTEN)
ADDRESS = {"type": "A", "name": "www", "content": "192.0.2.1"}
KEY = "mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ=="


def record(rtype: str, text: str, **more: Any) -> Record:
    number = parse_type_text(rtype)
    return Record(OWNER, number, 1, pack_rdata(parse_rdata_text(number, text)), **more)


def shown(one: Record, times: Times = TIMES) -> dict[str, Any]:
    """The JSON of a record, after serialization."""
    made = record_json(one, "ab" * 16, zone_id="cd" * 16, zone_name="example.com", times=times)
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]


def built(body: dict[str, Any], base: Record | None = None) -> Record:
    return built_record(body, EXAMPLE, base)


def faults(body: dict[str, Any], base: Record | None = None) -> list[tuple[int, str]]:
    """Code and pointer of each fault of a body."""
    with pytest.raises(RecordBodyError) as caught:
        built(body, base)
    assert all(fault.message and len(fault.message) <= 401 for fault in caught.value.faults)
    json.dumps([fault.message for fault in caught.value.faults], ensure_ascii=False).encode()
    return [(fault.code.number, fault.pointer) for fault in shown_faults(caught.value)]


# Records as the API shows them: type, master file text, content, priority, data

SHOWN: dict[str, tuple[str, str, str, int | None, dict[str, Any] | None]] = {
    "A": ("A", "192.0.2.1", "192.0.2.1", None, None),
    "AAAA": ("AAAA", "2001:DB8:0::1", "2001:db8::1", None, None),
    "CNAME": ("CNAME", "Target.example.org.", "target.example.org", None, None),
    "NS": ("NS", "ns1.example.net.", "ns1.example.net", None, None),
    "PTR": ("PTR", "host.example.net.", "host.example.net", None, None),
    "MX": ("MX", "10 mail.example.net.", "mail.example.net", 10, None),
    "null MX": ("MX", "0 .", ".", 0, None),
    "SRV": (
        "SRV",
        "10 5 5060 sip.example.net.",
        "5 5060 sip.example.net",
        10,
        {"priority": 10, "weight": 5, "port": 5060, "target": "sip.example.net"},
    ),
    "SRV to nowhere": ("SRV", "0 0 0 .", "0 0 .", 0, {"priority": 0, "weight": 0, "port": 0, "target": "."}),
    "URI": (
        "URI",
        '10 1 "https://example.net/a"',
        '1 "https://example.net/a"',
        10,
        {"weight": 1, "target": "https://example.net/a"},
    ),
    "CAA": (
        "CAA",
        '0 issue "ca.example.net; policy=ev"',
        '0 issue "ca.example.net; policy=ev"',
        None,
        {"flags": 0, "tag": "issue", "value": "ca.example.net; policy=ev"},
    ),
    "CERT": (
        "CERT",
        "PKIX 65535 RSASHA256 aGFsbG8=",
        "1 65535 8 aGFsbG8=",
        None,
        {"type": 1, "key_tag": 65535, "algorithm": 8, "certificate": "aGFsbG8="},
    ),
    "DNSKEY": (
        "DNSKEY",
        f"257 3 13 {KEY}",
        f"257 3 13 {KEY}",
        None,
        {"flags": 257, "protocol": 3, "algorithm": 13, "public_key": KEY},
    ),
    "DS in lower case, in one piece": (
        "DS",
        f"60485 13 4 {'AB' * 24} {'CD' * 24}",
        f"60485 13 4 {'ab' * 24}{'cd' * 24}",
        None,
        {"key_tag": 60485, "algorithm": 13, "digest_type": 4, "digest": "ab" * 24 + "cd" * 24},
    ),
    "SSHFP": (
        "SSHFP",
        f"4 2 {'AB' * 32}",
        f"4 2 {'ab' * 32}",
        None,
        {"algorithm": 4, "type": 2, "fingerprint": "ab" * 32},
    ),
    "TLSA of a whole certificate": (
        "TLSA",
        f"3 0 0 {'ab' * 700}",
        f"3 0 0 {'ab' * 700}",
        None,
        {"usage": 3, "selector": 0, "matching_type": 0, "certificate": "ab" * 700},
    ),
    "SMIMEA": (
        "SMIMEA",
        f"3 1 1 {'ab' * 32}",
        f"3 1 1 {'ab' * 32}",
        None,
        {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "ab" * 32},
    ),
    "HTTPS": (
        "HTTPS",
        '1 . alpn="h3,h2"',
        '1 . alpn="h3,h2"',
        None,
        {"priority": 1, "target": ".", "value": 'alpn="h3,h2"'},
    ),
    "HTTPS without parameters": (
        "HTTPS",
        "0 other.example.net.",
        "0 other.example.net.",
        None,
        {"priority": 0, "target": "other.example.net.", "value": ""},
    ),
    "SVCB": (
        "SVCB",
        "16 svc.example.net. mandatory=alpn alpn=h2 port=8443",
        '16 svc.example.net. mandatory="alpn" alpn="h2" port="8443"',
        None,
        {"priority": 16, "target": "svc.example.net.", "value": 'mandatory="alpn" alpn="h2" port="8443"'},
    ),
    "NAPTR": (
        "NAPTR",
        r'100 50 "U" "E2U+sip" "!^(.*)$!sip:\\1@example.net!" .',
        r'100 50 "U" "E2U+sip" "!^(.*)$!sip:\\1@example.net!" .',
        None,
        {
            "order": 100,
            "preference": 50,
            "flags": "U",
            "service": "E2U+sip",
            "regex": r"!^(.*)$!sip:\1@example.net!",
            "replacement": ".",
        },
    ),
    "NAPTR with a replacement": (
        "NAPTR",
        '100 50 "s" "SIP+D2T" "" _sip._tcp.example.net.',
        '100 50 "s" "SIP+D2T" "" _sip._tcp.example.net.',
        None,
        {
            "order": 100,
            "preference": 50,
            "flags": "s",
            "service": "SIP+D2T",
            "regex": "",
            "replacement": "_sip._tcp.example.net.",
        },
    ),
    "LOC": (
        "LOC",
        "51 30 12.748 N 0 7 39.000 W -24.05m 30m 10m 0.02m",
        "51 30 12.748 N 0 7 39.000 W -24.05 30.00 10.00 0.02",
        None,
        {
            "lat_degrees": 51,
            "lat_minutes": 30,
            "lat_seconds": 12.748,
            "lat_direction": "N",
            "long_degrees": 0,
            "long_minutes": 7,
            "long_seconds": 39,
            "long_direction": "W",
            "altitude": -24.05,
            "size": 30,
            "precision_horz": 10,
            "precision_vert": 0.02,
        },
    ),
    "TXT": ("TXT", '"v=spf1 -all"', '"v=spf1 -all"', None, None),
    "TXT with a semicolon": ("TXT", '"v=DMARC1; p=none"', '"v=DMARC1; p=none"', None, None),
    "TXT with a backslash and quotes": ("TXT", r'"back\\slash \"q\""', r'"back\\slash \"q\""', None, None),
    "TXT of strings": ("TXT", f'"{"a" * 255}" "" "b"', f'"{"a" * 255}" "" "b"', None, None),
    "TXT with odd octets": ("TXT", r'"\000\195\169"', r'"\000\195\169"', None, None),
    "OPENPGPKEY": ("OPENPGPKEY", "aGFs bG8=", "aGFsbG8=", None, None),
    "an unknown type": ("TYPE65534", r"\# 2 ABCD", r"\# 2 abcd", None, None),
    "an unknown type without data": ("TYPE65534", r"\# 0", r"\# 0", None, None),
}


@pytest.mark.parametrize(("rtype", "text", "content", "priority", "data"), SHOWN.values(), ids=SHOWN.keys())
def test_shown(rtype: str, text: str, content: str, priority: int | None, data: dict[str, Any] | None) -> None:
    made = shown(record(rtype, text))
    assert (made["type"], made["content"], made.get("priority"), made.get("data")) == (rtype, content, priority, data)
    assert list(made.get("data", {})) == list(data or {})
    for value in (data or {}).values():  # whole numbers are integers, as at Cloudflare
        assert not isinstance(value, float) or value % 1


def test_all_fields() -> None:
    created = datetime(2025, 1, 1, 2, 0, tzinfo=timezone(timedelta(hours=2)))
    settings = RecordSettings(ipv4_only=True, flatten_cname=False)
    one = replace(
        record("CNAME", "target.example.org."),
        proxied=True,
        settings=settings,
        comment="web",
        tags=("a:b", "c"),
    )
    assert shown(one, Times(created, WRITTEN)) == {
        "id": "ab" * 16,
        "zone_id": "cd" * 16,
        "zone_name": "example.com",
        "name": "www.example.com",
        "type": "CNAME",
        "content": "target.example.org",
        "proxiable": True,
        "proxied": True,
        "ttl": 1,
        "settings": {"ipv4_only": True, "flatten_cname": False},
        "meta": {},
        "comment": "web",
        "tags": ["a:b", "c"],
        "created_on": "2025-01-01T00:00:00.000000Z",
        "modified_on": "2026-01-02T03:04:05.000678Z",
        "comment_modified_on": "2026-01-02T03:04:05.000678Z",
        "tags_modified_on": "2026-01-02T03:04:05.000678Z",
    }


def test_plain_record_has_no_empty_fields() -> None:
    made = shown(record("TXT", '"a"', proxied=False))
    assert {key: made[key] for key in ("proxiable", "proxied", "ttl", "settings", "comment", "tags")} == {
        "proxiable": False,
        "proxied": False,
        "ttl": 1,
        "settings": {},
        "comment": None,
        "tags": [],
    }
    assert made["created_on"] == made["modified_on"] == "2026-01-02T03:04:05.000678Z"


NAMES = {
    "@": "example.com",
    "*": "*.example.com",
    "WWW": "www.example.com",
    r"a\.b": r"a\.b.example.com",
    r"a\033b\195": r"a!b\195.example.com",
    "bücher": "xn--bcher-kva.example.com",
}


@pytest.mark.parametrize(("sent", "name"), NAMES.items(), ids=NAMES.keys())
def test_names_are_shown_full_and_canonical(sent: str, name: str) -> None:
    made = built({**ADDRESS, "name": sent})
    assert shown(made)["name"] == name
    assert built(shown(made)) == made
    assert built({**ADDRESS, "name": f"{name}."}) == made


# Round trips

TEXTS = {
    **{rtype: [text] for rtype, text in SAMPLES.items()},
    "MX": ["10 mail.example.net.", "0 ."],
    "SRV": ["10 5 5060 sip.example.net.", "0 0 0 ."],
    "TXT": [
        '"a"',
        '""',
        r'"quo\"te" "back\\slash; \\"',
        r'"\000\195\169\255"',
        f'"{"a" * 255}" "{"b" * 45}"',
        '" spaces "',
    ],
    "CAA": ['0 issue ";"', '128 iodef "mailto:a@example.net"', r'0 issue "\"quoted\""', r'0 issue "\255"'],
    "HTTPS": ["0 a.example.net.", "1 . alpn=h3,h2 no-default-alpn port=8443 ipv4hint=192.0.2.1 ech=AAQBAgME"],
    "LOC": [
        "51 30 12.748 N 0 7 39.612 W 0.00m 0.00m 0.00m 0.00m",
        "51 30 12.748 S 179 59 59.999 E -100000.00m",
        *(f"1 2 3.004 N 5 6 7.008 E {whole}.{part:02}1m 0.29m" for whole in (0, 1, -8) for part in range(0, 100, 7)),
    ],
    "NAPTR": [r'1 2 "" "" "!a\\b\"!" .', '65535 0 "U" "E2U+sip" "!^.*$!sip:a@example.net!" a\\.b.example.net.'],
    "URI": ['10 1 "https://example.net/?a=\\"b\\""', '0 0 "1 2"'],
}
ROUND = [(rtype, text) for rtype, texts in TEXTS.items() for text in texts]


def lowered(one: Record) -> Record:
    """The record with the names in its data in lower case, as shown."""
    return replace(one, rdata=in_lower_case(one.rtype, one.rdata))


@pytest.mark.parametrize(("rtype", "text"), ROUND)
def test_shown_json_builds_the_same_record(rtype: str, text: str) -> None:
    one = lowered(record(rtype, text, comment="a", tags=("b",), settings=RecordSettings(ipv6_only=True)))
    made = shown(one)
    assert built(made) == one
    assert built({**made, "data": None}) == one, "of the content alone"
    assert build_record(record_fields(made, EXAMPLE), EXAMPLE) == one
    if "data" in made:
        assert built({**made, "content": None}) == one, "of data alone"
        assert built({**made, "content": "nonsense"}) == one, "data takes precedence over content"


@pytest.mark.parametrize(("rtype", "text"), ROUND)
def test_patch_that_changes_nothing(rtype: str, text: str) -> None:
    one = record(rtype, text, identity=Identity("ef" * 16, WRITTEN, WRITTEN))
    assert built({}, one) == one
    assert built({"content": None, "data": None, "ttl": None, "settings": None}, one) == one
    assert built({"ttl": 300.0, "comment": "new"}, one) == replace(one, ttl=300, comment="new")


@pytest.mark.parametrize(("rtype", "text"), ROUND)
def test_python_client_sends_back_records_as_read(rtype: str, text: str) -> None:
    """The client reads every number in `data` as a float, and adds all fields of its class."""
    one = lowered(record(rtype, text))
    made = shown(one)
    floats = {k: float(v) if isinstance(v, int) else v for k, v in made.get("data", {}).items()}
    nulls = {"settings": {"ipv4_only": None, "ipv6_only": None}, "tags": [], "proxied": False, "comment": None}
    priority = {"priority": float(made["priority"])} if "priority" in made else {}
    assert built({**made, **nulls, **priority, "ttl": 1.0, "data": floats or None}) == one


@pytest.mark.parametrize(
    ("rtype", "text"), [(t, x) for t, x in ROUND if "data" in shown(record(t, x))], ids=lambda x: x[:30]
)
def test_lexicon_sends_all_parts_as_text(rtype: str, text: str) -> None:
    """The client also keeps the quotes of the content."""
    one = record(rtype, text)
    quoted = {"value", "regex", "flags", "service"} if rtype in ("CAA", "NAPTR") else set()
    texts = {k: f'"{v}"' if k in quoted and isinstance(v, str) else str(v) for k, v in shown(one)["data"].items()}
    priority = {"priority": shown(one)["priority"]} if rtype == "URI" else {}
    assert built({"type": rtype, "name": "www.example.com", "content": None, "data": texts, **priority}) == one


def test_whole_export_round_trips() -> None:
    name = parse_name_text("bakery.example")
    records = parse_zone_text(EXPORT.read_text("utf-8"), name).records
    assert len(records) == 48
    for one in records:
        made = record_json(one, "ab" * 16, zone_id="cd" * 16, zone_name="bakery.example", times=TIMES)
        assert built_record(json.loads(json.dumps(made)), name) == one


# Bodies sent by octoDNS (`_contents_for_…`): type, body, and the record's text in a master file

OCTODNS: dict[str, tuple[str, dict[str, Any], str]] = {
    "CNAME": ("CNAME", {"content": "target.example.org."}, "target.example.org."),
    "MX": ("MX", {"priority": 10, "content": "mail.example.net."}, "10 mail.example.net."),
    "null MX": ("MX", {"priority": 0, "content": "."}, "0 ."),
    "NS": ("NS", {"content": "ns1.example.net."}, "ns1.example.net."),
    "TXT": ("TXT", {"content": '"v=DKIM1; k=rsa" "rest"'}, '"v=DKIM1; k=rsa" "rest"'),
    "SRV in a sub-name": (
        "SRV",
        {
            "data": {
                "service": "_sip",
                "proto": "_tcp",
                "name": "sub",
                "priority": 1,
                "weight": 2,
                "port": 3,
                "target": "a.example.net",
            }
        },
        "1 2 3 a.example.net.",
    ),
    "SRV to nowhere": (
        "SRV",
        {
            "data": {
                "service": "_a",
                "proto": "_tcp",
                "name": "example.com.",
                "priority": 0,
                "weight": 0,
                "port": 0,
                "target": ".",
            }
        },
        "0 0 0 .",
    ),
    "HTTPS": (
        "HTTPS",
        {"data": {"priority": 1, "target": ".", "value": ' alpn="h3,h2" no-default-alpn port="8443"'}},
        "1 . alpn=h3,h2 no-default-alpn port=8443",
    ),
    "HTTPS alias": ("HTTPS", {"data": {"priority": 0, "target": "a.example.net.", "value": ""}}, "0 a.example.net."),
    "CAA": ("CAA", {"data": {"flags": 0, "tag": "issue", "value": ";"}}, '0 issue ";"'),
    "DS": (
        "DS",
        {"data": {"key_tag": 1, "algorithm": 13, "digest_type": 2, "digest": "AB" * 32}},
        f"1 13 2 {'ab' * 32}",
    ),
    "SSHFP": ("SSHFP", {"data": {"algorithm": 4, "type": 2, "fingerprint": "ab" * 32}}, f"4 2 {'ab' * 32}"),
    "TLSA": (
        "TLSA",
        {"data": {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "ab" * 32}},
        f"3 1 1 {'ab' * 32}",
    ),
    "NAPTR": (
        "NAPTR",
        {
            "data": {
                "flags": "S",
                "order": 10,
                "preference": 100,
                "regex": r"!^(.*)$!\1!",
                "replacement": "a.example.net.",
                "service": "SIP+D2U",
            }
        },
        r'10 100 "S" "SIP+D2U" "!^(.*)$!\\1!" a.example.net.',
    ),
    "LOC": (
        "LOC",
        {
            "data": {
                "lat_degrees": 31,
                "lat_minutes": 58,
                "lat_seconds": 52.1,
                "lat_direction": "S",
                "long_degrees": 115,
                "long_minutes": 49,
                "long_seconds": 11.7,
                "long_direction": "E",
                "altitude": 20.0,
                "size": 10.0,
                "precision_horz": 10.0,
                "precision_vert": 2.0,
            }
        },
        "31 58 52.100 S 115 49 11.700 E 20.00m 10.00m 10.00m 2.00m",
    ),
}


@pytest.mark.parametrize(("rtype", "body", "text"), OCTODNS.values(), ids=OCTODNS.keys())
def test_octodns(rtype: str, body: dict[str, Any], text: str) -> None:
    made = built({"name": "www.example.com", "type": rtype, "ttl": 1, **body})
    assert replace(made, identity=UNWRITTEN) == record(rtype, text)


# Other bodies: body, and type and master file text of the record

SENT: dict[str, tuple[dict[str, Any], str, str]] = {
    "a type in lower case": ({"type": "cname", "content": "a.example.net"}, "CNAME", "a.example.net."),
    "unknown keys": ({**ADDRESS, "locked": False, "meta": {"a": 1}, "id": 7}, "A", "192.0.2.1"),
    "data of a type without data": ({**ADDRESS, "data": {"flags": 1}}, "A", "192.0.2.1"),
    "a priority of a type without priority": ({**ADDRESS, "priority": "x"}, "A", "192.0.2.1"),
    "empty data with content": ({"type": "CAA", "content": '0 issue "a"', "data": {}}, "CAA", '0 issue "a"'),
    "empty content with data": (
        {"type": "CAA", "content": "", "data": {"flags": 0, "tag": "issue", "value": "a"}},
        "CAA",
        '0 issue "a"',
    ),
    "TXT without quotes": ({"type": "TXT", "content": 'a "b"; c'}, "TXT", r'"a \"b\"; c"'),
    "TXT with letters outside ASCII, in quotes": ({"type": "TXT", "content": '"é"'}, "TXT", r'"\195\169"'),
    "TXT of 300 octets": ({"type": "TXT", "content": "a" * 300}, "TXT", f'"{"a" * 255}" "{"a" * 45}"'),
    "TXT of 300 octets in quotes": ({"type": "TXT", "content": f'"{"a" * 300}"'}, "TXT", f'"{"a" * 255}" "{"a" * 45}"'),
    "TXT that escapes a semicolon": ({"type": "TXT", "content": r'"a\;b"'}, "TXT", '"a;b"'),
    "SPF without quotes": ({"type": "SPF", "content": "v=spf1 -all"}, "SPF", '"v=spf1 -all"'),
    "MX with its number in the content": ({"type": "MX", "content": "10 a.example.net"}, "MX", "10 a.example.net."),
    "MX with data": ({"type": "MX", "data": {"priority": 0, "target": "a.example.net."}}, "MX", "0 a.example.net."),
    "SRV by its content": (
        {"type": "SRV", "content": "5 80 a.example.net.", "priority": 1},
        "SRV",
        "1 5 80 a.example.net.",
    ),
    "SRV by the whole of it": ({"type": "SRV", "content": "1 5 80 a.example.net"}, "SRV", "1 5 80 a.example.net."),
    "a priority above data": (
        {"type": "SRV", "priority": 1.0, "data": {"weight": 5, "port": "80", "target": "a.example.net"}},
        "SRV",
        "1 5 80 a.example.net.",
    ),
    "the priority in data takes precedence": (
        {"type": "SRV", "priority": 9, "data": {"priority": 1, "weight": 5, "port": 80, "target": "a."}},
        "SRV",
        "1 5 80 a.",
    ),
    "URI without quotes": (
        {"type": "URI", "content": "1 https://example.net/", "priority": 2},
        "URI",
        '2 1 "https://example.net/"',
    ),
    "URI with all in data": (
        {"type": "URI", "data": {"priority": 2, "weight": 1, "target": "https://example.net/"}},
        "URI",
        '2 1 "https://example.net/"',
    ),
    "HTTPS with spaces before": ({"type": "HTTPS", "content": " 1 . alpn=h2"}, "HTTPS", "1 . alpn=h2"),
    "LOC of the minimal form": (
        {"type": "LOC", "data": {"lat_degrees": 1, "lat_direction": "n", "long_degrees": 2, "long_direction": "e"}},
        "LOC",
        "1 0 0.000 N 2 0 0.000 E 0.00m",
    ),
    "LOC with units": (
        {
            "type": "LOC",
            "data": {
                "lat_degrees": "1",
                "lat_direction": "N",
                "long_degrees": "2",
                "long_direction": "E",
                "altitude": "4.00",
                "size": "1m",
            },
        },
        "LOC",
        "1 0 0.000 N 2 0 0.000 E 4.00m",
    ),
    "hexadecimal digits in pieces": (
        {"type": "TLSA", "data": {"usage": 3, "selector": 1, "matching_type": 0, "certificate": "AB cd"}},
        "TLSA",
        "3 1 0 abcd",
    ),
    "data as octets": ({"type": "MX", "content": r"\# 5 000a016100"}, "MX", "10 a."),
    "an unknown type": ({"type": "TYPE65534", "content": r"\# 2 ABCD"}, "TYPE65534", r"\# 2 abcd"),
}


@pytest.mark.parametrize(("body", "rtype", "text"), SENT.values(), ids=SENT.keys())
def test_sent(body: dict[str, Any], rtype: str, text: str) -> None:
    made = built({"name": "www", **body})
    assert replace(made, identity=UNWRITTEN) == record(rtype, text)
    if made.identity.written is not None and "content" in body:
        assert shown(made)["content"] == body["content"]  # a client reads back the content that it wrote


def test_hundredths_of_a_metre_are_kept() -> None:
    """dnspython reads 1.13 m as 1.12 m."""
    place = {"lat_degrees": 1, "lat_direction": "N", "long_degrees": 2, "long_direction": "E"}
    for altitude in (1.13, "1.13", -8.03, 0.29, 42849672.95, -100000):
        made = shown(built({"type": "LOC", "name": "www", "data": {**place, "altitude": altitude}}))
        assert made["data"]["altitude"] == float(altitude)
    assert shown(built({"type": "LOC", "name": "www", "content": "1 N 2 E 1.13m"}))["data"]["altitude"] == 1.13


def test_data_has_no_values_outside_json() -> None:
    assert "data" not in shown(record("CAA", r'0 issue "\255"'))
    assert "data" not in shown(record("CAA", r'0 issue "\"a\""'))


def test_other_fields() -> None:
    made = built(
        {
            **ADDRESS,
            "ttl": 7200.0,
            "comment": "web",
            "tags": ["a:b", "c"],
            "settings": {"ipv4_only": True, "ipv6_only": None, "flatten_cname": False, "other": 1},
        }
    )
    assert (made.ttl, made.comment, made.tags) == (7200, "web", ("a:b", "c"))
    assert made.settings == RecordSettings(ipv4_only=True, flatten_cname=False)
    assert made.identity == Identity()


def test_proxied_has_no_ttl() -> None:
    made = built({**ADDRESS, "proxied": True, "ttl": 3600})
    assert (made.proxied, made.ttl) == (True, 1)


# PATCH: the stored record, the body, and type and text of the result

SRV_TEXT = "10 5 5060 sip.example.net."
PATCHES: dict[str, tuple[tuple[str, str], dict[str, Any], tuple[str, str]]] = {
    "content": (("A", "192.0.2.1"), {"content": "192.0.2.2"}, ("A", "192.0.2.2")),
    "content instead of data": (
        ("SRV", SRV_TEXT),
        {"content": "6 80 a.example.net"},
        ("SRV", "10 6 80 a.example.net."),
    ),
    "the whole content": (("SRV", SRV_TEXT), {"content": "1 6 80 a.example.net"}, ("SRV", "1 6 80 a.example.net.")),
    "a part of data": (("SRV", SRV_TEXT), {"data": {"port": 80}}, ("SRV", "10 5 80 sip.example.net.")),
    "the priority in data": (("SRV", SRV_TEXT), {"data": {"priority": 1}}, ("SRV", "1 5 5060 sip.example.net.")),
    "the priority": (("SRV", SRV_TEXT), {"priority": 1}, ("SRV", "1 5 5060 sip.example.net.")),
    "the priority of MX": (("MX", "10 a."), {"priority": 0}, ("MX", "0 a.")),
    "the target of MX": (("MX", "10 a."), {"content": "b."}, ("MX", "10 b.")),
    "the priority of URI": (("URI", '1 2 "a:b"'), {"priority": 3}, ("URI", '3 2 "a:b"')),
    "the type": (("A", "192.0.2.1"), {"type": "TXT", "content": "a"}, ("TXT", '"a"')),
    "the type, with data": (
        ("A", "192.0.2.1"),
        {"type": "CAA", "data": {"flags": 0, "tag": "issue", "value": "a"}},
        ("CAA", '0 issue "a"'),
    ),
}


@pytest.mark.parametrize(("stored", "body", "becomes"), PATCHES.values(), ids=PATCHES.keys())
def test_patch(stored: tuple[str, str], body: dict[str, Any], becomes: tuple[str, str]) -> None:
    identity = Identity("ef" * 16, WRITTEN, WRITTEN)
    base = record(*stored, comment="a", tags=("b",), settings=RecordSettings(ipv4_only=True), identity=identity)
    made = record(*becomes)
    unquoted = body.get("type") == "TXT" and body.get("content") == "a"
    expected = replace(
        base, rtype=made.rtype, rdata=made.rdata, identity=identity._replace(written="" if unquoted else None)
    )
    assert built(body, base) == expected


def test_patch_of_all_other_fields() -> None:
    base = record("A", "192.0.2.1", comment="a", tags=("b",), settings=RecordSettings(ipv4_only=True))
    base = replace(base, ttl=172_800)  # a file may have more than Cloudflare's limit
    assert built({"comment": ""}, base) == replace(base, comment="")
    assert built({"comment": None, "ttl": 172_800}, base) == base
    assert built({"tags": []}, base) == replace(base, tags=())
    assert built({"name": "a"}, base).owner == parse_name_text("a.example.com")
    assert built({"proxied": True}, base) == replace(base, proxied=True, ttl=1)
    assert built({"settings": {"ipv4_only": False, "ipv6_only": None}}, base).settings == RecordSettings(
        ipv4_only=False
    )
    assert faults({"ttl": 172_801}, base) == [(9021, "/ttl")]


@pytest.mark.parametrize(
    "owner", ["example.com", "*.example.com", "example.com.example.com", r"a\.b.example.com", r"\@.example.com"]
)
def test_patch_keeps_the_name(owner: str) -> None:
    base = replace(record("A", "192.0.2.1"), owner=parse_name_text(owner))
    assert built({"content": "192.0.2.1"}, base) == base
    assert built(shown(base)) == base


# Refusals

BIG = 10**4000
REFUSED: dict[str, tuple[dict[str, Any], list[tuple[int, str]]]] = {
    "nothing": ({"type": None, "name": None, "content": None}, [(1001, "/type"), (1001, "/name")]),
    "no content": ({"content": None}, [(9005, "/content")]),
    "an unknown type": ({"type": "ALIAS"}, [(1001, "/type")]),
    "an empty type": ({"type": ""}, [(1001, "/type")]),
    "a meta-type": ({"type": "ANY"}, [(1001, "/type")]),
    "a type that is a number": ({"type": 1}, [(1001, "/type")]),
    "a name outside": ({"name": "www.example.org."}, [(1001, "/name")]),
    "no name": ({"name": "a..b"}, [(1001, "/name")]),
    "an invalid name": ({"name": ["a"]}, [(1001, "/name")]),
    "a name with a lone surrogate": ({"name": "\ud800"}, [(1001, "/name")]),
    "a name of a megabyte": ({"name": "a" * 1_000_000}, [(1001, "/name")]),
    "IPv6 in A": ({"content": "2001:db8::1"}, [(9005, "/content")]),
    "an invalid IPv4 address": ({"content": "www.example.org"}, [(9005, "/content")]),
    "an empty address": ({"content": ""}, [(9005, "/content")]),
    "an address that is a number": ({"content": 3221225985}, [(9005, "/content")]),
    "a lone surrogate for an address": ({"content": "\udfff"}, [(9005, "/content")]),
    "IPv4 in AAAA": ({"type": "AAAA", "content": "192.0.2.1"}, [(9006, "/content")]),
    "a scope": ({"type": "AAAA", "content": "fe80::1%eth0"}, [(9006, "/content")]),
    "an invalid IPv6 address": ({"type": "AAAA", "content": None}, [(9006, "/content")]),
    "no target": ({"type": "CNAME", "content": None}, [(9007, "/content")]),
    "two targets": ({"type": "CNAME", "content": "a. b."}, [(9007, "/content")]),
    "an empty target": ({"type": "CNAME", "content": " "}, [(9007, "/content")]),
    "a target too long": ({"type": "CNAME", "content": "a" * 64}, [(9007, "/content")]),
    "a CNAME to itself": ({"type": "CNAME", "content": "WWW.example.com."}, [(9039, "/content")]),
    "an open quote": ({"type": "TXT", "content": '"a'}, [(9007, "/content")]),
    "a comment": ({"type": "TXT", "content": '"a" ; b'}, [(9007, "/content")]),
    "a comment after a name": ({"type": "CNAME", "content": "a. ; b"}, [(9007, "/content")]),
    "two lines": ({"type": "TXT", "content": "a\nb"}, [(9007, "/content")]),
    "two lines in quotes": ({"type": "TXT", "content": '"a"\n"b"'}, [(9007, "/content")]),
    "an invalid escape": ({"type": "TXT", "content": r'"\999"'}, [(9007, "/content")]),
    "text that is a list": ({"type": "TXT", "content": ["a"]}, [(9007, "/content")]),
    "a lone surrogate in text": ({"type": "TXT", "content": "a\ud800"}, [(9007, "/content")]),
    "too much text": ({"type": "TXT", "content": "a" * 70_000}, [(9007, "/content")]),
    "MX without a priority": ({"type": "MX", "content": "a."}, [(1001, "/priority")]),
    "MX with two priorities": ({"type": "MX", "content": "10 a.", "priority": 5}, [(9007, "/content")]),
    "SRV with a part": ({"type": "SRV", "content": "5 80 a."}, [(1001, "/priority")]),
    "a priority too large": ({"type": "MX", "content": "a.", "priority": 65_536}, [(1001, "/priority")]),
    "an invalid priority": ({"type": "MX", "content": "a.", "priority": True}, [(1001, "/priority")]),
    "a fraction": ({"type": "MX", "content": "a.", "priority": 1.5}, [(1001, "/priority")]),
    "data that is a list": ({"type": "SRV", "content": None, "data": [1]}, [(1001, "/data"), (9007, "/content")]),
    "parts missing": (
        {"type": "SRV", "data": {"port": 80}},
        [(9007, "/data/weight"), (9007, "/data/target")],
    ),
    "parts wrong": (
        {"type": "SRV", "data": {"priority": -1, "weight": "x", "port": 1e999, "target": "a..b"}},
        [(9007, "/data/weight"), (9007, "/data/port"), (9007, "/data/target")],
    ),
    "invalid numbers": (
        {
            "type": "TLSA",
            "data": {"usage": float("nan"), "selector": BIG, "matching_type": "9" * 5000, "certificate": 1},
        },
        [(9007, f"/data/{name}") for name in ("usage", "selector", "matching_type", "certificate")],
    ),
    "invalid digits": (
        {"type": "TLSA", "data": {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "xyz"}},
        [(9007, "/data/certificate")],
    ),
    "a lone surrogate in data": (
        {"type": "CAA", "data": {"flags": 0, "tag": "\ud800", "value": "\ud800"}},
        [(9007, "/data/tag"), (9007, "/data/value")],
    ),
    "a parameter with a comment": (
        {"type": "HTTPS", "data": {"priority": 1, "target": ".", "value": "alpn=h2 ; a"}},
        [(9007, "/content")],
    ),
    "a parameter on two lines": (
        {"type": "HTTPS", "data": {"priority": 1, "target": ".", "value": "alpn=h2\nport=1"}},
        [(9007, "/content")],
    ),
    "an invalid location": (
        {
            "type": "LOC",
            "data": {
                "lat_degrees": 91,
                "lat_seconds": float("inf"),
                "lat_direction": "E",
                "long_degrees": 1,
                "long_direction": 1,
                "altitude": BIG,
                "size": "x",
            },
        },
        [
            (9007, f"/data/{name}")
            for name in ("lat_degrees", "lat_seconds", "lat_direction", "long_direction", "altitude", "size")
        ],
    ),
    "a TTL too small": ({"ttl": 59}, [(9021, "/ttl")]),
    "a TTL too large": ({"ttl": 86_401}, [(9021, "/ttl")]),
    "a TTL of 0": ({"ttl": 0}, [(9021, "/ttl")]),
    "a negative TTL": ({"ttl": -1}, [(9021, "/ttl")]),
    "a huge TTL": ({"ttl": BIG}, [(9021, "/ttl")]),
    "an infinite TTL": ({"ttl": float("inf")}, [(9021, "/ttl")]),
    "a TTL that is not a number": ({"ttl": float("nan")}, [(9021, "/ttl")]),
    "a fraction of a second": ({"ttl": 60.5}, [(9021, "/ttl")]),
    "a word for a TTL": ({"ttl": "auto"}, [(9021, "/ttl")]),
    "true for a TTL": ({"ttl": True}, [(9021, "/ttl")]),
    "a proxied TXT": ({"type": "TXT", "proxied": True}, [(9004, "/proxied")]),
    "an invalid `proxied`": ({"proxied": "yes"}, [(1001, "/proxied")]),
    "settings that are a list": ({"settings": []}, [(1001, "/settings")]),
    "an invalid setting": ({"settings": {"ipv4_only": 1}}, [(1001, "/settings/ipv4_only")]),
    "an invalid comment": ({"comment": {"a": 1}}, [(1001, "/comment")]),
    "tags that are a text": ({"tags": "a"}, [(1001, "/tags")]),
    "an invalid tag": ({"tags": ["a", None]}, [(1001, "/tags")]),
    "a lone surrogate in a tag": ({"tags": ["\ud83d"]}, [(1001, "/tags")]),
    "many faults": (
        {"name": "a..b", "content": "x", "ttl": 5, "proxied": 1, "tags": 1},
        [(9005, "/content"), (9021, "/ttl"), (1001, "/proxied"), (1001, "/name"), (1001, "/tags")],
    ),
}


@pytest.mark.parametrize(("body", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(body: dict[str, Any], expected: list[tuple[int, str]]) -> None:
    assert faults({**ADDRESS, **body}) == expected


WORDS = st.sampled_from(
    [
        *SAMPLES.values(),
        "",
        ".",
        "..",
        '"',
        '"\\',
        '( "a" )',
        "; a",
        "\n",
        "\ud800",
        "é",
        "a" * 300,
        "５",
        "5.0",
        "-1",
        "\\# 1 00",
    ]
)
NUMBERS = st.integers(-1, 70_000) | st.sampled_from([float("inf"), float("nan"), BIG, -BIG, 0.5, 1e300])
SCALARS = WORDS | NUMBERS | st.booleans() | st.none()
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(WORDS, SCALARS, max_size=2)
PART_NAMES = sorted({"priority", *(part.name for parts in PARTS.values() for part in parts)})


@pytest.mark.slow
@settings(max_examples=500)
@given(
    st.dictionaries(st.sampled_from(["content", "ttl", "priority", "proxied", "settings", "tags", "comment"]), VALUES),
    st.sampled_from(sorted(SAMPLES)),
    VALUES | st.fixed_dictionaries(dict.fromkeys(PART_NAMES, SCALARS)),
    st.sampled_from([None, record("SRV", "10 5 5060 a."), record("TXT", '"a"'), record("AAAA", "2001:db8::1")]),
)
def test_any_json_is_a_record_or_refused(body: dict[str, Any], rtype: str, data: Any, base: Record | None) -> None:
    try:
        made = built({"name": "www", "type": rtype, **body, "data": data}, base)
    except RecordBodyError:
        return
    assert built(shown(made)) == lowered(made)


def test_body_that_is_not_an_object() -> None:
    for body in ([], "a", 1, None):
        with pytest.raises(RecordBodyError):
            record_fields(body, EXAMPLE)  # type: ignore[arg-type]


TARGETS_NOT_ALLOWED = [
    *("127.0.0.1", "0.0.0.0", "224.0.0.1", "239.255.255.255", "169.254.1.1", "240.0.0.1", "255.255.255.255"),
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
    *("::", "::1", "ff02::1", "fe80::1", "fc00::1", "fdff::1", "::ffff:10.0.0.1"),
]
TARGETS = [
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "198.18.0.1",
    "172.32.0.1",
    "8.8.8.8",
    "2001:db8::1",
    "2606:4700::1",
]


@pytest.mark.parametrize("address", TARGETS_NOT_ALLOWED)
def test_unreachable_target(address: str) -> None:
    body = {"type": "AAAA" if ":" in address else "A", "name": "www", "content": address}
    assert faults({**body, "proxied": True}) == [(9003, "/content")]
    assert faults({"proxied": True}, built(body)) == [(9003, "/content")]
    assert not built(body).proxied


@pytest.mark.parametrize("address", TARGETS)
def test_reachable_target(address: str) -> None:
    body = {"type": "AAAA" if ":" in address else "A", "name": "www", "content": address}
    assert built({**body, "proxied": True}).proxied


def test_every_type_with_data_has_its_parts() -> None:
    named = ["CAA", "CERT", "DNSKEY", "DS", "HTTPS", "LOC", "NAPTR", "SMIMEA", "SRV", "SSHFP", "SVCB", "TLSA", "URI"]
    assert set(PARTS) - {MX} == {parse_type_text(name) for name in named}
