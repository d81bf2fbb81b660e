"""What the listener of the API and the dashboard does beside its requests."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from dnsd.web import api_pages
from tests.limits import HANG_S
from tests.unit.control.scheduling import Life, Scheduling


def test_unused_answers_are_looked_for_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(api_pages, "FORGET_S", 0.001)
    monkeypatch.setattr(api_pages, "forget_unused_answers", lambda: looks.append(1))

    async def work(life: Life) -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            serving = asyncio.create_task(api_pages.serve_api(life.control, sock))
            async with asyncio.timeout(HANG_S):
                while len(looks) < 2:
                    await asyncio.sleep(0.001)
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving

    Scheduling(tmp_path / "world").run(work)
