"""Address space with two users, leases with a map, and pending prefixes: over the API and on the dashboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.server import A1, A2, PREFIX1, Api
from tests.browser.sessions import Person

PREFIXES = f"/accounts/{A1}/addressing/prefixes"
LEASES = f"/accounts/{A2}/addressing/leases"
MAPS = f"/accounts/{A2}/addressing/address_maps"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with Api(tmp_path).running() as running:
        yield running


def test_plan_and_page_warn_of_an_address_that_is_lent(api: Api) -> None:
    api.result("POST", f"{PREFIXES}/{PREFIX1}/delegations", {"cidr": "203.0.113.64/26", "delegated_account_id": A2})
    maps = f"/accounts/{A1}/addressing/address_maps"
    body = {"ips": ["203.0.113.70"], "memberships": [{"kind": "account", "identifier": A1}], "enabled": True}
    (warning,) = api.result("POST", f"{maps}/plan", body)["warnings"]
    assert "203.0.113.64/26, which is delegated to another account" in warning
    made = api.result("POST", maps, body)["id"]
    assert api.result("PATCH", f"{maps}/{made}", {"description": "x"})["description"] == "x"
    with Person(api, api.token("--account", A1)) as person:
        assert "which is delegated to another account" in person.get(f"/accounts/{A1}/maps/{made}").text


def test_lease_makes_a_map_on_request_if_the_account_has_none(api: Api) -> None:
    api.result("POST", LEASES, {"ip": "192.0.2.230"})
    assert api.result("GET", MAPS) == []
    api.result("POST", LEASES, {"ip": "192.0.2.231", "create_map": True})
    (made,) = api.result("GET", MAPS)
    assert ([one["ip"] for one in made["ips"]], made["enabled"]) == (["192.0.2.231"], False)
    assert [(one["kind"], one["identifier"]) for one in made["memberships"]] == [("account", A2)]
    api.result("POST", LEASES, {"ip": "192.0.2.232", "create_map": True})
    assert api.result("GET", MAPS) == [made]
    assert sorted(api.ask("www.example.org")) == ["198.51.100.10", "198.51.100.11"]
    api.result("PATCH", f"{MAPS}/{made['id']}", {"enabled": True})
    assert api.ask("www.example.org") == ["192.0.2.231"]


def test_form_of_a_lease_offers_a_map_until_there_is_one(api: Api) -> None:
    with Person(api, api.operator) as person:
        addresses = f"/accounts/{A2}/addresses"
        assert re.search(r'name="create_map" checked', person.get(addresses).text)
        assert person.post(f"{addresses}/static-ips", {"ip": "192.0.2.230"}).status_code == 303
        assert api.result("GET", MAPS) == []
        assert person.post(f"{addresses}/static-ips", {"ip": "192.0.2.231", "create_map": "on"}).status_code == 303
        assert len(api.result("GET", MAPS)) == 1
        assert "create_map" not in person.get(addresses).text


def test_same_static_ip_in_two_maps_for_the_account_is_a_warning(api: Api) -> None:
    api.result("POST", LEASES, {"ip": "192.0.2.230", "create_map": True})
    (first,) = api.result("GET", MAPS)
    api.result("PATCH", f"{MAPS}/{first['id']}", {"enabled": True})
    body = {"ips": ["192.0.2.230"], "memberships": [{"kind": "account", "identifier": A2}], "enabled": True}
    warnings = api.result("POST", f"{MAPS}/plan", body)["warnings"]
    assert any("192.0.2.230 is a static IP, and also in" in one for one in warnings), warnings


def test_part_of_a_pending_prefix_cannot_be_delegated(api: Api) -> None:
    tenant = api.token("--account", A1)
    pending = api.result("POST", PREFIXES, {"cidr": "198.18.0.0/24", "asn": 64500}, token=tenant)["id"]
    body = {"cidr": "198.18.0.0/25", "delegated_account_id": A2}
    for token in (tenant, api.operator):
        status, code, message = api.refused("POST", f"{PREFIXES}/{pending}/delegations", body, token=token)
        assert (status, code) == (400, 1002)
        assert "198.18.0.0/24 is not approved yet" in message
    api.result("PATCH", f"{PREFIXES}/{pending}", {"approved": "V"})
    made = api.result("POST", f"{PREFIXES}/{pending}/delegations", body, token=tenant)
    assert made["delegated_account_id"] == A2


def test_operator_alone_sees_what_is_odd_about_a_pending_prefix(api: Api) -> None:
    tenant = api.token("--account", A2)
    api.result("POST", f"/accounts/{A2}/addressing/prefixes", {"cidr": "203.0.113.0/25"}, token=tenant)
    with Person(api, api.operator) as person:
        page = person.get(f"/accounts/{A2}/addresses").text
    for words in ("smaller than a /24", "no AS number", "overlaps with space of Acme: 203.0.113.0/24"):
        assert words in page
    assert page.index("no AS number") < page.index(">Approve<")
    with Person(api, tenant) as person:
        page = person.get(f"/accounts/{A2}/addresses").text
    assert "Acme" not in page
    assert "no AS number" not in page
