"""Files that killed processes have begun: removed once in each folder, and nothing else with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dnsd.store.journal import is_temporary_name
from dnsd.store.leftovers import BEGUN_NAME, Leftovers, begun_name


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "zones").mkdir()
    made = tmp_path / "zones/example.com.yaml"
    made.write_text("records: []\n")
    return made


def begun(file: Path) -> Path:
    made = Path(begun_name(str(file)))
    made.write_text("begun")
    return made


def names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def test_name_is_temporary_and_another_at_each_call(file: Path) -> None:
    found = {begun_name(str(file)) for _ in range(100)}
    assert len(found) == 100
    for one in found:
        assert os.path.dirname(one) == str(file.parent)
        assert is_temporary_name(os.path.basename(one))
        assert BEGUN_NAME.fullmatch(os.path.basename(one))


def test_leftovers_are_removed_once_in_each_folder(file: Path) -> None:
    others = (".example.com.yaml.new", ".example.com.yaml.old", ".example.com.0123456.new", "example.com.01234567.new")
    for name in others:
        (file.parent / name).write_text("")
    (file.parent / ".example.com.01234567.new").mkdir()
    before = names(file.parent)
    for one in (file, file, file.with_name("gone.yaml")):
        begun(one)
    leftovers = Leftovers()
    leftovers.remove_beside([str(file)])
    assert names(file.parent) == before
    own = begun(file)
    leftovers.remove_beside([str(file), str(file.with_name("other.yaml"))])
    assert names(file.parent) == before | {own.name}


def test_leftovers_next_to_the_target_of_a_link_are_removed(file: Path) -> None:
    link = file.parents[1] / "link.yaml"
    link.symlink_to(file)
    left = begun(file)
    Leftovers().remove_beside([str(link)])
    assert not left.exists()


def test_folder_that_has_gone_has_no_leftovers(file: Path) -> None:
    Leftovers().remove_beside([str(file.parent / "no/such/file.yaml")])
