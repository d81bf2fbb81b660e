"""`dnsd zone export`: a terminal gets no control characters of comments; files and pipes get the text as it is."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from dnsd.cli import records

TEXT = "$ORIGIN cake.example.\nwww\tA\t192.0.2.1 ; \x1b[2J\x1b]0;pwned\x07 \x9b31m caf\u00e9\n"
ESCAPED = "www     A       192.0.2.1 ; \\x1b[2J\\x1b]0;pwned\\x07 \\x9b31m caf\u00e9\n"


@pytest.mark.parametrize(
    ("is_terminal", "shown"), [(True, f"$ORIGIN cake.example.\n{ESCAPED}"), (False, TEXT)], ids=["terminal", "pipe"]
)
def test_export_escapes_control_characters_for_terminals_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_terminal: bool, shown: str
) -> None:
    monkeypatch.setattr(records, "find_zone", lambda api, zone: {})
    monkeypatch.setattr(records, "exported", lambda api, zone, *, answered: TEXT)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    command: Any = records.export_command.callback
    inner = getattr(command, "__wrapped__", command)
    inner(SimpleNamespace(), zone="cake.example", file="-", answered=False)
    assert capsys.readouterr().out == shown
