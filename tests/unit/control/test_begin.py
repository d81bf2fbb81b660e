"""At a start, workers come before all other work of control; a hung worker delays that for a while only."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dnsd.control import control
from dnsd.control.control import Control
from dnsd.control.publish import WorkerLink
from tests.limits import HANG_S
from tests.unit.control.scheduling import Life, Scheduling


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(Scheduling(tmp_path))


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Control]:
    """The control processes that have gone on to their other work."""
    found: list[Control] = []

    async def go_on(one: Control) -> None:
        found.append(one)

    monkeypatch.setattr("dnsd.control.going_on.go_on", go_on)
    return found


async def begun(life: Life, done: list[Control]) -> tuple[bool, bool]:
    """Whether the work waits at first, and whether it was done once a worker serves."""
    going_on = asyncio.ensure_future(life.control._go_on())
    await asyncio.sleep(0.01)
    has_waited = not done and not life.control._has_begun.is_set()
    link = WorkerLink(0, 1, None, serves=0, sent=0)  # type: ignore[arg-type]
    life.control.publisher.links[0] = link
    await life.control.publisher._notify()
    await asyncio.wait_for(going_on, HANG_S)
    await asyncio.wait_for(life.control.has_begun(), HANG_S)
    return has_waited, done == [life.control]


def test_work_waits_until_every_worker_serves(life: Life, done: list[Control]) -> None:
    assert asyncio.run(begun(life, done)) == (True, True)


def test_a_hung_worker_does_not_keep_control_from_its_work(
    life: Life, done: list[Control], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "BEGUN_WITHIN_S", 0.01)
    asyncio.run(asyncio.wait_for(life.control._go_on(), HANG_S))
    asyncio.run(asyncio.wait_for(life.control.has_begun(), HANG_S))
    assert done == [life.control]
