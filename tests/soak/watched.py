"""Runs `dnsd serve`, and notes the steps of its event loops that use much CPU time: meanwhile nothing else has a turn.

python -m tests.soak.watched CONFIG FILE

Each line of FILE has a process id, the CPU time of one step in seconds, and the work. Time in which the process waits
for a processor, or for another of its threads, does not count. A garbage collection stops all threads: it is noted as
a step of its own, also where it is part of one.
"""

from __future__ import annotations

import asyncio.events
import gc
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import dnsd.cli

LEAST_S = 0.002  # shorter steps are not noted


class LongStep(NamedTuple):
    """A long step of an event loop."""

    pid: int
    cpu_s: float
    work: str


def noting(file: int, run: Callable[[Any], None]) -> Callable[[Any], None]:
    """The same step, noted if it is long."""

    def noted(handle: Any) -> None:
        work = handle._callback
        started = time.thread_time()
        run(handle)
        if (spent := time.thread_time() - started) >= LEAST_S:
            task = getattr(work, "__self__", work)
            os.write(file, f"{os.getpid()} {spent:.4f} {str(task)[:300]}\n".encode())

    return noted


class Collections:
    """Notes long collections of garbage, as one of gc.callbacks."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._started = 0.0

    def __call__(self, phase: str, facts: dict[str, int]) -> None:
        if phase == "start":
            self._started = time.thread_time()
        elif (spent := time.thread_time() - self._started) >= LEAST_S:
            work = f"garbage of generation {facts['generation']}: {facts['collected']:,} objects"
            os.write(self._file, f"{os.getpid()} {spent:.4f} {work}\n".encode())


def long_steps(file: Path, start: int = 0) -> list[LongStep]:
    """The long steps noted after so many octets of the file."""
    lines = file.read_bytes()[start:].decode(errors="replace").splitlines()
    return [LongStep(int(pid), float(spent), work) for pid, spent, work in (line.split(" ", 2) for line in lines)]


if __name__ == "__main__":
    descriptor = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    asyncio.events.Handle._run = noting(descriptor, asyncio.events.Handle._run)  # type: ignore[method-assign]
    gc.callbacks.append(Collections(descriptor))
    dnsd.cli.main(["serve", "-c", sys.argv[1]])
