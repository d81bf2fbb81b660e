"""A server stopped during its start leaves no coroutine that was never awaited."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest

from dnsd.web import listener as web


def test_server_may_end_while_the_api_is_imported(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    imports = []

    def in_thread(work: Any) -> asyncio.Future[None]:
        imports.append(work)
        return asyncio.get_running_loop().create_future()

    monkeypatch.setattr(web, "in_thread", in_thread)
    monkeypatch.setattr(web, "monitoring_app", lambda control: None)
    control: Any = SimpleNamespace(setup=SimpleNamespace(metrics=object(), api=object()))

    async def end_at_once() -> None:
        task = asyncio.create_task(web.serve_web(control))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(end_at_once())
    gc.collect()
    assert len(imports) == 1
    assert not [str(one.message) for one in recwarn]
