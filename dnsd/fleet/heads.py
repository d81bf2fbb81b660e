"""The head of an account: the last message of each commit for it, with the count and the sum of all its objects.

The sum lets a follower find out that its copy is not the account's state. It is the sum of the digests of all objects,
modulo 2^128, so that a change costs only its own digests. It finds faults, and does not stand against an attacker:
only controls write state.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from dnsd.fleet.values import ValueFormatError, is_count, json_object

SUM_BITS = 128
MASK = (1 << SUM_BITS) - 1
MAX_HEAD = 4096  # octets


class AccountSum(NamedTuple):
    """The number of an account's objects without its head, and the sum of their digests."""

    objects: int = 0
    total: int = 0

    def changed(self, subject: str, old: bytes | None, new: bytes | None) -> AccountSum:
        """The sum after one object's value has changed; None stands for a missing object."""
        objects = self.objects + (new is not None) - (old is not None)
        return AccountSum(objects, self.total + _digest(subject, new) - _digest(subject, old) & MASK)


class AccountState(NamedTuple):
    """What a node knows of an account: the sequence number of its head (0 without one), and the sum in it."""

    seq: int = 0
    sum: AccountSum = AccountSum()


@dataclass(frozen=True, slots=True)
class AccountHead:
    """What a head says: the commit, its time in seconds since 1970, the account's sum, and the first message of state.

    `first` is the number of the first state message in the head's batch: from there to the batch's end, all is state.
    """

    op: str
    at: int
    sum: AccountSum
    first: int

    def packed(self) -> bytes:
        """The head as JSON."""
        values = {
            "op": self.op,
            "at": self.at,
            "n": self.sum.objects,
            "sum": f"{self.sum.total:032x}",
            "first": self.first,
        }
        return json.dumps(values, separators=(",", ":")).encode()


def parse_head(value: bytes) -> AccountHead:
    """The head of a value. Raises ValueFormatError; keys of later versions are passed over."""
    if len(value) > MAX_HEAD:
        raise ValueFormatError(f"a head of {len(value):,} octets; the limit is {MAX_HEAD:,}")
    found = json_object(value)
    op, at, count, total, first = (found.get(key) for key in ("op", "at", "n", "sum", "first"))
    if not isinstance(op, str) or not isinstance(total, str):
        raise ValueFormatError("a head without its op or its sum")
    if not is_count(at) or not is_count(count) or not is_count(first):
        raise ValueFormatError("a head without its time or its counts")
    try:
        octets = bytes.fromhex(total)
    except ValueError:
        octets = b""
    if len(octets) * 8 != SUM_BITS:
        raise ValueFormatError("a head whose sum is not 32 hexadecimal digits")
    return AccountHead(op, at, AccountSum(count, int.from_bytes(octets)), first)


def _digest(subject: str, value: bytes | None) -> int:
    """The digest of one object as a number; 0 for a missing one."""
    if value is None:
        return 0
    digest = blake2b(subject.encode("ascii"), digest_size=SUM_BITS // 8)
    digest.update(b"\n")  # no subject has one, so no other subject and value have the same octets
    digest.update(value)
    return int.from_bytes(digest.digest())
