"""Attacks _columns.c: ends that lead anywhere, indexes beyond the records, and names that are not well-formed.

    python -m tests.native.attack_columns FIRST_SEED SEEDS

Every call must end without accessing octets out of bounds: it returns something, or raises ValueError. What it returns
for whole columns is what plain_columns.py finds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import tests.native.compiled  # noqa: F401  first, as the package then imports the extensions loaded by it
from dnsd.model import _columns, plain_columns
from tests.native.attack_rows import column, held, numbers
from tests.native.attacker import attack

SIZES = (0, 1, 3, 32, 255, 65_535, 65_536)
NAMES = (b"\0", b"\1a\0", b"\3www\1a\0", b"\x3f" + b"x" * 63 + b"\1a\0", b"\xff", b"\5ab", b"")
ODD = (0, 1, -1, 5, 40, 2**31, 2**32, 2**62, -(2**62), 2**63 - 1, -(2**63))

Held = Any  # octets that the sanitizer watches


def columns(rng: random.Random, count: int) -> tuple[bytes, bytes]:
    """A column of names, of other octets, or of ends that lead anywhere."""
    if rng.random() < 0.5:
        octets, ends = plain_columns.pack([rng.choice(NAMES) for _ in range(count)])
        return octets, ends
    octets, ends = column(rng, count, SIZES)
    return octets, ends[: rng.choice((len(ends),) * 9 + (len(ends) - 1, len(ends) - 4))]


def calls(rng: random.Random) -> list[Callable[[Any], object]]:
    """Each function, as a call that is given the module."""
    count = rng.choice((0, 1, 2, 5, 40, 200))
    one = [*map(held, columns(rng, count))]
    other = [*map(held, columns(rng, rng.choice((count, count, 7))))]
    some, wanted = held(numbers(rng, rng.choice((0, 3, 90)), max(0, count - 1))), held(rng.choice(NAMES))
    key = held(rng.randbytes(rng.choice((16, 16, 16, 0, 15))))
    start, stop, base = (rng.choice(ODD) for _ in range(3))
    marks, bits = bytearray(rng.randbytes(rng.choice((0, count, count, 7)))), rng.choice((0, 1, 255, *ODD))
    treated = held(rng.randbytes(rng.choice((0, 1, count, 256, 256, 300))))
    return [
        lambda module: module.cut(*one, start, stop),
        lambda module: module.pick(*one, some),
        lambda module: module.moved(*one, start, stop, base, rng.random() < 0.5),
        lambda module: module.places(*one, wanted),
        lambda module: module.starting(*one, wanted),
        lambda module: module.ending(*one, some, wanted),
        lambda module: module.set_marks(marks, some, bits),
        lambda module: module.marked(marks, treated),
        lambda module: module.chosen(some, treated),
        lambda module: module.larger(*one, start),
        lambda module: module.group(*one, key),
        lambda module: module.together(*one, some, key),
        lambda module: module.like(*one, *other, some, key),
        lambda module: module.outside(*one, wanted, start),
    ]


def attack_columns(rng: random.Random) -> None:
    """Call everything with odd columns."""
    named = {name for call in calls(rng) for name in call.__code__.co_names if hasattr(_columns, name)}
    assert named | {"pack"} == {name for name in dir(_columns) if not name.startswith("_")}, "attack all functions"
    for _ in range(150):
        for call in calls(rng):
            with suppress(ValueError, OverflowError, MemoryError):
                call(_columns)
    items = [rng.choice(NAMES) for _ in range(rng.randrange(40))]
    assert _columns.pack(items) == plain_columns.pack(items)


if __name__ == "__main__":
    attack(attack_columns)
