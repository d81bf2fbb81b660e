"""The record of an edge in the fleet's state: what its operator has said of it, from its joining to its leaving."""

from __future__ import annotations

import json
from typing import NamedTuple

from dnsd.fleet.subjects import STATE, token
from dnsd.fleet.values import LaterValueError, ValueFormatError, is_count, json_object

VERSION = 1
EDGES_PREFIX = f"{STATE}.e."  # of the subjects of edges' records
MAX_RECORD = 1024  # octets
MAX_RING = 9
MAX_LABEL = 64  # characters


class EdgeRecord(NamedTuple):
    """The public key of an edge's papers (NATS, `U…`), its ring of rollouts from 0, its place in words; drained or not.

    A drained edge answers, but says that it is not ready, so that routers can take traffic from it.
    """

    key: str
    ring: int = 0
    label: str = ""
    is_drained: bool = False

    def packed(self) -> bytes:
        """The record as JSON."""
        content = {"v": VERSION, "key": self.key, "ring": self.ring, "label": self.label, "drained": self.is_drained}
        return json.dumps(content, ensure_ascii=False).encode()


def edge_subject(edge: str) -> str:
    """The subject of the record of an edge, by its name. Raises ValueError for an empty name."""
    return EDGES_PREFIX + token(edge)


def parse_edge_record(value: bytes) -> EdgeRecord:
    """A record. Raises LaterValueError for one of a later version, and ValueFormatError."""
    found = json_object(value[:MAX_RECORD])
    version, key, ring = found.get("v"), found.get("key"), found.get("ring")
    label, drained = found.get("label"), found.get("drained")
    if not is_count(version):
        raise ValueFormatError("an edge's record has no version")
    if version != VERSION:
        raise LaterValueError(f"the record has version {version}; this version of dnsd reads {VERSION}")
    if not isinstance(key, str) or not is_count(ring) or ring > MAX_RING:
        raise ValueFormatError("an edge's record has no key or no ring")
    if not isinstance(label, str) or len(label) > MAX_LABEL or not isinstance(drained, bool):
        raise ValueFormatError("an edge's record has no label, or does not say whether the edge is drained")
    return EdgeRecord(key, ring, label, drained)
