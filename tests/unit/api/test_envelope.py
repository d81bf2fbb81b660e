"""Responses in pieces: the octets are those of a whole response, whatever the sizes of texts and lists."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from dnsd.api import envelope
from dnsd.api.envelope import (
    FEW,
    PIECE,
    Cursored,
    InPieces,
    Listed,
    Page,
    Raw,
    Reply,
    is_large,
    json_pieces,
    refusal,
    response,
)
from dnsd.manage.refusal import Fault, Reason, RefusedError
from dnsd.manage.writes import TooManyWritesError
from dnsd.model.record_parts import finished

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)


@given(PLAIN, st.integers(1, 9), st.integers(1, 4))
def test_pieces_join_to_the_whole(data: Any, piece: int, few: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "PIECE", piece)
        patch.setattr(envelope, "FEW", few)
        assert "".join(json_pieces(data)) == json.dumps(data, separators=(",", ":"))


def test_no_piece_is_long() -> None:
    data = {"result": {"text": "é🐎\n" * PIECE}, "list": [{"ip": "192.0.2.1"}] * 5000}
    assert max(map(len, json_pieces(data))) < 13 * PIECE  # an astral character has twelve in JSON
    assert len([*json_pieces(data)]) > 100


LARGE = {
    "a long text": (Reply({"text": "x" * (PIECE + 1)}), True),
    "a short text": (Reply({"text": "x"}), False),
    "many members": (Reply({"memberships": [{}] * (FEW + 1)}), True),
    "a long list": (Reply(Listed([1] * (FEW + 1), Page(1, 50), 99)), True),
    "a short list": (Reply(Listed([1], Page(1, 50), 99)), False),
    "a part of a list": (Reply(Cursored([1] * (FEW + 1), "")), True),
    "a text as it is": (Raw("x" * (PIECE + 1)), True),
    "nothing": (Reply(None), False),
}


@pytest.mark.parametrize("what", LARGE)
def test_large_responses_are_known_before_they_are_rendered(what: str) -> None:
    reply, expected = LARGE[what]
    assert is_large(reply) is expected


def test_items_are_shaped_when_the_response_is_rendered() -> None:
    shaped: list[int] = []

    def shape(number: int) -> dict[str, int]:
        shaped.append(number)
        return {"number": number}

    listed = Page(2, 3).of_list(range(10), shape)
    assert shaped == []
    body = json.loads(finished(response(Reply(listed))).body)
    assert body["result"] == [{"number": number} for number in (3, 4, 5)]
    assert body["result_info"] == {"page": 2, "per_page": 3, "count": 3, "total_count": 10, "total_pages": 4}


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 5 * PIECE + 7])
def test_body_is_sent_in_pieces(size: int) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    body = bytes(number % 251 for number in range(size))
    asyncio.run(InPieces(body)({"type": "http"}, None, send))  # type: ignore[arg-type]
    start, *pieces = sent
    assert (b"content-length", str(size).encode()) in start["headers"]
    assert b"".join(one["body"] for one in pieces) == body
    assert all(len(one["body"]) <= PIECE for one in pieces)
    assert [one.get("more_body", False) for one in pieces] == [True] * (len(pieces) - 1) + [False]


RETRIES = [
    (RefusedError(Fault(Reason.AWAY, "x"), retry_after_s=5), 503, "5", "false"),  # it may have been carried out
    (TooManyWritesError("x", 2.1), 429, "3", None),
    (RefusedError(Fault(Reason.NOT_WRITABLE, "x")), 503, None, "false"),
    (RefusedError(Fault(Reason.TOO_LARGE, "x")), 413, None, None),
]


@pytest.mark.parametrize(("error", "status", "retry_after", "should_retry"), RETRIES)
def test_refusals_say_when_to_retry(
    error: RefusedError, status: int, retry_after: str | None, should_retry: str | None
) -> None:
    found = refusal(error)
    assert found.status_code == status
    assert found.headers.get("retry-after") == retry_after
    assert found.headers.get("x-should-retry") == should_retry
