"""Read the accounts folder.

A file whose status is unchanged is not read again, so checking ten thousand files costs little more than listing them.
A zone's file that is too large is not read at all.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from fnmatch import translate
from operator import attrgetter
from pathlib import Path

from dnsd.errors import Place, Problem, printable
from dnsd.store.directory import (
    ACCOUNT_FILE,
    KINDS,
    NO_CONTENT,
    UNLIMITED,
    ZONES,
    FileKind,
    Files,
    SizeLimit,
    SourceFile,
)
from dnsd.store.text_file import MAX_TEXT_SIZE, NotTextError, Stamp, TooLargeError, over_limit, read_content, stamp_of

# A file's status reveals a second change only if the file system's clock has advanced since the first. FAT has the
# coarsest clock in use. Most advance with each tick of the kernel's clock, of at most 10 ms.
COARSEST_CLOCK_NS = 2_000_000_000
FINE_CLOCK_NS = 20_000_000
LONGEST_TICK_NS = 10_000_000

LATEST_S = 2**32 - 1  # upper bound of a file's time, which becomes a serial; a later one is no time of a change

# Files that editors, package managers and file systems leave or swap (Kubernetes' `..data`): ignored.
IGNORED = (".*", "*~", "#*#", "4913", "*.bak", "*.rpmnew", "*.rpmsave", "*.dpkg-*", "lost+found", "@eaDir")
IGNORED_NAME = re.compile("|".join(map(translate, IGNORED)))

PATIENCE_S = 5.0  # age from which a file with an unknown extension is a problem, while the server watches


def read_files(
    root: Path,
    previous: Files | None = None,
    *,
    patient: bool = False,
    folders: Collection[str] = KINDS.keys(),
    limit: SizeLimit = UNLIMITED,
) -> Files:
    """Read all files below the folder `root`, ordered by name; unchanged files are taken over from `previous`.

    Of the folders of an account, only those in `folders` are read.

    A problem's `source` is the key of an object or the name of an account; it is empty outside accounts. If `patient`,
    files with unknown extensions are problems only from an age of PATIENCE_S on, as an editor may be at work.
    """
    patience_s = PATIENCE_S if patient else 0
    reading = _Reading(previous or Files(str(root)), patience_s=patience_s, folders=folders, limit=limit)
    for entry in reading.entries(str(root), ""):
        if reading.is_folder(entry):
            _read_account(entry, reading)
        elif reading.is_broken_link(entry):
            reading.accounts.append(entry.name)
            reading.report(entry.path, "broken link: its target is not a readable folder", entry.name)
        else:
            reading.warn_ignored(entry, "this file is ignored: each account is a folder")
    return Files(str(root), tuple(reading.accounts), tuple(reading.files), tuple(reading.problems), limit)


def _read_account(folder: os.DirEntry[str], reading: _Reading) -> None:
    if not _is_utf8(folder.name):  # JSON output could not hold the account's name
        reading.accounts.append(printable(folder.name))
        reading.report(folder.path, "the folder's name is not UTF-8: rename it", printable(folder.name))
        return
    already = len(reading.problems)
    entries = reading.entries(folder.path, folder.name)
    if len(reading.problems) == already and not any(_is_part(entry.name) for entry in entries):
        reading.warn_ignored(folder, "this folder is not an account: it has no account.yaml, maps/ or zones/")
        return
    reading.accounts.append(folder.name)
    for entry in entries:
        if entry.name == ACCOUNT_FILE:
            reading.read(entry, folder.name, FileKind.ACCOUNT)
        elif entry.name in KINDS and reading.is_folder(entry):
            if entry.name in reading.folders:
                _read_objects(entry, f"{folder.name}/{entry.name}", reading)
        elif reading.is_old_enough(entry):
            message = "not part of an account: expected account.yaml, maps/ or zones/"
            reading.report(entry.path, message, folder.name)


def _is_part(name: str) -> bool:
    return name == ACCOUNT_FILE or name in KINDS


def _read_objects(folder: os.DirEntry[str], prefix: str, reading: _Reading) -> None:
    kinds = KINDS[folder.name]
    by_key: dict[str, str] = {}
    for entry in reading.entries(folder.path, prefix):
        stem, dot, extension = entry.name.rpartition(".")
        stem, suffix = (stem, dot + extension) if dot else (entry.name, "")
        kind = kinds.get(suffix)
        key = f"{prefix}/{stem}"
        if kind is None:
            if reading.is_old_enough(entry):
                message = f"unknown file extension {suffix!r}; in {folder.name}/ use {' or '.join(kinds)}"
                reading.report(entry.path, message, key)
        elif (other := by_key.setdefault(key.lower(), entry.path)) != entry.path:
            reading.report(entry.path, f"is defined twice, here and in {other}; remove one of the two", key)
        else:
            reading.read(entry, key, kind)


class _Reading:
    """The files and problems found so far, and those of the previous reading."""

    def __init__(
        self,
        previous: Files,
        *,
        patience_s: float,
        folders: Collection[str] = KINDS.keys(),
        limit: SizeLimit = UNLIMITED,
    ) -> None:
        self.folders = folders
        self.accounts: list[str] = []
        self.files: list[SourceFile] = []
        self.problems: list[Problem] = []
        self._limit = limit
        self._known = previous.by_key()
        self._reported = {problem.place.file for problem in previous.problems if problem.place}
        self._now_ns = time.time_ns()  # taken first: a change during the reading has a later time
        self._old_before_ns = self._now_ns - int(patience_s * 1_000_000_000)

    def entries(self, folder: str, source: str) -> list[os.DirEntry[str]]:
        """The visible entries of a folder, ordered by name; if it cannot be read, none and a problem."""
        try:
            return visible_entries(folder)
        except OSError as error:
            self.report(folder, _cannot_be_read(error), source)
            return []

    def is_folder(self, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir()
        except OSError:
            return False

    def is_broken_link(self, entry: os.DirEntry[str]) -> bool:
        """Whether the entry is a broken link, for example to an account's folder on an unmounted disk."""
        try:
            return entry.is_symlink() and not os.path.exists(entry.path)
        except OSError:
            return True

    def is_old_enough(self, entry: os.DirEntry[str]) -> bool:
        """Whether a file or folder with an unknown name is old enough to report."""
        try:
            return entry.path in self._reported or entry.stat(follow_symlinks=False).st_ctime_ns <= self._old_before_ns
        except OSError as error:  # it has gone, or access is denied
            return not isinstance(error, FileNotFoundError)

    def read(self, entry: os.DirEntry[str], key: str, kind: FileKind) -> None:
        known = self._known.get(key)
        self.files.append(read_file(entry.path, key, kind, previous=known, now_ns=self._now_ns, limit=self._limit))

    def report(self, path: str, message: str, source: str) -> None:
        self.problems.append(_problem(path, message, source))

    def warn_ignored(self, entry: os.DirEntry[str], message: str) -> None:
        if self.is_old_enough(entry):
            self.problems.append(replace(_problem(entry.path, message, ""), warning=True))


def visible_entries(folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder, ordered by name, without ignored ones. Raises OSError."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not IGNORED_NAME.match(entry.name)), key=attrgetter("name"))


def _is_utf8(name: str) -> bool:
    """Whether a name on the disk is UTF-8."""
    return name == name.encode(errors="ignore").decode()


def is_folder(path: Path) -> bool:
    """Whether the path is a folder; False if access is denied."""
    try:
        return path.is_dir()
    except OSError:  # no permission, or a name too long
        return False


def read_file(
    path: str,
    key: str,
    kind: FileKind,
    *,
    previous: SourceFile | None,
    now_ns: int,
    limit: SizeLimit = UNLIMITED,
) -> SourceFile:
    """Read the file at `path`; return `previous` if its content is the same: touching a file changes nothing.

    `now_ns` is a time before the call, in nanoseconds since 1970. If the file cannot be read, its `problem` says why.
    """
    stamp, modified, content, problem = None, 0, NO_CONTENT, None
    try:
        status = os.stat(path)
        if previous and previous.stamp == stamp_of(status) and path == previous.path:
            return previous
        stamp = _stamp(status, now_ns)
        modified = max(int(status.st_mtime), 0)
        if modified > LATEST_S:
            modified = now_ns // 10**9
        before = previous.content if previous else None
        most = limit.most(status.st_size) if kind in ZONES else MAX_TEXT_SIZE
        any_octets = kind is FileKind.ZONE_MASTER
        content = read_content(path, any_octets=any_octets, most=most, before=before, status=status)
    except OSError as error:
        problem, stamp = _problem(path, _cannot_be_read(error), key), None  # possibly transient: retry each time
    except TooLargeError as error:
        message = over_limit(error.size, limit.octets) if kind in ZONES else str(error)
        problem, stamp, content = _problem(path, message, key), None, NO_CONTENT  # the limit may be raised
    except NotTextError as error:
        problem, content = _problem(path, str(error), key, error.line, error.column), NO_CONTENT
    file = SourceFile(key, kind, path, content, problem, modified, stamp)
    if previous is None:
        return file
    if file == previous:
        return replace(previous, content=content, stamp=stamp)  # without a large text, which is on disk now
    return replace(file, modified=max(modified, previous.modified + 1))


def as_written(file: SourceFile) -> SourceFile:
    """A file that this process has just written, with its status if that tells its content from all later ones.

    Its time was set, to a whole second apart from that of the writing: another writer leaves the time of its own, even
    before the clock has advanced.
    """
    try:
        status = os.stat(file.path)
    except OSError:
        return file
    is_ours = status.st_mtime_ns == file.modified * 10**9 and status.st_size == file.content.size
    is_apart = abs(status.st_ctime_ns - status.st_mtime_ns) > FINE_CLOCK_NS
    if not (is_ours and is_apart and _is_fine(status)):
        return file
    return replace(file, content=file.content.on_disk, stamp=stamp_of(status))


def keep_times(files: Files, previous: Files) -> None:
    """Set the time on disk of each new or changed file in `files` to its `modified`, if the disk's time is earlier.

    The time is the zone's serial, which must not go back when the server restarts. Without permission, nothing happens.
    """
    known = previous.by_key()
    for key, file in files.by_key().items():
        if file is not known.get(key) and not file.problem:
            with suppress(OSError):
                if os.stat(file.path).st_mtime < file.modified and is_as_read(file, files.limit):
                    os.utime(file.path, (file.modified, file.modified))


def is_as_read(file: SourceFile, limit: SizeLimit) -> bool:
    """Whether the file on disk still has this content; `limit` is that of its reading."""
    return read_file(file.path, file.key, file.kind, previous=file, now_ns=time.time_ns(), limit=limit) == file


def _stamp(status: os.stat_result, now_ns: int) -> Stamp | None:
    """The stamp from a status; None if the file has just changed, as another change might leave the same status."""
    clock_ns = min(FINE_CLOCK_NS, COARSEST_CLOCK_NS) if _is_fine(status) else COARSEST_CLOCK_NS
    if max(status.st_mtime_ns, status.st_ctime_ns) > now_ns - clock_ns:
        return None
    return stamp_of(status)


def _is_fine(status: os.stat_result) -> bool:
    """Whether the clock of the file system advances with each tick; nobody can set this time, unlike the other."""
    return bool(status.st_ctime_ns % LONGEST_TICK_NS)


def _cannot_be_read(error: OSError) -> str:
    return f"cannot be read: {os.strerror(error.errno or 0)}"


def _problem(path: str, message: str, source: str, line: int = 1, column: int = 1) -> Problem:
    return Problem(source, (), message, place=Place(path, line, column))
