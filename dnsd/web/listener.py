"""The HTTP services: monitoring pages, API and dashboard; imported once DNS is answered."""

from __future__ import annotations

import importlib
from functools import partial

from dnsd.control.control import Control
from dnsd.process.tasks import in_thread, run_all
from dnsd.web.http import serve_http
from dnsd.web.monitoring import monitoring_app

API = "dnsd.web.api_pages"  # imported only if the API is configured, as it needs the most memory


async def serve_web(control: Control) -> None:
    """Serve the configured services until cancelled."""
    module = await in_thread(partial(importlib.import_module, API)) if control.setup.api is not None else None
    work = []  # made after the last `await`: a cancellation there would leave coroutines that are never awaited
    if control.setup.metrics is not None:
        work.append(
            serve_http(monitoring_app(control), control.setup.metrics, partial(control.certificates.context, "metrics"))
        )
    if module is not None:
        work.append(module.serve_api(control, control.setup.api))
    await run_all(work)
