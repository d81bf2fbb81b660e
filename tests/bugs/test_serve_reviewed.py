"""Former bugs in the server's processes, one test for each."""

from __future__ import annotations

import contextlib
import copy
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from dnsd.log import Log
from dnsd.process.privileges import ServerUser
from dnsd.process.state import LOCK_FILE, make_folder, read_address, take_state
from dnsd.serve.start import STATE_FILES
from tests.live.server import PROJECT, Dnsd
from tests.packets import answers, query
from tests.soak.harness import Soaked, soak_world, soaked, wait_until
from tests.worlds import World, write_world

DNS = query("dns.example.com")


def test_root_follows_no_link_in_a_folder_that_is_a_users(tmp_path: pathlib.Path) -> None:
    folder, secret = tmp_path / "state", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("secret")
    for name in (LOCK_FILE, "snapshot"):
        (folder / name).symlink_to(secret)
    before = secret.stat()
    make_folder(folder, ServerUser("nobody", os.getuid(), os.getgid()), STATE_FILES)
    state = take_state(folder, Log())
    try:
        assert state.is_temporary
        assert secret.read_text() == "secret"
        assert (secret.stat().st_uid, secret.stat().st_mode) == (before.st_uid, before.st_mode)
    finally:
        os.close(state.lock)


@pytest.mark.skipif(os.getuid() != 0, reason="root alone gives files away")
def test_what_root_left_is_handed_over_and_nothing_else(tmp_path: pathlib.Path) -> None:
    folder, secret = tmp_path / "state", tmp_path / "secret"
    version = folder / "history" / ("a" * 32) / "20261127T100000.000000Z"
    version.parent.mkdir(parents=True)
    secret.write_text("secret")
    own = [folder / "tokens.json", folder / "audit.log", folder / "audit.log.1", version]
    for file in own:
        file.write_text("x")
    (folder / "mine.yaml").write_text("x")
    (folder / "audit.log.2").hardlink_to(secret)
    make_folder(folder, ServerUser("nobody", 65534, os.getgid()), STATE_FILES)
    for path in (folder, folder / "history", version.parent, *own):
        assert path.stat().st_uid == 65534, path
    assert (folder / "mine.yaml").stat().st_uid == secret.stat().st_uid == 0


def test_two_servers_of_one_folder_have_different_addresses(tmp_path: pathlib.Path) -> None:
    first = take_state(tmp_path, Log())
    second = take_state(tmp_path, Log())
    try:
        assert (first.is_temporary, second.is_temporary) == (False, True)
        assert read_address(tmp_path) == first.address != second.address
    finally:
        os.close(first.lock)
        os.close(second.lock)


def test_what_an_earlier_run_saved_is_not_taken_for_what_is_published(tmp_path: pathlib.Path) -> None:
    first = soak_world()
    with Soaked(tmp_path, first) as server:
        assert server.status()["revision"] == 1
    (tmp_path / "state/snapshot.new").mkdir()  # so that nothing can be saved
    with Soaked(tmp_path, changed(first, "192.0.2.99")) as server:
        for _ in range(20):  # of every worker
            assert answers(server.udp(DNS)) == ["192.0.2.99"]
        status = server.status()
        assert status["revision"] == 2
        assert "cannot be written" in status["snapshot_problem"]
        assert server.metric("dnsd_snapshot_saved") == 0
        for pid in server.worker_pids():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server.metric("dnsd_workers") == 2)
        for _ in range(20):
            assert answers(server.udp(DNS)) == ["192.0.2.99"]


def test_one_worker_that_hangs_does_not_hold_up_the_others(tmp_path: pathlib.Path) -> None:
    world = soak_world()
    with Soaked(tmp_path, world) as server:
        hung = server.worker_pids()[0]
        os.kill(hung, signal.SIGSTOP)
        try:
            for number in (51, 52, 53):
                address = f"192.0.2.{number}"
                write_world(changed(world, address), tmp_path)
                wait_until(lambda address=address: asked_often(server) == {address}, timeout_s=3)  # type: ignore[misc]
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
            found |= set(answers(server.udp(DNS, timeout_s=0.05)))
    return found


def test_a_worker_that_ends_by_an_odd_signal_is_replaced(tmp_path: pathlib.Path) -> None:
    with Soaked(tmp_path) as server:
        os.kill(server.worker_pids()[0], signal.SIGRTMIN + 6)
        wait_until(lambda: server.metric("dnsd_worker_restarts_total") == 1)
        wait_until(server.ready)
        assert answers(server.udp(DNS))


def test_processes_that_cannot_be_forked_are_tried_again(tmp_path: pathlib.Path) -> None:
    """A failed fork for lack of processes or memory is temporary and must not end the server."""
    resource = pytest.importorskip("resource")
    if os.getuid() == 0:
        pytest.skip("root has no limit of processes")
    with soaked(tmp_path) as server:
        resource.prlimit(server.process.pid, resource.RLIMIT_NPROC, (1, 1))
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        wait_until(lambda: "cannot be started" in server.stderr.text())
        assert server.process.poll() is None


@pytest.mark.parametrize("how", ["1>&-", "2>&-", "0<&- 1>&- 2>&-", "| true"])
def test_outputs_that_are_closed(tmp_path: pathlib.Path, how: str) -> None:
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
            return bool(answers(client.udp(DNS, timeout_s=0.2)))
        except OSError:
            return False

    try:
        wait_until(replies)
        for _ in range(20):
            assert replies()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


def test_libraries_cannot_block_control_with_what_they_log(tmp_path: pathlib.Path) -> None:
    """A garbage request makes the HTTP library log a line, which must be formatted like all others."""
    with soaked(tmp_path, log={"format": "json"}) as server:
        with socket.create_connection(("127.0.0.1", server.http_port())) as client:
            client.sendall(b"\0\1\2garbage\r\n\r\n")
            client.recv(1000)
        time.sleep(0.2)
        assert server.healthy()
        for line in server.stderr.text().splitlines():
            assert line.startswith("{"), line
