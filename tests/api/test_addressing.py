"""Prefixes over HTTP beside maps: BGP prefixes and their declared state, bindings, services, leases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.server import A1, A2, PREFIX1, Api

ROOT = f"/accounts/{A1}/addressing"
PREFIXES = f"{ROOT}/prefixes"
PREFIX = f"{PREFIXES}/{PREFIX1}"
BGP = f"{PREFIX}/bgp/prefixes"
STATUS = f"{PREFIX}/bgp/status"
USED = "203.0.113.30"  # of the account's immutable map


@pytest.fixture(scope="module")
def tenant(api: Api) -> str:
    return api.token("--account", "acme")


@pytest.fixture
def bgp(api: Api) -> Iterator[Any]:
    """A BGP prefix of the whole prefix, withdrawn; deleted afterwards."""
    made = api.result("POST", BGP, {"cidr": "203.0.113.0/24"})
    yield made
    if api.call("GET", f"{BGP}/{made['id']}").is_success:
        api.result("PATCH", f"{BGP}/{made['id']}", {"on_demand": {"advertised": False}}, params={"force": "true"})
        api.result("DELETE", f"{BGP}/{made['id']}", params={"force": "true"})


def test_new_prefix_is_created_with_201_and_its_validation_is_pending(api: Api) -> None:
    body = {"cidr": "198.51.100.0/24", "asn": 64510, "delegate_loa_creation": True}
    response = api.call("POST", PREFIXES, body)
    assert response.status_code == 201
    made = response.json()["result"]
    assert (made["approved"], made["delegate_loa_creation"]) == ("P", True)
    assert (made["advertised"], made["advertised_modified_at"], made["on_demand_enabled"]) == (None, None, False)
    assert {made[f"{what}_validation_state"] for what in ("irr", "rpki", "ownership")} == {"pending"}
    assert made["ownership_validation_token"]
    assert "delegate_loa_creation: true" in api.read("acme/account.yaml")
    other = api.result("POST", f"/accounts/{A2}/addressing/prefixes", {"cidr": "198.51.100.0/24"})
    assert other["ownership_validation_token"] != made["ownership_validation_token"]
    edited = api.result("PATCH", f"{PREFIXES}/{made['id']}", {"delegate_loa_creation": False})
    assert edited["delegate_loa_creation"] is False
    assert edited["description"] is None
    api.result("DELETE", f"{PREFIXES}/{made['id']}")
    api.result("DELETE", f"/accounts/{A2}/addressing/prefixes/{other['id']}")


def test_bgp_prefix_starts_withdrawn_and_is_advertised_on_demand(api: Api, bgp: Any, tenant: str) -> None:
    assert bgp["on_demand"]["advertised"] is False
    assert (bgp["asn"], bgp["asn_prepend_count"], bgp["auto_advertise_withdraw"]) == (64500, 0, False)
    assert bgp["bgp_signal_opts"] == {"enabled": False, "modified_at": None}
    assert api.result("GET", BGP) == [bgp]
    assert api.result("GET", STATUS)["advertised"] is False
    path = f"{BGP}/{bgp['id']}"
    edited = api.result("PATCH", path, {"on_demand": {"advertised": True}}, token=tenant)
    assert edited["on_demand"]["advertised"] is True
    assert edited["on_demand"]["advertised_modified_at"] > bgp["on_demand"]["advertised_modified_at"]
    prepended = api.result("PATCH", path, {"asn_prepend_count": 2, "auto_advertise_withdraw": True}, token=tenant)
    assert (prepended["asn_prepend_count"], prepended["auto_advertise_withdraw"]) == (2, True)
    assert prepended["on_demand"] == edited["on_demand"]
    assert prepended["modified_at"] > edited["modified_at"]
    assert api.result("GET", path) == prepended
    prefix = api.result("GET", PREFIX)
    assert (prefix["advertised"], prefix["on_demand_enabled"]) == (True, True)
    assert prefix["advertised_modified_at"] == edited["on_demand"]["advertised_modified_at"]


def test_withdrawing_what_maps_answer_with_is_refused_unless_forced(api: Api, bgp: Any) -> None:
    path = f"{BGP}/{bgp['id']}"
    api.result("PATCH", path, {"on_demand": {"advertised": True}})
    requests: list[tuple[str, str, Any]] = [
        ("PATCH", path, {"on_demand": {"advertised": False}}),
        ("PATCH", STATUS, {"advertised": False}),
        ("PATCH", PREFIX, {"advertised": False}),
    ]
    for method, where, body in requests:
        status, code, message = api.refused(method, where, body)
        assert (status, code) == (400, 1002), where
        assert "example.com, example.net" in message
        assert api.result("GET", path)["on_demand"]["advertised"] is True
        assert api.refused(method, where, body, params={"force": "perhaps"})[:2] == (400, 1001)
    assert "withdraw it before" in api.refused("DELETE", path, params={"force": "true"})[2]
    before = api.ask("www.example.com")
    for method, where, body in requests:
        api.result(method, where, body, params={"force": "true"})
        assert api.result("GET", STATUS)["advertised"] is False
        assert api.result("GET", PREFIX)["advertised"] is False
        api.result("PATCH", STATUS, {"advertised": True})
    api.result("PATCH", STATUS, {"advertised": False}, params={"force": "true"})
    assert api.ask("www.example.com") == before == [USED]  # declared states change no answer
    assert "maps answer" in api.refused("DELETE", path)[2]
    api.result("DELETE", path, params={"force": "true"})
    assert api.result("GET", BGP) == []


def test_status_of_a_prefix_without_routes_is_unknown_and_setting_it_makes_one(api: Api) -> None:
    assert api.result("GET", STATUS) == {"advertised": None, "advertised_modified_at": None}
    assert api.result("PATCH", STATUS, {"advertised": True})["advertised"] is True
    (made,) = api.result("GET", BGP)
    assert made["cidr"] == "203.0.113.0/24"
    api.result("PATCH", STATUS, {"advertised": False}, params={"force": "true"})
    api.result("DELETE", f"{BGP}/{made['id']}", params={"force": "true"})


def test_pending_prefix_has_no_routes_to_declare(api: Api, tenant: str) -> None:
    made = api.result("POST", PREFIXES, {"cidr": "198.51.100.0/24"}, token=tenant)
    path = f"{PREFIXES}/{made['id']}"
    for where, body in ((f"{path}/bgp/status", {"advertised": False}), (path, {"advertised": False})):
        for token in (tenant, None):
            status, code, message = api.refused("PATCH", where, body, token=token)
            assert (status, code) == (400, 1002), where
            assert message == "198.51.100.0/24 is not approved yet: it has no routes to declare"
    assert api.result("GET", f"{path}/bgp/prefixes") == []
    approved = api.result("PATCH", path, {"approved": "V", "advertised": True})  # in one request
    assert (approved["approved"], approved["advertised"]) == ("V", True)
    api.result("PATCH", path, {"approved": "P"})
    assert api.result("PATCH", f"{path}/bgp/status", {"advertised": False}, token=tenant)["advertised"] is False
    api.result("DELETE", path)


REFUSED = {
    "a BGP prefix outside of the prefix": ("POST", BGP, {"cidr": "198.51.100.0/24"}, "lies outside"),
    "the same one again": ("POST", BGP, {"cidr": "203.0.113.0/24"}, "listed twice"),
    "one with host bits": ("POST", BGP, {"cidr": "203.0.113.1/24"}, "host bits"),
    "a state that is no truth value": ("PATCH", STATUS, {"advertised": "no"}, "expected true or false"),
    "no state": ("PATCH", STATUS, {}, "is missing"),
    "too many prepends": ("PATCH", f"{BGP}/{{bgp}}", {"asn_prepend_count": 11}, "from 0 to 10"),
    "an unknown service": ("POST", f"{PREFIX}/bindings", {"cidr": "203.0.113.0/24", "service_id": "x"}, "no service"),
    "a binding outside of the prefix": ("POST", f"{PREFIX}/bindings", {"cidr": "192.0.2.0/24"}, "is missing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_request_names_its_field(api: Api, bgp: Any, case: str) -> None:
    method, path, body, expected = REFUSED[case]
    status, _, message = api.refused(method, path.format(bgp=bgp["id"]), body)
    assert status in (400, 404)
    assert expected in message


def test_tenant_cannot_lock_or_change_a_locked_route(api: Api, bgp: Any, tenant: str) -> None:
    path, lock = f"{BGP}/{bgp['id']}", {"on_demand": {"on_demand_locked": True}}
    assert api.refused("PATCH", path, lock, token=tenant)[:2] == (400, 1002)
    assert api.result("PATCH", path, lock)["on_demand"]["on_demand_locked"] is True
    for method, where, body in (
        ("PATCH", path, {"on_demand": {"advertised": True}}),
        ("PATCH", STATUS, {"advertised": True}),
        ("DELETE", path, None),
    ):
        assert "locked" in api.refused(method, where, body, params={"force": "true"}, token=tenant)[2]
    assert api.result("GET", PREFIX)["on_demand_locked"] is True


def test_bindings_are_kept_and_change_no_answer(api: Api) -> None:
    services = {one["name"]: one["id"] for one in api.result("GET", f"{ROOT}/services")}
    assert services.keys() == {"CDN", "Spectrum", "Magic Transit"}
    before = api.ask("www.example.com")
    response = api.call("POST", f"{PREFIX}/bindings", {"cidr": "203.0.113.0/24", "service_id": services["Spectrum"]})
    assert response.status_code == 201
    made = response.json()["result"]
    assert (made["service_id"], made["service_name"]) == (services["Spectrum"], "Spectrum")
    assert made["provisioning"] == {"state": "active"}
    assert api.result("GET", f"{PREFIX}/bindings") == [made]
    assert api.result("GET", f"{PREFIX}/bindings/{made['id']}") == made
    assert api.ask("www.example.com") == before
    api.result("DELETE", f"{PREFIX}/bindings/{made['id']}")
    assert api.result("GET", f"{PREFIX}/bindings") == []
    assert api.refused("GET", f"{PREFIX}/bindings/{made['id']}")[:2] == (404, 1000)


def test_leases_have_cloudflares_fields(api: Api) -> None:
    (lease,) = api.result("GET", f"{ROOT}/leases")
    assert (lease["owner_id"], lease["cidrs"], lease["ip"]) == (A1, ["192.0.2.200/32"], "192.0.2.200")
    assert lease["active_from"] == lease["created_at"] == lease["modified_at"]


def test_hand_written_routes_get_ids_that_stay(tmp_path: Path) -> None:
    text = f"""
id: {A1}
prefixes:
  - cidr: "2001:db8:7::/48"   # ours
    approved: V
    bgp_prefixes:
      - {{cidr: "2001:db8:7::/48", advertised: true}}    # since May
      - {{cidr: "2001:db8:7:8000::/49", advertised: false}}
    bindings: [{{cidr: "2001:db8:7::/48", service: CDN}}]
"""
    with Api(tmp_path, {"umbrella/account.yaml": text}).running() as api:
        (prefix,) = api.result("GET", PREFIXES)
        path = f"{PREFIXES}/{prefix['id']}/bgp/prefixes"
        first, second = api.result("GET", path)
        assert prefix["advertised"] is False  # not all of it
        api.result("PATCH", f"{path}/{second['id']}", {"on_demand": {"advertised": True}})
        assert [one["id"] for one in api.result("GET", path)] == [first["id"], second["id"]]
        assert api.result("GET", f"{PREFIXES}/{prefix['id']}")["advertised"] is True
        assert "# since May" in api.read("umbrella/account.yaml")
        (binding,) = api.result("GET", f"{PREFIXES}/{prefix['id']}/bindings")
        assert binding["service_name"] == "CDN"
