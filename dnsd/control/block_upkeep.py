"""The upkeep of the blocks of texts: blocks that no manifest names are deleted, some accounts in an hour."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from dnsd.control.current import Current
from dnsd.errors import DnsdError
from dnsd.log import Log
from dnsd.manage.history import History
from dnsd.process.tasks import in_thread
from dnsd.store.blocks import TextBlock

SWEEP_S = 3600.0
MAX_ACCOUNTS = 1000  # swept at a time


async def sweep_blocks(current: Current, history: History, log: Log) -> None:
    """Delete unnamed blocks every hour, of accounts that may have some; of all in the first hours. Forever."""
    is_noted = False
    while True:
        try:
            if is_noted:
                try:
                    await in_thread(partial(sweep, current, history))
                finally:  # also where the folder of another account is unreadable
                    if current.good.is_lost:
                        await current.keep_first_good()
            else:
                await in_thread(current.blocks.note_all)
                is_noted = True
        except OSError as error:
            log.error(f"blocks of former texts cannot be deleted: {error}")
        await asyncio.sleep(SWEEP_S)


def sweep(current: Current, history: History, now: float | None = None) -> None:
    """Delete the unnamed blocks of some accounts. Raises the first OSError after having tried all. Blocks."""
    failures = []
    for account in current.blocks.unswept()[:MAX_ACCOUNTS]:
        try:
            with suppress(DnsdError):  # a damaged manifest: nobody knows which blocks it names
                current.blocks.sweep(account, _named(current, history, account), now)
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _named(current: Current, history: History, account: str) -> Iterator[tuple[TextBlock, ...]]:
    """The blocks of all texts of an account. Raises OSError and DamagedFileError."""
    yield from current.good.named(account)
    yield from history.named(account)
