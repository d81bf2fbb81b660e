"""What edges and controls write to each other about papers: questions and answers come back, others are refused."""

from __future__ import annotations

import json

import pytest

from dnsd.fleet.identity import Papers
from dnsd.fleet.join_code import signer_of
from dnsd.fleet.papers_talk import (
    MAX_TALK,
    PapersRefusedError,
    RenewalQuestion,
    greeting_line,
    join_question,
    papers_line,
    parse_greeting,
    parse_join,
    parse_papers,
    parse_renewal,
    refusal_line,
)
from dnsd.fleet.values import ValueFormatError

JOIN = join_question(bytes(range(16)), b"request\n")
RENEWAL = RenewalQuestion(b"request\n", b"chain\n")
PAPERS = Papers(b"chain\n", "jwt")


def test_questions_and_answers_come_back_on_one_line_each() -> None:
    lines = [JOIN.packed(), RENEWAL.packed(), papers_line(PAPERS), greeting_line(b"above\n"), refusal_line("no\n")]
    assert [line.count(b"\n") for line in lines] == [1] * 5
    assert (parse_join(lines[0]), parse_renewal(lines[1])) == (JOIN, RENEWAL)
    assert (parse_papers(lines[2]), parse_greeting(lines[3])) == (PAPERS, b"above\n")
    with pytest.raises(PapersRefusedError, match="no"):
        parse_papers(lines[4])


@pytest.mark.parametrize("parse", [parse_join, parse_renewal, parse_papers, parse_greeting])
def test_what_is_no_message_is_refused(parse: object) -> None:
    whole = JOIN.packed()
    wrong = [
        *(whole[:at] for at in range(len(whole) - 2)),
        b"{}",
        b"[]",
        b"null",
        b'{"v":2}',
        b'{"v":1}',
        b'{"v":1,"code":"zz","request":"x","signature":"00"}',
        b'{"v":1,"code":"' + b"0" * 64 + b'","request":"x","signature":"zz"}',
        b'{"v":1,"code":null,"signature":null,"request":null,"chain":null,"jwt":null,"authorities":null}',
        b"\xff",
        b"[" * 100_000,
        json.dumps({"v": 1, "request": "x" * MAX_TALK}).encode(),
    ]
    for octets in wrong:
        with pytest.raises(ValueFormatError):
            parse(octets)  # type: ignore[operator]


def test_words_of_a_refusal_are_bounded() -> None:
    with pytest.raises(PapersRefusedError) as refusal:
        parse_papers(json.dumps({"v": 1, "refused": "x" * 10_000}).encode())
    assert len(str(refusal.value)) == 300


def test_the_secret_of_a_code_is_not_sent_and_its_signature_is_for_one_request() -> None:
    secret = bytes(range(16))
    assert secret.hex().encode() not in JOIN.packed()
    assert join_question(secret, b"other\n").signature != JOIN.signature
    assert join_question(secret[::-1], b"request\n").signature != JOIN.signature
    signer_of(secret).public_key().verify(JOIN.signature, JOIN.request)
