"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.limits import LENGTH

settings.register_profile("dnsd", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
settings.load_profile("dnsd")


@pytest.fixture(scope="session", autouse=True)
def _environment() -> None:
    """A server takes all that is called DNSD_… for settings of its own."""
    os.environ.pop(LENGTH, None)
