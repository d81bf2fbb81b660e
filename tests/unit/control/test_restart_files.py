"""Starts with the model file: files whose status is that of their last reading are not read again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dnsd.app import Loaded
from dnsd.control import zones_of_model
from dnsd.control.guarded import Force
from dnsd.model import columns
from dnsd.store import folder, noted_files
from dnsd.store.text_file import BlockReader, Content, read_content
from tests.unit.control.scheduling import Life, Scheduling

BERTHS = 10_000  # 4 blocks
HEAD = "@ 60 SOA ns1 host 7 2 3 4 5\n@ 60 NS ns1\n"
TEXT = HEAD + "".join(f"berth{number} 60 A 198.51.{number // 256}.{number % 256}\n" for number in range(BERTHS))
QUAY, SHED = "bay/zones/quay.example.zone", "bay/zones/shed.example.yaml"
FILES = {
    "bay/account.yaml": "name: Bay\n",
    QUAY: TEXT,
    SHED: "records: [{name: door, type: A, content: 198.51.100.7}]\n",
}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scheduling:
    """A state folder in which the files are noted, all of them old enough to trust their status."""
    found = Scheduling(tmp_path / "world", FILES)
    for name in FILES:
        os.utime(path_of(found, name), (1_700_000_000, 1_700_000_000))
    monkeypatch.setattr(folder, "FINE_CLOCK_NS", -(2**62))
    monkeypatch.setattr(folder, "COARSEST_CLOCK_NS", -(2**62))
    found.run(keep)
    return found


@pytest.fixture
def read(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The zones' files that are read, from now on."""
    found: list[str] = []

    def noting(path: str, **options: object) -> Content:
        found.append(os.path.relpath(path, world.folder / "accounts"))
        return read_content(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(folder, "read_content", noting)
    return found


def path_of(world: Scheduling, name: str) -> Path:
    return world.folder / "accounts" / name


async def keep(life: Life) -> Loaded:
    await life.control.publisher.save()
    await life.control.keeper.save_new()
    await life.control.current.keep_first_good()
    loaded = life.control.current.loaded
    assert loaded
    return loaded


def zones_in(read: list[str]) -> list[str]:
    return sorted(name for name in read if "/zones/" in name)


def serials(loaded: Loaded) -> dict[str, int]:
    return {file.key: file.modified for file in loaded.files.files}


def test_files_with_the_same_status_are_not_read(world: Scheduling, read: list[str]) -> None:
    for _ in range(2):
        loaded = world.run(keep)
        assert zones_in(read) == []
        texts = {file.key: file.text() for file in loaded.files.files}
        assert texts["bay/zones/quay.example"] == TEXT
        assert texts["bay/zones/shed.example"] == FILES[SHED]


def rewrite(path: Path) -> None:
    """Another content of the same size and time."""
    path.write_text(path.read_text().replace("198.51.", "203.0.", 1).replace("60 ", "600 ", 1))
    os.utime(path, (1_700_000_000, 1_700_000_000))


def put_back(path: Path) -> None:
    """The same content and time, in another file."""
    text = path.read_text()
    path.unlink()
    path.write_text(text)
    os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.mark.parametrize(
    "change", [os.utime, rewrite, put_back, lambda path: path.chmod(0o600)], ids=["touched", "rewritten", "new", "mode"]
)
def test_file_with_another_status_is_read_alone(
    world: Scheduling, read: list[str], change: Callable[[Path], object]
) -> None:
    before = world.run(keep)
    text = path_of(world, QUAY).read_text()
    change(path_of(world, QUAY))
    loaded = world.run(keep)
    assert zones_in(read) == [QUAY]
    assert loaded.files.by_key()["bay/zones/quay.example"].text() == path_of(world, QUAY).read_text()
    is_same = path_of(world, QUAY).read_text() == text
    assert (serials(loaded) == serials(before)) is is_same, "a serial that goes back is not transferred"
    assert min(map(int.__sub__, serials(loaded).values(), serials(before).values())) >= 0


def test_serial_raised_at_a_start_does_not_go_back_at_one_that_reads_all_files(
    world: Scheduling, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file restored from a copy has an earlier time than the version that was served."""
    rewrite(path_of(world, QUAY))
    os.utime(path_of(world, QUAY), (1_600_000_000, 1_600_000_000))
    raised = serials(world.run(keep))
    assert raised["bay/zones/quay.example"] == 1_700_000_001
    assert path_of(world, QUAY).stat().st_mtime == 1_700_000_001
    assert path_of(world, SHED).stat().st_mtime == 1_700_000_000
    monkeypatch.setattr(noted_files, "BOOT_FILE", tmp_path / "boot_id")
    read.clear()
    assert serials(world.run(keep)) == raised
    assert zones_in(read) == [QUAY, SHED]


def test_forced_reload_reads_files_whose_status_has_not_changed(
    world: Scheduling, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that does not tell a change."""
    monkeypatch.setattr(folder, "stamp_of", lambda status: (1, 2, 3, 4, 5))

    async def reload(life: Life) -> None:
        rewrite(path_of(world, QUAY))
        read.clear()
        for force, expected in ((None, []), (Force(), [QUAY, SHED])):
            assert (await life.control.loader.reload(force=force)).ok
            assert zones_in(read) == expected
            assert life.control.current.loaded
            served = life.control.current.loaded.files.by_key()["bay/zones/quay.example"]
            assert (served.content == read_content(path_of(world, QUAY))) is bool(force)

    world.run(reload)


@pytest.mark.parametrize("boot", ["another", "", None], ids=["another", "unknown", "without the file"])
def test_files_are_read_after_the_machine_has_started_anew(
    world: Scheduling, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boot: str | None
) -> None:
    monkeypatch.setattr(noted_files, "BOOT_FILE", tmp_path / "boot_id")
    if boot is not None:
        (tmp_path / "boot_id").write_text(f"{boot}\n")
    world.run(keep)
    assert zones_in(read) == [QUAY, SHED]


@pytest.mark.parametrize("files", [None, 7, ["x"], [("bay/zones/quay.example", 99, 0, (), ())]])
def test_wrong_notes_are_not_used(
    world: Scheduling, read: list[str], monkeypatch: pytest.MonkeyPatch, files: object
) -> None:
    before = world.run(keep)
    found = noted_files.noted_files
    monkeypatch.setattr(zones_of_model, "noted_files", lambda root, notes: found(root, (notes[0], files)))
    loaded = world.run(keep)
    assert zones_in(read) == [QUAY, SHED]
    assert serials(loaded) == serials(before)


def test_file_that_has_just_changed_is_not_noted(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "FINE_CLOCK_NS", 2**62)
    monkeypatch.setattr(folder, "COARSEST_CLOCK_NS", 2**62)
    for name in ("snapshot", "snapshot.model"):
        (world.state / name).unlink()
    files = world.run(keep).files.files
    monkeypatch.undo()
    assert noted_files.noted(files)[1] == []


def test_repeated_records_are_not_looked_for_again(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "find_repeats", None)
    loaded = world.run(keep)
    zones = loaded.stored.objects.zones.values()
    assert [read.zone.records.repeats() for read in zones if read.zone] == [{}, {}]


def test_first_edit_after_a_start_reads_its_block(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    text_of = BlockReader.text_of

    def noted(reader: BlockReader, start: int, stop: int) -> tuple[str, int]:
        found.extend(range(start, stop))
        return text_of(reader, start, stop)

    monkeypatch.setattr(BlockReader, "text_of", noted)

    async def edited(life: Life) -> Loaded:
        await keep(life)
        assert found == []
        path_of(world, QUAY).write_text(TEXT.replace("berth9000 60 A", "berth9000 600 A"))
        assert await life.control.loader.load_change()
        loaded = life.control.current.loaded
        assert loaded
        return loaded

    loaded = world.run(edited)
    zone = loaded.stored.objects.zones["bay/zones/quay.example"]
    assert zone.zone
    assert len(found) == 1 < len(zone.file.content.blocks)
    assert [*zone.rows] == [*range(1, BERTHS + 3)]
    assert zone.zone.records[BERTHS + 1].ttl == 60
    assert zone.zone.records[9_002].ttl == 600
