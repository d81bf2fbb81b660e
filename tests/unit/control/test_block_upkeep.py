"""The hourly sweep of blocks: errors of the folder are logged, and do not end control."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dnsd.control import block_upkeep


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
        done.set()
        return []

    current = cast("Any", SimpleNamespace(blocks=SimpleNamespace(note_all=note_all, unswept=unswept)))
    log = cast("Any", SimpleNamespace(error=logged.append))
    monkeypatch.setattr(block_upkeep, "SWEEP_S", 0.001)

    async def until_swept() -> None:
        task = asyncio.create_task(block_upkeep.sweep_blocks(current, cast("Any", None), log))
        await done.wait()
        task.cancel()

    asyncio.run(until_swept())
    assert calls[:4] == ["note", "note", "note", "sweep"]
    assert len(logged) == 2
    assert "Permission denied" in logged[0]
