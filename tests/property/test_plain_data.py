"""Plain record data has the same wire form as with the full reader; nothing else counts as plain."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnsd.formats.plain_data import PARSERS
from dnsd.formats.plain_lines import KnownParts, LineMeaning
from dnsd.formats.zone_entries import Words, read_rdata
from dnsd.formats.zone_reader import _name
from dnsd.model.records import UNWRITTEN
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import pack_rdata, parse_type_text
from tests.limits import examples

ORIGIN = parse_name_text("Example.com")
PLAIN: dict[str, list[str]] = {  # common forms, which must not need the full reader
    "A": ["192.0.2.1", "0.0.0.0", "255.255.255.255"],
    "AAAA": ["2001:db8::1", "::", "2001:DB8:0:0:0:0:0:1", "::ffff:192.0.2.1"],
    "NS": ["ns1", "NS1.example.NET.", "@", "."],
    "CNAME": ["a-b_c.d", "*.x"],
    "PTR": ["host.example.org."],
    "DNAME": ["example.org."],
    "SOA": ["ns1 hostmaster 2026112901 3600 600 86400 300", "ns1.x. @ 1\t1d 2h 4w1d 1h30m", ". . 4294967295 0 0 0 0"],
    "MX": ["10 mail", "0 .", "65535\t@", "00010 Mail.example.net."],
    "TXT": ['"v=spf1 -all"', 'a "b c"  d', '""', '"a;b(c)" x=y', '"' + "x" * 255 + '"'],
    "SRV": ["1 2 3 host", "0 5 5060 sip.example.net."],
    "CAA": ['0 issue "ca.example.net"', '128 iodef "mailto:a@example.net"', "0 issuewild ;"[:-1] + "x", '0 issue ""'],
    "DS": [
        "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
        f"1 8 2 {'ab' * 32}",
        f"1 13 4 {'ab' * 16} {'cd' * 32}",
    ],
    "SSHFP": [f"1 1 {'ab' * 20}", f"4 2 {'AB' * 32}"],
    "TLSA": [f"3 1 1 {'ab' * 32}", "3 1 1 ab", "0 0 0 30 82"],
    "NAPTR": ['100 10 "u" "E2U+sip" "!^.*$!sip:a@example.net!" .', '1 2 "" "" "" host'],
    "HTTPS": [
        "1 .",
        "0 example.net.",
        '1 . alpn="h3,h2" ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1',
        "1 www alpn=h2 port=8443 no-default-alpn",
    ],
    "SVCB": ["16 host port=53 alpn=dot"],
}
OTHERS: dict[str, list[str]] = {  # malformed, or in other forms
    "A": ["192.0.2.256", "192.0.02.1", "1.2.3", "1.2.3.4.5", "1_0.0.0.1", "٣.0.0.1", "192.0.2.1\x0c"],
    "AAAA": [":::", "::1%eth0", "1:2:3:4:5:6:7", "::1.2.3", "g::"],
    "NS": ["a..b", ".a", "a.", "x" * 64, ".".join(["x" * 60] * 5), "a b", "@.a", "a.@", "ä", "a.."],
    "SOA": ["a b 1 2 3 4", "a b 4294967296 1 1 1 1", "a b 1 2 3 4 4294967296", "a b 1 1x 2 3 4", "a b 1h 2 3 4 5"],
    "MX": ["10", "65536 a", "-1 a", "1_0 a", "10\x0ca", "10 a b", "٣ a", '"10" a'],
    "TXT": ['"a""b"', 'a"b"', '"' + "x" * 256 + '"', "x" * 256, '"ä"', "ä", '"a\tb"', "a\x7fb", "a\x0bb", "\udcff"],
    "SRV": ["1 2 3", "1 2 65536 a", "1 2 3 a b"],
    "CAA": [
        '256 issue "x"',
        '0 is-sue "x"',
        '0 "issue" "x"',
        '0 issue "x" y',
        "0 issue",
        f"0 {'t' * 256} x",
        "0 issue ä",
    ],
    "DS": ["1 8 2 abcd", "1 RSASHA256 2 " + "ab" * 32, "1 8 0 ab", "1 8 9 ab", f"1 8 1 {'ab' * 19} a b", "1 256 1 ab"],
    "SSHFP": ["1 1 ab", "1 3 ab", "1 1"],
    "TLSA": ["3 1 1 a", "3 1 1", "3 1 1 a b", "3 1 1 0x", "3 1 256 ab", "3 1 1 ab\x0ccd"],
    "NAPTR": ['1 2 "a" "b" "c"', "1 2 a b c d e", f'1 2 "{"a" * 256}" b c d', '1 2 "a""b" c d'],
    "HTTPS": [
        "1 . alpn=",
        '1 . alpn=""',
        "1 . alpn=h2,,h3",
        "1 . alpn=h2 alpn=h3",
        "1 . no-default-alpn",
        "1 . no-default-alpn=x alpn=h2",
        "1 . port=1,2",
        "1 . port=65536",
        "1 . port=007",
        "1 . mandatory=alpn alpn=h2",
        "1 . ech=AAAA",
        "1 . key5=x",
        "1 . ohttp",
        "1 . =x",
        '1 . alpn= "h2"',
        '1 . alpn="h2"port=1',
        "1 . ipv4hint=192.0.2.1,::1",
        "1 . ALPN=h2",
        "0 . alpn=h2",
        "1 . alpn=h2=h3",
        '1 . alpn=h2"h3"',
        f"1 . alpn={'x' * 256}",
        "1",
    ],
}
SAMPLES = [(rtype, text) for table in (PLAIN, OTHERS) for rtype, texts in table.items() for text in texts]


def plain(rtype: str, text: str) -> bytes | None:
    known = KnownParts(ORIGIN, lambda *_: LineMeaning(0, UNWRITTEN, ""))
    return known.data(parse_type_text(rtype), text)


def full(rtype: str, text: str) -> bytes | None:
    try:
        return pack_rdata(read_rdata(Words(text), parse_type_text(rtype), _name(ORIGIN)))
    except ValueError:
        return None


@pytest.mark.parametrize(("rtype", "text"), [(rtype, text) for rtype, texts in PLAIN.items() for text in texts])
def test_common_data_is_plain(rtype: str, text: str) -> None:
    assert plain(rtype, text) is not None
    assert plain(rtype, text) == full(rtype, text)


def test_every_type_has_samples() -> None:
    assert {parse_type_text(rtype) for rtype in PLAIN} == set(PARSERS)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    rtype, text = draw(st.sampled_from(SAMPLES))
    rtype = draw(st.sampled_from([rtype, rtype, rtype, *PLAIN]))
    for _ in range(draw(st.integers(0, 3))):
        at, size = draw(st.integers(0, len(text))), draw(st.integers(0, 2))
        text = text[:at] + draw(st.sampled_from([*' \t".,=@0179afgzé\x0b-_*:', "", "65536", "  "])) + text[at + size :]
    return rtype, text


@settings(max_examples=examples(1_000, 20_000))
@given(mutated())
@example(("A", ""))
@example(("TXT", ""))
def test_plain_data_is_read_like_all_other_data(sample: tuple[str, str]) -> None:
    rtype, text = sample
    found = plain(rtype, text)
    assert found is None or found == full(rtype, text)


@pytest.mark.parametrize(("rtype", "text"), SAMPLES)
def test_other_forms_are_read_alike_or_left_to_the_full_reader(rtype: str, text: str) -> None:
    assert plain(rtype, text) in (None, full(rtype, text))
