"""What all tests share."""

from __future__ import annotations

import os

import pytest

from tests.limits import LENGTH


@pytest.fixture(scope="session", autouse=True)
def _environment() -> None:
    """A server takes all that is called DNSD_… for settings of its own."""
    os.environ.pop(LENGTH, None)
