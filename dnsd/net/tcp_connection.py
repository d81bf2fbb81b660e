"""One client's TCP connection: its queries in, their replies out, in order; and when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dnsd.net.turns import READ, WRITE, Turns
from dnsd.wire.framing import FrameReader, frame

Respond = Callable[[bytes, str], bytes | None]  # a message and the address it came from
Observe = Callable[[int, float], None]  # replies made in one turn, and the seconds it took


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
GO_ON_LIMIT = 64 * 1024  # octets of them when we go on
UNSENT_LIMIT = 128 * 1024  # octets of them that wait in the kernel, which would take megabytes; half is what it frees
CHECKS = 4  # looks, in each idle time, at whether a client reads its replies: 64 KiB is what counts

LINGER_S = 2.0  # how long we read on after the last reply: a close with octets unread would reset it away
SHUTDOWN_LINGER_S = 0.5  # the same when the server ends

# Why connections are closed, as in dnsd_tcp_closed_total.
CLIENT, IDLE, FIRST_BYTE, QUERIES, SHUTDOWN = "client", "idle", "first_byte", "queries", "shutdown"


class TcpConnection:
    """One client's connection.

    It is open, then *ending* (no more queries are taken, what was taken is answered), then *lingering* (all is said,
    and read on until the client closes). A client that closes its half first is answered and needs no lingering.
    """

    def __init__(
        self,
        sock: socket.socket,
        peer: str,
        respond: Respond,
        buffer: memoryview,
        *,
        loop: asyncio.AbstractEventLoop,
        turns: Turns,
        limits: TcpLimits,
        observe: Observe,
        ended: Callable[[TcpConnection], None],
    ) -> None:
        """`sock` is ours to close. `buffer` is for all connections: what is read into it is taken out at once."""
        self.sock = sock
        self.peer = peer
        self.reason = ""  # why we end it; empty while we do not
        self._respond = respond
        self._buffer = buffer
        self._loop = loop
        self._turns = turns
        self._limits = limits
        self._observe = observe
        self._ended = ended
        self._frames = FrameReader()
        self._queries: deque[bytes] = deque()
        self._queries_left = limits.queries
        self._unsent = bytearray()  # replies that the kernel has not taken
        self._has_received = False
        self._has_news = True
        self._may_write = True
        self._is_ending = False
        self._is_half_closed = False
        self._is_closed = False
        self._linger_s = 0.0  # more than 0 while lingering
        self._written = 0  # octets of replies, sent or not
        self._taken = 0  # octets of them that the client's side had taken when we last looked
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_LIMIT)
        self._active_at = loop.time()  # when a whole query came last, was answered, or replies were seen to be read
        self._timer = loop.call_later(self._wait_s(self._active_at), self._check)
        self._seat = turns.add(sock, self._turn)

    # Queries in, replies out

    def _turn(self, found: int, until: float) -> bool:
        """Send, read and answer what there is, as much as one turn may; whether there is more to answer."""
        if found & WRITE:
            self._flush()
        if found & READ and not self._queries and not self._is_closed:
            self._read()
        if self._queries and self._may_write:
            self._answer(until)
        self._settle()
        return bool(self._queries) and self._may_write

    def _read(self) -> None:
        """Take queries in; none are read while any are not answered."""
        try:
            size = self.sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close()
            return
        if not size:  # all is asked; answer that, then close (RFC 7766 §6.2.4)
            self._is_half_closed = self._is_ending = True
        elif not self._is_ending:
            self._has_received = self._has_news = True
            if queries := self._frames.feed(bytes(self._buffer[:size])):
                self._active_at = self._loop.time()
                self._queries += queries

    def _answer(self, until: float) -> None:
        """Answer a turn's worth of queries, one at least."""
        clock = self._turns.clock
        started = clock()
        replies: list[bytes] = []
        made = size = 0
        for _ in range(TURN):
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
            if not self._queries or not self._may_write or clock() >= until:
                break
        self._write(replies)
        self._active_at = self._loop.time()
        if made:
            self._observe(made, clock() - started)

    def _write(self, replies: list[bytes]) -> None:
        """Send replies together: one system call, and few segments (RFC 7766 §8)."""
        if not replies:
            return
        octets = b"".join(replies)
        replies.clear()
        self._written += len(octets)
        sent = 0 if self._unsent else self._send(octets)
        if not self._is_closed and sent < len(octets):
            self._unsent += octets[sent:]
            self._may_write = len(self._unsent) <= UNREAD_LIMIT

    def _flush(self) -> None:
        """Send what waits; where the client reads again, its queries are answered again."""
        del self._unsent[: self._send(self._unsent)]
        if not self._may_write and len(self._unsent) <= GO_ON_LIMIT:
            self._may_write = True
            self._active_at = self._loop.time()

    def _send(self, octets: bytes | bytearray) -> int:
        """How many octets the kernel has taken."""
        try:
            return self.sock.send(octets)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._close()
            return 0

    # The end

    def is_quiet(self) -> bool:
        """Whether nothing came since the last call, and nothing waits to be answered."""
        had_news, self._has_news = self._has_news, False
        return not had_news and not self._queries

    def finish(self) -> None:
        """Answer what has arrived, then close."""
        if not self._is_ending:
            self._end(SHUTDOWN)
            self._settle()

    def abort(self, reason: str) -> None:
        """Close now, whatever is under way."""
        self.reason = self.reason or reason
        self._close()

    def _end(self, reason: str) -> None:
        """Take no more queries."""
        self._is_ending = True
        self.reason = self.reason or reason

    def _settle(self) -> None:
        """Once all is said, close or linger, if this is the end; else wait for what comes next."""
        if self._is_ending and not self._queries and not self._unsent:
            if self._is_half_closed:
                self._close()
            elif not self._linger_s:
                self._linger()
        if not self._is_closed:
            self._turns.want(self._seat, self._wanted())

    def _wanted(self) -> int:
        """What to be told of: while the client has much to read, or is to get the last of it, nothing is read."""
        if not self._unsent:
            return READ
        return WRITE if self._is_ending or not self._may_write else READ | WRITE

    def _linger(self) -> None:
        """Say that we are done, and wait for the client to close."""
        self._linger_s = SHUTDOWN_LINGER_S if self.reason == SHUTDOWN else LINGER_S
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:  # it is reset already
            self._close()
            return
        self._active_at = self._loop.time()
        self._timer.cancel()
        self._timer = self._loop.call_later(self._wait_s(self._active_at), self._check)

    def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._timer.cancel()
        self._queries.clear()
        self._unsent.clear()
        self._turns.leave(self._seat)
        self.sock.close()
        self._ended(self)

    # Time

    def _check(self) -> None:
        """End the connection if its time is up, else look again later; the one timer that it has."""
        now = self._loop.time()
        unsent = len(self._unsent)
        if unsent and self._written - unsent != self._taken:
            self._taken = self._written - unsent
            self._active_at = now
        if self._wait_s(now) <= 0:
            self._take_what_waits(now)
        if self._is_closed:
            return
        wait_s = self._wait_s(now)
        if wait_s > 0:
            self._timer = self._loop.call_later(wait_s, self._check)
            return
        self.reason = self.reason or (IDLE if self._has_received else FIRST_BYTE)
        self._close()

    def _take_what_waits(self, now: float) -> None:
        """Where it is our turns that take long, the client is not to blame: what it has sent is here in time."""
        if self._queries and self._may_write:
            self._active_at = now
        elif not self._queries and not self._is_ending and self._may_write:
            self._read()
            self._turns.call(self._seat)

    def _wait_s(self, now: float) -> float:
        """Seconds until we have to look again; 0 or less when the connection's time is up."""
        if self._linger_s and not self._unsent:
            allowed_s = self._linger_s
        elif self._has_received or self._is_ending:
            allowed_s = self._limits.idle_s
        else:
            allowed_s = self._limits.first_byte_s
        return min(self._active_at + allowed_s - now, self._limits.idle_s / CHECKS, self._linger_s or allowed_s)
