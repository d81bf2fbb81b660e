"""The book of drains: states, limits, and its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.manage.drain_file import FILE_NAME, DrainFile
from dnsd.manage.drains import KEPT_S, MAX_ADDRESSES, MAX_OF_MAP, Drain, DrainBook, DrainState, book_of

NOW = 1_800_000_000.0


def drain(number: int = 1, *, map_id: str = "m", ttl_s: int = 300, served_at: float | None = None) -> Drain:
    ip = f"203.0.{number // 250}.{number % 250}"
    return Drain(map_id, "acme/maps/shop", "a", (ip,), 10, ttl_s, revision=number, changed_at=NOW, served_at=served_at)


STATES = {
    "a worker is late": (None, 0, DrainState.SWITCHING),
    "just served": (NOW, 0, DrainState.DRAINING),
    "the last second": (NOW, 299, DrainState.DRAINING),
    "forgotten": (NOW, 300, DrainState.FORGOTTEN),
}


@pytest.mark.parametrize(("served_at", "later", "state"), STATES.values(), ids=STATES.keys())
def test_states(served_at: float | None, later: float, state: DrainState) -> None:
    assert drain(served_at=served_at).state(NOW + later) is state


def test_a_drain_begins_when_the_last_worker_has_the_change() -> None:
    book = DrainBook().with_drains([drain(5), drain(6), drain(7)], NOW)
    book, done = book.served(6, NOW + 60)
    assert [one.revision for one in done] == [5, 6]
    assert [one.served_at for one in book.of_map("m", "a")] == [None, NOW + 60, NOW + 60]
    assert book.is_switching
    assert book.served(7, NOW + 90)[0].of_map("m", "a")[0].forgotten_at == NOW + 390


def test_drains_of_another_account_are_not_shown() -> None:
    assert DrainBook().with_drains([drain()], NOW).of_map("m", "b") == []


def test_a_new_process_serves_earlier_changes() -> None:
    book = DrainBook().with_drains([drain(900)], NOW).restarted()
    assert [one.served_at for one in book.served(3, NOW + 1)[0]] == [NOW + 1]


def test_drains_of_one_revision_stay_apart() -> None:
    before = DrainBook().with_drains([drain(900), drain(901)], NOW).restarted()
    after, done = before.served(3, NOW + 1)
    assert [one.addresses for one in after] == [one.addresses for one in before] == [one.addresses for one in done]


def test_drains_are_kept_for_30_days_after_their_end() -> None:
    book = DrainBook().with_drains([drain(1, served_at=NOW, ttl_s=1000)], NOW)
    assert len([*book.with_drains([], NOW + 1000 + KEPT_S - 1)]) == 1
    assert len([*book.with_drains([], NOW + 1000 + KEPT_S)]) == 0


def test_many_drains_of_a_map_are_put_together_and_never_end_too_early() -> None:
    drains = [drain(number, ttl_s=300 if number else 90_000, served_at=NOW + number) for number in range(200)]
    book = DrainBook()
    for one in drains:
        book = book.with_drains([one], NOW)
    found = book.of_map("m", "a")
    assert len(found) == MAX_OF_MAP
    assert len(found[-1].addresses) == MAX_ADDRESSES
    assert sum(one.names_total for one in found) == 2_000
    assert max(one.forgotten_at or 0 for one in found) >= NOW + 90_000
    book = DrainBook()
    for number in range(200):
        book = book.with_drains([drain(number, served_at=None if number == 0 else NOW)], NOW)
    assert book.is_switching


def test_all_drains_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnsd.manage.drains.MAX_DRAINS", 50)
    drains = [drain(number, map_id=f"m{number}", served_at=NOW + number) for number in range(60)]
    book = DrainBook().with_drains([drain(100, map_id="late"), *drains], NOW)
    kept = {one.map_id for one in book}
    assert len(kept) == 50
    assert {"late", "m59", "m11"} <= kept


def test_file_outlives_the_process(tmp_path: Path) -> None:
    book = book_of([drain(1), drain(2, served_at=NOW), drain(3, map_id="other")])
    DrainFile(tmp_path).save(book)
    file = DrainFile(tmp_path)
    assert (file.load(), file.problem) == (book, None)


DAMAGED = {"no JSON": b"{", "another format": b'{"format": 9, "drains": []}', "a list": b"[]", "octets": b"\xff\xfe"}
DAMAGED |= {"a drain without fields": b'{"format": 1, "drains": [{}]}', "deep": b"[" * 100_000}


@pytest.mark.parametrize("octets", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_file_is_an_empty_start(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(octets)
    file = DrainFile(tmp_path)
    assert [*file.load()] == []
    assert file.problem
    assert FILE_NAME in file.problem
    file.save(book_of([drain(1)]))
    assert (file.problem, len([*DrainFile(tmp_path).load()])) == (None, 1)


def test_missing_file_is_no_problem(tmp_path: Path) -> None:
    file = DrainFile(tmp_path)
    assert ([*file.load()], file.problem) == ([], None)
