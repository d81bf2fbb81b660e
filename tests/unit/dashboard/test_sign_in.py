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
from starlette.requests import Request

from dnsd.api.turns import STRANGERS
from dnsd.dashboard import app as app_module
from dnsd.dashboard import received
from dnsd.dashboard.app import dashboard_app
from dnsd.manage.session_file import SessionFile
from dnsd.manage.token_file import TokenFile
from dnsd.model.record_parts import Steps, finished
from dnsd.process.turns import ClientGoneError, Presence
from tests.limits import HANG_S


def test_nobody_else_waits_for_the_disk(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, disk, writing = TokenFile(tmp_path), threading.Event(), threading.Event()
    _, secret = tokens.create(name="tenant", now=datetime.now(UTC))
    service: Any = SimpleNamespace(tokens=tokens)

    def write(sessions: SessionFile) -> None:
        writing.set()
        if not disk.wait(HANG_S):
            raise OSError("nobody came")

    monkeypatch.setattr(SessionFile, "_write", write)

    async def run() -> tuple[int, list[int]]:
        transport = httpx.ASGITransport(dashboard_app(service, SessionFile(tmp_path), print))
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


class Gone:
    """A service for which every client goes while it waits."""

    def __init__(self, tokens: TokenFile) -> None:
        self.tokens = tokens

    @property
    def loaded(self) -> Any:
        raise ClientGoneError("the client has gone")


def test_client_that_has_gone_is_no_error(tmp_path: pathlib.Path) -> None:
    tokens, reported = TokenFile(tmp_path), list[str]()
    _, secret = tokens.create(name="tenant", now=datetime.now(UTC))
    service: Any = Gone(tokens)

    async def run() -> int:
        transport = httpx.ASGITransport(dashboard_app(service, SessionFile(tmp_path), reported.append))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=HANG_S) as client:
            found = re.search(r'name="form_secret" value="([^"]+)"', (await client.get("/sign-in")).text)
            assert found
            form = {"form_secret": found[1], "token": secret, "next": "/"}
            assert (await client.post("/sign-in", data=form)).status_code == 303
            return (await client.get("/")).status_code

    assert asyncio.run(run()) == 499
    assert reported == []


LARGE_FORM = b"a=" + b"x" * 200_000


@pytest.mark.parametrize("has_session", [True, False])
def test_strangers_are_one_author_whatever_their_addresses(
    monkeypatch: pytest.MonkeyPatch, *, has_session: bool
) -> None:
    authors: list[str] = []
    session: Any = SimpleNamespace(token=SimpleNamespace(author=SimpleNamespace(id="a1"))) if has_session else None

    async def noted(author: str, _presence: Presence, steps: Steps[Any]) -> Any:
        authors.append(author)
        return finished(steps)

    monkeypatch.setattr(received, "in_turns_of", noted)
    for number in range(3):
        request = Request({"type": "http", "method": "POST", "headers": [], "client": (f"2001:db8::{number}", 1)})
        asyncio.run(received.form_of(request, session, LARGE_FORM))
    assert authors == ["a1" if has_session else STRANGERS] * 3


def test_sign_ins_of_one_author_are_limited(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "MAX_SIGN_INS", 2)
    tokens, now = TokenFile(tmp_path), datetime.now(UTC)
    token, secret = tokens.create(name="tenant", now=now, accounts=["a1" * 16])
    secrets = [secret, secret, tokens.create(name="child", now=now, parent=token)[1]]
    _, other = tokens.create(name="other", now=now, accounts=["a2" * 16])
    service: Any = SimpleNamespace(tokens=tokens)

    async def run() -> list[int]:
        transport = httpx.ASGITransport(dashboard_app(service, SessionFile(tmp_path), print))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=HANG_S) as client:
            statuses = []
            for one in (*secrets, other):
                found = re.search(r'name="form_secret" value="([^"]+)"', (await client.get("/sign-in")).text)
                assert found
                form = {"form_secret": found[1], "token": one, "next": "/"}
                statuses.append((await client.post("/sign-in", data=form)).status_code)
            return statuses

    assert asyncio.run(run()) == [303, 303, 429, 303]
