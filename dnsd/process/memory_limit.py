"""The memory that the server may use: a setting, else a share of the machine's or the container's; and what is left."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path

SHARE = 0.8  # of the memory there is: the rest is for the kernel, for buffers and for what the estimates miss
MIB = 1024**2
UNLIMITED = 2**60  # octets; version 1 of control groups writes a number of about this size for "no limit"

# Limits of a process (ulimit -v, ulimit -d): each with the field of statm that counts against it (proc(5)).
OF_PROCESS = ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5))


def memory_limit(memory_mib: int | None) -> int:
    """The limit in octets: the setting, else the default."""
    return memory_mib * MIB if memory_mib is not None else int(SHARE * usable_memory())


def usable_memory(own_group: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """The octets of memory that the processes may use: the machine's, or fewer by a limit of a control group."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min((limit for limit in (machine, *_group_limits(own_group, root)) if limit > 0), default=UNLIMITED)


def memory_left(limit: int, others: Iterable[int]) -> int:
    """The octets of the limit that are left; may be negative. `others` are the pids of the server's other processes."""
    page = os.sysconf("SC_PAGE_SIZE")
    own = _statm("self")
    # Workers and supervisor share the resident pages of code and of the mapped snapshot with this process.
    held = own[1] + sum(max(0, one[1] - one[2]) for one in map(_statm, others))
    return min([limit - held * page, *(most - own[field] * page for most, field in _process_limits())])


def _process_limits() -> Iterator[tuple[int, int]]:
    """The usable share of each limit of this process, and the field of statm that counts against it."""
    for kind, field in OF_PROCESS:
        most = resource.getrlimit(kind)[0]
        if most not in (-1, resource.RLIM_INFINITY):
            yield int(SHARE * most), field


def _statm(process: int | str) -> list[int]:
    """The pages of a process by kind: size, resident, shared, text, 0, data; all 0 if it has ended."""
    try:
        return [int(word) for word in Path(f"/proc/{process}/statm").read_text().split()]
    except (OSError, ValueError):  # or not on Linux
        return [0] * 7


def _group_limits(own_group: Path, root: Path) -> Iterator[int]:
    """The limits, in octets, of the process's control group and of those around it (cgroups(7), both versions)."""
    try:
        lines = own_group.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            folder, file = root, "memory.max"
        elif "memory" in controllers.split(","):
            folder, file = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        inside = folder / group.lstrip("/")
        for place in (inside, *inside.parents):  # in a container, the group may be out of sight: then the root's counts
            if (limit := _limit(place / file)) is not None:
                yield limit
            if place == folder:
                break


def _limit(file: Path) -> int | None:
    try:
        limit = int(file.read_text())
    except (OSError, ValueError):  # no such group or file, or no limit: `max`
        return None
    return limit if limit < UNLIMITED else None
