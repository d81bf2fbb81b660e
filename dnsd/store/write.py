"""Write the files of a change, all or nothing; they are on disk before the caller goes on.

Each new file is written next to its target, under a name that readers of the folder ignore, and then renamed. The old
file is kept under another such name until all is done, so that a failed change can be undone. A change of several steps
first lists them in a journal (`store/journal.py`).

A change may need evidence: entries of the audit log, on disk before the first renaming, with their outcome after. The
journal lists the entries too, so that the next start knows their outcome.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dnsd.formats.odd_octets import octets_of
from dnsd.store.journal import (
    Entries,
    Renaming,
    Settle,
    discard,
    journal_text,
    made_name,
    no_outcome,
    remove_journal,
    stamp_of,
    sync_all,
    temporary_name,
    temporary_names,
    undo,
    undo_unfinished,
)
from dnsd.store.leftovers import begun_name
from dnsd.store.text_file import Stamp
from dnsd.store.text_file import stamp_of as status_stamp
from dnsd.whole_file import create_file


@dataclass(frozen=True, slots=True)
class FileChange:
    """The new text of a file, or its octets, and its time in seconds since 1970."""

    path: str
    text: str | bytes | None  # None: remove the file, or the folder with all its content
    modified: int
    template: str | None = None  # a new file gets the owner and mode of this one
    guard: int = 0  # of a file that stands for an object of a fleet: the number of its guard, when this was drawn up


@dataclass(frozen=True, slots=True)
class Evidence:
    """Entries that must be on disk before a change is made."""

    entries: Entries
    testify: Callable[[], None]  # writes them, or none and raises OSError
    settle: Settle  # writes the outcome of a change that was not made
    made: Callable[[int], None]  # writes that of a change that was, and is served as a revision


@dataclass(frozen=True, slots=True)
class BegunFile:
    """The file of a change that may be made soon: on disk, under a name of its own, with the status that it has."""

    change: FileChange
    file: str
    stamp: Stamp

    @property
    def is_there(self) -> bool:
        """Whether nobody has changed or used it since."""
        with suppress(OSError):
            return status_stamp(os.lstat(self.file)) == self.stamp
        return False


def begin_files(changes: Iterable[FileChange]) -> list[BegunFile]:
    """Bring the texts of changes of files in existing folders to disk. Raises OSError: then none is there."""
    files: dict[str, FileChange] = {}
    try:
        for change in changes:
            path = os.path.realpath(change.path)
            if change.text is not None and os.path.isdir(os.path.dirname(path)) and not _is_read_only(path):
                files[file := begun_name(path)] = change
                _write_text(file, change)
        sync_all(files)
        return [BegunFile(change, file, status_stamp(os.lstat(file))) for file, change in files.items()]
    except OSError:
        for file in files:
            discard(file)
        raise


def discard_begun(begun: Iterable[BegunFile]) -> None:
    """Remove the files of changes that were not made."""
    for one in begun:
        discard(one.file)  # no other file has its name


def write_files(
    changes: Sequence[FileChange],
    journal: Path,
    verify: Callable[[], None] = lambda: None,
    *,
    linked: Callable[[], None] = lambda: None,
    evidence: Evidence | None = None,
    settle: Settle = no_outcome,
    begun: Sequence[BegunFile] = (),
) -> None:
    """Make all changes, or none; what is `begun` need not be written. Raises OSError, and the exceptions of `verify`.

    It is called just before the renamings, and once before links to the old files are made, which change their status;
    `linked` right after these.

    With evidence, `finish_change` must follow once the outcome is written. `settle` writes the outcome of entries of an
    earlier change.
    """
    undo_unfinished(journal, settle, is_tolerant=evidence is None)
    steps, texts = _planned(changes)
    entries = evidence.entries if evidence else ()
    testified: Entries = ()
    try:
        for name in temporary_names(steps):
            discard(name)  # left over from a killed process
        for file, change in texts.items():
            if not any(_use(one, file) for one in begun if one.change == change):
                _make_folder(file, change)
                _write_text(file, change)
            _give_attributes(file, change)
        verify()
        for step in steps:
            if step.new and step.old:
                _keep_old(step.path, step.old)
        linked()
        steps = [replace(step, stamp=stamp_of(step.new)) for step in steps]
        sync_all([*texts, *_folders(steps, texts)])
        if len(steps) > 1 or entries:
            _write(str(journal), journal_text(steps, entries), mode=0o600)
            sync_all([str(journal), str(journal.parent)])
        verify()
        if evidence:
            evidence.testify()
            testified = entries
        for step in steps:
            _rename(step)
        sync_all({os.path.dirname(step.path) for step in steps})
        if entries:
            os.replace(journal, made_name(journal))
            sync_all([str(journal.parent)])
        elif len(steps) > 1:
            remove_journal(journal)
    except BaseException:
        with suppress(OSError):
            undo(steps, journal, testified, evidence.settle if evidence else no_outcome)
        raise
    for step in steps:
        discard(step.old)


def _planned(changes: Iterable[FileChange]) -> tuple[list[Renaming], dict[str, FileChange]]:
    """The steps that make the changes; and each changed file by the name of its temporary file. Raises OSError."""
    steps: dict[str, Renaming] = {}
    texts: dict[str, FileChange] = {}
    for change in changes:
        if change.text is None:
            steps[change.path] = Renaming(change.path, None, temporary_name(change.path, "old"))
            continue
        path = os.path.realpath(change.path)  # of a link, change the target
        if _is_read_only(path):
            raise OSError(errno.EACCES, "it is read-only", change.path)
        place = path  # the path to rename to: the topmost missing folder, else the file
        while not os.path.isdir(os.path.dirname(place)):
            place = os.path.dirname(place)
        new = temporary_name(place, "new")
        steps[place] = Renaming(place, new, temporary_name(place, "old") if os.path.exists(place) else None)
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


def _folders(steps: Iterable[Renaming], texts: Iterable[str]) -> set[str]:
    """The folders that get temporary names before the steps are taken."""
    found = {os.path.dirname(name) for name in temporary_names(steps)}
    for file in texts:
        while (folder := os.path.dirname(file)) not in found:
            found.add(folder)
            file = folder
    return found


def _use(begun: BegunFile, file: str) -> bool:
    """Give a begun file its temporary name, if it is as it was. Its attributes may be those of an earlier moment."""
    if not begun.is_there:
        return False
    try:
        os.rename(begun.file, file)
        if status_stamp(os.lstat(file))[:-1] == begun.stamp[:-1]:  # a renaming changes the last part
            return True
    except OSError:  # it has gone, or a link leads to another folder now
        pass
    discard(file)
    return False


def _make_folder(file: str, change: FileChange) -> None:
    """Make the folder of a temporary file: it may be part of a new one."""
    with _errors_of(change):
        os.makedirs(os.path.dirname(file), exist_ok=True)


def _write_text(file: str, change: FileChange) -> None:
    """Write a temporary file, for its owner alone if it gets the attributes of another one."""
    assert change.text is not None
    with _errors_of(change):
        octets = octets_of(change.text) if isinstance(change.text, str) else change.text
        _write(file, octets, mode=0o600 if _template(change) else 0o666)


def _give_attributes(file: str, change: FileChange) -> None:
    """Give a temporary file the owner and mode of the file that it replaces, or of the template; and its time."""
    with _errors_of(change):
        if template := _template(change):
            _copy_attributes(template, file)
        os.utime(file, (change.modified, change.modified))


def _template(change: FileChange) -> str | None:
    return next((path for path in (change.path, change.template) if path and os.path.exists(path)), None)


@contextmanager
def _errors_of(change: FileChange) -> Iterator[None]:
    """Have errors name the file of the change, instead of a temporary one."""
    try:
        yield
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
        sync_all([old])


def _rename(step: Renaming) -> None:
    if step.new:
        os.replace(step.new, step.path)
    elif step.old:
        os.rename(step.path, step.old)
