"""TCP: pipelined queries answered in order, for clients that are slow, hasty, or do not read (RFC 7766, RFC 9210).

What a connection can cost is bounded: in memory by READ_SIZE, one unfinished message and UNREAD_LIMIT; in time by
`TcpLimits`. How many there are is for `Admission` to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dnsd.net.limits import Admission
from dnsd.wire.framing import FrameReader, frame

Respond = Callable[[bytes, str], bytes | None]  # a message and the address it came from
Observe = Callable[[int, float], None]  # replies made in one turn, and the seconds it took


class Count(Protocol):
    """Counts one of a metric."""

    def __call__(self, name: str, /, *labels: str) -> None:
        """One more of `name` with these labels."""


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """What one connection may take."""

    idle_s: float  # without a whole query, or without reading its replies
    first_byte_s: float  # from connecting to the first octet
    queries: int  # then it is closed, so that no client holds a worker for ever


TURN = 64  # queries of one connection answered before others have theirs
READ_SIZE = 16 * 1024  # octets taken from one connection before others have theirs
WRITE_SIZE = 64 * 1024  # octets of replies gathered before they are written
UNREAD_LIMIT = 256 * 1024  # octets of replies that wait for the client before we stop to answer and to read
UNSENT_LIMIT = 128 * 1024  # octets of them that wait in the kernel, which would take megabytes; half is what it frees
CHECKS = 4  # looks, in each idle time, at whether a client reads its replies: 64 KiB is what counts

LINGER_S = 2.0  # how long we read on after the last reply: a close with octets unread would reset it away
SHUTDOWN_LINGER_S = 0.5  # the same when the server ends
GRACE_S = 0.5  # how long a client that goes on asking is answered when the server ends
POLL_S = 0.01  # between looks at what is left to do when the server ends

ACCEPTS = 64  # connections accepted before those that are open have their turn
LAST_TURNS = 64  # of accepting, at the end, so that a flood cannot keep the server from ending
PAUSE_S = 0.5  # without accepting, when the system has nothing left to accept with
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

# Why connections are closed, as in dnsd_tcp_closed_total.
CLIENT, IDLE, FIRST_BYTE, QUERIES, SHUTDOWN = "client", "idle", "first_byte", "queries", "shutdown"


class TcpServer:
    """Accepts the connections of one listening socket, and answers what they ask."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        respond: Respond,
        *,
        admission: Admission,
        limits: TcpLimits,
        count: Count,
        observe: Observe,
    ) -> None:
        """`sock` listens and does not block; it stays the caller's to close. `respond` does not raise."""
        self._loop = loop
        self._socket = sock
        self._respond = respond
        self._admission = admission
        self.limits = limits  # of the connections accepted from now on
        self._count = count
        self._observe = observe
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._connections: set[TcpConnection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Begin to accept."""
        self._loop.add_reader(self._socket, self._accept)

    def stop(self) -> None:
        """Accept what has connected, then no more; what is open goes on."""
        self._is_stopped = True
        self._loop.remove_reader(self._socket)
        if self._pause:
            self._pause.cancel()
        for _ in range(LAST_TURNS):
            if not self._accept():
                break

    async def finish(self, within_s: float) -> None:
        """Answer what clients have sent, and close their connections; returns when all are closed, `within_s` at most.

        To be called after `stop`. What arrives later is answered for half a second.
        """
        started = self._loop.time()
        if self._connecting:
            await asyncio.wait(self._connecting)
        while self._connections and (spent_s := self._loop.time() - started) < within_s:
            for connection in tuple(self._connections):
                if connection.is_quiet() or spent_s >= GRACE_S:
                    connection.finish()
            await asyncio.sleep(POLL_S)
        for connection in tuple(self._connections):
            connection.abort(SHUTDOWN)
        await asyncio.sleep(0)  # the event loop tells connections of their end

    def _accept(self) -> bool:
        """Accept a turn's worth of connections; whether there may be more."""
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
        return True

    def _pause_accepting(self) -> None:
        """Let connections wait in the kernel: the socket stays readable, and to ask again at once would be in vain."""
        self._count("dnsd_tcp_refused_total", "no_descriptors")
        self._loop.remove_reader(self._socket)
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
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_LIMIT)
        connection = TcpConnection(
            self._loop,
            peer,
            self._respond,
            self._buffer,
            limits=self.limits,
            observe=self._observe,
            ended=self._forget,
        )
        self._connections.add(connection)
        task = self._loop.create_task(self._connect(connection, sock))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: TcpConnection, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:  # the client has gone meanwhile
            sock.close()
            self._forget(connection)

    def _forget(self, connection: TcpConnection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._admission.release(connection.peer)
            self._count("dnsd_tcp_closed_total", connection.reason or CLIENT)
            if self._pause:  # a descriptor comes free, once asyncio has closed the socket
                self._pause.cancel()
                self._pause = self._loop.call_later(0, self._resume_accepting)


class TcpConnection(asyncio.BufferedProtocol):
    """One client's connection.

    It is open, then *ending* (no more queries are taken, what was taken is answered), then *lingering* (all is said,
    and read on until the client closes). A client that closes its half first is answered and needs no lingering.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        peer: str,
        respond: Respond,
        buffer: memoryview,
        *,
        limits: TcpLimits,
        observe: Observe,
        ended: Callable[[TcpConnection], None],
    ) -> None:
        """`buffer` is for all connections: what is read into it is taken out before anything else happens."""
        self.peer = peer
        self.reason = ""  # why we end it; empty while we do not
        self._loop = loop
        self._respond = respond
        self._buffer = buffer
        self._limits = limits
        self._observe = observe
        self._ended = ended
        self._frames = FrameReader()
        self._queries: deque[bytes] = deque()
        self._queries_left = limits.queries
        self._has_received = False
        self._has_news = True
        self._may_write = True
        self._is_scheduled = False
        self._is_ending = False
        self._is_half_closed = False
        self._linger_s = 0.0  # more than 0 while lingering
        self._written = 0  # octets of replies handed to the transport
        self._taken = 0  # octets of them that the client's side had taken when we last looked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=UNREAD_LIMIT)
        self._active_at = self._loop.time()  # when a whole query came last, or replies were seen to be read
        self._timer = self._loop.call_later(self._wait_s(self._active_at), self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._timer.cancel()
        self._queries.clear()
        self._ended(self)

    # Queries in, replies out

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take queries in; reading stops while any are not answered."""
        if self._is_ending:
            return
        self._has_received = self._has_news = True
        queries = self._frames.feed(bytes(self._buffer[:nbytes]))
        if queries:
            self._active_at = self._loop.time()
            self._queries += queries
            self._answer()

    def eof_received(self) -> bool:
        """The client has asked everything; answer that, then close (RFC 7766 §6.2.4)."""
        self._is_half_closed = self._is_ending = True
        self._answer()
        return True

    def pause_writing(self) -> None:
        """The client does not read: no more answers until it does."""
        self._may_write = False

    def resume_writing(self) -> None:
        """The client reads again."""
        self._may_write = True
        self._active_at = self._loop.time()
        self._answer()

    def _answer(self) -> None:
        """Answer a turn's worth of queries, and see to it that the rest has its turn."""
        if self._queries:
            self._turn()
        if not self._queries:
            self._rest()
            return
        self._transport.pause_reading()
        if self._may_write and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._is_scheduled = False
        self._answer()

    def _turn(self) -> None:
        started = self._loop.time()
        replies: list[bytes] = []
        made = size = 0
        for _ in range(TURN):
            if not self._queries or not self._may_write or self._transport.is_closing():
                break
            reply = self._respond(self._queries.popleft(), self.peer)
            if reply is not None:
                replies.append(frame(reply))
                made += 1
                size += len(reply)
                if size >= WRITE_SIZE:
                    self._write(replies)
                    size = 0
            self._queries_left -= 1
            if not self._queries_left:
                self._queries.clear()
                self._end(QUERIES)
        self._write(replies)
        if made:
            self._observe(made, self._loop.time() - started)

    def _write(self, replies: list[bytes]) -> None:
        """Send replies together: one system call, and few segments (RFC 7766 §8)."""
        if replies:
            octets = b"".join(replies)
            replies.clear()
            self._written += len(octets)
            self._transport.write(octets)

    # The end

    def is_quiet(self) -> bool:
        """Whether nothing came since the last call, and nothing waits to be answered."""
        had_news, self._has_news = self._has_news, False
        return not had_news and not self._queries

    def finish(self) -> None:
        """Answer what has arrived, then close."""
        if not self._is_ending:
            self._end(SHUTDOWN)
            self._answer()

    def abort(self, reason: str) -> None:
        """Close now, whatever is under way."""
        self.reason = self.reason or reason
        self._transport.abort()

    def _end(self, reason: str) -> None:
        """Take no more queries."""
        self._is_ending = True
        self.reason = self.reason or reason

    def _rest(self) -> None:
        """All is answered: close, or wait for more."""
        if not self._is_ending:
            self._transport.resume_reading()
        elif self._is_half_closed:
            self._transport.close()
        elif not self._linger_s:
            self._linger()

    def _linger(self) -> None:
        """Say that we are done, once all replies are with the system, and wait for the client to close."""
        if self._transport.get_write_buffer_size():
            self._transport.set_write_buffer_limits(high=0)  # `resume_writing` then means that all is written
            return
        self._linger_s = SHUTDOWN_LINGER_S if self.reason == SHUTDOWN else LINGER_S
        try:
            # The transport would do this in a callback, and call it a mistake of ours if the client is gone by then.
            self._transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        except OSError:  # it is reset already
            self._transport.abort()
            return
        self._transport.resume_reading()
        self._active_at = self._loop.time()
        self._timer.cancel()
        self._timer = self._loop.call_later(self._wait_s(self._active_at), self._check)

    # Time

    def _check(self) -> None:
        """End the connection if its time is up, else look again later; the one timer that it has."""
        now = self._loop.time()
        unsent = self._transport.get_write_buffer_size()
        if unsent and self._written - unsent != self._taken:
            self._taken = self._written - unsent
            self._active_at = now
        wait_s = self._wait_s(now)
        if wait_s > 0:
            self._timer = self._loop.call_later(wait_s, self._check)
            return
        self.reason = self.reason or (IDLE if self._has_received else FIRST_BYTE)
        if unsent or self._queries:
            self._transport.abort()
        else:
            self._transport.close()

    def _wait_s(self, now: float) -> float:
        """Seconds until we have to look again; 0 or less when the connection's time is up."""
        if self._linger_s and not self._transport.get_write_buffer_size():
            allowed_s = self._linger_s
        elif self._has_received or self._is_ending:
            allowed_s = self._limits.idle_s
        else:
            allowed_s = self._limits.first_byte_s
        return min(self._active_at + allowed_s - now, self._limits.idle_s / CHECKS, self._linger_s or allowed_s)
