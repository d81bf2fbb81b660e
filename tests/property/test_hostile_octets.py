"""The C parts withstand any octets: no crash, no endless loop, no read out of bounds.

`make sanitize` runs the same attacks for longer, with sanitizers that detect errors without a crash.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from dnsd.engine import plain_pack, plain_table
from dnsd.engine.entry import row
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
@pytest.mark.parametrize("attack", ["attack_table", "attack_batch", "attack_columns"])
def test_attack(attack: str) -> None:
    run("-m", f"tests.native.{attack}", "100", "1")


def table(*, names: int = 0, slots: int, entries: int = 0, zones: int = 0, size: int, rest: bytes) -> bytes:
    """A table of names: `rest` are its entries, slots, order and zones."""
    return plain_table.HEAD.pack(plain_table.MAGIC, bytes(16), names, slots, entries, zones, 9, 0, size) + rest


LEADING = b"\1\0\0\0"  # to the first entry
NAMED = row(0, 0, b"\1y\0")
CUT = b"\0\xff\0\0" + bytes(4)  # an entry with a name of 255 octets
MANY_SETS = b"\0\0\xff\xff" + bytes(4)

# The octets; whether their head is possible
HOSTILE = {
    "a slot that leads nowhere, no entries": (table(slots=1, size=0, rest=b"\xff" * 4), True),
    "a size that makes the sum wrap": (table(slots=2**20, size=2**64 - 4 * 2**20, rest=b""), False),
    "a size beyond every slot": (table(slots=1, size=2**34, rest=bytes(4)), False),
    "all slots taken": (table(slots=8, entries=1, size=12, rest=NAMED + LEADING * 8 + bytes(4)), True),
    "more entries than there is room for": (table(slots=2, entries=2, size=12, rest=NAMED + bytes(12)), False),
    "more names than entries": (table(names=2, slots=2, entries=1, size=12, rest=NAMED + bytes(12)), False),
    "more zones than entries": (table(slots=2, entries=1, zones=2, size=12, rest=NAMED + bytes(20)), False),
    "an entry longer than the rest": (table(slots=2, entries=1, size=8, rest=CUT + LEADING * 2 + bytes(4)), True),
    "more sets than octets": (
        table(slots=2, entries=1, zones=1, size=8, rest=MANY_SETS + LEADING * 2 + bytes(8)),
        True,
    ),
    "a zone that leads nowhere": (
        table(slots=2, entries=1, zones=1, size=12, rest=NAMED + bytes(12) + b"\xff" * 4),
        True,
    ),
    "an order that leads nowhere": (
        table(slots=2, entries=1, zones=1, size=12, rest=NAMED + b"\xff" * 12 + bytes(4)),
        True,
    ),
    "fewer octets than an entry": (table(slots=2, size=4, rest=bytes(4) + LEADING * 2), True),
    "no slots": (table(slots=0, size=0, rest=b""), False),
    "a number of slots that is not a power of two": (table(slots=3, size=0, rest=bytes(12)), False),
}

LOOK = """\
import sys
from dnsd.engine.{} import EntryTable
octets = sys.stdin.buffer.read()
table = EntryTable(octets)
calls = [len, type(table).zones]
for name in (b"", b"\\0", b"x", b"\\1y\\0", b"y" * 255, *(bytes([octet]) for octet in range(256))):
    calls += [lambda table, name=name: table.find(name), lambda table, name=name: name in table]
    calls += [lambda table, name=name: table.head(name), lambda table, name=name: table.find_set(1, name, name)]
    calls += [lambda table, name=name: table.find_in(name, name), lambda table, name=name: table.before(name, b"x")]
    calls += [lambda table, name=name: list(table.walk(name))]
for call in calls:
    try:
        call(table)
    except ValueError:
        pass
"""


@pytest.mark.parametrize("module", [pytest.param("_table", marks=needs_compiled), "plain_table"])
@pytest.mark.parametrize(("octets", "may_be_one"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_table(octets: bytes, may_be_one: bool, module: str) -> None:
    command = [sys.executable, "-c", LOOK.format(module)]
    ran = subprocess.run(command, input=octets, capture_output=True, timeout=60, check=False)
    assert (ran.returncode == 0) == may_be_one, ran.stderr.decode()
    assert ran.returncode >= 0, "a signal ended it"
    assert may_be_one or b"ValueError: not a table of names" in ran.stderr


PLAIN = plain_pack.pack([(b"\0", 0, row(0, 0, b"\0") + row(0, 0, b"\1a\0"))], bytes(16))


@pytest.mark.parametrize("size", range(len(PLAIN)))
def test_table_that_is_cut_short_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="not a table of names"):
        plain_table.EntryTable(PLAIN[:size])


@needs_compiled
def test_batch_refuses_invalid_arguments() -> None:
    batch_type = importlib.import_module("dnsd.net._batch").Batch
    batch = batch_type(-1, None, None, False, 1)
    octets, other = (plain_pack.pack([], key) for key in (bytes(16), bytes(range(16))))
    for refused in ((b"", None), (octets[:-1], None), (octets, b""), (octets, other)):
        with pytest.raises(ValueError, match="not a table of names"):
            batch.forget(*refused, None)
    with pytest.raises(TypeError, match="limiter"):
        batch.forget(octets, None, object())
    batch.forget(octets, octets, None)
    assert batch.exchange() == -1  # no socket
