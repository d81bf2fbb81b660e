"""The memory that the server may use: the machine's, a container's or a process's limit, less what is held."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dnsd.process.memory_limit import MIB, memory_left, memory_limit, usable_memory

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
V1 = "9:cpu,cpuacct:/above/own\n4:memory:/above/own\n0::/\n"
V2 = "0::/above/own\n"

# The lines of /proc/self/cgroup, the files of limits, and the memory in MiB.
GROUPS: dict[str, tuple[str, Mapping[str, str], int]] = {
    "version 2": (V2, {"above/own/memory.max": f"{20 * MIB}\n"}, 20),
    "version 2, the group above": (V2, {"above/own/memory.max": "max\n", "above/memory.max": f"{30 * MIB}\n"}, 30),
    "version 2, the smaller one": (
        V2,
        {"above/own/memory.max": f"{40 * MIB}\n", "above/memory.max": f"{30 * MIB}\n"},
        30,
    ),
    "version 2 in a container": ("0::/\n", {"memory.max": f"{50 * MIB}\n"}, 50),
    "version 1": (V1, {"memory/above/own/memory.limit_in_bytes": f"{20 * MIB}\n"}, 20),
    "version 1, the group above": (V1, {"memory/above/memory.limit_in_bytes": f"{30 * MIB}\n"}, 30),
    "version 1 in a container that sees its own group alone": (
        V1,
        {"memory/memory.limit_in_bytes": f"{50 * MIB}\n"},
        50,
    ),
    "version 1, no limit": (V1, {"memory/above/own/memory.limit_in_bytes": "9223372036854771712\n"}, MACHINE // MIB),
    "no limit": (V2, {"above/own/memory.max": "max\n", "above/memory.max": "max\n"}, MACHINE // MIB),
    "more than the machine has": (V2, {"above/own/memory.max": f"{2 * MACHINE}\n"}, MACHINE // MIB),
    "not readable": (V2, {"above/own/memory.max": "?\n"}, MACHINE // MIB),
}


@pytest.mark.parametrize(("lines", "files", "mib"), GROUPS.values(), ids=GROUPS.keys())
def test_usable_memory(tmp_path: Path, lines: str, files: Mapping[str, str], mib: int) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    own = tmp_path / "cgroup"
    own.write_text(lines)
    assert usable_memory(own, tmp_path) // MIB == mib


def test_without_control_groups(tmp_path: Path) -> None:
    assert usable_memory(tmp_path / "none", tmp_path) == MACHINE


def test_setting_replaces_the_share_of_the_machine() -> None:
    assert memory_limit(100) == 100 * MIB
    assert 0 < memory_limit(None) <= 0.8 * MACHINE


def test_other_processes_count() -> None:
    holding = "import sys; held = bytearray(64 << 20); held[::4096] = b'x' * (16 << 10); print(); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        limit = memory_limit(None)
        alone = memory_left(limit, ())
        assert 60 * MIB < alone - memory_left(limit, [other.pid]) < 100 * MIB
        other.communicate()
    assert memory_left(limit, [other.pid]) > alone - 20 * MIB  # it has ended


# Prints the limit that is left to a process, and what it had before in addresses or data.
LEFT = """
import resource, sys
from pathlib import Path
from dnsd.process.memory_limit import memory_left
page = resource.getpagesize()
held = int(Path('/proc/self/statm').read_text().split()[int(sys.argv[2])]) * page
kind = getattr(resource, sys.argv[1])
resource.setrlimit(kind, (held + (400 << 20), resource.getrlimit(kind)[1]))
print((held + (400 << 20)) * 8 // 10 - held - memory_left(1 << 60, ()))
"""


@pytest.mark.parametrize(("kind", "field"), [("RLIMIT_AS", "0"), ("RLIMIT_DATA", "5")])
def test_limit_of_the_process_counts(kind: str, field: str) -> None:
    done = subprocess.run([sys.executable, "-c", LEFT, kind, field], capture_output=True, text=True, check=True)
    assert abs(int(done.stdout)) < 4 * MIB
