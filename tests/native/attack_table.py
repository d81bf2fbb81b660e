"""Attacks _table.c: tables with hostile heads, slots, entries and orders, changed while in use, and hostile rows.

    python -m tests.native.attack_table FIRST_SEED SEEDS

Every call must end without accessing octets out of bounds: it returns something, or raises ValueError.
"""

from __future__ import annotations

import ctypes
import itertools
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

import tests.native.compiled  # noqa: F401  first, as the package then imports the extensions loaded by it
from dnsd.engine._table import EntryTable, difference, merge, pack
from dnsd.engine.entry import row
from tests.native.attacker import attack

HEAD = struct.Struct("<8s16sIIIIIIQ")  # magic, key, names, slots, entries, zones, longest, 0, octets of the entries
MAGIC, KEY = b"dnsdtab1", bytes(16)
APEX = b"\1z\0"
NAMES = [APEX, *(b"\1" + octet + APEX for octet in (b"\0", b"\1", b"*", b"a", b"\xff")), b"\1b\1a\1z\0", b"\1y\1z\0"]
PROBES = [b"", b"\0", b"x", b"\xff", b"\1x\0", b"\3www\7example\3com\0", b"y" * 255, b"y" * 256, bytes(300), *NAMES]
SLOTS = (0, 1, 2, 3, 8, 256, 2**31, 2**32 - 1)
ENTRIES = (0, 1, 2, 17, 2**31, 2**32 - 1)
ZONES = (0, 1, 3, 2**31, 2**32 - 1)
SIZES = (0, 4, 7, 8, 12, 400, 2**32, 2**34 - 8, 2**63, 2**64 - 4)
ROOM = 2_048  # octets of the tables with hostile heads
GOOD = pack([(APEX, 7, row(0, 0, APEX, [(6, 1, b"soa")]))], KEY)


def held(octets: bytes) -> ctypes.Array[ctypes.c_char]:
    """The octets in memory of exactly their size, so that the sanitizer detects reads beyond the end."""
    array = (ctypes.c_char * len(octets))()
    array[:] = octets  # type: ignore[assignment]
    return array


def some_rows(rng: random.Random) -> bytes:
    """Rows of a zone: that of its name, and others with sets of many sizes."""
    made = [row(0, 1, APEX, [(6, 1, b"soa")])]
    for name in rng.sample(NAMES[1:], rng.randrange(len(NAMES))):
        sets = [(rng.choice((1, 2, 5, 65)), 1, bytes(rng.choice((0, 1, 16, 65_534, 65_535)))) for _ in range(3)]
        made.append(row(rng.choice((0, 8, 16)), 3, name, sets[: rng.randrange(4)]))
    return b"".join(rng.sample(made, len(made)))


def some_table(rng: random.Random) -> bytes:
    zones = [(APEX, 256, some_rows(rng)), (b"\1y\1z\0", 512, row(0, 0, b"\1y\1z\0"))]
    return pack(zones[: rng.randrange(3)], KEY)


def heads() -> Iterator[bytes]:
    """Heads with odd numbers, and with sizes valid only if a sum overflows."""
    for slots, entries, zones in itertools.product(SLOTS, ENTRIES, ZONES):
        tail = 4 * (slots + (entries + 15) // 16 + zones)
        for size in {*SIZES, *((length - HEAD.size - tail) % 2**64 for length in (HEAD.size, 512, ROOM))}:
            yield HEAD.pack(MAGIC, KEY, 0, slots, entries, zones, 255, 0, size)


def bodies(rng: random.Random, size: int) -> Iterator[bytes]:
    """The octets after a head."""
    yield bytes(size)
    yield b"\xff" * size
    yield b"\1\0\0\0" * (size // 4) + bytes(size % 4)
    yield rng.randbytes(size)
    entries = b"".join(row(rng.choice((0, 4, 32, 64, 128)), 1, rng.choice(NAMES)) for _ in range(size // 8 + 1))
    yield entries[:size]


def quietly(call: Callable[..., object], *arguments: object) -> None:
    with suppress(ValueError, MemoryError):
        call(*arguments)


def walked(table: EntryTable, *place: object) -> None:
    for _ in table.walk(*place):  # type: ignore[arg-type]
        pass


def use(octets: object, overlay: object | None = None) -> bool:
    """Call everything with a table of these octets; return whether its head was accepted."""
    try:
        table = EntryTable(octets, overlay)  # type: ignore[arg-type]
    except ValueError:
        return False
    for name in PROBES:
        quietly(table.find, name)
        quietly(table.head, name)
        quietly(table.find_set, 1, name)
        assert (name in table) in (True, False)
        if len(name) > 255:
            continue
        for apex in (APEX, b"\0", name):
            quietly(table.find_in, apex, name)
            quietly(table.head, name, apex)
            quietly(table.find_set, 1, name, apex)
            quietly(table.before, apex, name)
            for past in (False, True):
                quietly(walked, table, apex, name, past)
        quietly(table.zones, name)
    assert len(table) >= 0
    assert table.longest >= 1
    quietly(table.zones)
    for tables in ((octets,), (octets, GOOD), (GOOD, octets), (GOOD, octets, octets)):
        quietly(merge, tables, KEY, True)
        quietly(merge, tables, KEY, False)
        quietly(merge, tables, KEY, False, (APEX, b"", b"\1y\1z\0"))
    for apexes in (None, [APEX, b"\0"]):
        quietly(difference, table, GOOD, apexes, KEY)
        quietly(difference, table, GOOD, apexes, KEY, 1)
        quietly(difference, EntryTable(GOOD), octets, apexes, KEY)
    table.move(GOOD)
    assert (b"\1z\0" in table) or overlay is not None
    return True


def attack_heads(rng: random.Random) -> None:
    """Try some of the heads with every kind of octets."""
    accepted = 0
    for head in rng.sample(list(heads()), 300):
        size = HEAD.unpack(head)[-1]
        lengths = {HEAD.size, HEAD.size + 1, 512, ROOM}
        for length, body in ((length, body) for length in lengths for body in bodies(rng, ROOM)):
            accepted += use(held((head + body)[:length]))
        assert size < 2**64
    fitting = HEAD.pack(MAGIC, KEY, 9, 16, 40, 3, 9, 0, 1024)
    for body in bodies(rng, 1024 + 4 * (16 + 3 + 3)):
        accepted += use(held(fitting + body))
    assert accepted, "no table got past the head"


def change(rng: random.Random, octets: ctypes.Array[ctypes.c_char], start: int) -> None:
    if len(octets) <= start:
        return
    at = rng.randrange(start, len(octets))
    value = rng.choice((0, 1, 4, 8, 0x20, 0x40, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    for place in range(at, min(at + rng.choice((1, 1, 4)), len(octets))):
        octets[place] = value


def attack_changed(rng: random.Random) -> None:
    """Try valid tables with some octets changed, before or during their use."""
    whole, overlay = some_table(rng), some_table(rng)
    assert use(held(whole), held(overlay))
    for _ in range(12):
        octets, over = held(whole), held(overlay)
        is_used = rng.random() < 0.5
        table = EntryTable(octets, over) if is_used else None  # type: ignore[arg-type]
        walk = table.walk(APEX) if table is not None else iter(())
        quietly(next, walk, None)
        for _ in range(rng.choice((1, 2, 8, 30))):
            change(rng, octets, HEAD.size if is_used else 0)
            change(rng, over, HEAD.size if is_used else 0)
        quietly(list, walk)
        if table is None:
            use(octets, over)
            continue
        for name in (*PROBES[:-1], *NAMES):
            quietly(table.find, name)
        quietly(table.before, APEX, rng.choice(NAMES))
        quietly(walked, table, APEX)
        quietly(merge, (octets, over), KEY, True)
        quietly(difference, table, octets, None, KEY)


def attack_rows(rng: random.Random) -> None:
    """Try rows with some octets changed, cut off, and of names that are none."""
    good = some_rows(rng)
    for _ in range(60):
        octets = held(good[: rng.choice((len(good), len(good), rng.randrange(len(good) + 1)))])
        for _ in range(rng.choice((0, 1, 3, 20))):
            change(rng, octets, 0)
        for changes in (False, True):
            zones = [(APEX, 0, octets), (b"\1a\1z\0", 0, b"")]
            quietly(pack, zones, KEY, changes)
    for apex in (b"", b"\0", b"x", b"\xff" * 255, b"\1z", bytes(300)):
        quietly(pack, [(apex, 0, good)], KEY)


def attack_tables(rng: random.Random) -> None:
    """All attacks with one seed."""
    table = EntryTable.__new__(EntryTable)
    assert table.find(b"\0") is table.find_in(b"\0", b"\0") is table.before(b"\0", b"\0") is None
    assert len(table) == 0
    assert list(table.walk(b"\0")) == table.zones() == []
    for _ in range(6):
        attack_changed(rng)
        attack_rows(rng)
    attack_heads(rng)


if __name__ == "__main__":
    attack(attack_tables)
