"""The C parts withstand any octets: no crash, no endless loop, no read out of bounds.

`make sanitize` runs the same attacks for longer, with sanitizers that detect errors without a crash.
"""

from __future__ import annotations

import importlib
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from dnsd.engine import plain_names
from dnsd.net import udp

ROOT = Path(__file__).parents[2]

needs_compiled = pytest.mark.skipif(not udp.IS_BUILT, reason="the C parts were not built: no C compiler")


def run(*arguments: str) -> None:
    """In a separate process, which may crash or hang."""
    ran = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]


@needs_compiled
@pytest.mark.parametrize("attack", ["attack_names", "attack_batch"])
def test_attack(attack: str) -> None:
    run("-m", f"tests.native.{attack}", "100", "1")


def table(key: bytes, count: int, slots: int, size: int, rest: bytes) -> bytes:
    return struct.pack("<16sIIQ", key, count, slots, size) + rest


FULL = b"\1\0\0\0" * 8  # every slot leads to the first entry
ENTRY = b"\0\0\0\0\1y"

# The octets; whether their header is possible
HOSTILE = {
    "a slot that leads nowhere, no entries": (table(bytes(16), 0, 1, 0, b"\xff" * 4), True),
    "a size that makes the sum wrap": (table(bytes(16), 0, 2**20, 2**64 - 4 * 2**20, b""), False),
    "a size that makes it wrap, with names": (table(bytes(16), 1, 2**30, 2**64 - 2**32 + 8, bytes(8)), False),
    "all slots taken": (table(bytes(16), 7, 8, 35, FULL + ENTRY + bytes(29)), True),
    "more names than there is room for": (table(bytes(16), 7, 8, 34, FULL + ENTRY + bytes(28)), False),
    "an entry longer than the rest": (table(bytes(16), 1, 8, 5, FULL + b"\0\0\0\0\xff"), True),
    "an entry that begins before the end": (table(bytes(16), 1, 8, 6, b"\3\0\0\0" * 8 + ENTRY), True),
    "fewer than five octets of entries": (table(bytes(16), 0, 8, 4, b"\1\0\0\0" * 8 + bytes(4)), True),
    "as many names as slots": (table(bytes(16), 8, 8, 40, FULL + bytes(40)), False),
    "no slots": (table(bytes(16), 0, 0, 0, b""), False),
    "a number of slots that is not a power of two": (table(bytes(16), 0, 3, 0, bytes(12)), False),
}

LOOK = """\
import sys
from dnsd.engine._names import Table
octets = sys.stdin.buffer.read()
table = Table(octets, [], {})
for name in (b"", b"x", b"y" * 255, b"z" * 256, *(bytes([octet]) for octet in range(256))):
    try:
        table.get(name)
    except ValueError:
        pass
for position in (-1, 0, 1, table.end, 2**63 - 1):
    try:
        table.entry(position)
    except (IndexError, ValueError):
        pass
"""


@needs_compiled
@pytest.mark.parametrize(("octets", "may_be_one"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_table(octets: bytes, may_be_one: bool) -> None:
    ran = subprocess.run([sys.executable, "-c", LOOK], input=octets, capture_output=True, timeout=60, check=False)
    assert (ran.returncode == 0) == may_be_one, ran.stderr.decode()
    assert ran.returncode >= 0, "a signal ended it"
    assert may_be_one or b"ValueError: not a table of names" in ran.stderr


PLAIN = plain_names.pack([b"\1a\0", b"\0"], [0, 1], bytes(16))


@pytest.mark.parametrize("size", range(len(PLAIN)))
def test_plain_table_that_is_cut_short_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="not a table of names"):
        plain_names.Table(PLAIN[:size], [], {})
    entries = PLAIN[plain_names.HEADER.size : size]
    if entries not in (b"", PLAIN[plain_names.HEADER.size : -6]):
        with pytest.raises(ValueError, match="not"):
            plain_names.Table(table(bytes(16), 2, 0, len(entries), entries), [None, None], {})  # type: ignore[list-item]


def test_python_table_with_unknown_nodes_is_refused() -> None:
    with pytest.raises(ValueError, match="number of a node is out of range"):
        plain_names.Table(PLAIN, [None], {})  # type: ignore[list-item]


@needs_compiled
def test_batch_refuses_invalid_arguments() -> None:
    batch_type = importlib.import_module("dnsd.net._batch").Batch
    batch = batch_type(-1, None, None, False, 1)
    for longest in (0, -1, -(2**62)):
        with pytest.raises(ValueError, match="`longest` must be at least 1"):
            batch.forget((), longest, None)
    with pytest.raises(TypeError, match="limiter"):
        batch.forget((), 1, object())
    assert batch.exchange() == -1  # no socket
