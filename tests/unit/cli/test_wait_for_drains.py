"""The wait of `dnsd map drains --wait`: its end, and its progress in a pipe and on a terminal."""

from __future__ import annotations

import sys
from typing import Any, cast

import pytest

from dnsd.cli import map_drains
from dnsd.cli.client import Client

FORGOTTEN = {"state": "forgotten", "remaining_s": 0}
SWITCHING = {"state": "switching", "remaining_s": None}
STEPS = [[SWITCHING, FORGOTTEN], [{"state": "draining", "remaining_s": 12}], [{"state": "draining", "remaining_s": 2}]]


class FakeClient:
    """Answers with one step after the other, then with a forgotten drain."""

    def __init__(self) -> None:
        self.asked = 0

    def get(self, path: str) -> list[dict[str, Any]]:
        assert path == "/map/drains"
        self.asked += 1
        return STEPS[self.asked - 1] if self.asked <= len(STEPS) else [FORGOTTEN]


PROGRESS = {
    "a pipe": (False, "waiting for the last worker\nwaiting for caches, for at most 12 s\n"),
    "a terminal": (
        True,
        "\r\x1b[Kwaiting for the last worker\r\x1b[Kwaiting for caches: 12 s left"
        "\r\x1b[Kwaiting for caches: 2 s left\r\x1b[K",
    ),
}


@pytest.mark.parametrize(("is_terminal", "said"), PROGRESS.values(), ids=PROGRESS.keys())
def test_wait(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_terminal: bool, said: str
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(map_drains.time, "sleep", slept.append)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    client = FakeClient()
    assert map_drains.awaited(cast(Client, client), "/map") == [FORGOTTEN]
    assert (client.asked, len(slept)) == (4, 3)
    assert all(0 < seconds <= map_drains.POLL_S for seconds in slept)
    assert capsys.readouterr().err == said
