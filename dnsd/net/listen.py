"""Listening sockets: UDP and TCP on the same addresses and ports, one of each per worker."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass

RECEIVE_BUFFER = 4 * 1024 * 1024  # octets of receive buffer to ask for; the kernel may give less
BACKLOG = 1024  # TCP connections not yet accepted
PORT_TRIES = 20
SO_RCVBUFFORCE = 33  # Linux, with CAP_NET_ADMIN: more than net.core.rmem_max; not in Python's socket module
SO_MEMINFO, MEMINFO_DROPS = 55, 8  # Linux: a socket's counters of 4 octets each; index of the dropped datagrams
FIRST_ACTIVATED = 3  # the first descriptor that systemd passes, sd_listen_fds(3)


@dataclass(frozen=True, slots=True)
class Address:
    """An address to listen on; port 0 means any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listener:
    """The bound sockets of one address, with its actual port. Worker n uses the n-th socket, or the only one."""

    address: Address
    udp: tuple[socket.socket, ...]
    tcp: tuple[socket.socket, ...]

    def of_worker(self, index: int) -> Listener:
        """The sockets of one worker."""
        return Listener(self.address, _share(self.udp, index), _share(self.tcp, index))

    def close(self) -> None:
        """Close all sockets."""
        for sock in (*self.udp, *self.tcp):
            sock.close()


class ListenError(OSError):
    """The server cannot listen on an address; the message gives the address and the reason."""

    def __init__(self, address: Address | str, error: OSError) -> None:
        lacks_ipv6 = error.errno == errno.EADDRNOTAVAIL and isinstance(address, Address) and ":" in address.host
        self.no_such_family = error.errno == errno.EAFNOSUPPORT or lacks_ipv6
        hint = {
            errno.EACCES: "; ports below 1024 need CAP_NET_BIND_SERVICE",
            errno.EADDRINUSE: "; another server is running there",
        }.get(error.errno or 0, "")
        super().__init__(f"cannot listen on {address}: {error.strerror}{hint}")


def open_listener(address: Address, *, workers: int = 1) -> Listener:
    """Bind UDP and TCP sockets for each worker, all on the same address and port. Raises ListenError."""
    for attempt in range(PORT_TRIES):
        tcp: list[socket.socket] = []
        udp: list[socket.socket] = []
        try:
            _bind(tcp, address, socket.SOCK_STREAM, workers)
            bound = Address(address.host, tcp[0].getsockname()[1])
            _bind(udp, bound, socket.SOCK_DGRAM, workers)
            for sock in tcp:
                sock.listen(BACKLOG)
            return Listener(bound, tuple(udp), tuple(tcp))
        except OSError as error:
            for sock in (*tcp, *udp):
                sock.close()
            if address.port == 0 and error.errno == errno.EADDRINUSE and attempt + 1 < PORT_TRIES:
                continue  # the free TCP port is in use for UDP
            raise ListenError(address, error) from None
    raise AssertionError("unreachable")


def open_stream_listener(address: Address) -> socket.socket:
    """Open a TCP socket for a protocol other than DNS, such as HTTP. Raises ListenError."""
    socks: list[socket.socket] = []
    try:
        _bind(socks, address, socket.SOCK_STREAM, 1)
        socks[0].listen(BACKLOG)
    except OSError as error:
        for sock in socks:
            sock.close()
        raise ListenError(address, error) from None
    return socks[0]


def address_of(sock: socket.socket) -> Address:
    """The address that a socket is bound to."""
    host, port = sock.getsockname()[:2]
    return Address(host, port)


def activated_listeners(environment: Mapping[str, str] = os.environ) -> list[Listener]:
    """The sockets that systemd has bound for this process (socket activation); empty without activation.

    All workers share them. Sockets other than IPv4 and IPv6 ones are left alone.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    by_address: dict[Address, tuple[list[socket.socket], list[socket.socket]]] = {}
    for fd in range(FIRST_ACTIVATED, FIRST_ACTIVATED + int(environment.get("LISTEN_FDS", "0"))):
        sock = socket.socket(fileno=fd)
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            sock.detach()
            continue
        sock.setblocking(False)
        udp, tcp = by_address.setdefault(address_of(sock), ([], []))
        if sock.type == socket.SOCK_DGRAM:
            _enlarge(sock)
            udp.append(sock)
        else:
            tcp.append(sock)
    return [Listener(address, tuple(udp), tuple(tcp)) for address, (udp, tcp) in by_address.items()]


def dropped_datagrams(sock: socket.socket) -> int:
    """The number of datagrams dropped for lack of buffer since the socket was opened, modulo 2³²; 0 if not known."""
    with contextlib.suppress(OSError):
        counters = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 64)
        return int.from_bytes(counters[4 * MEMINFO_DROPS : 4 * MEMINFO_DROPS + 4], sys.byteorder)
    return 0


def _share(socks: tuple[socket.socket, ...], index: int) -> tuple[socket.socket, ...]:
    return (socks[index % len(socks)],) if socks else ()


def _bind(socks: list[socket.socket], address: Address, kind: socket.SocketKind, count: int) -> None:
    """Add `count` sockets that share an address and port; the kernel distributes datagrams or connections over them."""
    for _ in range(count):
        sock = _new_socket(address, kind)
        socks.append(sock)
        if len(socks) == 1:
            # The first is bound without SO_REUSEPORT, to detect another server at this address.
            sock.bind((address.host, address.port))
            address = Address(address.host, sock.getsockname()[1])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((address.host, address.port))


def _new_socket(address: Address, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(address.host).version == 6 else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            _enlarge(sock)
    except OSError:
        sock.close()
        raise
    return sock


def _enlarge(sock: socket.socket) -> None:
    """Enlarge the receive buffer for bursts, beyond the system's limit if permitted."""
    for option in (SO_RCVBUFFORCE, socket.SO_RCVBUF):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, option, RECEIVE_BUFFER)
            return
