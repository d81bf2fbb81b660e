"""UDP: datagrams in, replies out: in batches where the compiled loop is built, else one by one.

Both are a `UdpServer`, and both ask the same `Responder`. The compiled loop (_batch.c) remembers replies, so that a
question that was asked before costs it a lookup and a copy.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Container, Hashable, Sequence
from enum import StrEnum
from typing import Any, Protocol

from dnsd.errors import DnsdError

Learned = tuple[bytes | None, Hashable | None, Hashable]  # see Responder.learn
Ancillary = Sequence[tuple[int, int, bytes]]  # control messages: where a datagram was sent to

MAX_KNOWN = 65_536  # replies that are remembered for one socket, some hundred octets each
MAX_QUERY = 4096  # octets; what is longer is cut, and so malformed
BATCH_SIZE = 32  # datagrams that are taken at once, and that a worker which is killed takes with it
TURN_S = 0.001  # how long batches are answered before the loop may look after TCP and control; one batch is, always
LAST_TURNS = 256  # turns at the end, so that a flood cannot keep the server from ending
ANCILLARY_SIZE = 128  # octets for one packet-info message

try:
    from dnsd.net._batch import Batch
except ImportError:
    IS_BUILT = False  # there was no compiler, or it is another system
else:
    IS_BUILT = True

IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)  # Linux; not in Python 3.11


class Responder(Protocol):
    """Who answers the datagrams of a socket, and counts them."""

    def learn(self, query: bytes, peer: str) -> Learned:
        """The reply to a message from an address, or None; and whether it may be sent again to all who ask the same.

        For a name that does not exist, those are all who ask for another one of its length under the same name that
        does. Then its account is what to hand to `sent_again`, else None; and `kind` is what to ask `passes` with.
        """

    def limits(self, ip: bytes) -> bool:
        """Whether replies to a packed address are limited at all; what is said holds until `forget`."""

    def passes(self, ip: bytes, kind: Hashable) -> bool:
        """Whether a reply of a kind may be sent again, to a packed address, without asking `learn`."""

    def sent_again(self, account: Hashable, count: int, *, truncated: bool) -> None:
        """A reply was sent `count` times more."""

    def not_sent(self, reply: bytes) -> None:
        """A reply did not go out."""

    def observe(self, count: int, seconds: float) -> None:
        """A turn of so many messages has taken so long."""


class UdpServer(Protocol):
    """Answers the datagrams of one socket."""

    def start(self) -> None:
        """Begin to answer."""

    def stop(self) -> None:
        """Answer what the socket has received, then end."""

    def forget(self, names: Container[bytes], longest: int) -> None:
        """Send no reply again that was made before: what replies are made from has changed.

        These names exist now; the longest of them has no more than so many octets.
        """

    def account(self) -> None:
        """Tell the responder of all replies that were sent again."""


class Udp(StrEnum):
    """Which server is wanted."""

    AUTO = "auto"
    BATCH = "batch"
    PORTABLE = "portable"


class NoBatchError(DnsdError):
    """The compiled loop is wanted, and is not there."""


def available(wanted: Udp) -> Udp:
    """What is there of what is wanted, `batch` or `portable`. Raises NoBatchError."""
    if wanted is Udp.BATCH and not IS_BUILT:
        raise NoBatchError("udp: the compiled loop was not built: a C compiler is needed when dnsd is installed")
    if wanted is Udp.AUTO:
        return Udp.BATCH if IS_BUILT else Udp.PORTABLE
    return wanted


def udp_server(kind: Udp, loop: asyncio.AbstractEventLoop, sock: socket.socket, responder: Responder) -> UdpServer:
    """A server of the kind that is available."""
    if kind is Udp.BATCH:
        return BatchingUdpServer(loop, sock, responder)
    return DrainingUdpServer(loop, sock, responder)


class _TurningUdpServer:
    """Has a turn at each wake-up of the event loop: batches, until nothing waits or others must be looked after."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, responder: Responder) -> None:
        self._loop = loop
        self._socket = sock
        self._responder = responder
        self._is_wildcard = _is_wildcard(sock)

    def start(self) -> None:
        """Begin to answer."""
        self._loop.add_reader(self._socket, self._turn)

    def stop(self) -> None:
        """Answer what the socket has received, then end; what keeps coming is not waited for."""
        self._loop.remove_reader(self._socket)
        for _ in range(LAST_TURNS):
            if not self._turn():
                break

    def _turn(self) -> bool:
        """Answer what waits, as long as a turn may take; whether there may be more."""
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
        """Receive a batch of what waits, and answer it: how many datagrams; -1: none, but there may be more."""
        raise NotImplementedError


class BatchingUdpServer(_TurningUdpServer):
    """Takes, answers and sends a batch of datagrams with a system call each way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, responder: Responder) -> None:
        super().__init__(loop, sock, responder)
        self._batch = Batch(
            sock.fileno(),
            responder.learn,
            responder.limits,
            responder.passes,
            responder.not_sent,
            self._is_wildcard,
            MAX_KNOWN,
        )
        self._names: Container[bytes] = ()
        self._longest = 1

    def forget(self, names: Container[bytes], longest: int) -> None:
        """Send no reply again that was made before."""
        self.account()
        self._names, self._longest = names, longest
        self._batch.forget(names, longest)

    def account(self) -> None:
        """Tell the responder of all replies that were sent again."""
        for account, count, truncated in self._batch.take():
            self._responder.sent_again(account, count, truncated=truncated)
        if self._batch.is_full:  # strangers can ask in many ways: what is asked most is soon there again
            self._batch.forget(self._names, self._longest)

    def _exchange(self) -> int:
        count: int = self._batch.exchange()
        return count


class DrainingUdpServer(_TurningUdpServer):
    """Reads and sends datagrams one by one."""

    def forget(self, names: Container[bytes], longest: int) -> None:
        """Nothing is kept."""

    def account(self) -> None:
        """Nothing is sent again."""

    def _exchange(self) -> int:
        count = 0
        for _ in range(BATCH_SIZE):
            try:
                query, ancillary, client = self._receive()
            except BlockingIOError:
                return count
            except OSError:
                continue  # an ICMP error that an earlier reply met
            count += 1
            reply, _, _ = self._responder.learn(query, client[0])
            if reply is not None:
                try:
                    self._send(reply, ancillary, client)
                except OSError:
                    # To port 0, to a network that is gone, into a full buffer. UDP clients ask again.
                    self._responder.not_sent(reply)
        return count or -1

    def _receive(self) -> tuple[bytes, Ancillary, Any]:
        if not self._is_wildcard:
            query, client = self._socket.recvfrom(MAX_QUERY)
            return query, (), client
        query, ancillary, _, client = self._socket.recvmsg(MAX_QUERY, ANCILLARY_SIZE)
        return query, ancillary, client

    def _send(self, reply: bytes, ancillary: Ancillary, client: Any) -> None:
        """Reply from the address that was asked: resolvers drop replies from another one."""
        if self._is_wildcard:
            self._socket.sendmsg([reply], ancillary, 0, client)
        else:
            self._socket.sendto(reply, client)


def _is_wildcard(sock: socket.socket) -> bool:
    """Whether the socket is bound to all addresses; it then tells which one each datagram was sent to."""
    if not ipaddress.ip_address(sock.getsockname()[0]).is_unspecified:
        return False
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    return True
