"""Earlier versions of maps and zones, restoring them, and plans of changes."""

from __future__ import annotations

import json

from tests.api.server import A1, A2, Z1, Z2, Z3, Api
from tests.browser.sessions import Person

P = f"/accounts/{A1}/addressing/address_maps"


def test_map_is_restored_to_a_version_and_after_deletion(api: Api) -> None:
    made = api.result("POST", P, {"description": "one", "ips": ["203.0.113.70"]})
    path = f"{P}/{made['id']}"
    api.result("PATCH", path, {"description": "two"})
    api.result("PUT", f"{path}/ips/203.0.113.71")
    versions = api.result("GET", f"{path}/history")
    assert [one["action"] for one in versions] == ["map.add_ip", "map.edit", "map.create"]
    assert [one["current"] for one in versions] == [True, False, False]
    assert {one["token"] for one in versions} == {"operator"}
    text = api.result("GET", f"{path}/history/{versions[2]['version']}")["text"]
    assert "description: one" in text
    back = api.result("POST", f"{path}/history/{versions[2]['version']}/restore")
    assert (back["id"], back["description"], [ip["ip"] for ip in back["ips"]]) == (made["id"], "one", ["203.0.113.70"])
    api.result("DELETE", path)
    assert api.refused("GET", path)[:2] == (404, 1000)
    assert not any(one["current"] for one in api.result("GET", f"{path}/history"))
    again = api.result("POST", f"{path}/history/{versions[1]['version']}/restore")
    assert (again["id"], again["description"]) == (made["id"], "two")
    api.result("DELETE", path)


def test_restoring_obeys_the_rules(api: Api) -> None:
    made = api.result("POST", P, {"ips": ["203.0.113.72"]})
    path = f"{P}/{made['id']}"
    api.result("PUT", f"{path}/ips/203.0.113.73")
    api.result("PUT", f"{path}/zones/{Z1}")
    tenant = api.token("--account", A2)
    versions = api.result("GET", f"{path}/history")
    assert api.refused("GET", f"{path}/history", token=tenant)[0] == 404
    assert api.refused("POST", f"{path}/history/20200101T000000.000000Z/restore")[:2] == (404, 1000)
    assert api.refused("POST", f"{path}/history/..%2F..%2Ftokens.json/restore")[0] == 404
    api.result("PATCH", path, {"enabled": True})
    old = versions[-1]["version"]
    assert api.result("POST", f"{path}/history/{old}/restore")["enabled"] is False
    api.result("DELETE", path)


def test_zone_edited_by_hand_and_by_request_has_both_versions(api: Api) -> None:
    text = api.read("globex/zones/example.org.yaml")
    record = api.result(
        "POST", f"/zones/{Z3}/dns_records", {"name": "h", "type": "A", "content": "192.0.2.90", "ttl": 60}
    )
    versions = api.result("GET", f"/zones/{Z3}/history")
    assert [one["action"] for one in versions] == ["record.create", "file"]
    assert api.result("GET", f"/zones/{Z3}/history/{versions[1]['version']}")["text"] == text
    assert api.ask("h.example.org") == ["192.0.2.90"]
    api.result("POST", f"/zones/{Z3}/history/{versions[1]['version']}/restore")
    assert api.ask("h.example.org") == []
    assert api.refused("GET", f"/zones/{Z3}/dns_records/{record['id']}")[:2] == (404, 81044)


def test_plan_names_changed_answers_and_changes_nothing(api: Api) -> None:
    before = api.result("GET", P)
    body = {"enabled": True, "ips": ["203.0.113.80"], "memberships": [{"kind": "zone", "identifier": Z2}]}
    plan = api.result("POST", f"{P}/plan", body)
    assert (plan["zones_total"], plan["names_total"]) == (1, 1)
    (zone,) = plan["zones"]
    assert (zone["id"], zone["name"], zone["names"]) == (Z2, "example.net", [{"name": "www.example.net"}])
    assert zone["old"]["A"] == ["203.0.113.30"]
    assert zone["new"] | {"map": None} == {"A": ["203.0.113.80"], "AAAA": [], "map": None}
    assert api.result("GET", P) == before
    assert api.ask("www.example.net") == ["203.0.113.30"]
    assert api.refused("POST", f"{P}/plan", body | {"ips": ["192.0.2.1"]})[:2] == (400, 1001)


def test_plan_of_a_change_and_of_a_deletion(api: Api) -> None:
    body = {"enabled": True, "ips": ["203.0.113.81"], "memberships": [{"kind": "account", "identifier": A1}]}
    made = api.result("POST", P, body)
    names = {zone["name"] for zone in api.result("POST", f"{P}/plan", {"id": made["id"], "enabled": False})["zones"]}
    assert names == {"example.com", "example.net"}
    plan = api.result("POST", f"{P}/plan", {"id": made["id"], "ips": ["203.0.113.81", "203.0.113.82"]})
    assert plan["zones"][0]["new"]["A"] == ["203.0.113.81", "203.0.113.82"]
    assert api.refused("POST", f"{P}/plan", {"id": made["id"], "delete": True})[:2] == (400, 1002)
    assert api.result("POST", f"{P}/plan", {"id": made["id"], "description": "x"})["zones"] == []
    api.result("PATCH", f"{P}/{made['id']}", {"enabled": False})
    assert api.result("POST", f"{P}/plan", {"id": made["id"], "delete": True})["zones_total"] == 0
    api.result("DELETE", f"{P}/{made['id']}")


def test_deleted_zone_comes_back_through_its_account(api: Api) -> None:
    zone = api.result("POST", "/zones", {"name": "gone.test", "account": {"id": A1}})
    body = {"name": "@", "type": "A", "content": "192.0.2.5", "ttl": 60}
    api.result("POST", f"/zones/{zone['id']}/dns_records", body)
    api.result("DELETE", f"/zones/{zone['id']}")
    assert api.reply("gone.test").rcode() == 5
    path = f"/accounts/{A1}/zones/{zone['id']}/history"
    newest = api.result("GET", path)[0]["version"]
    assert api.refused("GET", f"/accounts/{A2}/zones/{zone['id']}/history")[:2] == (404, 1000)
    assert api.result("POST", f"{path}/{newest}/restore")["name"] == "gone.test"
    assert api.ask("gone.test") == ["192.0.2.5"]
    api.result("DELETE", f"/zones/{zone['id']}")


def test_plan_includes_aliases_and_counts_names_of_other_accounts(api: Api) -> None:
    body = {"enabled": True, "ips": ["203.0.113.85"], "memberships": [{"kind": "zone", "identifier": Z1}]}
    records = [
        (Z2, {"name": "app", "type": "CNAME", "content": "www.example.com", "ttl": 60}),
        (Z2, {"name": "flat", "type": "CNAME", "content": "app.example.net", "settings": {"flatten_cname": True}}),
        (Z3, {"name": "partner", "type": "CNAME", "content": "www.example.com", "ttl": 60}),
    ]
    made = [(zone, api.result("POST", f"/zones/{zone}/dns_records", record)["id"]) for zone, record in records]
    before = {name: api.ask(name) for name in ("app.example.net", "flat.example.net", "partner.example.org")}
    plan = api.result("POST", f"{P}/plan", body)
    zones = {zone["name"]: zone for zone in plan["zones"]}
    assert zones.keys() == {"example.com", "example.net"}
    (answers,) = zones["example.net"]["answers"]
    assert answers["names"] == [
        {"name": "app.example.net", "via": "CNAME"},
        {"name": "flat.example.net", "via": "flattened CNAME"},
    ]
    assert (plan["names_total"], plan["names_of_other_accounts"], plan["forgotten_after_s"]) == (3, 1, 300)
    assert "example.org" not in json.dumps(plan)
    assert {name: api.ask(name) for name in before} == before, "nothing has changed"
    map_id = api.result("POST", P, body)["id"]
    for name, old in before.items():
        now = api.ask(name)
        assert now[-1:] == answers["new"]["A"] == ["203.0.113.85"]
        assert old[-1] in answers["old"]["A"]
    api.result("PATCH", f"{P}/{map_id}", {"enabled": False})
    api.result("DELETE", f"{P}/{map_id}")
    for zone, record in made:
        api.result("DELETE", f"/zones/{zone}/dns_records/{record}")


def test_page_of_a_map_restores_no_zone(api: Api) -> None:
    zone = api.result("POST", "/zones", {"name": "kept.test", "account": {"id": A1}})
    api.result("POST", f"/zones/{zone['id']}/dns_records", {"name": "a", "type": "A", "content": "192.0.2.7"})
    first = api.result("GET", f"/accounts/{A1}/zones/{zone['id']}/history")[-1]["version"]
    with Person(api, api.operator) as person:
        page = person.post(f"/accounts/{A1}/maps/{zone['id']}/history/{first}", {})
    assert page.status_code == 404
    assert api.ask("a.kept.test") == ["192.0.2.7"]
