"""A drain's times are kept before they are shown: after a kill, they are still the same."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dnsd.control.draining import DrainKeeper
from dnsd.log import Log
from dnsd.manage.audit import AuditLog
from dnsd.manage.drain_files import DrainFiles
from dnsd.manage.drains import Drain, DrainBook, book_of
from tests.limits import HANG_S


class Publisher:
    """Every worker serves the third revision."""

    revision = 3

    async def wait_until_served(self, revision: int) -> None:
        """At once."""


def test_end_of_a_drain_is_kept_before_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DrainFiles(tmp_path).save(
        book_of([Drain("id", "acme/maps/shop", "a1", ("192.0.2.1",), 1, 60, 3, 1_700_000_000.0)]), ["a1"]
    )
    log = cast(Log, SimpleNamespace(info=print, error=print))
    keeper = DrainKeeper(tmp_path, cast(Any, Publisher()), log)
    shown: list[bool] = []
    save = DrainFiles.save

    def noted(self: DrainFiles, book: DrainBook, accounts: set[str]) -> None:
        save(self, book, accounts)
        shown.append(not keeper.book.is_switching)

    async def work() -> None:
        await keeper.load()
        monkeypatch.setattr(DrainFiles, "save", noted)
        watch = asyncio.create_task(keeper.watch(cast(AuditLog, SimpleNamespace(append=lambda *_: None))))
        async with asyncio.timeout(HANG_S):
            while keeper.book.is_switching:
                await asyncio.sleep(0.001)
        watch.cancel()

    asyncio.run(work())
    assert shown == [False]
    assert [*DrainFiles(tmp_path).load()] == [*keeper.book]
