"""Queries with random damage."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence

OPT = bytes.fromhex("00 0029 04d0 00008000 0000")


def question(name: bytes, qtype: int, qclass: int = 1, *, flags: int = 0x0100, opt: bytes = b"") -> bytes:
    """A query; `name` is in wire form."""
    return struct.pack("!6H", 7, flags, 1, 0, 0, bool(opt)) + name + struct.pack("!HH", qtype, qclass) + opt


def seeds(names: Sequence[bytes]) -> list[bytes]:
    """Valid queries for these names, as a starting point."""
    return [question(name, qtype, opt=opt) for name in names for qtype in (1, 28, 65, 255) for opt in (b"", OPT)]


def mutations(rng: random.Random, seeds: list[bytes]) -> Iterator[bytes]:
    """Queries with bits flipped, octets changed, added, repeated or cut off, counts changed, and pure noise."""
    while True:
        query = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 5))):
            kind, at = rng.randrange(7), rng.randrange(len(query)) if query else 0
            if kind == 0 and query:
                query[at] ^= 1 << rng.randrange(8)
            elif kind == 1 and query:
                query[at] = rng.choice((0, 1, 63, 64, 0x80, 0xC0, 0xFF, rng.randrange(256)))
            elif kind == 2:
                del query[at:]
            elif kind == 3:
                query += rng.randbytes(rng.randrange(40))
            elif kind == 4:
                query[at:at] = query[at : at + rng.randrange(20)]
            elif kind == 5 and len(query) >= 12:
                struct.pack_into("!H", query, rng.randrange(2, 11), rng.choice((0, 1, 2, 0xFFFF, rng.randrange(65536))))
            else:
                query = bytearray(rng.randbytes(rng.randrange(300)))
        yield bytes(query)
