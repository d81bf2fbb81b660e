"""The log: lines for people and for programs, and writers that a slow reader cannot block."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from dnsd.log import MAX_LINE, Format, Level, Log, _console
from tests.limits import HANG_S

Write = Callable[[Log], None]


def written(write: str, *, prelude: str = "") -> str:
    """The output of a process that writes this log to a pipe."""
    code = f"from dnsd.log import *\nlog = Log('worker-0')\n{prelude}\n{write}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return result.stderr


def test_console_line() -> None:
    assert written("log.info('reloaded: revision 2')\nlog.info('query', name='example.com', type='A')") == (
        "reloaded: revision 2\nquery name=example.com type=A\n"
    )


def test_a_line_as_json() -> None:
    line = written("log.warning('query', name='a\"b\\n')", prelude="log.format = Format.JSON")
    data = json.loads(line)
    assert line.count("\n") == 1
    assert data.pop("time").endswith("+00:00")
    assert data == {"level": "warning", "process": "worker-0", "event": "query", "name": 'a"b\n'}


@pytest.mark.parametrize("level", Level)
def test_levels(level: Level) -> None:
    lines = written("for one in Level: log.line(one, one.value, {})", prelude=f"log.level = Level('{level.value}')")
    assert lines.split() == [one.value for one in Level][list(Level).index(level) :]


def test_a_long_line_is_cut() -> None:
    line = written("log.info('ä' * 10_000)").encode()
    assert len(line) <= MAX_LINE + 1
    assert line.endswith("…\n".encode())


def test_surrogates_are_written_as_escapes() -> None:
    assert written("log.info('\\udcff')") == "\\udcff\n"


def blocked(log_kind: str) -> int:
    """The number of lines dropped out of 3,000, if the pipe is not read; a wait for each would take minutes."""
    code = (
        "import os, sys\nfrom dnsd.log import *\n"
        "log = Log('x', wait_s=float(sys.argv[1]))\n"
        "for _ in range(3000): log.info('x' * 200)\n"
        "os.write(1, str(log.dropped).encode())"
    )
    if log_kind == "pipe":
        reader, writer = os.pipe()
    else:
        one, other = socket.socketpair()
        reader, writer = one.detach(), other.detach()
    try:
        result = subprocess.run(
            [sys.executable, "-c", code, "0.2"], stdout=subprocess.PIPE, stderr=writer, check=True, timeout=HANG_S
        )
    finally:
        os.close(reader)
        os.close(writer)
    return int(result.stdout)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_unread_pipe(kind: str) -> None:
    assert 1000 < blocked(kind) < 3000


def test_closed_reader() -> None:
    code = "from dnsd.log import *\nlog = Log('x')\nlog.info('a')\nlog.info('b')\nprint(log.dropped)"
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writer, text=True, check=True)
    os.close(writer)
    assert result.stdout == "2\n"


def test_a_slow_reader_loses_nothing() -> None:
    """Control waits for its reader, as a list of many problems is longer than a pipe's capacity."""
    code = "from dnsd.log import *\nlog = Log('x', wait_s=60)\nfor n in range(2000): log.info(f'{n} ' + 'x' * 100)"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert process.stderr
    time.sleep(0.6)
    lines = process.stderr.read().split(b"\n")
    process.wait()
    process.stderr.close()
    assert len(lines) == 2001


def test_shared_pipe_is_unchanged() -> None:
    """O_NONBLOCK on the shared descriptor would affect all processes that have the pipe."""
    code = "import os\nfrom dnsd.log import *\nLog('x').info('a')\nprint(os.get_blocking(2))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("True\n", "a\n")


def test_formats_are_those_of_the_settings() -> None:
    assert [one.value for one in Format] == ["console", "json"]


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\r", "\x9b", "\u2028", "\u2029", "\u202e", "\u2066", "\u200b"])
def test_terminal_obeys_no_text_of_a_stranger(character: str) -> None:
    line = _console(Level.ERROR, f"GET /{character}[2J: failed", {"peer": character})
    assert character not in line
    assert line.count(character.encode("unicode_escape").decode()) == 2


def test_traceback_keeps_its_lines() -> None:
    assert _console(Level.ERROR, "Traceback:\n  a\n  b – ü", {}) == "Traceback:\n  a\n  b – ü"
