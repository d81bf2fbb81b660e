"""Attacks _names.c: tables with hostile headers, with arbitrary slots and entries, and changed while in use.

    python -m tests.native.attack_names FIRST_SEED SEEDS

A lookup must end without reading out of bounds: it returns a node or None, or raises ValueError.
"""

from __future__ import annotations

import ctypes
import itertools
import random
import struct
from collections.abc import Iterator

import tests.native.compiled  # noqa: F401  first, as the package then imports the extensions loaded by it
from dnsd.engine._names import Table, pack
from dnsd.engine.names import NameTable
from tests.native.attacker import attack

HEADER = struct.Struct("<16sIIQ")  # key, names, slots, octets of the entries
NODES = [object() for _ in range(5)]
GOOD = pack([b"\0"], [0], bytes(16))
PROBES = [b"", b"\0", b"x", b"\1x\0", b"\3www\7example\3com\0", b"y" * 255, b"y" * 256, bytes(300)]
COUNTS = (0, 1, 2, 7, 2**20, 2**31, 2**32 - 1)
SLOTS = (0, 1, 2, 3, 8, 256, 2**20, 2**31, 2**32 - 1)
SIZES = (0, 1, 4, 5, 6, 31, 400, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
POSITIONS = (-(2**63), -6, -1, 0, 1, 4, 5, 2**31, 2**32, 2**63 - 6, 2**63 - 5, 2**63 - 1)
ROOM = 4_096  # octets of the tables with hostile headers


def held(octets: bytes) -> ctypes.Array[ctypes.c_char]:
    """The octets in memory of exactly their size, so that the sanitizer detects reads beyond the end."""
    array = (ctypes.c_char * len(octets))()
    array[:] = octets  # type: ignore[assignment]
    return array


def headers() -> Iterator[tuple[int, int, int]]:
    """Numbers of names and slots, and size of the entries: odd ones, and sizes valid only if a sum overflows."""
    for count, slots in itertools.product(COUNTS, SLOTS):
        wrapped = ((length - HEADER.size - 4 * slots) % 2**64 for length in (HEADER.size, 64, ROOM))
        for size in (*SIZES, *wrapped):
            yield count, slots, size


def bodies(rng: random.Random, size: int) -> Iterator[bytes]:
    """The octets after a header."""
    yield bytes(size)
    yield b"\xff" * size
    yield b"\1\0\0\0" * (size // 4) + bytes(size % 4)
    yield rng.randbytes(size)
    places = [rng.choice((0, 1, size, max(0, size - 4), rng.randrange(1 << 32))) for _ in range(64)]
    yield (struct.pack("<64I", *places) * (size // 256 + 1))[:size]


def with_header(rng: random.Random, count: int, slots: int, size: int) -> Iterator[bytes]:
    """Tables with one header: of the size stated by it, if possible, and of other sizes."""
    rights = HEADER.size + 4 * slots + size
    lengths = {
        HEADER.size,
        HEADER.size + 1,
        64,
        ROOM,
        *([rights, rights + 1, rights - 1] if rights <= 2 * ROOM else []),
    }
    for length in sorted(lengths):
        for body in bodies(rng, max(0, length - HEADER.size)):
            yield (HEADER.pack(rng.randbytes(16), count, slots, size) + body)[:length]


def look_at(octets: object, names: list[bytes], *, moves: bool) -> bool:
    """Call every method of a table, new or `moved` to these octets; return whether it was valid."""
    table = NameTable(GOOD, NODES, {})
    try:
        if moves:
            table.move(octets)  # type: ignore[arg-type]
        else:
            table = NameTable(octets, NODES, {})  # type: ignore[arg-type]
    except ValueError:
        assert table.get(b"\0") is NODES[0], "a refused call must not change the table"
        return False
    for name in (*PROBES, *names):
        look_up(table, name)
    for position in (*POSITIONS, table.end - 6, table.end - 5, table.end - 1, table.end):
        read_entry(table, position)
    read_all(table)
    return True


def look_up(table: Table, name: bytes) -> None:
    try:
        found = table.get(name)
        assert found is None or found in NODES
        assert (name in table) == table.holds(name) == (found is not None)
    except ValueError:
        assert table.holds(name)  # of a missing node


def read_entry(table: Table, position: int) -> None:
    try:
        name, node, after = table.entry(position)
    except (IndexError, OverflowError, ValueError):
        return
    assert node in NODES
    assert position + 5 + len(name) == after <= table.end


def read_all(table: NameTable) -> None:
    try:
        assert sum(5 + len(name) for name, _ in table.entries()) == table.end
    except (IndexError, ValueError):
        return


def attack_headers(rng: random.Random) -> None:
    """Try every header with every kind of octets."""
    accepted = 0
    for header in headers():
        for octets in with_header(rng, *header):
            accepted += look_at(held(octets), [], moves=rng.random() < 0.5)
    assert accepted, "no table got past the header"


def attack_mutated(rng: random.Random) -> None:
    """Try valid tables with some octets changed, before or during their use."""
    names = list({rng.randbytes(rng.choice((0, 1, 5, 20, 255))) for _ in range(rng.choice((0, 1, 5, 6, 100)))})
    whole = pack(names, [rng.randrange(len(NODES)) for _ in names], rng.randbytes(16))
    assert look_at(held(whole), names, moves=rng.random() < 0.5)
    table = Table(held(whole), NODES, {})  # type: ignore[arg-type]
    assert all(table.get(name) in NODES for name in names)
    for _ in range(40):
        octets = held(whole)
        is_used = rng.random() < 0.5
        used = NameTable(octets, NODES, {}) if is_used else None  # type: ignore[arg-type]
        for _ in range(rng.choice((1, 2, 8))):
            change(rng, octets)
        if used is None:
            look_at(octets, names, moves=rng.random() < 0.5)
        else:
            for name in (*PROBES, *names):
                look_up_changed(used, name)
            read_all(used)


def change(rng: random.Random, octets: ctypes.Array[ctypes.c_char]) -> None:
    at = rng.randrange(len(octets))
    value = rng.choice((0, 1, 4, 5, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    for place in range(at, min(at + rng.choice((1, 1, 4)), len(octets))):
        octets[place] = value


def look_up_changed(table: Table, name: bytes) -> None:
    try:
        assert (found := table.get(name)) is None or found in NODES
    except ValueError:
        return


def attack_tables(rng: random.Random) -> None:
    """All attacks with one seed."""
    for _ in range(50):
        attack_mutated(rng)
    table = Table.__new__(Table)
    look_up(table, b"x")
    read_entry(table, 0)
    attack_headers(rng)


if __name__ == "__main__":
    attack(attack_tables)
