"""The number of cores that this process may use, by its affinity and its container's CPU quota."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(own_group: Path = Path("/proc/self/cgroup"), root: Path = CGROUPS) -> int:
    """The number of usable cores, at least 1; a quota of one and a half cores counts as 2."""
    return max(1, math.ceil(min(len(os.sched_getaffinity(0)), _quota(own_group, root))))


def _quota(own_group: Path, root: Path) -> float:
    """The smallest quota, in cores, of the process's control group and its ancestors (cgroups(7), version 2)."""
    try:
        line = own_group.read_text().splitlines()[-1]
    except (OSError, IndexError):
        return math.inf
    group = root / line.rpartition(":")[2].lstrip("/")
    return min((_limit(folder / "cpu.max") for folder in (group, *group.parents)), default=math.inf)


def _limit(file: Path) -> float:
    try:
        quota, period = file.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # no quota: `max`, or cgroups of version 1
        return math.inf
