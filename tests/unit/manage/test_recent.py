"""Shares of recent questions and top names, for the operator and for a tenant."""

from __future__ import annotations

import pytest

from dnsd.manage.recent import RecentQuestions, TopQuestion
from dnsd.questions import Question, QuestionSample

COM, ORG, OTHER = b"\7example\3com\0", b"\7example\3org\0", b""
WWW, API, WILD = b"\3www" + COM, b"\3api" + COM, b"\1*" + ORG


def recent(*questions: Question) -> RecentQuestions:
    sample = QuestionSample()
    sample.begin(3)
    sample.add(questions, 3)
    return RecentQuestions(sample)


ASKED = recent(
    Question(WWW, 1, COM, WWW, 50.0),
    Question(WWW, 28, COM, WWW, 20.0),
    Question(API, 1, COM, API, 10.0),
    Question(b"\1a" + ORG, 1, ORG, WILD, 15.0),
    Question(b"\2no" + ORG, 65_280, ORG, b"", 5.0),
    Question(b"\3www\4evil\0", 1, OTHER, b"", 9_900.0),
)
SHARES: list[tuple[set[bytes], set[bytes] | None, float | None]] = [
    ({WWW}, None, 0.7),
    ({WWW, API}, None, 0.8),
    ({WILD}, None, 0.15),  # through the wildcard
    ({b"\1a" + ORG}, None, 0.0),  # no name of a record
    (set(), None, 0.0),
    ({WWW}, {COM}, 0.875),  # of its account's questions
    ({WWW}, {ORG}, 0.0),
    ({WWW}, {b"\3net\0"}, None),  # zones nobody asked for
    ({b"\3www\4evil\0"}, None, 0.0),
    ({b""}, {b""}, None),  # questions outside of our zones never count
]


@pytest.mark.parametrize(("owners", "zones", "share"), SHARES)
def test_share_of_owner_names(owners: set[bytes], zones: set[bytes] | None, share: float | None) -> None:
    found = ASKED.share_of(owners, zones=zones)
    assert found == (None if share is None else pytest.approx(share))


def test_without_questions_there_is_no_share() -> None:
    assert recent().share_of({WWW}) is None
    assert recent().asked() == {}
    assert recent().top(10) == []


def test_questions_asked_are_those_of_the_zones_alone() -> None:
    assert {zone for zone, _, _ in ASKED.asked()} == {COM, ORG}
    assert {zone for zone, _, _ in ASKED.asked(zones={ORG})} == {ORG}


def test_top_names_are_those_of_the_zones_alone() -> None:
    assert ASKED.top(2) == [TopQuestion("www.example.com", "A", 0.5), TopQuestion("www.example.com", "AAAA", 0.2)]
    assert [(one.name, one.type, one.share) for one in ASKED.top(9, zones={ORG})] == [
        ("a.example.org", "A", 0.75),
        ("no.example.org", "TYPE65280", 0.25),
    ]


def test_hostile_names_are_written_as_text() -> None:
    names = [b"\4\0\xff\"'", b"\x0b<script>..\\"]
    asked = recent(*(Question(one + COM, 1, COM, b"", 2.0 - number) for number, one in enumerate(names)))
    shown = [one.name for one in asked.top(5)]
    assert shown == [r"\000\255\"'.example.com", r"<script>\.\.\\.example.com"]
