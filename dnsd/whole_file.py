"""Replace whole files: readers find the old or the new content, never a part of it, even after a loss of power.

The new content goes into a file under another name and to disk; renaming puts it in place, and the folder goes to disk.
This module knows nothing of any content.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(
    path: Path, *, other_name: str | None = None, mode: int = 0o600, is_synced: bool = True, is_begun: bool = False
) -> Iterator[BinaryIO]:
    """A new file to write; it takes the place of `path` at the end of the block.

    Its name until then is `path` with `.new`, or `other_name` in the same folder: always the same, so that killed
    writers leave at most one file, which the next writer removes. If the block or the renaming fails, the new file is
    removed, which frees the space on a full disk, and `path` keeps its content. Without `is_synced`, the system decides
    when the content goes to disk. If `is_begun`, `begin_new` has made the new file, which is continued. Raises OSError,
    also if only the folder cannot be flushed after the renaming.
    """
    new = _new_name(path, other_name)
    if is_begun:
        out: BinaryIO = open(os.open(new, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "wb")  # noqa: SIM115
    else:
        new.unlink(missing_ok=True)
        out = create_file(new, mode=mode)
    try:
        with out:
            yield out
            out.flush()
            if is_synced:
                os.fsync(out.fileno())
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    if is_synced:
        sync(path.parent)


def begin_new(path: Path, parts: Iterable[bytes | memoryview], *, mode: int = 0o600) -> None:
    """Write the beginning of the new file that is to replace `path`, and bring it to disk. Raises OSError."""
    new = _new_name(path)
    new.unlink(missing_ok=True)
    try:
        with create_file(new, mode=mode) as out:
            for part in parts:
                out.write(part)
            out.flush()
            os.fsync(out.fileno())
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def remove_new(path: Path) -> None:
    """Remove what `begin_new` wrote for `path`, if it is there. Raises OSError."""
    _new_name(path).unlink(missing_ok=True)


def _new_name(path: Path, other_name: str | None = None) -> Path:
    return path.with_name(other_name or f"{path.name}.new")


def create_file(path: str | Path, *, mode: int) -> BinaryIO:
    """Open a file for writing that must not exist yet, not even as a link. Raises OSError."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode), "wb")


def make_folder(folder: Path) -> None:
    """Make a folder, and missing ones above it, for their owner alone. Raises OSError."""
    try:
        folder.mkdir(mode=0o700)
    except FileNotFoundError:
        if folder.parent == folder:
            raise
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        if not folder.is_dir():
            raise


def sync(path: str | Path) -> None:
    """Flush a file, or the names in a folder, to disk. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync a folder
            raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(fd)


def hand_over(fd: int, uid: int, gid: int) -> None:
    """Give an open file or folder that root owns to `uid` and `gid`.

    A file with a second link is skipped: the new owner may have linked a file of root's to this name.
    """
    status = os.fstat(fd)
    is_single_file = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    if status.st_uid == 0 and (is_single_file or stat.S_ISDIR(status.st_mode)):
        os.fchown(fd, uid, gid)
