"""A forked `dnsd` is like one in an interpreter of its own, except for its imports and its memory."""

from __future__ import annotations

import operator
import os
import pathlib
import pprint
import re
import signal
import subprocess
import sys

import psutil
import pytest

from tests.live import forked
from tests.live.forked import Forked, Forker, run
from tests.live.server import PROJECT, Dnsd
from tests.soak.harness import Soaked, open_files, wait_until


@pytest.mark.parametrize("arguments", [["nonsense"], ["check", "-c", "missing.yaml"]])
def test_command_ends_and_prints_alike(arguments: list[str]) -> None:
    env = os.environ | {"DNSD_STATE": "elsewhere", "COLUMNS": "60"}
    command = [sys.executable, "-m", "dnsd", *arguments]
    started = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)
    forked = run(*arguments, env=env)
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


def test_processes_have_the_same_descriptors_signals_and_threads(tmp_path: pathlib.Path) -> None:
    folders = [tmp_path / "started", tmp_path / "forked"]
    for folder in folders:
        folder.mkdir()
    with Soaked(folders[0], is_forked=False) as started, Soaked(folders[1], is_forked=True) as forked:

        def found() -> list[dict[str, dict[str, object]]]:
            return [{name: facts(pid) for name, pid in server.pids().items()} for server in (started, forked)]

        assert found()[1].keys() == {"supervisor", "control", "worker-0", "worker-1"}
        wait_until(lambda: operator.eq(*found()), lambda: pprint.pformat(found()))  # control has threads for a moment


def facts(pid: int) -> dict[str, object]:
    """What a process has of the system, without numbers that differ in each run."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    process = psutil.Process(pid)
    return {
        "descriptors": sorted(re.sub(r"\d+|/.*/", "", target) for target in open_files(pid)),
        "signals": re.findall(r"^(?:SigBlk|SigIgn|SigCgt):.*", status, re.MULTILINE),
        "threads": process.num_threads(),
        "limits": pathlib.Path(f"/proc/{pid}/limits").read_text(),
        "folder": process.cwd(),
        "group": os.getpgid(pid),
        "niceness": process.nice(),
    }


def test_end_by_a_signal_is_known(tmp_path: pathlib.Path) -> None:
    with Dnsd(Soaked(tmp_path).config) as server:
        assert isinstance(server.process, Forked)
        assert server.process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(0.01)
        server.process.kill()
        assert server.process.wait() == -signal.SIGKILL
        assert server.process.poll() == -signal.SIGKILL


def test_no_server_outlives_the_tests(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Forker()
    monkeypatch.setattr(forked, "forker", lambda: one)
    with Soaked(tmp_path) as server:
        pids = server.pids().values()
        one.close()  # as the kernel does for killed tests
        wait_until(lambda: not any(map(psutil.pid_exists, pids)), lambda: pprint.pformat(server.pids()))
        assert server.process.wait() == -signal.SIGKILL


def test_runs_that_are_not_made_or_hang_leave_no_descriptors() -> None:
    def descriptors() -> list[str]:
        return sorted(os.listdir("/proc/self/fd"))

    run("--version")
    before = descriptors()
    with pytest.raises(AssertionError, match="so large an environment"):
        run("--version", env={"LARGE": "x" * 300_000})
    with pytest.raises(AssertionError, match="so large an environment"):
        Forked(["--version"], env={"LARGE": "x" * 300_000})
    with pytest.raises(subprocess.TimeoutExpired):
        run("serve", "-c", "config/dnsd.yaml", timeout_s=0)
    assert descriptors() == before
