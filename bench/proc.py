"""The processor time and memory of processes, and a description of this machine, from /proc."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
SETTLE_S = 0.1
CPUCLOCK_SCHED = 2  # time on a processor, as the scheduler counts it
UTIME, STIME = 11, 12  # fields of stat after the name, proc(5)
BUSY = (0, 1, 2, 5, 6)  # fields of cpuN: user, nice, system, irq, softirq
STEAL = 7


@dataclass(frozen=True)
class Cpu:
    """Seconds of processor time: `total_s` as counted by the scheduler in nanoseconds, the others in clock ticks."""

    total_s: float
    user_s: float
    system_s: float

    def since(self, before: Cpu) -> Cpu:
        """The difference from an earlier value."""
        return Cpu(self.total_s - before.total_s, self.user_s - before.user_s, self.system_s - before.system_s)


def children(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for task in (PROC / str(one) / "task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_of(pids: Iterable[int]) -> Cpu:
    """The processor time of all threads of these processes so far, including ended threads."""
    total_ns = user = system = 0
    for pid in pids:
        with suppress(OSError):
            total_ns += time.clock_gettime_ns(cpu_clock(pid))
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            user += int(fields[UTIME])
            system += int(fields[STIME])
    return Cpu(total_ns / 1e9, user * TICK_S, system * TICK_S)


def cpu_clock(pid: int) -> int:
    """The clock of a process's processor time, as from clock_getcpuclockid(3), which Python lacks.

    It is the sum of the threads' `schedstat`, in nanoseconds, but includes ended threads: PowerDNS starts one per TCP
    connection.
    """
    return ~pid << 3 | CPUCLOCK_SCHED


def schedstat_s(pid: int) -> float:
    """The processor time of a process's current threads."""
    tasks = (PROC / str(pid) / "task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


@dataclass(frozen=True)
class Core:
    """Time of cores, in seconds."""

    busy_s: float
    steal_s: float

    def since(self, before: Core) -> Core:
        """The difference from an earlier value."""
        return Core(self.busy_s - before.busy_s, self.steal_s - before.steal_s)


def core_time(cores: Iterable[int]) -> Core:
    """The time these cores were busy, for any process, and the time stolen by the hypervisor."""
    wanted = {f"cpu{core}" for core in cores}
    lines = [line.split() for line in (PROC / "stat").read_text().splitlines()]
    ticks = [[int(one) for one in line[1:]] for line in lines if line and line[0] in wanted]
    return Core(sum(one[index] for one in ticks for index in BUSY) * TICK_S, sum(one[STEAL] for one in ticks) * TICK_S)


def own_cpu_s() -> float:
    """The processor time of this process and its ended children."""
    took = os.times()
    return took.user + took.system + took.children_user + took.children_system


def memory_bytes(pid: int) -> int:
    """Proportional set size: memory shared by n processes counts 1/n for each, so that a sum counts it once."""
    text = (PROC / str(pid) / "smaps_rollup").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


def resident_bytes(pid: int) -> int:
    """Resident set size, shared memory included."""
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def private_bytes(pid: int) -> int:
    """Memory that no other process shares: what a further process like it needs."""
    text = (PROC / str(pid) / "smaps_rollup").read_text()
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Private_"))


def memory_of(pids: Iterable[int]) -> int:
    """The sum over processes."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += memory_bytes(pid)
    return total


def wait_until_idle(pids: Iterable[int], within_s: float) -> None:
    """Return once the processes use less than a tenth of a core and none waits for one, or after a time limit."""
    chosen, deadline = list(pids), time.monotonic() + within_s
    before = cpu_of(chosen).total_s
    while time.monotonic() < deadline:
        time.sleep(SETTLE_S)
        now = cpu_of(chosen).total_s
        if now - before < SETTLE_S / 10 and not any(map(is_runnable, chosen)):
            return
        before = now


def is_runnable(pid: int) -> bool:
    """Whether a thread of the process runs, or would if a core were free."""
    with suppress(OSError):
        for task in (PROC / str(pid) / "task").iterdir():
            if (task / "stat").read_text().rpartition(")")[2].split()[0] == "R":
                return True
    return False


def machine() -> dict[str, str]:
    """A description of the machine."""
    cpuinfo = (PROC / "cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    memory_kib = int((PROC / "meminfo").read_text().split()[1])
    virtual = " (virtual machine)" if " hypervisor" in cpuinfo else ""
    return {
        "processor": f"{os.cpu_count()} cores of {models[0] if models else platform.machine()}{virtual}",
        "memory": f"{memory_kib / 2**20:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "system": _os_name(),
        "Python": f"{platform.python_version()}, {platform.python_compiler()}",
        "C compiler": first_line(["cc", "--version"]),
    }


def _os_name() -> str:
    with suppress(OSError):
        for line in Path("/etc/os-release").read_text().splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip('"')
    return platform.platform()


def first_line(command: list[str]) -> str:
    """The first line of a command's output; empty if it cannot be run."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (run.stdout + run.stderr).strip().splitlines()
    return lines[0].strip() if lines else ""
