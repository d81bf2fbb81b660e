"""A server of its own for each test, and OpenTofu for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.server import FILES, Api
from tests.clients.opentofu import Tofu


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    folder = tmp_path / "server"
    folder.mkdir()
    with Api(folder, FILES).running() as api:
        yield api


@pytest.fixture
def tofu(tmp_path: Path, api: Api) -> Tofu:
    return Tofu(tmp_path / "tofu", api, api.operator)
