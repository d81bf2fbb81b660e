"""The snapshot file and its log: a snapshot that was served, wherever the writing ended."""

from __future__ import annotations

import errno
import os
import random
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dnsd import __version__
from dnsd.compile.build import Options, build_snapshot
from dnsd.engine.delta import delta, is_small
from dnsd.engine.snapshot import Snapshot
from dnsd.model.fields import parse_ip
from dnsd.process import snapshot_log
from dnsd.process.snapshot_file import Title, pickled, save_snapshot
from dnsd.process.snapshot_log import SnapshotLog, load_snapshot, load_title
from tests.models import dataset, record, zone, zone_map

OPTIONS = Options((parse_ip("198.51.100.10"),))
REVISIONS = 6


def served(revisions: int = REVISIONS) -> Iterator[Snapshot]:
    """Snapshots after changes of records, addresses and zones."""
    rng, texts, before = random.Random(7), dict.fromkeys(range(30), "192.0.2.1"), None
    for revision in range(1, revisions + 1):
        texts[rng.randrange(40)] = f"192.0.2.{revision}"
        zones = [zone("example.com", [record(f"h{number} A {ip}") for number, ip in texts.items()])]
        if revision % 3 == 0:
            zones.append(zone("example.net", [record("www A 192.0.2.9", proxied=True)]))
        maps = {"a1/m": zone_map("example.com", f"203.0.113.{1 + revision % 2}")}
        before = replace(build_snapshot(dataset(zones, maps), OPTIONS, before), revision=revision)
        yield before


def title(snapshot: Snapshot) -> Title:
    names = len(snapshot.names)
    return Title(version=__version__, revision=snapshot.revision, saved_at=snapshot.revision, names=names)


def essence(snapshot: Snapshot) -> tuple[object, ...]:
    entries = [(snapshot.names.apex(one).name, one) for one in snapshot.names.entries()]
    addresses = {key: (one.ips, one.sources) for key, one in snapshot.by_zone.items()}
    return snapshot.revision, entries, addresses


def loaded(file: Path, until: int | None = None) -> Snapshot:
    found, steps = load_snapshot(file, until)
    *_, snapshot = steps
    assert snapshot is not None
    assert found == title(snapshot)
    return snapshot


class Saved:
    """A snapshot file with a log of several changes."""

    def __init__(self, folder: Path) -> None:
        self.file, self.path = folder / "snapshot", folder / "snapshot.log"
        self.log, self.sizes = SnapshotLog(self.file), [0]
        first, *later = self.served = [*served()]
        self.log.begin(save_snapshot(self.file, title(first), delta(None, first)))
        for one in later:
            assert self.append(one)
            self.sizes.append(self.path.stat().st_size)

    def append(self, snapshot: Snapshot) -> bool:
        before = self.served[snapshot.revision - 2]
        assert is_small(before, snapshot)
        return self.log.append(title(snapshot), b"".join(pickled(delta(before, snapshot))))


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    return Saved(tmp_path)


def test_file_and_log_are_the_last_snapshot(saved: Saved) -> None:
    assert load_title(saved.file) == title(saved.served[-1])
    for one in saved.served:
        assert essence(loaded(saved.file, one.revision)) == essence(one)
    assert essence(loaded(saved.file)) == essence(saved.served[-1])
    assert saved.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_log_cut_at_any_octet_is_a_snapshot_that_was_served(saved: Saved) -> None:
    octets = saved.path.read_bytes()
    expected = {one.revision: essence(one) for one in saved.served}
    known: dict[int, tuple[object, ...]] = {}
    for size in range(len(octets) - 1, -1, -1):
        os.truncate(saved.path, size)
        revision = sum(end <= size for end in saved.sizes)  # the whole entries, and the file
        found = load_title(saved.file)
        assert found is not None
        assert found.revision == revision, size
        if revision not in known:
            known[revision] = essence(loaded(saved.file))
    assert known == {revision: of for revision, of in expected.items() if revision < REVISIONS} | {
        REVISIONS - 1: expected[REVISIONS - 1]
    }


def test_log_with_any_octet_changed_is_a_snapshot_that_was_served(saved: Saved) -> None:
    octets = saved.path.read_bytes()
    for place in range(0, len(octets), 7):
        saved.path.write_bytes(octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :])
        found = load_title(saved.file)
        assert found is not None
        assert found == title(saved.served[sum(end <= place for end in saved.sizes) - 1])


def test_log_of_another_file_is_ignored(saved: Saved) -> None:
    """As after a kill between the writing of a file and that of its log."""
    before = saved.path.read_bytes()
    third = saved.served[2]
    name = save_snapshot(saved.file, title(third), delta(None, third))
    assert essence(loaded(saved.file)) == essence(third)
    assert not saved.append(saved.served[3])  # as after an error between the two: the file is written again
    saved.log.begin(name)
    assert not saved.path.exists()
    saved.path.write_bytes(before)
    assert saved.append(saved.served[3])
    assert essence(loaded(saved.file)) == essence(saved.served[3])


def test_nothing_is_added_once_the_file_is_gone(saved: Saved) -> None:
    saved.file.unlink()
    last = replace(saved.served[-1], revision=REVISIONS + 1)
    assert not saved.log.append(title(last), b"".join(pickled(delta(saved.served[-1], last))))


class KilledError(Exception):
    """Ends a writer as a kill does: nothing after it happens."""


@pytest.mark.parametrize("kept", range(0, 400, 13))
def test_kill_while_an_entry_is_written(saved: Saved, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    saved.log.begin(save_snapshot(saved.file, title(saved.served[0]), delta(None, saved.served[0])))
    assert saved.append(saved.served[1])

    def killed(self: SnapshotLog, entry: bytes) -> bool:
        with open(saved.path, "ab") as out:
            out.write(entry[:kept])
        raise KilledError

    monkeypatch.setattr(SnapshotLog, "_write", killed)
    with pytest.raises(KilledError):
        saved.append(saved.served[2])
    assert loaded(saved.file).revision in (2, 3)


class Killing:
    """The log, open for writing: the process is killed once a part of an entry is written."""

    def __init__(self, file: Any, part: float) -> None:
        self._file, self._part = file, part

    def __enter__(self) -> Killing:
        return self

    def __exit__(self, *_: object) -> None:
        raise AssertionError("not killed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, octets: bytes) -> int:
        os.write(self._file.fileno(), octets[: int(len(octets) * self._part)])
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("not killed")


@pytest.mark.parametrize("part", [0, 0.01, 0.2, 0.5, 0.9, 0.999])
def test_process_killed_while_it_writes_an_entry_leaves_what_was_served(saved: Saved, part: float) -> None:
    """And its successor, which goes on from the file alone, replaces the log."""
    first, second, third, fourth, *_ = saved.served
    name = save_snapshot(saved.file, title(first), delta(None, first))
    saved.log.begin(name)
    assert saved.append(second)
    pid = os.fork()
    if not pid:
        try:
            vars(snapshot_log)["open"] = lambda *how, **more: Killing(open(*how, **more), part)  # noqa: SIM115
            saved.append(third)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert essence(loaded(saved.file)) == essence(second)
    saved.log = SnapshotLog(saved.file)
    saved.log.resume(name)
    changes = b"".join(pickled(delta(first, fourth)))
    assert saved.log.append(title(fourth), changes)
    assert essence(loaded(saved.file)) == essence(fourth)


def test_full_disk_leaves_the_log_as_it_was(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.path.read_bytes()
    real = open

    class Full:
        def __init__(self, file: Any) -> None:
            self._file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def write(self, octets: bytes) -> int:
            if len(octets) > 20:
                return int(self._file.write(octets[:20]))
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(snapshot_log, "open", lambda *a, **k: Full(real(*a, **k)), raising=False)
    last = replace(saved.served[-1], revision=REVISIONS + 1)
    octets = b"x" * 90
    with pytest.raises(OSError, match="No space"):
        saved.log.append(title(last), octets)
    assert saved.path.read_bytes() == before


@pytest.mark.parametrize("how", ["missing", "longer", "a folder"])
def test_log_that_others_changed_is_not_continued(saved: Saved, how: str) -> None:
    saved.path.unlink()
    if how == "a folder":
        saved.path.mkdir()
    elif how == "longer":
        saved.path.write_bytes(b"x" * 10_000)
    last = replace(saved.served[-1], revision=REVISIONS + 1)
    if how == "a folder":
        with pytest.raises(OSError, match="directory"):
            saved.log.append(title(last), b"")
    else:
        assert not saved.log.append(title(last), b"")
    assert essence(loaded(saved.file)) == essence(saved.served[0])


def test_log_is_bounded(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    last = replace(saved.served[-1], revision=REVISIONS + 1)
    assert not saved.log.append(title(last), bytes(snapshot_log.MAX_SIZE))
    monkeypatch.setattr(snapshot_log, "MAX_ENTRIES", REVISIONS)
    assert saved.log.append(title(last), b"")
    assert not saved.log.append(title(last), b"")


def test_without_a_file_nothing_is_logged(tmp_path: Path) -> None:
    log = SnapshotLog(tmp_path / "snapshot")
    assert not log.append(Title(version="1", revision=1, saved_at=1, names=1), b"")
    assert [*tmp_path.iterdir()] == []
