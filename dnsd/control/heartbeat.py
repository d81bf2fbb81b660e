"""The heartbeat of control: beats while it works, also on one long task; stops if its event loop hangs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

BEAT_S = 0.25
BUSY_S = 60.0  # for which the event loop may be busy with one task


class Heartbeat:
    """Beats from a thread of its own, as the event loop also serves requests and may be busy with one.

    The supervisor kills a process without beats for ten seconds. Here that means a process that runs nothing at all, or
    whose event loop has done nothing else for `busy_s`.
    """

    def __init__(self, beat: Callable[[], None], *, busy_s: float = BUSY_S) -> None:
        self._beat = beat
        self._busy_s = busy_s
        self._looped_at = time.monotonic()
        self._is_over = threading.Event()

    async def run(self) -> None:
        """Beat until cancelled."""
        threading.Thread(target=self._beat_on, name="heartbeat", daemon=True).start()
        try:
            while True:
                self._looped_at = time.monotonic()
                await asyncio.sleep(BEAT_S)
        finally:
            self._is_over.set()

    def _beat_on(self) -> None:
        while not self._is_over.is_set():
            if time.monotonic() - self._looped_at < self._busy_s:
                self._beat()
            self._is_over.wait(BEAT_S)
