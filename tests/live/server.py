"""A real `dnsd serve` as a process of its own, with small UDP and TCP clients for tests.

Uses the command line's contract (printed lines, signals, exit status), and nothing inside the package.
"""

from __future__ import annotations

import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Self

from tests.limits import HANG_S, IS_LONG
from tests.live.forked import PROJECT, Forked

REPLY_TIMEOUT_S = 20.0
LISTENING = re.compile(r"listening on (?P<host>\S+):(?P<port>\d+) udp tcp")


class Dnsd:
    """A running server; `with Dnsd(path) as server: server.udp(query)`."""

    def __init__(
        self,
        config: pathlib.Path,
        *,
        env: dict[str, str] | None = None,
        command: list[str] | None = None,
        cwd: pathlib.Path = PROJECT,
        ready_timeout_s: float = HANG_S,
        is_forked: bool = not IS_LONG,
    ) -> None:
        """`is_forked`: by a process that has imported all (`tests/live/forked.py`), so that it also has more memory."""
        self.arguments = ["serve", "-c", str(config)]
        self.command = command or [sys.executable, "-m", "dnsd", *self.arguments]
        self.is_forked = is_forked and not command and cwd == PROJECT
        self.cwd = cwd
        self.env = env or {}
        self.ready_timeout_s = ready_timeout_s
        self.host = ""
        self.port = 0

    def __enter__(self) -> Self:
        self.process = self._start(os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(self.cwd)} | self.env)
        self.stdout = Lines(self.process.stdout)
        self.stderr = Lines(self.process.stderr)
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def udp(self, message: bytes, timeout_s: float = REPLY_TIMEOUT_S) -> bytes:
        """The reply to one datagram; raises TimeoutError if the server does not reply."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout_s)
            client.connect((self.host, self.port))
            client.send(message)
            return client.recv(65535)

    def tcp(self, message: bytes, timeout_s: float = REPLY_TIMEOUT_S) -> bytes:
        """The reply to one framed message on a new connection (RFC 1035 §4.2.2)."""
        with socket.create_connection((self.host, self.port), timeout=timeout_s) as client:
            client.sendall(struct.pack("!H", len(message)) + message)
            (size,) = struct.unpack("!H", receive_exactly(client, 2))
            return receive_exactly(client, size)

    def hup(self, timeout_s: float = HANG_S) -> str:
        """Requests a reload by SIGHUP; returns the new lines on stderr, up to the first about the reload."""
        seen = self.stderr.count()
        self.process.send_signal(signal.SIGHUP)
        self._wait_for(lambda: has_outcome(self.stderr.since(seen)), "a line about the reload", timeout_s)
        return self.stderr.since(seen)

    def stop(self) -> int:
        """Ends the server with SIGTERM (SIGKILL if needed); returns its exit status. May be called twice."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(HANG_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.stdout.close()
        self.stderr.close()
        return status

    def _start(self, environment: dict[str, str]) -> Forked | subprocess.Popen[bytes]:
        if self.is_forked:
            return Forked(self.arguments, env=environment)
        return subprocess.Popen(
            self.command, cwd=self.cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def _await_ready(self) -> None:
        self._wait_for(lambda: "ready" in self.stdout.text().split("\n"), "`ready`", self.ready_timeout_s)
        listening = LISTENING.search(self.stdout.text())
        assert listening, f"no line says where it listens:\n{self.stdout.text()}"
        self.host, self.port = listening["host"].strip("[]"), int(listening["port"])

    def _wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                time.sleep(0.1)  # for the readers to receive an ended server's last output
                state = f"ended with status {self.process.poll()}" if ended else f"is silent for {timeout_s:.0f} s"
                raise AssertionError(f"dnsd {state}, expected {what}\n{self.stdout.text()}\n{self.stderr.text()}")
            time.sleep(0.01)


class Lines:
    """The lines that a process writes to a pipe, read by a thread so that a full pipe never blocks the server."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None
        self._pipe = pipe
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._pipe:
            self._lines.append(line.decode(errors="replace").rstrip("\n"))

    def text(self) -> str:
        return "\n".join(self._lines)

    def count(self) -> int:
        return len(self._lines)

    def since(self, seen: int) -> str:
        return "\n".join(self._lines[seen:])

    def close(self) -> None:
        self._reader.join(HANG_S)
        if (
            not self._reader.is_alive()
        ):  # a worker that outlives its parent keeps the pipe open; closing it during a read would block
            self._pipe.close()


def has_outcome(lines: str) -> bool:
    """Whether one is about a reload; drains are told when all workers have the change, before that or after."""
    return any(" moved off " not in line for line in lines.splitlines())


def receive_exactly(client: socket.socket, size: int) -> bytes:
    """The next `size` octets of a connection; raises EOFError if it ends before."""
    octets = b""
    while len(octets) < size:
        part = client.recv(size - len(octets))
        if not part:
            raise EOFError(f"connection closed after {len(octets)} of {size} octets")
        octets += part
    return octets
