"""The table of all names: canonical name to node, most of it in one piece of memory that processes can share.

Control writes those octets into the snapshot file, and all workers map them: a million names are in memory once.
Changes since they were packed are kept separately, up to a limit.
"""

from __future__ import annotations

import os
from collections.abc import ItemsView, Iterator, MutableMapping, Sequence
from typing import TYPE_CHECKING

from dnsd.engine import plain_names

try:
    from dnsd.engine._names import Table, pack
except ImportError:  # no compiler was found, or the system is not Linux
    from dnsd.engine.plain_names import Table, pack  # type: ignore[assignment]

if TYPE_CHECKING:
    from dnsd.engine.node import Node

Octets = bytes | memoryview
NameChanges = dict[bytes, "Node | None"]  # canonical name -> its new node; None: the name was removed

KEY_SIZE = 16  # octets
FEW = 1_000  # changes always allowed before the names are packed again
FEW_SHARE = 8  # or changes of up to an eighth of the names, if that is more


class NameTable(Table, MutableMapping[bytes, "Node"]):
    """Canonical names and their nodes: `octets` from `pack`, `nodes` by their number in them, and later `changes`."""

    __slots__ = ()

    def __getitem__(self, name: bytes) -> Node:
        node = self.get(name)
        if node is None:
            raise KeyError(name)
        return node

    def __setitem__(self, name: bytes, node: Node) -> None:
        self.changes[name] = node

    def __delitem__(self, name: bytes) -> None:
        if name not in self:
            raise KeyError(name)
        if self.holds(name):
            self.changes[name] = None
        else:
            del self.changes[name]

    def __len__(self) -> int:
        new = sum(not self.holds(name) for name in self.changes)
        gone = sum(node is None for node in self.changes.values())
        return self.stored + new - gone

    def __iter__(self) -> Iterator[bytes]:
        return (name for name, _ in self.entries())

    def items(self) -> ItemsView[bytes, Node]:
        """The names with their nodes."""
        return _Items(self)

    def copy(self) -> NameTable:
        """A copy that can be changed; the octets and their nodes are shared."""
        return self.with_changes(self.changes.copy())

    def has_room(self, count: int) -> bool:
        """Whether `count` more names may change before the names must be packed again."""
        return len(self.changes) + count <= max(FEW, self.stored // FEW_SHARE)

    def columns(self) -> tuple[list[bytes], list[Node]]:
        """The names and their nodes, as two lists."""
        names, nodes = [], []
        for name, node in self.entries():
            names.append(name)
            nodes.append(node)
        return names, nodes

    def shares_octets(self, other: NameTable) -> bool:
        """Whether two tables differ only in their changes."""
        return self._key == other._key and self.nodes is other.nodes

    @property
    def _key(self) -> bytes:
        """The key of the hash, different for each packing."""
        return bytes(self.octets[:KEY_SIZE])

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield the names with their nodes."""
        position, end, changes, entry = 0, self.end, self.changes, self.entry
        while position < end:
            name, node, position = entry(position)
            if name not in changes:
                yield name, node
        for name, changed in changes.items():
            if changed is not None:
                yield name, changed


class _Items(ItemsView[bytes, "Node"]):
    _mapping: NameTable

    def __iter__(self) -> Iterator[tuple[bytes, Node]]:
        return self._mapping.entries()


def names_in(octets: Octets, nodes: list[Node]) -> NameTable:
    """The table in `octets`, which _names.c or plain_names packed. Raises ValueError for other octets."""
    if issubclass(Table, plain_names.Table) or plain_names.has_index(octets):
        return NameTable(octets, nodes, {})
    return packed_names(*plain_names.Table(octets, nodes, {}).columns())


def packed_names(names: Sequence[bytes], nodes: Sequence[Node]) -> NameTable:
    """Pack a table of distinct names and their nodes, without changes.

    Raises ValueError for over 4 GiB of names.
    """
    distinct = list(dict.fromkeys(nodes))
    numbers = dict(zip(distinct, range(len(distinct)), strict=True))
    octets = pack(list(names), list(map(numbers.__getitem__, nodes)), os.urandom(KEY_SIZE))
    return NameTable(octets, distinct, {})


def renewed_names(previous: NameTable | None, names: Sequence[bytes], nodes: Sequence[Node]) -> NameTable:
    """A table of these names: the previous table with changes if they are few, else packed again."""
    if previous is not None:
        changes = previous.changes | _changes(previous, names, nodes)
        renewed = previous.with_changes(changes)
        if renewed.has_room(0):
            return renewed
    return packed_names(names, nodes)


def changes_of(old: NameTable, new: NameTable) -> NameChanges:
    """The changes that turn `old` into `new`."""
    if not new.shares_octets(old):
        return _changes(old, *new.columns())
    return {
        name: new.get(name) for name in old.changes.keys() | new.changes.keys() if old.get(name) is not new.get(name)
    }


def _changes(old: NameTable, names: Sequence[bytes], nodes: Sequence[Node]) -> NameChanges:
    get = old.get
    changed: NameChanges = {name: node for name, node in zip(names, nodes, strict=True) if get(name) is not node}
    if len(names) - len(changed) < len(old):
        changed |= dict.fromkeys(set(old).difference(names))
    return changed
