"""The book of drains: states, limits, and its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.manage.drain_files import FOLDER, DrainFiles
from dnsd.manage.drains import KEPT_S, MAX_ADDRESSES, MAX_OF_MAP, Drain, DrainBook, DrainState, book_of

NOW = 1_800_000_000.0


def drain(
    number: int = 1, *, map_id: str = "m", account: str = "a", ttl_s: int = 300, served_at: float | None = None
) -> Drain:
    ip = f"203.0.{number // 250}.{number % 250}"
    of = map_id, "acme/maps/shop", account
    return Drain(*of, (ip,), 10, ttl_s, revision=number, changed_at=NOW + number, served_at=served_at)


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
    assert [one.served_at for one in book.of_map("m", "a", NOW)] == [None, NOW + 60, NOW + 60]
    assert book.is_switching
    assert book.served(7, NOW + 90)[0].of_map("m", "a", NOW)[0].forgotten_at == NOW + 390


def test_drains_of_another_account_are_not_shown() -> None:
    assert DrainBook().with_drains([drain()], NOW).of_map("m", "b", NOW) == []


def test_a_new_process_serves_earlier_changes() -> None:
    book = DrainBook().with_drains([drain(900)], NOW).restarted()
    assert [one.served_at for one in book.served(3, NOW + 1)[0]] == [NOW + 1]


def test_drains_of_one_revision_stay_apart() -> None:
    before = DrainBook().with_drains([drain(900), drain(901)], NOW).restarted()
    after, done = before.served(3, NOW + 1)
    assert [one.addresses for one in after] == [one.addresses for one in before] == [one.addresses for one in done]


def test_drains_are_kept_for_30_days_after_their_end() -> None:
    book = DrainBook().with_drains([drain(1, served_at=NOW, ttl_s=1000)], NOW)
    last = NOW + 1000 + KEPT_S
    assert (len(book.of_map("m", "a", last - 1)), len(book.of_map("m", "a", last))) == (1, 0)
    new = drain(2, map_id="other", served_at=last)
    assert [len([*book.with_drains([new], at)]) for at in (last - 1, last)] == [2, 1]


def test_many_drains_of_a_map_are_put_together_and_never_end_too_early() -> None:
    drains = [drain(number, ttl_s=300 if number else 90_000, served_at=NOW + number) for number in range(200)]
    book = DrainBook()
    for one in drains:
        book = book.with_drains([one], NOW)
    found = book.of_map("m", "a", NOW)
    assert len(found) == MAX_OF_MAP
    assert len(found[-1].addresses) == MAX_ADDRESSES
    assert sum(one.names_total for one in found) == 2_000
    assert max(one.forgotten_at or 0 for one in found) >= NOW + 90_000
    book = DrainBook()
    for number in range(200):
        book = book.with_drains([drain(number, served_at=None if number == 0 else NOW)], NOW)
    assert book.is_switching


def test_an_account_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnsd.manage.drains.MAX_OF_ACCOUNT", 50)
    book = DrainBook().with_drains([drain(1, account="b", served_at=NOW)], NOW)
    drains = [drain(number, map_id=f"m{number}", served_at=NOW + number) for number in range(60)]
    for one in (drain(100, map_id="late"), *drains):
        book = book.with_drains([one], NOW)
    kept = {one.map_id for one in book.of_account("a")}
    assert len(kept) == 50
    assert {"late", "m59", "m11"} <= kept
    assert len(book.of_map("m", "b", NOW)) == 1


def test_files_outlive_the_process(tmp_path: Path) -> None:
    book = book_of([drain(1), drain(2, served_at=NOW), drain(3, map_id="other"), drain(4, account="b")])
    DrainFiles(tmp_path).save(book, "ab")
    files = DrainFiles(tmp_path)
    assert (files.load(), files.problem) == (book, None)


def test_a_change_writes_the_file_of_its_account_alone(tmp_path: Path) -> None:
    files = DrainFiles(tmp_path)
    before = book_of([drain(1), drain(2, account="b")])
    files.save(before, before.changed_accounts(DrainBook()))
    kept = (tmp_path / FOLDER / "a.json").stat().st_ino
    added = before.with_drains([drain(3, account="b")], NOW)
    served, _ = added.served(2, NOW)
    assert (added.changed_accounts(before), served.changed_accounts(added)) == ({"b"}, {"a", "b"})
    files.save(added, added.changed_accounts(before))
    assert (tmp_path / FOLDER / "a.json").stat().st_ino == kept
    assert DrainFiles(tmp_path).load() == added


def test_a_file_that_could_not_be_written_is_written_with_the_next_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, book = DrainFiles(tmp_path), book_of([drain(1), drain(2, account="b")])
    with monkeypatch.context() as patched:
        patched.setattr("dnsd.manage.drain_files.replacing", full_disk)
        files.save(book, "a")
    assert files.problem
    assert "drains/a.json" in files.problem
    files.save(book, "b")
    assert (files.problem, DrainFiles(tmp_path).load()) == (None, book)


def full_disk(path: Path) -> None:
    raise OSError(28, "No space left on device", str(path))


DAMAGED = {"no JSON": b"{", "another format": b'{"format": 9, "drains": []}', "a list": b"[]", "octets": b"\xff\xfe"}
DAMAGED |= {"a drain without fields": b'{"format": 1, "drains": [{}]}', "deep": b"[" * 100_000}


@pytest.mark.parametrize("octets", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_file_is_an_empty_start_of_its_account(tmp_path: Path, octets: bytes) -> None:
    DrainFiles(tmp_path).save(book_of([drain(1, account="b")]), "b")
    (tmp_path / FOLDER / "a.json").write_bytes(octets)
    files = DrainFiles(tmp_path)
    assert [one.account_id for one in files.load()] == ["b"]
    assert files.problem
    assert "drains/a.json" in files.problem
    files.save(book_of([drain(1)]), "a")
    assert (files.problem, len([*DrainFiles(tmp_path).load()])) == (None, 2)


def test_missing_files_are_no_problem(tmp_path: Path) -> None:
    files = DrainFiles(tmp_path)
    assert ([*files.load()], files.problem) == ([], None)
