"""How many cores this process may use: by its affinity, and by the CPU quota that its container has."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(own_group: Path = Path("/proc/self/cgroup"), root: Path = CGROUPS) -> int:
    """At least one; a quota of one and a half cores counts as two."""
    return max(1, math.ceil(min(len(os.sched_getaffinity(0)), _quota(own_group, root))))


def _quota(own_group: Path, root: Path) -> float:
    """The smallest quota, in cores, of the process' control group and those above it (cgroups(7), version 2)."""
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
    except (OSError, ValueError):  # there is none: `max`, or another kind of group
        return math.inf
