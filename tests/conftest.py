"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from dnsd.compiled import stale_parts
from tests.limits import IS_LONG, LENGTH

# `make test` has the same examples everywhere, so a failure is a change's own; `make soak` draws new ones each time.
# Too slow: on a busy machine.
settings.register_profile("dnsd", deadline=None, derandomize=not IS_LONG, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dnsd")


# A shell starts background jobs with SIGINT ignored, `nohup` with SIGHUP; commands started by tests would inherit this.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


def pytest_configure() -> None:
    """Refuse compiled parts of other sources: all tests would use the portable forms."""
    for problem in stale_parts():
        raise pytest.UsageError(problem)


@pytest.fixture(scope="session", autouse=True)
def _environment() -> None:
    """Remove a variable that servers would read as a setting, like every DNSD_… variable."""
    os.environ.pop(LENGTH, None)
