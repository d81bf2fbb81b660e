"""The heartbeat of control: it goes on during a long task of the event loop, and stops if that never ends."""

from __future__ import annotations

import asyncio
import time

import pytest

from dnsd.control.heartbeat import BEAT_S, Heartbeat


def beats_while_busy(busy_s: float, task_s: float) -> tuple[int, int]:
    """The beats during a task that keeps the event loop, and within its last quarter."""
    beats: list[float] = []

    async def run() -> float:
        heart = asyncio.create_task(Heartbeat(lambda: beats.append(time.monotonic()), busy_s=busy_s).run())
        await asyncio.sleep(0)
        started = time.monotonic()
        while time.monotonic() < started + task_s:  # a busy loop, as of a long request
            pass
        heart.cancel()
        return started

    started = asyncio.run(run())
    ended = started + task_s
    return len(beats), sum(ended - task_s / 4 <= at <= ended for at in beats)


@pytest.mark.slow
def test_long_task_does_not_stop_the_heartbeat() -> None:
    beats, late = beats_while_busy(busy_s=60.0, task_s=8 * BEAT_S)
    assert beats >= 3
    assert late >= 1


@pytest.mark.slow
def test_endless_task_stops_the_heartbeat() -> None:
    beats, late = beats_while_busy(busy_s=2 * BEAT_S, task_s=8 * BEAT_S)
    assert 1 <= beats <= 3
    assert late == 0
