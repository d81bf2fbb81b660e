"""Reload when the files change: the store reports changes, and regular checks find the others."""

from __future__ import annotations

import asyncio
import time

from dnsd.control.current import Current
from dnsd.control.loading import Loader
from dnsd.store.port import Store

SCAN_S = 1.0  # least time between checks of the files while the store reports no change
SCAN_PAUSE_FACTOR = 20  # seconds of pause per second of checking, so that checks take less than a 20th of the time
OWN_CHANGE_PAUSE_FACTOR = 4  # the same after a reported change that is the server's own: less than a fifth


class Follower:
    """Follows the store, and asks the loader to load changes."""

    def __init__(self, store: Store, current: Current, loader: Loader) -> None:
        self._store = store
        self._current = current
        self._loader = loader

    async def follow(self) -> None:
        """Reload whenever the files differ from the last attempt to load them, forever."""
        pause_s = SCAN_S
        while True:
            await self._store.changed(pause_s)
            settings = self._current.settings
            if not settings.reload.watch and not settings.role.is_in_fleet:
                continue
            start = time.monotonic()
            is_served = await self._loader.load_change()
            seconds = time.monotonic() - start
            pause_s = max(SCAN_S, SCAN_PAUSE_FACTOR * seconds)
            if not is_served:
                await asyncio.sleep(min(SCAN_S, OWN_CHANGE_PAUSE_FACTOR * seconds))
