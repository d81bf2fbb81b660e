"""The folder of accounts: which files there are, what each is, and what is in it (config.md's layout).

ACCOUNT/account.yaml, ACCOUNT/maps/NAME.yaml, ACCOUNT/zones/NAME.yaml or NAME.zone

A file is not read again as long as its status says that nobody has touched it, so looking at ten thousand of them costs
little more than listing them. Whether two readings found the same is asked with `==`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from operator import attrgetter
from pathlib import Path

from dnsd.errors import Place, Problem
from dnsd.store.text_file import Content, NotTextError, blocks_again, read_content

# A file's status tells a change from the one before only when the clock of its file system has moved on in between.
# Of the clocks in use that of FAT is the coarsest.
COARSEST_CLOCK_NS = 2_000_000_000

LATEST_S = (
    250_000_000_000  # of a file's time, whatever the disk says: what goes with a date needs a year of four digits
)

NO_CONTENT = Content(b"", "")

Stamp = tuple[int, ...]  # what a file's status says of who it is and when it changed


class Kind(Enum):
    """What a file describes."""

    SETTINGS = "settings"
    ACCOUNT = "account"
    MAP = "map"
    ZONE_YAML = "zone"
    ZONE_MASTER = "zone, as a master file"


SUFFIXES = {"maps": {".yaml": Kind.MAP}, "zones": {".yaml": Kind.ZONE_YAML, ".zone": Kind.ZONE_MASTER}}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One object's file; `key` names the object: `acme`, `acme/maps/shop`, `acme/zones/example.com`.

    Files are equal where their content is, whenever it was written.
    """

    key: str
    kind: Kind
    path: str
    content: Content
    problem: Problem | None = None  # why it cannot be read; there is no content then
    modified: int = field(default=0, compare=False)  # seconds since 1970, but later for each content than for the last
    stamp: Stamp | None = field(default=None, compare=False)  # None: changed too lately for its status to be trusted

    def text(self) -> str:
        """The text, which is read anew where it is large. Raises FileChangedError."""
        return "".join(self.blocks())

    def blocks(self) -> Iterator[str]:
        """The text in blocks that end with the end of a line. Raises FileChangedError, perhaps at the end only."""
        if self.content.text is not None:
            return iter((self.content.text,))
        return blocks_again(Path(self.path), self.content.digest)


@dataclass(frozen=True)
class Files:
    """What is in the folder `root`: the accounts' names, their files, and what is wrong with everything else."""

    root: str
    accounts: tuple[str, ...] = ()
    files: tuple[SourceFile, ...] = ()
    problems: tuple[Problem, ...] = ()

    def by_key(self) -> Mapping[str, SourceFile]:
        """The files by the keys of what they describe."""
        return self._by_key

    @cached_property
    def _by_key(self) -> Mapping[str, SourceFile]:
        return {file.key: file for file in self.files}


def read_files(root: Path, previous: Files | None = None) -> Files:
    """All files below the folder `root`, in the order of their names; unchanged ones as they are in `previous`."""
    reading = _Reading(previous.by_key() if previous else {})
    for entry in reading.entries(str(root)):
        if reading.is_folder(entry):
            reading.accounts.append(entry.name)
            _read_account(entry, reading)
        else:
            reading.refuse(entry.path, "a file among the accounts; each account is a folder with an account.yaml")
    return Files(str(root), tuple(reading.accounts), tuple(reading.files), tuple(reading.problems))


def _read_account(folder: os.DirEntry[str], reading: _Reading) -> None:
    for entry in reading.entries(folder.path):
        if entry.name == "account.yaml":
            reading.read(entry, folder.name, Kind.ACCOUNT)
        elif entry.name in SUFFIXES and reading.is_folder(entry):
            _read_objects(entry, f"{folder.name}/{entry.name}", reading)
        else:
            reading.refuse(entry.path, "not part of an account, which is account.yaml, maps/ and zones/")


def _read_objects(folder: os.DirEntry[str], prefix: str, reading: _Reading) -> None:
    kinds = SUFFIXES[folder.name]
    by_key: dict[str, str] = {}
    for entry in reading.entries(folder.path):
        stem, dot, ending = entry.name.rpartition(".")
        stem, suffix = (stem, dot + ending) if dot else (entry.name, "")
        kind = kinds.get(suffix)
        key = f"{prefix}/{stem}"
        if kind is None:
            message = f"unknown file ending {suffix!r}; in {folder.name}/ it is {' or '.join(kinds)}"
            reading.refuse(entry.path, message)
        elif (other := by_key.setdefault(key.lower(), entry.path)) != entry.path:
            reading.refuse(entry.path, f"is given both ways, here and in {other}; remove one of the two")
        else:
            reading.read(entry, key, kind)


class _Reading:
    """What was found so far, and the files that were known before."""

    def __init__(self, known: Mapping[str, SourceFile]) -> None:
        self.accounts: list[str] = []
        self.files: list[SourceFile] = []
        self.problems: list[Problem] = []
        self._known = known
        self._now_ns = time.time_ns()  # at the beginning: what changes while we read has a later time

    def entries(self, folder: str) -> list[os.DirEntry[str]]:
        """What is in a folder, by name."""
        try:
            return visible_entries(folder)
        except OSError as error:
            self.refuse(folder, _cannot_be_read(error))
            return []

    def is_folder(self, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir()
        except OSError:
            return False

    def read(self, entry: os.DirEntry[str], key: str, kind: Kind) -> None:
        self.files.append(read_file(entry.path, key, kind, previous=self._known.get(key), now_ns=self._now_ns))

    def refuse(self, path: str, message: str) -> None:
        self.problems.append(_problem(path, message))


def visible_entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder, by name, without what is not looked at. Raises OSError."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not _is_leftover(entry.name)), key=attrgetter("name"))


def _is_leftover(name: str) -> bool:
    """Editors' backups, swap and lock files, and the folders that Kubernetes swaps: `x~`, `.x.swp`, `#x#`, `..data`."""
    return name.startswith(".") or name.endswith("~") or (name.startswith("#") and name.endswith("#"))


def is_folder(path: Path) -> bool:
    """Whether it is one, as far as we may know."""
    try:
        return path.is_dir()
    except OSError:  # no permission, or a name too long
        return False


def read_file(path: str, key: str, kind: Kind, *, previous: SourceFile | None, now_ns: int) -> SourceFile:
    """The file at `path`, which is `previous` where that has the same content: touching a file changes nothing.

    `now_ns` is a time before the call, in nanoseconds since 1970. A file that cannot be read has the reason with it.
    """
    stamp, modified, content, problem = None, 0, NO_CONTENT, None
    try:
        status = os.stat(path)
        stamp = _stamp(status, now_ns)
        if previous and stamp and stamp == previous.stamp and path == previous.path:
            return previous
        modified = min(max(int(status.st_mtime), 0), LATEST_S)
        content = read_content(Path(path))
    except OSError as error:
        problem, stamp = _problem(path, _cannot_be_read(error), key), None  # it may pass: try each time
    except NotTextError as error:
        problem = _problem(path, str(error), key, error.line, error.column)
    file = SourceFile(key, kind, path, content, problem, modified, stamp)
    if previous is None:
        return file
    if file == previous:
        return replace(previous, content=content, stamp=stamp)  # of a large one, the text is not kept
    return replace(file, modified=max(modified, previous.modified + 1))


def keep_times(files: Files, previous: Files) -> None:
    """Give files that are new in `files` the time that they count as, where the disk's is earlier.

    It is the serial of a zone, which must not go back when the server starts anew. Where we may not, it stays as it is.
    """
    known = previous.by_key()
    for key, file in files.by_key().items():
        if file is not known.get(key) and file.stamp is None and not file.problem:
            with suppress(OSError):
                if os.stat(file.path).st_mtime < file.modified and is_as_read(file):
                    os.utime(file.path, (file.modified, file.modified))


def is_as_read(file: SourceFile) -> bool:
    """Whether the disk still has the content that was read."""
    return read_file(file.path, file.key, file.kind, previous=file, now_ns=time.time_ns()) == file


def _stamp(status: os.stat_result, now_ns: int) -> Stamp | None:
    """None for a file that changed a moment ago: it may change once more, and its status stay the same."""
    if max(status.st_mtime_ns, status.st_ctime_ns) > now_ns - COARSEST_CLOCK_NS:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _cannot_be_read(error: OSError) -> str:
    return f"cannot be read: {os.strerror(error.errno or 0)}"


def _problem(path: str, message: str, key: str | None = None, line: int = 1, column: int = 1) -> Problem:
    return Problem(key or path, (), message, place=Place(path, line, column))
