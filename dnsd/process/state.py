"""The state folder: the snapshot file, the last good texts, and a lock that keeps other servers out.

The lock file also holds the control socket's address, readable for the server's user and root.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dnsd.errors import shown
from dnsd.log import Log
from dnsd.process.state_folder import StateFolder, open_folder

LOCK_FILE = "lock"
TEMPORARY = "dnsd-state-"  # prefix of temporary state folders
BACKLOG = 64  # connections that wait while control restarts; also the accepts that asyncio tries at once
LOCK_WITHIN_S = 0.5  # time for the processes of a killed server to end


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state folder, locked for as long as a process of this server lives."""

    folder: Path  # through its descriptor: see `StateFolder.at`
    address: str  # of the control socket
    lock: int  # file descriptor
    is_temporary: bool

    @property
    def path(self) -> str:
        """The folder's path, for people."""
        return shown(self.folder)


def take_state(folder: Path, log: Log) -> State:
    """Make and lock the state folder; if that fails, warn and use a temporary one. Raises UnsafeFolderError."""
    _remove_left_over()
    try:
        opened = open_folder(folder, may_make=True)
        if warning := opened.warning():
            log.warning(f"warning: {warning}")
        return _taken(opened, is_temporary=False)
    except BlockingIOError:
        why = f"{folder} is in use by another server, to which `dnsd reload` and `dnsd status` connect"
    except OSError as error:
        why = f"{folder} cannot be used: {os.strerror(error.errno or 0)}"
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    log.warning(f"warning: state: {why}; this server keeps its state in {temporary}, deleted when it ends")
    return _taken(open_folder(temporary), is_temporary=True)


def listen_local(state: State) -> socket.socket:
    """Listen at the control socket's address. Raises OSError.

    To be called before the fork: the address then stays taken, even if the process that accepts ends.
    """
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(state.address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def read_address(folder: Path) -> str:
    """The control socket's address of the server that uses this state folder. Raises OSError without such a server."""
    lines = (folder / LOCK_FILE).read_text(errors="replace").splitlines()
    if len(lines) < 2:
        raise FileNotFoundError(f"{folder / LOCK_FILE} holds no server's address")
    return f"\0{lines[1]}"


def _taken(folder: StateFolder, *, is_temporary: bool) -> State:
    lock = -1
    try:
        folder.check({os.getegid(), *os.getgroups()})
        _move_aside_foreign_lock(folder)
        lock = os.open(LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder.fd)
        address = f"dnsd:{secrets.token_hex(16)}"
        _lock(lock)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n{address}\n".encode(), 0)
    except BaseException:
        if lock >= 0:
            os.close(lock)
        folder.close()
        raise
    return State(folder=folder.at, address=f"\0{address}", lock=lock, is_temporary=is_temporary)


def _remove_left_over() -> None:
    """Remove the temporary state folders of servers that were killed: those with a lock that no process holds."""
    for entry in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            status = os.lstat(entry)
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                continue
            lock = os.open(entry / LOCK_FILE, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(entry)
            finally:
                os.close(lock)


def _move_aside_foreign_lock(folder: StateFolder) -> None:
    """Rename a lock that is not a regular file, or has a second name: its content may belong to another user."""
    try:
        status = os.stat(LOCK_FILE, dir_fd=folder.fd, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.rename(LOCK_FILE, f"{LOCK_FILE}.damaged", src_dir_fd=folder.fd, dst_dir_fd=folder.fd)


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
