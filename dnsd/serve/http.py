"""HTTP servers within bounds: connections, headers, how long a request may take to arrive, and a response to be taken.

Where there are too many connections, the one that has kept us waiting longest makes room: strangers that hold theirs
open cannot keep others out.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

from dnsd.api.envelope import refusal
from dnsd.manage.refusal import Code, refused

MAX_HEADERS = 16 * 1024  # octets
MAX_CONNECTIONS = 100
BACKLOG = 16  # how often asyncio tries, and reports, to accept without a descriptor left before it waits
REQUEST_S = 5  # from connecting, or the last response, to the whole of the next request's headers
LEAST_TAKEN = 64 * 1024  # octets of a response that a client takes within REQUEST_S, if they are not the last
LINGER_S = 1.0  # for what was sent before a connection's end is read (RFC 9112 §9.6): else the client sees no response

MALFORMED = refusal(refused(Code.INVALID, "this is no HTTP request, or its headers are too large"))
BROKEN_OFF = refusal(refused(Code.FAILED, "the server is ending; it is not known whether this was carried out"))
NEVER_S = 10**9  # uvicorn's own limit, which does without progress of a response


async def serve_http(app: ASGIApp, sock: socket.socket) -> None:
    """Serve an application until cancelled, on a socket that the supervisor has bound."""
    settings = uvicorn.Config(
        _Ending(app),
        lifespan="off",
        log_config=None,
        log_level="error",  # what strangers get wrong is no news
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whoever is on this machine could say it is somebody else
        http=_BoundedProtocol,
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=NEVER_S,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=MAX_HEADERS,
    )
    await _Server(settings).serve(sockets=[sock])


class _Ending:
    """Answers requests that are broken off because the server ends: uvicorn would do so in plain text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            await BROKEN_OFF(scope, receive, send)


class _Server(uvicorn.Server):
    """Signals are the supervisor's and control's business."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for sock in sockets or ():
            sock.listen(MAX_CONNECTIONS)  # so many may come at once; asyncio has said BACKLOG

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _BoundedProtocol(H11Protocol):
    """Closes connections that are too many, and those that take too long, which uvicorn does not."""

    _deadline: asyncio.TimerHandle | None = None
    _waiting_since: float  # on the loop's clock: for a request, or for the rest of its body
    _unsent: int = 0  # octets of a response, when they were looked at last
    _is_ending: bool = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does so only where a socket knows its protocol, and these were made without. Else a response's second
        # write waits for the first one's ACK: 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self._waiting_since = self.loop.time()
        self._make_room()
        self._watch()

    def data_received(self, data: bytes) -> None:
        if not self._is_ending:
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._waiting_since = self.loop.time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline:
            self._deadline.cancel()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, in the envelope, and end."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # a response has begun
            self.transport.abort()
            return
        for event in (
            h11.Response(status_code=MALFORMED.status_code, headers=[*MALFORMED.raw_headers, CLOSE_HEADER]),
            h11.Data(data=bytes(MALFORMED.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self._is_ending = True
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _make_room(self) -> None:
        """Where there are too many, close the one that waits longest; this one if all others are being answered."""
        there = [
            one for one in self.connections if isinstance(one, _BoundedProtocol) and not one.transport.is_closing()
        ]
        if len(there) > MAX_CONNECTIONS:
            waiting = filter(_BoundedProtocol._is_waiting, there)
            min(waiting, key=lambda one: one._waiting_since).transport.abort()

    def _is_waiting(self) -> bool:
        """Whether it is the client's turn to send something."""
        return (not self._is_answering() or self.cycle.more_body) and not self.transport.get_write_buffer_size()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch(self) -> None:
        """Wait for a request if none is being answered, for so long in all, however it trickles in."""
        unsent = self.transport.get_write_buffer_size()
        if self._is_answering() and self._deadline:
            self._deadline.cancel()
            self._deadline = None
        elif not self._is_answering() and self._deadline is None and (unsent or not self.transport.is_closing()):
            self._unsent = unsent
            self._deadline = self.loop.call_later(REQUEST_S, self._give_up)

    def _give_up(self) -> None:
        """Close the connection, unless the client is still busy with taking the last response."""
        self._deadline = None
        if 0 < self.transport.get_write_buffer_size() <= self._unsent - LEAST_TAKEN:
            self._watch()
        else:
            self.transport.abort()
