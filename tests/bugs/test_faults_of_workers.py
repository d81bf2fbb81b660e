"""Workers that hang, end or cannot be started, and a stale snapshot file, do not affect the answers."""

from __future__ import annotations

import contextlib
import copy
import os
import pathlib
import signal
import socket
import sys
import time

import pytest

from tests.limits import HANG_S
from tests.packets import answers, opt, query
from tests.soak.harness import Soaked, soak_world, soaked, wait_until
from tests.worlds import World, write_world

DNS = query("dns.example.com")
AGAIN = query("amplified.example.com", after=opt())


def test_snapshot_file_of_an_earlier_run_is_not_published_data(tmp_path: pathlib.Path) -> None:
    first = soak_world()
    with Soaked(tmp_path, first) as server:
        assert server.status()["revision"] == 1
    limited = ["prlimit", "--fsize=2048", sys.executable, "-m", "dnsd", "serve", "-c", str(tmp_path / "dnsd.yaml")]
    with Soaked(tmp_path, changed(first, "192.0.2.99"), command=limited) as server:  # it can save no snapshot
        for _ in range(20):  # of every worker
            assert answers(server.udp(DNS)) == ["192.0.2.99"]
        status = server.status()
        assert status["revision"] == 2
        assert "cannot be written" in status["snapshot_problem"]
        assert server.metric("dnsd_snapshot_saved") == 0
        for _ in range(3):
            before = {*server.worker_pids()}
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            while len({*server.worker_pids()} - before) < 2 or server.metric("dnsd_workers") < 2:
                assert answers(server.udp(DNS)) == ["192.0.2.99"]  # also the first answers of the new workers
        for _ in range(20):
            assert answers(server.udp(DNS)) == ["192.0.2.99"]


def test_a_worker_limits_rates_from_its_first_query_on(tmp_path: pathlib.Path) -> None:
    """The same question again and again, which the compiled loop answers by itself; no change was published since."""
    limits = {"rrl": {"responses_per_second": 20, "slip": 2, "exempt": []}}
    with Soaked(tmp_path, soak_world(limits=limits)) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect((server.host, server.port))
        client.settimeout(HANG_S)
        start, whole = time.monotonic(), 0
        for _ in range(200):  # of each two over the limit, one is answered, with TC
            client.send(AGAIN)
            client.send(AGAIN)
            whole += answers(client.recv(4096)) != []
        assert 0 < whole <= 20 * (time.monotonic() - start + 1) * 1.05 * 2  # of two workers


def test_hung_worker_does_not_hold_up_the_others(tmp_path: pathlib.Path) -> None:
    world = soak_world()
    with Soaked(tmp_path, world) as server:
        hung = server.worker_pids()[0]
        os.kill(hung, signal.SIGSTOP)
        try:
            for number in (51, 52, 53):
                address = f"192.0.2.{number}"
                write_world(changed(world, address), tmp_path)
                wait_until(lambda address=address: asked_often(server) == {address})  # type: ignore[misc]
        finally:
            os.kill(hung, signal.SIGCONT)


def changed(world: World, address: str) -> World:
    """The world with another address for dns.example.com."""
    other = copy.deepcopy(world)
    records = other.accounts["acme"].zones["example.com.yaml"]["records"]
    (record,) = (one for one in records if one["name"] == "dns" and one["type"] == "A")
    record["content"] = address
    return other


def asked_often(server: Soaked) -> set[str]:
    """The addresses answered by the workers that respond."""
    found: set[str] = set()
    for _ in range(12):
        with contextlib.suppress(TimeoutError):
            found |= set(answers(server.udp(DNS, timeout_s=0.2)))
    return found


def test_worker_ended_by_an_odd_signal_is_replaced(tmp_path: pathlib.Path) -> None:
    with Soaked(tmp_path) as server:
        os.kill(server.worker_pids()[0], signal.SIGRTMIN + 6)
        wait_until(lambda: server.metric("dnsd_worker_restarts_total") == 1)
        wait_until(server.ready)
        assert answers(server.udp(DNS))


def test_failed_forks_are_tried_again(tmp_path: pathlib.Path) -> None:
    """A failed fork for lack of processes or memory is temporary and must not end the server."""
    resource = pytest.importorskip("resource")
    if os.getuid() == 0:
        pytest.skip("root has no limit of processes")
    with soaked(tmp_path) as server:
        resource.prlimit(server.process.pid, resource.RLIMIT_NPROC, (1, 1))
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        wait_until(lambda: "cannot be started" in server.stderr.text())
        assert server.process.poll() is None
