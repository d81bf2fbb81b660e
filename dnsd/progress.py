"""Progress of reading files: one line on a terminal, overwritten and finally erased; no output to a pipe."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, TypeAlias

EVERY_S = 0.1

Progress: TypeAlias = Callable[[str, int], None]  # called with a file's path and the number of its records read so far


def no_progress(path: str, records: int) -> None:
    """Show nothing."""


@contextmanager
def progress_on(stream: TextIO | None) -> Iterator[Progress]:
    """A function that shows progress on `stream` within the context, if that is a terminal."""
    if stream is None or not stream.isatty():
        yield no_progress
        return
    line = _Line(stream)
    try:
        yield line.show
    finally:
        line.wipe()


class _Line:
    """The last line of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0  # earliest time of the next update
        self._width = 0  # of the text shown

    def show(self, path: str, records: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + EVERY_S
            self.write(f"reading {os.path.basename(path)}  {records:,} records")

    def wipe(self) -> None:
        if self._width:
            self.write("")

    def write(self, text: str) -> None:
        """Overwrite the line; errors, such as a closed terminal, are ignored."""
        text = "".join(c if c.isprintable() else "?" for c in text)[: shutil.get_terminal_size().columns - 1]
        with suppress(OSError, ValueError):
            print(f"\r{text:{self._width}}", end="" if text else "\r", file=self._stream, flush=True)
        self._width = len(text)
