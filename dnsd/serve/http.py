"""HTTP servers within bounds: connections, headers, and how long a request may take to arrive."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEADERS = 16 * 1024  # octets
MAX_CONNECTIONS = 100
BACKLOG = 16  # also how often asyncio tries, and reports, to accept without a descriptor left before it waits
REQUEST_S = 5  # from connecting, or the last response, to the whole of the next request's headers


async def serve_http(app: ASGIApp, sock: socket.socket) -> None:
    """Serve an application until cancelled, on a socket that the supervisor has bound."""
    settings = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        http=_BoundedProtocol,
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=REQUEST_S,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=MAX_HEADERS,
    )
    await _Server(settings).serve(sockets=[sock])


class _Server(uvicorn.Server):
    """Signals are the supervisor's and control's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _BoundedProtocol(H11Protocol):
    """Closes connections that are too many, and those that take too long to ask, which uvicorn does not."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline:
            self._deadline.cancel()

    def _watch(self) -> None:
        """Wait for a request if none is being answered, for so long in all, however it trickles in."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering and self._deadline:
            self._deadline.cancel()
            self._deadline = None
        elif not is_answering and self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)
