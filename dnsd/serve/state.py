"""The state folder: the snapshot file, and a lock, so that two servers do not share one."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dnsd.log import Log
from dnsd.serve.privileges import Identity

LOCK_FILE = "lock"
LOCK_WITHIN_S = 0.5  # the processes of a server that was killed take a moment to end


@dataclass(frozen=True, slots=True)
class State:
    """The folder, locked for as long as a process of this server lives."""

    folder: Path
    lock: int  # file descriptor
    is_temporary: bool


def take_state(folder: Path, owner: Identity | None, log: Log) -> State:
    """The folder, made and locked; a temporary one where that is not possible, which is said loudly."""
    try:
        return _taken(folder.absolute(), owner)
    except BlockingIOError:
        why = f"{folder} is in use by another server of this configuration, which `dnsd reload` and `status` speak to"
    except OSError as error:
        why = f"{folder} cannot be used: {os.strerror(error.errno or 0)}"
    temporary = Path(tempfile.mkdtemp(prefix="dnsd-"))
    log.warning(f"warning: state: {why}; this server keeps its state in {temporary}, and forgets it when it ends")
    state = _taken(temporary, owner)
    return State(state.folder, state.lock, is_temporary=True)


def _taken(folder: Path, owner: Identity | None) -> State:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(lock)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        if owner:
            for path in (folder, *folder.iterdir()):
                os.chown(path, owner.uid, owner.gid)
    except OSError:
        os.close(lock)
        raise
    return State(folder, lock, is_temporary=False)


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
