"""The snapshot file: complete or absent, with data of this package only."""

from __future__ import annotations

import errno
import os
import pathlib
import pickle
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dnsd import __version__
from dnsd.app import load
from dnsd.engine.delta import DeltaPart, delta
from dnsd.engine.entry import PLAIN, row
from dnsd.engine.names import NameTable
from dnsd.engine.snapshot import Snapshot
from dnsd.engine.table import edited
from dnsd.process import snapshot_file
from dnsd.process.snapshot_file import (
    DamagedSnapshotError,
    SnapshotFileError,
    Title,
    save_snapshot,
    share_octets,
)
from dnsd.process.snapshot_log import load_snapshot, load_title
from dnsd.process.verified import unshared

CONFIG = pathlib.Path(__file__).parents[3] / "config" / "dnsd.yaml"
TITLE = Title(version=__version__, revision=1, saved_at=1_700_000_000, names=85)


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return load(CONFIG, {}).snapshot


@pytest.fixture
def file(tmp_path: pathlib.Path, snapshot: Snapshot) -> pathlib.Path:
    save_snapshot(tmp_path / "snapshot", TITLE, delta(None, snapshot))
    return tmp_path / "snapshot"


def loaded(file: pathlib.Path) -> Snapshot:
    *_, found = load_snapshot(file)[1]
    assert found is not None
    return found


def test_saved_snapshot_is_loaded(file: pathlib.Path, snapshot: Snapshot) -> None:
    assert load_snapshot(file)[0] == TITLE
    found = loaded(file)
    assert found.names.keys() == snapshot.names.keys()
    assert {key: value.ips for key, value in found.by_zone.items()} == {
        key: value.ips for key, value in snapshot.by_zone.items()
    }
    assert [path.name for path in file.parent.iterdir()] == ["snapshot"]


def test_names_that_share_a_node_share_it_again(file: pathlib.Path, snapshot: Snapshot) -> None:
    def shared(one: Snapshot) -> int:
        return len({id(node) for node in one.names.values()})

    assert shared(loaded(file)) == shared(snapshot) < len(snapshot.names)


def test_origins_are_not_in_the_file(file: pathlib.Path, snapshot: Snapshot) -> None:
    """Workers, which face the network, never hold the origin of a proxied name."""
    octets = file.read_bytes()
    hidden = {
        record.rdata
        for built in snapshot.zones.values()
        for record in built.zone.records
        if record.proxied and built.applies_maps
    }
    stored = {
        record.rdata
        for built in snapshot.zones.values()
        for record in built.zone.records
        if not record.proxied or not built.applies_maps
    }
    origins = {rdata for rdata in hidden - stored if rdata not in snapshot.names}
    assert len(origins) > 5
    assert [origin for origin in origins if origin in octets] == []


def damage(octets: bytes) -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "a stub", octets[:10]
    yield "cut in the title", octets[:40]
    yield "cut in the middle", octets[: len(octets) // 2]
    yield "without its last octet", octets[:-1]
    yield "one bit turned", octets[:5000] + bytes([octets[5000] ^ 1]) + octets[5001:]
    yield "one bit of the title turned", octets[:60] + bytes([octets[60] ^ 1]) + octets[61:]
    yield "one bit of the last octets turned", octets[:-70] + bytes([octets[-70] ^ 1]) + octets[-69:]
    yield "more behind it", octets + b"\0"
    yield "something else", b"x" * 5000


def test_damaged_snapshot_file_is_refused(file: pathlib.Path) -> None:
    for name, octets in damage(file.read_bytes()):
        file.write_bytes(octets)
        with pytest.raises(SnapshotFileError):
            pytest.fail(f"{name}: {load_snapshot(file)[0]}")


def test_digests_are_verified_by_one_process_for_all(
    file: pathlib.Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, writing, other = unshared(), unshared(), unshared()
    load_snapshot(file, None, loading)
    share_octets(file, writing, snapshot.names.table)
    monkeypatch.setattr(snapshot_file, "_is_whole", lambda *args: False)
    for verified in (loading, writing):
        assert load_snapshot(file, None, verified)[0] == TITLE
    for unknown in (other, None):
        with pytest.raises(DamagedSnapshotError):
            load_snapshot(file, None, unknown)


def test_a_file_that_changed_is_verified_again(file: pathlib.Path) -> None:
    for number, (name, octets) in enumerate(damage(file.read_bytes())):
        verified = unshared()
        save = file.read_bytes()
        load_snapshot(file, None, verified)
        file.write_bytes(octets)
        os.utime(file, ns=(0, number))  # another time than that of a write in the same instant
        with pytest.raises(SnapshotFileError):
            pytest.fail(f"{name}: {load_snapshot(file, None, verified)[0]}")
        file.write_bytes(save)


def test_a_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SnapshotFileError, match="cannot be read: No such file"):
        load_snapshot(tmp_path / "none")


def test_a_file_of_another_version(tmp_path: pathlib.Path, snapshot: Snapshot) -> None:
    save_snapshot(tmp_path / "snapshot", Title(version="0.0.1", revision=1, saved_at=0, names=0), delta(None, snapshot))
    with pytest.raises(SnapshotFileError, match=r"was written by dnsd 0\.0\.1"):
        load_snapshot(tmp_path / "snapshot")


def test_a_file_of_another_format(file: pathlib.Path) -> None:
    for head in (b"dnsd snapshot 5 {}", b"dnsd snapshot 8 {"):
        file.write_bytes(head + b'"version": "0.1.0"}\n' + bytes(9_000))
        with pytest.raises(SnapshotFileError, match="of another version of dnsd; this one has format 7") as caught:
            load_snapshot(file)
        assert not isinstance(caught.value, DamagedSnapshotError)
        assert load_title(file) is None


def test_a_saved_overlay_is_loaded_and_its_tables_move_to_the_file(tmp_path: pathlib.Path, snapshot: Snapshot) -> None:
    zone = next(iter(snapshot.zones.values())).zone.name
    added = b"\x05added" + zone
    table = edited(snapshot.names.table, zone, 0, {added: row(PLAIN, 0, added, [(16, 1, b"x")])})
    changed = replace(snapshot, names=NameTable(table, snapshot.names.zones))
    save_snapshot(tmp_path / "snapshot", TITLE, delta(None, changed))
    found = loaded(tmp_path / "snapshot").names.table
    assert found.find(added) == table.find(added) is not None
    assert list(found.entries()) == list(table.entries())
    before, earlier = bytes(table.octets), snapshot.names.table
    share_octets(tmp_path / "snapshot", unshared(), earlier, table)
    for one in (earlier, table):
        assert isinstance(one.octets, memoryview)
        assert bytes(one.octets) == before
    assert table.find(added) is not None
    assert earlier.find(added) is None


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def test_only_our_data_is_unpickled(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_file, "pickled", lambda parts: [pickle.dumps(Harmful())])
    save_snapshot(tmp_path / "snapshot", TITLE, [b""])
    _, steps = load_snapshot(tmp_path / "snapshot")
    with pytest.raises(SnapshotFileError, match=r"posix\.system is not allowed in a snapshot"):
        next(steps)


def test_a_failed_save_leaves_the_old_file(file: pathlib.Path, snapshot: Snapshot) -> None:
    before = file.read_bytes()

    def parts() -> Iterator[DeltaPart]:
        yield next(delta(None, snapshot))
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_snapshot(file, TITLE, parts())
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["snapshot"]
