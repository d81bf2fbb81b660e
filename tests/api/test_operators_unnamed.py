"""Tenants see that an operator changed something, but not with which token, nor from where."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.api.server import A1, Api
from tests.browser.sessions import Person

NAME = "night-shift-maria"
MAPS = f"/accounts/{A1}/addressing/address_maps"
PENDING = f"/accounts/{A1}/addressing/pending_changes"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with Api(tmp_path).running() as api:
        yield api


def test_operators_tokens_are_unnamed_wherever_tenants_look(api: Api) -> None:
    maria, tenant = api.token("--name", NAME), api.token("--account", "acme", "--name", "shop")
    token_id = api.result("GET", "/user/tokens/verify", token=maria)["id"]
    made = api.result("POST", MAPS, {"ips": ["203.0.113.5"], "description": "Sale"}, token=maria)
    path = f"{MAPS}/{made['id']}"
    api.result("PATCH", path, {"description": "Sale!"}, token=tenant)
    at = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    pending = api.call("PATCH", path, {"description": "Sale!!"}, token=maria, params={"deploy_at": at}).json()["result"]
    assert pending["token"] == {"id": token_id, "name": NAME}
    reads = [
        (path, {}),
        (f"{path}/history", {}),
        (f"/accounts/{A1}/audit_logs", {}),
        (f"/accounts/{A1}/logs/audit", {"since": "2020-01-01", "before": "2100-01-01"}),
        (PENDING, {}),
        (f"{PENDING}/{pending['id']}", {}),
    ]
    for where, params in reads:
        shown = api.call("GET", where, token=tenant, params=params)
        assert shown.is_success
        assert NAME not in shown.text
        assert token_id not in shown.text
    assert api.result("GET", f"{PENDING}/{pending['id']}", token=tenant)["token"] == {"id": "", "name": "operator"}
    assert {one["token"] for one in api.result("GET", f"{path}/history", token=tenant)} == {"operator", "shop"}
    assert NAME in {one["token"] for one in api.result("GET", f"{path}/history")}
    logged = api.result("GET", f"/accounts/{A1}/audit_logs", token=tenant)
    by_operator = [one for one in logged if one["metadata"]["token_name"] == "operator"]
    assert [one["action"]["type"] for one in by_operator] == ["map.schedule", "map.create"]
    assert {(one["actor"]["id"], one["actor"]["ip"]) for one in by_operator} == {("", "")}
    assert NAME in {one["metadata"]["token_name"] for one in api.result("GET", f"/accounts/{A1}/audit_logs")}
    for query in ({"actor_token_name": NAME}, {"actor_token_id": token_id}):  # filters tell no more
        wanted = {"since": "2020-01-01", "before": "2100-01-01", **query}
        assert api.result("GET", f"/accounts/{A1}/logs/audit", token=tenant, params=wanted) == []
        assert api.result("GET", f"/accounts/{A1}/logs/audit", params=wanted) != []
    page = f"/accounts/{A1}/maps/{made['id']}"
    pages = [page, "/audit", f"/audit?q={NAME}"]
    with Person(api, tenant) as person:
        for one in pages:
            text = person.get(one).text.replace(f'value="{NAME}"', "")  # the search box
            assert NAME not in text
            assert token_id[:8] not in text
        assert "by operator" in person.get(page).text
        assert "scheduled by operator" in person.get(page).text
    with Person(api, maria) as person:
        assert f"by {NAME}" in person.get(page).text
        assert f"scheduled by {NAME}" in person.get(page).text
