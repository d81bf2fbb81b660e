"""Sockets for several workers, sockets from systemd, and notifications to it."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import sys
from collections import Counter

import pytest

from dnsd.net.listen import Address, ListenError, dropped_datagrams, open_listener, open_stream_listener
from dnsd.net.systemd import Notifier

ANY_PORT = Address("127.0.0.1", 0)


def waiting(sock: socket.socket) -> int:
    """Read all datagrams waiting in a socket; return their number."""
    count = 0
    while True:
        try:
            sock.recv(1000)
        except BlockingIOError:
            return count
        count += 1


def test_workers_share_one_port() -> None:
    listener = open_listener(ANY_PORT, workers=3)
    try:
        ports = {sock.getsockname()[1] for sock in (*listener.udp, *listener.tcp)}
        assert ports == {listener.address.port}
        assert (len(listener.udp), len(listener.tcp)) == (3, 3)
        shares = [listener.of_worker(index) for index in range(3)]
        assert [share.udp for share in shares] == [(sock,) for sock in listener.udp]
        for number in range(300):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(number.to_bytes(2), ("127.0.0.1", listener.address.port))
        received: Counter[int] = Counter()
        for index, sock in enumerate(listener.udp):
            received[index] = waiting(sock)
        assert received.total() == 300
        assert min(received[index] for index in range(3)) > 30
    finally:
        listener.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_another_server_at_the_address_is_noticed(workers: int) -> None:
    """Another server is detected even if it would share its port: two servers must not answer in turns."""
    first = open_listener(ANY_PORT, workers=2)
    try:
        with pytest.raises(ListenError, match="another server is running there"):
            open_listener(first.address, workers=workers)
        with pytest.raises(ListenError, match="another server is running there"):
            open_stream_listener(first.address)
    finally:
        first.close()


def test_datagrams_dropped_by_the_kernel_are_known() -> None:
    listener = open_listener(ANY_PORT)
    try:
        (udp,) = listener.udp
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert dropped_datagrams(udp) == 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for _ in range(100):
                client.sendto(bytes(500), ("127.0.0.1", listener.address.port))
        held = waiting(udp)
        assert dropped_datagrams(udp) == 100 - held > 50
    finally:
        listener.close()


ACTIVATED = """
import os, sys
from dnsd.net.listen import activated_listeners
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[1]))
for one in activated_listeners():
    print(one.address, len(one.udp), len(one.tcp), one.udp[0].getblocking() if one.udp else "-")
    assert one.of_worker(1).udp == one.of_worker(0).udp == one.udp
"""


def activated(socks: list[socket.socket], other_pid: int = 0) -> str:
    """A process's output about the sockets that it receives from descriptor 3 on."""
    held = [os.dup(sock.fileno()) for sock in socks]
    moves = "".join(f"os.dup2({fd}, {3 + index});" for index, fd in enumerate(held))
    launch = f"import os,sys;{moves}os.execv(sys.executable, [sys.executable, '-c', {ACTIVATED!r}, '{other_pid}'])"
    env = os.environ | {"LISTEN_FDS": str(len(socks))}
    try:
        return subprocess.run(
            [sys.executable, "-c", launch], pass_fds=held, env=env, capture_output=True, text=True, check=True
        ).stdout
    finally:
        for fd in held:
            os.close(fd)


def test_sockets_of_systemd(tmp_path: pathlib.Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other,
    ):
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        other.bind(str(tmp_path / "x"))
        assert activated([udp, other, tcp]) == f"127.0.0.1:{port} 1 1 False\n"
        assert activated([udp, tcp], other_pid=1) == ""  # meant for another process


def test_messages_reach_the_service_manager(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "3000000"})
        notifier.tell("READY=1", "STATUS=answering")
        assert manager.recv(100) == b"READY=1\nSTATUS=answering"
        assert notifier.watchdog_s == 1.5
    notifier.tell("WATCHDOG=1")  # the manager has gone: no effect


def test_no_service_manager() -> None:
    notifier = Notifier({})
    notifier.tell("READY=1")
    assert notifier.watchdog_s is None
    assert Notifier({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}).watchdog_s is None
