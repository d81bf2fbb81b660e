"""The written form of a record: owners, content, priority, TTL, and errors with their fields."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.errors import Path
from dnsd.model.records import RecordError, RecordFields, build_record
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import type_text

EXAMPLE = parse_name_text("example.com")
LOOSE = {"name": "www", "type": "A", "content": "192.0.2.1"}


def build(**fields: Any) -> Any:
    return build_record(RecordFields.model_validate({**LOOSE, **fields}), EXAMPLE)


OWNERS = {
    "@": "example.com",
    "www": "www.example.com",
    "WWW": "www.example.com",
    "a.b": "a.b.example.com",
    "*": "*.example.com",
    "*.a": "*.a.example.com",
    "example.com": "example.com",
    "EXAMPLE.com": "example.com",
    "example.com.": "example.com",
    "www.example.com": "www.example.com",
    "www.example.com.": "www.example.com",
    "example.org": "example.org.example.com",
    "xexample.com": "xexample.com.example.com",
    r"a\.b": r"a\.b.example.com",
    "_dmarc": "_dmarc.example.com",
    "bücher": "xn--bcher-kva.example.com",
}


@pytest.mark.parametrize(("name", "owner"), OWNERS.items(), ids=OWNERS.keys())
def test_owner(name: str, owner: str) -> None:
    assert name_text(build(name=name).owner) == owner


# type, content, priority, the stored data
CONTENTS: dict[str, tuple[str, str, int | None, str]] = {
    "A": ("A", "192.0.2.1", None, "192.0.2.1"),
    "a type in lower case": ("a", "192.0.2.1", None, "192.0.2.1"),
    "AAAA in long form": ("AAAA", "2001:0DB8:0:0:0:0:0:1", None, "2001:db8::1"),
    "AAAA with an IPv4 part": ("AAAA", "::ffff:192.0.2.1", None, "::ffff:192.0.2.1"),
    "a target is a full name": ("CNAME", "target.example.org", None, "target.example.org."),
    "a target with its final dot": ("CNAME", "target.example.org.", None, "target.example.org."),
    "a target keeps its case": ("CNAME", "Target.Example.org", None, "Target.Example.org."),
    "MX with a priority": ("MX", "mail.example.com", 10, "10 mail.example.com."),
    "MX with its number in the content": ("MX", "10 mail.example.com", None, "10 mail.example.com."),
    "null MX": ("MX", ".", 0, "0 ."),
    "SRV with a priority": ("SRV", "5 5060 sip.example.com", 10, "10 5 5060 sip.example.com."),
    "SRV without": ("SRV", "10 5 5060 sip.example.com", None, "10 5 5060 sip.example.com."),
    "URI with a priority": ("URI", '1 "https://example.com/"', 10, '10 1 "https://example.com/"'),
    "a priority of a type without one is not used": ("A", "192.0.2.1", 10, "192.0.2.1"),
    "TXT without quotes": ("TXT", "v=spf1 -all", None, '"v=spf1 -all"'),
    "TXT with semicolons": ("TXT", "v=DMARC1; p=none;", None, '"v=DMARC1; p=none;"'),
    "TXT with quotes inside": ("TXT", 'say "hi" \\ there', None, r'"say \"hi\" \\ there"'),
    "TXT in quotes": ("TXT", '"a b" "c"', None, '"a b" "c"'),
    "TXT in quotes with escapes": ("TXT", r'"a\"b\\c\065"', None, r'"a\"b\\cA"'),
    "TXT with letters outside ASCII": ("TXT", "é", None, r'"\195\169"'),
    "TXT of 256 characters": ("TXT", "a" * 256, None, f'"{"a" * 255}" "a"'),
    "TXT split in the middle of a letter": ("TXT", "a" * 254 + "é", None, rf'"{"a" * 254}\195" "\169"'),
    "TXT empty, in quotes": ("TXT", '""', None, '""'),
    "CAA": ("CAA", '0 issue "ca.example.net"', None, '0 issue "ca.example.net"'),
    "spaces around": ("CNAME", "  target.example.org ", None, "target.example.org."),
    "an unknown type": ("TYPE65534", r"\# 2 ABCD", None, r"\# 2 abcd"),
    "a known type as octets": ("TXT", r"\# 2 0161", None, r'"\\# 2 0161"'),
}


@pytest.mark.parametrize(("rtype", "content", "priority", "stored"), CONTENTS.values(), ids=CONTENTS.keys())
def test_content(rtype: str, content: str, priority: int | None, stored: str) -> None:
    record = build(type=rtype, content=content, priority=priority)
    assert (type_text(record.rtype), record.content) == (rtype.upper(), stored)


TTLS = {
    "given": ({"ttl": 3600}, 3600),
    "zero": ({"ttl": 0}, 0),
    "greatest": ({"ttl": 2**31 - 1}, 2**31 - 1),
    "automatic": ({"ttl": 1}, 300),
    "not given": ({}, 300),
    "of a proxied record": ({"ttl": 3600, "proxied": True}, 300),
}


@pytest.mark.parametrize(("fields", "ttl_s"), TTLS.values(), ids=TTLS.keys())
def test_ttl(fields: dict[str, Any], ttl_s: int) -> None:
    assert build(**fields).ttl_s == ttl_s


def test_comment_tags_and_settings_are_kept() -> None:
    record = build(comment="web", tags=["a", "b"], settings={"ipv4_only": True}, proxied=True)
    assert (record.comment, record.tags, record.settings.ipv4_only) == ("web", ("a", "b"), True)


WRONG: dict[str, tuple[dict[str, Any], Path, str]] = {
    "a name outside": ({"name": "www.example.org."}, ("name",), "outside the zone example.com"),
    "a look-alike outside": ({"name": "xexample.com."}, ("name",), "outside the zone"),
    "a name above": ({"name": "com."}, ("name",), "outside the zone"),
    "an empty label": ({"name": "a..b"}, ("name",), "empty label"),
    "a name too long with the zone": ({"name": ".".join(["a" * 60] * 4)}, ("name",), "too long"),
    "no type": ({"type": ""}, ("type",), "is not a record type"),
    "an unknown mnemonic": ({"type": "ALIAS"}, ("type",), "'ALIAS' is not a record type"),
    **{
        f"the type {rtype}": ({"type": rtype}, ("type",), "cannot be the type of a record")
        for rtype in ("ANY", "AXFR", "OPT", "TSIG", "TYPE0", "TYPE255")
    },
    "no content": ({"content": " "}, ("content",), "is empty"),
    "two lines": ({"type": "TXT", "content": "a\nb"}, ("content",), "one"),
    "no address": ({"content": "www.example.com"}, ("content",), "is not an IP address"),
    "the other family": ({"content": "2001:db8::1"}, ("content",), "is not an IPv4 address"),
    "leading zeros": ({"content": "192.0.2.01"}, ("content",), "is not an IP address"),
    "a number for an address": ({"content": "3221225985"}, ("content",), "is not an IP address"),
    "MX without a priority": ({"type": "MX", "content": "mail.example.com"}, ("content",), "needs a priority"),
    "MX with two": ({"type": "MX", "content": "10 mail.example.com", "priority": 5}, ("content",), "not valid MX"),
    "a proxied TXT": ({"type": "TXT", "content": "a", "proxied": True}, ("proxied",), "cannot be proxied"),
    "a proxied MX": ({"type": "MX", "content": "1 a.", "proxied": True}, ("proxied",), "cannot be proxied"),
    "a CNAME to itself": ({"type": "CNAME", "content": "WWW.example.com"}, ("content",), "points to itself"),
}


@pytest.mark.parametrize(("fields", "path", "expected"), WRONG.values(), ids=WRONG.keys())
def test_refused(fields: dict[str, Any], path: Path, expected: str) -> None:
    with pytest.raises(RecordError) as caught:
        build(**fields)
    assert caught.value.path == path
    assert expected in str(caught.value)
