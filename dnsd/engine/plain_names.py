"""`Table` and `pack` in Python, for systems without _names.c: every process has its own index."""

from __future__ import annotations

import copy
import struct
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from dnsd.engine.node import Node

HEADER = struct.Struct("<16sIIQ")  # key, number of names, number of slots (here 0), octets of the entries
ENTRY = struct.Struct("<IB")  # number of the node, length of the name, which follows


class Table:
    """Names in octets from `pack`, with their nodes by number. Raises ValueError for other octets."""

    def __init__(self, octets: bytes | memoryview, nodes: list[Node], changes: dict[bytes, Node | None]) -> None:
        self.octets = octets
        self.nodes = nodes
        self.changes = changes
        if len(octets) < HEADER.size:
            raise ValueError("not a table of names")
        _, self.stored, slots, self.end = HEADER.unpack_from(octets)
        self._start = HEADER.size + 4 * slots
        if len(octets) != self._start + self.end:
            raise ValueError("not a table of names")
        self._numbers: dict[bytes, int] = {}
        position = self._start
        while position + ENTRY.size <= len(octets):
            number, size = ENTRY.unpack_from(octets, position)
            position += ENTRY.size
            if number >= len(nodes):
                raise ValueError("the number of a node is out of range")
            self._numbers[bytes(octets[position : position + size])] = number
            position += size
        if position != len(octets):
            raise ValueError("not a table of names")

    def with_changes(self, changes: dict[bytes, Node | None]) -> Self:
        """A table of the same octets with these changes; the index is shared."""
        other = copy.copy(self)
        other.changes = changes
        return other

    def get(self, name: bytes, default: Any = None) -> Any:
        """The node of a name."""
        if name in self.changes:
            return self.changes[name] or default
        number = self._numbers.get(name)
        return default if number is None else self.nodes[number]

    def __contains__(self, name: object) -> bool:
        return (self.changes[name] is not None) if name in self.changes else name in self._numbers

    def holds(self, name: bytes) -> bool:
        """Whether the name is stored in the octets, regardless of changes."""
        return name in self._numbers

    def move(self, octets: bytes | memoryview) -> None:
        """Switch to an identical copy of the octets that processes share."""
        self.octets = octets

    def columns(self) -> tuple[list[bytes], list[Node]]:
        """The stored names and their nodes, as two lists."""
        return list(self._numbers), [self.nodes[number] for number in self._numbers.values()]

    def entry(self, position: int) -> tuple[bytes, Node, int]:
        """A stored name, its node, and the next position; from 0 to `end`."""
        number, size = ENTRY.unpack_from(self.octets, self._start + position)
        start = self._start + position + ENTRY.size
        return bytes(self.octets[start : start + size]), self.nodes[number], position + ENTRY.size + size


def has_index(octets: bytes | memoryview) -> bool:
    """Whether the octets were packed by _names.c."""
    return len(octets) >= HEADER.size and HEADER.unpack_from(octets)[2] > 0


def pack(names: list[bytes], numbers: list[int], key: bytes) -> bytes:
    """The octets of a table."""
    entries = b"".join([ENTRY.pack(number, len(name)) + name for name, number in zip(names, numbers, strict=True)])
    return HEADER.pack(key, len(names), 0, len(entries)) + entries
