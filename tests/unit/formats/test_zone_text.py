"""Master files (RFC 1035 §5) and Cloudflare's exports: every accepted form, and the place of each problem."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from dnsd.formats import plain_lines, zone_blocks, zone_reader, zone_text
from dnsd.formats.zone_blocks import BlockText
from dnsd.formats.zone_reader import MAX_ENTRY, MAX_PROBLEMS, Lines, ZoneReader
from dnsd.formats.zone_text import parse_zone_text
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import type_text
from tests.limits import growth

EXAMPLE = parse_name_text("example.com")
SOA = "@ 60 IN SOA ns1 host 1 2 3 4 5\n"
SOA_ROW = ("example.com", 60, "SOA", "ns1.example.com. host.example.com. 1 2 3 4 5")

Row = tuple[str, int, str, str]  # owner, TTL, type, data


def rows(text: str) -> list[Row]:
    found = parse_zone_text(text, EXAMPLE)
    assert found.problems == []
    return [(name_text(r.owner), r.ttl, type_text(r.rtype), r.content) for r in found.records]


READ: dict[str, tuple[str, list[Row]]] = {
    "TTL, class, type": ("www 60 IN A 192.0.2.1", [("www.example.com", 60, "A", "192.0.2.1")]),
    "class, TTL, type": ("www IN 60 A 192.0.2.1", [("www.example.com", 60, "A", "192.0.2.1")]),
    "no class": ("www 60 A 192.0.2.1", [("www.example.com", 60, "A", "192.0.2.1")]),
    "lower case": ("www 60 in a 192.0.2.1", [("www.example.com", 60, "A", "192.0.2.1")]),
    "class by number": ("www 60 CLASS1 A 192.0.2.1", [("www.example.com", 60, "A", "192.0.2.1")]),
    "tabs": ("www\t60\tIN\tA\t192.0.2.1", [("www.example.com", 60, "A", "192.0.2.1")]),
    "@": ("@ 60 A 192.0.2.1", [("example.com", 60, "A", "192.0.2.1")]),
    "@ in the data": ("www 60 CNAME @", [("www.example.com", 60, "CNAME", "example.com.")]),
    "a full owner": ("WWW.Example.com. 60 A 192.0.2.1", [("www.example.com", 60, "A", "192.0.2.1")]),
    "a wildcard": ("*.a 60 A 192.0.2.1", [("*.a.example.com", 60, "A", "192.0.2.1")]),
    "an owner with the name of a type": ("A 60 A 192.0.2.1", [("a.example.com", 60, "A", "192.0.2.1")]),
    "a number as owner": ("10 60 PTR a", [("10.example.com", 60, "PTR", "a.example.com.")]),
    "a blank owner": (
        "www 60 A 192.0.2.1\n 60 A 192.0.2.2\n\tAAAA 2001:db8::1",
        [
            ("www.example.com", 60, "A", "192.0.2.1"),
            ("www.example.com", 60, "A", "192.0.2.2"),
            ("www.example.com", 60, "AAAA", "2001:db8::1"),
        ],
    ),
    "a blank owner after comments and blank lines": (
        "www 60 A 192.0.2.1\n\n; comment\n   \n   ; another\n A 192.0.2.2",
        [("www.example.com", 60, "A", "192.0.2.1"), ("www.example.com", 60, "A", "192.0.2.2")],
    ),
    # Directives
    "$ORIGIN": (
        "$ORIGIN a.example.com.\nx 60 CNAME y\n@ 60 A 192.0.2.1",
        [("x.a.example.com", 60, "CNAME", "y.a.example.com."), ("a.example.com", 60, "A", "192.0.2.1")],
    ),
    "$ORIGIN, relative": ("$ORIGIN a\n$ORIGIN b\nx 60 A 192.0.2.1", [("x.b.a.example.com", 60, "A", "192.0.2.1")]),
    "$ORIGIN does not change a blank owner": (
        "x 60 A 192.0.2.1\n$ORIGIN a.example.com.\n A 192.0.2.2",
        [("x.example.com", 60, "A", "192.0.2.1"), ("x.example.com", 60, "A", "192.0.2.2")],
    ),
    "$ORIGIN above the zone": ("$ORIGIN com.\nwww.example 60 A 192.0.2.1", [("www.example.com", 60, "A", "192.0.2.1")]),
    "$origin in lower case, with a comment": (
        "$origin a ; x\nx 60 A 192.0.2.1",
        [("x.a.example.com", 60, "A", "192.0.2.1")],
    ),
    "$TTL": ("$TTL 1h\nwww A 192.0.2.1", [("www.example.com", 3600, "A", "192.0.2.1")]),
    "$TTL twice": (
        "$TTL 60\na A 192.0.2.1\n$TTL 90\nb A 192.0.2.1",
        [("a.example.com", 60, "A", "192.0.2.1"), ("b.example.com", 90, "A", "192.0.2.1")],
    ),
    "$TTL wins over the previous record's TTL": (
        "$TTL 60\na 90 A 192.0.2.1\nb A 192.0.2.1",
        [("a.example.com", 90, "A", "192.0.2.1"), ("b.example.com", 60, "A", "192.0.2.1")],
    ),
    "the previous record's TTL": (
        "a 90 A 192.0.2.1\nb A 192.0.2.1",
        [("a.example.com", 90, "A", "192.0.2.1"), ("b.example.com", 90, "A", "192.0.2.1")],
    ),
    "no TTL at all: the SOA's minimum": (
        "@ SOA ns1 host 1 2 3 4 77\na A 192.0.2.1",
        [("example.com", 77, "SOA", SOA_ROW[3].replace(" 5", " 77")), ("a.example.com", 77, "A", "192.0.2.1")],
    ),
    "units": (
        "a 1d A 192.0.2.1\nb 2w3d4h5m6s A 192.0.2.1\nc 1H30M A 192.0.2.1",
        [
            ("a.example.com", 86_400, "A", "192.0.2.1"),
            ("b.example.com", 1_483_506, "A", "192.0.2.1"),
            ("c.example.com", 5400, "A", "192.0.2.1"),
        ],
    ),
    "units in the SOA": (
        "@ 60 SOA ns1 host 1 2h 1m 1w 5",
        [("example.com", 60, "SOA", "ns1.example.com. host.example.com. 1 7200 60 604800 5")],
    ),
    # Parentheses
    "parentheses": (
        '@ 60 SOA ns1 host ( ; the numbers (all of them)\n  1 ; serial ")"\n  2 3\n\n 4 5 ) ; end\nwww 60 A 192.0.2.1',
        [SOA_ROW, ("www.example.com", 60, "A", "192.0.2.1")],
    ),
    "parentheses around a type": ("www 60 ( IN\nA\n192.0.2.1 )", [("www.example.com", 60, "A", "192.0.2.1")]),
    "parentheses without spaces": ("www 60 TXT (a\nb)", [("www.example.com", 60, "TXT", '"a" "b"')]),
    "parentheses inside parentheses": ("www 60 TXT ( a\n( b )\nc )", [("www.example.com", 60, "TXT", '"a" "b" "c"')]),
    "parentheses in quotes": ('www 60 TXT "(" ")"', [("www.example.com", 60, "TXT", '"(" ")"')]),
    "parentheses in a comment": (
        "a 60 A 192.0.2.1 ; (\nb 60 A 192.0.2.1",
        [("a.example.com", 60, "A", "192.0.2.1"), ("b.example.com", 60, "A", "192.0.2.1")],
    ),
    "escaped parentheses": (r"a\(b 60 A 192.0.2.1", [(r"a\(b.example.com", 60, "A", "192.0.2.1")]),
    # Quotes and escapes
    "a semicolon in quotes": ('www 60 TXT "a;b"', [("www.example.com", 60, "TXT", '"a;b"')]),
    "an escaped quote": (r'www 60 TXT "a\"b" ; c', [("www.example.com", 60, "TXT", r'"a\"b"')]),
    "a decimal escape": (r"a\046b 60 TXT \065", [(r"a\.b.example.com", 60, "TXT", '"A"')]),
    "a dot in a label": (r"a\.b 60 A 192.0.2.1", [(r"a\.b.example.com", 60, "A", "192.0.2.1")]),
    "an unquoted string": ("www 60 TXT abc", [("www.example.com", 60, "TXT", '"abc"')]),
    "an empty string": ('www 60 TXT ""', [("www.example.com", 60, "TXT", '""')]),
    # RFC 3597
    "an unknown type": (r"www 60 TYPE65534 \# 2 abcd", [("www.example.com", 60, "TYPE65534", r"\# 2 abcd")]),
    "an unknown type in parts": (
        r"www 60 TYPE65534 \# 4 ( ab cd" + "\n ef01 )",
        [("www.example.com", 60, "TYPE65534", r"\# 4 abcdef01")],
    ),
    "a known type as octets": (r"www 60 A \# 4 c0000201", [("www.example.com", 60, "A", "192.0.2.1")]),
    # Line ends
    "CRLF": (
        "$TTL 60\r\na A 192.0.2.1\r\nb TXT ( x\r\n y )\r\n",
        [("a.example.com", 60, "A", "192.0.2.1"), ("b.example.com", 60, "TXT", '"x" "y"')],
    ),
    "CR alone": ("$TTL 60\ra A 192.0.2.1\r", [("a.example.com", 60, "A", "192.0.2.1")]),
    "no newline at the end": ("a 60 A 192.0.2.1", [("a.example.com", 60, "A", "192.0.2.1")]),
    # Zone transfers
    "the SOA first and last": (SOA + "a A 192.0.2.1\n" + SOA, [SOA_ROW, ("a.example.com", 60, "A", "192.0.2.1")]),
    "a record twice": ("a 60 A 192.0.2.1\nA 60 A 192.0.2.1", [("a.example.com", 60, "A", "192.0.2.1")]),
}


@pytest.mark.parametrize(("text", "expected"), READ.values(), ids=READ.keys())
def test_read(text: str, expected: list[Row]) -> None:
    assert rows(text) == expected


@pytest.mark.parametrize(("text", "expected"), READ.values(), ids=READ.keys())
def test_read_alike_with_other_line_ends(text: str, expected: list[Row]) -> None:
    assert rows(text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n") + "\r\n") == expected


# The text after the record, whether it is proxied, the remaining comment
TAGS = {
    "no comment": ("", False, ""),
    "a comment": ("; cloud", False, "cloud"),
    "proxied": ("; cf_tags=cf-proxied:true", True, ""),
    "DNS-only": ("; cf_tags=cf-proxied:false", False, ""),
    "text before": ("; authentication pages cf_tags=cf-proxied:true", True, "authentication pages"),
    "several tags": ("; cf_tags=team:web,cf-proxied:true,env:prod", True, ""),
    "several tags, DNS-only": ("; cf_tags=cf-proxied:false,x:cf-proxied:true", False, ""),
    "no space": (";cf_tags=cf-proxied:true", True, ""),
    "a word with the same ending": ("; xcf_tags=cf-proxied:true", False, "xcf_tags=cf-proxied:true"),
    "the tag without its name": ("; cf-proxied:true", False, "cf-proxied:true"),
}


@pytest.mark.parametrize(("rest", "proxied", "comment"), TAGS.values(), ids=TAGS.keys())
def test_tags_of_a_cloudflare_export(rest: str, proxied: bool, comment: str) -> None:
    [found] = parse_zone_text(f"www 1 IN A 192.0.2.1 {rest}\n", EXAMPLE).records
    assert (found.proxied, found.comment, found.ttl_s) == (proxied, comment, 300)


def test_tag_in_data_is_data() -> None:
    [found] = parse_zone_text('www 1 IN TXT "; cf_tags=cf-proxied:true"', EXAMPLE).records
    assert not found.proxied


# The name from the file's name, the text, the zone's name
ZONE_NAMES = {
    "no SOA": ("example.com", "www 60 A 192.0.2.1", "example.com"),
    "SOA at @": ("example.com", SOA, "example.com"),
    "SOA without its final dot": ("example.com", "example.com 60 IN SOA a. b. 1 2 3 4 5", "example.com"),
    "SOA without its final dot, in a file of another name": (
        "export",
        "example.com 60 SOA a. b. 1 2 3 4 5",
        "example.com",
    ),
    "SOA with its final dot, in a file of another name": (
        "export",
        "example.com. 60 SOA a. b. 1 2 3 4 5",
        "example.com",
    ),
    "SOA relative to $ORIGIN": ("export", "$ORIGIN com.\nexample 60 SOA a. b. 1 2 3 4 5", "example.com"),
    "the root": ("export", ". 60 SOA a. b. 1 2 3 4 5", "."),
}


@pytest.mark.parametrize(("file", "text", "zone"), ZONE_NAMES.values(), ids=ZONE_NAMES.keys())
def test_zone_name(file: str, text: str, zone: str) -> None:
    found = parse_zone_text(text, parse_name_text(file))
    assert found.problems == []
    assert name_text(found.name) == zone


def test_names_are_relative_to_the_soa() -> None:
    found = parse_zone_text("example.org 60 IN SOA a. b. 1 2 3 4 5\nwww A 192.0.2.1", EXAMPLE)
    assert [name_text(record.owner) for record in found.records] == ["example.org", "www.example.org"]


# Lines; each problem as (line, column, part of the message)
PROBLEMS: dict[str, tuple[list[str], list[tuple[int, int, str]]]] = {
    "nothing": ([], [(1, 1, "no records")]),
    "only comments": (["; a", "", "$TTL 60"], [(1, 1, "no records")]),
    "an unknown type": (["a 60 IN AAB x"], [(1, 9, "'AAB' is not a record type")]),
    "a query type": (["a 60 IN ANY x"], [(1, 9, "cannot be the type of a record")]),
    "a TTL": (["a 6x IN A 192.0.2.1"], [(1, 3, "'6x' is not a TTL")]),
    "a class": (["a 60 HS A 192.0.2.1"], [(1, 6, "class HS is not supported")]),
    "no type": (["a 60 IN"], [(1, 1, "type is missing")]),
    "only an owner": (["a"], [(1, 1, "type is missing")]),
    "a tag neither true nor false": (["a 1 A 192.0.2.1 ; cf_tags=cf-proxied:yes"], [(1, 1, "true or false")]),
    "no TTL": (["a A 192.0.2.1"], [(1, 1, "no TTL")]),
    "no owner": ([" 60 A 192.0.2.1"], [(1, 2, "no owner")]),
    "an owner outside": (
        ["a 60 A 192.0.2.1", "a.example.org. 60 A 192.0.2.1"],
        [(2, 1, "a.example.org lies outside the zone example.com")],
    ),
    "a look-alike outside": (["xexample.com. 60 A 192.0.2.1"], [(1, 1, "outside")]),
    "$INCLUDE": (["$INCLUDE x"], [(1, 1, "$INCLUDE is not supported")]),
    "$GENERATE": (["$GENERATE 1-2 a$ A 192.0.2.$"], [(1, 1, "$GENERATE is not supported")]),
    "$TTL without a value": (["$TTL"], [(1, 1, "missing or malformed")]),
    "$ORIGIN with two": (["$ORIGIN a. b."], [(1, 1, "")]),
    "a line of an entry in parentheses": (
        ["a 60 TXT x", "b 60 ( IN", "  AAB", "x )", "c 60 X 1"],
        [(3, 3, "'AAB'"), (5, 6, "'X'")],
    ),
    "several, with valid lines in between": (
        ["$TTL 60", "a A 1.2.3", "b A 192.0.2.1", "", "c 6x A 192.0.2.1", "d MX 10", 'e TXT "x', "f A 192.0.2.1"],
        [(2, 5, "not valid A"), (5, 3, "TTL"), (6, 6, "not valid MX"), (7, 7, "too early")],
    ),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(("lines", "said"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_problem(lines: list[str], said: list[tuple[int, int, str]], newline: str) -> None:
    found = parse_zone_text(newline.join(lines), EXAMPLE).problems
    assert [(problem.line, problem.column) for problem in found] == [(line, column) for line, column, _ in said]
    for problem, (_, _, text) in zip(found, said, strict=True):
        assert text in problem.message


LONG = "a 60 A 192.0.2.1\n" * (MAX_ENTRY // 10)
LEFT_OPEN = {  # a text before, the place of an open parenthesis, the text after it, and what is said
    "at the end": ("a 60 A 192.0.2.1\nb 60 TXT ", (2, 10), "( x\n", "unbalanced parentheses: this one is not closed"),
    "without a line's end": ("a 60 TXT x\n\nb 60 TXT ", (3, 10), "( x", "this one is not closed"),
    "in a later line": ("a 60 TXT ( x\n", (2, 3), "y)(z\n", "this one is not closed"),
    "around a closed one": ("a 60 TXT ", (1, 10), "( x\n( y )\nb 60 TXT ( z )\n", "this one is not closed"),
    "before much": ("a 60 TXT x\nb 60 TXT ", (2, 10), f"( x\n{LONG}", "within 300,000 characters"),
    "before a late end": ("a 60 TXT ", (1, 10), f"( x\n{LONG})\nb 60 X y\n", "within 300,000 characters"),
}


@pytest.mark.parametrize("size", [10_000, 100_000, 10**9])
@pytest.mark.parametrize("what", LEFT_OPEN)
def test_open_parenthesis_is_named_and_ends_the_reading_within_the_limit_of_an_entry(what: str, size: int) -> None:
    before, place, after, said = LEFT_OPEN[what]
    text, read = before + after, 0

    def text_of(start: int, stop: int) -> tuple[str, int]:
        nonlocal read
        read = max(read, stop * size)
        return text[start * size : stop * size], stop

    count = -(-len(text) // size)
    found = parse_zone_text(BlockText(range(count), text_of), EXAMPLE).problems
    if what == "before a late end" and count == 1:
        said, place = "the entry is too long: the limit is 300,000 characters", (1, 1)
        found = found[:1]
    assert [(problem.line, problem.column) for problem in found] == [place]
    assert said in found[0].message
    assert count == 1 or read <= MAX_ENTRY + 2 * size


LONG_NOTHING = {
    "a comment": f";{'(x' * MAX_ENTRY}",
    "an indented comment": f"  \t;{'(x' * MAX_ENTRY}",
    "blanks": " \t" * MAX_ENTRY,
    "blanks and a comment": f"{' ' * (MAX_ENTRY + 9)}; x",
}


@pytest.mark.parametrize("before", ["", "a 60 A 192.0.2.1\n", "a 60 A 192.0.2.1\nA 60 A 192.0.2.2\n"], ids=len)
@pytest.mark.parametrize("size", [100_000, 299_999, 10**9])
@pytest.mark.parametrize("what", LONG_NOTHING)
def test_line_without_an_entry_is_passed_over_at_any_length_and_cut(what: str, size: int, before: str) -> None:
    text = f"{before}{LONG_NOTHING[what]}\nb 60 A 192.0.2.1\n"
    texts = [text[start : start + size] for start in range(0, len(text), size)]
    found = parse_zone_text(BlockText.of(texts), EXAMPLE)
    assert (len(found.records), found.problems) == (before.count("\n") + 1, [])


ESCAPED = {  # lines that each end with a backslash: a string may go on, and then its octets are no comment
    "comments": "; {number} \\\n",
    "blanks and comments": " \t; ( {number} \\\n",
    "records with comments": "a{number} 60 A 192.0.2.1 ; {number} \\\n",
    "strings with a semicolon": 'a{number} 60 TXT "x ; \\\n y" ; {number} \\\n',
    "entries in parentheses": 'a{number} 60 TXT ( "(" ; {number} \\\n"x" ; \\\n) ; \\\n',
}


@pytest.mark.parametrize("size", [1, 2, 7, 20])
@pytest.mark.parametrize("what", ESCAPED)
def test_blocks_that_end_with_a_backslash_are_read_one_by_one(
    what: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not together as one string, in one step that no other thread can interrupt."""
    monkeypatch.setattr(zone_blocks, "MAX_ENTRY", 500)
    lines = [ESCAPED[what].format(number=number) for number in range(300)]
    text = "".join((*lines, "z 60 A 192.0.2.1\n"))
    lines = text.splitlines(keepends=True)
    blocks = ["".join(lines[start : start + size]) for start in range(0, len(lines), size)]
    asked: list[int] = []

    def text_of(start: int, stop: int) -> tuple[str, int]:
        asked.append(stop - start)
        return "".join(blocks[start:stop]), stop

    found, expected = parse_zone_text(BlockText(blocks, text_of), EXAMPLE), parse_zone_text(text, EXAMPLE)
    assert (found.records, [*found.lines], found.problems) == (expected.records, [*expected.lines], [])
    assert asked == [1] * len(blocks)


ENDS_WITHIN = {  # an entry in two parts, the first of which ends with a backslash
    "a string": ('b 60 TXT "x ; \\\n', 'y"\n'),
    "a string of many lines": ('b 60 TXT "x ; \\\n( \\\n', ') \\\n y"\n'),
    "a string in parentheses": ('b 60 TXT ( "x ; ) \\\n', 'y" )\n'),
    "no string": ('b 60 TXT ( x ; "y" ) \\\n', "z )\n"),
}


@pytest.mark.parametrize("what", ENDS_WITHIN)
def test_entry_goes_on_in_the_next_block_after_a_backslash(what: str) -> None:
    blocks = ["a 60 A 192.0.2.1\n" + ENDS_WITHIN[what][0], ENDS_WITHIN[what][1] + "c 60 A 192.0.2.1\n"]
    found, expected = parse_zone_text(BlockText.of(blocks), EXAMPLE), parse_zone_text("".join(blocks), EXAMPLE)
    assert (found.records, [*found.lines], found.problems) == (expected.records, [*expected.lines], expected.problems)
    assert len(found.records) >= 2


def test_valid_records_among_problems_are_known() -> None:
    found = parse_zone_text("$TTL 60\na A 1.2.3\nb A 192.0.2.1\n", EXAMPLE)
    assert [(name_text(record.owner), line) for record, line in zip(found.records, found.lines, strict=True)] == [
        ("b.example.com", 3)
    ]


def test_number_of_problems_is_bounded() -> None:
    assert len(parse_zone_text("a 60 AAB x\n" * 5000, EXAMPLE).problems) == MAX_PROBLEMS


HOSTILE = {  # texts by number of repetitions
    "opening parentheses": lambda times: "a 60 TXT " + "(" * times,
    "closing parentheses": lambda times: "a 60 TXT " + ")" * times,
    "quotes": lambda times: 'a 60 TXT "' + '"' * times,
    "backslashes": lambda times: "a 60 TXT " + "\\" * times,
    "an unclosed quote": lambda times: 'a 60 TXT "' + "x" * 2 * times,
    "unclosed quotes": lambda times: 'a 60 TXT "x\n' * (times // 5),
    "one word": lambda times: "a" * 5 * times,
    "one comment": lambda times: "; " + "(" * 5 * times,
    "blank lines": lambda times: "\n" * 2 * times,
    "$ORIGINs": lambda times: "$ORIGIN a\n" * (times // 5),
    "strings": lambda times: "a 60 TXT " + "x " * (times // 2),
}


@pytest.mark.parametrize("text_of", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_meets_an_error_in_time_that_grows_with_its_size(text_of: Callable[[int], str]) -> None:
    """Four times the text costs four times as much; repeated reading would cost sixteen times as much."""

    assert parse_zone_text(text_of(100_000), EXAMPLE).problems
    reading = lambda times: partial(parse_zone_text, text_of(times), EXAMPLE)  # noqa: E731
    assert growth(reading, 25_000, 100_000, enough=8) <= 8


@pytest.mark.parametrize("kind", [Lines, plain_lines.Lines])
def test_reader_is_freed_without_the_garbage_collector(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """It may be frozen, or late, while the reader holds the columns of a million records."""
    seen = []

    def kept(*given: object, **named: object) -> ZoneReader:
        seen.append(weakref.ref(reader := ZoneReader(*given, **named)))
        return reader

    monkeypatch.setattr(zone_text, "ZoneReader", kept)
    monkeypatch.setattr(zone_reader, "Lines", kind)
    gc.disable()
    try:
        found = parse_zone_text(SOA + "a 60 A 192.0.2.1 ; x\nb 60 in hinfo a b\nc 60 x\n", EXAMPLE)
        with pytest.raises(OSError):
            parse_zone_text(BlockText([1, 2], _broken), EXAMPLE)
        assert (len(found.records), len(found.problems)) == (3, 1)
        assert [one() for one in seen] == [None, None]
    finally:
        gc.enable()


def _broken(start: int, stop: int) -> tuple[str, int]:
    if start:
        raise OSError
    return SOA, stop
