"""The two C programs, compiled at their first use, and the load generator's measurements."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
FLAGS = ["-O2", "-Wall", "-Wextra"]
PAUSE_S = 30.0  # allowed beyond a run's requested duration


class NativeError(Exception):
    """Compiling or running a program failed."""


@cache
def build(name: str) -> Path:
    """The compiled program `name`. Raises NativeError."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise NativeError("there is no C compiler (cc)")
    folder = tempfile.mkdtemp(prefix="dnsd-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = Path(folder) / name
    run = subprocess.run(
        [compiler, *FLAGS, "-o", str(program), str(HERE / f"{name}.c")], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise NativeError(run.stderr)
    return program


@dataclass(frozen=True)
class Load:
    """The load generator's counts."""

    sent: int
    answered: int
    lost: int
    seconds: float
    p50_us: float
    p99_us: float
    rcodes: dict[str, int]


def load(
    port: int,
    queries: Path,
    seconds: float,
    *,
    core: int,
    tcp: bool = False,
    sockets: int = 8,
    window: int = 24,
    most: int | None = None,
) -> Load:
    """Send the queries in a file to the server at `port` for the given time, or `most` of them. Raises NativeError."""
    command = [str(build("load")), *(["-t"] if tcp else []), "-s", str(sockets), "-w", str(window)]
    command += ["-m", str(most)] if most is not None else []
    command += [str(port), str(queries), str(seconds)]
    try:
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + PAUSE_S,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
    except subprocess.TimeoutExpired:
        raise NativeError("the load did not end") from None
    if run.returncode:
        raise NativeError(run.stderr.strip())
    found = json.loads(run.stdout)
    return Load(**{key: found[key] for key in Load.__dataclass_fields__})
