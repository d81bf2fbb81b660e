"""Cursors: they open again, tell nothing, and cannot be made or altered by a client."""

from __future__ import annotations

import pytest

from dnsd.api import cursors
from dnsd.api.cursors import opened_cursor, sealed_cursor
from dnsd.manage.audit_search import LogPlace
from dnsd.manage.refusal import RefusedError

PLACE = (LogPlace(b"12345678", 4711), None)


def test_cursor_opens_to_its_place() -> None:
    for offset in (0, 1, 4711, 2**40):
        place = LogPlace(b"\0" * 7 + b"\xff", offset)
        for places in ((place,), (place, None), (None, place), (place, PLACE[0], place)):
            assert opened_cursor(sealed_cursor(places)) == places


def test_cursors_of_near_places_have_nothing_in_common() -> None:
    one, other = sealed_cursor(PLACE), sealed_cursor((LogPlace(b"12345678", 4712), None))
    assert sum(a == b for a, b in zip(one, other, strict=True)) < len(one) // 3


WHOLE = sealed_cursor(PLACE)
WRONG = ["", "x", "é", "5.2026-01-01T00:00:00Z", "A" * 43, "A" * 1000, WHOLE[:-1], f"{WHOLE}A"]


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))  # sealed with a random key: no names of tests
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="not a cursor"):
        opened_cursor(text)


def test_altered_cursor_is_refused() -> None:
    for index, letter in enumerate(WHOLE[:-1]):
        with pytest.raises(RefusedError):
            opened_cursor(WHOLE[:index] + ("B" if letter == "A" else "A") + WHOLE[index + 1 :])


def test_cursor_of_another_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "KEY", b"another")
    with pytest.raises(RefusedError):
        opened_cursor(WHOLE)
