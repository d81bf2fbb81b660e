"""Edits of files: what the disk has afterwards is what was meant, and what it may not have before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from dnsd.store.directory import FileKind, Files, SourceFile, read_files
from dnsd.store.files_edit import FilesEdit, edited_files
from dnsd.store.text_file import content_of
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


# name -> the edit, and how many files and folders it changes
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
    "a zone that goes": (lambda root: edit(root, removed={"a/zones/b.example"}), 1),
    "a new account": (lambda root: edit(root, ("a-1", FileKind.ACCOUNT, "name: One\n")), 1),
    "an account's first file": (lambda root: edit(root, ("a-2", FileKind.ACCOUNT, "name: Two\n")), 1),
    "an account that goes": (
        lambda root: edit(root, removed={"a", "a/maps/m", "a/zones/b.example", "a/zones/d.example"}, gone={"a"}),
        1,
    ),
}


def carry_out(made: FilesEdit, root: Path) -> None:
    write_files(made.changes(), root.parent / "state/journal")


@pytest.mark.parametrize("name", EDITS)
def test_disk_has_what_was_meant(root: Path, name: str) -> None:
    make, count = EDITS[name]
    made = make(root)
    assert made.is_current()
    assert len(made.changes()) == count
    carry_out(made, root)
    assert read_files(root, made.after) == made.after
    assert made.applied(made.before) == made.after


def test_edits_one_upon_another_are_one(root: Path) -> None:
    before = after = read_files(root)
    for name in ("a new account", "zones in between", "a zone in another form", "a map", "a zone that goes"):
        step = EDITS[name][0](root)
        after = step.applied(after)
    made = FilesEdit(before, after)
    assert made.is_current()
    carry_out(made, root)
    assert read_files(root, after) == after


def test_what_comes_and_goes_was_never_there(root: Path) -> None:
    before = read_files(root)
    there = edited_files(before, {"c": file(root, "c", FileKind.ACCOUNT, "name: C\n")}, set(), set())
    made = FilesEdit(before, edited_files(there, {}, {"c"}, {"c"}))
    assert made.changes() == []
    assert made.is_current()


def test_edit_of_what_was_read_last_leaves_all_else_in_it(root: Path) -> None:
    """What was read last may be more than what could be loaded, and is not lost."""
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


# the edit, and what somebody does meanwhile that it must not undo, or make something odd of
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
    ("a zone that goes", lambda root: write(root, "a/zones/b.example.yaml")),
    ("a new account", lambda root: write(root, "a-1/account.yaml")),
    ("an account's first file", lambda root: write(root, "a-2/account.yaml")),
    ("an account that goes", lambda root: write(root, "a/zones/new.example.yaml")),
    ("an account that goes", lambda root: write(root, "a/account.yaml")),
    ("an account that goes", lambda root: shutil.rmtree(root / "a")),
]


@pytest.mark.parametrize(("name", "meanwhile"), MEANWHILE)
def test_what_was_done_meanwhile_is_seen(root: Path, name: str, meanwhile: Callable[[Path], None]) -> None:
    made = EDITS[name][0](root)
    meanwhile(root)
    assert not made.is_current()


@pytest.mark.parametrize("name", EDITS)
def test_what_was_done_elsewhere_does_not_matter(root: Path, name: str) -> None:
    made = EDITS[name][0](root)
    write(root, "b/account.yaml", "name: [broken\n")
    write(root, "b/zones/new.example.zone")
    os.utime(root / "a/maps/m.yaml", (1, 1))
    assert made.is_current()


def test_files_by_key_are_found_once(root: Path) -> None:
    files: Files = read_files(root)
    assert files.by_key() is files.by_key()
    assert list(files.by_key()) == [one.key for one in files.files]
