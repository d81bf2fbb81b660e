"""The API of the running server, its requests counted; imported where it is wanted, as FastAPI takes 25 MB."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dnsd.api.app import api_app
from dnsd.api.routes import ROUTES
from dnsd.manage.tokens import TokenFile
from dnsd.metrics import Counts
from dnsd.serve.control import Control
from dnsd.serve.service import ControlService

METHODS = {route.method for route in ROUTES}
OTHER_METHOD = "other"  # strangers can make up many


def counted_api_app(control: Control) -> ASGIApp:
    """The API of a running server."""
    app = api_app(ControlService(control), TokenFile(control.desk.state.folder), control.desk.log.error)
    return _Counting(app, control.publisher.counts)


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
