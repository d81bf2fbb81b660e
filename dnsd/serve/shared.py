"""Memory that all processes of one server share: made by the supervisor before it forks, gone with the last of them.

Every number has one writer at a time, its process or, before that starts, the supervisor; others read it at any time,
without locks. (The limiter's rates have several: see there.)
"""

from __future__ import annotations

import mmap
import time
from dataclasses import dataclass
from enum import IntEnum

from dnsd.net.limits import REGION_SIZE, clear, open_connections


class Number(IntEnum):
    """What each process says of itself."""

    BEAT = 0  # time.monotonic() of its last sign of life
    LOG_DROPPED = 1  # log lines since it started; those of the ones before it are added by the supervisor
    REVISION = 2  # what a worker serves; what control has published, for the one that comes after it
    STARTS = 3  # how often it has been started
    ENDED_LOG_DROPPED = 4  # by the supervisor: of its predecessors
    SOCKET_DROPS = 5  # by the supervisor, of itself: datagrams that found a socket's buffer full
    ENDED_CPU_S = 6  # by the supervisor: user and system time of its predecessors
    TOLD_CPU_S = 7  # by control: what /metrics has told of it and its predecessors
    IS_BEHIND = 8  # by control: 1 while the snapshot file may lack what somebody has asked for, and been told is done


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the server, by its place: workers from 0, then control, then the supervisor."""

    name: str
    index: int


class Shared:
    """The shared memory of a server with so many workers."""

    def __init__(self, workers: int, rates: int) -> None:
        """`rates` is how many the limiter remembers."""
        self.workers = tuple(Process(f"worker-{index}", index) for index in range(workers))
        self.control = Process("control", workers)
        self.supervisor = Process("supervisor", workers + 1)
        self.processes = (*self.workers, self.control, self.supervisor)
        self._numbers = memoryview(mmap.mmap(-1, 8 * len(Number) * len(self.processes))).cast("d")
        self.rates = memoryview(mmap.mmap(-1, 8 * rates)).cast("d")
        area = memoryview(mmap.mmap(-1, REGION_SIZE * workers))
        self.regions = [area[REGION_SIZE * index : REGION_SIZE * (index + 1)] for index in range(workers)]

    def get(self, process: Process, number: Number) -> float:
        """What a process says."""
        return self._numbers[process.index * len(Number) + number]

    def set(self, process: Process, number: Number, value: float) -> None:
        """Say it."""
        self._numbers[process.index * len(Number) + number] = value

    def beat(self, process: Process) -> None:
        """A sign of life."""
        self.set(process, Number.BEAT, time.monotonic())

    def silence_s(self, process: Process) -> float:
        """Seconds since a process' last sign of life."""
        return time.monotonic() - self.get(process, Number.BEAT)

    def cpu_s(self, process: Process, now_s: float) -> float:
        """User and system time of a process and its predecessors, itself having taken `now_s`; never goes back.

        Between the end of a process and the moment when the supervisor has taken account of it, some time is missing.
        """
        told = max(self.get(process, Number.TOLD_CPU_S), self.get(process, Number.ENDED_CPU_S) + now_s)
        self.set(process, Number.TOLD_CPU_S, told)
        return told

    def log_dropped(self) -> int:
        """Log lines dropped by all processes that there are and were."""
        return int(
            sum(self.get(one, Number.LOG_DROPPED) + self.get(one, Number.ENDED_LOG_DROPPED) for one in self.processes)
        )

    def restarts(self) -> int:
        """Workers started in the place of one that ended."""
        return sum(max(0, int(self.get(worker, Number.STARTS)) - 1) for worker in self.workers)

    def connections(self) -> int:
        """TCP connections open now."""
        return sum(open_connections(region) for region in self.regions)

    def forget(self, process: Process, cpu_s: float) -> None:
        """Clear what a process that has ended held, and remember what it took."""
        self.set(process, Number.ENDED_CPU_S, self.get(process, Number.ENDED_CPU_S) + cpu_s)
        ended = self.get(process, Number.ENDED_LOG_DROPPED) + self.get(process, Number.LOG_DROPPED)
        self.set(process, Number.ENDED_LOG_DROPPED, ended)
        self.set(process, Number.LOG_DROPPED, 0)
        self.set(process, Number.BEAT, 0)
        if process in self.workers:
            self.set(process, Number.REVISION, 0)
            clear(self.regions[process.index])
