"""Delegating a part of a prefix tells a tenant as little as possible about which other accounts there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dnsd.model.fields import derived_id
from tests.api.server import A1, A2, FILES, PREFIX1, Api

PREFIXES = f"/accounts/{A1}/addressing/prefixes"
UNKNOWN = derived_id("account", "initrode")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    account = FILES["acme/account.yaml"] + "quotas: {delegations: 1}\n"
    with Api(tmp_path, FILES | {"acme/account.yaml": account}).running() as api:
        yield api


def test_refused_delegations_do_not_tell_whether_the_account_exists(api: Api) -> None:
    """A tenant could try ids with what is refused anyway, and leave no trace."""
    tenant = api.token("--account", "acme")
    pending = api.result("POST", PREFIXES, {"cidr": "198.51.100.0/24"}, token=tenant)["id"]
    cases = [
        (pending, "198.51.100.0/25", "is not approved yet"),
        (PREFIX1, "198.51.100.0/25", "lies outside the prefix"),
    ]
    for prefix, cidr, words in cases:
        said = []
        for account in (A2, UNKNOWN):
            body = {"cidr": cidr, "delegated_account_id": account}
            said.append(api.refused("POST", f"{PREFIXES}/{prefix}/delegations", body, token=tenant))
        assert said[0] == said[1]
        assert words in said[0][2]
    body = {"cidr": "203.0.113.0/28", "delegated_account_id": A2}
    api.result("POST", f"{PREFIXES}/{PREFIX1}/delegations", body, token=tenant)
    said = []
    for account in (A2, UNKNOWN):
        body = {"cidr": "203.0.113.64/28", "delegated_account_id": account}
        said.append(api.refused("POST", f"{PREFIXES}/{PREFIX1}/delegations", body, token=tenant))
    assert said[0] == said[1]
    assert "quota" in said[0][2]
    assert "globex" not in str(api.result("GET", f"/accounts/{A1}/audit_logs", token=tenant))


def test_wrong_ids_are_few_a_minute_for_tenants(api: Api) -> None:
    tenant, path = api.token("--account", "acme"), f"{PREFIXES}/{PREFIX1}/delegations"
    bodies = [{"cidr": "203.0.113.0/28", "delegated_account_id": derived_id("account", f"a{n}")} for n in range(40)]
    statuses = {api.call("POST", path, body, token=tenant).status_code for body in bodies}
    assert statuses == {404, 429}
    assert api.call("POST", path, bodies[0]).status_code == 404  # the operator may err
