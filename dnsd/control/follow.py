"""Reload when the files change: the system reports changes, and regular checks find the others."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

from dnsd.control.current import Current
from dnsd.control.loading import Loader
from dnsd.process.tasks import in_thread
from dnsd.store.watch import Watch, watched_folders

SCAN_S = 1.0  # least time between checks of the files while the system reports no change
SCAN_PAUSE_FACTOR = 20  # seconds of pause per second of checking, so that checks take less than a 20th of the time
OWN_CHANGE_PAUSE_FACTOR = 4  # the same after a reported change that is the server's own: less than a fifth


class Follower:
    """Watches the files, and asks the loader to load changes."""

    def __init__(self, config: Path, current: Current, loader: Loader) -> None:
        self._config = config
        self._current = current
        self._loader = loader

    async def follow(self) -> None:
        """Reload whenever the files differ from the last attempt to load them, forever."""
        watch = await in_thread(lambda: Watch(lambda: watched_folders(self._config, self._folder)))
        pause_s = SCAN_S
        while True:
            await in_thread(partial(watch.wait, pause_s))
            if not self._current.settings.reload.watch:
                continue
            start, folder = time.monotonic(), self._folder
            is_served = await self._loader.load_change()
            seconds = time.monotonic() - start
            pause_s = max(SCAN_S, SCAN_PAUSE_FACTOR * seconds)
            if self._folder != folder:
                await in_thread(watch.renew)
                pause_s = 0  # the new folder may have changed before it was watched
            if not is_served:
                await asyncio.sleep(min(SCAN_S, OWN_CHANGE_PAUSE_FACTOR * seconds))

    @property
    def _folder(self) -> Path | None:
        """The accounts folder at the last attempt."""
        return self._current.source.folder if self._current.source else None
