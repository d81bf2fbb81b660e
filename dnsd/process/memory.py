"""Limit the memory that glibc holds: one heap for all threads, and free memory returned to the system.

Control runs each task in a new thread. By default, glibc uses up to eight heaps per core, each of which keeps memory
that its threads have freed. With another C library, nothing happens. Python's search for garbage can be paused.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress

M_ARENA_MAX = -8  # malloc.h


def share_heap() -> None:
    """Use one heap for all threads of this process and its children, as only one thread runs Python at a time."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def trim() -> None:
    """Return free memory to the system."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def garbage_paused() -> Iterator[None]:
    """Collect no garbage in this context: readings, loads and judgements make many objects, and free few."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
