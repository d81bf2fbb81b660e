"""The note in a folder of what a fleet had: read as it was written, refused in words, and never taken for data."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dnsd.errors import Problem
from dnsd.fleet.revision_note import FILE_NAME, NoteError, note_of, read_note, version_of, versions_of, write_note
from dnsd.store.directory import FileKind, Files, SourceFile
from dnsd.store.folder import read_files
from dnsd.store.text_file import content_of

MAP = SourceFile("öst/maps/butik 1", FileKind.MAP, "x", content_of("enabled: true\n"))
ZONE = SourceFile("öst/zones/a.example", FileKind.ZONE_YAML, "y", content_of("records: []\n"))
HEAD = '{"v": 1, "epoch": "e", "seq": 7}\n'
WRONG = [
    ("", "a line that is not JSON"),
    ("{}\n", "its first line has no version, epoch or number"),
    (HEAD.replace("1", "2"), "it has version 2; this version of dnsd reads 1"),
    (HEAD + "<<<<<<< ours\n", "line 2 is not an object with its digest"),
    (HEAD + "0" * 32 + " acme.later.x\n", "line 2 is not an object"),
    (HEAD + "0" * 31 + " acme.account\n", "line 2 is not an object"),
]


def test_a_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_note(tmp_path) is None
    note = note_of("e", 7, Files("fleet", ("öst",), (MAP, ZONE)))
    write_note(tmp_path, note)
    assert read_note(tmp_path) == note
    assert note.versions.keys() == {MAP.key, ZONE.key}
    assert len((tmp_path / FILE_NAME).read_text().splitlines()) == 3


def test_an_unusable_object_is_not_noted(tmp_path: Path) -> None:
    unusable = replace(ZONE, problem=Problem(ZONE.key, (), "is defined twice"))
    note = note_of("e", 7, Files("fleet", ("öst",), (MAP,)))
    write_note(tmp_path, note._replace(versions=versions_of([MAP, unusable])))  # as both folder and fleet have it
    assert read_note(tmp_path) == note


def test_a_version_is_that_of_kind_and_content() -> None:
    assert version_of(replace(MAP, path="/other", modified=9)) == version_of(MAP)
    assert version_of(replace(ZONE, kind=FileKind.ZONE_MASTER)) != version_of(ZONE)
    assert version_of(replace(ZONE, content=content_of("records: [] \n"))) != version_of(ZONE)
    unusable = replace(ZONE, problem=Problem(ZONE.key, (), "is defined twice"))
    assert version_of(unusable) != version_of(ZONE)
    assert note_of("e", 7, Files("fleet", ("öst",), (unusable,))).versions == {}
    assert versions_of([MAP, ZONE]) == {one.key: version_of(one) for one in (MAP, ZONE)}


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_another_text_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(NoteError, match=f"{re.escape(FILE_NAME)} cannot be read: {re.escape(said)}"):
        read_note(tmp_path)


def test_readers_of_the_folder_pass_it_over(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "account.yaml").write_text("name: Acme\n")
    write_note(tmp_path, note_of("e", 7, Files("fleet")))
    found = read_files(tmp_path, None)
    assert [file.key for file in found.files] == ["acme"]
    assert found.problems == ()
