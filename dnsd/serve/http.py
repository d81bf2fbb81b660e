"""HTTP for machines that watch the server: /metrics, /healthz, /readyz."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from dnsd.serve.control import Control
from dnsd.serve.metrics_page import metrics_page
from dnsd.serve.status import COLLECT_S, metric_samples, unhealthy, unready
from dnsd.serve.tasks import in_thread

MAX_HEADERS = 16 * 1024  # octets
MAX_CONNECTIONS = 100
BACKLOG = 16  # also how often asyncio tries, and reports, to accept without a descriptor left before it waits
REQUEST_S = 5  # from connecting, or the last response, to the whole of the next request's headers


async def serve_http(control: Control, sock: socket.socket) -> None:
    """Serve until cancelled, on the socket that the supervisor has bound."""
    settings = uvicorn.Config(
        _app(control),
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


def _app(control: Control) -> Starlette:
    async def show_metrics(request: Request) -> Response:
        await control.publisher.collect(COLLECT_S)
        page = await in_thread(partial(metrics_page, metric_samples(control)))  # with many zones it takes a while
        return Response(page, media_type=CONTENT_TYPE_LATEST)

    async def show_health(request: Request) -> Response:
        return _verdict(unhealthy(control))

    async def show_readiness(request: Request) -> Response:
        return _verdict(unready(control))

    return Starlette(
        routes=[
            Route("/metrics", show_metrics),
            Route("/healthz", show_health),
            Route("/readyz", show_readiness),
        ]
    )


def _verdict(reasons: list[str]) -> Response:
    return PlainTextResponse("\n".join(reasons or ["ok"]) + "\n", status_code=503 if reasons else 200)
