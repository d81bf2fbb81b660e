"""The level of a fleet: the latest form of its state that all of its nodes read, and so the one that controls write.

It stands in the state's first object, and the operator raises it once the last node has the version that reads it.
Level 1: accounts' files. Level 2: the shared settings, too; nodes of level 1 pass them over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from dnsd.errors import DnsdError
from dnsd.fleet.values import ValueFormatError, is_count, json_object

NEWEST_LEVEL = 2  # that this version reads and writes
SETTINGS_LEVEL = 2  # from which on all nodes use the shared settings
OLDEST_LEVEL = 1
TOLD_LEVEL = 2  # of edges that tell a status without a level: older ones tell none


class LevelError(DnsdError):
    """A level that a fleet cannot have, or at which something cannot be written; the message says why."""


class NodeLevel(NamedTuple):
    """The newest level that a node reads; None if it tells nothing."""

    name: str
    level: int | None = None


def level_of(content: bytes | None, *, without: int = OLDEST_LEVEL) -> int:
    """The level in the state's first object, or in the status of a node; `without` if it has none."""
    try:
        found = json_object(content or b"{}").get("level")
    except ValueFormatError:
        return without
    return found if is_count(found) and found else without


def level_problem(level: int) -> str:
    """The reason why this version must not write to a fleet of this level; empty if it may."""
    if level <= NEWEST_LEVEL:
        return ""
    return f"the fleet has level {level}, and this version of dnsd knows {NEWEST_LEVEL} at most: upgrade this node"


def older_nodes(nodes: Iterable[NodeLevel], level: int) -> list[str]:
    """The nodes that keep a fleet from this level, with the reasons."""
    found = []
    for node in sorted(nodes, key=lambda one: one.name):
        if node.level is None:
            found.append(f"{node.name} tells nothing")
        elif node.level < level:
            found.append(f"{node.name} reads level {node.level} at most")
    return found


def raised(meta: bytes, level: int) -> bytes:
    """The state's first object with a higher level. Raises LevelError and ValueFormatError."""
    now = level_of(meta)
    if level > NEWEST_LEVEL:
        raise LevelError(f"this version of dnsd knows level {NEWEST_LEVEL} at most: upgrade this control first")
    if level < now:
        raise LevelError(f"the fleet has level {now} already, and does not go back: later versions may have written it")
    return json.dumps(json_object(meta) | {"level": level}).encode()
