"""HTTP for machines that watch the server: /metrics, /healthz, /readyz."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dnsd.serve.control import Control
from dnsd.serve.status import COLLECT_S, metrics, unhealthy, unready

MAX_HEADERS = 16 * 1024  # octets
MAX_CONNECTIONS = 100
IDLE_S = 5


async def serve_http(control: Control) -> None:
    """Serve until cancelled, on the socket that the supervisor has bound, if there is to be one."""
    if control.desk.http is None:
        return
    settings = uvicorn.Config(
        _app(control),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        http="h11",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=MAX_HEADERS,
    )
    await _Server(settings).serve(sockets=[control.desk.http])


class _Server(uvicorn.Server):
    """Signals are the supervisor's and control's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _app(control: Control) -> Starlette:
    async def show_metrics(request: Request) -> Response:
        await control.publisher.collect(COLLECT_S)
        return Response(metrics(control), media_type=CONTENT_TYPE_LATEST)

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
