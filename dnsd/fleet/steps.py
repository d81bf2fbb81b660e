"""Waiting for something that comes in steps, such as what a copy has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Steps:
    """Wakes all who wait, at each step."""

    def __init__(self) -> None:
        self.next = asyncio.Event()  # set at the next step: each has its own, so that all who wait are woken

    def take(self) -> None:
        """Make a step."""
        self.next, step = asyncio.Event(), self.next
        step.set()

    async def until(self, holds: Callable[[], bool], within_s: float) -> bool:
        """Whether something holds within a time; looked at before each step."""
        try:
            async with asyncio.timeout(within_s):
                while not holds():
                    await self.next.wait()
        except TimeoutError:
            return False
        return True
