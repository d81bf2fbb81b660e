"""The log: lines on standard error, for people or as JSON, by writers that nobody can block.

A reader that does not read must not stop the server: what does not go out in time is dropped, and counted. So no
threads, buffers or locks, which a fork would copy in any state.
"""

from __future__ import annotations

import json
import os
import select
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

MAX_LINE = 4096  # octets: PIPE_BUF, up to which a write to a pipe is whole or nothing


class Format(StrEnum):
    """How lines look."""

    CONSOLE = "console"
    JSON = "json"


class Level(StrEnum):
    """How much a line matters, the least first."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LEVELS = list(Level)
Write = Callable[[bytes], None]


class Log:
    """Lines from one process. `dropped` counts those that went nowhere."""

    def __init__(self, process: str = "", *, wait_s: float = 1.0) -> None:
        """`wait_s` is how long a line may wait for its reader; after one that waited in vain, none waits."""
        self.process = process
        self.format = Format.CONSOLE
        self.level = Level.INFO
        self.dropped = 0
        self._wait_s = wait_s
        self._is_blocked = False
        self._write = _unblocked(sys.stderr.fileno())

    def debug(self, event: str, **fields: Any) -> None:
        """What helps to find a mistake."""
        self.line(Level.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """What happened."""
        self.line(Level.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What somebody should look at."""
        self.line(Level.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """What failed."""
        self.line(Level.ERROR, event, fields)

    def line(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        """Write a line, or count it as dropped; never raises, never blocks for longer than `wait_s`."""
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        text = self._json(level, event, fields) if self.format is Format.JSON else _console(event, fields)
        octets = text.encode(errors="backslashreplace")
        if len(octets) >= MAX_LINE:
            octets = octets[: MAX_LINE - 4] + "…".encode()
        try:
            self._put(octets + b"\n")
        except OSError:  # blocked, or nobody reads any more
            self.dropped += 1

    def _json(self, level: Level, event: str, fields: dict[str, Any]) -> str:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        said = {"time": time, "level": level.value, "process": self.process, "event": event, **fields}
        return json.dumps(said, ensure_ascii=False, default=str)

    def _put(self, octets: bytes) -> None:
        try:
            self._write(octets)
        except BlockingIOError:
            if self._is_blocked or not self._wait_s:
                raise
            self._is_blocked = True
            poll = select.poll()
            poll.register(sys.stderr.fileno(), select.POLLOUT)
            poll.poll(self._wait_s * 1000)
            self._write(octets)
        self._is_blocked = False


def _console(event: str, fields: dict[str, Any]) -> str:
    return " ".join([event, *(f"{key}={value}" for key, value in fields.items())])


def _unblocked(fd: int) -> Write:
    """A way to write to a descriptor that never waits, and leaves those who share it as they are.

    O_NONBLOCK belongs to the open file, which other processes have too: so the file is opened once more.
    """
    with suppress(OSError):
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):  # such as the journal's
            sock = socket.socket(fileno=os.dup(fd))
            return lambda octets: sock.sendall(octets, socket.MSG_DONTWAIT)
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            again = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND | os.O_NOCTTY)
            return lambda octets: _write_whole(again, octets)
    return lambda octets: _write_whole(fd, octets)


def _write_whole(fd: int, octets: bytes) -> None:
    if os.write(fd, octets) < len(octets):
        raise BlockingIOError
