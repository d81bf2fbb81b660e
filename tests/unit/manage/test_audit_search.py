"""Searches of the audit log: in both orders, in parts that join, over rotations, and in steps of bounded size."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dnsd.manage import audit_search
from dnsd.manage.audit import AuditLog
from dnsd.manage.audit_entries import Entry, Outcome
from dnsd.manage.audit_search import LogGroup, LogQuery, LogSearch
from tests.unit.manage.test_audit import TOKEN, entry

COUNT = 23


def logged(number: int) -> Entry:
    return entry(revision=number, account_id=f"a{number % 3}", message="é\n" * (number % 5), outcome=Outcome.REFUSED)


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    """A log of three files."""
    log = AuditLog(tmp_path / "audit.log", max_file_size=3000)
    for number in range(COUNT):
        log.append(logged(number))
    assert (tmp_path / "audit.log.2").exists()
    assert not (tmp_path / "audit.log.3").exists()
    return log


def pages(log: AuditLog, limit: int, **query: Any) -> Iterator[list[int]]:
    """The entries' numbers, page by page; each page begins where the last one ended."""
    start = None
    while True:
        found = log.read(LogQuery(limit, start=start, **query))
        yield [one["revision"] for one in found.entries]
        start = found.next
        if start is None:
            return


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 7, COUNT, 100])
@pytest.mark.parametrize("block_size", [100, 1 << 16])
def test_pages_join(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch, oldest_first: bool, limit: int, block_size: int
) -> None:
    monkeypatch.setattr(audit_search, "BLOCK_SIZE", block_size)
    everything = [*range(COUNT)] if oldest_first else [*range(COUNT)][::-1]
    found = [*pages(log, limit, oldest_first=oldest_first)]
    assert [one for page in found for one in page] == everything
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
    assert found[-1]


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("step_size", [1, 300, 1 << 20])
def test_filter_and_skip_are_the_same_in_steps_of_any_size(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch, oldest_first: bool, step_size: int
) -> None:
    monkeypatch.setattr(audit_search, "STEP_SIZE", step_size)
    wanted = [number for number in range(COUNT) if number % 3 == 1]
    wanted = (wanted if oldest_first else wanted[::-1])[2:5]
    query = LogQuery(
        3, lambda one: one["account_id"] == "a1", skip=2, text=b'"a1"', oldest_first=oldest_first, searched=10**6
    )
    assert [one["revision"] for one in log.read(query).entries] == wanted


def test_bounded_search_goes_on_from_its_end(log: AuditLog) -> None:
    def is_first(one: Any) -> bool:
        return bool(one["revision"] == 0)

    query = LogQuery(1, is_first, searched=1000)
    found, searches = log.read(query), 1
    while not found.entries:
        assert found.next is not None
        found, searches = log.read(LogQuery(1, is_first, searched=1000, start=found.next)), searches + 1
    assert searches > 4
    assert [one["revision"] for one in found.entries] == [0]


def test_places_outlive_new_entries_and_rotations(log: AuditLog, tmp_path: Path) -> None:
    newest = log.read(LogQuery(2))
    oldest = log.read(LogQuery(2, oldest_first=True))
    for number in range(COUNT, COUNT + 10):
        log.append(logged(number))
    assert (tmp_path / "audit.log.3").exists()
    assert [one["revision"] for one in log.read(LogQuery(2, start=newest.next)).entries] == [20, 19]
    after = log.read(LogQuery(100, start=oldest.next, oldest_first=True))
    assert [one["revision"] for one in after.entries] == [*range(2, COUNT + 10)]


def test_place_in_a_deleted_file_is_the_end_or_the_oldest_entry(log: AuditLog, tmp_path: Path) -> None:
    deep = log.read(LogQuery(COUNT - 1)).next
    early = log.read(LogQuery(1, oldest_first=True)).next
    (tmp_path / "audit.log.2").unlink()
    assert log.read(LogQuery(100, start=deep)).entries == []
    left = [one["revision"] for one in log.read(LogQuery(100)).entries][::-1]
    found = log.read(LogQuery(100, start=early, oldest_first=True)).entries
    assert [one["revision"] for one in found] == left


def test_first_page_reads_a_step_not_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest entries are found at the beginning of the oldest file."""
    monkeypatch.setattr(audit_search, "STEP_SIZE", 10_000)
    log = AuditLog(tmp_path / "audit.log", max_file_size=50_000)
    for number in range(400):
        log.append(logged(number))
    parsed: list[bytes] = []
    parse = audit_search._parsed
    monkeypatch.setattr(audit_search, "_parsed", lambda line: (parsed.append(line), parse(line))[1])
    for oldest_first in (False, True):
        parsed.clear()
        assert len(log.read(LogQuery(5, oldest_first=oldest_first)).entries) == 5
        assert len(parsed) == 6  # one more tells that there are more
    search = log.search(LogQuery(1000))
    steps, goes_on = 0, True
    while goes_on:
        parsed.clear()
        goes_on, steps = search.step(), steps + 1
        assert sum(map(len, parsed)) < 12_000
    assert steps > 10
    assert len(search.result().entries) == 400


def test_line_that_is_still_written_waits_for_its_end(log: AuditLog, tmp_path: Path) -> None:
    last = log.read(LogQuery(COUNT - 1, oldest_first=True)).next
    whole = json.dumps({"revision": 99, "account_id": "a1"}).encode() + b"\n"
    with open(tmp_path / "audit.log", "ab") as stream:
        stream.write(whole[:10])
        stream.flush()
        found = log.read(LogQuery(100, start=last, oldest_first=True))
        assert [one["revision"] for one in found.entries] == [COUNT - 1]
        stream.write(whole[10:])
    assert [one["revision"] for one in log.read(LogQuery(100, start=last, oldest_first=True)).entries] == [22, 99]


def test_files_renamed_while_they_are_opened_count_once(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    log.append(logged(1))
    os.link(tmp_path / "audit.log", tmp_path / "audit.log.1")  # as seen in the middle of a rotation
    paths = [tmp_path / "audit.log", tmp_path / "audit.log.1"]
    search = LogSearch([LogGroup("", paths, 0.0)], LogQuery(10))
    assert not search.step()
    assert len(search.result().entries) == 1


def test_line_without_an_end_is_passed_over(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    log.append(logged(1))
    with open(tmp_path / "audit.log", "ab") as stream:
        stream.write(b"x" * (3 * audit_search.MAX_LINE) + b"\n")
    log.append(logged(2))
    for oldest_first in (False, True):
        found = log.read(LogQuery(10, oldest_first=oldest_first)).entries
        assert sorted(one["revision"] for one in found) == [1, 2]


A, B = "a" * 32, "b" * 32
UNREADABLE = {
    "an account's file": ([f"audit/{A}.log"], {"", B}, [A]),
    "the operators' file": (["audit.log"], {A, B}, [""]),
    "two files": (["audit.log", f"audit/{B}.log"], {A}, ["", B]),
}


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("what", UNREADABLE)
def test_file_that_cannot_be_read_hides_no_others(tmp_path: Path, what: str, oldest_first: bool) -> None:
    paths, left, owners = UNREADABLE[what]
    log = AuditLog(tmp_path / "audit.log")
    tenants = [replace(entry(account_id=owner), token=replace(TOKEN, accounts=(owner,))) for owner in (A, B)]
    log.append(entry(), *tenants)
    for path in paths:  # a folder cannot be read by anyone, root included
        (tmp_path / path).unlink()
        (tmp_path / path).mkdir()
    search = log.search(LogQuery(10, oldest_first=oldest_first))
    while search.step():
        pass
    found = search.result()
    assert {one["account_id"] for one in found.entries} == left
    assert [one.owner for one in found.unread] == owners
    notes = found.notes({A: "Acme", B: "Globex"}, by_operator=True)
    for owner, path, note in zip(owners, paths, notes, strict=True):
        assert f"entries of {({A: 'the account Acme', B: 'the account Globex'}).get(owner, 'operators')}" in note
        assert f"{path}: Is a directory" in note
    assert found.notes({}, by_operator=False) == [
        "some entries cannot be read: the server's operator can see the cause"
    ]
    with pytest.raises(IsADirectoryError):
        log.read(LogQuery(10))
