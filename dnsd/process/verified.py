"""The file whose digests a process of the server has verified or written last: no other reads it again for them.

It is known by its title, and by the marks that any later change of its octets leaves: the processes share a digest of
these. What is noted is only for files written whole, which nobody changes afterwards.
"""

from __future__ import annotations

import hashlib
import os

SIZE = 32  # octets


class Verified:
    """A note of one file in shared memory; one of several writers wins. A torn note fits no file."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory

    def note(self, status: os.stat_result, head: bytes) -> None:
        """The file with this status and these first octets is sound."""
        self._memory[:] = _mark_of(status, head)

    def has(self, status: os.stat_result, head: bytes) -> bool:
        """Whether this is the file noted last, unchanged."""
        return bytes(self._memory) == _mark_of(status, head)


def unshared() -> Verified:
    """A note for this process alone."""
    return Verified(memoryview(bytearray(SIZE)))


def _mark_of(status: os.stat_result, head: bytes) -> bytes:
    marks = f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} ".encode()
    return hashlib.blake2b(marks + head, digest_size=SIZE).digest()
