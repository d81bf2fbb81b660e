"""Work bombs: packets made to be expensive; many different ones of each kind."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.packets import opt, wire_name

Make = Callable[[random.Random], bytes]

ZONE = wire_name("example.com")
IN_A = struct.pack("!HH", 1, 1)
SERVER_COOKIE = 24  # octets


def header(rng: random.Random, questions: int = 1, additional: int = 0) -> bytes:
    return struct.pack("!6H", rng.randrange(0xB000), 0x0100, questions, 0, 0, additional)


def labels(rng: random.Random, count: int) -> bytes:
    """This many one-letter labels: the most ancestors that a name can have."""
    return b"".join(b"\x01" + letter.encode() for letter in rng.choices("abcdefghijklmnopqrstuvwxyz", k=count))


def asked(rng: random.Random, name: bytes, tail: bytes = IN_A, additional: int = 0) -> bytes:
    return header(rng, additional=additional) + name + tail


def random_label(rng: random.Random) -> bytes:
    return b"\x10" + bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz0123456789", k=16))


def records(rng: random.Random, count: int, owner: bytes, stated: int | None = None) -> bytes:
    """A query with `count` additional records, or with as many as are `stated`."""
    record = owner + struct.pack("!HHIH", 1, 1, 0, 0)
    return asked(rng, ZONE, IN_A + record * count, additional=stated or count)


def options(rng: random.Random, count: int) -> bytes:
    codes = (rng.randrange(20, 65_000) for _ in range(count))
    return asked(rng, ZONE, IN_A + opt(options=b"".join(struct.pack("!HH", code, 0) for code in codes)), additional=1)


def one_option(rng: random.Random, code: int, size: int) -> bytes:
    option = struct.pack("!HH", code, size) + rng.randbytes(size)
    return asked(rng, ZONE, IN_A + opt(options=option), additional=1)


def signed(rng: random.Random) -> bytes:
    key, algorithm = labels(rng, 120) + b"\0", labels(rng, 100) + b"\0"
    rdata = algorithm + bytes(6) + struct.pack("!HH", 300, 32) + rng.randbytes(32) + bytes(6)
    return asked(rng, ZONE, IN_A + key + struct.pack("!HHIH", 250, 255, 0, len(rdata)) + rdata, additional=1)


def below(rng: random.Random, zone_name: str, count: int = 0) -> bytes:
    """A query for a name not queried before, `count` labels below one of ours."""
    return asked(rng, (labels(rng, count) if count else random_label(rng)) + wire_name(zone_name))


BOMBS: dict[str, Make] = {
    "a pointer to itself": lambda rng: asked(rng, b"\xc0\x0c"),
    "a pointer chain": lambda rng: asked(
        rng, b"".join(struct.pack("!H", 0xC00E + 2 * step) for step in range(1500)) + b"\0"
    ),
    "overlapping pointers": lambda rng: asked(rng, (b"\x3f" + b"\xc0\x0c" * 31 + b"\xc0") * 20),
    "pointers in owners": lambda rng: records(rng, 3, b"\x01a" * 100 + b"\xc0\x0c"),
    "many questions": lambda rng: header(rng, questions=150) + (ZONE + IN_A) * 150,
    "many records": lambda rng: records(rng, 300, b"\0"),
    "more records than stated": lambda rng: records(rng, 300, b"\0", stated=3),
    "owners of 127 labels": lambda rng: records(rng, 3, labels(rng, 126) + b"\0"),
    "an owner that does not end": lambda rng: records(rng, 1, labels(rng, 2000)),
    "16 options": lambda rng: options(rng, 16),
    "31 options": lambda rng: options(rng, 31),
    "1,000 options": lambda rng: options(rng, 1000),
    "an option of 3,900 octets": lambda rng: one_option(rng, 12, 3900),
    "made-up cookies": lambda rng: one_option(rng, 10, SERVER_COOKIE),
    "a signature": signed,
    "127 labels": lambda rng: asked(rng, labels(rng, 126) + b"\0"),
    "zero octets in labels": lambda rng: asked(rng, b"\x3f" + bytes(63) + b"\x3f" + bytes(63) + ZONE),
    "noise": lambda rng: rng.randrange(0xB000).to_bytes(2) + rng.randbytes(rng.randrange(300)),
}

# Well-formed queries whose answers are the most expensive to find, or cannot be remembered.
DEAR: dict[str, Make] = {
    "random names": lambda rng: below(rng, "example.com"),
    "random names of 120 labels": lambda rng: below(rng, "example.com", 120),
    "wildcard, random": lambda rng: below(rng, "w.example.com"),
    "wildcard, 115 labels": lambda rng: below(rng, "w.example.com", 115),
    "proxied wildcard": lambda rng: below(rng, "p.example.com"),
    "delegation": lambda rng: below(rng, "sub.example.com"),
    "chain of 8": lambda rng: asked(rng, wire_name("c0.example.com")),
    "chain of 8 to nothing": lambda rng: asked(rng, wire_name("n0.example.com")),
    "chain of 8, random type": lambda rng: asked(
        rng, wire_name("c0.example.com"), struct.pack("!HH", rng.randrange(300, 60_000), 1)
    ),
    "DNAME": lambda rng: below(rng, "old.example.com"),
    "DNAME, 100 labels": lambda rng: below(rng, "old.example.com", 100),
    "8 DNAMEs": lambda rng: below(rng, "d0.example.com"),
    "8 DNAMEs, 100 labels": lambda rng: below(rng, "d0.example.com", 100),
    "random flags and sizes": lambda rng: asked(
        rng, ZONE, IN_A + opt(size=rng.randrange(65_536), flags=rng.randrange(65_536)), additional=1
    ),
}
