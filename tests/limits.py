"""How long work may take, and how its cost may grow, however busy the machine is.

`make test` judges order, loss and growth. A figure in seconds is judged by `make soak` alone; until then it stands for
a hang, which `HANG_S` catches.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import thread_time

HANG_S = 60.0
LENGTH = "DNSD_SOAK"
IS_LONG = os.environ.get(LENGTH) == "long"  # `make soak`
LEAST_S = 0.001  # CPU time that is compared; clocks are too coarse for less
TRIALS = 5


def judged(seconds: float) -> float:
    """A promised time in `make soak`; in `make test` the time of a hang."""
    return seconds if IS_LONG else max(HANG_S, seconds)


def examples(short: int, long: int) -> int:
    """Return how many examples a property test makes in `make test`, and in `make soak`."""
    return long if IS_LONG else short


def growth(work_of: Callable[[int], Callable[[], object]], few: int, many: int, *, enough: float) -> float:
    """Return how many times the CPU time of `few` the work for `many` takes; the least of several trials.

    `work_of(size)` prepares the work, whose call is measured. Both sizes are measured in turn, as the speed of a
    machine drifts; the first trial that is not above `enough` ends it.
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
