"""Control without workers, which no change waits for, and its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.control import loading, service
from tests.unit.control.scheduling import Scheduling


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SERVED_WITHIN_S", 0)
    monkeypatch.setattr(service, "SERVED_WITHIN_S", 0)


@pytest.fixture
def world(tmp_path: Path) -> Scheduling:
    return Scheduling(tmp_path / "world")
