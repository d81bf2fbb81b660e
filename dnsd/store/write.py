"""Writing the files of a change: all of them or none, and on the disk before anybody is told.

Each new text is written beside its file, under a name that readers of the folder pass over, and takes the file's place
by being renamed. Where a change is of several files, a journal says so first: who finds one at a start finishes it.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a file is to say from now on; `modified` is its time, in seconds since 1970."""

    path: str
    text: str | None  # None: the file, or the folder with all that is in it, is to go
    modified: int


@dataclass(frozen=True, slots=True)
class _Step:
    """One renaming, or removal: what is left to do once all texts are on the disk."""

    path: str
    beside: str | None  # None: the file is to go


def write_files(changes: Sequence[FileChange], journal: Path) -> None:
    """Make all changes, or none. Raises OSError; what could be done of several then is undone, or done at a start."""
    steps: list[_Step] = []
    try:
        for change in changes:
            steps.append(_prepared(change))
        if len(steps) > 1:
            _write(journal, json.dumps([[step.path, step.beside] for step in steps]).encode())
    except OSError:
        for step in steps:
            if step.beside:
                Path(step.beside).unlink(missing_ok=True)
        raise
    _take(steps)
    if len(steps) > 1:
        _remove(journal)


def finish_writing(journal: Path) -> bool:
    """Finish what a process that was killed had begun; whether there was anything. Raises OSError."""
    try:
        steps = [_Step(path, beside) for path, beside in json.loads(journal.read_bytes())]
    except FileNotFoundError:
        return False
    except ValueError:
        steps = []  # it was not written to its end, so nothing had been done
    _take(steps)
    _remove(journal)
    return bool(steps)


def _prepared(change: FileChange) -> _Step:
    path = os.path.realpath(change.path)  # a link stays one
    if change.text is None:
        return _Step(path, None)
    folder, name = os.path.split(path)
    _make_folder(folder)
    beside = os.path.join(folder, f".{name}.new")
    _write(Path(beside), change.text.encode(), like=path, modified=change.modified)
    return _Step(path, beside)


def _make_folder(folder: str) -> None:
    if not os.path.isdir(folder):
        _make_folder(os.path.dirname(folder))
        os.mkdir(folder)
        _sync_folders([folder])


def _write(file: Path, octets: bytes, *, like: str | None = None, modified: int | None = None) -> None:
    """Write a file and have it on the disk; its owner and mode are those of another one, where there is that."""
    try:
        with open(file, "wb") as out:
            out.write(octets)
            out.flush()
            if like:
                _make_alike(out.fileno(), like)
            if modified is not None:
                os.utime(out.fileno(), (modified, modified))
            os.fsync(out.fileno())
    except OSError:
        file.unlink(missing_ok=True)  # what fills a full disk
        raise
    _sync_folders([str(file)])


def _make_alike(fd: int, path: str) -> None:
    with suppress(OSError):
        status = os.stat(path)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
        os.fchown(fd, status.st_uid, status.st_gid)


def _take(steps: Iterable[_Step]) -> None:
    for step in steps:
        with suppress(FileNotFoundError):  # it is done already
            if step.beside:
                os.replace(step.beside, step.path)
            elif os.path.isdir(step.path):
                _remove_folder(step.path)
            else:
                os.unlink(step.path)
    _sync_folders([step.path for step in steps])


def _remove_folder(folder: str) -> None:
    """Remove a folder at once, whatever is in it."""
    parent, name = os.path.split(folder)
    gone = os.path.join(parent, f".{name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    os.rename(folder, gone)
    shutil.rmtree(gone, ignore_errors=True)


def _remove(journal: Path) -> None:
    journal.unlink(missing_ok=True)
    _sync_folders([str(journal)])


def _sync_folders(paths: Iterable[str]) -> None:
    for folder in {os.path.dirname(path) or "." for path in paths}:
        try:
            fd = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # it went with its last file
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
