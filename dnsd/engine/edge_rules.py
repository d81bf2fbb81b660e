"""The rules of names by number: one octet in the table of names.

A proxied name's number says which parts its answers lack; the same numbers choose the answer of a map. Each combination
of parts is one `Edge`, shared by all names and zones.
"""

from __future__ import annotations

from functools import lru_cache

from dnsd.engine.node import Edge
from dnsd.wire.rdata import AAAA, HTTPS, A

AS_STORED = 0
FLATTENED = 1  # with a CNAME that is flattened
NOT_SERVED = 2  # of a zone that is not set up: refused
EDGE = 32  # proxied: this, and the parts that are lacking
NO_V4, NO_V6, NO_H3, NO_H2, NO_HTTPS = 1, 2, 4, 8, 16


@lru_cache
def edge_rule(number: int) -> Edge | None:
    """The rule of proxied names with this number; None for other numbers."""
    if not number & EDGE:
        return None
    keys = {} if number & NO_V4 else {A: A}
    if not number & NO_V6:
        keys[AAAA] = AAAA
    if not number & NO_HTTPS:
        keys[HTTPS] = https_key(number & (NO_V4 | NO_V6 | NO_H3 | NO_H2))
    return Edge(keys)


def https_key(lacks: int) -> int:
    """The key of the answer for HTTPS that lacks these parts."""
    return HTTPS | lacks << 16  # beyond every type
