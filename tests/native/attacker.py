"""The common parts of all attacks: seeds from the command line, a time limit, and a final report."""

from __future__ import annotations

import faulthandler
import random
import sys
import time
from collections.abc import Callable

HANGS_S = 120  # one seed takes seconds


def attack(one: Callable[[random.Random], None]) -> None:
    """Call the attack with each seed's generator. A seed that hangs ends the process with a traceback."""
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
