"""Attacks _rows.c: columns that do not belong together, and numbers beyond them.

    python -m tests.native.attack_rows FIRST_SEED SEEDS

Every call must end without accessing octets out of bounds: it returns something, or raises ValueError.
"""

from __future__ import annotations

import ctypes
import random
import struct
from contextlib import suppress

import tests.native.compiled  # noqa: F401  first, as the package then imports the extensions loaded by it
from dnsd.engine._rows import rows
from tests.native.attacker import attack

TREATMENTS = [(8, 1, 1, 300, False), (16, 2, 5, 2**32 - 1, False), (8, 3, 0, 0, True), (8, 1, 16, 1, False)]


def held(octets: bytes) -> ctypes.Array[ctypes.c_char]:
    """The octets in memory of exactly their size, so that the sanitizer detects accesses beyond the end."""
    array = (ctypes.c_char * len(octets))()
    array[:] = octets  # type: ignore[assignment]
    return array


def numbers(rng: random.Random, count: int, most: int) -> bytes:
    """Numbers of 4 octets, mostly below `most`, and sometimes not quite as many."""
    found = [rng.choice((rng.randrange(most + 1),) * 9 + (most, 2**31, 2**32 - 1)) for _ in range(count)]
    octets = struct.pack(f"<{count}I", *found)
    return octets[: rng.choice((len(octets),) * 9 + (len(octets) - 1, len(octets) - 4))]


def column(rng: random.Random, count: int, sizes: tuple[int, ...]) -> tuple[bytes, bytes]:
    """Octets, and ends that sometimes lie elsewhere."""
    ends, size = [], 0
    for _ in range(count):
        size += rng.choice(sizes)
        ends.append(size if rng.random() < 0.98 else rng.randrange(2**32))
    return rng.randbytes(min(size, 300_000)), struct.pack(f"<{count}I", *ends)


def attack_rows(rng: random.Random) -> None:
    """Make rows of odd columns."""
    for _ in range(200):
        count = rng.choice((0, 1, 2, 5, 40))
        names, data = column(rng, count, (0, 1, 3, 255, 256)), column(rng, count, (0, 1, 4, 65_535, 65_536))
        ends = sorted(rng.randrange(count + 1) for _ in range(rng.choice((0, 1, 3))))
        parts = [
            *names,
            *data,
            numbers(rng, count, len(TREATMENTS) - 1),
            rng.choices((bytes(count), rng.randbytes(count), b""), (8, 4, 1))[0],
            numbers(rng, count, max(0, count - 1)),
            struct.pack(f"<{len(ends)}I", *ends),
        ]
        with suppress(ValueError):
            rows(*map(held, parts), TREATMENTS[: rng.choice((4, 4, 4, 1))])  # type: ignore[call-arg,arg-type]


if __name__ == "__main__":
    attack(attack_rows)
