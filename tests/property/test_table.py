"""The table of names, compiled and in Python: the same octets, and the entries that a slow reference expects."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from dnsd.engine import content, plain_pack, plain_table
from dnsd.engine import table as module
from dnsd.engine.content import neighbours
from dnsd.engine.entry import (
    CUT,
    EMPTY,
    GONE,
    OCCLUDED,
    PLAIN,
    SHADOWED,
    SPECIAL,
    NameEntry,
    NameHead,
    PackedSet,
    in_order,
    is_within,
    row,
)
from dnsd.engine.table import ENTRIES, MAX_OVERLAY, Table, edited, packed_table, replaced
from dnsd.wire.names import ancestors
from dnsd.wire.rdata import NS, A

compiled: ModuleType = importlib.import_module("dnsd.engine._table")

KEY = bytes(range(16))
APEXES = [b"\0", b"\1z\0", b"\1a\1z\0", b"\1b\1a\1z\0", b"\1*\1z\0", b"\1y\0", b"\1x\1y\0"]
World = dict[bytes, dict[bytes, NameEntry]]  # zone -> name -> its row


class PlainTable(plain_table.EntryTable):
    """`Table` without the compiled part."""

    for _name in ("entries",):
        locals()[_name] = vars(Table)[_name]


KINDS: list[Any] = [Table, PlainTable]


def some_name(rng: random.Random, apex: bytes) -> bytes:
    name = apex
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3))):
        size = rng.choice((1, 1, 1, 2, 3, 17, 63))
        label = bytes(rng.choices(b"abc*\0\1\2\xff", weights=(9, 9, 5, 3, 2, 2, 1, 1), k=size))
        if len(name) + len(label) < 255:
            name = bytes((len(label),)) + label + name
    return name


def some_entry(rng: random.Random, name: bytes) -> NameEntry:
    types = rng.sample((A, NS, 5, 15, 16, 28, 65535), rng.choice((0, 1, 1, 1, 2, 5)))
    sizes = (0, 1, 4, 16, 17, 300, *((65_534, 65_535, 65_536, 140_001) if rng.random() < 0.01 else ()))
    sets = tuple(PackedSet(rtype, rng.randrange(1, 9), rng.randbytes(rng.choice(sizes))) for rtype in types)
    return NameEntry(rng.choice((PLAIN, SPECIAL)), rng.choice((0, 7, 2**32 - 1)), name, sets)


def some_zone(rng: random.Random, apex: bytes, most: int = 40) -> dict[bytes, NameEntry]:
    names = {apex, *(some_name(rng, apex) for _ in range(rng.randrange(most)))}
    return {name: some_entry(rng, name) for name in names}


def some_world(rng: random.Random) -> World:
    return {apex: some_zone(rng, apex) for apex in rng.sample(APEXES, rng.randrange(len(APEXES)))}


def kind_of(apex: bytes) -> int:
    """The kind of a zone's empty non-terminals."""
    return 256 * len(apex)


def rows_of(zone: dict[bytes, NameEntry], rng: random.Random) -> bytes:
    return b"".join(row(*entry) for entry in rng.sample(list(zone.values()), len(zone)))


def zone_rows(world: World, rng: random.Random) -> list[tuple[bytes, int, bytes]]:
    zones = [(apex, kind_of(apex), rows_of(zone, rng)) for apex, zone in world.items()]
    return rng.sample(zones, len(zones))


def has_ns(entry: NameEntry | None) -> bool:
    return entry is not None and any(one.rtype == NS for one in entry.sets)


def expected_zone(world: World, apex: bytes) -> list[NameEntry]:
    """The entries of a zone, by the definitions of their flags."""
    rows = world[apex]

    def above(name: bytes) -> list[bytes]:
        return [one for one in ancestors(name) if len(one) > len(apex)]

    def is_occluded(name: bytes) -> bool:
        return any(has_ns(rows.get(one)) for one in above(name))

    empty = {one for name in rows if not is_occluded(name) for one in above(name)} - rows.keys()
    found = []
    for name in sorted({*rows, *empty}, key=in_order):
        entry = rows.get(name, NameEntry(0, kind_of(apex), name, ()))
        flags = entry.flags if name in rows else EMPTY
        if is_occluded(name):
            flags |= OCCLUDED
        elif name != apex and has_ns(entry):
            flags |= CUT
        if any(is_within(name, child) and child != apex and is_within(child, apex) for child in world):
            flags |= SHADOWED
        found.append(entry._replace(flags=flags))
    return found


def expected(world: World) -> list[NameEntry]:
    return [entry for apex in sorted(world, key=in_order) for entry in expected_zone(world, apex)]


def visible(entries: list[NameEntry]) -> dict[bytes, NameEntry]:
    return {entry.name: entry for entry in entries if not entry.flags & SHADOWED}


def check_parts(table: Any, name: bytes, entry: NameEntry | None, *apex: bytes) -> None:
    """The parts of an entry are those of the whole entry."""
    head = entry and NameHead(entry.flags, entry.kind, tuple(one.rtype for one in entry.sets))
    assert table.head(name, *apex) == head
    sets = {one.rtype: one for one in entry.sets} if entry else {}
    for rtype in (*sets, 4711):
        assert table.find_set(rtype, name, *apex) == sets.get(rtype)


def check(table: Any, world: World, rng: random.Random) -> None:
    """A table has these zones, whatever it is asked."""
    entries = expected(world)
    assert list(table.entries()) == entries
    assert table.zones() == sorted(world, key=in_order)
    by_name = visible(entries)
    for name in {*(entry.name for entry in entries), *(some_name(rng, rng.choice(APEXES)) for _ in range(9))}:
        found = by_name.get(name)
        assert table.find(name) == found
        check_parts(table, name, found)
        assert (name in table) == (found is not None and not found.flags & OCCLUDED)
    assert len(table) == sum(not entry.flags & OCCLUDED for entry in by_name.values())
    assert table.longest >= max([1, *(len(entry.name) for entry in entries)])
    for apex in APEXES:
        own = {entry.name: entry for entry in (expected_zone(world, apex) if apex in world else ())}
        for name in {*own, some_name(rng, apex)}:
            assert table.find_in(apex, name) == own.get(name)
            check_parts(table, name, own.get(name), apex)


@pytest.mark.parametrize("seed", range(60))
def test_packed_tables_are_the_same_octets_and_have_all_entries(seed: int) -> None:
    rng = random.Random(seed)
    world = some_world(rng)
    zones = zone_rows(world, rng)
    octets = compiled.pack(zones, KEY)
    assert octets == plain_pack.pack(rng.sample(zones, len(zones)), KEY)
    for kind in KINDS:
        check(kind(octets), world, rng)


def before(zone: list[NameEntry], name: bytes) -> NameEntry | None:
    return next((entry for entry in reversed(zone) if in_order(entry.name) < in_order(name)), None)


def after(zone: list[NameEntry], name: bytes, *, past: bool) -> list[NameEntry]:
    if past:
        return [one for one in zone if in_order(one.name) >= in_order(name) and not is_within(one.name, name)]
    return [one for one in zone if in_order(one.name) >= in_order(name)]


def owners_beside(zone: list[NameEntry], name: bytes) -> tuple[bytes | None, bytes | None]:
    owners = [entry.name for entry in zone if not entry.flags & (EMPTY | OCCLUDED)]
    smaller = [one for one in owners if in_order(one) < in_order(name)]
    larger = [one for one in owners if in_order(one) > in_order(name)]
    return smaller[-1] if smaller else None, larger[0] if larger else None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(20))
def test_neighbours_are_those_in_a_sorted_list(seed: int, kind: Any) -> None:
    rng = random.Random(seed)
    world = some_world(rng) | {b"\1z\0": some_zone(rng, b"\1z\0", 200)}
    table = kind(compiled.pack(zone_rows(world, rng), KEY))
    for apex in world:
        zone = expected_zone(world, apex)
        first, last = zone[0].name, zone[-1].name
        asked = {some_name(rng, apex) for _ in range(30)} | {
            entry.name for entry in rng.sample(zone, min(30, len(zone)))
        }
        special = {b"\1" + octet + apex for octet in (b"\0", b"\1", b"*", b"\xff")} | {b"\2\0\0" + apex, b"\0"}
        for name in asked | special | {first, last}:
            assert neighbours(table, apex, name) == owners_beside(zone, name)
            assert table.before(apex, name) == before(zone, name)
            for past in (False, True):
                assert list(table.walk(apex, name, past)) == after(zone, name, past=past)
    assert neighbours(table, b"\1q\0", b"\1q\0") == (None, None)
    assert list(table.walk(b"\1q\0", b"\1q\0")) == []


@pytest.mark.parametrize("kind", KINDS)
def test_names_below_a_delegation_are_passed_at_once(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    apex, cut = b"\1z\0", b"\1d\1z\0"
    names = [apex, b"\1c" + apex, b"\1e" + apex, *(b"\5h%04d" % number + cut for number in range(3000))]
    world = {name: NameEntry(PLAIN, 0, name, (PackedSet(A, 1, b"x"),)) for name in names}
    world[cut] = NameEntry(PLAIN, 0, cut, (PackedSet(NS, 1, b"x"),))
    table = kind(compiled.pack([(apex, 0, rows_of(world, random.Random(1)))], KEY))
    looked: list[NameEntry] = []
    found_above = content._cut_above
    monkeypatch.setattr(content, "_cut_above", lambda *given: looked.append(given[2]) or found_above(*given))
    assert neighbours(table, apex, b"\1e" + apex) == (cut, None)
    assert neighbours(table, apex, cut) == (b"\1c" + apex, b"\1e" + apex)
    assert neighbours(table, apex, b"\5h0100" + cut) == (cut, b"\1e" + apex)
    assert len(looked) < 9


def changed_zone(rng: random.Random, zone: dict[bytes, NameEntry], apex: bytes) -> dict[bytes, NameEntry | None]:
    """New rows of some names of a zone; None: removed."""
    names = [some_name(rng, apex) for _ in range(2)] + rng.sample(list(zone), min(2, len(zone)))
    chosen = rng.sample(names, rng.choice((1, 1, 2, 3)) if len(names) > 2 else 1)
    made = {name: some_entry(rng, name) if name == apex or rng.random() < 0.6 else None for name in chosen}
    return {name: entry for name, entry in made.items() if entry is not None or name in zone}


@pytest.mark.parametrize("is_edited", [False, True])
def test_name_below_a_child_zone_never_leads_to_an_entry_of_before(*, is_edited: bool) -> None:
    """A zone loses a name; a child zone comes that holds it; the zone has the name again: the child zone decides."""
    parent, child, name = b"\1z\0", b"\1a\1z\0", b"\1b\1a\1z\0"

    def rows(*names: bytes) -> bytes:
        return b"".join(row(PLAIN, 0, one, (PackedSet(A, 1, b"1234"),)) for one in names)

    table = packed_table({parent: (0, rows(parent, name))})
    table = replaced(replaced(table, {parent: (0, rows(parent))}), {child: (0, rows(child))})
    if is_edited:
        table = edited(table, parent, 0, {name: rows(name)})
    else:
        table = replaced(table, {parent: (0, rows(parent, name))})
    assert table.find_in(parent, name) is not None
    for kind in KINDS:
        assert kind(table.octets, table.overlay).find(name) is None
    table = replaced(table, {child: None})
    assert table.find(name) is not None


@pytest.mark.parametrize("seed", range(8))
def test_after_any_edit_a_table_equals_one_packed_from_nothing(seed: int) -> None:
    rng = random.Random(seed)
    world = some_world(rng)
    table = packed_table({apex: (kind, rows) for apex, kind, rows in zone_rows(world, rng)})
    for step in range(150):
        before, overlay = table, table.overlay
        if world and rng.random() < 0.7:
            apex = rng.choice(list(world))
            made = changed_zone(rng, world[apex], apex)
            rows = {name: entry and row(*entry) for name, entry in made.items()}
            table = edited(table, apex, kind_of(apex), rows)
            kept = {name: entry for name, entry in world[apex].items() if name not in made}
            world[apex] = kept | {name: entry for name, entry in made.items() if entry}
        else:
            chosen = rng.sample(APEXES, rng.choice((1, 1, 2)))
            zones = {apex: some_zone(rng, apex) if rng.random() < 0.7 else None for apex in chosen}
            if rng.random() < 0.3:  # a few names of whole zones
                zones |= {apex: dict(list(zone.items())[:3]) | {apex: zone[apex]} for apex, zone in world.items()}
            table = replaced(
                table, {apex: zone and (kind_of(apex), rows_of(zone, rng)) for apex, zone in zones.items()}
            )
            world = {apex: zone for apex, zone in (world | zones).items() if zone is not None}
        assert (before.overlay, table.shares_octets(before)) == (overlay, True)
        since = table.changes_since(before)
        assert since is not None
        assert before.with_changes(since).overlay == table.overlay
        for kind in KINDS if step % 10 == 0 else KINDS[:1]:
            check(kind(table.octets, table.overlay), world, rng)
    whole = compiled.pack(zone_rows(world, rng), KEY)
    assert compiled.merge((table.octets, table.overlay), KEY, False) == whole
    assert Table(table.whole()).overlay is None


@pytest.mark.parametrize("seed", range(8))
def test_after_any_large_change_of_zones_a_table_equals_one_packed_from_nothing(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of more entries than an overlay may have is a new base, for which no difference is made."""
    monkeypatch.setattr(module, "MAX_OVERLAY", 6)
    rng, ways = random.Random(seed), set[bool]()
    world = some_world(rng)
    table = packed_table({apex: (kind, rows) for apex, kind, rows in zone_rows(world, rng)})
    for _ in range(40):
        chosen = rng.sample(APEXES, rng.choice((1, 1, 2)))
        zones = {apex: some_zone(rng, apex, 9) if rng.random() < 0.7 else None for apex in chosen}
        if rng.random() < 0.3:  # the same names with other records
            zones = {apex: {name: some_entry(rng, name) for name in zone} for apex, zone in world.items()}
        changes = {apex: zone and (kind_of(apex), rows_of(zone, rng)) for apex, zone in zones.items()}
        before, table = table, replaced(table, changes)
        ways.add(table.shares_octets(before))
        world = {apex: zone for apex, zone in (world | zones).items() if zone is not None}
        check(table, world, rng)
    assert ways == {True, False}
    assert compiled.merge((table.whole(),), KEY, False) == compiled.pack(zone_rows(world, rng), KEY)


def with_change(table: Table, world: World, apex: bytes, rng: random.Random, most: int = 9) -> tuple[Table, World]:
    """A table with a zone changed in one of both ways: some of its names edited, or all of it replaced."""
    if apex in world and rng.random() < 0.5:
        made = changed_zone(rng, world[apex], apex)
        rows = {name: entry and row(*entry) for name, entry in made.items()}
        zone = {name: entry for name, entry in (world[apex] | made).items() if entry}
        return edited(table, apex, kind_of(apex), rows), world | {apex: zone}
    zone = some_zone(rng, apex, most)
    return replaced(table, {apex: (kind_of(apex), rows_of(zone, rng))}), world | {apex: zone}


def with_some_change(
    table: Table, world: World, rng: random.Random, *, but: bytes | None = None
) -> tuple[Table, World]:
    """A table with a change of a zone other than `but`, which may be added or removed."""
    apex = rng.choice([one for one in APEXES if one != but])
    if apex in world and rng.random() < 0.15:
        return replaced(table, {apex: None}), {one: zone for one, zone in world.items() if one != apex}
    return with_change(table, world, apex, rng)


def test_change_is_not_made_of_later_entries_if_a_zone_inside_came_and_went(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of that zone in the overlay would hide names of the change, which is large: a base of its own."""
    monkeypatch.setattr(module, "MAX_OVERLAY", 6)
    parent, child, name = b"\1z\0", b"\1a\1z\0", b"\1b\1a\1z\0"

    def rows(*names: bytes) -> bytes:
        return b"".join(row(PLAIN, 0, one, (PackedSet(A, 1, b"1234"),)) for one in names)

    base = packed_table({parent: (0, rows(parent))})
    names = [parent, name, *(b"\1%c" % octet + parent for octet in b"cdefghij")]
    made = replaced(base, {parent: (0, rows(*names))})
    assert not made.shares_octets(base)
    now = replaced(replaced(base, {child: (0, rows(child, name))}), {child: None})
    found = made.moved(base, now, [parent]) or replaced(now, {parent: (0, rows(*names))})
    assert all(map(found.find, (child, *names)))


@pytest.mark.parametrize("most", [6, 20, 60, 200, MAX_OVERLAY])
def test_change_made_of_later_entries_equals_one_packed_from_nothing(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the base has an overlay or not, and whichever way the zone and others were changed."""
    monkeypatch.setattr(module, "MAX_OVERLAY", most)
    rng, moved = random.Random(most), 0
    for _ in range(100):
        world = some_world(rng) | {b"\1z\0": some_zone(rng, b"\1z\0", 9)}
        base = packed_table({apex: (kind, rows) for apex, kind, rows in zone_rows(world, rng)})
        for _ in range(rng.randrange(4)):
            base, world = with_some_change(base, world, rng, but=b"\1z\0")
        apex = rng.choice([*world])
        made, changed = with_change(base, world, apex, rng, rng.choice((9, 60)))
        now, others = base, world
        for _ in range(rng.randrange(1, 4)):
            now, others = with_some_change(now, others, rng, but=apex)
        found = made.moved(base, now, [apex])
        if found is not None:
            check(found, others | {apex: changed[apex]}, rng)
            moved += 1
    assert moved or most < 20, "with small overlays, a merge mostly comes between"


def test_large_change_of_a_zone_is_merged_without_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a zone is paused: all of its entries change."""
    top, apex = row(SPECIAL, 0, b"\1z\0"), b"\1z\0"
    table = packed_table({apex: (0, top + b"".join(numbered(10_000)))})
    made: list[bytes | None] = []
    monkeypatch.setattr(module, "difference", lambda *given: made.append(compiled.difference(*given)) or made[-1])
    changed = replaced(table, {apex: (0, top + b"".join(numbered(10_000, b"y")))})
    assert made == [None]
    assert (len(changed), changed.overlay) == (10_001, None)
    assert sum(one.sets[0].body == b"y" for one in changed.entries() if one.sets) == 10_000
    few = replaced(changed, {apex: (0, top + b"".join([*numbered(1, b"z"), *[*numbered(10_000, b"y")][1:]]))})
    assert few.shares_octets(changed)
    assert len(made[-1] or b"") < 200


@pytest.mark.parametrize("seed", range(20))
def test_merged_and_compared_tables_are_the_same_octets(seed: int) -> None:
    rng = random.Random(seed)
    tables = [compiled.pack(zone_rows(some_world(rng), rng), KEY) for _ in range(3)]
    assert compiled.merge(tuple(tables), KEY, True) == plain_pack.merge(tuple(tables), KEY, True)
    first, second = Table(tables[0], tables[1]), PlainTable(tables[0], tables[1])
    for apexes in (None, rng.sample(APEXES, 3)):
        changes = compiled.difference(first, tables[2], apexes, KEY)
        assert changes == plain_pack.difference(second, tables[2], apexes, KEY)
        for most in (0, 3, 50):
            found = compiled.difference(first, tables[2], apexes, KEY, most)
            assert found == (changes if ENTRIES.unpack_from(changes)[0] <= most else None)
            assert found == plain_pack.difference(second, tables[2], apexes, KEY, most)
        zones = tuple(apexes or ())
        made = compiled.merge(tuple(tables), KEY, True, zones)
        assert made == plain_pack.merge(tuple(tables), KEY, True, zones)
    changes = compiled.difference(first, tables[2], APEXES, KEY)
    for keep_gone in (True, False):
        made = compiled.merge((tables[0], tables[1], changes), KEY, keep_gone)
        assert made == plain_pack.merge((tables[0], tables[1], changes), KEY, keep_gone)
    assert made == compiled.merge((tables[2],), KEY, False)


def numbered(count: int, octets: bytes = b"x") -> Iterator[bytes]:
    for number in range(count):
        yield row(PLAIN, 0, b"\4" + number.to_bytes(4) + b"\1z\0", [(A, 1, octets)])


def test_many_changes_are_merged_into_a_new_base() -> None:
    table = packed_table({b"\1z\0": (0, row(SPECIAL, 0, b"\1z\0") + b"".join(numbered(10_000)))})
    few = compiled.pack([(b"\1z\0", 0, b"".join(numbered(3_000, b"y")))], table.key, True)
    second = table.with_changes(few)
    assert second.shares_octets(table)
    third = second.with_changes(compiled.pack([(b"\1z\0", 0, b"".join(numbered(3_000, b"z")))], table.key, True))
    assert not third.shares_octets(second)
    assert third.changes_since(second) is None
    assert third.overlay is None
    assert sum(one.sets[0].body == b"z" for one in third.entries() if one.sets) == 3_000
    assert len(third) == 10_001
    assert MAX_OVERLAY < 6_000


def test_one_changed_record_is_a_few_octets() -> None:
    table = packed_table({b"\1z\0": (0, row(SPECIAL, 0, b"\1z\0") + b"".join(numbered(1_000)))})
    name = b"\4\0\0\0\1\1z\0"
    changes = edited(table, b"\1z\0", 0, {name: row(PLAIN, 0, name, [(A, 1, bytes(16))])}).changes_since(table)
    assert changes is not None
    assert len(changes) < 160


def test_changes_of_another_line_are_not_taken_for_newer_ones() -> None:
    table = packed_table({b"\1z\0": (0, row(SPECIAL, 0, b"\1z\0"))})
    one, other = (
        table.with_changes(compiled.pack([(b"\1z\0", 0, row(PLAIN, 0, b"\1" + label + b"\1z\0"))], table.key, True))
        for label in (b"a", b"b")
    )
    assert other.changes_since(one) is None
    assert other.changes_since(table) is not None


@pytest.mark.parametrize("making", [compiled, plain_pack])
def test_rows_that_cannot_be_those_of_a_table_are_refused(making: Any) -> None:
    top, apex = row(0, 0, b"\1z\0"), b"\1z\0"
    for zones, problem in (
        ([(apex, 0, top + top)], "two rows have the same name"),
        ([(apex, 0, row(0, 0, b"\1a\1z\0"))], "no row of its own name"),
        ([(apex, 0, top + row(0, 0, b"\1a\1y\0"))], "not in its zone"),
        ([(apex, 0, top + row(0, 0, b"\1a\1b\2\1z\0"))], "not in its zone"),
        ([(apex, 0, top + row(0, 0, b"\x41" + b"a" * 65 + apex))], "not in its zone"),
        ([(apex, 0, top[:-1])], "cut off"),
        ([(apex, 0, top + row(0, 0, apex, [(1, 1, b"xyz")])[:-4])], "cut off"),
        ([(apex, 0, top), (apex, 0, top)], "two zones have the same name"),
        ([(b"\1z", 0, top)], "not a name"),
    ):
        with pytest.raises(ValueError, match=problem):
            making.pack(zones, KEY)
    with pytest.raises(ValueError, match="16 octets"):
        making.pack([], b"")
    with pytest.raises(ValueError, match="not a table of names"):
        making.merge((b"",), KEY, True)


@pytest.mark.parametrize("kind", KINDS)
def test_octets_of_another_size_or_kind_are_refused(kind: Any) -> None:
    octets = compiled.pack([(b"\1z\0", 0, row(0, 0, b"\1z\0"))], KEY)
    table = kind(octets)
    number = (2**31).to_bytes(4, "little")
    damaged = [b"", octets[:-1], octets + b"x", b"x" + octets[1:]]
    damaged += [octets[:at] + number + octets[at + 4 :] for at in range(24, 56, 4) if at != 44]
    for other in damaged:
        with pytest.raises(ValueError, match="not a table of names"):
            kind(other)
        with pytest.raises(ValueError, match="not a table of names"):
            table.move(other)
    assert table.find(b"\1z\0") == NameEntry(0, 0, b"\1z\0", ())
    table.move(memoryview(octets))
    assert table.find(b"x" * 300) is None
    assert table.find(b"") is None
    assert "x" not in table


def test_removed_names_are_gone_in_changes_only() -> None:
    table = packed_table({b"\1z\0": (0, row(0, 0, b"\1z\0") + row(0, 0, b"\1a\1z\0"))})
    removed = edited(table, b"\1z\0", 0, {b"\1a\1z\0": None})
    assert removed.overlay
    assert [one.flags for _, one in plain_table.Layer(removed.overlay).raw(b"\1z\0")] == [GONE]
    assert [one.name for one in removed.entries()] == [b"\1z\0"]
    assert len(removed) == 1
    assert len(Table(removed.whole())) == 1
