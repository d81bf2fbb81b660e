"""Pages for monitoring systems: /metrics, /healthz, /readyz."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from dnsd.control.control import Control
from dnsd.control.status import COLLECT_S, metric_samples, unhealthy, unready
from dnsd.errors import printable
from dnsd.process.tasks import in_thread
from dnsd.web.host import HostCheck
from dnsd.web.metrics_page import metrics_page
from dnsd.web.services import host_rules


def monitoring_app(control: Control) -> ASGIApp:
    """The application that serves the pages."""

    async def show_metrics(request: Request) -> Response:
        await control.publisher.collect(COLLECT_S)
        page = await in_thread(partial(metrics_page, metric_samples(control)))  # slow with many zones
        return Response(page, media_type=CONTENT_TYPE_LATEST)

    async def show_health(request: Request) -> Response:
        return _verdict(unhealthy(control))

    async def show_readiness(request: Request) -> Response:
        # A held account leaves the server ready: a load balancer must not drop all accounts for the error of one.
        return _verdict(unready(control), [printable(f"held: {account}") for account in control.loader.last.held])

    app = Starlette(
        routes=[
            Route("/metrics", show_metrics),
            Route("/healthz", show_health),
            Route("/readyz", show_readiness),
        ]
    )
    return HostCheck(app, partial(host_rules, control, "metrics"), _refusal, lambda scope: False)


def _refusal(scope: Scope, status: int, message: str) -> ASGIApp:
    return PlainTextResponse(f"{message}\n", status, {"X-Content-Type-Options": "nosniff"})


def _verdict(reasons: list[str], notes: Sequence[str] = ()) -> Response:
    lines = [*(reasons or ["ok"]), *notes]
    return PlainTextResponse("\n".join(lines) + "\n", status_code=503 if reasons else 200)
