"""One client's TCP connection: queries in, replies out, in order; and its end.

A reply may have many messages, as a zone transfer has: they are made one by one, as the client reads them.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dnsd.net.turns import READ, WRITE, Turns
from dnsd.wire.framing import FrameReader, frame

if TYPE_CHECKING:
    import asyncio

Messages = Generator[bytes, None, None]  # of one reply; closed if the client cannot get them all
# Message, packed address of the sender -> reply. Neither it nor its messages raise.
Respond = Callable[[bytes, bytes], bytes | Messages | None]
Observe = Callable[[int, float], None]  # number of replies in one turn, duration in seconds


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """The limits of one connection."""

    idle_s: float  # without a complete query, or without reading replies
    first_byte_s: float  # from connecting to the first octet
    queries: int  # before it is closed, so that no client can stay on one worker forever


TURN = 64  # queries of one connection answered in one turn
READ_SIZE = 16 * 1024  # octets read from one connection in one turn
WRITE_SIZE = 64 * 1024  # octets of replies gathered before they are written
UNREAD_LIMIT = 256 * 1024  # octets of unsent replies at which we stop answering and reading
RESUME_LIMIT = 64 * 1024  # octets of unsent replies at which we continue
UNSENT_LIMIT = 128 * 1024  # octets of them in the kernel, which else buffers megabytes; at half, it takes more
CHECKS = 4  # per idle time, of whether the client reads its replies: 64 KiB count as progress

LINGER_S = 2.0  # of reading after the last reply: a close with unread octets sends a reset, and the reply is lost
SHUTDOWN_LINGER_S = 0.5  # the same at shutdown

# Reasons for closing connections, the labels of dnsd_tcp_closed_total.
CLIENT, IDLE, FIRST_BYTE, QUERIES, SHUTDOWN = "client", "idle", "first_byte", "queries", "shutdown"


class TcpConnection:
    """One client's connection.

    It is open, then *ending* (no more queries are accepted, received ones are answered), then *lingering* (all replies
    are sent, and input is read and discarded until the client closes). If the client closes its side first, its queries
    are answered without lingering.
    """

    def __init__(
        self,
        sock: socket.socket,
        peer: bytes,
        respond: Respond,
        buffer: memoryview,
        *,
        loop: asyncio.AbstractEventLoop,
        turns: Turns,
        limits: TcpLimits,
        observe: Observe,
        used: Callable[[TcpConnection], None],
        ended: Callable[[TcpConnection], None],
    ) -> None:
        """The connection closes `sock`. All connections share `buffer`: its contents are copied at once.

        `used` is called when the client has been answered, or reads its replies.
        """
        self.sock = sock
        self.peer = peer
        self.reason = ""  # for closing it; empty while it is open
        self._respond = respond
        self._buffer = buffer
        self._loop = loop
        self._turns = turns
        self._limits = limits
        self._observe = observe
        self._used = used
        self._ended = ended
        self._frames = FrameReader()
        self._queries: deque[bytes] = deque()
        self._messages: Messages | None = None  # the rest of a reply to an earlier query
        self._queries_left = limits.queries
        self._unsent = bytearray()  # replies that the kernel has not accepted
        self._has_received = False
        self._has_news = True
        self._may_write = True
        self._is_ending = False
        self._is_half_closed = False
        self._is_closed = False
        self._linger_s = 0.0  # more than 0 while lingering
        self._written = 0  # octets of replies, sent or not
        self._taken = 0  # octets of them accepted by the kernel at the last check
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_LIMIT)
        self._active_at = loop.time()  # when a complete query last came or was answered, or replies were read
        self._timer = loop.call_later(self._wait_s(self._active_at), self._check)
        self._seat = turns.add(sock, self._turn)

    # Queries in, replies out

    def _turn(self, found: int, until: float) -> bool:
        """Send, read and answer as much as one turn allows; return whether replies remain to be made."""
        if found & WRITE:
            self._flush()
        if found & READ and not self._owes_replies() and not self._is_closed:
            self._read()
        if self._owes_replies() and self._may_write:
            self._answer(until)
        self._settle()
        return self._owes_replies() and self._may_write

    def _owes_replies(self) -> bool:
        """Whether a received query has not been answered, or not with all messages."""
        return bool(self._queries) or self._messages is not None

    def _read(self) -> None:
        """Read queries, or at the end discard input; only called when all earlier queries are answered."""
        try:
            size = self.sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close()
            return
        if not size:  # no more queries: answer the received ones, then close (RFC 7766 §6.2.4)
            self._is_half_closed = self._is_ending = True
        elif not self._is_ending:
            self._has_received = self._has_news = True
            if queries := self._frames.feed(bytes(self._buffer[:size])):
                self._active_at = self._loop.time()
                self._queries += queries

    def _answer(self, until: float) -> None:
        """Make a turn's worth of messages, at least one."""
        clock = self._turns.clock
        started = clock()
        replies: list[bytes] = []
        made = size = 0
        for _ in range(TURN):
            message = self._next_message()
            if message is not None:
                replies.append(frame(message))
                made += 1
                size += len(message)
                if size >= WRITE_SIZE:
                    self._write(replies)
                    size = 0
            if not self._owes_replies() or not self._may_write or clock() >= until:
                break
        self._write(replies)
        self._note_use()
        if made:
            self._observe(made, clock() - started)

    def _next_message(self) -> bytes | None:
        """The next message of the reply in hand, else of the reply to the next query; None at the reply's end."""
        if self._messages is None:
            reply = self._respond(self._queries.popleft(), self.peer)
            self._queries_left -= 1
            if not self._queries_left:
                self._queries.clear()
                self._end(QUERIES)
            if reply is None or isinstance(reply, bytes):
                return reply
            self._messages = reply
        message = next(self._messages, None)
        if message is None:
            self._messages = None
        return message

    def _write(self, replies: list[bytes]) -> None:
        """Send replies together, with one system call and in few segments (RFC 7766 §8)."""
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
        """Send unsent replies; once the client reads again, continue answering."""
        del self._unsent[: self._send(self._unsent)]
        if not self._may_write and len(self._unsent) <= RESUME_LIMIT:
            self._may_write = True
            self._note_use()

    def _note_use(self) -> None:
        if not self._is_closed:
            self._active_at = self._loop.time()
            self._used(self)

    def _send(self, octets: bytes | bytearray) -> int:
        """Send octets; return how many the kernel has accepted."""
        try:
            return self.sock.send(octets)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._close()
            return 0

    # The end

    def is_quiet(self) -> bool:
        """Whether nothing was received since the last call and no query is unanswered."""
        had_news, self._has_news = self._has_news, False
        return not had_news and not self._owes_replies()

    def finish(self) -> None:
        """Answer the queries already received, then close."""
        if not self._is_ending:
            self._end(SHUTDOWN)
            self._settle()

    def abort(self, reason: str) -> None:
        """Close at once."""
        self.reason = self.reason or reason
        self._close()

    def _end(self, reason: str) -> None:
        """Accept no more queries."""
        self._is_ending = True
        self.reason = self.reason or reason

    def _settle(self) -> None:
        """If the connection is ending and all replies are sent, close or linger; else wait for the next event."""
        if self._is_ending and not self._owes_replies() and not self._unsent:
            if self._is_half_closed:
                self._close()
            elif not self._linger_s:
                self._linger()
        if not self._is_closed:
            self._turns.want(self._seat, self._wanted())

    def _wanted(self) -> int:
        """The events to wait for: no reading while too many replies are unsent or, at the end, any."""
        if not self._unsent:
            return READ
        return WRITE if self._is_ending or not self._may_write else READ | WRITE

    def _linger(self) -> None:
        """Close our side and wait for the client to close."""
        self._linger_s = SHUTDOWN_LINGER_S if self.reason == SHUTDOWN else LINGER_S
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:  # already reset
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
        if self._messages is not None:
            self._messages.close()
            self._messages = None
        self._unsent.clear()
        self._turns.leave(self._seat)
        self.sock.close()
        self._ended(self)

    # Time

    def _check(self) -> None:
        """Close the connection if its time is up, else check again later, with its only timer."""
        now = self._loop.time()
        unsent = len(self._unsent)
        if unsent and self._written - unsent != self._taken:
            self._taken = self._written - unsent
            self._note_use()
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
        """Do not blame the client if our turns take long: queries that have arrived count as on time."""
        if self._owes_replies() and self._may_write:
            self._active_at = now
        elif not self._owes_replies() and not self._is_ending and self._may_write:
            self._read()
            self._turns.call(self._seat)

    def _wait_s(self, now: float) -> float:
        """Seconds until the next check; 0 or less if the connection's time is up."""
        if self._linger_s and not self._unsent:
            allowed_s = self._linger_s
        elif self._has_received or self._is_ending:
            allowed_s = self._limits.idle_s
        else:
            allowed_s = self._limits.first_byte_s
        return min(self._active_at + allowed_s - now, self._limits.idle_s / CHECKS, self._linger_s or allowed_s)
