"""The effect of signals on the running server and each of its processes: reload, drain and end, or nothing."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from dnsd.process.link import MessageKind, ask
from dnsd.settings.written import state_folder
from tests.limits import HANG_S
from tests.live.server import PROJECT, Dnsd
from tests.live.test_service import DNS, ZONE, config
from tests.packets import answers

IGNORED = {
    "USR2": signal.SIGUSR2,
    "ALRM": signal.SIGALRM,
    "VTALRM": signal.SIGVTALRM,
    "PROF": signal.SIGPROF,
    "IO": signal.SIGIO,
    "PWR": signal.SIGPWR,
    "STKFLT": signal.SIGSTKFLT,
    "RTMIN": signal.SIGRTMIN,
    "RTMIN+7": signal.SIGRTMIN + 7,
    "RTMAX": signal.SIGRTMAX,
    "PIPE": signal.SIGPIPE,
    "WINCH": signal.SIGWINCH,
    "URG": signal.SIGURG,
    "CONT": signal.SIGCONT,
}
OF_THE_SUPERVISOR = {"USR1": signal.SIGUSR1, "HUP": signal.SIGHUP, "INT": signal.SIGINT}
END = {"TERM": signal.SIGTERM, "INT": signal.SIGINT, "QUIT": signal.SIGQUIT}


@pytest.fixture(name="server")
def _server(tmp_path: pathlib.Path) -> Iterator[Dnsd]:
    with Dnsd(config(tmp_path, reload={"watch": False}, workers=2)) as running:
        yield running


def pids(folder: pathlib.Path) -> dict[str, int]:
    """The pids of the server's processes; empty while control is away."""
    try:
        found = ask(state_folder(folder / "dnsd.yaml"), MessageKind.STATUS, {}, timeout_s=10)["processes"]
    except OSError:
        return {}
    return {one["process"]: one["pid"] for one in found}


def await_that(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def has_heard(pid: int, number: int) -> bool:
    """Whether a signal is no longer pending for a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    waiting = [int(line.split()[1], 16) for line in status if line.startswith(("SigPnd", "ShdPnd"))]
    return not any(mask >> (number - 1) & 1 for mask in waiting)


def send(pid: int, number: int) -> None:
    os.kill(pid, number)
    await_that(lambda: has_heard(pid, number), f"{pid} does not hear {number}")


@pytest.mark.parametrize("name", ["HUP", "USR1"])
def test_reloads(server: Dnsd, tmp_path: pathlib.Path, name: str) -> None:
    before = pids(tmp_path)
    seen = server.stderr.count()
    file = tmp_path / ZONE
    file.write_text(file.read_text().replace("192.0.2.2", "192.0.2.77"))
    server.process.send_signal(OF_THE_SUPERVISOR[name])
    await_that(lambda: answers(server.udp(DNS)) == ["192.0.2.77"], "the file is not read")
    await_that(lambda: "reloaded: " in server.stderr.since(seen), server.stderr.text())
    assert ("SIGUSR1: reloading" in server.stderr.since(seen)) == (name == "USR1")
    assert pids(tmp_path) == before


def test_other_signals_kill_no_process(server: Dnsd, tmp_path: pathlib.Path) -> None:
    before = pids(tmp_path)
    assert before.keys() == {"supervisor", "control", "worker-0", "worker-1"}
    for process, pid in before.items():
        for number in _ignored_by(process):
            send(pid, number)
    assert answers(server.udp(DNS)) == ["192.0.2.2"]
    assert pids(tmp_path) == before
    said = [line for line in server.stderr.text().splitlines() if "SIG" in line]
    assert said == ["SIGUSR2 is ignored: SIGHUP reloads, SIGTERM ends the server"]
    assert "reloaded" not in server.stderr.text()


@pytest.mark.parametrize("number", END.values(), ids=END.keys())
def test_the_server_drains_and_ends(server: Dnsd, tmp_path: pathlib.Path, number: int) -> None:
    before = pids(tmp_path)
    for pid in before.values():
        os.kill(pid, signal.SIGSTOP)  # so that queries sent now are received but not answered
    client = _asked(server, 300)
    server.process.send_signal(number)
    for pid in before.values():
        os.kill(pid, signal.SIGCONT)
    assert server.process.wait(HANG_S) == 0
    assert _received(client) == 300
    assert "shutting down: answering queries already received" in server.stderr.text()
    assert not any(psutil.pid_exists(pid) for pid in before.values())


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM], ids=["QUIT", "TERM"])
@pytest.mark.parametrize("process", ["worker-0", "worker-1", "control"])
def test_terminated_process_drains_and_is_replaced(
    server: Dnsd, tmp_path: pathlib.Path, process: str, number: int
) -> None:
    before = pids(tmp_path)
    for worker in (pid for name, pid in before.items() if name.startswith("worker")):
        os.kill(worker, signal.SIGSTOP)
    client = _asked(server, 100)
    os.kill(before[process], number)
    for worker in (pid for name, pid in before.items() if name.startswith("worker")):
        os.kill(worker, signal.SIGCONT)
    others = before.items() - {(process, before[process])}
    await_that(lambda: pids(tmp_path).get(process) not in (None, before[process]), f"no other {process}")
    assert _received(client) == 100
    await_that(lambda: others < pids(tmp_path).items(), "others have ended, too")
    assert answers(server.udp(DNS)) == ["192.0.2.2"]
    assert f"{process} ended (status 0)" in server.stderr.text()


def _asked(server: Dnsd, queries: int) -> socket.socket:
    """A TCP client that has sent this many queries."""
    client = socket.create_connection((server.host, server.port), timeout=HANG_S)
    client.sendall((len(DNS).to_bytes(2) + DNS) * queries)
    return client


def _received(client: socket.socket) -> int:
    """The number of replies until the server closes the connection."""
    octets = b""
    with client:
        client.shutdown(socket.SHUT_WR)
        while part := client.recv(65_536):
            octets += part
    count = 0
    while octets:
        octets = octets[2 + int.from_bytes(octets[:2]) :]
        count += 1
    return count


def test_quit_of_a_terminal_reaches_all_and_ends_the_server(tmp_path: pathlib.Path) -> None:
    with Dnsd(config(tmp_path), command=_own_group(tmp_path)) as server:
        os.killpg(server.process.pid, signal.SIGQUIT)
        assert server.process.wait(HANG_S) == 0


def _own_group(folder: pathlib.Path) -> list[str]:
    """The command that runs the server as the leader of a process group, which receives a terminal's signals."""
    become = "import os, sys; os.setpgid(0, 0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    return [sys.executable, "-c", become, "-m", "dnsd", "serve", "-c", str(folder / "dnsd.yaml")]


@pytest.mark.parametrize("name", ["HUP", "USR1", "USR2", "ALRM", "RTMIN"])
def test_start_continues_despite_signals(tmp_path: pathlib.Path, name: str) -> None:
    """Signals are sent once the process ignores SIGHUP, before it has read any file."""
    command = [sys.executable, "-m", "dnsd", "serve", "-c", str(config(tmp_path))]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            await_that(lambda: _ignores(process.pid, signal.SIGHUP), "the start did not get that far")
            process.send_signal({**OF_THE_SUPERVISOR, **IGNORED}[name])
            assert process.stdout is not None
            assert "ready\n" in iter(process.stdout.readline, "")
        finally:
            process.terminate()
            assert process.wait(HANG_S) == 0


def _ignored_by(process: str) -> list[int]:
    """The signals ignored by a process; a real-time signal ends a worker or control, which is then replaced."""
    if process == "supervisor":
        return [*IGNORED.values()]
    return [number for number in (*IGNORED.values(), *OF_THE_SUPERVISOR.values()) if number < signal.SIGRTMIN]


def _ignores(pid: int, number: int) -> bool:
    """Whether a process ignores a signal, or has a handler for it."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in status if line.startswith(("SigIgn", "SigCgt"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


@pytest.mark.parametrize("process", ["worker-0", "control"])
def test_stopped_process_of_a_killed_server_does_not_outlive_it(
    server: Dnsd, tmp_path: pathlib.Path, process: str
) -> None:
    """A stopped process runs no code that could notice, and would keep the ports and the state folder."""
    stopped = psutil.Process(pids(tmp_path)[process])
    stopped.suspend()
    server.process.kill()
    server.process.wait(HANG_S)
    stopped.wait(HANG_S)
    with Dnsd(tmp_path / "dnsd.yaml") as successor:
        assert "is in use by another server" not in successor.stderr.text()
