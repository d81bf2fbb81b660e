"""The C library's memory, where it is glibc: one heap for all threads, and what is free given back to the system.

Control does its work in a new thread each time. Left alone, glibc gives each of eight threads a core a heap of its own,
each of which keeps some of what any thread has needed for a while.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_ARENA_MAX = -8  # malloc.h


def share_heap() -> None:
    """Have all threads of this process, and of those that it forks, use one heap; only one runs Python at a time."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def trim() -> None:
    """Give the memory that was needed for a while back to the system."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
