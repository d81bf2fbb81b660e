"""The fast reader of plain lines agrees with the full reader: same records, same order, same problems."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnsd.formats import plain_lines, zone_reader
from dnsd.formats.zone_blocks import BlockText
from dnsd.formats.zone_entries import Words
from dnsd.formats.zone_text import ZoneText, parse_zone_text
from dnsd.wire.names import parse_name_text
from tests.conformance.generate import generated_zones
from tests.limits import examples
from tests.samples.zones import ZONES

EXAMPLE = parse_name_text("example.com")
NO_LINE = re.compile(r"()()()()(?!)|")  # matches no line, so that no line is plain

OWNERS = ["a", "a", "B.a", "*", "*.b", "_x-1", "@", "", "", "a.example.com.", "b.Example.COM.", "x.example.org.", "10"]
OWNERS += ["example.com", "a..b", ".", ".a", r"a\.b", r"\097", "ä", '"a"', "a@b", "$x", "a/b", "l" * 63, "l" * 64]
OWNERS += ["IN", "A", ".".join(["l" * 60] * 4), ".".join(["l" * 60] * 5), "a" + "." * 3, "a\x0bb", "\x0ba"]
TTLS = ["300 ", "300 ", "1 ", "0 ", "", "", "1h ", "6x ", "2147483647 ", "2147483648 ", "99999999999 ", "0300 "]
CLASSES = ["IN ", "IN ", "IN\t", "", "in ", "iN ", "CH ", "CLASS1 ", "IN IN ", "IN 60 ", "IN 60 IN ", "60 60 ", "I N "]
DATA_OF_TYPES = {
    "A": ["192.0.2.1", "192.0.2.2", "192.0.2.256", "192.0.2", "192.0.02.1", "1.2.3.4.5", "192.0.2.1_0", "x"],
    "AAAA": ["2001:db8::1", "2001:DB8::1", "::ffff:192.0.2.1", "::1%eth0", ":::", "192.0.2.1"],
    "CNAME": ["a", "A", "@", "a.example.com.", "b.example.org.", "a..b", "a.b c", r"a\.b", "ä", "l" * 64, "."],
    "NS": ["ns1", "ns2.example.net.", "ns1 x"],
    "PTR": ["a", "*"],
    "DNAME": ["example.org."],
    "MX": ["10 mail", "10  mail", "10 MAIL", "10", "x mail", "70000 mail"],
    "TXT": ["a", '"a"', '"a" "b"', '"a;b" c', '"a(b"', '"a', 'a"b"', r'"a\"b"', '"ä"', "a ( b )", '""'],
    "CAA": ['0 issue "ca.example.net"', "0 issue x"],
    "SOA": [
        "ns1 host 1 2 3 4 5",
        "ns1 host 1 2 3 4",
        "( ns1 host 1\n2 3h 4 ) 5",
        "ns1 host ( 1 ; cf_tags=a:b\n2 3 4 5)",
    ],
    "DS": [
        "1 8 2 " + "ab" * 32,
        "1 8 2 " + "cd" * 32,
        "1 8 2 ( " + "ab" * 16 + " ; x\n" + "ef" * 16 + " )",
        "1 8 2 ab",
    ],
    "SRV": ["1 2 3 host", "1 2 3 .", "( 1 2\n3 ) host", "(1 2 (3 host))"],
    "HTTPS": ["1 . alpn=h2", '1 . alpn="h2" port=443', "1 . alpn="],
    "HS": ["192.0.2.1"],
    "TYPE65280": [r"\# 2 abcd"],
    "a": ["192.0.2.1"],
    "tXt": [
        "a",
        '( "a" ; "x\n"b(" )',
        '"a"("b")',
        '( "a"\n)"b" ; cf_tags=a:b',
        '("a\n")',
        '( "a;" ; cf_tags=a:b\n"b" )',
        "( a\\\nb )",
    ],
}
COMMENTS = ["", "", "", ";", "; x", " ;x(", ' ; "y', "; cf_tags=cf-proxied:true", " ; z cf_tags=cf-proxied:true", ";\\"]
COMMENTS += [
    ";cf_tags=cf-proxied:false",
    "; cf_tags=cf-proxied:yes",
    "; cf_tags=x,cf-proxied:true,y",
    "  ",
    "\t",
    "\x0c",
]
ID = "0123456789abcdef0123456789abcdef"
COMMENTS += [
    f"; cf_tags=cf-proxied:true,dnsd-id:{ID}",
    f" ; z cf_tags=dnsd-created:2026-11-27T07:00:00.123456Z,dnsd-id:{ID[::-1]},cf-proxied:false",
    f";cf_tags=DNSD-ID:{ID.upper()},x",
    f"; cf_tags=dnsd-id:{ID} cf_tags=cf-proxied:true",
    "; cf_tags=dnsd-id:1",
    "; cf_tags=dnsd-x:1,,dnsd-modified:2026-02-30T07:00:00Z",
    "; dnsd-id:1 cf_tags=dnsd-x",
    '; cf_tags=team:"red, blue",cf-proxied:true',
    '; cf_tags=team:"red, blue',
    f'; cf_tags=note:"x,dnsd-id:{ID}",cf-proxied:true',
    f"; x,dnsd-id:{ID}",
    f'; cf_tags=note:"x,dnsd-id:{ID}',
    f'; cf_tags=note:"x",dnsd-unquoted:true,dnsd-id:{ID},dnsd-modified:2026-11-27T07:00:00Z',
    f"; cf_tags=a b,dnsd-id:{ID}",
    "; cf_tags=dnsd-ipv4-only:true,cf-flatten-cname,a:b",
    "; cf_tags=cf-proxied:true cf_tags=",
    "; \x1b[0m\tx cf_tags=cf-proxied:true",
    "; cf_tags=" + ",".join(f"t{number}" for number in range(22)),
    "; cf_tags=cf-new:1",
    "; é",
    "; 漢字 cf_tags=cf-proxied:true",
    " ; 字漢 cf_tags=cf-proxied:true",
    "; 😀",
    "; \udcff",
    f"; {'x' * 300}",
]
OTHERS = [
    "",
    "",
    "; comment",
    " ; (",
    "   ",
    "$TTL 60",
    "$TTL",
    "$TTL 1x",
    "$ORIGIN a",
    "$ORIGIN example.com.",
    "$ORIGIN @",
    "$ORIGIN . ; x",
    "$ORIGIN a b",
    "$TTL 90 ; x",
    "$TTL 2147483648",
    "$ttl 70",
    "$ORIGIN",
]
OTHERS += ["$INCLUDE x", "a 60 IN TXT (", ")", " x )", "a 60 A ( 192.0.2.9", "\\", 'b 60 TXT "a\\', '"', "a", "300 A"]


@st.composite
def lines(draw: st.DrawFn) -> str:
    rtype = draw(st.sampled_from(list(DATA_OF_TYPES)))
    gap = draw(st.sampled_from([" ", " ", "\t", "  \t"]))
    data = draw(st.sampled_from(DATA_OF_TYPES[rtype]))
    parts = draw(st.tuples(*map(st.sampled_from, (OWNERS, TTLS, CLASSES, COMMENTS))))
    return f"{parts[0]}{gap}{parts[1]}{parts[2]}{rtype}{gap}{data}{parts[3]}"


@st.composite
def texts(draw: st.DrawFn) -> str:
    some = draw(st.lists(lines() | lines() | st.sampled_from(OTHERS), max_size=12))
    # Repeat the same parts: remembered meanings must also fit the second and the third line.
    chosen = draw(st.lists(st.sampled_from(some), max_size=30)) if some else []
    text = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"])).join(chosen) + draw(st.sampled_from(["", "\n"]))
    if text and draw(st.integers(0, 3)) == 0:
        at, what = draw(st.integers(0, len(text))), draw(st.sampled_from(' \n\t;"()\\.@x0é\x0b'))
        text = text[:at] + what + text[at + draw(st.integers(0, 1)) :]
    return text


def contents(found: ZoneText) -> object:
    return found.name, list(found.records), list(found.lines), found.problems, found.warnings


class NoLines(plain_lines.Lines):
    """Finds no line plain."""

    def read(
        self, text: str, start: int, owner: bytes | None, default_ttl: int | None, last_ttl: int | None
    ) -> plain_lines.PlainRead:
        return start, owner, default_ttl, last_ttl, 0, None, (b"", b"", b"", b"", b"", {})


def assert_read_alike(text: str) -> None:
    known = contents(parse_zone_text(text, EXAMPLE))
    # In blocks of one line each, so that blocks end in the middle of an entry.
    assert contents(parse_zone_text(BlockText.of(re.findall("[^\n]*\n|[^\n]+$", text)), EXAMPLE)) == known
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zone_reader, "Lines", plain_lines.Lines)
        assert contents(parse_zone_text(text, EXAMPLE)) == known
        patch.setattr(zone_reader, "Lines", NoLines)
        assert contents(parse_zone_text(text, EXAMPLE)) == known
        patch.setattr(zone_reader, "LINE", NO_LINE)
        assert contents(parse_zone_text(text, EXAMPLE)) == known


@settings(max_examples=examples(250, 1_500))
@given(texts())
@example("a 60 A 192.0.2.1\nb 60 A 192.0.2.1\n$ORIGIN x\nb 60 A 192.0.2.1\n 60 A 192.0.2.1\n")
@example("$TTL 60\na CNAME b\nc CNAME b\n$TTL 90\nd CNAME b\n$ORIGIN x\ne CNAME b\n")
@example("a 60 A 192.0.2.1\nb 90 A 192.0.2.1\nc A 192.0.2.1\nd 60 A 192.0.2.1\ne A 192.0.2.1\n")
@example("B.a 300 IN SOA ns1 host 1 2 3 4 5\na 300 IN A 192.0.2.1\na 300 IN A 192.0.2.1\n")
@example("$TTL 60\n@ SOA ns1 host 1 2 3 4 5\na A 192.0.2.1\n@ SOA ns1 host 1 2 3 4 5\nb 90 A 192.0.2.1\n")
@example("$TTL 60\nb.a SOA ns1 host 1 2 3 4 5\na A 192.0.2.1\n")
@example("$TTL 60\nb.example.com. SOA ns1 host 1 2 3 4 5\na A 192.0.2.1\n")
@example("$TTL 60\na A 192.0.2.1\n SOA ns1 host 1 2 3 4 5\na A 192.0.2.1\n")
@example("$ORIGIN b\n$ORIGIN c\nB.a 60 SOA ns1 host 1 2 3 4 5\na A 192.0.2.1\n$TTL 90\n$ORIGIN d\nb A 192.0.2.1\n")
@example("@ SOA ns1 host 1 2 3 4 5\na A 192.0.2.1\n")
@example("$TTL 60\n@ SOA ns1 host 1 2 3 4 5 ; cf_tags=dnsd-modified:2026-11-27T07:00:00Z\na A 192.0.2.1\n")
@example('a 60 TXT "x;\\\ny"\nb 60 TXT "x;\\\ny"\n')
def test_lines_of_known_parts_are_read_like_all_others(text: str) -> None:
    assert_read_alike(text)


@pytest.mark.parametrize("blanks", [65_500, 65_536, 300_000])
def test_very_long_lines_are_read_alike(blanks: int) -> None:
    assert_read_alike(f"a 60 A 192.0.2.1\nb{' ' * blanks}60 A 192.0.2.2\nc 60 A 192.0.2.3\n")


@pytest.mark.parametrize("text", [pytest.param(path.read_text("utf-8"), id=path.name) for path in ZONES])
def test_zones_of_other_programs_are_read_alike(text: str) -> None:
    assert_read_alike(text)


@pytest.mark.parametrize("seed", range(3))
def test_generated_zones_are_read_alike(seed: int) -> None:
    for text in generated_zones(seed).values():
        assert_read_alike(text)


PLAIN_ZONE = (
    """\
$ORIGIN example.com.
$TTL 300 ; five minutes
@ IN SOA ns1 hostmaster ( ; x (
    2026112901 ; serial
    1h 600 1w 300 ) ; y
@ IN NS ns1
 NS ns2.example.net.
 MX 10 mail
 CAA 0 issue "ca.example.net"
ns1 A 192.0.2.1
$ORIGIN sub.example.com.
@ DS 1 8 2 ( """
    + " ".join(["ab" * 16] * 2)
    + """ )
dkim in 60 txt ( "v=DKIM1; k=rsa; p=" ; (
    "abc" ) ; z
"""
)


HEADS = {
    "an origin": "$ORIGIN example.com.\n$TTL 300 ; five minutes\nexample.com. IN SOA ns1 host 1 2 3 4 5\n",
    "the file's name": "$TTL 300\n@ IN SOA ns1 host 1 2 3 4 5 ; x\n",
    "a TTL of its own": "@ 60 SOA ns1 host 1 2 3 4 5\n",
}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_head_of_a_zone_is_read_with_its_plain_lines(
    monkeypatch: pytest.MonkeyPatch, head: str, compiled: bool
) -> None:
    """Ten thousand small zones have as many heads: entries that go one by one would take most of their time."""
    alone = []
    monkeypatch.setattr(zone_reader.ZoneReader, "read_entry", lambda self, entry: alone.append(entry))
    if not compiled:
        monkeypatch.setattr(zone_reader, "Lines", plain_lines.Lines)
    text = f"{head}@ NS ns1\na A 192.0.2.1\n$TTL 60\n$ORIGIN sub.example.com.\nb A 192.0.2.2\n"
    found = parse_zone_text(text, EXAMPLE)
    assert (alone, found.problems, len(found.records)) == ([], [], 4)
    assert list(found.lines) == [head.count("\n") + number for number in (0, 1, 2, 5)]
    assert found.records[3].ttl == 60


@pytest.mark.parametrize("compiled", [True, False])
def test_plain_entries_need_no_tokenizer(monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    monkeypatch.setattr(zone_reader, "Words", NotImplemented)
    if not compiled:
        monkeypatch.setattr(zone_reader, "Lines", plain_lines.Lines)
    text = "".join(
        f"h{number} 300 IN A 192.0.2.{number % 256} ; {number} cf_tags=cf-proxied:true\n"
        f"c{number}.example.com.\t1\tIN\tCNAME\tx{number}.example.org.\n"
        f't{number} 300 IN TXT "v=spf1 -all {number}"\n'
        f"t{number} MX {number} mail\n"
        for number in range(100)
    )
    found = parse_zone_text(PLAIN_ZONE + text, EXAMPLE)
    assert (len(found.records), found.problems, len(found.lines)) == (408, [], 408)
    assert list(found.lines[:9]) == [3, 6, 7, 8, 9, 10, 12, 13, 15]
    monkeypatch.undo()
    assert_read_alike(PLAIN_ZONE + text)


def test_other_data_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(zone_reader, "Words", lambda entry: read.append(entry) or Words(entry))
    found = parse_zone_text("".join(f'h{number} 300 HINFO "x" "y"\n' for number in range(100)), EXAMPLE)
    assert (len(found.records), found.problems, len(read)) == (100, [], 1)
