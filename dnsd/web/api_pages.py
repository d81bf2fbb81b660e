"""The API and the dashboard of the running server, on one listener; imported only if configured, as they need 30 MB."""

from __future__ import annotations

import asyncio
import gc
import socket
from functools import partial

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dnsd.api.access import has_token
from dnsd.api.app import api_app
from dnsd.api.envelope import refusal
from dnsd.api.routes import ROUTES
from dnsd.control.control import Control
from dnsd.control.service import ControlService
from dnsd.dashboard.app import dashboard_app
from dnsd.manage.record_ids import forget_unused_answers
from dnsd.manage.refusal import Reason, refused
from dnsd.metrics import Counts
from dnsd.process.tasks import in_thread, run_all
from dnsd.web.host import WRONG_HOST, HostCheck
from dnsd.web.host_rules import host_rules
from dnsd.web.http import serve_http

API_PATHS = ("/client", "/openapi.json", "/docs")
METHODS = {route.method for route in ROUTES}
FORGET_S = 60.0  # between two looks for unused answers about records
OTHER_METHOD = "other"  # one label for all unknown methods, as clients can invent many


async def serve_api(control: Control, sock: socket.socket) -> None:
    """Serve until cancelled."""
    service, log = ControlService(control), control.setup.log
    api = _Counting(await in_thread(partial(api_app, service, log.error)), control.publisher.counts)
    dashboard = await in_thread(partial(dashboard_app, service, control.sessions, log.error))  # compiles templates
    app = HostCheck(
        _ApiOrDashboard(api, dashboard),
        partial(host_rules, control, "api"),
        _refusal,
        lambda scope: has_token(Request(scope), service.tokens),
    )
    gc.freeze()  # all of this stays: each search of it for garbage would stop all threads for 0.05 s
    await run_all(
        [
            serve_http(app, sock, partial(control.certificates.context, "api")),
            service.sample(),
            service.sweep(),
            _forget(),
            service.schedule.follow(),
            service.verifier.follow(),
        ]
    )


async def _forget() -> None:
    """Drop the answers about records that nobody has asked for lately, forever."""
    while True:
        await asyncio.sleep(FORGET_S)
        await in_thread(forget_unused_answers)


def _refusal(scope: Scope, status: int, message: str) -> ASGIApp:
    """The response to a request with a Host that is not accepted."""
    if not _is_api(scope):
        return PlainTextResponse(f"{message}\n", status, {"X-Content-Type-Options": "nosniff"})
    return refusal(refused(Reason.WRONG_HOST if status == WRONG_HOST else Reason.INVALID, message))


def _is_api(scope: Scope) -> bool:
    return str(scope["path"]).startswith(API_PATHS)


class _ApiOrDashboard:
    """Serves the API at its paths, the dashboard elsewhere."""

    def __init__(self, api: ASGIApp, dashboard: ASGIApp) -> None:
        self._api = api
        self._dashboard = dashboard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._api if _is_api(scope) else self._dashboard)(scope, receive, send)


class _Counting:
    """Counts an application's responses by method and status."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
                self._counts.add("dnsd_api_requests_total", method, str(message["status"]))
            await send(message)

        await self._app(scope, receive, counting if scope["type"] == "http" else send)
