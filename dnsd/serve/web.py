"""What is served over HTTP: the pages of monitoring, and the API; imported once DNS is answered."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dnsd.api.app import api_app
from dnsd.api.routes import ROUTES
from dnsd.manage.tokens import TokenFile
from dnsd.metrics import Counts
from dnsd.serve.control import Control
from dnsd.serve.http import serve_http
from dnsd.serve.monitoring import monitoring_app
from dnsd.serve.service import ControlService
from dnsd.serve.tasks import run_all

METHODS = {route.method for route in ROUTES}
OTHER_METHOD = "other"  # strangers can make up many


async def serve_web(control: Control) -> None:
    """Serve until cancelled, whichever of the two there is to be."""
    work = []
    if control.desk.metrics is not None:
        work.append(serve_http(monitoring_app(control), control.desk.metrics))
    if control.desk.api is not None:
        tokens = TokenFile(control.desk.state.folder)
        app = api_app(ControlService(control), tokens, control.desk.log.error)
        work.append(serve_http(_Counting(app, control.publisher.counts), control.desk.api))
    await run_all(work)


class _Counting:
    """Counts what an application answers."""

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
