"""Names as bytes: their end, their ancestors and descendants, and their text."""

from __future__ import annotations

import dns.exception
import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.errors import WireError
from dnsd.wire.names import ROOT, ancestors, is_below, name_end, name_text, parse_name_text

COM = b"\x03com\0"
EXAMPLE = b"\x07example" + COM
LONGEST = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"b" * 61 + ROOT  # 255 octets

ENDS = {
    "root": (b"\0rest", 0, 1),
    "one name": (EXAMPLE + b"rest", 0, len(EXAMPLE)),
    "a name in the middle": (b"header" + EXAMPLE, 6, 6 + len(EXAMPLE)),
    "a zero octet in a label": (b"\x03a\0b\0", 0, 5),
    "any octets": (b"\x04\xc0\x0c\xff\x80\0", 0, 6),
    "63 octets in a label": (b"\x3f" + b"a" * 63 + ROOT, 0, 65),
    "255 octets": (LONGEST, 0, 255),
    "255 octets in the middle": (bytes(12) + LONGEST + b"\0", 12, 267),
}

MALFORMED = {
    "nothing": (b"", 0),
    "start past the end": (b"\0", 1),
    "start far past the end": (b"\0", 400),
    "no root": (b"\x03com", 0),
    "a label cut short": (b"\x03co", 0),
    "a label of no octets left": (b"\x03", 0),
    "64 octets in a label": (b"\x40" + b"a" * 64 + ROOT, 0),
    "label type 01": (b"\x41\0", 0),
    "label type 10": (b"\x80\0", 0),
    "a pointer": (b"\xc0\x0c", 0),
    "a pointer to itself": (b"\xc0\x00\0", 0),
    "a pointer after a label": (b"\x01a\xc0\x00\0", 0),
    "256 octets": (b"\x01a" + LONGEST[2:] + b"\x01", 0),
    "256 octets with a root": ((b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"b" * 62 + ROOT, 0),
    "257 octets": (b"\x01a" + LONGEST, 0),
    "an endless name": (b"\x01a" * 1000, 0),
}


@pytest.mark.parametrize(("wire", "start", "end"), ENDS.values(), ids=ENDS.keys())
def test_end(wire: bytes, start: int, end: int) -> None:
    assert name_end(wire, start) == end


@pytest.mark.parametrize(("wire", "start"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_name(wire: bytes, start: int) -> None:
    with pytest.raises(WireError):
        name_end(wire, start)


def test_name_cut_anywhere_is_malformed() -> None:
    for size in range(len(LONGEST)):
        with pytest.raises(WireError):
            name_end(LONGEST[:size], 0)


ANCESTORS = {
    "root": (ROOT, []),
    "one label": (COM, [ROOT]),
    "two labels": (EXAMPLE, [COM, ROOT]),
    "a zero octet in a label": (b"\x03a\0b" + COM, [COM, ROOT]),
    "a label that looks like a name": (b"\x05\x03com\0" + COM, [COM, ROOT]),
}


@pytest.mark.parametrize(("name", "above"), ANCESTORS.values(), ids=ANCESTORS.keys())
def test_ancestors(name: bytes, above: list[bytes]) -> None:
    assert list(ancestors(name)) == above


BELOW = {
    "itself": (EXAMPLE, EXAMPLE, False),
    "the root and itself": (ROOT, ROOT, False),
    "below the root": (COM, ROOT, True),
    "the root below a name": (ROOT, COM, False),
    "one label below": (b"\x03www" + EXAMPLE, EXAMPLE, True),
    "several labels below": (b"\x01a\x01b\x01c" + EXAMPLE, EXAMPLE, True),
    "above": (COM, EXAMPLE, False),
    "a longer label": (b"\x08xexample" + COM, EXAMPLE, False),
    "the same octets in one label": (b"\x09x" + EXAMPLE[:8] + COM, EXAMPLE, False),
    "a label that ends in the ancestor": (b"\x06x" + COM + COM, b"\x03com\0\x03com\0", False),
    "a dot in a label": (b"\x0bexample.com\0", COM, False),
    "beside": (b"\x03org\0", COM, False),
}


@pytest.mark.parametrize(("name", "ancestor", "expected"), BELOW.values(), ids=BELOW.keys())
def test_is_below(name: bytes, ancestor: bytes, expected: bool) -> None:
    assert is_below(name, ancestor) is expected


TEXTS = {
    "relative": ("www", EXAMPLE, b"\x03www" + EXAMPLE),
    "absolute": ("www.example.org.", EXAMPLE, b"\x03www\x07example\x03org\0"),
    "the origin": ("@", EXAMPLE, EXAMPLE),
    "the root": (".", EXAMPLE, ROOT),
    "case is kept": ("WwW", COM, b"\x03WwW" + COM),
    "an escaped dot": (r"a\.b", COM, b"\x03a.b" + COM),
    "an escaped backslash": (r"a\\b", COM, b"\x03a\\b" + COM),
    "an escaped @": (r"\@", COM, b"\x01@" + COM),
    "a decimal escape": (r"a\000\255", COM, b"\x03a\x00\xff" + COM),
    "a wildcard": ("*", COM, b"\x01*" + COM),
    "an underscore": ("_sip._tcp", COM, b"\x04_sip\x04_tcp" + COM),
    "letters outside ASCII": ("bücher", COM, b"\x0dxn--bcher-kva" + COM),
    "63 octets in a label": ("a" * 63, COM, b"\x3f" + b"a" * 63 + COM),
}


@pytest.mark.parametrize(("text", "origin", "wire"), TEXTS.values(), ids=TEXTS.keys())
def test_text_is_read(text: str, origin: bytes, wire: bytes) -> None:
    assert parse_name_text(text, origin) == wire
    assert parse_name_text(name_text(wire)) == wire


BAD_TEXTS = {
    "two dots": ("a..b", "empty label"),
    "a dot first": (".a", "empty label"),
    "64 octets in a label": ("a" * 64, "too long"),
    "256 octets": (".".join(["a" * 49] * 5) + ".abcde", "too long"),
    "an escape over 255": (r"a\256", "is not a domain name"),
    "an escape cut short": (r"a\25", "is not a domain name"),
    "a backslash last": ("a\\", "is not a domain name"),
    "a backslash without a digit, cut short": (r"a\1", "is not a domain name"),
    "64 octets once it is an A-label": ("ü" * 64, "too long|not a domain name"),
}


@pytest.mark.parametrize(("text", "reason"), BAD_TEXTS.values(), ids=BAD_TEXTS.keys())
def test_impossible_text(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_name_text(text)
    assert type(caught.value) is ValueError


def test_written_without_final_dot() -> None:
    assert name_text(EXAMPLE) == "example.com"
    assert name_text(ROOT) == "."
    assert name_text(b"\x03a.b\x01\0\0") == r"a\.b.\000"


@given(st.text(st.sampled_from("aB1-_*.@\\\n ä"), max_size=8), st.sampled_from([b"\0", b"\7Example\3com\0", LONGEST]))
def test_plain_names_are_read_as_dnspython_reads_them(text: str, origin: bytes) -> None:
    try:
        expected = dns.name.from_text(text, dns.name.from_wire(origin, 0)[0]).to_wire()
    except (dns.exception.DNSException, UnicodeError):
        expected = None
    try:
        found = parse_name_text(text, origin)
    except ValueError:
        found = None
    assert found == expected
