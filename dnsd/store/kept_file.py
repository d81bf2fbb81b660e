"""Files that the server keeps for itself in the state folder: read within bounds; damaged ones are moved aside.

A disk, an editor or a later version may leave anything in such a file: the server starts and goes on without it. The
message names the file and its new name, so that a person can look at it.
"""

from __future__ import annotations

import math
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from dnsd.errors import DnsdError, shown

T = TypeVar("T")

ASIDE = ".damaged"  # after the name; the next damaged file of this name replaces it
LATEST_S = 253_402_300_799  # the last second of the year 9999


class DamagedFileError(DnsdError):
    """A kept file is damaged; the message names it, and the name under which it is kept from now on."""


def read_kept(path: Path, parse: Callable[[bytes], T], *, most: int) -> T:
    """The content of a file of at most `most` octets, parsed; a damaged file is moved aside.

    Raises DamagedFileError for it, OSError if the file is missing or cannot be read.
    """
    return kept(path, lambda file: parse(read_octets(file, most)))


def read_or_problem(
    path: Path, parse: Callable[[bytes], T], *, most: int, consequence: str
) -> tuple[T | None, str | None]:
    """The content as from `read_kept`, and a problem: None for a missing file, else with its `consequence`."""
    try:
        return read_kept(path, parse, most=most), None
    except FileNotFoundError:
        return None, None
    except OSError as error:
        problem = f"{shown(path)} cannot be read: {os.strerror(error.errno or 0)}"
    except DamagedFileError as error:
        problem = str(error)
    return None, f"{problem}; {consequence}"


def kept(path: Path, read: Callable[[Path], T], *, prefix: str = "") -> T:
    """The result of reading a kept file; a file that makes `read` fail is moved aside. Raises like `read_kept`.

    `prefix` is that of `move_aside`.
    """
    try:
        return read(path)
    except (OSError, MemoryError):  # no fault of the file
        raise
    except Exception:  # of any kind: the file may have any content
        raise move_aside(path, prefix=prefix) from None


def read_octets(path: Path, most: int) -> bytes:
    """The content of a regular file. Raises OSError, and ValueError for other files and for more than `most` octets."""
    with open_regular(path, most=most) as stream:
        return stream.read(most)


def open_regular(path: Path, *, most: int) -> BinaryIO:
    """Open a regular file of at most `most` octets. Raises OSError, and ValueError for other files."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for a writer
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size > most:
        os.close(fd)
        raise ValueError("not a regular file, or too large")
    return open(fd, "rb")


def move_aside(path: Path, *, prefix: str = "") -> DamagedFileError:
    """Rename a damaged file or folder; return the error that says so."""
    aside = path.with_name(f"{prefix}{path.name}{ASIDE}")
    try:
        if aside.is_dir() and not aside.is_symlink():
            shutil.rmtree(aside, ignore_errors=True)
        os.replace(path, aside)
    except OSError as error:
        return DamagedFileError(f"{shown(path)} is corrupt, and cannot be moved aside: {error.strerror}")
    return DamagedFileError(f"{shown(path)} is corrupt: moved aside as {aside.name}")


def with_right_kinds(folder: Path, files: Iterable[str], folders: Iterable[str] = ()) -> Iterator[str]:
    """Move aside entries that should be files (by glob patterns) or folders, and are not; yield messages."""
    files, folders = tuple(files), tuple(folders)
    for entry in sorted(os.scandir(folder) if folder.is_dir() else (), key=lambda one: one.name):
        is_file, is_folder = entry.is_file(), entry.is_dir()
        is_wrong_file = not is_file and any(fnmatchcase(entry.name, pattern) for pattern in files)
        if not entry.name.endswith(ASIDE) and (is_wrong_file or (entry.name in folders and not is_folder)):
            yield str(move_aside(folder / entry.name))


def seconds(value: Any) -> float:
    """A time in seconds since 1970, to the year 9999. Raises ValueError and TypeError."""
    at = float(value)
    if not math.isfinite(at) or not 0 <= at <= LATEST_S:
        raise ValueError("not a time")
    return at
