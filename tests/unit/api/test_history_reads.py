"""Earlier versions are read beside control's loop: a version of a large zone has many megabytes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dnsd.api.history import get_map_version, get_zone_version, list_map_versions, list_zone_versions
from dnsd.api.request import Call
from dnsd.manage.refusal import RefusedError
from dnsd.manage.service import Actor
from tests.unit.manage.test_audit import TOKEN

ACCOUNT, OBJECT = "a1" * 16, "21" * 16


@pytest.mark.parametrize("route", [get_map_version, get_zone_version, list_map_versions, list_zone_versions])
def test_nobody_waits_for_the_disk(route: Callable[[Call], Awaitable[object]]) -> None:
    readers: list[threading.Thread] = []

    def versions(object_id: str) -> list[Any]:
        readers.append(threading.current_thread())
        return []

    def text(object_id: str, version: str) -> None:
        readers.append(threading.current_thread())

    account: Any = SimpleNamespace(id=ACCOUNT)
    dataset = SimpleNamespace(accounts={ACCOUNT: account}, maps={}, zones={})
    service: Any = SimpleNamespace(
        history=SimpleNamespace(versions=versions, text=text), loaded=SimpleNamespace(dataset=dataset)
    )
    kind = "map_id" if "map" in route.__name__ else "zone_id"
    call = Call(service, Actor(TOKEN, ""), {"account_id": ACCOUNT, kind: OBJECT, "version": "1"}, {}, {}, b"")

    async def run() -> None:
        await route(call)

    with pytest.raises(RefusedError, match="not_found"):
        asyncio.run(run())
    assert readers
    assert threading.main_thread() not in readers
