"""Starts `dnsd serve` like a service manager: binds sockets for it, switches to another user, then runs it.

python -m tests.soak.launcher CONFIG USER [--net-bind] [HOST:PORT ...]

The server runs in this interpreter, with all modules imported before the switch, as their files may be readable for
root only.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import socket
import sys

import dnsd.cli
from dnsd.serve.late_modules import import_late_modules

FIRST_FD = 3  # sd_listen_fds(3)
FAR_FD = 100  # beyond the open ones, so that moving a socket overwrites no other
PR_SET_KEEPCAPS = 8
CAP_NET_BIND_SERVICE = 1 << 10
CAPABILITY_VERSION = 0x20080522


def main(config: str, user: str, *options: str) -> None:
    import_late_modules()
    net_bind = "--net-bind" in options
    activate([option for option in options if not option.startswith("--")])
    become(user, net_bind=net_bind)
    dnsd.cli.main(["serve", "-c", config])


def activate(addresses: list[str]) -> None:
    """Bind UDP and TCP sockets at these addresses, with the descriptors that systemd would use."""
    socks: list[socket.socket] = []
    for address in addresses:
        host, port = address.rsplit(":", 1)
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            socks.append(socket.socket(socket.AF_INET, kind))
            socks[-1].bind((host, int(port)))
            if kind == socket.SOCK_STREAM:
                socks[-1].listen()
    far = [os.dup2(sock.fileno(), FAR_FD + number) for number, sock in enumerate(socks)]
    for sock in socks:
        sock.close()
    for number, fd in enumerate(far):
        os.dup2(fd, FIRST_FD + number)
        os.close(fd)
    if socks:
        os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(socks))}


def become(user: str, *, net_bind: bool) -> None:
    """Give up root and all capabilities, except on request the one for ports below 1024."""
    entry, libc = pwd.getpwnam(user), ctypes.CDLL(None, use_errno=True)
    if net_bind:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if net_bind:
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
        sets = (ctypes.c_uint32 * 6)(CAP_NET_BIND_SERVICE, CAP_NET_BIND_SERVICE, 0, 0, 0, 0)
        if libc.capset(header, sets):
            raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    main(*sys.argv[1:])
