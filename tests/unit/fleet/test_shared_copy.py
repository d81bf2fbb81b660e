"""The copy of what controls share: each fetch takes the place of the one before at once, and nothing is missed."""

from __future__ import annotations

import pytest

from dnsd.fleet import shared_copy
from dnsd.fleet.consumer import RestartError
from dnsd.fleet.intake import StateMessage
from dnsd.fleet.shared_copy import SharedCopy
from dnsd.fleet.subjects import TOKENS, TOKENS_GUARD
from dnsd.fleet.values import MAX_VALUE

ONE, TWO = f"{TOKENS}one", f"{TOKENS}two"


class Times:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def begun(copy: SharedCopy, pending: int) -> None:
    """A consumer that has begun anew."""
    copy._fetched, copy._taken_at = {}, shared_copy.time.monotonic()
    copy.taken(None, pending)


def take(copy: SharedCopy, subject: str, value: bytes | None, seq: int, pending: int = 0) -> None:
    copy.taken(StateMessage(subject, value, seq, pending), pending)


def there(copy: SharedCopy) -> dict[str, bytes]:
    return {subject: kept.value for subject, kept in copy.objects.items()}


def test_a_fetch_takes_the_place_of_the_copy_once_it_is_whole() -> None:
    changes: list[dict[str, bytes]] = []
    copy = SharedCopy((f"{TOKENS}>",), TOKENS_GUARD, note=print, changed=lambda: changes.append(there(copy)))
    begun(copy, 2)
    assert not copy.is_whole
    take(copy, ONE, b"1", 5, 1)
    assert (there(copy), changes) == ({}, [])
    take(copy, TOKENS_GUARD, b"op", 6)
    assert (copy.is_whole, copy.seq(TOKENS_GUARD), there(copy)) == (True, 6, {ONE: b"1", TOKENS_GUARD: b"op"})
    take(copy, TWO, b"2", 7)
    take(copy, ONE, None, 8)
    assert there(copy) == {TWO: b"2", TOKENS_GUARD: b"op"}
    begun(copy, 1)  # the removal of TWO is not told again
    assert there(copy) == {TWO: b"2", TOKENS_GUARD: b"op"}
    take(copy, ONE, b"1", 9, 0)
    assert (there(copy), copy.seq(TOKENS_GUARD)) == ({ONE: b"1"}, 0)
    begun(copy, 0)
    assert there(copy) == {} == changes[-1]
    assert (copy.version(TOKENS), len(changes)) == ((3, 3), 5)


def test_news_without_a_change_changes_nothing() -> None:
    changes: list[int] = []
    copy = SharedCopy((f"{TOKENS}>",), TOKENS_GUARD, note=print, changed=lambda: changes.append(1))
    begun(copy, 0)
    copy.taken(None, 0)
    copy.taken(None, 3)
    assert (copy.version(TOKENS), changes) == ((1, 0), [1])


def test_a_value_too_large_for_any_version_is_left_out() -> None:
    copy = SharedCopy((), TOKENS_GUARD, note=print)
    begun(copy, 0)
    take(copy, ONE, b"x" * (MAX_VALUE + 1), 1)
    assert there(copy) == {}


def test_a_process_that_stood_still_fetches_all_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The marker of a removal may have gone before it was sent."""
    times = Times()
    monkeypatch.setattr(shared_copy, "time", times)
    copy = SharedCopy((), TOKENS_GUARD, note=print)
    begun(copy, 0)
    times.now += shared_copy.STOOD_STILL_S
    take(copy, ONE, b"1", 1)
    times.now += shared_copy.STOOD_STILL_S + 1
    with pytest.raises(RestartError, match="stood still"):
        take(copy, TWO, b"2", 2)


def test_an_older_state_of_a_server_that_lags_is_not_taken() -> None:
    copy = SharedCopy((f"{TOKENS}>",), TOKENS_GUARD, note=print)
    begun(copy, 0)
    take(copy, ONE, b"1", 5)
    take(copy, ONE, None, 8)
    take(copy, TOKENS_GUARD, b"op", 9)
    copy._goal = 9
    begun(copy, 2)
    take(copy, ONE, b"1", 5, 1)
    take(copy, TOKENS_GUARD, b"before", 6, 0)
    assert there(copy) == {TOKENS_GUARD: b"op"}
    take(copy, ONE, None, 8, 0)
    take(copy, TOKENS_GUARD, b"op", 9, 0)
    assert (there(copy), copy.seq(TOKENS_GUARD)) == ({TOKENS_GUARD: b"op"}, 9)
    assert copy.fetches == 2
