"""The processes' numbers in shared memory."""

import pytest

from dnsd.process.shared import Shared


def test_cpu_time_of_a_process_never_decreases() -> None:
    """Its successor is measured before the supervisor has added its time."""
    shared = Shared(1, 8)
    worker = shared.workers[0]
    assert shared.cpu_s(worker, 4.0) == pytest.approx(4.0)
    assert shared.cpu_s(worker, 0.0) == pytest.approx(4.0)
    shared.forget(worker, 4.5)
    assert shared.cpu_s(worker, 0.25) == pytest.approx(4.75)
