"""Pebble, a CA for tests, which asks one server for the challenges of dns-01."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.clients.tools import source, tool
from tests.limits import HANG_S
from tests.live.server import Lines


class Pebble:
    """A CA, and the certificate that its clients must trust."""

    def __init__(self, folder: Path, resolver: str) -> None:
        tool("pebble")
        certificates = source("pebble") / "test" / "certs"
        self.trusted = certificates / "pebble.minica.pem"  # signed the certificate of Pebble's own HTTPS
        self._resolver = resolver
        self._acme, self._management = _free_ports()
        self._config = folder / "pebble.json"
        settings = {
            "listenAddress": f"127.0.0.1:{self._acme}",
            "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": str(certificates / "localhost" / "cert.pem"),
            "privateKey": str(certificates / "localhost" / "key.pem"),
        }
        self._config.write_text(json.dumps({"pebble": settings}))

    @property
    def directory(self) -> str:
        return f"https://127.0.0.1:{self._acme}/dir"

    @contextlib.contextmanager
    def running(self) -> Iterator[Pebble]:
        command = [tool("pebble"), "-config", self._config, "-dnsserver", self._resolver]
        environment = os.environ | {"PEBBLE_VA_NOSLEEP": "1"}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = Lines(process.stdout)
        try:
            deadline = time.monotonic() + HANG_S
            while "ACME directory available" not in output.text():
                assert process.poll() is None, output.text()
                assert time.monotonic() < deadline, output.text()
                time.sleep(0.05)
            yield self
        finally:
            process.terminate()
            process.wait(HANG_S)
            output.close()

    def root(self) -> str:
        """The root of the certificates that it issues."""
        trusted = ssl.create_default_context(cafile=str(self.trusted))
        return httpx.get(f"https://127.0.0.1:{self._management}/roots/0", verify=trusted, timeout=HANG_S).text


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
