"""Comments after records: text, and tags for proxying and identity."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from dnsd.formats.comments import Comment, parse_comment, without_identity
from dnsd.formats.zone_text import parse_zone_text
from dnsd.model.contents import UNQUOTED
from dnsd.model.records import UNWRITTEN, Identity, RecordSettings
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import TXT, A
from tests.limits import growth

EXAMPLE = parse_name_text("example.com")
ID = "0123456789abcdef0123456789abcdef"
CREATED = datetime(2026, 11, 27, 7, 0, 0, 123_456, UTC)
MODIFIED = datetime(2026, 11, 28, 23, 59, 59, 0, UTC)
WHOLE = f"dnsd-id:{ID},dnsd-created:2026-11-27T07:00:00.123456Z,dnsd-modified:2026-11-28T23:59:59Z"

FLAT, NOT_FLAT = RecordSettings(flatten_cname=True), RecordSettings(flatten_cname=False)

# A comment and its meaning
SAID = {
    "no tags": (" hello ", Comment("hello")),
    "all": (f"hello cf_tags=cf-proxied:true,{WHOLE}", Comment("hello", True, Identity(ID, CREATED, MODIFIED))),
    "in another order": (f"cf_tags={WHOLE},cf-proxied:true", Comment("", True, Identity(ID, CREATED, MODIFIED))),
    "the id alone": (f"cf_tags=dnsd-id:{ID}", Comment("", None, Identity(ID))),
    "an id in capitals": (f"cf_tags=dnsd-id:{ID.upper()}", Comment("", None, Identity(ID))),
    "a tag in capitals": (f"cf_tags=DNSD-Id:{ID},CF-Proxied:true", Comment("", True, Identity(ID))),
    "a time alone": ("cf_tags=dnsd-modified:2026-11-28T23:59:59Z", Comment("", None, Identity(modified_on=MODIFIED))),
    "a time in another zone": (
        "cf_tags=dnsd-created:2026-11-27T09:00:00.123456+02:00",
        Comment("", None, Identity(created_on=CREATED)),
    ),
    "among tags of users": (
        f"cf_tags=a,team:b:c,dnsd-id:{ID},",
        Comment("", None, Identity(ID), tags=("a", "team:b:c")),
    ),
    "text after the tags": (f"x cf_tags=dnsd-id:{ID} y", Comment("x y", None, Identity(ID))),
    "text with commas after the tags": ("cf_tags=cf-proxied:true by Ann, Bob", Comment("by Ann, Bob", True)),
    "outside the tags": (f"dnsd-id:{ID}", Comment(f"dnsd-id:{ID}")),
    "tags within the text": (f"cf_tags=dnsd-id:{ID} cf_tags=cf-proxied:true", Comment(f"cf_tags=dnsd-id:{ID}", True)),
    "a comma in a value": ('cf_tags=owner:"dns, mail",cf-proxied:true', Comment("", True, tags=("owner:dns, mail",))),
    "a blank in a value": ("cf_tags=owner:dns mail,cf-proxied:true", Comment("", True, tags=("owner:dns mail",))),
    "blanks between tags": ("cf_tags= a , cf-proxied:true ", Comment("", True, tags=("a",))),
    "quotes in a value": (
        r'why cf_tags=note:"say \"a=b\", \\o/",cf-proxied:false',
        Comment("why", False, tags=(r'note:say "a=b", \o/',)),
    ),
    "other characters in JSON": (r'cf_tags=n:"\u00fc\ud83d\ude00"', Comment("", tags=("n:ü😀",))),
    "no value in three ways": ('cf_tags=k:"",l:,m', Comment("", tags=("k", "l", "m"))),
    "an unquoted equals sign": ("cf_tags=a:b=c,cf-proxied:true", Comment("", True, tags=("a:b=c",))),
    "an unquoted backslash": (
        r"cf_tags=a:C:\b,cf-proxied:true",
        Comment("", True, tags=(r"a:C:\b",)),
    ),
    "tags in a value": (
        'cf_tags=note:"put cf_tags=cf-proxied:false",cf-proxied:true',
        Comment("", True, tags=("note:put cf_tags=cf-proxied:false",)),
    ),
    "a mention of tags in text": ("it has cf_tags= in it cf_tags=", Comment("it has cf_tags= in it")),
    "no tags after the mark": ("note cf_tags=", Comment("note")),
    "text about tags": ("the mark cf_tags= begins tags", Comment("the mark cf_tags= begins tags")),
    "tags as text, then real tags": (
        "was cf_tags=cf-proxied:true once cf_tags=cf-proxied:false",
        Comment("was cf_tags=cf-proxied:true once", False),
    ),
    "a flattened CNAME": ("cf_tags=team:a,cf-flatten-cname", Comment("", settings=FLAT, tags=("team:a",))),
    "an unflattened CNAME, in capitals": ("cf_tags=CF-Flatten-CNAME:false", Comment("", settings=NOT_FLAT)),
    "switches of the server's own": (
        "cf_tags=dnsd-ipv4-only:true,dnsd-ipv6-only:false,cf-proxied:true",
        Comment("", True, settings=RecordSettings(ipv4_only=True, ipv6_only=False)),
    ),
    "a comment that needs a tag": (
        r'cf_tags=cf-proxied:true,dnsd-comment:" two\nlines "',
        Comment(" two\nlines ", True),
    ),
    "a tag that needs a tag of its own": (
        'cf_tags=dnsd-tag:"cf-proxied:true",b',
        Comment("", tags=("cf-proxied:true", "b")),
    ),
    "a text without quotes": ("cf_tags=dnsd-unquoted:true", Comment("", None, Identity(written=UNQUOTED))),
}


@pytest.mark.parametrize(("comment", "said"), SAID.values(), ids=SAID.keys())
def test_comment(comment: str, said: Comment) -> None:
    assert parse_comment(A, comment) == said
    assert parse_comment(TXT, comment) == said._replace(proxied=None)
    common, stand_in, own = without_identity(comment)
    shared = parse_comment(A, common)
    if own is UNWRITTEN:
        assert common == comment
    elif shared.identity == stand_in:
        assert shared._replace(identity=own) == said


@pytest.mark.parametrize(("comment", "said"), SAID.values(), ids=SAID.keys())
def test_comment_in_a_file(comment: str, said: Comment) -> None:
    """The full reader reads the first line and the entry in parentheses; the second line has known parts."""
    lines = [f"a 1 A 192.0.2.1 ; {comment}", f"b 1 A 192.0.2.2 ; {comment}", "c 1 A 192.0.2.3"]
    lines += [f"d 1 ( A ; x\n 192.0.2.4 ) ; {comment}"]
    found = parse_zone_text("\n".join(lines), EXAMPLE)
    assert (found.problems, found.warnings) == ([], [])
    a, b, c, d = found.records
    for one in (a, b, d):
        assert (one.comment, one.proxied, one.identity) == (said.text, said.proxied or False, said.identity)
        assert (one.settings, one.tags) == (said.settings, said.tags)
    assert c == replace(parse_zone_text("c 1 A 192.0.2.3", EXAMPLE).records[0])
    assert len(found.records.identities) == (0 if said.identity == UNWRITTEN else 3)


# Unreadable or contradictory tags: an error, never silently DNS-only
UNREADABLE = {
    "unclosed quotes": 'cf_tags=team:"red, cf-proxied:true',
    "unclosed quotes at the end": 'cf_tags=cf-proxied:true,team:"',
    "quotes within a value": 'cf_tags=team:re"d",cf-proxied:true',
    "quotes around a tag": 'cf_tags="cf-proxied:true"',
    "text after quotes": 'cf_tags=team:"red" blue,cf-proxied:true',
    "text after quotes at the end": 'cf_tags=cf-proxied:true,team:"red" blue',
    "an equals sign in a name": "cf_tags=a=b,cf-proxied:true",
    "invalid JSON": r'cf_tags=team:"\x",cf-proxied:true',
    "a lone surrogate": r'cf_tags=team:"\ud800",cf-proxied:true',
    "an unquoted blank in a name": "cf_tags=red blue,cf-proxied:true",
    "a missing comma": "cf_tags=team:red cf-proxied:true",
    "a missing comma between reserved tags": "cf_tags=cf-proxied:false cf-proxied:true",
    "neither true nor false": "cf_tags=cf-proxied:yes",
    "no value": "cf_tags=cf-proxied",
    "no value after the colon": "cf_tags=CF-Proxied:,a",
    "before the last mark": "cf_tags=cf-proxied:true cf_tags=team:red",
    "before an empty mark": "cf_tags=cf-proxied:true cf_tags=",
    "a switch neither true nor false": "cf_tags=cf-flatten-cname:maybe",
    "a reserved switch without a value": "cf_tags=dnsd-ipv4-only",
    "after too many tags": f"cf_tags={','.join(f't{one}' for one in range(21))},cf-proxied:true",
}


@pytest.mark.parametrize("comment", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_unreadable_tags_are_an_error_at_their_place(comment: str) -> None:
    lines = ["a 1 A 192.0.2.1 ; cf_tags=x", f"b 1 A 192.0.2.2 ; {comment}", f"c 1 IN A 192.0.2.3;x {comment}", ""]
    found = parse_zone_text("\n".join(lines), EXAMPLE)
    assert [(one.line, one.column) for one in found.problems] == [(2, 1), (3, 1)]


def test_tags_in_parentheses_are_an_error() -> None:
    text = "a 1 A ( 192.0.2.1 ; cf_tags=cf-proxied:true\n )\nb 1 TXT ( cf_tags= ; text\n x ) ; cf_tags=a\n"
    found = parse_zone_text(text, EXAMPLE)
    assert [(one.line, one.column) for one in found.problems] == [(1, 1)]
    assert "after the closing one" in found.problems[0].message


def test_unknown_tag_of_the_server_is_a_warning() -> None:
    text = "a 1 A 192.0.2.1 ; cf_tags=a\nb 1 A 192.0.2.2 ; cf_tags=cf-proxed:true\nc 1 A 192.0.2.3 ; cf_tags=dnsd-x,b\n"
    found = parse_zone_text(text, EXAMPLE)
    assert (found.problems, [one.line for one in found.warnings]) == ([], [2])
    assert "cf-proxed" in found.warnings[0].message
    assert [one.tags for one in found.records] == [("a",), (), ("b",)]


MANY = ",".join(f"t{number}:v" for number in range(20))
LIMITS = {
    "the most tags": (f"{MANY},cf-proxied:true", 20, False),
    "one tag too many": (f"cf-proxied:true,{MANY},last", 20, True),
    "the longest tag": (f"cf-proxied:true,a:{'x' * 498},b", 2, False),
    "a tag too long": (f"cf-proxied:true,a:{'x' * 499},b", 1, True),
    "many": ("cf-proxied:true," + ",".join(f"t{number}" for number in range(9_000)), 20, True),
}


@pytest.mark.parametrize(("tags", "kept", "warns"), LIMITS.values(), ids=LIMITS.keys())
def test_tags_beyond_the_bound_are_not_kept(tags: str, kept: int, warns: bool) -> None:
    found = parse_zone_text(f"a 1 A 192.0.2.1 ; cf_tags={tags}\nb 1 A 192.0.2.2 ; cf_tags={tags}\n", EXAMPLE)
    assert [one.line for one in found.warnings] == ([1] if warns else [])
    assert [(len(one.tags), one.proxied) for one in found.records] == [(kept, True)] * 2


@pytest.mark.parametrize(
    "unit", ["cf_tags=", "cf_tags=a:", 'cf_tags=a:"', 'cf_tags=a:"\\"', "cf_tags= ", "a,", '"', " "]
)
def test_reading_takes_time_in_proportion(unit: str) -> None:
    def reading(count: int) -> Callable[[], object]:
        text = f"x cf_tags=a,{unit * count} cf_tags=b"

        def read() -> None:
            with suppress(ValueError):
                parse_comment(A, text)

        return read

    assert growth(reading, 2_000, 20_000, enough=20) <= 20  # 10 in proportion, 100 by the square


def test_identity_does_not_carry_over_to_the_next_line() -> None:
    ids = [f"{number:032x}" if number % 3 else None for number in range(9)]
    comments = [f"cf_tags=dnsd-id:{one}" if one else "x" for one in ids]
    lines = [f"h{number} 1 IN A 192.0.2.1 ; {comment}" for number, comment in enumerate(comments)]
    assert [one.identity.id for one in parse_zone_text("\n".join(lines), EXAMPLE).records] == ids


def test_time_is_kept_in_utc() -> None:
    created = parse_comment(A, "cf_tags=dnsd-created:2026-11-27T07:00:00-03:30").identity.created_on
    assert created == datetime(2026, 11, 27, 7, tzinfo=timezone(-timedelta(hours=3, minutes=30)))
    assert created.tzinfo is UTC


WRONG = {
    "an id too short": (f"dnsd-id:{ID[:-1]}", "dnsd-id must be 32 hexadecimal digits, found '0123"),
    "an id too long": (f"dnsd-id:{ID}0", "32 hexadecimal digits"),
    "an id with a letter beyond f": (f"dnsd-id:{ID[:-1]}g", "32 hexadecimal digits"),
    "an id with a non-ASCII digit": (f"dnsd-id:{ID[:-1]}١", "32 hexadecimal digits"),
    "an empty id": ("dnsd-id:", "found ''"),
    "an id without a colon": ("dnsd-id", "found ''"),
    "a date": (
        "dnsd-created:2026-11-27",
        "dnsd-created must be a time such as 2026-01-01T00:00:00.000000Z, found '2026",
    ),
    "a time without a zone": ("dnsd-created:2026-11-27T07:00:00", "must be a time"),
    "month 13": ("dnsd-modified:2026-13-27T07:00:00Z", "dnsd-modified must be a time"),
    "a date by week": ("dnsd-modified:2026-W48-5T07:00:00Z", "must be a time"),
    "a time before year 1": ("dnsd-modified:0001-01-01T00:00:00+01:00", "must be a time"),
    "an empty time": ("dnsd-modified:", "must be a time"),
}


@pytest.mark.parametrize(("tag", "message"), WRONG.values(), ids=WRONG.keys())
def test_malformed_tag_is_a_problem_of_its_record(tag: str, message: str) -> None:
    lines = ["a 1 A 192.0.2.1 ; x", "; c", f"b 1 A 192.0.2.1 ; y cf_tags=cf-proxied:true,{tag}"]
    lines += [f" 1 TXT ( a\n b ) ; cf_tags={tag}"]
    found = parse_zone_text("\n".join(lines), EXAMPLE)
    assert [(problem.line, problem.column) for problem in found.problems] == [(3, 1), (4, 2)]
    assert all(message in problem.message for problem in found.problems)
    assert len(found.records) == 1
