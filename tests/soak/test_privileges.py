"""The server's user, and starting and watching it by a service manager: R13 of reliability.md, sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.limits import HANG_S, judged
from tests.packets import answers
from tests.soak.editions import DNS, DNS_ANSWER, MAP, edition_world, map_text, questions, serves_map, wait_for_edition
from tests.soak.flow import Flow, Scrapes, reload_now
from tests.soak.harness import Soaked, wait_until
from tests.soak.test_operations import command_with_log, read_some, unread_pipe

USER = "nobody"
PORT_53 = "127.53.53.{}:53"
NET_BIND = 1 << 10
Figures = Callable[..., None]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to bind port 53 and to switch users")


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    """A folder that all users can read, unlike pytest's."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="dnsd-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def own_folder(folder: pathlib.Path) -> pathlib.Path:
    """A folder that the user owns."""
    entry = pwd.getpwnam(USER)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return folder


def launched(folder: pathlib.Path, *options: str, **settings: Any) -> Soaked:
    """A server that never ran as root."""
    command = [sys.executable, "-m", "tests.soak.launcher", str(folder / "dnsd.yaml"), USER, *options]
    return Soaked(folder, edition_world(**settings), command=command)


def identities(server: Soaked) -> set[tuple[str, ...]]:
    """Real, effective, saved and file system ids of all processes: users, groups, other groups; capabilities."""
    supervisor = psutil.Process(server.process.pid)
    found = set()
    for process in (supervisor, *supervisor.children(recursive=True)):
        text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        fields = [
            re.search(rf"^{name}:[ \t]*(.*?)[ \t]*$", text, re.MULTILINE) for name in ("Uid", "Gid", "Groups", "CapEff")
        ]
        found.add(tuple(" ".join(field[1].split()) for field in fields if field))
    return found


def check_serves(server: Soaked, figures: Figures, how: str) -> None:
    """Assert that the server works as this user: answers, reloads, metrics, new workers, shutdown."""
    assert answers(server.udp(DNS)) == answers(server.tcp(DNS)) == DNS_ANSWER
    server.write(MAP, map_text(1))
    wait_for_edition(server, map=1)
    assert reload_now(server)["ok"]
    assert server.ready(), server.get("/readyz")
    worker = server.pids()["worker-0"]
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: server.pids().get("worker-0", worker) != worker)
    control = server.pids()["control"]
    os.kill(control, signal.SIGKILL)
    wait_until(lambda: control_is_new(server, control), server.stderr.text)
    server.write(MAP, map_text(2))
    wait_for_edition(server, map=2)
    assert all(serves_map(server, 2) for _ in range(20))
    assert server.healthy()
    processes = len(server.pids())
    server.process.terminate()
    assert server.process.wait(HANG_S) == 0
    assert "Traceback" not in server.stderr.text()
    figures("R13", how, processes=processes, port=server.port, user=USER)


def control_is_new(server: Soaked, control: int) -> bool:
    with contextlib.suppress(OSError):
        return server.pids().get("control", control) != control
    return False


@needs_root
def test_root_binds_port_53_and_becomes_a_user(folder: pathlib.Path, figures: Figures) -> None:
    entry = pwd.getpwnam(USER)
    groups = " ".join(map(str, sorted(os.getgrouplist(USER, entry.pw_gid))))
    with Soaked(folder, edition_world(listen=[PORT_53.format(1)], user=USER)) as server:
        uids, gids = " ".join([str(entry.pw_uid)] * 4), " ".join([str(entry.pw_gid)] * 4)
        assert identities(server) == {(uids, gids, groups, "0" * 16)}
        state = (folder / "state").stat()
        assert (state.st_uid, stat.S_IMODE(state.st_mode)) == (entry.pw_uid, 0o700)
        check_serves(server, figures, "root binds port 53, then becomes a user")


@needs_root
def test_state_of_root_is_handed_over(folder: pathlib.Path) -> None:
    """The state folder of a server that ran as root is taken over by the next one, which runs as a user."""
    with Soaked(folder, edition_world()):
        pass
    with Soaked(folder, edition_world(user=USER)) as server:
        assert "state: " not in server.stderr.text()
        server.write(MAP, map_text(1))
        wait_for_edition(server, map=1)
        assert "cannot be written" not in server.stderr.text()


@needs_root
def test_sockets_of_a_service_manager_need_no_root(own_folder: pathlib.Path, figures: Figures) -> None:
    entry = pwd.getpwnam(USER)
    with launched(own_folder, PORT_53.format(2), listen=["127.0.0.1:1"]) as server:
        assert (server.host, server.port) == ("127.53.53.2", 53)
        uids, gids = " ".join([str(entry.pw_uid)] * 4), " ".join([str(entry.pw_gid)] * 4)
        assert identities(server) == {(uids, gids, "", "0" * 16)}
        check_serves(server, figures, "socket activation, never root")


@needs_root
def test_one_capability_is_enough_for_port_53(own_folder: pathlib.Path, figures: Figures) -> None:
    entry = pwd.getpwnam(USER)
    with launched(own_folder, "--net-bind", listen=[PORT_53.format(3)]) as server:
        uids, gids = " ".join([str(entry.pw_uid)] * 4), " ".join([str(entry.pw_gid)] * 4)
        assert identities(server) == {(uids, gids, "", f"{NET_BIND:016x}")}
        check_serves(server, figures, "CAP_NET_BIND_SERVICE, never root")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a user, without root": ({"user": "root"}, "user: only root can switch to 'root'"),
    "a port below 1024": (
        {"listen": [PORT_53.format(4)]},
        r"cannot listen on 127\.53\.53\.4:53: .*CAP_NET_BIND_SERVICE",
    ),
}


@needs_root
@pytest.mark.parametrize("what", REFUSED)
def test_settings_that_need_root_are_refused_without_root(own_folder: pathlib.Path, what: str) -> None:
    unprivileged = pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if what == "a port below 1024" and int(unprivileged.read_text()) <= 53:
        pytest.skip("every user may bind port 53 here")
    settings, message = REFUSED[what]
    with (
        pytest.raises(AssertionError, match=f"ended with status 1(?s:.*){message}") as failed,
        launched(own_folder, **settings),
    ):
        pass
    assert "Traceback" not in str(failed.value)


def test_unknown_user(folder: pathlib.Path) -> None:
    world = edition_world(user="no-such-user")
    with pytest.raises(AssertionError, match=r"ended with status 1(?s:.*)user: .*no-such-user"), Soaked(folder, world):
        pass


@needs_root
def test_blocked_log_does_no_harm_after_dropping_root(folder: pathlib.Path, figures: Figures) -> None:
    """The pipe is root's, so the server's user cannot open it again (R15)."""
    with (
        tempfile.TemporaryDirectory() as outside,
        unread_pipe(pathlib.Path(outside) / "log") as reader,
        Soaked(
            folder,
            edition_world(user=USER, query_log={"sample": 1}),
            command=command_with_log(folder / "dnsd.yaml", pathlib.Path(outside) / "log"),
        ) as server,
    ):
        with Scrapes(server) as scrapes, Flow(server, questions()) as flow:
            time.sleep(2)
        assert b"query" in read_some(reader)
        figures("R15", "root's blocked log pipe, as a user", queries=flow.answered, lost=flow.lost)
        flow.check()
        scrapes.check()
        assert server.metric("dnsd_log_dropped_total") > 0


# Service managers


@contextlib.contextmanager
def service_manager(address: str | bytes) -> Iterator[socket.socket]:
    """A socket like systemd's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(HANG_S)
        sock.bind(address)
        yield sock


def test_service_manager_is_notified(tmp_path: pathlib.Path) -> None:
    address = str(tmp_path / "notify")
    env = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}
    with service_manager(address) as sock, Soaked(tmp_path, edition_world(), env=env) as server:
        collect(sock, "READY=1")
        assert answers(server.udp(DNS)) == DNS_ANSWER
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        drain(sock)
        time.sleep(1.2)
        assert drain(sock) == []  # a hung server must not report to the watchdog
        server.process.send_signal(signal.SIGCONT)
        started = time.monotonic()
        for _ in range(3):
            collect(sock, "WATCHDOG=1")
        assert time.monotonic() - started < judged(2.5)
        server.process.terminate()
        collect(sock, "STOPPING=1")
        assert server.process.wait(HANG_S) == 0


def test_service_manager_at_an_abstract_address_is_notified(tmp_path: pathlib.Path) -> None:
    name = f"dnsd-test-{os.getpid()}"
    with service_manager(f"\0{name}") as sock, Soaked(tmp_path, edition_world(), env={"NOTIFY_SOCKET": f"@{name}"}):
        collect(sock, "READY=1")


def collect(sock: socket.socket, wanted: str) -> list[str]:
    """The messages received, up to the first with the text."""
    said: list[str] = []
    while wanted not in said:
        said += sock.recv(4096).decode().split("\n")
    return said


def drain(sock: socket.socket) -> list[str]:
    """The messages received so far."""
    said: list[str] = []
    timeout_s = sock.gettimeout()
    sock.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while True:
            said.append(sock.recv(4096).decode())
    sock.settimeout(timeout_s)
    return said


def test_missing_manager_socket_does_no_harm(tmp_path: pathlib.Path) -> None:
    with Soaked(tmp_path, edition_world(), env={"NOTIFY_SOCKET": str(tmp_path / "nobody")}) as server:
        assert answers(server.udp(DNS)) == DNS_ANSWER
