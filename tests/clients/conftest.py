"""A server of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.server import FILES, Api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    folder = tmp_path / "server"
    folder.mkdir()
    with Api(folder, FILES).running() as api:
        yield api
