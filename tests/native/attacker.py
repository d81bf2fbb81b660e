"""What every attack has in common: seeds from the command line, an end, and a word on what was done."""

from __future__ import annotations

import faulthandler
import random
import sys
import time
from collections.abc import Callable

HANGS_S = 120  # one seed takes seconds


def attack(one: Callable[[random.Random], None]) -> None:
    """Call it with the generator of each seed. Ends the process where a seed does not end, telling where that is."""
    first, count = (int(word) for word in sys.argv[1:3])
    start = time.monotonic()
    for seed in range(first, first + count):
        faulthandler.dump_traceback_later(HANGS_S, exit=True)
        try:
            one(random.Random(seed))
        except BaseException:
            print(f"seed {seed}:", file=sys.stderr)
            raise
    faulthandler.cancel_dump_traceback_later()
    print(f"    {one.__name__}: {count} seeds from {first} on, {time.monotonic() - start:.1f} s")
