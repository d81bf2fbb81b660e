"""Signing in by the dashboard's application itself, while the disk is slow."""

from __future__ import annotations

import asyncio
import pathlib
import re
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from dnsd.dashboard.app import dashboard_app
from dnsd.dashboard.sessions import Sessions
from dnsd.manage.token_file import TokenFile
from tests.limits import HANG_S


def test_nobody_else_waits_for_the_disk(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, disk, writing = TokenFile(tmp_path), threading.Event(), threading.Event()
    _, secret = tokens.create(name="tenant", now=datetime.now(UTC))
    service: Any = SimpleNamespace(tokens=tokens)

    def write(sessions: Sessions) -> None:
        writing.set()
        if not disk.wait(HANG_S):
            raise OSError("nobody came")

    monkeypatch.setattr(Sessions, "_write", write)

    async def run() -> tuple[int, list[int]]:
        transport = httpx.ASGITransport(dashboard_app(service, tmp_path, print))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=HANG_S) as client:
            page = await client.get("/sign-in")
            found = re.search(r'name="form_secret" value="([^"]+)"', page.text)
            assert found
            form = {"form_secret": found[1], "token": secret, "next": "/"}
            signing = [asyncio.create_task(client.post("/sign-in", data=form)) for _ in range(2)]
            while not writing.is_set():
                await asyncio.sleep(0.001)
            other = await client.get("/sign-in")
            disk.set()
            return other.status_code, [(await one).status_code for one in signing]

    assert asyncio.run(run()) == (200, [303, 303])
