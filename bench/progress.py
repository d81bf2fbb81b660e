"""The progress of the benchmarks on a terminal; in a pipe, one line per message."""

from __future__ import annotations

import sys
import time


class Progress:
    """Lines on standard error; on a terminal also an overwritten one with progress and remaining time."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._began = time.monotonic()
        self._steps = self._done = 0

    def say(self, text: str) -> None:
        """Print a lasting line."""
        self._clear()
        print(f"==> {text}", file=sys.stderr, flush=True)

    def expect(self, steps: int) -> None:
        """Expect this many steps."""
        self._steps, self._done, self._began = steps, 0, time.monotonic()

    def step(self, text: str) -> None:
        """Begin the next step."""
        self._done += 1
        left = ""
        if self._done > 1:
            seconds = (time.monotonic() - self._began) / (self._done - 1) * (self._steps - self._done + 1)
            left = f", {seconds / 60:.0f} min {seconds % 60:.0f} s left"
        line = f"{self._done}/{self._steps} {text}{left}"
        if self._is_terminal:
            self._clear()
            print(line, end="", file=sys.stderr, flush=True)
        elif self._done % 20 == 1:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Erase the progress line."""
        self._clear()

    def _clear(self) -> None:
        if self._is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
