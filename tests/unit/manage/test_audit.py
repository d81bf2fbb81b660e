"""The audit log: fields of an entry, durability, rotation, and reading from the end."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pathlib
import stat
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from dnsd.manage import audit_search
from dnsd.manage.audit import AuditLog
from dnsd.manage.audit_entries import SERVER, Entry, Outcome, line_of, pending_entry
from dnsd.manage.audit_search import FoundEntries, LogGroup, LogQuery, OpenLog
from dnsd.manage.tokens import Token

NOW = datetime(2026, 1, 1, 12, 0, 0, 120, tzinfo=UTC)
TOKEN = Token(id="07" * 16, name="ci", created_at=NOW)


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
    "actor": {"id": "07" * 16, "name": "ci", "is_operator": True},
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
        digest = hashlib.blake2b(f'"{"é" * (size // 2)}{"x" * (size % 2)}"'.encode(), digest_size=16).hexdigest()
        assert said["before"] == {"cut": f"{size + 2:,} octets", "digest": digest, "start": '"' + "é" * 2047}
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
    size = len(line_of(entry(revision=10)))
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


def test_full_disk_leaves_no_part_of_an_entry(
    log: AuditLog, file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(entry(revision=1))
    with monkeypatch.context() as patch:
        write = os.write
        patch.setattr("os.write", lambda fd, octets: write(fd, octets[:20]))
        assert log.append(entry(revision=2)) == f"{file} cannot be written: No space left on device"
    assert log.append(entry(revision=3)) is None
    entries = log.read(LogQuery(10)).entries
    assert [one["revision"] for one in entries] == [3, None, 1]
    gap = "1 entries before this one could not be written"
    assert (entries[1]["action"], entries[1]["message"]) == ("audit.gap", gap)
    assert file.read_bytes().count(b"\n") == 3


def test_link_is_not_followed(log: AuditLog, file: pathlib.Path) -> None:
    file.symlink_to(file.with_name("elsewhere"))
    assert log.append(entry()) == f"{file} cannot be written: {os.strerror(errno.ELOOP)}"
    assert not file.with_name("elsewhere").exists()


# Tenants

A1, A2, A3 = "a1" * 16, "a2" * 16, "a3" * 16
ACME, GLOBEX = (Token(id=one[:2] * 16, name=one[:2], created_at=NOW, accounts=(one,)) for one in (A1, A2))
BOTH = Token(id="b0" * 16, name="both", created_at=NOW, accounts=(A1, A2))
ROOT = Token(id="d0" * 16, name="root", created_at=NOW, accounts=(A1,))
MADE = replace(ROOT, id="d1" * 16, parent=ROOT)


def read(log: AuditLog, limit: int, **query: Any) -> list[dict[str, Any]]:
    return log.read(LogQuery(limit, **query)).entries


def of_tenant(token: Token, number: int, **fields: Any) -> Entry:
    at = NOW + timedelta(seconds=number)
    account_id = fields.pop("account_id", token.accounts[0])
    return entry(token=token, at=at, revision=number, account_id=account_id, **fields)


def test_states_of_tenants_are_bounded_with_a_digest(log: AuditLog, file: pathlib.Path) -> None:
    state = {"records": [{"comment": "x" * 500}] * 1000}
    log.append(of_tenant(ACME, 1, before=state, after=state, message="m" * 10_000))
    [said] = read(log, 1)
    digest = hashlib.blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()
    assert said["before"]["digest"] == said["after"]["digest"] == digest
    assert len(said["before"]["start"]) == 1024
    assert (file.parent / "audit" / f"{A1}.log").stat().st_size < 8_000
    small = {"name": "www", "content": "192.0.2.1"}
    log.append(of_tenant(ACME, 2, before=small, after=None))
    assert read(log, 1)[0]["before"] == small


SERVER_TOKEN = Token(id=SERVER, name="the server", created_at=NOW)
CUSTOMER = replace(BOTH, id="d3" * 16, parent=replace(ROOT, id="d2" * 16, accounts=()))  # an operator made its token
OWNERS = {
    "an operator's, about an account": (entry(account_id=A1), ""),
    "nobody's": (entry(token=None), ""),
    "about an account, of nobody": (entry(token=None, account_id=A1), A1),
    "a tenant's": (of_tenant(ACME, 1), A1),
    "a tenant's with two accounts": (of_tenant(BOTH, 1, account_id=A2), A2),
    "a tenant's, about no account": (of_tenant(ACME, 1, account_id=""), ACME.id),
    "of a token made by a tenant": (of_tenant(MADE, 1, account_id=""), ROOT.id),
    "of a customer whose token an operator made": (of_tenant(CUSTOMER, 1, account_id=""), CUSTOMER.id),
    "of the server, which verified a zone": (entry(token=SERVER_TOKEN, account_id=A1), A1),
}


@pytest.mark.parametrize(("one", "owner"), OWNERS.values(), ids=OWNERS.keys())
def test_entry_goes_into_the_file_of_its_owner(log: AuditLog, file: pathlib.Path, one: Entry, owner: str) -> None:
    log.append(one)
    found = [path for path in file.parent.rglob("*.log") if path.is_file()]
    assert found == [file.parent / "audit" / f"{owner}.log" if owner else file]
    assert stat.S_IMODE(found[0].stat().st_mode) == 0o600
    assert not owner or stat.S_IMODE(found[0].parent.stat().st_mode) == 0o700
    assert len(read(log, 10)) == 1


def test_flood_of_one_tenant_pushes_out_only_its_own_entries(file: pathlib.Path) -> None:
    told: list[str] = []
    log = AuditLog(file, room=lambda account_id: 20_000, report=told.append)
    log.append(entry(revision=-1, account_id=A1))
    log.append(of_tenant(GLOBEX, 0))
    for number in range(1, 200):
        log.append(of_tenant(ACME, number))
        log.append(of_tenant(ROOT, number, account_id=""))
    assert log.size(A1) <= 20_000
    kept = numbers(read(log, 1000, is_wanted=lambda one: one["actor"] == {"id": ACME.id, "name": "a1"}, accounts=[A1]))
    assert kept == list(range(199, 199 - len(kept), -1))
    assert 20 < len(kept) < 100
    theirs = read(log, 1000, is_wanted=lambda one: one["actor"] == {"id": GLOBEX.id, "name": "a2"}, accounts=[A2])
    assert numbers(theirs) == [0]
    assert -1 in numbers(read(log, 1000))
    assert f"audit log: the oldest entries of {A1} were deleted, for lack of room (quota `audit_octets`)" in told
    assert "audit.dropped" in [one["action"] for one in read(log, 1000, is_wanted=lambda one: one["account_id"] == A1)]


def test_search_in_one_account_is_not_used_up_by_another(log: AuditLog) -> None:
    log.append(of_tenant(GLOBEX, 0))
    for number in range(1, 100):
        log.append(of_tenant(ACME, number))
    assert numbers(read(log, 10, accounts=[A2], searched=1_000)) == [0]
    assert 0 not in numbers(read(log, 200, searched=1_000))


def test_entries_of_all_files_are_in_the_order_of_their_times(log: AuditLog) -> None:
    for number in range(30):
        if number % 3:
            log.append(of_tenant(ACME if number % 3 == 1 else GLOBEX, number))
        else:
            log.append(entry(at=NOW + timedelta(seconds=number), revision=number))
    assert numbers(read(log, 100)) == list(range(29, -1, -1))
    assert numbers(read(log, 4, skip=3)) == [26, 25, 24, 23]
    assert numbers(read(log, 100, oldest_first=True)) == list(range(30))
    assert numbers(read(log, 100, accounts=[A1])) == [one for one in range(29, -1, -1) if one % 3 < 2]


def test_only_files_that_may_be_next_are_opened(
    log: AuditLog, file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        owner = f"{number:032x}"
        log.append(of_tenant(replace(ACME, accounts=(owner,)), number))
        os.utime(file.parent / "audit" / f"{owner}.log", (0, (NOW + timedelta(seconds=number)).timestamp()))
    opened: set[str] = set()
    open_log = audit_search._opened

    def noting(group: LogGroup, stack: ExitStack) -> list[OpenLog]:
        opened.add(group.owner)
        return open_log(group, stack)

    monkeypatch.setattr(audit_search, "_opened", noting)
    assert numbers(read(log, 3)) == [49, 48, 47]
    assert len(opened) <= 4


def test_files_go_with_the_days(log: AuditLog, file: pathlib.Path) -> None:
    log.append(of_tenant(ACME, 1), of_tenant(GLOBEX, 2))
    day, now = 86_400, file.parent.stat().st_mtime
    os.utime(file.parent / "audit" / f"{A1}.log", (now, now - 8 * day))
    log.prune(9, now)
    assert numbers(read(log, 10)) == [2, 1]
    log.prune(7, now)
    assert numbers(read(log, 10)) == [2]


def test_file_that_cannot_be_written_costs_its_owner_alone(log: AuditLog, file: pathlib.Path) -> None:
    blocked = file.parent / "audit" / f"{A2}.log"
    blocked.mkdir(parents=True)
    failed = f"{blocked} cannot be written: {os.strerror(errno.EISDIR)}"
    assert log.append(entry(revision=1), of_tenant(ACME, 2), of_tenant(GLOBEX, 3)) == failed
    assert [numbers(read(log, 10, accounts=one)) for one in ([], [A1])] == [[1], [2, 1]]
    for fine in (entry(revision=4), of_tenant(ACME, 5)):
        assert log.append(fine) is None
        log.testify([pending_entry(fine)])
        log.probe()
        assert log.problem == failed  # another's success says nothing about this file
    blocked.rmdir()
    log.probe()
    assert log.problem is None
    lines = [json.loads(line) for line in blocked.read_text().splitlines()]
    assert [(one["action"], one["object"]) for one in lines] == [
        ("audit.gap", f"audit/{A2}"),
        ("audit.resumed", f"audit/{A2}"),
    ]
    assert lines[0]["message"] == "1 entries before this one could not be written"


def test_evidence_is_in_all_files_or_in_none(log: AuditLog, file: pathlib.Path) -> None:
    (file.parent / "audit" / f"{A2}.log").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        log.testify([pending_entry(one) for one in (entry(), of_tenant(ACME, 1), of_tenant(GLOBEX, 2))])
    assert file.read_bytes() == (file.parent / "audit" / f"{A1}.log").read_bytes() == b""
    assert str(log.problem).startswith(f"{file.parent}/audit/{A2}.log cannot be written")


def test_evidence_that_can_be_written_again_tells_of_the_gap(log: AuditLog, file: pathlib.Path) -> None:
    blocked = file.parent / "audit" / f"{A1}.log"
    blocked.mkdir(parents=True)
    log.append(of_tenant(ACME, 1))
    blocked.rmdir()
    log.testify([pending_entry(of_tenant(ACME, 2))])
    assert log.problem is None
    assert [json.loads(line)["action"] for line in blocked.read_text().splitlines()][1:] == ["audit.gap"]


def test_many_failing_files_are_named_in_short_and_probed_in_turns(log: AuditLog, file: pathlib.Path) -> None:
    folder = file.parent / "audit"
    owners = [f"{number:032x}" for number in range(45)]
    for owner in owners:
        (folder / f"{owner}.log").mkdir(parents=True)
        log.append(of_tenant(replace(ACME, accounts=(owner,)), 1, account_id=owner))
    assert str(log.problem).endswith("; so do 42 more files")
    assert len(str(log.problem)) < 1000
    for owner in owners:
        (folder / f"{owner}.log").rmdir()
    for _ in range(3):
        assert log.problem
        log.probe()
    assert log.problem is None


def test_entries_of_an_earlier_version_are_read(file: pathlib.Path) -> None:
    line = json.dumps(WHOLE | {"account_id": A1, "actor": {"id": ACME.id, "name": "a1"}, "revision": 5})
    file.with_name("audit.log.2").write_text(f"{line}\n")
    log = AuditLog(file)
    log.append(of_tenant(ACME, 6))
    assert numbers(read(log, 10, accounts=[A1])) == [6, 5]


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize("step_size", [300, 1 << 20])
def test_pages_by_cursor_are_those_of_one_search(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch, oldest_first: bool, size: int, step_size: int
) -> None:
    for number in range(20):
        log.append(of_tenant((ACME, GLOBEX)[number % 2], number))
        log.append(entry(at=NOW + timedelta(seconds=number, milliseconds=1), revision=100 + number, account_id=A1))
    monkeypatch.setattr(audit_search, "STEP_SIZE", step_size)

    def page(start: Any) -> FoundEntries:
        return log.read(LogQuery(size, accounts=[A1], oldest_first=oldest_first, start=start))

    whole = numbers(read(log, 100, accounts=[A1], oldest_first=oldest_first))
    assert len(whole) == 30
    found, start = [], None
    while True:
        one = page(start)
        found += numbers(one.entries)
        if one.next is None:
            break
        start = one.next
        if not oldest_first:
            log.append(of_tenant(ACME, 1000))  # later than the search
    assert found == whole


def test_many_accounts_are_searched_with_few_files_open(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_search, "MAX_OPEN", 2)
    for number in range(60):
        log.append(of_tenant(replace(ACME, accounts=(f"{number % 20:032x}",)), number))
    assert numbers(read(log, 100)) == list(range(59, -1, -1))
    assert numbers(read(log, 100, oldest_first=True)) == list(range(60))
    assert read(log, 100, is_wanted=lambda one: False) == []
