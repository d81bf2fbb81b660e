"""Letters of agency and the validation of prefixes over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.server import A1, A2, FILES, PREFIX1, SETTINGS, Api

LOA = f"/accounts/{A1}/addressing/loa_documents"
PREFIXES = f"/accounts/{A1}/addressing/prefixes"
PDF = b"%PDF-1.7\n\xff\xfe binary \x00 content"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    settings = f"{SETTINGS}advertisement: {{vrps: vrps.json}}\n"
    (tmp_path / "vrps.json").write_text(
        '{"roas": [{ "asn": "AS64500", "prefix": "203.0.113.0/24", "maxLength": 24, "ta": "t" }]}'
    )
    with Api(tmp_path, FILES, settings=settings).running() as api:
        yield api


def upload(api: Api, octets: bytes = PDF, name: str = "loa.pdf", **options: Any) -> Any:
    return api.call("POST", LOA, files={"loa_document": (name, octets)}, **options)


def test_document_comes_back_as_an_attachment_only(api: Api) -> None:
    response = upload(api)
    assert response.status_code == 201
    made = response.json()["result"]
    assert (made["account_id"], made["filename"], made["size_bytes"]) == (A1, "loa.pdf", len(PDF))
    got = api.call("GET", f"{LOA}/{made['id']}/download")
    assert (got.status_code, got.content) == (200, PDF)
    assert got.headers["Content-Type"] == "application/pdf"
    assert got.headers["Content-Disposition"].startswith("attachment;")
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert api.result("GET", LOA) == [made]
    api.result("DELETE", f"{LOA}/{made['id']}")
    assert api.result("GET", LOA) == []
    assert api.refused("GET", f"{LOA}/{made['id']}/download")[:2] == (404, 1000)


def test_documents_of_other_accounts_are_not_found(api: Api) -> None:
    made = upload(api).json()["result"]
    other = f"/accounts/{A2}/addressing/loa_documents/{made['id']}"
    assert api.refused("GET", f"{other}/download")[:2] == (404, 1000)
    assert api.refused("DELETE", other)[:2] == (404, 1000)
    body = {"cidr": "198.51.100.0/24", "loa_document_id": made["id"]}
    assert api.refused("POST", f"/accounts/{A2}/addressing/prefixes", body)[0] == 404


def test_document_of_a_prefix_cannot_be_deleted(api: Api) -> None:
    made = upload(api).json()["result"]
    edited = api.result("PATCH", f"{PREFIXES}/{PREFIX1}", {"loa_document_id": made["id"]})
    assert edited["loa_document_id"] == made["id"]
    assert "203.0.113.0/24" in api.refused("DELETE", f"{LOA}/{made['id']}")[2]
    assert api.refused("PATCH", f"{PREFIXES}/{PREFIX1}", {"loa_document_id": "0" * 32})[0] == 404


def test_documents_are_deleted_with_their_account(api: Api) -> None:
    account_id = api.result("POST", "/accounts", {"name": "Short-lived"})["id"]
    path = f"/accounts/{account_id}/addressing/loa_documents"
    assert api.call("POST", path, files={"loa_document": ("loa.pdf", PDF)}).status_code == 201
    upload(api)
    assert {one.name for one in (api.folder / "state" / "loa").iterdir()} == {A1, account_id}
    assert api.refused("DELETE", f"/accounts/{A1}")[0] == 400  # it has zones
    api.result("DELETE", f"/accounts/{account_id}")
    assert [one.name for one in (api.folder / "state" / "loa").iterdir()] == [A1]


NAMES = {
    "../../state/tokens.pdf": "tokens.pdf",
    "c:\\letters\\loa.pdf": "loa.pdf",
    "Vollmacht für Müller.pdf": "Vollmacht für Müller.pdf",
    "x" * 500 + ".pdf": "x" * 200,
}


@pytest.mark.parametrize("name", NAMES)
def test_file_names_are_harmless(api: Api, name: str) -> None:
    made = upload(api, name=name).json()["result"]
    assert made["filename"] == NAMES[name]
    assert api.call("GET", f"{LOA}/{made['id']}/download").status_code == 200


def test_limits(api: Api) -> None:
    assert upload(api, b"<html>").status_code == 400
    assert upload(api, b"").status_code == 400
    assert upload(api, b"%PDF-" + b"x" * (1024 * 1024)).status_code == 413
    largest = b"%PDF-" + b"x" * (1024 * 1024 - 5)
    assert upload(api, largest).status_code == 201
    assert api.call("POST", LOA, files={"other": ("loa.pdf", PDF)}).status_code == 400
    assert api.call("POST", LOA, {"loa_document": "x"}).status_code == 400
    for _ in range(9):
        assert upload(api).status_code == 201
    response = upload(api)
    assert response.status_code == 400
    assert "10 LOA documents" in response.json()["errors"][0]["message"]


def test_damaged_document_is_not_found(api: Api) -> None:
    made = upload(api).json()["result"]
    (api.folder / "state" / "loa" / A1 / f"{made['id']}.json").write_text("{")
    assert api.result("GET", LOA) == []
    assert api.refused("GET", f"{LOA}/{made['id']}/download")[:2] == (404, 1000)


def test_validation_answers_202_and_its_states_stay(api: Api) -> None:
    path = f"{PREFIXES}/{PREFIX1}"
    response = api.call("POST", f"{path}/validate")
    assert response.status_code == 202
    found = response.json()["result"]
    assert (found["rpki_validation_state"], found["ownership_validation_state"]) == ("valid", "pending")
    assert any("113.0.203.in-addr.arpa" in one["message"] for one in response.json()["messages"])
    zone = api.result("POST", "/zones", {"name": "113.0.203.in-addr.arpa", "account": {"id": A1}})
    token = found["ownership_validation_token"]
    name = "cf-validation.113.0.203.in-addr.arpa"
    api.result(
        "POST", f"/zones/{zone['id']}/dns_records", {"name": name, "type": "TXT", "content": f'"{token}"', "ttl": 60}
    )
    again = api.result("POST", f"{path}/validate")
    assert again["ownership_validation_state"] == "valid"
    assert api.result("GET", path)["ownership_validation_state"] == "valid"
    listed = {one["id"]: one for one in api.result("GET", PREFIXES)}
    assert listed[PREFIX1]["ownership_validation_state"] == "valid"
    assert listed[PREFIX1]["approved"] == "V"
