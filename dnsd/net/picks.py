"""Picks: the questions of every n-th query on average, for a sample. picks.h is the same for the compiled loop.

The intervals are random, so that clients cannot fall into step with them. When there is no room, every second pick is
dropped and n doubled.
"""

from __future__ import annotations

import random

from dnsd.errors import WireError
from dnsd.wire.message import HEADER_SIZE, QUESTION_TAIL
from dnsd.wire.names import name_end

PICKS = 256  # at most, between two calls of `take`
MAX_PICKED = 354  # octets of a query; longer ones count as without a question. MAX_KEY + 2 in replies.h
NO_QUERY = 0xF8  # QR and opcode, in the third octet of a message
ONE_QUESTION = b"\0\1"

Picked = tuple[list[bytes], int]  # names and types of picked queries, b"" for others; the number of all queries


class Picks:
    """Picks of the queries passed to `note`."""

    __slots__ = ("_every", "_interval", "_left", "_passed", "_picked")

    def __init__(self) -> None:
        self._every = 1
        self._passed = 0
        self._picked: list[bytes] = []
        self._begin_interval()

    def note(self, query: bytes) -> None:
        """Count a query, and pick it if it is its turn."""
        self._left -= 1
        if self._left:
            return
        if len(self._picked) == PICKS:
            self._picked = self._picked[::2]
            self._every *= 2
        self._picked.append(_question(query))
        self._passed += self._interval
        self._begin_interval()

    def take(self) -> Picked:
        """The picks and the number of queries since the last call."""
        passed, picked = self._passed + self._interval - self._left, self._picked
        self._passed, self._picked = 0, []
        self._every = 1 if passed < PICKS else passed // (PICKS // 2)
        self._begin_interval()
        return picked, passed

    def _begin_interval(self) -> None:
        """Begin an interval: n on average."""
        self._left = self._interval = random.randrange(1, 2 * self._every)


def _question(query: bytes) -> bytes:
    """The name and type that a query asks for; b"" without one whole, uncompressed question."""
    if not HEADER_SIZE < len(query) <= MAX_PICKED or query[2] & NO_QUERY or query[4:6] != ONE_QUESTION:
        return b""
    try:
        end = name_end(query, HEADER_SIZE)
    except WireError:
        return b""
    return query[HEADER_SIZE : end + 2] if end + QUESTION_TAIL <= len(query) else b""
