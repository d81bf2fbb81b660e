"""The hourly sweep of blocks: errors of the folder are logged, do not end control, and lost texts are kept again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dnsd.control import block_upkeep
from tests.limits import HANG_S


def test_unreadable_folder_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    logged: list[str] = []
    done = asyncio.Event()

    def note_all() -> None:
        calls.append("note")
        if len(calls) < 3:
            raise PermissionError(13, "Permission denied", "blocks")

    def unswept() -> list[str]:
        calls.append("sweep")
        if calls.count("sweep") == 2:
            done.set()
        return []

    async def keep_again() -> None:
        calls.append("keep")
        good.is_lost = False

    good = SimpleNamespace(is_lost=True)  # a manifest that was found damaged
    blocks = SimpleNamespace(note_all=note_all, unswept=unswept)
    current = cast("Any", SimpleNamespace(blocks=blocks, good=good, keep_first_good=keep_again))
    log = cast("Any", SimpleNamespace(error=logged.append))
    monkeypatch.setattr(block_upkeep, "SWEEP_S", 0.001)

    async def until_swept() -> None:
        task = asyncio.create_task(block_upkeep.sweep_blocks(current, cast("Any", None), log))
        await done.wait()
        task.cancel()

    asyncio.run(until_swept())
    assert calls[:6] == ["note", "note", "note", "sweep", "keep", "sweep"]
    assert len(logged) == 2
    assert "Permission denied" in logged[0]


def test_lost_texts_are_kept_again_where_another_account_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = asyncio.Event()
    logged: list[str] = []

    def sweep(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "blocks/globex")

    async def keep_again() -> None:
        kept.set()

    blocks = SimpleNamespace(note_all=lambda: None, unswept=lambda: ["globex"], sweep=sweep)
    good = SimpleNamespace(is_lost=True, named=lambda account: [])
    current = cast("Any", SimpleNamespace(blocks=blocks, good=good, keep_first_good=keep_again))
    history = cast("Any", SimpleNamespace(named=lambda account: []))
    monkeypatch.setattr(block_upkeep, "SWEEP_S", 0.001)

    async def until_kept() -> None:
        task = asyncio.create_task(
            block_upkeep.sweep_blocks(current, history, cast("Any", SimpleNamespace(error=logged.append)))
        )
        async with asyncio.timeout(HANG_S):
            await kept.wait()
            while not logged:
                await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(until_kept())
    assert "Permission denied" in logged[0]
