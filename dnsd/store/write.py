"""Write the files of a change, all or nothing; they are on disk before the caller goes on.

Each new file is written next to its target, under a name that readers of the folder ignore, and then renamed. The old
file is kept under another such name until all is done, so that a failed change can be undone. A change of several steps
first lists them in a journal. A leftover journal means that the process was killed: its steps are undone before the
next load or change. Removing the journal completes the change.

A change may need evidence: entries of the audit log, on disk before the first renaming, with their outcome after. The
journal lists the entries too; renaming it to `journal.made` completes the change, and it stays until their outcome is
written. So the next start knows the outcome of each entry.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from dnsd.formats.odd_octets import octets_of
from dnsd.store.kept_file import DamagedFileError, read_kept
from dnsd.whole_file import create_file, sync

JOURNAL = "journal"  # its name, in the state folder
MADE = ".made"  # end of its name once the change is made, until the outcome of its entries is written

MAX_JOURNAL = 256 * 1024 * 1024  # octets

FileId = tuple[int, ...]  # identifies a file or folder by its status


@dataclass(frozen=True, slots=True)
class FileChange:
    """The new text of a file, and its time in seconds since 1970."""

    path: str
    text: str | None  # None: remove the file, or the folder with all its content
    modified: int
    template: str | None = None  # a new file gets the owner and mode of this one


Entries: TypeAlias = Sequence[Any]  # of the audit log, as plain data
Settle: TypeAlias = Callable[[Entries, bool], None]  # writes the outcome: whether the change was made. Raises OSError


@dataclass(frozen=True, slots=True)
class Evidence:
    """Entries that must be on disk before a change is made."""

    entries: Entries
    testify: Callable[[], None]  # writes them, or none and raises OSError
    settle: Settle  # writes the outcome of a change that was not made


@dataclass(frozen=True, slots=True)
class _Step:
    """One renaming: a path, and the temporary names of the new and the old file or folder."""

    path: str
    new: str | None  # None: the path is removed
    old: str | None  # None: the path did not exist
    stamp: FileId = ()  # of the new file or folder, once written


def _nothing(entries: Entries, is_made: bool) -> None:
    """No outcome to write."""


def write_files(
    changes: Sequence[FileChange],
    journal: Path,
    verify: Callable[[], None] = lambda: None,
    *,
    evidence: Evidence | None = None,
    settle: Settle = _nothing,
) -> None:
    """Make all changes, or none. Raises OSError, and the exceptions of `verify`, called just before the renamings.

    With evidence, `finish_change` must follow once the outcome is written. `settle` writes the outcome of entries of an
    earlier change.
    """
    undo_unfinished(journal, settle, is_tolerant=evidence is None)
    steps, texts = _planned(changes)
    entries = evidence.entries if evidence else ()
    testified: Entries = ()
    try:
        for name in _temporary_names(steps):
            _discard(name)  # left over from a killed process
        for file, change in texts.items():
            _write_text(file, change)
        for step in steps:
            if step.new and step.old:
                _keep_old(step.path, step.old)
        steps = [replace(step, stamp=_stamp(step.new)) for step in steps]
        _sync([*texts, *_folders(steps, texts)])
        if len(steps) > 1 or entries:
            _write(str(journal), _journal_text(steps, entries), mode=0o600)
            _sync([str(journal), str(journal.parent)])
        verify()
        if evidence:
            evidence.testify()
            testified = entries
        for step in steps:
            _rename(step)
        _sync({os.path.dirname(step.path) for step in steps})
        if entries:
            os.replace(journal, _made(journal))
            _sync([str(journal.parent)])
        elif len(steps) > 1:
            _remove(journal)
    except BaseException:
        with suppress(OSError):
            _undo(steps, journal, testified, evidence.settle if evidence else _nothing)
        raise
    for step in steps:
        _discard(step.old)


def finish_change(journal: Path) -> None:
    """Forget a change with evidence, once its outcome is written."""
    _remove(_made(journal))


def undo_unfinished(journal: Path, settle: Settle = _nothing, *, is_tolerant: bool = False) -> str:
    """Undo the unfinished change of a killed process, and write the outcome of its entries, or of a finished change's.

    Returns what was done in words; empty without an unfinished change. A damaged journal is moved aside: mostly it is
    incomplete, and no step had begun. Raises OSError; if `is_tolerant`, not for the outcome of a finished change.
    """
    try:
        _, entries = read_kept(_made(journal), _parsed_journal, most=MAX_JOURNAL)
        settle(entries, True)
        _remove(_made(journal))
    except FileNotFoundError:
        pass
    except DamagedFileError as error:
        return f"{error}; {undo_unfinished(journal, settle, is_tolerant=is_tolerant) or 'its change was made'}"
    except OSError:
        if not is_tolerant:
            raise
    try:
        steps, entries = read_kept(journal, _parsed_journal, most=MAX_JOURNAL)
    except FileNotFoundError:
        return ""
    except DamagedFileError as error:
        return f"{error}; if it lists an unfinished change, look at the files of that change"
    _undo(steps, journal, entries, settle)
    return "undid an unfinished change of several files" if steps else ""


def _made(journal: Path) -> Path:
    return journal.with_name(journal.name + MADE)


def _journal_text(steps: Iterable[_Step], entries: Entries) -> bytes:
    listed = [astuple(step) for step in steps]
    return json.dumps({"steps": listed, "entries": list(entries)} if entries else listed).encode()


def _parsed_journal(octets: bytes) -> tuple[list[_Step], Entries]:
    """The steps and entries of a journal. Raises ValueError, TypeError … for any deviation from the format."""
    found = json.loads(octets)
    listed, entries = (found["steps"], found["entries"]) if isinstance(found, dict) else (found, ())
    if not isinstance(listed, list) or not isinstance(entries, list | tuple):
        raise TypeError
    steps = [_Step(path, new, old, tuple(stamp)) for path, new, old, stamp in listed]
    for step in steps:
        names = (step.path, *(name for name in (step.new, step.old) if name is not None))
        if not all(isinstance(name, str) for name in names) or not all(isinstance(one, int) for one in step.stamp):
            raise TypeError
    return steps, entries


def _planned(changes: Iterable[FileChange]) -> tuple[list[_Step], dict[str, FileChange]]:
    """The steps that make the changes; and each changed file by the name of its temporary file. Raises OSError."""
    steps: dict[str, _Step] = {}
    texts: dict[str, FileChange] = {}
    for change in changes:
        if change.text is None:
            steps[change.path] = _Step(change.path, None, _temporary_name(change.path, "old"))
            continue
        path = os.path.realpath(change.path)  # of a link, change the target
        if _is_read_only(path):
            raise OSError(errno.EACCES, "it is read-only", change.path)
        place = path  # the path to rename to: the topmost missing folder, else the file
        while not os.path.isdir(os.path.dirname(place)):
            place = os.path.dirname(place)
        new = _temporary_name(place, "new")
        steps[place] = _Step(place, new, _temporary_name(place, "old") if os.path.exists(place) else None)
        file = new + path.removeprefix(place)
        if file in texts:
            raise FileExistsError(errno.EEXIST, f"a link makes it the same file as {texts[file].path}", change.path)
        texts[file] = change
    return list(steps.values()), texts


def _is_read_only(path: str) -> bool:
    """Whether a file is write-protected; renaming another file over it would still succeed."""
    try:
        return not os.stat(path).st_mode & 0o222
    except FileNotFoundError:
        return False


def _temporary_name(path: str, suffix: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{suffix}")


def is_temporary_name(name: str) -> bool:
    """Whether a name is one that new and old files have during a change."""
    return name.startswith(".") and name.endswith((".new", ".old"))


def _temporary_names(steps: Iterable[_Step]) -> list[str]:
    return [name for step in steps for name in (step.new, step.old) if name]


def _folders(steps: Iterable[_Step], texts: Iterable[str]) -> set[str]:
    """The folders that get temporary names before the steps are taken."""
    found = {os.path.dirname(name) for name in _temporary_names(steps)}
    for file in texts:
        while (folder := os.path.dirname(file)) not in found:
            found.add(folder)
            file = folder
    return found


def _write_text(file: str, change: FileChange) -> None:
    """Write a temporary file, with the owner and mode of the file that it replaces, or of the template."""
    assert change.text is not None
    template = next((path for path in (change.path, change.template) if path and os.path.exists(path)), None)
    try:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        _write(file, octets_of(change.text), mode=0o600 if template else 0o666)
        if template:
            _copy_attributes(template, file)
        os.utime(file, (change.modified, change.modified))
    except OSError as error:
        raise OSError(error.errno, error.strerror, change.path) from None


def _write(file: str, octets: bytes, *, mode: int) -> None:
    with create_file(file, mode=mode) as out:
        out.write(octets)


def _copy_attributes(template: str, file: str) -> None:
    """Give a file the owner, group, mode and attributes of another one, as far as permitted."""
    status = os.stat(template)
    for owner in (status.st_uid, -1):
        with suppress(OSError):
            os.chown(file, owner, status.st_gid)
            break
    shutil.copystat(template, file)


def _keep_old(path: str, old: str) -> None:
    """Give the file at a path a second name, or copy it."""
    try:
        os.link(path, old)
    except OSError:  # the file system has no hard links, or the file belongs to another user
        _write(old, Path(path).read_bytes(), mode=0o600)
        _copy_attributes(path, old)
        _sync([old])


def _rename(step: _Step) -> None:
    if step.new:
        os.replace(step.new, step.path)
    elif step.old:
        os.rename(step.path, step.old)


def _undo(steps: Iterable[_Step], journal: Path, entries: Entries, settle: Settle) -> None:
    """Restore the state before the steps, whether or not each was taken; files that others put there stay.

    If the outcome of entries cannot be written, the journal stays, so that it will be. Raises OSError.
    """
    steps = list(steps)
    for step in steps:
        if step.new is None and step.old:
            if os.path.lexists(step.old) and not os.path.lexists(step.path):
                os.rename(step.old, step.path)
        elif step.new and step.stamp and step.stamp == _stamp(step.path):
            if step.old:
                os.replace(step.old, step.path)
            else:
                os.rename(step.path, step.new)
    for name in _temporary_names(steps):
        _discard(name)
    _sync({os.path.dirname(step.path) for step in steps})
    if entries:
        settle(entries, False)
    _remove(journal)


def _stamp(path: str | None) -> FileId:
    try:
        status = os.lstat(path or "")
    except FileNotFoundError:
        return ()
    return (status.st_size, status.st_mtime_ns)  # some file systems change inode numbers


def _discard(path: str | None) -> None:
    """Remove a temporary file or folder; a failure is harmless, as readers ignore it."""
    with suppress(OSError):
        if path and os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        elif path:
            os.unlink(path)


def _remove(journal: Path) -> None:
    with suppress(FileNotFoundError):
        journal.unlink()
        _sync([str(journal.parent)])


def _sync(paths: Iterable[str]) -> None:
    """Bring files, and the names in folders, to the disk."""
    for path in paths:
        sync(path or ".")
