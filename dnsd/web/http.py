"""HTTP servers with limits: on connections, headers, and the time for a TLS handshake, a request and a response.

With too many connections, the holder of the most loses the one that has kept the server waiting longest: clients that
hold connections open, or keep them busy, cannot keep others out. A holder is a client's network, or the token or
account of a connection's last request: one token used from many networks has no more than a share.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

from dnsd.api.connection import HOLDERS, PRESENCE
from dnsd.api.envelope import refusal
from dnsd.control.certificates import NoPairError
from dnsd.manage.refusal import Reason, refused
from dnsd.process.turns import Presence
from dnsd.wire.addresses import packed_ip

MAX_HEADERS = 16 * 1024  # octets
MAX_CONNECTIONS = 100
SHARE = 25  # connections of one holder that are not closed during a request for the sake of others that stay idle
BACKLOG = 16  # accepts that asyncio tries, and reports, before it waits for a free descriptor
REQUEST_S = 5  # from the connection, or a request's first octet after a response, to the end of its headers
IDLE_S = 60  # from a response to the first octet of the next request: a client that pauses keeps its connection
UNSENT_LIMIT = 128 * 1024  # octets of a response in the kernel, which else holds megabytes for a client
LEAST_TAKEN = 64 * 1024  # octets of a response that a client must read within REQUEST_S, unless fewer are left
LINGER_S = 1.0  # from an error response to closing the connection: else the client may not see it (RFC 9112 §9.6)

MALFORMED = refusal(refused(Reason.INVALID, "not an HTTP request, or its headers are too large"))
BROKEN_OFF = refusal(
    refused(Reason.FAILED, "the server is shutting down; the request may or may not have taken effect")
)
NEVER_S = 10**9  # for uvicorn's own time limit, which ignores the progress of a response


FindContext = Callable[[], ssl.SSLContext | None]  # for a new connection; None: without TLS. May raise NoPairError


async def serve_http(app: ASGIApp, sock: socket.socket, find_context: FindContext) -> None:
    """Serve an application until cancelled, on a socket that the supervisor has bound."""
    settings = uvicorn.Config(
        _ShutdownReplies(app),
        lifespan="off",
        log_config=None,
        log_level="error",  # clients' errors are not logged
        access_log=False,
        server_header=False,
        proxy_headers=False,  # local clients could claim any address
        http=partial(_BoundedProtocol, find_context),  # type: ignore[arg-type]
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=NEVER_S,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=MAX_HEADERS,
    )
    await _HttpServer(settings).serve(sockets=[sock])


class _ShutdownReplies:
    """Answers, in the API's form, requests cut off by a shutdown, for which uvicorn sends plain text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            await BROKEN_OFF(scope, receive, send)


class _HttpServer(uvicorn.Server):
    """A server that leaves signals to the supervisor and control."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for sock in sockets or ():
            sock.listen(MAX_CONNECTIONS)  # so many may connect at once; asyncio has set BACKLOG

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _BoundedProtocol(H11Protocol):
    """Closes surplus and slow connections, which uvicorn does not."""

    _deadline: asyncio.TimerHandle | None = None
    _waiting_since: float  # on the loop's clock: for a request, the rest of its body, or a reader of the response
    _unsent: int = 0  # octets of a response at the last check
    _is_unread: bool = False  # a response is complete, but not sent yet; no other request is taken meanwhile
    _is_idle: bool = False  # all was answered and read, and no octet has come since
    _is_ending: bool = False
    _tcp: asyncio.Transport  # below TLS; without TLS the same as `transport`
    _handshake: asyncio.Task[None] | None = None  # until it has ended
    _early: bytes = b""  # received before the end of the handshake was noticed

    def __init__(self, find_context: FindContext, *, app_state: dict[str, Any], **given: Any) -> None:
        self._holders: list[str] = []  # of the last request with a token, as the application notes them
        self._presence = Presence()
        super().__init__(app_state={**app_state, HOLDERS: self._holders, PRESENCE: self._presence}, **given)
        self._find_context = find_context

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._tcp = self.transport = transport
        self.connections.add(self)  # also during the handshake, which uvicorn's own TLS would hide
        # asyncio sets this only on sockets made with a protocol number, and these are not. Without it, a response's
        # second write waits 40 ms for the ACK of the first.
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        with suppress(AttributeError, OSError):  # not on every system
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_LIMIT)
        transport.set_write_buffer_limits(high=0)  # `resume_writing` is called once all is sent
        self._waiting_since = self.loop.time()
        self._make_room()
        self._watch()
        try:
            context = self._find_context()
        except NoPairError:
            transport.abort()
            return
        if context is None:
            super().connection_made(transport)
        else:
            transport.pause_reading()
            self._handshake = self.loop.create_task(self._shake_hands(context))

    async def _shake_hands(self, context: ssl.SSLContext) -> None:
        """Begin TLS; the time limit and the place of the connection are those of any client that owes a request."""
        transport = None
        with suppress(OSError):
            if not self._tcp.is_closing():
                transport = await self.loop.start_tls(
                    self._tcp,
                    self,
                    context,
                    server_side=True,
                    ssl_handshake_timeout=REQUEST_S,
                    ssl_shutdown_timeout=LINGER_S,
                )
        self._handshake = None
        if transport is None or self._tcp.is_closing():
            self.connection_lost(None)
        else:
            transport.set_write_buffer_limits(high=1)  # asyncio pauses at the limit here, above it without TLS
            super().connection_made(transport)
            if self._early:
                self.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        if self._handshake:
            self._early += data
        elif not self._is_ending:
            if self._is_idle:
                self._is_idle = False
                self._stop_watch()
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        self._waiting_since = self.loop.time()
        self._is_unread = self.transport.get_write_buffer_size() > 0 and not self.transport.is_closing()
        if self._is_unread:
            self.flow.pause_reading()
        else:
            self._go_on()
        self._watch()

    def pause_writing(self) -> None:
        """The client has to read what was sent of the response before the rest is sent."""
        super().pause_writing()
        self._waiting_since = self.loop.time()
        self._watch()

    def resume_writing(self) -> None:
        """Once the last response is sent, go on to the next request: nobody gets more responses than they read."""
        super().resume_writing()
        if self._is_unread:
            self._is_unread = False
            self._stop_watch()
            self._go_on()
        self._watch()

    def _go_on(self) -> None:
        """Take the next request, if its first octets are here."""
        super().on_response_complete()
        self._is_idle = self.conn.our_state is h11.IDLE and not self.conn.trailing_data[0]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._handshake:
            return  # the task sees it
        super().connection_lost(exc)
        self._presence.end()
        self._stop_watch()

    def shutdown(self) -> None:
        """Close the connection once its request is answered."""
        if self._handshake:
            self._tcp.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse malformed input in the API's form, and close the connection."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # a response has begun
            self._tcp.abort()
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
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()  # TLS: waits for the client's close_notify
        self.loop.call_later(LINGER_S, self._tcp.abort)

    def _make_room(self) -> None:
        """With too many connections, close the one idle longest, of the holder of the most.

        If all of that holder's are being answered, it loses its last request, if it has more than SHARE, or if the
        connection to close would be this one.
        """
        there = [one for one in self.connections if isinstance(one, _BoundedProtocol) and not one._is_closing()]
        if len(there) <= MAX_CONNECTIONS:
            return
        counts = Counter(holder for one in there for holder in one._all_holders())
        held = {one: max(counts[holder] for holder in one._all_holders()) for one in there}
        waiting = filter(_BoundedProtocol._is_waiting, there)
        closed = min(waiting, key=lambda one: (-held[one], one._waiting_since))
        most = max(held.values())
        if held[closed] < most and (closed is self or most > SHARE):
            closed = max(there, key=lambda one: (held[one], one._waiting_since))
        closed._tcp.abort()

    def _all_holders(self) -> set[bytes | str]:
        """The holders of this connection: its client, and those of its last request."""
        return {self._client(), *self._holders}

    def _is_waiting(self) -> bool:
        """Whether it is the client's turn to send, or to read."""
        return not self._is_answering() or self.cycle.more_body or self.flow.write_paused

    def _client(self) -> bytes:
        """The client: an IPv4 address or an IPv6 /64 (RFC 4291 §2.5.4: the size of one network)."""
        peer = self._tcp.get_extra_info("peername")
        return packed_ip(peer[0])[:8] if isinstance(peer, tuple) else b""

    def _is_closing(self) -> bool:
        return self._tcp.is_closing() or self.transport.is_closing()

    def _unread(self) -> int:
        """The octets of responses that wait for the client to read."""
        sizes = {id(one): one.get_write_buffer_size() for one in (self._tcp, self.transport)}
        return sum(sizes.values())

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch(self) -> None:
        """Start the time limit for the next request, or for reading a response; partial input does not extend it."""
        unsent = self._unread()
        is_answering = self._is_answering() and not self.flow.write_paused
        if is_answering:
            self._stop_watch()
        elif self._deadline is None and (unsent or not self._is_closing()):
            self._unsent = unsent
            self._deadline = self.loop.call_later(IDLE_S if self._is_idle else REQUEST_S, self._give_up)

    def _stop_watch(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        """Close the connection, unless the client is still reading the last response fast enough."""
        self._deadline = None
        if 0 < self._unread() <= self._unsent - LEAST_TAKEN:
            self._watch()
        else:
            self._tcp.abort()
