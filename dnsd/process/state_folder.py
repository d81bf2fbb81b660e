"""Open the state folder once, safely; afterwards, all work goes through its descriptor.

The path is walked from the root folder. A link on it must belong to root or to the user of this process: another user
could point it elsewhere. `StateFolder.at` is a path through the descriptor: a user who moves or replaces the folder, or
one above it, cannot lead the server to another.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from dnsd.errors import THROUGH_DESCRIPTOR, DnsdError, printable
from dnsd.whole_file import hand_over

if TYPE_CHECKING:
    from dnsd.process.privileges import ServerUser

LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_LINKS = 40  # on one path, as in Linux
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UnsafeFolderError(DnsdError):
    """Other users may replace the content of the state folder; the message has the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class StateFolder:
    """An open state folder."""

    path: str  # for people
    fd: int
    is_guarded: bool  # nobody but root can have put another folder at its path

    @property
    def at(self) -> Path:
        """The folder by its descriptor, for opening what is in it; `dnsd.errors.shown` turns it into a path again."""
        through = f"{THROUGH_DESCRIPTOR}{self.fd}"
        return Path(through if os.path.exists(through) else self.path)  # /proc may be missing

    def check(self, groups: Iterable[int] | None = None) -> None:
        """Raise UnsafeFolderError if users other than root, its owner and members of `groups` may write to it.

        None means any group.
        """
        status = os.fstat(self.fd)
        others = bool(status.st_mode & stat.S_IWOTH)
        group = bool(status.st_mode & stat.S_IWGRP) and groups is not None and status.st_gid not in groups
        if others or group:
            who = "every user" if others else f"the group {status.st_gid}, to which the server does not belong,"
            remedy = f"chmod {'g' * group}{'o' * others}-w {self.path}"
            raise UnsafeFolderError(
                f"state: {who} may write to {self.path}, and so replace tokens: type `{remedy}`, or set `state` to a "
                "folder in it"
            )

    def warning(self) -> str:
        """A warning if the folder belongs to a user who may replace its content unseen; "" without one."""
        owner = os.fstat(self.fd).st_uid
        if owner in (0, os.geteuid()):
            return ""
        remedy = f"`chown -R {os.geteuid()} {self.path}`, or set `state` to another folder"
        return f"state: {self.path} belongs to the user with id {owner}, who may replace tokens: {remedy}"

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


def open_folder(path: Path, *, may_make: bool = False) -> StateFolder:
    """Open a state folder, made with mode 0700 if it is missing and `may_make`. Raises OSError, UnsafeFolderError."""
    shown = printable(os.path.abspath(path))
    names, links, is_guarded = _names(os.path.join(os.getcwd(), path)), 0, True
    here = os.open("/", LOOK)
    try:
        while names:
            is_guarded = is_guarded and _is_roots(here)
            name = names.pop()
            try:
                found = os.open(name, LOOK, dir_fd=here)
            except FileNotFoundError:
                if not may_make:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
                os.mkdir(name, 0o755 if names else 0o700, dir_fd=here)
                found = os.open(name, LOOK, dir_fd=here)
            status = os.fstat(found)
            if not stat.S_ISLNK(status.st_mode):
                here = _moved(here, found)
                continue
            try:
                if status.st_uid not in (0, os.geteuid()):
                    raise UnsafeFolderError(_of_another(shown, name, status.st_uid))
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
                target = os.readlink("", dir_fd=found)
            finally:
                os.close(found)
            names += _names(target)
            if target.startswith("/"):
                here = _moved(here, os.open("/", LOOK))
        return StateFolder(shown, os.open(".", OPEN, dir_fd=here), is_guarded)
    finally:
        os.close(here)


def folder_of_command(path: Path, *, may_make: bool = False) -> Path:
    """The state folder for a command: through its descriptor, or `path` itself if it cannot be opened.

    Raises UnsafeFolderError.
    """
    try:
        folder = open_folder(path, may_make=may_make)
    except OSError:
        return path  # missing, or reported once a file in it is opened
    folder.check()
    return folder.at


def _names(path: str) -> list[str]:
    """The steps of a path, the last step first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _moved(here: int, there: int) -> int:
    os.close(here)
    return there


def _is_roots(fd: int) -> bool:
    """Whether only root can rename what is in a folder."""
    status = os.fstat(fd)
    return status.st_uid == 0 and (not status.st_mode & OTHERS_MAY_WRITE or bool(status.st_mode & stat.S_ISVTX))


def _of_another(path: str, name: str, uid: int) -> str:
    return (
        f"state: on the path {path}, the link {printable(name)!r} belongs to the user with id {uid}, who may point it "
        "anywhere: set `state` to its target, or make the link as root"
    )


def give_folder(path: Path, owner: ServerUser, patterns: Iterable[str]) -> str | None:
    """As root, make the state folder for the server's user, or give that user one that root made; its entries first.

    Of the entries, only those whose names match `patterns` are given, and only if nobody else can have put them there:
    the folder is root's, and so are those above it. Returns a warning, None without one. Raises UnsafeFolderError.
    """
    try:
        folder = open_folder(path, may_make=True)
    except OSError:
        return None  # `take_state` reports it, or the user makes the folder
    try:
        status = os.fstat(folder.fd)
        if status.st_uid != 0:
            return None
        names = os.listdir(folder.fd)
        if status.st_mode & OTHERS_MAY_WRITE or not folder.is_guarded:
            if names:
                what = "lies in a folder that others than root may write to" if not folder.is_guarded else "is shared"
                return f"{folder.path} {what}, so its files stay root's: `chown -R {owner.name} {folder.path}`?"
        else:
            for name in names:
                if any(fnmatchcase(name, pattern) for pattern in patterns):
                    _give(name, folder.fd, owner)
        os.fchown(folder.fd, owner.uid, owner.gid)
    except OSError:
        return None  # `take_state` reports it
    finally:
        folder.close()
    return None


def _give(name: str, parent: int, owner: ServerUser) -> None:
    """Give a file, or a folder with its content, to its owner if root made it; follow no link."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):  # gone, a link, a socket
            return
        raise
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            for inner in os.listdir(fd):
                _give(inner, fd, owner)
        hand_over(fd, owner.uid, owner.gid)
    finally:
        os.close(fd)
