"""The audit log over the API: its pages, bounds and shapes, and no entry of another account."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cloudflare import Cloudflare
from cloudflare.types.accounts.logs import AuditListResponse
from cloudflare.types.shared import AuditLog

from dnsd.model.times import time_text
from tests.api.server import A1, A2, FILES, Z1, Z3, Api
from tests.browser.sessions import Person

LOGS, AUDIT = f"/accounts/{A1}/audit_logs", f"/accounts/{A1}/logs/audit"
NAMES = [f"n{number}" for number in range(7)]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("audit"), FILES).running() as running:
        for zone in (Z1, Z3):
            for name in NAMES:
                body = {"name": name, "type": "A", "content": "192.0.2.9", "ttl": 60}
                running.result("POST", f"/zones/{zone}/dns_records", body)
        running.refused("POST", f"/zones/{Z1}/dns_records", body)
        running.result("PATCH", f"/accounts/{A1}/dns_settings", {"enforce_dns_only": True})
        running.result("DELETE", f"/zones/{Z1}")
        yield running


def actions(entries: list[dict[str, Any]]) -> list[str]:
    return [one["action"]["type"] for one in entries]


def test_pages_of_an_accounts_entries(api: Api) -> None:
    everything = api.result("GET", LOGS)
    assert actions(everything)[:3] == ["zone.delete", "account.edit_dns_settings", "record.create"]
    assert {one["owner"]["id"] for one in everything} == {A1}
    assert len(everything) == len(NAMES) + 3
    pages = [api.result("GET", LOGS, params={"per_page": "4", "page": str(number)}) for number in (1, 2, 3, 4)]
    assert [one for page in pages for one in page] == everything
    assert [len(page) for page in pages] == [4, 4, 2, 0]
    assert api.result("GET", LOGS, params={"direction": "asc"}) == everything[::-1]
    expected = [one["id"] for one in everything]
    assert by_cursor(api) == expected
    assert by_cursor(api, direction="asc") == expected[::-1]


def by_cursor(api: Api, **query: str) -> list[str]:
    """The ids of all entries, in pages of four."""
    found: list[dict[str, Any]] = []
    query["limit"] = "4"
    while True:
        said = api.call("GET", AUDIT, params=query).json()
        found += said["result"]
        if not said["result_info"]["cursor"]:
            return [one["id"] for one in found]
        query["cursor"] = said["result_info"]["cursor"]


def test_cursor_shows_no_entry_of_another_account(api: Api) -> None:
    cursor = api.call("GET", AUDIT, params={"limit": "1"}).json()["result_info"]["cursor"]
    tenant = api.token("--account", A2)
    theirs = api.call("GET", f"/accounts/{A2}/logs/audit", token=tenant, params={"cursor": cursor}).json()["result"]
    assert {one["account"]["id"] for one in theirs} == {A2}
    assert {one["resource"]["id"].partition("/")[0] for one in theirs} == {"globex"}


def test_entries_say_what_has_changed(api: Api) -> None:
    first = api.result("GET", LOGS)[-1]
    assert first["action"] == {"result": True, "type": "record.create"}
    assert first["actor"]["ip"] == "127.0.0.1"
    assert first["metadata"]["token_name"] == "operator"
    assert '"name": "n0"' in first["newValue"]
    refused = next(one for one in api.result("GET", LOGS) if not one["action"]["result"])
    assert refused["metadata"]["code"] == 81058
    newest = api.result("GET", AUDIT)[0]
    assert (newest["action"]["type"], newest["action"]["result"]) == ("delete", "success")
    assert newest["account"] == {"id": A1, "name": "Acme"}
    assert newest["resource"] == {
        **newest["resource"],
        "id": "acme/zones/example.com",
        "type": "zone",
        "response": None,
    }
    assert api.result("GET", AUDIT)[2]["zone"]["id"] == Z1


BOUNDS: dict[str, tuple[dict[str, str], bool]] = {
    "since tomorrow": ({"since": time_text(datetime.now(UTC) + timedelta(days=1))}, False),
    "since a date": ({"since": "2020-01-01"}, True),
    "before a date": ({"before": "2020-01-01"}, False),
    "before tomorrow": ({"before": (datetime.now(UTC) + timedelta(days=1)).date().isoformat()}, True),
    "with an offset": ({"since": "2020-01-01T00:00:00+02:00"}, True),
}


@pytest.mark.parametrize("what", BOUNDS)
def test_bounds(api: Api, what: str) -> None:
    query, has_entries = BOUNDS[what]
    for path in (LOGS, AUDIT):
        assert bool(api.result("GET", path, params=query)) is has_entries


WRONG = [{"since": "yesterday"}, {"before": "2020-13-01"}, {"page": "900000"}]


@pytest.mark.parametrize("query", WRONG, ids=str)
def test_wrong_query(api: Api, query: dict[str, str]) -> None:
    response = api.call("GET", LOGS, params=query)
    (name,) = query
    assert response.status_code == 400
    assert [one["source"]["pointer"] for one in response.json()["errors"]] == [f"/{name}"]
    assert api.refused("GET", AUDIT, params={"cursor": "x"})[:2] == (400, 1001)


def test_filters(api: Api) -> None:
    assert set(actions(api.result("GET", LOGS, params={"action.type": "record.create"}))) == {"record.create"}
    failed = api.result("GET", AUDIT, params={"action_result": "failure"})
    assert {one["action"]["result"] for one in failed} == {"failure"}
    one = api.result("GET", LOGS)[3]
    assert api.result("GET", LOGS, params={"id": one["id"]}) == [one]


def test_token_sees_only_entries_of_its_account_and_areas(api: Api) -> None:
    tenant, other = api.token("--account", A1), api.token("--account", A2)
    seen, whole = api.result("GET", LOGS, token=tenant), api.result("GET", LOGS)
    without = {"actor": None, "metadata": None}  # the operator is not named
    assert [one | without for one in seen] == [one | without for one in whole]
    assert api.refused("GET", LOGS, token=other)[:2] == (404, 1000)
    assert api.refused("GET", AUDIT, token=other)[:2] == (404, 1000)
    theirs = api.result("GET", f"/accounts/{A2}/audit_logs", token=other)
    assert len(theirs) == len(NAMES)
    assert A1 not in str(theirs)
    only_dns = api.token("--account", A1, "--permission", "dns:read")
    assert {action.partition(".")[0] for action in actions(api.result("GET", LOGS, token=only_dns))} <= {
        "record",
        "zone",
    }


def test_refusals_of_operators_name_no_other_account_to_tenants(api: Api) -> None:
    prefixes = f"/accounts/{A1}/addressing/prefixes"
    theirs = api.result("POST", f"/accounts/{A2}/addressing/prefixes", {"cidr": "192.88.0.0/16", "asn": 64500})
    api.result("PATCH", f"/accounts/{A2}/addressing/prefixes/{theirs['id']}", {"approved": "V"})
    made = api.result("POST", prefixes, {"cidr": "192.88.7.0/24", "asn": 64500}, token=api.token("--account", A1))
    assert "globex" in api.refused("PATCH", f"{prefixes}/{made['id']}", {"approved": "V"})[2]
    entries = api.result("GET", LOGS, token=api.token("--account", A1), params={"action.type": "prefix.edit"})
    assert entries[0]["metadata"]["message"] == "it conflicts with another account"
    assert "globex" not in str(entries)


def test_answers_are_valid_for_the_sdk(api: Api) -> None:
    for one in api.result("GET", LOGS):
        AuditLog.model_validate(one)
    for one in api.result("GET", AUDIT):
        AuditListResponse.model_validate(one)
    with Cloudflare(api_token=api.operator, base_url=f"{api.origin}/client/v4") as sdk:
        listed = [
            one.id
            for one in sdk.accounts.logs.audit.list(account_id=A1, since="2020-01-01", before="2099-01-01", limit=3)
        ]
    assert listed == [one["id"] for one in api.result("GET", LOGS)]


def test_file_that_cannot_be_read_is_named_to_the_operator(tmp_path: Path) -> None:
    with Api(tmp_path, FILES).running() as api:
        tenant = api.token("--account", A1, "--name", "acme")
        body = {"name": "new", "type": "A", "content": "192.0.2.9", "ttl": 60}
        api.result("POST", f"/zones/{Z1}/dns_records", body, token=tenant)
        api.result("PATCH", f"/accounts/{A1}/dns_settings", {"enforce_dns_only": True})
        file = tmp_path / "state/audit" / f"{A1}.log"
        file.unlink()
        file.mkdir()
        for path in (LOGS, AUDIT):
            whole = api.call("GET", path).json()
            assert whole["result"][0]["action"]["type"] in ("account.edit_dns_settings", "update")
            (note,) = whole["messages"]
            assert note["message"].startswith("entries of the account Acme cannot be read: ")
            assert str(file) in note["message"]
            (note,) = api.call("GET", path, token=tenant).json()["messages"]
            assert note["message"] == "some entries cannot be read: the server's operator can see the cause"
        assert api.call("GET", f"/accounts/{A2}/audit_logs").json()["messages"] == []
        with Person(api, api.operator) as person:
            assert "Entries of the account Acme cannot be read" in person.get("/audit").text
        assert api.dns.stderr.text().count("the audit log cannot be searched as a whole") == 1
