"""One running server for the tests of a module, tokens for its accounts, and its pending changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.server import A1, A2, FILES, IMMUTABLE, Api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    files = FILES | {"acme/maps/fallback.yaml": IMMUTABLE}
    with Api(tmp_path_factory.mktemp("api"), files).running() as api:
        yield api


@pytest.fixture(scope="module")
def acme(api: Api) -> str:
    return api.token("--account", A1)


@pytest.fixture(scope="module")
def globex(api: Api) -> str:
    return api.token("--account", A2)


@pytest.fixture
def nothing_pending(api: Api) -> Iterator[None]:
    """Cancel the pending changes that a test leaves."""
    yield
    path = f"/accounts/{A1}/addressing/pending_changes"
    for one in api.result("GET", path):
        api.result("DELETE", f"{path}/{one['id']}")
