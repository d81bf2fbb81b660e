"""One running server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.server import FILES, IMMUTABLE, Api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    files = FILES | {"acme/maps/fallback.yaml": IMMUTABLE}
    with Api(tmp_path_factory.mktemp("api"), files).running() as api:
        yield api
