"""Zones created by tenants are not verified, and only the operator can verify them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.server import A1, A2, FILES, Z1, Api
from tests.api.test_manage_commands import done
from tests.browser.sessions import Person

LEADING = """
name: leads.example
records:
  - {name: ext, type: CNAME, content: host.partner.test, ttl: 900}
  - {name: flat, type: CNAME, content: host.partner.test, ttl: 900, settings: {flatten_cname: true}}
  - {name: d, type: DNAME, content: partner.test, ttl: 900}
  - {name: old, type: CNAME, content: host.master.test, ttl: 900}
"""
MASTER = """\
; kept by hand
@ 3600 IN SOA ns1.example.net. hostmaster.master.test. 7 10000 2400 604800 300
@ 3600 IN NS ns1.example.net.
host 60 IN A 198.18.4.4
"""
ALIASES = ["host.partner.test."]
ADDRESS = "198.18.2.66"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    files = {**FILES, "acme/zones/leads.example.yaml": LEADING, "globex/zones/master.test.zone": MASTER}
    with Api(tmp_path_factory.mktemp("verification"), files).running() as api:
        yield api


@pytest.fixture(scope="module")
def globex(api: Api) -> str:
    return api.token("--account", A2)


@pytest.fixture
def partner(api: Api, globex: str) -> Iterator[str]:
    """The id of a tenant's zone that names of another account lead to."""
    zone_id = api.result("POST", "/zones", {"name": "partner.test"}, token=globex)["id"]
    body = {"name": "host", "type": "A", "content": ADDRESS, "ttl": 60}
    api.result("POST", f"/zones/{zone_id}/dns_records", body, token=globex)
    yield zone_id
    if api.call("GET", f"/zones/{zone_id}").status_code == 200:
        api.result("DELETE", f"/zones/{zone_id}")


def answers(api: Api) -> tuple[list[str], list[str], int, list[str]]:
    """The answers of the other account's names: by CNAME, flattened with its rcode, and by DNAME."""
    return (
        api.ask("ext.leads.example"),
        api.ask("flat.leads.example"),
        int(api.reply("flat.leads.example").rcode()),
        api.ask("host.d.leads.example")[1:],
    )


CLOSED = (ALIASES, [], 2, ALIASES)
OPEN = ([*ALIASES, ADDRESS], [ADDRESS], 0, [*ALIASES, ADDRESS])


def is_verified(api: Api, zone_id: str) -> bool:
    shown: bool = api.result("GET", f"/zones/{zone_id}")["verified"]
    return shown


def test_zone_created_by_a_tenant_is_not_verified_and_the_message_says_so(api: Api, globex: str) -> None:
    response = api.call("POST", "/zones", {"name": "Fresh.test"}, token=globex).json()
    assert response["result"]["verified"] is False
    (message,) = (one["message"] for one in response["messages"])
    assert message.startswith("fresh.test is not verified: ")
    assert "CNAMEs and DNAMEs from other accounts' zones into it are not followed" in message
    assert "verified: false\n" in api.read("globex/zones/fresh.test.yaml")
    api.result("DELETE", f"/zones/{response['result']['id']}", token=globex)


@pytest.mark.parametrize("limits", [("--permission", "zones:edit"), ("--account", A1, "--account", A2)])
def test_zone_of_a_limited_token_is_not_verified(api: Api, limits: tuple[str, ...]) -> None:
    token = api.token(*limits)
    made = api.result("POST", "/zones", {"name": "limited.test", "account": {"id": A2}}, token=token)
    assert made["verified"] is False
    api.result("DELETE", f"/zones/{made['id']}", token=token)


def test_zone_created_by_the_operator_is_verified(api: Api) -> None:
    response = api.call("POST", "/zones", {"name": "ours.test", "account": {"id": A2}}).json()
    assert (response["result"]["verified"], response["messages"]) == (True, [])
    assert "verified" not in api.read("globex/zones/ours.test.yaml")
    api.result("DELETE", f"/zones/{response['result']['id']}")


def test_other_accounts_aliases_are_followed_once_it_is_verified(api: Api, partner: str) -> None:
    assert answers(api) == CLOSED
    assert api.ask("host.partner.test") == [ADDRESS]
    assert api.result("PATCH", f"/zones/{partner}", {"verified": True})["verified"] is True
    assert answers(api) == OPEN
    assert api.result("PATCH", f"/zones/{partner}", {"verified": False})["verified"] is False
    assert answers(api) == CLOSED


def test_operator_deletes_the_line(api: Api, partner: str) -> None:
    text = api.read("globex/zones/partner.test.yaml")
    api.write("globex/zones/partner.test.yaml", text.replace("verified: false\n", ""))
    body = {"name": "any", "type": "A", "content": "192.0.2.7", "ttl": 60}
    api.result("POST", f"/zones/{partner}/dns_records", body)  # edits are loaded first
    assert is_verified(api, partner)
    assert answers(api) == OPEN


def test_tenant_cannot_set_verified(api: Api, globex: str, partner: str) -> None:
    for body in ({"verified": True}, {"verified": True, "paused": True}):
        response = api.call("PATCH", f"/zones/{partner}", body, token=globex)
        (error,) = response.json()["errors"]
        assert (response.status_code, error["code"], error["source"]["pointer"]) == (400, 1002, "/verified")
    assert api.result("PATCH", f"/zones/{partner}", {"verified": False, "paused": True}, token=globex)["paused"] is True
    api.result("PATCH", f"/zones/{partner}", {"verified": True})
    assert api.refused("PATCH", f"/zones/{partner}", {"verified": False}, token=globex)[:2] == (400, 1002)
    assert (
        api.result("PATCH", f"/zones/{partner}", {"verified": True, "paused": False}, token=globex)["verified"] is True
    )


def writes(api: Api, globex: str, zone_id: str) -> None:
    """Every kind of change that a tenant may make."""
    records = f"/zones/{zone_id}/dns_records"
    record = api.result("POST", records, {"name": "w", "type": "A", "content": "192.0.2.8", "ttl": 60}, token=globex)
    proxied = {"posts": [{"name": "p", "type": "A", "content": "192.0.2.9", "proxied": True}]}
    api.result("POST", f"{records}/batch", proxied, token=globex)
    api.result("PATCH", f"{records}/{record['id']}", {"comment": "verified: true"}, token=globex)
    text = "$ORIGIN partner.test.\nverified 60 IN TXT true\n"
    api.result("POST", f"{records}/import", files={"file": (None, text)}, token=globex)
    api.result("PATCH", f"/zones/{zone_id}/settings/ipv6", {"value": "off"}, token=globex)
    api.result("PATCH", f"/zones/{zone_id}/dns_settings", {"flatten_all_cnames": True}, token=globex)
    api.call("PUT", f"/zones/{zone_id}/activation_check", token=globex)
    api.result("DELETE", f"{records}/{record['id']}", token=globex)


def test_no_write_verifies_it(api: Api, globex: str, partner: str) -> None:
    writes(api, globex, partner)
    assert not is_verified(api, partner)
    assert answers(api) == CLOSED


def test_recreated_zone_is_not_verified(api: Api, globex: str, partner: str) -> None:
    api.result("PATCH", f"/zones/{partner}", {"verified": True})
    api.result("DELETE", f"/zones/{partner}", token=globex)
    made = api.result("POST", "/zones", {"name": "partner.test"}, token=globex)
    assert made["id"] == partner
    body = {"name": "host", "type": "A", "content": ADDRESS, "ttl": 60}
    api.result("POST", f"/zones/{partner}/dns_records", body, token=globex)
    assert answers(api) == CLOSED


def versions(api: Api, zone_id: str, token: str) -> dict[bool, str]:
    """A version of the zone with `verified: false`, and one without."""
    path = f"/accounts/{A2}/zones/{zone_id}/history"
    found = [one["version"] for one in api.result("GET", path, token=token)]
    texts = {one: api.result("GET", f"{path}/{one}", token=token)["text"] for one in found}
    return {"verified: false" not in text: version for version, text in texts.items()}


@pytest.mark.parametrize("where", ["there", "gone"])
def test_restored_version_does_not_count_as_verified_by_the_operator(
    api: Api, globex: str, partner: str, where: str
) -> None:
    api.result("PATCH", f"/zones/{partner}", {"verified": True})
    api.result("PATCH", f"/zones/{partner}", {"paused": True})
    api.result("PATCH", f"/zones/{partner}", {"paused": False, "verified": False})
    known = versions(api, partner, globex)
    assert known.keys() == {True, False}
    if where == "gone":
        api.result("DELETE", f"/zones/{partner}", token=globex)
    path = f"/accounts/{A2}/zones/{partner}/history/{known[True]}/restore"
    response = api.call("POST", path, token=globex).json()
    assert response["result"]["verified"] is False
    assert len(response["messages"]) == 1
    assert answers(api)[0] == ALIASES


def test_restored_version_keeps_the_verification(api: Api, globex: str, partner: str) -> None:
    known = versions(api, partner, globex)
    api.result("PATCH", f"/zones/{partner}", {"verified": True})
    for token in (globex, api.operator):
        api.result("POST", f"/zones/{partner}/history/{known[False]}/restore", token=token)
        assert is_verified(api, partner)


def test_operator_brings_a_zone_back_as_it_was(api: Api, partner: str) -> None:
    api.result("PATCH", f"/zones/{partner}", {"verified": True})
    known = versions(api, partner, api.operator)
    for verified, version in known.items():
        api.result("DELETE", f"/zones/{partner}")
        restored = api.result("POST", f"/accounts/{A2}/zones/{partner}/history/{version}/restore")
        assert restored["verified"] is verified


def test_master_file_restored_by_a_tenant_becomes_yaml_with_verified_false(api: Api, globex: str) -> None:
    (zone,) = api.result("GET", "/zones?name=master.test")
    assert zone["verified"] is True
    body = {"name": "more", "type": "A", "content": "198.18.4.5", "ttl": 60}
    api.result("POST", f"/zones/{zone['id']}/dns_records", body, token=globex)
    assert api.ask("old.leads.example") == ["host.master.test.", "198.18.4.4"]
    version = api.result("GET", f"/zones/{zone['id']}/history", token=globex)[0]["version"]
    api.result("DELETE", f"/zones/{zone['id']}", token=globex)
    path = f"/accounts/{A2}/zones/{zone['id']}/history/{version}/restore"
    assert api.result("POST", path, token=globex)["verified"] is False
    assert api.ask("old.leads.example") == ["host.master.test."]
    assert (api.ask("host.master.test"), api.ask("more.master.test")) == (["198.18.4.4"], ["198.18.4.5"])
    text = api.read("globex/zones/master.test.yaml")
    assert "verified: false\n" in text
    assert "# kept by hand\n" in text
    again = api.result("GET", f"/zones/{zone['id']}/history", token=globex)
    # The same version again, while the zone is a YAML file.
    api.result("POST", f"/zones/{zone['id']}/history/{version}/restore", token=globex)
    assert not is_verified(api, zone["id"])
    assert again[0]["current"]
    api.result("PATCH", f"/zones/{zone['id']}", {"verified": True})
    restored = api.result("POST", f"/zones/{zone['id']}/history/{version}/restore", token=globex)
    assert restored["verified"] is True
    assert api.read("globex/zones/master.test.zone").startswith("; kept by hand\n")


def test_operator_marks_a_master_file_as_unverified(api: Api) -> None:
    (zone,) = api.result("GET", "/zones?name=master.test")
    assert api.result("PATCH", f"/zones/{zone['id']}", {"verified": False})["verified"] is False
    assert "verified: false\n" in api.read("globex/zones/master.test.yaml")
    assert api.ask("old.leads.example") == ["host.master.test."]
    api.result("PATCH", f"/zones/{zone['id']}", {"verified": True})


def test_zone_of_a_tenant_lies_neither_in_nor_around_another_account_s(api: Api, globex: str) -> None:
    for name in ("sub.leads.example", "deep.er.leads.example", "example"):
        assert api.refused("POST", "/zones", {"name": name}, token=globex)[:2] == (400, 1002)


def test_flattened_record_with_that_target_is_refused(api: Api, partner: str) -> None:
    acme = api.token("--account", A1)
    body: Any = {"name": "f", "type": "CNAME", "content": "host.partner.test", "settings": {"flatten_cname": True}}
    status, code, message = api.refused("POST", f"/zones/{Z1}/dns_records", body, token=acme)
    assert (status, code) == (400, 1001)
    assert "host.partner.test leads outside" in message
    api.result("PATCH", f"/zones/{partner}", {"verified": True})
    made = api.result("POST", f"/zones/{Z1}/dns_records", body, token=acme)
    api.result("DELETE", f"/zones/{Z1}/dns_records/{made['id']}", token=acme)


def test_commands_show_it_and_verify(api: Api, partner: str) -> None:
    env = {"DNSD_API_URL": api.origin, "DNSD_API_TOKEN": api.operator}
    assert "active, not verified" in done(api, "zone", "show", "partner.test", env=env)
    (line,) = (line for line in done(api, "zone", "list", env=env).splitlines() if "partner.test" in line)
    assert line.endswith("active  not verified")
    assert done(api, "zone", "verify", "partner.test", env=env) == f"verified {partner} (partner.test)\n"
    assert "verified" not in done(api, "zone", "show", "partner.test", env=env)
    assert answers(api) == OPEN


def test_page_shows_it_and_only_the_operator_can_verify(api: Api, globex: str, partner: str) -> None:
    path = f"/zones/{partner}"
    with Person(api, globex) as tenant, Person(api, api.operator) as operator:
        shown = tenant.get(path).text
        assert "is not verified: DNS answers for its names, but CNAMEs and DNAMEs" in shown
        assert f"{path}/verify" not in shown
        assert tenant.post(f"{path}/verify", {}).status_code == 403
        assert "active, not verified" in tenant.get("/zones").text
        assert not is_verified(api, partner)
        assert f"{path}/verify" in operator.get(path).text
        assert operator.post(f"{path}/verify", {}).status_code == 303
        assert is_verified(api, partner)
        assert "not verified" not in operator.get(path).text


def test_explain_page_shows_why_an_alias_is_not_followed(api: Api, partner: str) -> None:
    with Person(api, api.token("--account", A1)) as tenant:
        shown = tenant.get("/explain?name=ext.leads.example&type=A").text
        assert "not followed: the zone partner.test belongs to another account and is not verified" in shown
        assert "globex" not in shown.lower()
        assert ADDRESS not in shown
