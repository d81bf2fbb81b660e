"""A DNS reply, and the queries for which it may be repeated: the C loop keeps replies by these (replies.h)."""

from __future__ import annotations

from collections.abc import Hashable
from enum import IntEnum
from typing import NamedTuple

PASS, DROP, SLIP = 0, 1, 2  # verdicts of the rate limiter on a reply; the numbers are in limits.h


class Scope(IntEnum):
    """The queries for which a reply may be repeated, until data or settings change; the numbers are in replies.h.

    Queries are equal if they differ in nothing but their id and the case of their name.
    """

    ONCE = 0  # this query alone
    SAME_QUESTION = 1  # equal queries
    SAME_ENCLOSER = 2  # and those for other missing names of the same length with the same closest encloser
    SAME_KIND = 3  # and those for other names of its kind (engine/entry.py) that store no records of the type asked for
    STORED = 4  # and those for other names of its kind, each with its own stored records in place of this one's


class DnsReply(NamedTuple):
    """A reply from `answer`, for the loops that send it."""

    octets: bytes | None  # None: no reply
    scope: Scope = Scope.ONCE
    account: Hashable = None  # for counting repetitions
    kind: bytes | None = b""  # for limiting them (net/limits.py); None: the name that is asked for
    opt_size: int = 0  # octets of the OPT record at its end: all that a truncated reply has after its question
