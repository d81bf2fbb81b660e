"""The audit log: fields of an entry, durability, rotation, and reading from the end."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import stat
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from dnsd.manage import audit, audit_search
from dnsd.manage.audit import AuditLog, Entry, Outcome
from dnsd.manage.audit_search import LogQuery
from dnsd.manage.tokens import Token

NOW = datetime(2026, 1, 1, 12, 0, 0, 120, tzinfo=UTC)
TOKEN = Token(id="0" * 32, name="ci", created_at=NOW)


def entry(**fields: Any) -> Entry:
    known: dict[str, Any] = {"at": NOW, "token": TOKEN, "client": "192.0.2.1", "action": "map.create"}
    return Entry(**{**known, "object": "acme/maps/shop", "outcome": Outcome.OK, **fields})


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "audit.log"


@pytest.fixture
def log(file: pathlib.Path) -> AuditLog:
    return AuditLog(file)


WHOLE = {
    "at": "2026-01-01T12:00:00.000120Z",
    "actor": {"id": "0" * 32, "name": "ci"},
    "client": "192.0.2.1",
    "action": "map.create",
    "object": "acme/maps/shop",
    "account_id": "",
    "zone_id": "",
    "revision": None,
    "outcome": "ok",
    "code": None,
    "message": "",
    "before": None,
    "after": None,
}
ENTRIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "done": (
        {"revision": 7, "before": {"ips": []}, "after": {"ips": ["192.0.2.1"]}},
        {"revision": 7, "before": {"ips": []}, "after": {"ips": ["192.0.2.1"]}},
    ),
    "refused": (
        {"outcome": Outcome.REFUSED, "code": 1002, "message": "forbidden"},
        {"outcome": "refused", "code": 1002, "message": "forbidden"},
    ),
    "nobody": ({"token": None}, {"actor": None}),
    "another zone's time": ({"at": NOW.astimezone(timezone(timedelta(hours=2)))}, {}),
    "two lines": ({"message": "a\nb\r\u2028"}, {"message": "a\nb\r\u2028"}),
    "letters": ({"message": "žluťoučký 🐎"}, {"message": "žluťoučký 🐎"}),
    "a lone surrogate": ({"message": "\ud800"}, {"message": "\ud800"}),
    "other types than plain data": ({"after": {"at": NOW}}, {"after": {"at": str(NOW)}}),
    "a long text": ({"message": "x" * 10_000}, {"message": "x" * 4096}),
}


@pytest.mark.parametrize(("given", "expected"), ENTRIES.values(), ids=ENTRIES.keys())
def test_entry(log: AuditLog, file: pathlib.Path, given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert log.append(entry(**given)) is None
    [line] = file.read_bytes().split(b"\n")[:-1]
    assert json.loads(line) == {**WHOLE, **expected}
    assert list(json.loads(line)) == list(WHOLE)
    assert log.read(LogQuery(10)).entries == [{**WHOLE, **expected}]


SIZES = [(65_536 - 2, False), (65_536 - 1, True), (10_000_000, True)]


@pytest.mark.parametrize(("size", "is_cut"), SIZES, ids=str)
def test_large_state_is_cut(log: AuditLog, file: pathlib.Path, size: int, is_cut: bool) -> None:
    log.append(entry(before="é" * (size // 2) + "x" * (size % 2), after="\0" * size))
    [said] = log.read(LogQuery(1)).entries
    if is_cut:
        assert said["before"] == {"cut": f"{size + 2:,} octets", "start": '"' + "é" * 2047}
    else:
        assert said["before"] == "é" * (size // 2)
    assert said["after"]["cut"] == f"{6 * size + 2:,} octets"
    assert file.stat().st_size < 150_000


def test_file_is_readable_by_its_owner_only(log: AuditLog, file: pathlib.Path) -> None:
    before = os.umask(0)
    try:
        log.append(entry())
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(("outcome", "expected"), [(Outcome.OK, 1), (Outcome.REFUSED, 0)])
def test_successful_changes_are_synced_to_disk(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, expected: int
) -> None:
    log.append(entry())
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    log.append(entry(outcome=outcome))
    assert len(synced) == expected


# Reading


def numbers(entries: list[dict[str, Any]]) -> list[int]:
    return [one["revision"] for one in entries]


@pytest.mark.parametrize("block_size", [1, 2, 7, 100, 1 << 16])
@pytest.mark.parametrize("limit", [0, 1, 3, 5, 100])
def test_newest_entries_come_first(log: AuditLog, monkeypatch: pytest.MonkeyPatch, block_size: int, limit: int) -> None:
    monkeypatch.setattr(audit_search, "BLOCK_SIZE", block_size)
    for number in range(5):
        log.append(entry(revision=number, message="é\n" * number))
    assert numbers(log.read(LogQuery(limit)).entries) == [4, 3, 2, 1, 0][:limit]


def test_without_a_file_there_are_no_entries(log: AuditLog) -> None:
    assert log.read(LogQuery(10)).entries == []


TORN = {
    "half an entry": b'{"at": "2026-01-01T',
    "half a letter": b'{"message": "\xc3',
    "zeros": bytes(100),
    "a list, not an object": b"[]",
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("rest", TORN.values(), ids=TORN.keys())
def test_torn_line_is_skipped_and_no_other(log: AuditLog, file: pathlib.Path, rest: bytes) -> None:
    log.append(entry(revision=1))
    with open(file, "ab") as stream:
        stream.write(rest)
    assert numbers(log.read(LogQuery(10)).entries) == [1]
    AuditLog(file).append(entry(revision=2))
    assert numbers(log.read(LogQuery(10)).entries) == [2, 1]


# Rotation


def test_full_file_is_rotated_and_four_are_kept(file: pathlib.Path) -> None:
    size = len(audit._line(entry(revision=10)))
    log = AuditLog(file, max_file_size=3 * size)
    for number in range(10, 30):
        assert log.append(entry(revision=number)) is None
    sizes = {one.name: one.stat().st_size // size for one in file.parent.iterdir()}
    assert sizes == {"audit.log": 2, **{f"audit.log.{number}": 3 for number in (1, 2, 3, 4)}}
    assert numbers(log.read(LogQuery(100)).entries) == list(range(29, 15, -1))
    assert numbers(log.read(LogQuery(4)).entries) == [29, 28, 27, 26]


def test_rotation_skips_missing_files(file: pathlib.Path) -> None:
    log = AuditLog(file, max_file_size=1)
    for number in range(4):
        log.append(entry(revision=number))
    file.with_name("audit.log.2").unlink()
    log.append(entry(revision=4))
    assert numbers(log.read(LogQuery(100)).entries) == [4, 3, 2, 0]


def test_moved_file_is_created_again(log: AuditLog, file: pathlib.Path) -> None:
    log.append(entry(revision=1))
    file.rename(file.with_name("elsewhere"))
    log.append(entry(revision=2))
    assert numbers(log.read(LogQuery(10)).entries) == [2]


# Write errors


@pytest.mark.parametrize("outcome", Outcome)
def test_problem_is_reported_and_cleared(file: pathlib.Path, outcome: Outcome) -> None:
    log = AuditLog(file.parent / "none" / "audit.log")
    problem = log.append(entry(outcome=outcome))
    assert problem == log.problem == f"{file.parent}/none/audit.log cannot be written: No such file or directory"
    (file.parent / "none").mkdir()
    assert log.append(entry(outcome=outcome)) is None
    assert log.problem is None


def test_full_disk_tears_only_one_line(log: AuditLog, file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append(entry(revision=1))
    with monkeypatch.context() as patch:
        write = os.write
        patch.setattr("os.write", lambda fd, octets: write(fd, octets[:20]))
        assert log.append(entry(revision=2)) == f"{file} cannot be written: No space left on device"
    assert log.append(entry(revision=3)) is None
    assert numbers(log.read(LogQuery(10)).entries) == [3, 1]
    assert file.read_bytes().count(b"\n") == 3


def test_link_is_not_followed(log: AuditLog, file: pathlib.Path) -> None:
    file.symlink_to(file.with_name("elsewhere"))
    assert log.append(entry()) == f"{file} cannot be written: {os.strerror(errno.ELOOP)}"
    assert not file.with_name("elsewhere").exists()
