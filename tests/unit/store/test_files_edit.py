"""Edits of files: their result on disk, and the states of the disk in which they are refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from dnsd.store import folder
from dnsd.store.directory import FileKind, Files, SourceFile
from dnsd.store.files_edit import FilesEdit, edited_files, note_links
from dnsd.store.folder import read_files
from dnsd.store.text_file import Stamp, content_of, stamp_of
from dnsd.store.write import write_files

FILES = {
    "a/account.yaml": "name: A\n",
    "a/maps/m.yaml": "enabled: true\n",
    "a/zones/b.example.yaml": "records: []\n",
    "a/zones/d.example.zone": "@ SOA\n",
    "a-2/zones/e.example.yaml": "records: []\n",
    "b/account.yaml": "name: B\n",
}
ENDINGS = {
    FileKind.ACCOUNT: "/account.yaml",
    FileKind.MAP: ".yaml",
    FileKind.ZONE_YAML: ".yaml",
    FileKind.ZONE_MASTER: ".zone",
}


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    root = tmp_path / "accounts"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "state").mkdir()
    return root


def file(root: Path, key: str, kind: FileKind, text: str) -> SourceFile:
    return SourceFile(key, kind, os.path.join(root, key + ENDINGS[kind]), content_of(text), None, 1_700_000_000)


def edit(
    root: Path, *written: tuple[str, FileKind, str], removed: Collection[str] = (), gone: Collection[str] = ()
) -> FilesEdit:
    before = read_files(root)
    files = {key: file(root, key, kind, text) for key, kind, text in written}
    return FilesEdit(before, edited_files(before, files, removed, gone))


# name -> the edit, and the number of files and folders that it changes
EDITS: dict[str, tuple[Callable[[Path], FilesEdit], int]] = {
    "nothing": (lambda root: edit(root, ("a/maps/m", FileKind.MAP, "enabled: true\n")), 0),
    "a map": (lambda root: edit(root, ("a/maps/m", FileKind.MAP, "enabled: false\n")), 1),
    "a new map": (lambda root: edit(root, ("a/maps/a", FileKind.MAP, "{}\n")), 1),
    "a first map": (lambda root: edit(root, ("b/maps/z", FileKind.MAP, "{}\n")), 1),
    "zones in between": (
        lambda root: edit(root, *((f"a/zones/{c}.example", FileKind.ZONE_YAML, "{}\n") for c in "eca")),
        3,
    ),
    "a zone in another form": (
        lambda root: edit(root, ("a/zones/d.example", FileKind.ZONE_YAML, "{}\n"), removed={"a/zones/d.example"}),
        2,
    ),
    "a removed zone": (lambda root: edit(root, removed={"a/zones/b.example"}), 1),
    "a new account": (lambda root: edit(root, ("a-1", FileKind.ACCOUNT, "name: One\n")), 1),
    "an account's first file": (lambda root: edit(root, ("a-2", FileKind.ACCOUNT, "name: Two\n")), 1),
    "a removed account": (
        lambda root: edit(root, removed={"a", "a/maps/m", "a/zones/b.example", "a/zones/d.example"}, gone={"a"}),
        1,
    ),
}


def carry_out(made: FilesEdit, root: Path) -> None:
    write_files(made.changes(), root.parent / "state/journal")


@pytest.mark.parametrize("name", EDITS)
def test_disk_has_the_result(root: Path, name: str) -> None:
    make, count = EDITS[name]
    made = make(root)
    assert made.is_current()
    assert len(made.changes()) == count
    carry_out(made, root)
    assert read_files(root, made.after) == made.after
    assert made.applied(made.before) == made.after


def test_edits_in_sequence_combine(root: Path) -> None:
    before = after = read_files(root)
    for name in ("a new account", "zones in between", "a zone in another form", "a map", "a removed zone"):
        step = EDITS[name][0](root)
        after = step.applied(after)
    made = FilesEdit(before, after)
    assert made.is_current()
    carry_out(made, root)
    assert read_files(root, after) == after


def test_file_added_and_removed_again_is_no_change(root: Path) -> None:
    before = read_files(root)
    there = edited_files(before, {"c": file(root, "c", FileKind.ACCOUNT, "name: C\n")}, set(), set())
    made = FilesEdit(before, edited_files(there, {}, {"c"}, {"c"}))
    assert made.changes() == []
    assert made.is_current()


def test_edit_keeps_all_else_that_was_read_last(root: Path) -> None:
    """The files read last may hold more than the loaded data; the rest is kept."""
    made = EDITS["a map"][0](root)
    (root / "b/account.yaml").write_text("name: [broken\n")
    (root / "b/maps").mkdir()
    (root / "b/maps/new.yaml").write_text("{}\n")
    read = read_files(root, made.before)
    carry_out(made, root)
    assert made.applied(read) == read_files(root, read)


def write(root: Path, name: str, text: str = "# by hand\n") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


# an edit, and a concurrent change on disk that it must not undo or corrupt
MEANWHILE: list[tuple[str, Callable[[Path], None]]] = [
    ("a map", lambda root: write(root, "a/maps/m.yaml")),
    ("a map", lambda root: (root / "a/maps/m.yaml").unlink()),
    ("a map", lambda root: (root / "a/maps").rename(root / "a/away")),
    ("a map", lambda root: (root / "a").rename(root / "c")),
    ("a new map", lambda root: write(root, "a/maps/a.yaml")),
    ("a new map", lambda root: (root / "a/maps/a.yaml").symlink_to("nowhere")),
    ("a new map", lambda root: (root / "a").rename(root / "c")),
    ("a new map", lambda root: (root.rename(root.with_name("away")), None)[1]),
    ("zones in between", lambda root: write(root, "a/zones/c.example.zone")),
    ("a zone in another form", lambda root: write(root, "a/zones/d.example.zone")),
    ("a zone in another form", lambda root: write(root, "a/zones/d.example.yaml")),
    ("a removed zone", lambda root: write(root, "a/zones/b.example.yaml")),
    ("a new account", lambda root: write(root, "a-1/account.yaml")),
    ("an account's first file", lambda root: write(root, "a-2/account.yaml")),
    ("a removed account", lambda root: write(root, "a/zones/new.example.yaml")),
    ("a removed account", lambda root: write(root, "a/account.yaml")),
    ("a removed account", lambda root: shutil.rmtree(root / "a")),
]


@pytest.mark.parametrize(("name", "meanwhile"), MEANWHILE)
def test_concurrent_change_is_detected(root: Path, name: str, meanwhile: Callable[[Path], None]) -> None:
    made = EDITS[name][0](root)
    meanwhile(root)
    assert not made.is_current()


@pytest.mark.parametrize("name", EDITS)
def test_change_elsewhere_does_not_matter(root: Path, name: str) -> None:
    made = EDITS[name][0](root)
    write(root, "b/account.yaml", "name: [broken\n")
    write(root, "b/zones/new.example.zone")
    os.utime(root / "a/maps/m.yaml", (1, 1))
    assert made.is_current()


def test_files_by_key_are_found_once(root: Path) -> None:
    files: Files = read_files(root)
    assert files.by_key() is files.by_key()
    assert list(files.by_key()) == [one.key for one in files.files]


@pytest.mark.parametrize(
    ("ctime_ns", "age_ns", "is_trusted"),
    [
        (1_700_000_000_123_456_789, 30_000_000, True),
        (1_700_000_000_123_456_789, 10_000_000, False),  # within two ticks
        (1_700_000_000_000_000_000, 30_000_000, False),  # perhaps a clock that counts seconds
        (1_700_000_000_120_000_000, 1_900_000_000, False),
        (1_700_000_000_120_000_000, 2_100_000_000, True),
    ],
)
def test_status_of_a_file_is_trusted_once_its_clock_has_advanced(
    ctime_ns: int, age_ns: int, *, is_trusted: bool
) -> None:
    status = SimpleNamespace(st_dev=1, st_ino=2, st_size=3, st_mtime_ns=1_600_000_000_000_000_000, st_ctime_ns=ctime_ns)
    assert (folder._stamp(status, ctime_ns + age_ns) is not None) is is_trusted  # type: ignore[arg-type]


def written(root: Path, text: str, *, modified: int = 1_700_000_000) -> tuple[FilesEdit, Files]:
    """An edit of a file, and the files as they are known once it is made."""
    before = read_files(root)
    one = replace(file(root, "a/zones/d.example", FileKind.ZONE_MASTER, text), modified=modified)
    made = FilesEdit(before, edited_files(before, {one.key: one}, (), ()))
    write_files(made.changes(), root.parent / "state" / "journal")
    return made, made.made(before)


def test_file_written_by_this_process_is_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, files = written(root, "@ SOA 2\n" * 9_000)
    one = files.by_key()["a/zones/d.example"]
    if not folder._is_fine(os.stat(one.path)):  # by chance, or as on a file system whose clock is coarse
        pytest.skip("the time of the file's status does not say that its clock is fine")
    assert one.stamp
    assert (made.after.by_key()[one.key].content.octets, one.content.octets) == (b"@ SOA 2\n" * 9_000, None)
    read: list[object] = []
    monkeypatch.setattr(folder, "read_content", lambda path, **_: read.append(path))
    now = read_files(root, files)
    assert now.by_key()[one.key] is one
    assert str(root / "a/zones/d.example.zone") not in read
    assert FilesEdit(made.after, made.before, files).is_current()


def edited(path: Path, *, time_set_back: bool) -> None:
    """Write another text of the same size to a file, once the clock of its file system has advanced."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_text("@ SOA 7\n")
        if time_set_back:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


EDITED_BY: dict[str, Callable[[Path], None] | None] = {
    "nobody": None,
    "an editor": partial(edited, time_set_back=False),
    "a copy that keeps size and time": partial(edited, time_set_back=True),
}


@pytest.mark.parametrize("by", EDITED_BY)
def test_file_is_read_once_more_only_if_it_was_edited_while_it_is_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The link that keeps the old file changes its status, as an edit does."""
    path, text = root / "a/zones/d.example.zone", "@ SOA 6\n" * 9_000
    path.write_text("@ SOA 5\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    made = edit(root, ("a/zones/d.example", FileKind.ZONE_MASTER, text))
    before = {**made.before.by_key()}
    before["a/zones/d.example"] = replace(before["a/zones/d.example"], stamp=stamp_of(path.stat()))
    made = replace(made, read=replace(made.before, files=tuple(before.values())))
    read, seen, answers = list[str](), dict[str, Stamp](), list[bool]()
    read_content = folder.read_content
    monkeypatch.setattr(
        folder, "read_content", lambda path, **options: read.append(path) or read_content(path, **options)
    )

    def verify() -> None:
        if answers and (edited := EDITED_BY[by]):
            edited(path)
        answers.append(made.is_current(seen))

    write_files(made.changes(), root.parent / "state" / "journal", verify, linked=partial(note_links, seen))
    assert answers == [True, by == "nobody"]
    assert read == [str(path)] * (by != "nobody")


def test_change_right_after_ours_is_seen(root: Path) -> None:
    """Also one of as many octets, within the same tick of the clock, in the same file or in one that replaces it."""
    path, text = root / "a/zones/d.example.zone", "@ SOA 3\n"
    for turn in range(200):
        _, files = written(root, text, modified=1_700_000_000 + turn)
        if turn % 2:
            with path.open("r+") as out:
                out.write("@ SOA 4\n")
        else:
            path.with_name("other").write_text("@ SOA 4\n")
            os.replace(path.with_name("other"), path)
        found = read_files(root, files).by_key()["a/zones/d.example"]
        assert found.content.text == "@ SOA 4\n"


@pytest.mark.parametrize(
    ("change", "has_stamp"),
    [
        ({}, True),
        ({"st_size": 9}, False),  # another file
        ({"st_mtime_ns": 1_700_000_000_000_000_001}, False),
        ({"st_ctime_ns": 1_700_000_009_000_000_000}, False),  # perhaps a clock that counts seconds
        ({"st_ctime_ns": 1_700_000_000_010_000_007}, False),  # another writer might leave this time
    ],
)
def test_status_of_a_written_file_is_trusted_if_it_tells_ours_from_others(
    root: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, int], *, has_stamp: bool
) -> None:
    one = file(root, "a/zones/d.example", FileKind.ZONE_MASTER, "@ SOA 5\n")
    times = {"st_mtime_ns": 1_700_000_000_000_000_000, "st_ctime_ns": 1_700_000_009_123_456_789}
    status = {"st_dev": 1, "st_ino": 2, "st_size": 8} | times | change
    monkeypatch.setattr(folder.os, "stat", lambda path: SimpleNamespace(**status))
    assert bool(folder.as_written(one).stamp) is has_stamp
