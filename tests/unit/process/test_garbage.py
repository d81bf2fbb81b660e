"""Garbage collection waits for the end of long work, and passes over what stays."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import suppress

import pytest

from dnsd.process import garbage
from dnsd.process.garbage import collect_in_pauses, garbage_paused
from tests.limits import HANG_S


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("is_on", [True, False])
def test_collection_is_paused_and_then_as_before(is_on: bool) -> None:
    if not is_on:
        gc.disable()
    seen = []
    with suppress(ValueError), garbage_paused():
        seen.append(gc.isenabled())
        raise ValueError
    assert [*seen, gc.isenabled()] == [False, is_on]


@pytest.mark.parametrize("freeze", [True, False])
def test_kept_objects_are_not_looked_at_again(freeze: bool) -> None:
    with garbage_paused(freeze=freeze):
        made = [object()]
    assert any(one is made for one in gc.get_objects()) is not freeze


def test_all_objects_are_looked_at_in_pauses_of_the_work_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "EACH_S", 0.001)
    monkeypatch.setattr(garbage, "LOOK_S", 0.001)
    thresholds, is_busy = gc.get_threshold(), [True, True, False]
    seen: list[tuple[int, int]] = []  # a look's generation, and the answers of `is_busy` before it that are left

    def noted(phase: str, facts: dict[str, int]) -> None:
        if phase == "start":
            seen.append((facts["generation"], len(is_busy)))

    def looks() -> int:
        return sum(generation == 2 for generation, _ in seen)

    async def work() -> None:
        looking = asyncio.create_task(collect_in_pauses(lambda: is_busy.pop(0) if is_busy else False))
        async with asyncio.timeout(HANG_S):
            while (2, 0) not in seen:
                await asyncio.sleep(0.001)
        before = looks()
        made = [[one] for one in range(1_000_000)]  # hundreds of looks at the new ones
        assert looks() == before, len(made)
        looking.cancel()

    gc.callbacks.append(noted)
    try:
        asyncio.run(work())
    finally:
        gc.callbacks.remove(noted)
        gc.set_threshold(*thresholds)
    assert [left for generation, left in seen if generation == 2 and left] == []
