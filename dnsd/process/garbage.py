"""Garbage collection in processes most of whose objects stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def garbage_paused(*, freeze: bool = False) -> Iterator[None]:
    """Collect no garbage in this context: imports, loads and judgements make many objects, and free few.

    If `freeze`, never look for garbage among the objects made so far: a collection stops all threads, for a tenth of
    a second for each million objects.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        if freeze:
            gc.freeze()
    finally:
        if was_on:
            gc.enable()
