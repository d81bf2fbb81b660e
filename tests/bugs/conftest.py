"""A running API with two accounts, and a token of each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.server import A1, A2, FILES, Api
from tests.bugs.accounts import MASTER


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("bugs"), FILES | {"acme/zones/m.test.zone": MASTER}).running() as api:
        yield api


@pytest.fixture(scope="module")
def acme(api: Api) -> str:
    return api.token("--account", A1)


@pytest.fixture(scope="module")
def globex(api: Api) -> str:
    return api.token("--account", A2)
