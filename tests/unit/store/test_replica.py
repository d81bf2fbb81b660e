"""The copy of a fleet's state: flushes are whole, also after a kill; a damaged file is refused and named."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dnsd.store import replica as replica_module
from dnsd.store.replica import Replica, open_replica
from dnsd.store.replica_rows import DamagedReplicaError, KeptObject, Removal, ReplicaPlace

X, Y = "dnsd.s.o.acme.map.x", "dnsd.s.o.acme.map.y"
FIRST = ReplicaPlace("epoch-1", 7, 1_764_400_000)
ODD = os.fsdecode(b"a\xff.b")  # a name that is not UTF-8


def opened(path: Path) -> Replica:
    replica, problem = open_replica(path)
    assert problem == ""
    return replica


def one(subject: str, value: bytes, *, seq: int = 1, account: str = "acme") -> KeptObject:
    return KeptObject(account, subject, seq, value)


def content(path: Path) -> tuple[ReplicaPlace, list[KeptObject]]:
    replica = opened(path)
    with closing(replica):
        return replica.place, [*replica.objects()]


def test_a_copy_comes_back(tmp_path: Path) -> None:
    objects = [one(X, b"\0\xff", seq=3), one(Y, b"", seq=2**62), one("dnsd.s.h.a=FF=2Eb", b"{}", account=ODD)]
    with closing(opened(tmp_path / "replica.db")) as replica:
        assert (replica.place, [*replica.objects()]) == (ReplicaPlace(), [])
        replica.flush(objects, FIRST)
    assert content(tmp_path / "replica.db") == (FIRST, sorted(objects, key=lambda one: one.account))


def test_objects_are_read_by_account_and_subject(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "replica.db")) as replica:
        replica.flush([one(Y, b"y"), one(X, b"x"), one(X, b"other", account=ODD)], FIRST)
        assert [found.value for found in replica.objects("acme")] == [b"x", b"y"]
        assert [*replica.objects("nobody")] == []
        assert replica.get(ODD, X) == one(X, b"other", account=ODD)
        assert replica.get("nobody", X) is None


def test_a_flush_replaces_and_removes(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "replica.db")) as replica:
        replica.flush([one(X, b"1"), one(Y, b"2")], FIRST)
        replica.flush([one(X, b"3", seq=8), Removal("acme", Y), Removal("acme", "absent")], FIRST._replace(seq=9))
    assert content(tmp_path / "replica.db") == (FIRST._replace(seq=9), [one(X, b"3", seq=8)])


def test_a_flush_that_fails_changes_nothing(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "replica.db")) as replica:
        replica.flush([one(X, b"1")], FIRST)

        def changes() -> list[KeptObject]:
            raise RuntimeError

        def failing() -> object:
            yield one(X, b"2")
            changes()

        with pytest.raises(RuntimeError):
            replica.flush(failing(), FIRST._replace(seq=9))  # type: ignore[arg-type]
        assert (replica.place, [*replica.objects()]) == (FIRST, [one(X, b"1")])
        replica.flush([one(X, b"3")], FIRST._replace(seq=10))  # it goes on
    assert content(tmp_path / "replica.db")[1] == [one(X, b"3")]


def test_a_second_copy_takes_the_place_of_the_first_as_a_whole(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "replica.db")) as replica:
        replica.flush([one(X, b"old"), one(Y, b"gone")], FIRST)
        for _ in range(2):  # the first one is given up
            replica.begin_anew()
            assert replica.get("acme", Y) is None
            replica.flush([one(X, b"new", seq=9)], ReplicaPlace("ignored", 1, 1))
            assert (replica.is_anew, replica.place) == (True, FIRST)
            assert [found.value for found in replica.objects()] == [b"old", b"gone"]
        replica.serve_anew(ReplicaPlace("epoch-2", 9, 5))
        assert (replica.is_anew, [*replica.objects()]) == (False, [one(X, b"new", seq=9)])
        replica.flush([one(Y, b"later", seq=10)], ReplicaPlace("epoch-2", 10, 5))
    assert content(tmp_path / "replica.db") == (
        ReplicaPlace("epoch-2", 10, 5),
        [one(X, b"new", seq=9), one(Y, b"later", seq=10)],
    )


def test_a_second_copy_that_was_not_finished_is_not_served(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "replica.db")) as replica:
        replica.flush([one(X, b"old")], FIRST)
        replica.begin_anew()
        replica.flush([one(X, b"new"), one(Y, b"new")], FIRST)
    assert content(tmp_path / "replica.db") == (FIRST, [one(X, b"old")])


def test_a_doubt_stays_until_another_copy_is_served(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "replica.db")) as replica:
        replica.flush([one(X, b"old")], FIRST)
        replica.begin_anew()
        replica.doubt()
    assert content(tmp_path / "replica.db") == (FIRST._replace(caught_up_at=0), [one(X, b"old")])
    with closing(opened(tmp_path / "replica.db")) as replica:
        replica.begin_anew()
        replica.serve_anew(FIRST)
    assert content(tmp_path / "replica.db") == (FIRST, [])


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    mask = os.umask(0)
    try:
        with closing(opened(path)) as replica:
            replica.flush([one(X, b"1")], FIRST)
            assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == dict.fromkeys(
                ("replica.db", "replica.db-wal", "replica.db-shm"), 0o600
            )
        path.chmod(0o644)
        opened(path).close()
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o600


def filled(path: Path, *, accounts: int = 20, values: int = 10) -> list[tuple[ReplicaPlace, list[KeptObject]]]:
    """A copy with one flush an account; returns every state that it had."""
    states: list[tuple[ReplicaPlace, list[KeptObject]]] = [(ReplicaPlace(), [])]
    with closing(opened(path)) as replica:
        for number in range(accounts):
            objects = [one(f"{X}{n:03}", bytes([n]) * 300, account=f"a{number:03}") for n in range(values)]
            place = ReplicaPlace("epoch", number + 1, 0)
            replica.flush(objects, place)
            states.append((place, states[-1][1] + objects))
    return states


def judge(path: Path, states: list[tuple[ReplicaPlace, list[KeptObject]]]) -> str:
    """Whether a damaged copy was taken as one of its states, or refused in words with the file kept aside."""
    before = path.read_bytes()
    replica, problem = open_replica(path)
    with closing(replica):
        found = (replica.place, [*replica.objects()])
        replica.flush([one(X, b"after", account="z")], ReplicaPlace("epoch", 99, 0))  # in each case, it can be used
    if not problem:
        assert found in states
        return "whole"
    assert found == states[0]
    assert str(path) in problem
    aside = path.with_name(f"{path.name}.damaged")
    assert f"moved aside as {aside.name}" in problem
    assert aside.read_bytes() == before
    return "refused"


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "replica.db"
    states = filled(whole)
    for twentieth in range(20):
        path = shutil.copy(whole, tmp_path / f"{twentieth}.db")
        os.truncate(path, whole.stat().st_size * twentieth // 20)
        assert judge(path, states) == "refused", f"cut at {twentieth} twentieths"


def test_a_log_that_is_cut_gives_one_of_the_states(tmp_path: Path) -> None:
    path, seen = tmp_path / "replica.db", []
    states: list[tuple[ReplicaPlace, list[KeptObject]]] = [(ReplicaPlace(), [])]
    with closing(opened(path)) as replica:  # as a kill leaves it: with the log of all its flushes
        for number in range(20):
            objects = [one(f"{X}{n}", bytes(300), account=f"a{number:03}") for n in range(3)]
            replica.flush(objects, ReplicaPlace("epoch", number + 1, 0))
            states.append((replica.place, states[-1][1] + objects))
        size = path.with_name("replica.db-wal").stat().st_size
        for twentieth in range(21):
            folder = tmp_path / str(twentieth)
            folder.mkdir()
            for name in ("replica.db", "replica.db-wal"):
                shutil.copy(tmp_path / name, folder)
            os.truncate(folder / "replica.db-wal", size * twentieth // 20)
            seen.append(judge(folder / "replica.db", states))
    assert seen == ["whole"] * 21


def test_a_changed_octet_is_found_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    states = filled(path, accounts=4, values=8)
    octets = path.read_bytes()
    seen = set()
    for at in range(0, len(octets), max(1, len(octets) // 150)):
        path.write_bytes(octets[:at] + bytes([octets[at] ^ 0x10]) + octets[at + 1 :])
        seen.add(judge(path, states))
        path.with_name("replica.db.damaged").unlink(missing_ok=True)
    assert "refused" in seen


FOREIGN: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("accounts: []\n" * 500),
    "a folder": lambda path: path.mkdir(),
    "a link": lambda path: path.symlink_to(path.with_name("elsewhere")),
    "another database": lambda path: foreign(path, "CREATE TABLE place(id)"),
    "a later format": lambda path: later(path),
}


def foreign(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(statement)


def later(path: Path) -> None:
    opened(path).close()
    foreign(path, "PRAGMA user_version=2")


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_anything_else_of_that_name_is_moved_aside(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "replica.db"
    make(path)
    replica, problem = open_replica(path)
    with closing(replica):
        replica.flush([one(X, b"1")], FIRST)
    assert "moved aside as replica.db.damaged, and its content is fetched anew" in problem
    assert os.path.lexists(tmp_path / "replica.db.damaged")
    assert content(path) == (FIRST, [one(X, b"1")])


def test_a_log_of_a_damaged_file_is_not_read_into_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    with closing(opened(path)) as replica:
        replica.flush([one(X, b"old")], FIRST)
        kept = path.with_name("replica.db-wal").read_bytes()
    path.unlink()
    path.with_name("replica.db-wal").write_bytes(kept)
    assert content(path) == (ReplicaPlace(), [])


def test_damage_during_use_is_said(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    filled(path)
    with closing(opened(path)) as replica:
        foreign(path, "UPDATE objects_0 SET value = x'00' WHERE account = x'61303135'")
        with pytest.raises(DamagedReplicaError):
            [*replica.objects()]


def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    code = f"""
import resource, signal
from pathlib import Path
from dnsd.store.replica import open_replica
from dnsd.store.replica_rows import KeptObject, ReplicaPlace
replica, _ = open_replica(Path({str(tmp_path / "replica.db")!r}))
replica.flush([KeptObject("acme", "x", 1, b"1")], ReplicaPlace("e", 1, 0))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    replica.flush([KeptObject("acme", "y", 2, bytes(1_000_000))], ReplicaPlace("e", 2, 0))
except OSError as error:
    print(replica.place.seq, error.filename)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
replica.flush([KeptObject("acme", "y", 2, b"2")], ReplicaPlace("e", 2, 0))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == f"1 {tmp_path / 'replica.db'}\n"
    assert [found.value for found in content(tmp_path / "replica.db")[1]] == [b"1", b"2"]


WRITER = """
import sys
from pathlib import Path
from dnsd.store.replica import open_replica
from dnsd.store.replica_rows import KeptObject, ReplicaPlace
replica, problem = open_replica(Path(sys.argv[1]))
assert not problem, problem
number = replica.place.seq
while True:
    number += 1
    if number % 7 == 0:
        replica.begin_anew()
    value = b"%d" % number
    replica.flush([KeptObject("acme", name, number, value * 50) for name in "abcdefgh"], ReplicaPlace("e", number, 0))
    if number % 7 == 0:
        replica.serve_anew(ReplicaPlace("e", number, 0))
    print(number, flush=True)
"""


def test_a_kill_leaves_whole_flushes_and_loses_none(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    for kill in range(6):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout
            said = [int(writer.stdout.readline()) for _ in range(10 + 7 * kill)]
            writer.kill()
            said += map(int, writer.stdout.read().split())
        place, objects = content(path)
        assert place.seq in (said[-1], said[-1] + 1)
        assert [(found.subject, found.seq) for found in objects] == [(name, place.seq) for name in "abcdefgh"]
        assert {found.value for found in objects} == {b"%d" % place.seq * 50}


def test_a_copy_that_cannot_be_made_is_an_error_of_the_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of SQLite go no further than this module: the server answers on."""
    monkeypatch.setattr(replica_module, "SCHEMA", ["no SQL"])
    with pytest.raises(DamagedReplicaError):
        open_replica(tmp_path / "replica.db")
