"""Turns of accounts: what is about one account is done one after another, and what is about others at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class AccountTurns:
    """A lock for each account, while it is used."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}  # with the number of its users

    @asynccontextmanager
    async def of(self, account_id: str) -> AsyncIterator[None]:
        """The turn of an account."""
        lock, users = self._locks.get(account_id) or (asyncio.Lock(), 0)
        self._locks[account_id] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            _, users = self._locks.pop(account_id)
            if users > 1:
                self._locks[account_id] = lock, users - 1
