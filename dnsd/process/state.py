"""The state folder: the snapshot file, the last good texts, and a lock that keeps other servers out.

The lock file also holds the control socket's address, readable for the server's user and root.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dnsd.log import Log
from dnsd.process.privileges import ServerUser
from dnsd.whole_file import hand_over

LOCK_FILE = "lock"
LOCK_WITHIN_S = 0.5  # time for the processes of a killed server to end


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state folder, locked for as long as a process of this server lives."""

    folder: Path
    address: str  # of the control socket
    lock: int  # file descriptor
    is_temporary: bool


def make_folder(folder: Path, owner: ServerUser, patterns: Iterable[str]) -> None:
    """Make the state folder for its owner, as root, before the switch to that user.

    Entries that a server running as root left in it are handed over too: the lock, and files and folders whose names
    match the glob `patterns`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(folder, owner.uid, owner.gid, follow_symlinks=False)
        for path in (path for pattern in (LOCK_FILE, *patterns) for path in folder.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                for _, folders, files, parent in os.fwalk(path):
                    for name in (".", *folders, *files):
                        _hand_over(Path(name), owner, parent)
            else:
                _hand_over(path, owner)
    except OSError:
        return  # `take_state` reports the error


def _hand_over(path: Path, owner: ServerUser, parent: int | None = None) -> None:
    """Give a file or folder to its owner if root made it, but follow no link that the owner put there.

    `parent` is the descriptor of the folder to which `path` is relative.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return
    try:
        hand_over(fd, owner.uid, owner.gid)
    finally:
        os.close(fd)


def take_state(folder: Path, log: Log) -> State:
    """Make and lock the state folder; if that fails, warn and use a temporary one."""
    try:
        return _taken(folder.absolute(), is_temporary=False)
    except BlockingIOError:
        why = f"{folder} is in use by another server, to which `dnsd reload` and `dnsd status` connect"
    except OSError as error:
        why = f"{folder} cannot be used: {os.strerror(error.errno or 0)}"
    temporary = Path(tempfile.mkdtemp(prefix="dnsd-"))
    log.warning(f"warning: state: {why}; this server keeps its state in {temporary}, deleted when it ends")
    return _taken(temporary, is_temporary=True)


def read_address(folder: Path) -> str:
    """The control socket's address of the server that uses this state folder. Raises OSError without such a server."""
    lines = (folder / LOCK_FILE).read_text().splitlines()
    if len(lines) < 2:
        raise FileNotFoundError(f"{folder / LOCK_FILE} holds no server's address")
    return f"\0{lines[1]}"


def _taken(folder: Path, *, is_temporary: bool) -> State:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    address = f"dnsd:{secrets.token_hex(16)}"
    try:
        _lock(lock)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n{address}\n".encode(), 0)
    except OSError:
        os.close(lock)
        raise
    return State(folder=folder, address=f"\0{address}", lock=lock, is_temporary=is_temporary)


def _lock(lock: int) -> None:
    deadline = time.monotonic() + LOCK_WITHIN_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
