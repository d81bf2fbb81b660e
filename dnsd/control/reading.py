"""Read the files, and wait until they have settled: a half-written file may look complete."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from dnsd.app import Source, read_source
from dnsd.process.tasks import in_thread
from dnsd.store.kept_zones import NOTHING_KEPT, KeptZones
from dnsd.store.text_file import Content

STILL_S, STILL_WITHIN_S = 1.0, 30.0  # files that take names off their maps must be still, waited for at most this long
SETTLE_S, SETTLE_TRIES = 0.1, 10  # files must stay unchanged for this long before they are loaded; number of checks


class SourceReader:
    """Reads the files of a configuration; `still` is the last source that was still for a while."""

    def __init__(self, config: Path, served: Callable[[], Iterable[Content]]) -> None:
        """`served` returns the texts served before; it blocks."""
        self.still: Source | None = None
        self._config = config
        self._served = served

    def read(
        self, previous: Source | None, *, patient: bool = True, kept: KeptZones = NOTHING_KEPT
    ) -> asyncio.Future[Source]:
        """Read the files; unchanged ones are those of `previous`, or those of which zones were kept."""
        options: dict[str, Any] = {"previous": previous, "patient": patient, "served": self._served, "kept": kept}
        return in_thread(partial(read_source, self._config, **options))

    async def settled(self, known: Source | None) -> Source:
        """The source, once it stays unchanged for a moment, or is `known`."""
        source = await self.read(known)
        for _ in range(SETTLE_TRIES):
            if source == known:
                break
            await asyncio.sleep(SETTLE_S)
            last, source = source, await self.read(source)
            if source == last:
                break
        return source

    async def await_still(self, source: Source) -> None:
        """Wait until the files have been still for STILL_S: a deletion on a slow disk arrives in pieces."""
        deadline = time.monotonic() + STILL_WITHIN_S
        since = time.monotonic()
        while since + STILL_S > time.monotonic() and time.monotonic() < deadline:
            await asyncio.sleep(SETTLE_S)
            last, source = source, await self.read(source)
            if source != last:
                since = time.monotonic()
        self.still = source
