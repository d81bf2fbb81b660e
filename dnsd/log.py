"""The log: lines on standard error, as text or JSON; a slow reader cannot block the server.

Lines that cannot be written in time are dropped and counted. There are no threads, buffers or locks, which a fork would
copy in any state.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

STDERR = 2
MAX_LINE = 4096  # octets: PIPE_BUF, up to which a write to a pipe is whole or nothing
CUT_SIZE = 8  # octets for the ellipsis of a cut line, in any format


class Format(StrEnum):
    """The format of lines."""

    CONSOLE = "console"
    JSON = "json"


class Level(StrEnum):
    """The severity of a line, lowest first."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LEVELS = list(Level)
Write = Callable[[bytes], None]


class Log:
    """The lines of one process. `dropped` counts the dropped ones."""

    def __init__(self, process: str = "", *, wait_s: float = 1.0, like: Log | None = None) -> None:
        """`wait_s` limits how long a line waits for its reader; after one has waited in vain, the next do not wait.

        `like` is another process's log, whose format, level and writer this one takes over.
        """
        self.process = process
        self.format: Format = like.format if like else Format.CONSOLE
        self.level: Level = like.level if like else Level.INFO
        self.dropped = 0
        self.note_dropped: Callable[[int], object] = int  # called with `dropped` after each drop; by default a no-op
        self._wait_s = wait_s
        self._is_blocked = False
        self._write: Write = like._write if like else _nonblocking_writer(STDERR)

    def debug(self, event: str, **fields: Any) -> None:
        """Log a detail for debugging."""
        self.line(Level.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Log an event."""
        self.line(Level.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log a condition that an operator should check."""
        self.line(Level.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log a failure."""
        self.line(Level.ERROR, event, fields)

    def line(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        """Write a line or count it as dropped; never raises, never blocks longer than `wait_s`."""
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        text = self._json if self.format is Format.JSON else _console
        octets = text(level, event, fields).encode(errors="backslashreplace")
        if excess := max(0, len(octets) - MAX_LINE + 1):
            shorter = event.encode(errors="backslashreplace")[: -excess - CUT_SIZE].decode(errors="ignore")
            octets = text(level, f"{shorter}…", fields).encode(errors="backslashreplace")[: MAX_LINE - 1]
        try:
            self._put(octets + b"\n")
        except OSError:  # blocked, or the reader has gone
            self.dropped += 1
            self.note_dropped(self.dropped)

    def _json(self, level: Level, event: str, fields: dict[str, Any]) -> str:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": level.value, "process": self.process, "event": event, **fields}
        return json.dumps(line, ensure_ascii=False, default=str)

    def _put(self, octets: bytes) -> None:
        try:
            self._write(octets)
        except BlockingIOError:
            if self._is_blocked or not self._wait_s:
                raise
            self._is_blocked = True
            poll = select.poll()
            poll.register(STDERR, select.POLLOUT)
            poll.poll(self._wait_s * 1000)
            self._write(octets)
        self._is_blocked = False


def _console(level: Level, event: str, fields: dict[str, Any]) -> str:
    """The line for a terminal, which must not obey strangers' texts: only line breaks, as in a traceback, are kept."""
    line = " ".join([event, *(f"{key}={value}" for key, value in fields.items())])
    return line if line.isprintable() else "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in line)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _nonblocking_writer(fd: int) -> Write:
    """A function that writes to a descriptor without blocking, and without effect on processes that share it.

    O_NONBLOCK is a flag of the open file, which other processes share, so the file is opened again. If that is not
    allowed, as for another user's file, `poll` checks for room before each write: safe with one writer at a time.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):  # such as the journal's
        sock = socket.socket(fileno=os.dup(fd))
        return lambda octets: sock.sendall(octets, socket.MSG_DONTWAIT)
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            again = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND | os.O_NOCTTY)
        except OSError:
            return lambda octets: _write_if_room(fd, octets)
        return lambda octets: _write_whole(again, octets)
    return lambda octets: _write_whole(fd, octets)


def _write_if_room(fd: int, octets: bytes) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    if not poll.poll(0):
        raise BlockingIOError
    _write_whole(fd, octets)


def _write_whole(fd: int, octets: bytes) -> None:
    if os.write(fd, octets) < len(octets):
        raise BlockingIOError


class LibraryHandler(logging.Handler):
    """Sends libraries' messages from `logging` to our log, as the default handler may block."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        level = Level.ERROR if record.levelno >= logging.ERROR else Level.WARNING
        self._log.line(level, self.format(record), {})
