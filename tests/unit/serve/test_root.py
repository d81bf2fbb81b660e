"""A server that stays root says so; one that leaves root, or never was root, does not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dnsd.serve import start

CASES = [  # effective user, `user` in the settings, is it said?
    (0, False, True),
    (0, True, False),
    (1000, False, False),
]


@pytest.mark.parametrize(("euid", "has_user", "is_said"), CASES)
def test_only_a_server_that_stays_root_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, euid: int, *, has_user: bool, is_said: bool
) -> None:
    done: list[str] = []
    owner: Any = SimpleNamespace(assume=lambda: done.append("assumed")) if has_user else None
    log: Any = SimpleNamespace(warning=done.append)
    monkeypatch.setattr("os.geteuid", lambda: euid)
    monkeypatch.setattr(start, "import_late_modules", lambda: None)
    monkeypatch.setattr(start, "give_folder", lambda *args: None)
    start._assume(owner, tmp_path, log)
    warning = "warning: the server runs as root, so an attacker who takes it over is root, too: set `user`"
    assert done == ["assumed"] * has_user + [warning] * is_said
