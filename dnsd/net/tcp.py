"""TCP: connections of slow, hasty and non-reading clients (RFC 7766, RFC 9210), served in turns.

The cost of a connection is bounded: in memory by READ_SIZE, one unfinished message and UNREAD_LIMIT; in time by
`TcpLimits`. `Places` bounds the number of connections, `Turns` their share of processor time.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Protocol

from dnsd.net.places import Places
from dnsd.net.tcp_connection import CLIENT, READ_SIZE, SHUTDOWN, Observe, Respond, TcpConnection, TcpLimits
from dnsd.net.turns import Seat, Turns
from dnsd.wire.addresses import packed_ip


class Count(Protocol):
    """Increments a metric."""

    def __call__(self, name: str, /, *labels: str) -> None:
        """Increment the counter `name` with these labels."""


GRACE_S = 0.5  # at shutdown, in which clients that keep asking are still answered
POLL_S = 0.01  # between checks for remaining work at shutdown

ACCEPTS = 64  # connections accepted before open connections have their turn
LAST_TURNS = 64  # of accepting at shutdown, so that a flood cannot delay it
PAUSE_S = 0.5  # without accepting after the system has run out of descriptors or memory
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class TcpServer:
    """Accepts the connections of one listening socket and answers their queries."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        respond: Respond,
        *,
        turns: Turns,
        places: Places,
        limits: TcpLimits,
        count: Count,
        observe: Observe,
    ) -> None:
        """`sock` is listening and non-blocking; the caller closes it. `respond` must not raise."""
        self._loop = loop
        self._socket = sock
        self._respond = respond
        self._turns = turns
        self._places = places
        self.limits = limits  # for connections accepted from now on
        self._count = count
        self._observe = observe
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._connections: set[TcpConnection] = set()
        self._seat: Seat | None = None  # None while not accepting
        self._pause: asyncio.TimerHandle | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Start accepting."""
        self._seat = self._turns.add(self._socket, self._turn)

    def stop(self) -> None:
        """Accept established connections, then stop accepting; open connections continue."""
        self._is_stopped = True
        self._stop_accepting()
        if self._pause:
            self._pause.cancel()
        for _ in range(LAST_TURNS):
            if not self._accept(float("inf")):
                break

    async def finish(self, within_s: float) -> None:
        """Answer the queries already received and close all connections, within `within_s` seconds at most.

        To be called after `stop`. Queries that arrive later are answered for GRACE_S.
        """
        started = self._loop.time()
        while self._connections and (spent_s := self._loop.time() - started) < within_s:
            ready = self._turns.ready()
            for connection in tuple(self._connections):
                is_quiet = connection.is_quiet() and connection.sock not in ready
                if is_quiet or spent_s >= GRACE_S:
                    connection.finish()
            await asyncio.sleep(POLL_S)
        for connection in tuple(self._connections):
            connection.abort(SHUTDOWN)

    def _turn(self, found: int, until: float) -> bool:
        """Accept a turn's worth of connections; the rest are reported in the next round."""
        self._accept(until)
        return False

    def _accept(self, until: float) -> bool:
        """Accept waiting connections, one at least; return whether more may wait."""
        for _ in range(ACCEPTS):
            try:
                sock, address = self._socket.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._pause_accepting()
                    return False
                continue  # the client has gone, or is unreachable
            self._admit(sock, packed_ip(address[0]))
            if self._turns.clock() >= until:
                break
        return True

    def _stop_accepting(self) -> None:
        if self._seat:
            self._turns.leave(self._seat)
            self._seat = None

    def _pause_accepting(self) -> None:
        """Let connections wait in the kernel: the socket stays readable, but another attempt would fail at once."""
        self._count("dnsd_tcp_refused_total", "no_descriptors")
        self._stop_accepting()
        if not self._is_stopped:
            self._pause = self._loop.call_later(PAUSE_S, self._resume_accepting)

    def _resume_accepting(self) -> None:
        self._pause = None
        if not self._is_stopped:
            self.start()

    def _admit(self, sock: socket.socket, peer: bytes) -> None:
        if refusal := self._places.take(peer):
            sock.close()
            self._count("dnsd_tcp_refused_total", refusal)
            return
        self._count("dnsd_tcp_accepted_total")
        connection = TcpConnection(
            sock,
            peer,
            self._respond,
            self._buffer,
            loop=self._loop,
            turns=self._turns,
            limits=self.limits,
            observe=self._observe,
            used=self._places.note_use,
            ended=self._forget,
        )
        self._connections.add(connection)
        self._places.add(connection)

    def _forget(self, connection: TcpConnection) -> None:
        self._connections.discard(connection)
        self._places.leave(connection)
        self._count("dnsd_tcp_closed_total", connection.reason or CLIENT)
        if self._pause:  # a descriptor is free again
            self._pause.cancel()
            self._pause = self._loop.call_later(0, self._resume_accepting)
