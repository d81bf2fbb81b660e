"""Limits on the time and the growth of work, which also hold on a busy machine.

`make test` judges order, loss and growth. Only `make soak` judges seconds; in `make test`, a limit in seconds is
`HANG_S`, which only catches hangs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import thread_time

HANG_S = 180.0  # a start with ten thousand zones may take over a minute on a busy machine
LENGTH = "DNSD_SOAK"
IS_LONG = os.environ.get(LENGTH) == "long"  # `make soak`
LEAST_S = 0.001  # CPU time that is compared; clocks are too coarse for less
TRIALS = 5


def judged(seconds: float) -> float:
    """The promised time in `make soak`; in `make test` at least HANG_S."""
    return seconds if IS_LONG else max(HANG_S, seconds)


def examples(short: int, long: int) -> int:
    """The number of examples of a property test: `short` in `make test`, `long` in `make soak`."""
    return long if IS_LONG else short


def growth(work_of: Callable[[int], Callable[[], object]], few: int, many: int, *, enough: float) -> float:
    """The CPU time of the work for `many`, divided by that for `few`; the least ratio of several trials.

    `work_of(size)` returns the work; only its call is measured. Both sizes are measured in turn, as the speed of a
    machine drifts. The first ratio of at most `enough` ends the trials.
    """
    least = float("inf")
    for _ in range(TRIALS):
        least = min(least, _spent_s(work_of(many)) / max(_spent_s(work_of(few)), LEAST_S))
        if least <= enough:
            break
    return least


def _spent_s(work: Callable[[], object]) -> float:
    start = thread_time()
    work()
    return thread_time() - start
