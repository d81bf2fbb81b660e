"""The table of names, compiled and in Python, compared with a dict after the same operations."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator

import pytest

from dnsd.engine import names as module
from dnsd.engine import plain_names
from dnsd.engine.names import FEW, NameTable, changes_of, packed_names, renewed_names
from dnsd.engine.node import NOT_OUR_ZONE, Node

NODES = [Node(None, {}, NOT_OUR_ZONE) for _ in range(7)]
STEPS = 400


class PlainTable(plain_names.Table, module.MutableMapping[bytes, Node]):
    """`NameTable` without the compiled part."""

    for _name in ("__getitem__", "__setitem__", "__delitem__", "__len__", "__iter__", "entries", "items"):
        locals()[_name] = vars(NameTable)[_name]


def some_name(rng: random.Random) -> bytes:
    labels = (bytes(rng.choices(b"ab\0\xff", k=rng.choice((1, 1, 2, 63)))) for _ in range(rng.randrange(4)))
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def some_names(rng: random.Random, count: int) -> dict[bytes, Node]:
    return {some_name(rng): rng.choice(NODES) for _ in range(count)}


def packed(names: dict[bytes, Node]) -> NameTable:
    return packed_names(list(names), list(names.values()))


def renewed(previous: NameTable | None, names: dict[bytes, Node]) -> NameTable:
    return renewed_names(previous, list(names), list(names.values()))


@pytest.mark.parametrize("kind", [NameTable, PlainTable])
@pytest.mark.parametrize("seed", range(20))
def test_same_as_a_dict(seed: int, kind: type[NameTable]) -> None:
    rng = random.Random(seed)
    expected = some_names(rng, rng.choice((0, 1, 5, 6, 7, 200)))
    numbers = [NODES.index(node) for node in expected.values()]
    pack = module.pack if kind is NameTable else plain_names.pack
    table = kind(pack(list(expected), numbers, bytes(16)), NODES, {})
    for _ in range(STEPS):
        name = rng.choice([some_name(rng), *expected])
        assert table.get(name) is expected.get(name)
        assert table.get(name, NODES[0]) is expected.get(name, NODES[0])
        assert (name in table) == (name in expected)
        match rng.randrange(5):
            case 0:
                table[name] = expected[name] = rng.choice(NODES)
            case 1:
                assert table.pop(name, None) is expected.pop(name, None)
            case 2:
                assert len(table) == len(expected)
    assert dict(table.items()) == expected
    assert sorted(table) == sorted(expected)
    assert len(table) == len(expected)


@pytest.mark.parametrize("seed", range(20))
def test_changes_turn_one_snapshot_into_the_other(seed: int) -> None:
    rng = random.Random(seed)
    old = packed(some_names(rng, 50))
    for _ in range(10):
        expected = dict(old.items())
        for name in rng.sample(list(expected), min(5, len(expected))):
            del expected[name]
        expected |= some_names(rng, rng.randrange(5))
        new = renewed(old, expected)
        assert new.shares_octets(old)
        assert dict(new.items()) == expected
        applied = old.copy()
        for name, node in changes_of(old, new).items():
            if node is None:
                applied.pop(name, None)
            else:
                applied[name] = node
        assert dict(applied.items()) == expected
        changed = {name: node for name, node in expected.items() if old.get(name) is not node}
        assert changes_of(old, packed(expected)) == changed | dict.fromkeys(old.keys() - expected.keys())
        old = new


def numbered(count: int, node: Node) -> dict[bytes, Node]:
    return {b"\x04" + number.to_bytes(4) + b"\0": node for number in range(count)}


def test_large_change_is_packed_again() -> None:
    first = renewed(None, numbered(8 * FEW + 80, NODES[0]))
    second = renewed(first, numbered(8 * FEW + 80, NODES[0]) | numbered(FEW, NODES[1]))
    assert second.shares_octets(first)
    assert len(second.changes) == FEW
    third = renewed(second, dict(second.items()) | numbered(FEW + 20, NODES[2]))
    assert not third.shares_octets(second)
    assert not third.changes
    assert sum(node is NODES[2] for node in third.values()) == FEW + 20


def test_other_objects_than_names_are_not_found() -> None:
    table = packed(numbered(3, NODES[0]))
    assert table.get(b"") is None
    assert table.get(b"x" * 300) is None
    assert "x" not in table
    with pytest.raises(KeyError):
        table[b"x"]
    with pytest.raises(KeyError):
        del table[b"x"]


def damaged(octets: bytes) -> Iterator[bytes]:
    yield from (b"", octets[:20], octets[:-1], octets + b"x")
    yield octets[:16] + (2**31).to_bytes(4, "little") + octets[20:]  # names
    yield octets[:20] + (7).to_bytes(4, "little") + octets[24:]  # slots
    yield octets[:24] + (2**63).to_bytes(8, "little") + octets[32:]  # octets of the entries


def test_other_octets_are_refused() -> None:
    table = packed(numbered(3, NODES[0]))
    for octets in damaged(bytes(table.octets)):
        with pytest.raises(ValueError, match="not a table of names"):
            NameTable(octets, NODES, {})
        with pytest.raises(ValueError, match="not a table of names"):
            table.move(octets)
    assert len(list(table)) == 3


def test_compiled_part_refuses_a_plain_table() -> None:
    with pytest.raises(ValueError, match="not a table of names"):
        importlib.import_module("dnsd.engine._names").Table(plain_names.pack([b"\0"], [0], bytes(16)), NODES, {})
    octets = module.pack([b"\0"], [0], bytes(16))
    assert plain_names.Table(octets, NODES, {}).get(b"\0") is NODES[0]
    for pack in (module.pack, plain_names.pack):
        read = module.names_in(pack([b"\0", b"\1a\0"], [1, 2], bytes(16)), NODES)
        assert dict(read.items()) == {b"\0": NODES[1], b"\1a\0": NODES[2]}


def test_names_that_do_not_fit_are_refused() -> None:
    for names, numbers, key in (([b"x" * 256], [0], bytes(16)), ([b"x"], [], bytes(16)), ([b"x"], [0], b"")):
        with pytest.raises(ValueError, match="do not fit"):
            module.pack(names, numbers, key)
