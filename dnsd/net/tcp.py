"""TCP: pipelined queries answered in order, with memory bounded by what the client reads (RFC 7766)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from dnsd.wire.framing import FrameReader, frame

Respond = Callable[[bytes], bytes | None]

TURN = 64  # queries of one connection answered before others have theirs
UNREAD_LIMIT = 256 * 1024  # octets of replies that wait for the client before we stop to answer and to read


class TcpConnection(asyncio.Protocol):
    """One client's connection; the set of `open_connections` holds it as long as it lives."""

    def __init__(self, respond: Respond, open_connections: set[TcpConnection]) -> None:
        self._respond = respond
        self._open = open_connections
        self._frames = FrameReader()
        self._queries: deque[bytes] = deque()
        self._may_write = True
        self._is_scheduled = False
        self._is_ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=UNREAD_LIMIT)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._queries.clear()
        self._open.discard(self)

    def data_received(self, data: bytes) -> None:
        """Take queries in; reading stops until they are answered."""
        self._queries += self._frames.feed(data)
        if self._queries:
            self._transport.pause_reading()
            self._answer()

    def eof_received(self) -> bool:
        """The client has asked everything; answer that, then close (RFC 7766 §6.2.4)."""
        self._is_ending = True
        self._answer()
        return True

    def pause_writing(self) -> None:
        """The client does not read: no more answers until it does."""
        self._may_write = False

    def resume_writing(self) -> None:
        """The client reads again."""
        self._may_write = True
        self._answer()

    def finish(self) -> None:
        """Answer what has arrived, then close."""
        self._is_ending = True
        self._answer()

    def _answer(self) -> None:
        """Answer a turn's worth of queries, and see to it that the rest has its turn."""
        for _ in range(TURN):
            if not self._queries or not self._may_write or self._transport.is_closing():
                break
            reply = self._respond(self._queries.popleft())
            if reply is not None:
                self._transport.write(frame(reply))
        if not self._queries:
            self._rest()
        elif self._may_write and not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._is_scheduled = False
        self._answer()

    def _rest(self) -> None:
        """All is answered: close, or wait for more."""
        if self._is_ending:
            self._transport.close()
        elif not self._transport.is_reading():
            self._transport.resume_reading()
