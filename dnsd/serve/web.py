"""What is served over HTTP: the pages of monitoring, and the API; imported once DNS is answered."""

from __future__ import annotations

from dnsd.api.app import api_app
from dnsd.manage.tokens import TokenFile
from dnsd.serve.control import Control
from dnsd.serve.http import serve_http
from dnsd.serve.monitoring import monitoring_app
from dnsd.serve.service import ControlService
from dnsd.serve.tasks import run_all


async def serve_web(control: Control) -> None:
    """Serve until cancelled, whichever of the two there is to be."""
    work = []
    if control.desk.metrics is not None:
        work.append(serve_http(monitoring_app(control), control.desk.metrics))
    if control.desk.api is not None:
        tokens = TokenFile(control.desk.state.folder)
        app = api_app(ControlService(control), tokens, control.desk.log.error)
        work.append(serve_http(app, control.desk.api))
    await run_all(work)
