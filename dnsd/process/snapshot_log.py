"""The log of the snapshot file: the changes since the file was written, so that an edit does not write all names again.

After the name of its file come entries: numbers of fixed size, a pickled delta, and a digest of these. The log is read
up to the first entry that is cut off or damaged, and not at all for another file: whenever a process is killed, file
and log are a snapshot that was served. It is not flushed to disk, as the accounts' files are the truth.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from dnsd.engine.delta import apply_delta
from dnsd.engine.snapshot import Snapshot
from dnsd.process.snapshot_file import NAME_SIZE, SavedBase, Title, base_title, load_base, open_file, unpickled
from dnsd.process.verified import Verified
from dnsd.whole_file import replacing

SUFFIX = ".log"  # of the snapshot file's name
MAGIC = b"dnsd snapshot log 1\n"
NUMBERS = Struct("<QQQQ")  # revision, time of saving, names, octets of the delta
DIGEST_SIZE = 8  # octets
MAX_ENTRIES = 256  # each takes some milliseconds at a start
MAX_SIZE = 16 * 1024**2  # octets


class DeltaEntry(NamedTuple):
    """An entry: the title of the snapshot after it, and the delta that leads there."""

    revision: int
    saved_at: int
    names: int
    octets: bytes

    def titled(self, title: Title) -> Title:
        """The title of the base with the numbers of this change."""
        return replace(title, revision=self.revision, saved_at=self.saved_at, names=self.names)


class SnapshotLog:
    """Writes the log of one snapshot file."""

    def __init__(self, file: Path) -> None:
        self._file, self._path = file, log_of(file)
        self._base = b""  # the name of the file that the entries change; empty: none was written by this process
        self._size = self._entries = 0

    def begin(self, base: bytes) -> None:
        """Begin anew, as a snapshot file with this name was written."""
        self._base, self._size, self._entries = base, 0, 0
        with suppress(OSError):  # a log that stays has another name, and is ignored
            self._path.unlink(missing_ok=True)

    def resume(self, base: bytes) -> None:
        """Begin anew for the snapshot file with this name, which stays; the first entry replaces those in the log."""
        self._base, self._size, self._entries = base, 0, 0

    def append(self, title: Title, octets: bytes) -> bool:
        """Add the delta that leads to this title; False: a new snapshot file is needed. Raises OSError."""
        numbers = NUMBERS.pack(title.revision, title.saved_at, title.names, len(octets))
        entry = numbers + octets + _digest_of(self._base, numbers, octets)
        head = b"" if self._size else MAGIC + self._base
        size = self._size + len(head) + len(entry)
        found = base_title(self._file)  # somebody may have removed it; or a new one was written, but not flushed
        if not found or found[1] != self._base or self._entries >= MAX_ENTRIES or size > MAX_SIZE:
            return False
        if head:
            with replacing(self._path, is_synced=False) as out:
                out.write(head + entry)
        elif not self._write(entry):
            return False
        self._size, self._entries = size, self._entries + 1
        return True

    def _write(self, entry: bytes) -> bool:
        """Write an entry at the end; False if the log is not as it was left. Raises OSError."""
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        with open(fd, "wb", buffering=0) as out:
            if os.fstat(fd).st_size != self._size:
                return False
            try:
                out.seek(self._size)
                while entry:
                    entry = entry[out.write(entry) :]
            except OSError:
                with suppress(OSError):
                    out.truncate(self._size)
                raise
        return True


def log_of(file: Path) -> Path:
    """The path of a snapshot file's log."""
    return file.with_name(file.name + SUFFIX)


def load_snapshot(
    file: Path, until: int | None = None, verified: Verified | None = None
) -> tuple[Title, Iterator[Snapshot | None]]:
    """The snapshot in a file and its log, up to a revision: its title, and steps, of which the last has it.

    The file's digests are verified, unless `verified` has it. Raises SnapshotFileError; the steps raise ValueError.
    """
    saved = open_saved(file, until, verified)
    return saved.title, saved.steps()


def open_saved(file: Path, until: int | None = None, verified: Verified | None = None) -> SavedSnapshot:
    """The content of a snapshot file and its log, as for `load_snapshot`. Raises SnapshotFileError."""
    base = load_base(file, verified)
    title, logged = base.title, []
    for change in _changes(file, base.name):
        if title.revision != until:
            title = change.titled(title)
            logged.append(change.octets)
    return SavedSnapshot(title, base, logged)


class SavedSnapshot:
    """The content of a snapshot file and its log."""

    def __init__(self, title: Title, base: SavedBase, logged: Sequence[bytes]) -> None:
        self.title = title
        self.name = base.name  # of the file
        self._parts = base.parts
        self._logged = logged
        self._base: Snapshot | None = None

    @property
    def base(self) -> Snapshot:
        """The snapshot in the file alone, without the log. Raises ValueError."""
        for _ in self._base_steps():
            pass
        assert self._base is not None, "the last step of a delta has the snapshot"
        return self._base

    def steps(self) -> Iterator[Snapshot | None]:
        """Steps to the whole snapshot, which is the last one. Raises ValueError."""
        yield from self._base_steps()
        snapshot = self._base
        for octets in self._logged:
            for step in apply_delta(snapshot, unpickled(io.BytesIO(octets))):
                snapshot = step or snapshot
                yield None
        yield snapshot

    def _base_steps(self) -> Iterator[None]:
        if self._base is None:
            for step in apply_delta(None, self._parts):
                self._base = step
                yield None


def load_title(file: Path) -> Title | None:
    """The title of the snapshot in a file and its log; None without a file, or for one of another format.

    The digests of the file are not verified.
    """
    found = base_title(file)
    if found is None:
        return None
    title, name = found
    for change in _changes(file, name):
        title = change.titled(title)
    return title


def _changes(file: Path, name: bytes) -> list[DeltaEntry]:
    """The changes in the log of a snapshot file with this name; none if it is of another one, or cannot be read."""
    octets = b""
    with suppress(OSError, ValueError), open_file(log_of(file)) as stream:
        octets = stream.read(MAX_SIZE)
    at, found = len(MAGIC) + NAME_SIZE, list[DeltaEntry]()
    if octets[:at] != MAGIC + name:
        return found
    while len(octets) >= at + NUMBERS.size:
        revision, saved_at, names, size = NUMBERS.unpack_from(octets, at)
        end = at + NUMBERS.size + size
        delta = octets[at + NUMBERS.size : end]
        if octets[end : end + DIGEST_SIZE] != _digest_of(name, octets[at : at + NUMBERS.size], delta):
            break
        found.append(DeltaEntry(revision, saved_at, names, delta))
        at = end + DIGEST_SIZE
    return found


def _digest_of(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=DIGEST_SIZE).digest()
