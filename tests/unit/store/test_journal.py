"""A leftover journal: what of its change can be undone is undone, and the rest is named; a wrong one harms nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dnsd.store import write
from dnsd.store.journal import undo_unfinished
from dnsd.store.write import FileChange, write_files

BEFORE = {"north/a.yaml": "a\n", "south/b.yaml": "b\n", "south/gone.yaml": "c\n"}


class Killed(BaseException):
    """The end of the process."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in BEFORE.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(text)
    return tmp_path / "data"


@pytest.fixture
def journal(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The journal of a process that was killed once all was renamed, before the journal was removed."""
    file = tmp_path / "journal"

    def killed(*_: Any) -> None:
        raise Killed

    texts = {"north/a.yaml": "new\n", "south/b.yaml": "new\n", "south/gone.yaml": None, "new/c.yaml": "new\n"}
    with monkeypatch.context() as patch:
        patch.setattr(write, "remove_journal", killed)
        patch.setattr(write, "undo", killed)
        with pytest.raises(Killed):
            write_files([FileChange(str(root / name), text, 1_700_000_000) for name, text in texts.items()], file)
    assert texts_in(root) == {name: text for name, text in texts.items() if text}
    return file


def texts_in(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(root)): path.read_text() for path in files}


def without(name: str) -> dict[str, str]:
    return {path: text for path, text in BEFORE.items() if not path.startswith(f"{name}/")}


def remove_north(root: Path) -> None:
    shutil.rmtree(root / "north")


def a_file_in_its_place(root: Path) -> None:
    remove_north(root)
    (root / "north").write_text("x")


def a_broken_link_in_its_place(root: Path) -> None:
    remove_north(root)
    (root / "north").symlink_to("nowhere")


def a_loop_in_its_place(root: Path) -> None:
    remove_north(root)
    (root / "north").symlink_to("north")


GONE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a folder": (remove_north, "north"),
    "a file instead": (a_file_in_its_place, "north"),
    "a broken link instead": (a_broken_link_in_its_place, "north"),
    "a link to itself instead": (a_loop_in_its_place, "north"),
    "the old file": (lambda root: (root / "north/.a.yaml.old").unlink(), "north/.a.yaml.old"),
}


@pytest.mark.parametrize("what", GONE)
def test_what_is_gone_is_named_and_the_rest_undone(root: Path, journal: Path, what: str) -> None:
    damage, named = GONE[what]
    damage(root)
    said = undo_unfinished(journal)
    assert f"except at {root / named}: gone" in said
    found = texts_in(root)
    assert {name: text for name, text in found.items() if name.startswith(("south/", "new/"))} == without("north")
    assert not journal.exists()
    assert str(root / "north/a.yaml") in (journal.parent / "journal.damaged").read_text()
    assert undo_unfinished(journal) == ""
    write_files([FileChange(str(root / "south/b.yaml"), "later\n", 1)], journal)


def test_all_folders_gone(root: Path, journal: Path) -> None:
    shutil.rmtree(root)
    said = undo_unfinished(journal)
    assert all(str(root / name) in said for name in ("north", "south"))
    assert undo_unfinished(journal) == ""


def test_many_missing_folders_are_named_in_short(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    paths = [f"/nowhere/{number}/a" for number in range(50)]
    journal.write_text(json.dumps([[path, None, os.path.join(os.path.dirname(path), ".a.old"), []] for path in paths]))
    said = undo_unfinished(journal)
    assert "/nowhere/2 and 47 more: gone" in said
    assert len(said) < 300


def wrong(root: Path, **fields: Any) -> list[Any]:
    path = str(root / "north/a.yaml")
    step = {"path": path, "new": None, "old": str(root / "north/.a.yaml.old"), "stamp": []} | fields
    return [*step.values()]


WRONG: dict[str, Callable[[Path], Any]] = {
    "another file as the old one": lambda root: [wrong(root, old=str(root / "south/b.yaml"))],
    "another file as the new one": lambda root: [wrong(root, new=str(root / "south/b.yaml"))],
    "a NUL": lambda root: [wrong(root, path=f"{root}/\0", old=None)],
    "no name of a file": lambda root: [wrong(root, path=f"{root}/\ud800", old=None)],
    "an empty path": lambda root: [wrong(root, path="", old=None)],
    "a number": lambda root: [wrong(root, path=5, old=None)],
    "a wrong stamp": lambda root: [wrong(root, stamp=["x"])],
    "no entries": lambda root: {"steps": [wrong(root)]},
    "entries of another kind": lambda root: {"steps": [wrong(root)], "entries": "abc"},
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("name", ["journal", "journal.made"])
def test_wrong_journal_is_moved_aside_and_touches_no_file(root: Path, tmp_path: Path, what: str, name: str) -> None:
    (root / "north/.a.yaml.old").write_text("left over\n")
    (tmp_path / name).write_text(json.dumps(WRONG[what](root)))
    assert f"{tmp_path / name} is corrupt: moved aside as {name}.damaged" in undo_unfinished(tmp_path / "journal")
    assert texts_in(root) == BEFORE
    assert (root / "north/.a.yaml.old").exists()
    assert (tmp_path / f"{name}.damaged").exists()


def test_path_too_long_to_exist_counts_as_gone(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text(json.dumps([[f"/{'x' * 9999}/a", None, None, []]]))
    assert ": gone" in undo_unfinished(tmp_path / "journal")
