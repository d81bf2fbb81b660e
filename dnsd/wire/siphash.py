"""SipHash-1-3 (Aumasson, Bernstein: SipHash, 2012), the same as in siphash.h: a hash with a secret key."""

from __future__ import annotations

from siphash24 import siphash13  # type: ignore[import-not-found]


def siphash(octets: bytes, key: bytes) -> int:
    """The hash of some octets, a number of 64 bits; the key has 16 octets."""
    return int.from_bytes(siphash13(octets, key=key).digest(), "little")
