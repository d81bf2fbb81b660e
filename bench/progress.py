"""What a person at a terminal sees while the benchmarks run; in a pipe, a line for each thing that matters."""

from __future__ import annotations

import sys
import time


class Progress:
    """Lines on standard error, and on a terminal one that is written over: how far, and how much longer."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._began = time.monotonic()
        self._steps = self._done = 0

    def say(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        print(f"==> {text}", file=sys.stderr, flush=True)

    def expect(self, steps: int) -> None:
        """So many steps come now."""
        self._steps, self._done, self._began = steps, 0, time.monotonic()

    def step(self, text: str) -> None:
        """The next step begins."""
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
        """Nothing more comes."""
        self._clear()

    def _clear(self) -> None:
        if self._is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
