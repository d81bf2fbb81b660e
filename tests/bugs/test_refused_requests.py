"""Requests for data that the server keeps to itself or that makes no sense are refused, and cost little."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.server import A1, Api
from tests.bugs.accounts import RECORDS

MAPS = f"/accounts/{A1}/addressing/address_maps"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", RECORDS, {"type": "NS", "name": "@", "content": "ns.evil.test"}),
        ("POST", RECORDS, {"type": "SOA", "name": "@", "content": "a.b. c.d. 5 1 2 3 4"}),
        ("POST", f"{RECORDS}/batch", {"posts": [{"type": "NS", "name": "@", "content": "ns.evil.test"}]}),
    ],
)
def test_apex_soa_and_ns_cannot_be_made(api: Api, method: str, path: str, body: Any) -> None:
    before = api.ask("example.com", "NS"), api.read("acme/zones/example.com.yaml")
    assert api.refused(method, path, body)[:2] == (400, 9007)
    assert before == (api.ask("example.com", "NS"), api.read("acme/zones/example.com.yaml"))


def test_target_is_checked_in_every_spelling(api: Api) -> None:
    body = {"type": "A", "name": "octets", "content": r"\# 4 7f000001", "proxied": True}
    assert api.refused("POST", RECORDS, body)[:2] == (400, 9003)
    files = {"file": (None, "p3 300 IN A 127.0.0.1\n"), "proxied": (None, "true")}
    assert api.refused("POST", f"{RECORDS}/import", files=files)[:2] == (400, 9003)


def test_ttl_of_an_import_is_within_the_api_s_range(api: Api) -> None:
    files = {"file": (None, "i3 0 IN TXT a\ni4 2147483647 IN TXT a\ni5 1 IN TXT a\n")}
    assert api.result("POST", f"{RECORDS}/import", files=files)["recs_added"] == 3
    shown = {one["name"]: one for one in api.result("GET", f"{RECORDS}?type=TXT&content=a")}
    assert [shown[f"i{n}.example.com"]["ttl"] for n in (3, 4, 5)] == [60, 86_400, 1]
    for one in shown.values():
        api.result("PUT", f"{RECORDS}/{one['id']}", one)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/zones", {"name": "bad name.test", "account": {"id": A1}}, 9000),
        ("/zones", {"name": "partial.test", "account": {"id": A1}, "type": "partial"}, 1001),
        (MAPS, {"default_sni": "not a name"}, 1001),
        (MAPS, {"description": "a\u009bcontrol"}, 1001),
    ],
)
def test_senseless_values_are_refused(api: Api, path: str, body: Any, code: int) -> None:
    assert api.refused("POST", path, body)[:2] == (400, code)


def test_refused_requests_cost_the_audit_log_little(api: Api) -> None:
    log = api.folder / "state/audit.log"
    before = log.stat().st_size if log.exists() else 0
    body = {"posts": [{"type": "A", "name": "x", "content": "192.0.2.1", "comment": "c" * 60_000}] * 2}
    api.refused("POST", f"{RECORDS}/batch", body)
    assert log.stat().st_size - before < 4096
    assert json.loads(log.read_text().splitlines()[-1])["outcome"] == "refused"
