"""Runs of `dnsd` in processes forked from one that has imported it: the imports are most of the work of a short run.

`Forked(["serve", …])` has its own environment, streams and signals, and runs the same `main`, so that it differs from
`subprocess.Popen([sys.executable, "-m", "dnsd", "serve", …])` in its imports and its memory only.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import IO

from tests.limits import HANG_S
from tests.live.forker import NUMBER_SIZE, REQUEST_SIZE

PROJECT = pathlib.Path(__file__).resolve().parents[2]


class Forker:
    """The process that forks, as its users see it; it ends with them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(PROJECT)}
            command = [sys.executable, "-m", "tests.live.forker", str(other.fileno())]
            self._process = subprocess.Popen(command, cwd=PROJECT, env=environment, pass_fds=[other.fileno()])

    def fork(self, arguments: list[str], environment: Mapping[str, str], fds: list[int]) -> int:
        """The pid of a new run with these descriptors of its output, its errors, and its exit status."""
        request = json.dumps({"arguments": arguments, "environment": dict(environment)}).encode()
        assert len(request) <= REQUEST_SIZE, "a run with so large an environment needs subprocess"
        with self._lock:
            socket.send_fds(self._requests, [request], fds)
            pid = self._requests.recv(NUMBER_SIZE)
        assert pid, "the process that forks has ended"
        return int.from_bytes(pid)

    def close(self) -> None:
        self._requests.close()
        self._process.wait(HANG_S)


@functools.cache
def forker() -> Forker:
    """The process that forks; one for all tests of this process."""
    one = Forker()
    atexit.register(one.close)
    return one


class Forked:
    """A run of `dnsd`, with attributes and methods like `subprocess.Popen`. Its output goes to files or to pipes."""

    def __init__(
        self,
        arguments: list[str],
        *,
        env: Mapping[str, str],
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
    ) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self.stdout, out = _target(stdout)
        self.stderr, errors = _target(stderr)
        self._status, status = os.pipe()
        try:
            self.pid = forker().fork(arguments, env, [out, errors, status])
        except BaseException:
            for file in filter(None, (self.stdout, self.stderr)):
                file.close()
            os.close(self._status)
            raise
        finally:
            for fd in (out, errors, status):
                os.close(fd)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            ended = select.poll()
            ended.register(self._status, select.POLLIN)
            if not ended.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            status = os.read(self._status, NUMBER_SIZE)
            assert status, "the process that forks has ended"
            os.close(self._status)
            self.returncode = int.from_bytes(status, signed=True)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _target(file: IO[bytes] | None) -> tuple[IO[bytes] | None, int]:
    """The end to read, if a pipe is made, and the descriptor to write to."""
    if file:
        return None, os.dup(file.fileno())
    read, write = os.pipe()
    return os.fdopen(read, "rb"), write


def run(
    *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = HANG_S
) -> subprocess.CompletedProcess[str]:
    """Run `dnsd` to its end; its exit status and output, as from `subprocess.run`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = Forked(list(arguments), env=os.environ if env is None else env, stdout=out, stderr=errors)
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        texts = [file.seek(0) or file.read().decode() for file in (out, errors)]
    return subprocess.CompletedProcess(process.args, status, *texts)
