"""UDP: datagrams in, replies out, one by one with what every platform has.

A `UdpServer` is what any implementation offers: `start`, `stop`. A batching one can take this one's place.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

Respond = Callable[[bytes, str], bytes | None]  # a message, the address it is from
Observe = Callable[[int, float], None]  # how many were answered in a turn, seconds it took
NotSent = Callable[[bytes], None]  # a reply that did not go out
Ancillary = Sequence[tuple[int, int, bytes]]  # control messages: where a datagram was sent to

MAX_QUERY = 4096  # octets; what is longer is cut, and so malformed
TURN = 64  # datagrams answered before the loop may look after TCP and control
LAST_TURNS = 1024  # turns at the end, so that a flood cannot keep the server from ending
ANCILLARY_SIZE = 128  # octets for one packet-info message

IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)  # Linux; not in Python 3.11


class UdpServer(Protocol):
    """Answers the datagrams of one socket."""

    def start(self) -> None:
        """Begin to answer."""

    def stop(self) -> None:
        """Answer what the socket has received, then end."""


class DrainingUdpServer:
    """Reads while there are datagrams, up to a turn's worth at each wake-up of the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        respond: Respond,
        *,
        observe: Observe,
        not_sent: NotSent,
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._respond = respond
        self._observe = observe
        self._not_sent = not_sent
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
        """Answer a turn's worth; whether there may be more."""
        start, count, more = time.perf_counter(), 0, True
        for _ in range(TURN):
            try:
                query, ancillary, client = self._receive()
            except BlockingIOError:
                more = False
                break
            except OSError:
                continue  # an ICMP error that an earlier reply met
            count += 1
            reply = self._respond(query, client[0])
            if reply is not None:
                try:
                    self._send(reply, ancillary, client)
                except OSError:
                    # To port 0, to a network that is gone, into a full buffer. UDP clients ask again.
                    self._not_sent(reply)
        if count:
            self._observe(count, time.perf_counter() - start)
        return more

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
