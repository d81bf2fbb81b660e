"""TCP: connections of clients that are slow, hasty, or do not read (RFC 7766, RFC 9210), answered in turn.

What a connection can cost is bounded: in memory by READ_SIZE, one unfinished message and UNREAD_LIMIT; in time by
`TcpLimits`. How many there are is for `Admission` to say; what they may take from others, for `Turns`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Protocol

from dnsd.net.limits import Admission
from dnsd.net.tcp_connection import CLIENT, READ_SIZE, SHUTDOWN, Observe, Respond, TcpConnection, TcpLimits
from dnsd.net.turns import Seat, Turns


class Count(Protocol):
    """Counts one of a metric."""

    def __call__(self, name: str, /, *labels: str) -> None:
        """One more of `name` with these labels."""


GRACE_S = 0.5  # how long a client that goes on asking is answered when the server ends
POLL_S = 0.01  # between looks at what is left to do when the server ends

ACCEPTS = 64  # connections accepted before those that are open have their turn
LAST_TURNS = 64  # of accepting, at the end, so that a flood cannot keep the server from ending
PAUSE_S = 0.5  # without accepting, when the system has nothing left to accept with
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class TcpServer:
    """Accepts the connections of one listening socket, and answers what they ask."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        respond: Respond,
        *,
        turns: Turns,
        admission: Admission,
        limits: TcpLimits,
        count: Count,
        observe: Observe,
    ) -> None:
        """`sock` listens and does not block; it stays the caller's to close. `respond` does not raise."""
        self._loop = loop
        self._socket = sock
        self._respond = respond
        self._turns = turns
        self._admission = admission
        self.limits = limits  # of the connections accepted from now on
        self._count = count
        self._observe = observe
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._connections: set[TcpConnection] = set()
        self._seat: Seat | None = None  # None: nothing is accepted
        self._pause: asyncio.TimerHandle | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Begin to accept."""
        self._seat = self._turns.add(self._socket, self._turn)

    def stop(self) -> None:
        """Accept what has connected, then no more; what is open goes on."""
        self._is_stopped = True
        self._rest()
        if self._pause:
            self._pause.cancel()
        for _ in range(LAST_TURNS):
            if not self._accept(float("inf")):
                break

    async def finish(self, within_s: float) -> None:
        """Answer what clients have sent, and close their connections; returns when all are closed, `within_s` at most.

        To be called after `stop`. What arrives later is answered for half a second.
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
        """Accept a turn's worth of connections; those that are left are told of in the next round."""
        self._accept(until)
        return False

    def _accept(self, until: float) -> bool:
        """Accept some of the connections that wait, one at least; whether there may be more."""
        for _ in range(ACCEPTS):
            try:
                sock, address = self._socket.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._pause_accepting()
                    return False
                continue  # the client, or the way to it, is gone already
            self._admit(sock, address[0])
            if self._turns.clock() >= until:
                break
        return True

    def _rest(self) -> None:
        if self._seat:
            self._turns.leave(self._seat)
            self._seat = None

    def _pause_accepting(self) -> None:
        """Let connections wait in the kernel: the socket stays readable, and to ask again at once would be in vain."""
        self._count("dnsd_tcp_refused_total", "no_descriptors")
        self._rest()
        if not self._is_stopped:
            self._pause = self._loop.call_later(PAUSE_S, self._resume_accepting)

    def _resume_accepting(self) -> None:
        self._pause = None
        if not self._is_stopped:
            self.start()

    def _admit(self, sock: socket.socket, peer: str) -> None:
        if refusal := self._admission.admit(peer):
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
            ended=self._forget,
        )
        self._connections.add(connection)

    def _forget(self, connection: TcpConnection) -> None:
        self._connections.discard(connection)
        self._admission.release(connection.peer)
        self._count("dnsd_tcp_closed_total", connection.reason or CLIENT)
        if self._pause:  # a descriptor has come free
            self._pause.cancel()
            self._pause = self._loop.call_later(0, self._resume_accepting)
