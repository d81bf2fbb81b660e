"""Memory shared by all processes of a server: made by the supervisor before it forks, freed with the last process.

Every number has one writer at a time: its process, or the supervisor before that starts. Other processes read it at any
time, without locks. (The rate limiter's table has several writers: see there.)
"""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import dataclass
from enum import IntEnum

from dnsd.net.limits import KEY_SIZE
from dnsd.net.places import REGION_SIZE, clear, open_connections
from dnsd.process.verified import SIZE, Verified


class Slot(IntEnum):
    """The numbers kept for each process; the value is the index in its part of the memory."""

    BEAT = 0  # time.monotonic() of its last heartbeat
    LOG_DROPPED = 1  # log lines dropped since it started
    REVISION = 2  # served by a worker; published by control, and read by its successor
    STARTS = 3  # of this process and its predecessors
    ENDED_LOG_DROPPED = 4  # log lines dropped by its predecessors; written by the supervisor
    SOCKET_DROPS = 5  # the supervisor's alone: datagrams dropped because a receive buffer was full
    ENDED_CPU_S = 6  # user and system time of its predecessors; written by the supervisor
    SHOWN_CPU_S = 7  # its time last shown in /metrics, predecessors included; written by control
    IS_BEHIND = 8  # control's alone: 1 while the snapshot file may lack changes confirmed to a client
    HAS_GOOD_TEXTS = 9  # control's alone: 1 once the last good texts are those served since the start


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the server and its index: workers from 0, then control, the supervisor, and `outbound`."""

    name: str
    index: int


class Shared:
    """The shared memory of a server."""

    def __init__(self, workers: int, rates: int, *, has_outbound: bool = False) -> None:
        """`workers` is the number of workers, `rates` the size of the rate limiter's table."""
        self.workers = tuple(Process(f"worker-{index}", index) for index in range(workers))
        self.control = Process("control", workers)
        self.supervisor = Process("supervisor", workers + 1)
        self.outbound = Process("outbound", workers + 2) if has_outbound else None
        self.processes = (*self.workers, self.control, self.supervisor, *filter(None, [self.outbound]))
        self._numbers = memoryview(mmap.mmap(-1, 8 * len(Slot) * len(self.processes))).cast("d")
        self.rates = memoryview(mmap.mmap(-1, 8 * rates)).cast("d")
        self.rates_key = os.urandom(KEY_SIZE)  # of their hash; the same in all workers
        self.verified = Verified(memoryview(mmap.mmap(-1, SIZE)))  # the snapshot file
        area = memoryview(mmap.mmap(-1, REGION_SIZE * workers))
        self.regions = [area[REGION_SIZE * index : REGION_SIZE * (index + 1)] for index in range(workers)]
        self.asks = [os.pipe() for _ in range(workers)]  # with requests to each worker by others (net/places.py)
        for end in (end for pipe in self.asks for end in pipe):
            os.set_blocking(end, False)

    def get(self, process: Process, slot: Slot) -> float:
        """Return one of a process's numbers."""
        return self._numbers[process.index * len(Slot) + slot]

    def set(self, process: Process, slot: Slot, value: float) -> None:
        """Set one of a process's numbers."""
        self._numbers[process.index * len(Slot) + slot] = value

    def beat(self, process: Process) -> None:
        """Record a heartbeat."""
        self.set(process, Slot.BEAT, time.monotonic())

    def silence_s(self, process: Process) -> float:
        """Seconds since a process's last heartbeat."""
        return time.monotonic() - self.get(process, Slot.BEAT)

    def cpu_s(self, process: Process, now_s: float) -> float:
        """User and system time of a process, which has used `now_s`, and its predecessors; never decreases.

        The time of a process that has ended is missing until the supervisor has added it.
        """
        shown = max(self.get(process, Slot.SHOWN_CPU_S), self.get(process, Slot.ENDED_CPU_S) + now_s)
        self.set(process, Slot.SHOWN_CPU_S, shown)
        return shown

    def log_dropped(self) -> int:
        """Log lines dropped by all processes, past and present."""
        return int(
            sum(self.get(one, Slot.LOG_DROPPED) + self.get(one, Slot.ENDED_LOG_DROPPED) for one in self.processes)
        )

    def restarts(self) -> int:
        """The number of workers started to replace an ended one."""
        return sum(max(0, int(self.get(worker, Slot.STARTS)) - 1) for worker in self.workers)

    def connections(self) -> int:
        """TCP connections open now."""
        return sum(open_connections(region) for region in self.regions)

    def forget(self, process: Process, cpu_s: float) -> None:
        """Clear the numbers and connections of an ended process; keep its CPU time and dropped log lines."""
        self.set(process, Slot.ENDED_CPU_S, self.get(process, Slot.ENDED_CPU_S) + cpu_s)
        ended = self.get(process, Slot.ENDED_LOG_DROPPED) + self.get(process, Slot.LOG_DROPPED)
        self.set(process, Slot.ENDED_LOG_DROPPED, ended)
        self.set(process, Slot.LOG_DROPPED, 0)
        self.set(process, Slot.BEAT, 0)
        if process in self.workers:
            self.set(process, Slot.REVISION, 0)
            clear(self.regions[process.index])
