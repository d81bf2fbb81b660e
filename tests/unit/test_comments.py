"""What the comment behind a record says: text, and tags for whether it is proxied and for who it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from dnsd.model.records import UNWRITTEN, Identity
from dnsd.store.comments import Comment, parse_comment, without_identity
from dnsd.store.zone_text import parse_zone_text
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import TXT, A

EXAMPLE = parse_name_text("example.com")
ID = "0123456789abcdef0123456789abcdef"
CREATED = datetime(2026, 11, 27, 7, 0, 0, 123_456, UTC)
MODIFIED = datetime(2026, 11, 28, 23, 59, 59, 0, UTC)
WHOLE = f"dnsd-id:{ID},dnsd-created:2026-11-27T07:00:00.123456Z,dnsd-modified:2026-11-28T23:59:59Z"

# The comment; its text, whether the record is proxied, its identity
SAID = {
    "no tags": (" hello ", "hello", False, UNWRITTEN),
    "all": (f"hello cf_tags=cf-proxied:true,{WHOLE}", "hello", True, Identity(ID, CREATED, MODIFIED)),
    "in another order": (f"cf_tags={WHOLE},cf-proxied:true", "", True, Identity(ID, CREATED, MODIFIED)),
    "the id alone": (f"cf_tags=dnsd-id:{ID}", "", False, Identity(ID)),
    "an id in capitals": (f"cf_tags=dnsd-id:{ID.upper()}", "", False, Identity(ID)),
    "a tag in capitals": (f"cf_tags=DNSD-Id:{ID},CF-Proxied:true", "", True, Identity(ID)),
    "a time alone": ("cf_tags=dnsd-modified:2026-11-28T23:59:59Z", "", False, Identity(modified_on=MODIFIED)),
    "a time elsewhere": (
        "cf_tags=dnsd-created:2026-11-27T09:00:00.123456+02:00",
        "",
        False,
        Identity(created_on=CREATED),
    ),
    "among unknown tags": (f"cf_tags=a,dnsd-new:1,team:b:c,dnsd-id:{ID},", "", False, Identity(ID)),
    "text behind": (f"x cf_tags=dnsd-id:{ID} y", "x y", False, Identity(ID)),
    "not in the tags": (f"dnsd-id:{ID}", f"dnsd-id:{ID}", False, UNWRITTEN),
    "in a second word of tags": (f"cf_tags=cf-proxied:true cf_tags=dnsd-id:{ID}", "", True, UNWRITTEN),
    "in the first word of tags": (f"cf_tags=dnsd-id:{ID} cf_tags=cf-proxied:true", "", False, Identity(ID)),
}


@pytest.mark.parametrize(("comment", "text", "proxied", "identity"), SAID.values(), ids=SAID.keys())
def test_comment(comment: str, text: str, proxied: bool, identity: Identity) -> None:
    assert parse_comment(A, comment) == Comment(text, proxied, identity)
    assert parse_comment(TXT, comment) == Comment(text, False, identity)
    common, alone = without_identity(comment)
    assert alone == identity
    assert parse_comment(A, common) == Comment(text, proxied)


@pytest.mark.parametrize(("comment", "text", "proxied", "identity"), SAID.values(), ids=SAID.keys())
def test_comment_in_a_file(comment: str, text: str, proxied: bool, identity: Identity) -> None:
    """The first line is read word for word, others as what is known of it, and one in parentheses by itself again."""
    lines = [f"a 1 A 192.0.2.1 ; {comment}", f"b 1 A 192.0.2.2 ; {comment}", "c 1 A 192.0.2.3"]
    lines += [f"d 1 ( A ; x\n 192.0.2.4 ) ; {comment}"]
    found = parse_zone_text("\n".join(lines), EXAMPLE)
    assert found.problems == []
    a, b, c, d = found.records
    assert {(one.comment, one.proxied, one.identity) for one in (a, b, d)} == {(text, proxied, identity)}
    assert (c.comment, c.identity) == ("", UNWRITTEN)
    assert len(found.records.identities) == (0 if identity == UNWRITTEN else 3)


def test_identity_is_not_that_of_the_next_line() -> None:
    ids = [f"{number:032x}" if number % 3 else None for number in range(9)]
    comments = [f"cf_tags=dnsd-id:{one}" if one else "x" for one in ids]
    lines = [f"h{number} 1 IN A 192.0.2.1 ; {comment}" for number, comment in enumerate(comments)]
    assert [one.identity.id for one in parse_zone_text("\n".join(lines), EXAMPLE).records] == ids


def test_time_is_kept_as_that_of_utc() -> None:
    created = parse_comment(A, "cf_tags=dnsd-created:2026-11-27T07:00:00-03:30").identity.created_on
    assert created == datetime(2026, 11, 27, 7, tzinfo=timezone(-timedelta(hours=3, minutes=30)))
    assert created.tzinfo is UTC


WRONG = {
    "an id that is too short": (f"dnsd-id:{ID[:-1]}", "dnsd-id is 32 hexadecimal digits, found '0123"),
    "an id that is too long": (f"dnsd-id:{ID}0", "32 hexadecimal digits"),
    "an id of other letters": (f"dnsd-id:{ID[:-1]}g", "32 hexadecimal digits"),
    "an id of other digits": (f"dnsd-id:{ID[:-1]}١", "32 hexadecimal digits"),
    "no id": ("dnsd-id:", "found ''"),
    "an id without a colon": ("dnsd-id", "found ''"),
    "a date": ("dnsd-created:2026-11-27", "dnsd-created is a time such as 2026-01-01T00:00:00.000000Z, found '2026"),
    "a time without its zone": ("dnsd-created:2026-11-27T07:00:00", "is a time"),
    "a month too many": ("dnsd-modified:2026-13-27T07:00:00Z", "dnsd-modified is a time"),
    "a week": ("dnsd-modified:2026-W48-5T07:00:00Z", "is a time"),
    "a time before all": ("dnsd-modified:0001-01-01T00:00:00+01:00", "is a time"),
    "no time": ("dnsd-modified:", "is a time"),
}


@pytest.mark.parametrize(("tag", "message"), WRONG.values(), ids=WRONG.keys())
def test_malformed_tag_is_a_problem_of_its_record(tag: str, message: str) -> None:
    lines = ["a 1 A 192.0.2.1 ; x", "; c", f"b 1 A 192.0.2.1 ; y cf_tags=cf-proxied:true,{tag}"]
    lines += [f" 1 TXT ( a\n b ) ; cf_tags={tag}"]
    found = parse_zone_text("\n".join(lines), EXAMPLE)
    assert [(problem.line, problem.column) for problem in found.problems] == [(3, 1), (4, 2)]
    assert all(message in problem.message for problem in found.problems)
    assert len(found.records) == 1
