"""Progress: one line on a terminal, erased at the end; no output to a pipe."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from dnsd import progress
from dnsd.progress import progress_on

ROOT = Path(__file__).parents[2]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def screen(self) -> str:
        """The visible text of the line, without text overwritten by spaces."""
        shown = ""
        for text in self.getvalue().split("\r"):
            shown = text + shown[len(text) :]
        return shown.rstrip()


def test_terminal_shows_progress_and_erases_it_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0)
    terminal = Terminal()
    with progress_on(terminal) as show:
        show("/etc/dnsd/accounts/acme/zones/example.com.zone", 412_000)
        assert terminal.screen() == "reading example.com.zone  412,000 records"
        show("/etc/dnsd/accounts/acme/zones/b.zone", 7)
        assert terminal.screen() == "reading b.zone  7 records"
        show("x" * 1000, 1)
        assert len(terminal.screen()) < 200
        show("a\x1b[2J\n", 1)
        assert terminal.screen() == "reading a?[2J?  1 records"
    assert terminal.screen() == ""
    assert "\n" not in terminal.getvalue()


def test_progress_is_written_only_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    milliseconds = count(1_000)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(milliseconds) / 1000))
    terminal = Terminal()
    with progress_on(terminal) as show:
        for records in range(10_000):
            show("a.zone", records)
    assert terminal.getvalue().count("reading") == 10_000 / (1000 * progress.EVERY_S)


def test_terminal_without_progress_is_unchanged() -> None:
    terminal = Terminal()
    with progress_on(terminal):
        pass
    assert terminal.getvalue() == ""


def test_pipe_gets_no_progress() -> None:
    pipe = io.StringIO()
    with progress_on(pipe) as show:
        show("a.zone", 1)
    assert pipe.getvalue() == ""


def test_check_shows_it_on_a_terminal(tmp_path: Path) -> None:
    zones = tmp_path / "accounts/acme/zones"
    zones.mkdir(parents=True)
    (tmp_path / "dnsd.yaml").write_text("default_addresses: [198.51.100.10]\nnameservers: [ns1.example.net]\n")
    (zones / "example.com.zone").write_text("".join(f"h{number} 300 IN A 192.0.2.1\n" for number in range(5_000)))
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "dnsd", "check", "-c", str(tmp_path / "dnsd.yaml")]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=child, check=False)
    os.close(child)
    shown = os.read(parent, 65_536).decode()
    os.close(parent)
    assert done.returncode == 0
    assert re.search(r"reading example.com.zone  [\d,]+ records", shown)
    assert shown.endswith("\r")
