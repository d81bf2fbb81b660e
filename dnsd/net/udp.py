"""UDP: datagrams in, replies out, in batches if the compiled loop is available, else one by one.

Both forms are a `UdpServer` and use the same `Responder`. The compiled loop (_batch.c) keeps replies, so that a
repeated question costs a lookup and a copy.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Hashable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from dnsd.compiled import REMEDY, is_stale, require
from dnsd.engine.entry import Octets
from dnsd.engine.table import Table
from dnsd.errors import DnsdError
from dnsd.net.limits import RateLimiter
from dnsd.net.picks import Picked, Picks
from dnsd.net.reply import DnsReply
from dnsd.wire.addresses import packed_ip

if TYPE_CHECKING:
    import asyncio

Ancillary = Sequence[tuple[int, int, bytes]]  # control messages: the destination address of a datagram

MAX_KNOWN = 65_536  # replies kept for one socket, usually 100 to 200 octets each
MAX_QUERY = 4096  # octets; longer queries are truncated and thus malformed
BATCH_SIZE = 32  # datagrams received at once, and lost if the worker is killed
TURN_S = 0.001  # of answering before the event loop can serve TCP and control; at least one batch
LAST_TURNS = 256  # turns at shutdown, so that a flood cannot delay it
ANCILLARY_SIZE = 128  # octets for one packet-info message

try:
    require("dnsd.net._batch")
    from dnsd.net._batch import Batch
except ImportError:
    IS_BUILT = False  # no compiler was found, or the system is not Linux
else:
    IS_BUILT = True

IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)  # Linux; not in Python 3.11


class Responder(Protocol):
    """Answers the datagrams of a socket and counts them."""

    def answer(self, query: bytes, peer: bytes) -> DnsReply:
        """Answer a message from a packed address."""

    def repeated(self, account: Hashable, sent: int, cut: int, dropped: int, *, truncated: bool) -> None:
        """Count the repetitions of a reply: sent as it is, and over the rate limit cut or dropped."""

    def not_sent(self, reply: bytes) -> None:
        """Count a reply that could not be sent."""

    def observe(self, count: int, seconds: float) -> None:
        """Record a turn of `count` messages that took `seconds`."""


class UdpServer(Protocol):
    """Answers the datagrams of one socket."""

    def start(self) -> None:
        """Start answering."""

    def stop(self) -> None:
        """Answer the datagrams already received, then stop."""

    def forget(self, table: Table, limiter: RateLimiter | None) -> None:
        """Discard all kept replies, as their data or the limits have changed; `table` has the names that exist now."""

    def account(self) -> None:
        """Report all repeated replies to the responder."""

    def picked(self) -> Picked:
        """The questions picked for a sample since the last call."""


class Udp(StrEnum):
    """The kind of server to use."""

    AUTO = "auto"
    BATCH = "batch"
    PORTABLE = "portable"


class NoBatchError(DnsdError):
    """The compiled loop was requested but is not available."""


def available(wanted: Udp) -> Udp:
    """Choose the available server, `batch` or `portable`. Raises NoBatchError."""
    if wanted is Udp.BATCH and not IS_BUILT:
        if is_stale("dnsd.net._batch"):
            raise NoBatchError(f"udp: the compiled parts are of another version: {REMEDY}")
        raise NoBatchError("udp: the compiled loop was not built: install a C compiler and reinstall dnsd")
    if wanted is Udp.AUTO:
        return Udp.BATCH if IS_BUILT else Udp.PORTABLE
    return wanted


def udp_server(kind: Udp, loop: asyncio.AbstractEventLoop, sock: socket.socket, responder: Responder) -> UdpServer:
    """Build a server of the given kind, as returned by `available`."""
    if kind is Udp.BATCH:
        return BatchingUdpServer(loop, sock, responder)
    return DrainingUdpServer(loop, sock, responder)


class _TurningUdpServer:
    """Answers batches at each wake-up of the event loop until no datagram waits or its time is used up."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, responder: Responder) -> None:
        self._loop = loop
        self._socket = sock
        self._responder = responder
        self._is_wildcard = _is_wildcard(sock)

    def start(self) -> None:
        """Start answering."""
        self._loop.add_reader(self._socket, self._turn)

    def stop(self) -> None:
        """Answer the datagrams already received, then stop without waiting for more."""
        self._loop.remove_reader(self._socket)
        for _ in range(LAST_TURNS):
            if not self._turn():
                break

    def _turn(self) -> bool:
        """Answer waiting datagrams for at most one turn; return whether more may wait."""
        start, answered = time.perf_counter(), 0
        while True:
            count = self._exchange()
            answered += max(count, 0)
            elapsed = time.perf_counter() - start
            if 0 <= count < BATCH_SIZE or elapsed > TURN_S:
                break
        if answered:
            self._responder.observe(answered, elapsed)
        return count != 0

    def _exchange(self) -> int:
        """Receive and answer a batch; return the number of datagrams, or -1 after errors alone: more may wait."""
        raise NotImplementedError


class BatchingUdpServer(_TurningUdpServer):
    """Receives and sends a batch of datagrams with one system call each."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, responder: Responder) -> None:
        super().__init__(loop, sock, responder)
        self._batch = Batch(sock.fileno(), responder.answer, responder.not_sent, self._is_wildcard, MAX_KNOWN)
        self._known_by: tuple[Octets, Octets | None, RateLimiter | None] | None = None

    def forget(self, table: Table, limiter: RateLimiter | None) -> None:
        """Discard all kept replies."""
        self.account()
        self._known_by = table.octets, table.overlay, limiter
        self._batch.forget(*self._known_by)

    def account(self) -> None:
        """Report all repeated replies to the responder."""
        for account, sent, cut, dropped, truncated in self._batch.take():
            self._responder.repeated(account, sent, cut, dropped, truncated=truncated)
        if (
            self._batch.is_full and self._known_by
        ):  # attackers can vary their queries; frequent questions are soon kept again
            self._batch.forget(*self._known_by)

    def picked(self) -> Picked:
        """The questions picked for a sample since the last call."""
        return self._batch.picked()

    def _exchange(self) -> int:
        count: int = self._batch.exchange()
        return count


class DrainingUdpServer(_TurningUdpServer):
    """Reads and sends datagrams one by one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, responder: Responder) -> None:
        super().__init__(loop, sock, responder)
        self._picks = Picks()

    def forget(self, table: Table, limiter: RateLimiter | None) -> None:
        """Do nothing: no reply is kept."""

    def account(self) -> None:
        """Do nothing: no reply is repeated."""

    def picked(self) -> Picked:
        """The questions picked for a sample since the last call."""
        return self._picks.take()

    def _exchange(self) -> int:
        count = 0
        for _ in range(BATCH_SIZE):
            try:
                query, ancillary, client = self._receive()
            except BlockingIOError:
                return count
            except OSError:
                continue  # an ICMP error caused by an earlier reply
            count += 1
            self._picks.note(query)
            reply = self._responder.answer(query, packed_ip(client[0])).octets
            if reply is not None:
                try:
                    self._send(reply, ancillary, client)
                except OSError:
                    # Port 0, an unreachable network, or a full send buffer. UDP clients retry.
                    self._responder.not_sent(reply)
        return count or -1

    def _receive(self) -> tuple[bytes, Ancillary, Any]:
        if not self._is_wildcard:
            query, client = self._socket.recvfrom(MAX_QUERY)
            return query, (), client
        query, ancillary, _, client = self._socket.recvmsg(MAX_QUERY, ANCILLARY_SIZE)
        return query, ancillary, client

    def _send(self, reply: bytes, ancillary: Ancillary, client: Any) -> None:
        """Reply from the destination address of the query: resolvers drop replies from other addresses."""
        if self._is_wildcard:
            self._socket.sendmsg([reply], ancillary, 0, client)
        else:
            self._socket.sendto(reply, client)


def _is_wildcard(sock: socket.socket) -> bool:
    """Whether the socket is bound to all addresses; it then reports the destination address of each datagram."""
    if not ipaddress.ip_address(sock.getsockname()[0]).is_unspecified:
        return False
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    return True
