"""Garbage collection in processes most of whose objects stay."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EACH_S = 2.0  # between two looks at all objects
EACH_FACTOR = 100  # seconds between two looks for each second of looking
BUSY_WITHIN_S = 5.0  # work is waited for that long: memory that garbage holds grows meanwhile
LOOK_S = 0.05
NEVER = 2**30  # as a threshold


@contextmanager
def garbage_paused(*, freeze: bool = False) -> Iterator[None]:
    """Collect no garbage in this context: imports, loads and judgements make many objects, and free few.

    If `freeze`, never look for garbage among the objects made so far: a collection stops all threads, for a tenth of
    a second for each million objects.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        if freeze:
            gc.freeze()
    finally:
        if was_on:
            gc.enable()


async def collect_in_pauses(is_busy: Callable[[], bool]) -> None:
    """Look for garbage among all objects in pauses of the work only, forever; among new ones at any time.

    During a large piece of work there are ten times as many objects, and no more garbage.
    """
    gc.set_threshold(*gc.get_threshold()[:2], NEVER)
    pause_s = EACH_S
    while True:
        await asyncio.sleep(pause_s)
        deadline = time.monotonic() + BUSY_WITHIN_S
        while is_busy() and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_S)
        start = time.monotonic()
        gc.collect()
        pause_s = max(EACH_S, EACH_FACTOR * (time.monotonic() - start))
