"""Pages for monitoring systems: /metrics, /healthz, /readyz."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from dnsd.control.control import Control
from dnsd.control.status import COLLECT_S, evidence_problems, metric_samples, unhealthy, unready
from dnsd.errors import printable
from dnsd.process.tasks import in_thread
from dnsd.settings.bearer_token import BearerToken, UnusableTokenError
from dnsd.settings.sections import MetricsSettings
from dnsd.settings.services import http_settings
from dnsd.web.host import HostCheck
from dnsd.web.host_rules import host_rules
from dnsd.web.metrics_page import metrics_page

CHALLENGE = {"WWW-Authenticate": "Bearer", "X-Content-Type-Options": "nosniff"}  # RFC 6750 §3


def monitoring_app(control: Control) -> ASGIApp:
    """The application that serves the pages."""

    token = _MetricsToken(control)

    async def show_metrics(request: Request) -> Response:
        if not token.is_known_to(request):
            return PlainTextResponse("the bearer token of `metrics: {token_file: …}` is required\n", 401, CHALLENGE)
        await control.publisher.collect(COLLECT_S)
        page = await in_thread(partial(metrics_page, metric_samples(control)))  # slow with many zones
        return Response(page, media_type=CONTENT_TYPE_LATEST)

    async def show_health(request: Request) -> Response:
        return _verdict(unhealthy(control))

    async def show_readiness(request: Request) -> Response:
        # A held account leaves the server ready: a load balancer must not drop all accounts for the error of one.
        reasons, held = unready(control), control.loader.last.held
        if not token.is_known_to(request):  # load balancers have no token: they need the status alone
            return _verdict(["not ready"] if reasons else [])
        notes = [*evidence_problems(control), *(f"held: {account}" for account in held)]
        return _verdict(reasons, [*map(printable, notes)])

    app = Starlette(
        routes=[
            Route("/metrics", show_metrics),
            Route("/healthz", show_health),
            Route("/readyz", show_readiness),
        ]
    )
    return HostCheck(
        app, partial(host_rules, control, "metrics"), _refusal, lambda scope: token.is_sent(Request(scope))
    )


def _refusal(scope: Scope, status: int, message: str) -> ASGIApp:
    return PlainTextResponse(f"{message}\n", status, {"X-Content-Type-Options": "nosniff"})


class _MetricsToken:
    """The token that the settings require for details; without one in the settings, everybody knows it."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._token = BearerToken()
        self._problem = ""

    def is_known_to(self, request: Request) -> bool:
        """Whether a request may see details."""
        return self._file() is None or self.is_sent(request)

    def is_sent(self, request: Request) -> bool:
        """Whether a request has the token. A file that cannot be used has none."""
        file = self._file()
        if file is None:
            return False
        try:
            token = self._token.value(file)
            self._problem = ""
        except UnusableTokenError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                self._control.setup.log.error(f"metrics.token_file: {error}; /metrics is not shown")
            return False
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), token.encode())

    def _file(self) -> Path | None:
        found = http_settings(self._control.current.settings, self._control.setup.settings, "metrics")
        return found.token_of(self._control.setup.config) if isinstance(found, MetricsSettings) else None


def _verdict(reasons: list[str], notes: Sequence[str] = ()) -> Response:
    lines = [*(reasons or ["ok"]), *notes]
    return PlainTextResponse("\n".join(lines) + "\n", status_code=503 if reasons else 200)
