"""Limits of comments and tags: the API and YAML refuse longer ones, master files shorten them with a warning."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dnsd.api.records.read import RecordBodyError, built_record
from dnsd.formats import comments
from dnsd.formats.comments import parse_comment
from dnsd.formats.zone_text import parse_zone_text
from dnsd.model.fields import validate
from dnsd.model.records import MAX_COMMENT, MAX_TAG, MAX_TAGS, RecordFields
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import A

EXAMPLE = parse_name_text("example.com")
SAID = {"name": "a", "type": "A", "content": "192.0.2.1"}
MANY = [f"t{number}:x" for number in range(MAX_TAGS)]

# Comment and tags of a record; path and message of the problem, or None if valid
CASES = {
    "the longest comment": ({"comment": "ü" * MAX_COMMENT}, None, None),
    "a comment too long": (
        {"comment": "ü" * (MAX_COMMENT + 1)},
        ("comment",),
        "has 501 characters; the limit is 500",
    ),
    "a comment of blanks": ({"comment": "a" + " " * 40_000 + "b"}, ("comment",), "has 40,002 characters"),
    "the most tags": ({"tags": MANY}, None, None),
    "one tag too many": ({"tags": [*MANY, "last"]}, ("tags",), "has too many entries; the limit is 20"),
    "the longest tag": ({"tags": ["n:" + "x" * (MAX_TAG - 2)]}, None, None),
    "a tag too long": ({"tags": ["fits", "n:" + "x" * (MAX_TAG - 1)]}, ("tags", 1), "has 501 characters"),
}


@pytest.mark.parametrize(("said", "path", "message"), CASES.values(), ids=CASES.keys())
def test_yaml(said: dict[str, object], path: tuple[str | int, ...] | None, message: str | None) -> None:
    fields, problems = validate(RecordFields, SAID | said, "x")
    assert (fields is None) == (path is not None)
    assert [problem.path for problem in problems] == ([path] if path else [])
    assert all(message in problem.message for problem in problems if message)


@pytest.mark.parametrize(("said", "path", "message"), CASES.values(), ids=CASES.keys())
def test_api(said: dict[str, object], path: tuple[str | int, ...] | None, message: str | None) -> None:
    base = built_record(SAID, EXAMPLE)
    for before in (None, base):
        if path is None:
            built_record(SAID | said, EXAMPLE, before)
            continue
        with pytest.raises(RecordBodyError) as caught:
            built_record(SAID | said, EXAMPLE, before)
        assert [fault.path for fault in caught.value.faults] == [path]
        assert str(message) in caught.value.faults[0].message


# A comment after a record, and the part that is kept
MASTER = {
    "the longest text": ("x" * MAX_COMMENT, "x" * MAX_COMMENT, False),
    "a text too long": ("ü" * 501, "ü" * 500, True),
    "a text of blanks": ("a" + " " * 40_000 + "b", "a", True),
    "a TAB": ("a\tb", "a b", True),
    "control characters": ("a\x1b[2J\x07b\x85\x9b\x7f", "a[2Jb", True),
    "a TAB at the end": ("a \t", "a", False),
    "a TAB before the tags": ("a\tcf_tags=cf-proxied:true", "a", True),
    "control characters in a tag": ("a cf_tags=cf-proxied:true,n:\x1b[2J", "a", True),
    "too long before the tags": ("y" * 9_000 + " cf_tags=cf-proxied:true", "y" * 500, True),
}


@pytest.mark.parametrize(("comment", "kept", "warns"), MASTER.values(), ids=MASTER.keys())
def test_master_file(comment: str, kept: str, warns: bool) -> None:
    """The full reader and the reader of known parts keep the same text, with one warning at the first line."""
    lines = ["z 1 A 192.0.2.9", "z 1 A 192.0.2.8 ; x"]
    lines += [f"a{number} 1 A 192.0.2.{number} ; {comment}" for number in range(4)]
    found = parse_zone_text("\n".join([*lines, ""]), EXAMPLE)
    assert found.problems == []
    assert [record.comment for record in found.records] == ["", "x", *[kept] * 4]
    assert {record.proxied for record in found.records[2:]} == {"cf-proxied:true" in comment}
    assert [(one.line, one.column) for one in found.warnings] == ([(3, 1)] if warns else [])


@given(
    st.text(st.characters() | st.sampled_from(" \t\xa0\u2003\x85;cf_tags=")) | st.integers(498, 502).map("x ".__mul__)
)
def test_comment_without_tags_is_read_like_all_others(text: str) -> None:
    assume(comments.MARK_TEXT not in text)
    found = parse_comment(A, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comments, "MARK_TEXT", "")  # is in every comment
        assert parse_comment(A, text) == found
