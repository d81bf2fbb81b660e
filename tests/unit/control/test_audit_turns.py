"""Searches of the audit log take turns: a short one does not wait for the end of a long one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dnsd.control.service import ControlService
from dnsd.manage import audit_search
from dnsd.manage.audit import AuditLog
from dnsd.manage.audit_search import LogQuery
from dnsd.manage.service import Actor
from dnsd.process import turns
from tests.unit.manage.test_audit import TOKEN, entry


def test_short_search_ends_before_a_long_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_search, "STEP_SIZE", 1000)
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    log = AuditLog(tmp_path / "audit.log")
    for number in range(100):
        log.append(entry(revision=number))
    ended: list[str] = []

    async def search(service: ControlService, name: str, limit: int) -> int:
        found = await service.audit(Actor(TOKEN, ""), LogQuery(limit))
        ended.append(name)
        return len(found.entries)

    async def both() -> list[int]:
        service = object.__new__(ControlService)
        service._audit, service._unread = log, set()
        return await asyncio.gather(search(service, "long", 1000), search(service, "short", 1))

    assert asyncio.run(both()) == [100, 1]
    assert ended == ["short", "long"]
