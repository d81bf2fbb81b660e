"""Listening sockets: UDP and TCP on the same addresses and ports."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from dataclasses import dataclass

RECEIVE_BUFFER = 4 * 1024 * 1024  # octets that the kernel may hold for us; it gives what it allows
BACKLOG = 1024  # TCP connections not yet accepted
PORT_TRIES = 20


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 stands for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listener:
    """Both sockets of one address, bound; its port is the real one."""

    address: Address
    udp: socket.socket
    tcp: socket.socket

    def close(self) -> None:
        """Close both sockets."""
        self.udp.close()
        self.tcp.close()


class ListenError(OSError):
    """An address that cannot be listened on; says which, and why."""

    def __init__(self, address: Address, error: OSError) -> None:
        lacks_ipv6 = error.errno == errno.EADDRNOTAVAIL and ":" in address.host
        self.no_such_family = error.errno == errno.EAFNOSUPPORT or lacks_ipv6
        hint = {
            errno.EACCES: "; ports below 1024 need the right to bind them (CAP_NET_BIND_SERVICE)",
            errno.EADDRINUSE: "; another server is running there",
        }.get(error.errno or 0, "")
        super().__init__(f"cannot listen on {address}: {error.strerror}{hint}")


def open_listener(address: Address) -> Listener:
    """Bind UDP and TCP on one address, and on one port where any will do. Raises ListenError."""
    for attempt in range(PORT_TRIES):
        tcp = udp = None
        try:
            tcp = _bound(address, socket.SOCK_STREAM)
            tcp.listen(BACKLOG)
            bound = Address(address.host, tcp.getsockname()[1])
            udp = _bound(bound, socket.SOCK_DGRAM)
            return Listener(bound, udp, tcp)
        except OSError as error:
            for sock in (tcp, udp):
                if sock:
                    sock.close()
            if address.port == 0 and error.errno == errno.EADDRINUSE and attempt + 1 < PORT_TRIES:
                continue  # the free TCP port was taken on UDP
            raise ListenError(address, error) from None
    raise AssertionError("unreachable")


def _bound(address: Address, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(address.host).version == 6 else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind((address.host, address.port))
    except OSError:
        sock.close()
        raise
    return sock
