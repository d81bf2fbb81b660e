"""Tables of names are made without the interpreter's lock: other threads go on, such as control's event loop."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from statistics import median

import pytest

from dnsd.engine.entry import PLAIN, SPECIAL, row
from dnsd.engine.table import Table, difference, merge, pack, rows
from dnsd.wire.rdata import A

NAMES = 60_000
APEX = b"\1z\0"
KEY = bytes(16)
TRIES = 9  # in one, another process may have the processor, or a thread its turn at an unlucky moment
SERIES = 5  # of tries: on a busy machine, whole series are unlucky


def zone_rows(octets: bytes) -> bytes:
    """The rows of a zone, in an order that has to be found."""
    numbers = random.Random(5).sample(range(NAMES), NAMES)
    hosts = (row(PLAIN, 0, b"\4" + number.to_bytes(4) + APEX, [(A, 1, octets)]) for number in numbers)
    return row(SPECIAL, 0, APEX) + b"".join(hosts)


ROWS, OTHER_ROWS = zone_rows(b"x" * 16), zone_rows(b"y" * 16)
OCTETS, OTHER = pack([(APEX, 0, ROWS)], KEY), pack([(APEX, 0, OTHER_ROWS)], KEY)
MANY = 8 * NAMES  # rows are made so soon that on a busy machine others would have no turn meanwhile
NUMBERS = memoryview(b"".join(number.to_bytes(4, "little") for number in range(MANY + 1))).cast("I")
ENDS = memoryview(b"".join((4 * number).to_bytes(4, "little") for number in range(1, MANY + 1)))
COLUMN = bytes(4 * MANY)
WORK: dict[str, Callable[[], object]] = {
    "merging": lambda: merge((OCTETS, OTHER), KEY, False),
    "packing": lambda: pack([(APEX, 0, ROWS)], KEY),
    "comparing": lambda: difference(Table(OCTETS), OTHER, [APEX], KEY),
    "rows": lambda: rows(
        COLUMN, ENDS, COLUMN, ENDS, bytes(4 * MANY), bytes(MANY), NUMBERS[:-1], None, [(PLAIN, 0, A, 300, False)]
    ),
}


def counted_during(work: Callable[[], object]) -> int:
    """How far another thread counts while work is done."""
    count, found = 0, list[int]()

    def run() -> None:
        before = count
        work()
        found.append(count - before)

    thread = threading.Thread(target=run)
    thread.start()
    while not found:
        count += 1
    thread.join()
    return found[0]


@pytest.mark.parametrize("what", WORK)
def test_other_threads_go_on(what: str) -> None:
    assert WORK[what]()
    assert any(median(counted_during(WORK[what]) for _ in range(TRIES)) > 100 for _ in range(SERIES))


def test_thread_that_keeps_the_lock_is_noticed() -> None:
    numbers = [*range(200_000)]
    assert median(counted_during(numbers.copy) for _ in range(TRIES)) < 100
