"""Files that the server keeps for itself: their content, or the problem that a person reads."""

import json
from pathlib import Path

from dnsd.store.kept_file import read_or_problem


def read(file: Path) -> tuple[object, str | None]:
    return read_or_problem(file, json.loads, most=100, consequence="it starts again")


def test_content_comes_without_a_problem(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("[1]")
    assert read(tmp_path / "kept") == ([1], None)


def test_missing_file_is_no_problem(tmp_path: Path) -> None:
    assert read(tmp_path / "kept") == (None, None)


def test_damaged_file_is_moved_aside_and_named_with_the_consequence(tmp_path: Path) -> None:
    for content in ("[", "[" * 99, " " * 101):
        (tmp_path / "kept").write_text(content)
        problem = f"{tmp_path}/kept is corrupt: moved aside as kept.damaged; it starts again"
        assert read(tmp_path / "kept") == (None, problem)
        assert not (tmp_path / "kept").exists()


def test_unreadable_file_stays_and_is_named_with_the_consequence(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    file.symlink_to(file)
    problem = f"{file} cannot be read: Too many levels of symbolic links; it starts again"
    assert read(file) == (None, problem)
    assert file.is_symlink()
