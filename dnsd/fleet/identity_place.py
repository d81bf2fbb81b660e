"""The place of a new identity: it comes whole, where nothing, an empty folder or an earlier identity is.

Root may put it into a folder of the user who is to have it. So no link is followed, and nothing is given away but what
was made here.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dnsd.errors import shown
from dnsd.fleet.identity import IdentityError, load_identity
from dnsd.whole_file import hand_over, make_folder, sync

NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)


class IdentityPlace:
    """The folder of an edge's identity, to be filled; an earlier one of this edge is replaced if `is_again`."""

    def __init__(self, folder: Path, *, is_again: bool) -> None:
        self._folder = folder
        self._is_again = is_again
        self._aside = folder.with_name(f".{folder.name}.before")

    def check(self, name: str) -> None:
        """Raises IdentityError if the folder has what must stay, or cannot be replaced; OSError."""
        folder = self._folder
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise IdentityError(f"{shown(folder)} is not a folder, and stays")
        if not folder.exists() and self._aside.is_dir():  # a replacement was killed in between
            os.rename(self._aside, folder)
        if not folder.exists():
            return
        if any(folder.iterdir()):
            self._check_identity(name)
        self._check_movable()

    def _check_identity(self, name: str) -> None:
        folder = self._folder
        try:
            there = load_identity(folder).name
        except IdentityError as error:
            raise IdentityError(f"{shown(folder)} has files, and nothing in it was changed: {error}") from None
        if there != name:
            raise IdentityError(
                f"{shown(folder)} has the papers of {there}; the code is for {name}: nothing was changed"
            )
        if not self._is_again:
            raise IdentityError(f"{shown(folder)} has papers of {name} already, and stays; --again replaces them")

    def _check_movable(self) -> None:
        """Raises IdentityError for a mount point and the like: no folder moves to where one with a file is."""
        probe = self._new()
        try:
            (probe / "file").touch()
            os.rename(self._folder, probe)
        except OSError as error:
            if error.errno not in NOT_EMPTY:
                raise IdentityError(
                    f"{shown(self._folder)} cannot be replaced: {error.strerror}; below a mount point, choose a folder "
                    "of its own (setting `fleet.identity`)"
                ) from None
        finally:
            shutil.rmtree(probe, ignore_errors=True)

    @contextmanager
    def new_folder(self) -> Iterator[tuple[Path, int]]:
        """A new folder beside the place, for its owner alone, and its descriptor; it goes unless it was put there.

        Raises OSError.
        """
        make_folder(self._folder.parent)
        new = self._new()
        try:
            fd = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                yield new, fd
            finally:
                os.close(fd)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _new(self) -> Path:
        return Path(tempfile.mkdtemp(prefix=f".{self._folder.name}-", dir=self._folder.parent))

    def owner(self) -> tuple[int, int]:
        """User and group of the folder that is there, else of the one above. Raises OSError."""
        found = os.lstat(self._folder if self._folder.exists() else self._folder.parent)
        return found.st_uid, found.st_gid

    def put(self, new: Path) -> None:
        """Put a new folder in its place. Raises OSError."""
        shutil.rmtree(self._aside, ignore_errors=True)  # of an attempt that was killed
        is_replacing = self._is_again and self._folder.is_dir()
        if is_replacing:
            os.rename(self._folder, self._aside)
        try:
            os.rename(new, self._folder)
        except OSError:
            if is_replacing:
                os.rename(self._aside, self._folder)
            raise
        sync(self._folder.parent)
        shutil.rmtree(self._aside, ignore_errors=True)


def give_folder(fd: int, owner: tuple[int, int]) -> None:
    """Give an open folder and its files, which root has made, to a user and group. Raises OSError.

    The folder goes last: only then can its new owner replace a file by a link.
    """
    for name in os.listdir(fd):
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
        try:
            hand_over(file, *owner)
        finally:
            os.close(file)
    hand_over(fd, *owner)
