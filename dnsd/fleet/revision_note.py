"""The note in a folder of what a fleet had when the folder was written from it or sent to it: `.dnsd-revision`.

A line of JSON, `{"v":1,"epoch":"…","seq":7}`, then one line for each object: the digest of its file's content, and its
subject without the beginning. The name begins with a dot, so no reader of the folder takes it for data. One line an
object lets git merge two of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from dnsd.errors import DnsdError
from dnsd.fleet.subjects import OBJECTS, object_of, object_subject
from dnsd.fleet.values import LaterValueError, ValueFormatError, is_count, json_object
from dnsd.store.directory import Files, SourceFile
from dnsd.store.kept_file import read_octets
from dnsd.whole_file import replacing

FILE_NAME = ".dnsd-revision"
VERSION = 1
MAX_NOTE = 1024**3  # octets
DIGEST = re.compile(r"[0-9a-f]{32}")


class RevisionNote(NamedTuple):
    """The fleet's epoch and the number of its state, and the version of each object by its key."""

    epoch: str
    seq: int
    versions: Mapping[str, str]


class NoteError(DnsdError):
    """A note that cannot be read; the message says why."""


def versions_of(files: Iterable[SourceFile]) -> dict[str, str]:
    """The versions of files by key: two are the same if kind and content are."""
    return {file.key: version_of(file) for file in files}


def version_of(file: SourceFile) -> str:
    """The version of a file; that of an unusable one has no digest."""
    digest = file.content.digest.hex() if file.problem is None else "unusable"
    return f"{digest} {object_subject(file.key, file.kind).removeprefix(OBJECTS)}"


def note_of(epoch: str, seq: int, files: Files) -> RevisionNote:
    """The note of a fleet's files, at this number of its state."""
    return RevisionNote(epoch, seq, versions_of(file for file in files.files if file.problem is None))


def write_note(folder: Path, note: RevisionNote) -> None:
    """Write a note into a folder, without unusable objects. Raises OSError."""
    head = json.dumps({"v": VERSION, "epoch": note.epoch, "seq": note.seq})
    usable = [one for one in note.versions.values() if DIGEST.match(one)]
    with replacing(folder / FILE_NAME, mode=0o644) as out:
        out.write("".join(f"{line}\n" for line in (head, *sorted(usable, key=_place))).encode("ascii"))


def read_note(folder: Path) -> RevisionNote | None:
    """The note in a folder; None without one. Raises NoteError."""
    path = folder / FILE_NAME
    try:
        return parse_note(read_octets(path, MAX_NOTE))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValueFormatError, LaterValueError) as error:
        raise NoteError(f"{path} cannot be read: {error}") from None


def parse_note(octets: bytes) -> RevisionNote:
    """A note. Raises ValueFormatError, and LaterValueError for one of a later version."""
    head, *lines = octets.splitlines() or [b""]
    found = json_object(head)
    version, epoch, seq = found.get("v"), found.get("epoch"), found.get("seq")
    if not is_count(version) or not isinstance(epoch, str) or not is_count(seq):
        raise ValueFormatError("its first line has no version, epoch or number")
    if version != VERSION:
        raise LaterValueError(f"it has version {version}; this version of dnsd reads {VERSION}")
    versions = {}
    for number, line in enumerate(lines, 2):
        text = line.decode("ascii", "replace")
        digest, _, rest = text.partition(" ")
        name = object_of(OBJECTS + rest)
        if not DIGEST.fullmatch(digest) or name is None:  # such as the marks of a merge that git could not make
            raise ValueFormatError(f"line {number} is not an object with its digest")
        versions[name.key] = text
    return RevisionNote(epoch, seq, versions)


def _place(version: str) -> str:
    return version.partition(" ")[2]
