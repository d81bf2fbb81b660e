"""The journal of a change of several files: it lists the renamings, so that a change cut short by a kill is undone.

A leftover journal means that the process was killed: its steps are undone before the next load or change. Removing the
journal completes the change. It lists the entries of the audit log that are the change's evidence, too; then renaming
it to `journal.made` completes the change, and it stays until their outcome is written.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from dnsd.errors import shown
from dnsd.store.kept_file import ASIDE, DamagedFileError, kept, move_aside, read_octets
from dnsd.whole_file import sync

JOURNAL = "journal"  # its name, in the state folder
MADE = ".made"  # end of its name once the change is made, until the outcome of its entries is written

MAX_JOURNAL = 256 * 1024 * 1024  # octets
NO_PATH = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})  # nothing is, or can be, there
MAX_NAMED = 3  # missing places in a message

FileId = tuple[int, ...]  # identifies a file or folder by its status
Entries: TypeAlias = Sequence[Any]  # of the audit log, as plain data
# Writes the outcome: whether the change was made. Raises OSError, and ValueError if a journal's entries are damaged.
Settle: TypeAlias = Callable[[Entries, bool], None]


@dataclass(frozen=True, slots=True)
class Renaming:
    """One renaming: a path, and the temporary names of the new and the old file or folder."""

    path: str
    new: str | None  # None: the path is removed
    old: str | None  # None: the path did not exist
    stamp: FileId = ()  # of the new file or folder, once written


def no_outcome(entries: Entries, is_made: bool) -> None:
    """No outcome to write."""


def finish_change(journal: Path) -> None:
    """Forget a change with evidence, once its outcome is written."""
    remove_journal(made_name(journal))


def undo_unfinished(journal: Path, settle: Settle = no_outcome, *, is_tolerant: bool = False) -> str:
    """Undo the unfinished change of a killed process, and write the outcome of its entries, or of a finished change's.

    Returns what was done in words; empty without an unfinished change. A damaged journal is moved aside: mostly it is
    incomplete, and no step had begun. So is one whose folders are gone. Raises OSError; if `is_tolerant`, not for the
    outcome of a finished change.
    """
    said = []
    try:
        kept(made_name(journal), lambda file: settle(_read_journal(file)[1], True))
        remove_journal(made_name(journal))
    except FileNotFoundError:
        pass
    except DamagedFileError as error:
        said.append(f"{error}; its change was made")
    except OSError:
        if not is_tolerant:
            raise
    try:
        said.append(kept(journal, lambda file: _undo_journal(file, settle)))
    except FileNotFoundError:
        pass
    except DamagedFileError as error:
        said.append(f"{error}; if it lists an unfinished change, look at the files of that change")
    return "; ".join(filter(None, said))


def _undo_journal(journal: Path, settle: Settle) -> str:
    """Undo what a journal lists; return what was done in words. Raises OSError, and others for a damaged journal."""
    steps, entries = _read_journal(journal)
    missing = undo(steps, journal, entries, settle)
    if not missing:
        return "undid an unfinished change of several files" if steps else ""
    places = ", ".join(map(shown, missing[:MAX_NAMED]))
    more = f" and {len(missing) - MAX_NAMED:,} more" if len(missing) > MAX_NAMED else ""
    what = f"undid an unfinished change of several files, except at {places}{more}: gone"
    return f"{what}; the list of files is kept as {journal.name}{ASIDE}"


def _read_journal(journal: Path) -> tuple[list[Renaming], Entries]:
    return _parsed_journal(read_octets(journal, MAX_JOURNAL))


def made_name(journal: Path) -> Path:
    """The name of the journal once its change is made."""
    return journal.with_name(journal.name + MADE)


def journal_text(steps: Iterable[Renaming], entries: Entries) -> bytes:
    """The content of a journal."""
    listed = [astuple(step) for step in steps]
    return json.dumps({"steps": listed, "entries": list(entries)} if entries else listed).encode()


def _parsed_journal(octets: bytes) -> tuple[list[Renaming], Entries]:
    """The steps and entries of a journal. Raises ValueError, TypeError … for any deviation from the format."""
    found = json.loads(octets)
    listed, entries = (found["steps"], found["entries"]) if isinstance(found, dict) else (found, ())
    if not isinstance(listed, list) or not isinstance(entries, list | tuple):
        raise TypeError
    steps = [Renaming(path, new, old, tuple(stamp)) for path, new, old, stamp in listed]
    for step in steps:
        if not all(isinstance(one, int) for one in step.stamp) or "\0" in step.path or not os.fsencode(step.path):
            raise TypeError
        for name, suffix in ((step.new, "new"), (step.old, "old")):  # no other file may be renamed or removed
            if name is not None and name != temporary_name(step.path, suffix):
                raise ValueError
    return steps, entries


def temporary_name(path: str, suffix: str) -> str:
    """The name next to a path that a new or old file has during a change; readers ignore it."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{suffix}")


def is_temporary_name(name: str) -> bool:
    """Whether a name is one that new and old files have during a change."""
    return name.startswith(".") and name.endswith((".new", ".old"))


def temporary_names(steps: Iterable[Renaming]) -> list[str]:
    """The temporary names of all steps."""
    return [name for step in steps for name in (step.new, step.old) if name]


def undo(steps: Iterable[Renaming], journal: Path, entries: Entries, settle: Settle) -> list[str]:
    """Restore the state before the steps, whether or not each was taken; files that others put there stay.

    Returns the folders and files that are gone, so that a step cannot be undone; the journal is moved aside then. If
    the outcome of entries cannot be written, the journal stays, so that it will be. Raises OSError.
    """
    steps, missing = list(steps), []
    for step in steps:
        if gone := _gone(step):
            missing.append(gone)
        elif step.new is None and step.old:
            if os.path.lexists(step.old) and not os.path.lexists(step.path):
                os.rename(step.old, step.path)
        elif step.new and _is_taken(step):
            if step.old:
                os.replace(step.old, step.path)
            else:
                os.rename(step.path, step.new)
    for name in temporary_names(steps):
        discard(name)
    missing = [*dict.fromkeys(missing)]
    sync_all({os.path.dirname(step.path) for step in steps if os.path.dirname(step.path) not in missing})
    if entries:
        settle(entries, False)
    if missing:
        move_aside(journal)
    else:
        remove_journal(journal)
    return missing


def _gone(step: Renaming) -> str:
    """The folder of a step, or its old file, if that is gone; else empty. Raises OSError if nobody can tell."""
    folder = os.path.dirname(step.path)
    try:
        if not stat.S_ISDIR(os.stat(folder or ".").st_mode):
            return folder
        if step.new and step.old and _is_taken(step):
            os.lstat(step.old)
    except OSError as error:
        if error.errno not in NO_PATH:
            raise
        return step.old if error.filename == step.old and step.old else folder
    return ""


def _is_taken(step: Renaming) -> bool:
    """Whether the new file of a step is at its path."""
    return bool(step.stamp) and step.stamp == stamp_of(step.path)


def stamp_of(path: str | None) -> FileId:
    """What identifies the file or folder at a path; empty without one. Raises OSError."""
    try:
        status = os.lstat(path or "")
    except OSError as error:
        if error.errno not in NO_PATH:
            raise
        return ()
    return (status.st_size, status.st_mtime_ns)  # some file systems change inode numbers


def discard(path: str | None) -> None:
    """Remove a temporary file or folder; a failure is harmless, as readers ignore it."""
    with suppress(OSError):
        if path and os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        elif path:
            os.unlink(path)


def remove_journal(journal: Path) -> None:
    """Remove a journal, for good; none there is no error."""
    with suppress(FileNotFoundError):
        journal.unlink()
        sync_all([str(journal.parent)])


def sync_all(paths: Iterable[str]) -> None:
    """Bring files, and the names in folders, to the disk."""
    for path in paths:
        sync(path or ".")
