"""Closed outputs, and lines logged by libraries, stop no process."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.limits import HANG_S
from tests.live.server import PROJECT, Dnsd
from tests.packets import answers, query
from tests.soak.harness import soaked, wait_until

DNS = query("dns.example.com")


@pytest.mark.parametrize("how", ["1>&-", "2>&-", "0<&- 1>&- 2>&-", "| true"])
def test_server_answers_with_closed_outputs(tmp_path: pathlib.Path, how: str) -> None:
    with soaked(tmp_path):
        pass  # writes the files
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = f"exec {sys.executable} -m dnsd serve -c {tmp_path}/dnsd.yaml {how}"
    if how == "| true":
        command = f"{sys.executable} -m dnsd serve -c {tmp_path}/dnsd.yaml | true"
    env = os.environ | {"DNSD_LISTEN": f"127.0.0.1:{port}", "DNSD_METRICS__LISTEN": "127.0.0.1:0"}
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=PROJECT, env=env, stderr=subprocess.DEVNULL, start_new_session=True
    )
    client = Dnsd(tmp_path / "dnsd.yaml")
    client.host, client.port = "127.0.0.1", port

    def replies() -> bool:
        try:
            return bool(answers(client.udp(DNS)))
        except OSError:
            return False

    try:
        wait_until(replies)
        for _ in range(20):
            assert replies()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(HANG_S)


def test_log_lines_of_libraries_do_not_block_control(tmp_path: pathlib.Path) -> None:
    """A garbage request makes the HTTP library log a line, which must be formatted like all others."""
    with soaked(tmp_path, log={"format": "json"}) as server:
        with socket.create_connection(("127.0.0.1", server.http_port())) as client:
            client.sendall(b"\0\1\2garbage\r\n\r\n")
            client.recv(1000)
        time.sleep(0.2)
        assert server.healthy()
        for line in server.stderr.text().splitlines():
            assert line.startswith("{"), line
