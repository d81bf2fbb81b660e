"""The files of the audit log: lines are appended all or none, and full files are numbered.

Lines only; this module knows nothing of entries.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from dnsd.whole_file import sync

KEPT_FILES = 4  # full files, in addition to the current one
SECONDS_PER_DAY = 86_400


class LineFile:
    """A file of lines, with its full predecessors: `NAME`, `NAME.1` and so on, the newest first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, lines: bytes, largest: int, *, is_synced: bool) -> tuple[int, bool]:
        """Append lines; a file that would be larger than `largest` is renamed first.

        Returns the size before, and whether the oldest file went. Raises OSError; nothing is appended then.
        """
        has_dropped = False
        with suppress(FileNotFoundError):
            if os.stat(self.path).st_size + len(lines) > largest:
                has_dropped = self._rotate()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.path, flags, 0o600)
        try:
            size = os.fstat(fd).st_size
            is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            octets = b"\n" + lines if is_torn else lines
            try:
                if os.write(fd, octets) < len(octets):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if is_synced:
                    os.fsync(fd)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(fd, size)  # needs no room
                raise
        finally:
            os.close(fd)
        if size == 0:
            sync(self.path.parent)  # the file is new
        return size, has_dropped

    def cut(self, size: int) -> None:
        """Take back what was appended after `size` octets."""
        with suppress(OSError):
            os.truncate(self.path, size)

    def size(self) -> int:
        """The octets of all files."""
        return sum(status.st_size for status in map(_status, self.paths()) if status)

    def changed_at(self) -> float:
        """The time of the last change, in seconds since 1970; 0 without a file."""
        return max((status.st_mtime for status in map(_status, self.paths()) if status), default=0.0)

    def prune(self, before: float) -> None:
        """Delete the files whose newest line is older than `before`, in seconds since 1970."""
        for file in self.paths():
            if (status := _status(file)) and status.st_mtime < before:
                with suppress(OSError):
                    file.unlink()

    def _rotate(self) -> bool:
        """Rename each file to the next number, replacing the oldest; return whether one was replaced."""
        *others, oldest = self.paths()
        has_dropped = oldest.exists()
        for newer, older in reversed([*pairwise([*others, oldest])]):
            with suppress(FileNotFoundError):
                os.replace(newer, older)
        return has_dropped

    def paths(self) -> Sequence[Path]:
        """All possible files, newest first."""
        return [self.path, *(self.path.with_name(f"{self.path.name}.{n}") for n in range(1, KEPT_FILES + 1))]


def _status(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except OSError:
        return None
