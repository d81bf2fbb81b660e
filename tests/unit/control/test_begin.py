"""At a start, workers come before all other work of control; a hung worker delays that for a while only."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dnsd.control import control
from dnsd.control.publish import WorkerLink
from tests.limits import HANG_S
from tests.unit.control.scheduling import Life, Scheduling


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(Scheduling(tmp_path))


async def begun(life: Life) -> tuple[bool, bool]:
    """Whether the work waits at first, and whether it was done once a worker serves."""
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    tasks = [asyncio.ensure_future(one) for one in (life.control._begin(), life.control._after_begin(work))]
    await asyncio.sleep(0.01)
    has_waited = not done.is_set()
    link = WorkerLink(0, 1, None, serves=0, sent=0)  # type: ignore[arg-type]
    life.control.publisher.links[0] = link
    await life.control.publisher._notify()
    await asyncio.wait_for(asyncio.gather(*tasks), HANG_S)
    return has_waited, done.is_set()


def test_work_waits_until_every_worker_serves(life: Life) -> None:
    assert asyncio.run(begun(life)) == (True, True)


def test_a_hung_worker_does_not_keep_control_from_its_work(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "BEGUN_WITHIN_S", 0.01)
    asyncio.run(asyncio.wait_for(life.control._begin(), HANG_S))
    asyncio.run(asyncio.wait_for(life.control.has_begun(), HANG_S))
