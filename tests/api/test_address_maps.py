"""Address maps over HTTP: each call takes effect in the next DNS answer, and every rule refuses its case."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.api.server import A1, A2, MI, Z1, Z2, Z3, Api

P = f"/accounts/{A1}/addressing/address_maps"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
ID = re.compile(r"[0-9a-f]{32}")
FALLBACK = ["203.0.113.30"]


@pytest.fixture
def shop(api: Api) -> Any:
    """A map of example.com, disabled; deleted afterwards."""
    made = api.result(
        "POST",
        P,
        {
            "description": "Shop",
            "ips": ["203.0.113.10", "2001:0DB8:100::0010"],
            "memberships": [{"kind": "zone", "identifier": Z1}],
            "default_sni": "*.example.com",
        },
    )
    yield made
    if api.call("GET", f"{P}/{made['id']}").status_code == 200:
        api.result("PATCH", f"{P}/{made['id']}", {"enabled": False})
        api.result("DELETE", f"{P}/{made['id']}")


def test_new_map_follows_the_contract(api: Api, shop: Any) -> None:
    assert ID.fullmatch(shop["id"])
    assert (shop["description"], shop["enabled"], shop["default_sni"]) == ("Shop", False, "*.example.com")
    assert (shop["can_delete"], shop["can_modify_ips"]) == (True, True)
    assert [ip["ip"] for ip in shop["ips"]] == ["203.0.113.10", "2001:db8:100::10"]
    assert [(m["kind"], m["identifier"], m["can_delete"]) for m in shop["memberships"]] == [("zone", Z1, True)]
    times = [shop["created_at"], shop["modified_at"], *(ip["created_at"] for ip in shop["ips"])]
    assert all(TIME.fullmatch(time) for time in times)
    assert api.result("GET", f"{P}/{shop['id']}") == shop
    assert shop in api.result("GET", P)


def test_enabling_and_disabling_show_in_the_next_answer(api: Api, shop: Any) -> None:
    assert api.ask("www.example.com") == FALLBACK
    enabled = api.result("PATCH", f"{P}/{shop['id']}", {"enabled": True})
    assert enabled["enabled"] is True
    assert enabled["modified_at"] > shop["modified_at"]
    assert api.ask("www.example.com") == ["203.0.113.10"]
    assert api.ask("www.example.com", "AAAA") == ["2001:db8:100::10"]
    assert api.ask("www.example.net") == FALLBACK
    api.result("PATCH", f"{P}/{shop['id']}", {"enabled": False})
    assert api.ask("www.example.com") == FALLBACK


def test_addresses_are_added_and_removed(api: Api, shop: Any) -> None:
    path = f"{P}/{shop['id']}"
    api.result("PATCH", path, {"enabled": True})
    for ip in ("203.0.113.11", "203.0.113.11", "2001:0db8:0100:0000:0000:0000:0000:0011", "2001%3Adb8%3A100%3A%3A12"):
        api.result("PUT", f"{path}/ips/{ip}")
    assert api.ask("www.example.com") == ["203.0.113.10", "203.0.113.11"]
    assert api.ask("www.example.com", "AAAA") == ["2001:db8:100::10", "2001:db8:100::11", "2001:db8:100::12"]
    for ip in ("203.0.113.10", "203.0.113.10", "2001:db8:100::11"):
        api.result("DELETE", f"{path}/ips/{ip}")
    assert [one["ip"] for one in api.result("GET", path)["ips"]] == [
        "2001:db8:100::10",
        "203.0.113.11",
        "2001:db8:100::12",
    ]
    assert api.ask("www.example.com") == ["203.0.113.11"]


def test_members_are_added_and_removed(api: Api, shop: Any) -> None:
    path = f"{P}/{shop['id']}"
    api.result("PATCH", path, {"enabled": True})
    api.result("PUT", f"{path}/zones/{Z2}")
    assert api.ask("www.example.net") == ["203.0.113.10"]
    api.result("DELETE", f"{path}/zones/{Z2}")
    assert api.ask("www.example.net") == FALLBACK
    api.result("PUT", f"{path}/accounts/{A1}")
    assert api.ask("www.example.net") == ["203.0.113.10"]
    kinds = [(m["kind"], m["identifier"]) for m in api.result("GET", path)["memberships"]]
    assert kinds == [("zone", Z1), ("account", A1)]
    api.result("DELETE", f"{path}/accounts/{A1}")
    api.result("DELETE", f"{path}/zones/{Z1}")
    assert api.ask("www.example.com") == FALLBACK


def test_texts_are_cleared_by_null_and_by_an_empty_text(api: Api, shop: Any) -> None:
    path = f"{P}/{shop['id']}"
    for text in (None, ""):
        assert api.result("PATCH", path, {"description": text})["description"] is None
    assert api.result("PATCH", path, {"default_sni": ""})["default_sni"] is None
    assert api.result("PATCH", path, {})["enabled"] is False
    assert api.result("PATCH", path, {"description": "Laden — ☂"})["description"] == "Laden — ☂"


def test_empty_body_makes_a_map(api: Api) -> None:
    made = api.result("POST", P, {})
    assert (made["ips"], made["memberships"], made["enabled"]) == ([], [], False)
    assert made["description"] is None, "Terraform takes an empty text for a change"
    assert api.result("PATCH", f"{P}/{made['id']}", {"enabled": True})["enabled"] is True
    api.result("PATCH", f"{P}/{made['id']}", {"enabled": False})
    assert api.result("DELETE", f"{P}/{made['id']}") == []
    assert api.refused("GET", f"{P}/{made['id']}")[:2] == (404, 1000)


RULES = {
    "an address outside every prefix": ("PUT", "{shop}/ips/192.0.2.77", None, 1001, "is outside the account"),
    "an address of another kind": ("PUT", "{shop}/ips/nonsense", None, 1001, "is not an IP address"),
    "a scoped address": ("PUT", "{shop}/ips/fe80::1%25eth0", None, 1001, "is not an IP address"),
    "the last address of a map with members": ("DELETE", "{shop}/ips/203.0.113.10", None, 1002, "last address"),
    "deleting an enabled map": ("DELETE", "{enabled}", None, 1002, "disable it"),
    "a member of a map without addresses": ("PUT", "{empty}/zones/" + Z2, None, 1002, "address first"),
    "a new map with members and no address": (
        "POST",
        "",
        {"memberships": [{"kind": "zone", "identifier": Z1}]},
        1002,
        "address first",
    ),
    "an immutable map's new address": ("PUT", f"/{MI}/ips/203.0.113.31", None, 1002, "immutable"),
    "an immutable map's old address": ("DELETE", f"/{MI}/ips/203.0.113.30", None, 1002, "immutable"),
    "disabling an immutable map": ("PATCH", f"/{MI}", {"enabled": False}, 1002, "immutable"),
    "deleting an immutable map": ("DELETE", f"/{MI}", None, 1002, "immutable"),
    "an immutable map's membership": ("DELETE", f"/{MI}/accounts/{A1}", None, 1002, "immutable"),
    "a zone of an immutable map": ("PUT", f"/{MI}/zones/{Z1}", None, 1001, "account-wide"),
}


@pytest.fixture(scope="module")
def places(api: Api) -> Any:
    member = [{"kind": "zone", "identifier": Z2}]
    bodies = {
        "shop": {"ips": ["203.0.113.10"], "memberships": member},
        "enabled": {"ips": ["203.0.113.10"], "memberships": member, "enabled": True},
        "empty": {},
    }
    made = {name: f"/{api.result('POST', P, body)['id']}" for name, body in bodies.items()}
    yield made
    for path in made.values():
        api.result("PATCH", P + path, {"enabled": False})
        api.result("DELETE", P + path)


@pytest.mark.parametrize("rule", RULES)
def test_rule_is_refused_with_its_code(api: Api, places: dict[str, str], rule: str) -> None:
    method, path, body, code, words = RULES[rule]
    before = api.result("GET", P)
    status, said, message = api.refused(method, P + path.format(**places), body)
    assert (status, said) == (400, code)
    assert words in message
    assert api.result("GET", P) == before


FOREIGN = {
    "a foreign zone as member": ("PUT", "{shop}/zones/" + Z3, None),
    "a foreign account as member": ("PUT", "{shop}/accounts/" + A2, None),
    "a foreign zone in a new map": (
        "POST",
        "",
        {"ips": ["203.0.113.10"], "memberships": [{"kind": "zone", "identifier": Z3}]},
    ),
    "no such map": ("GET", "/" + "0" * 32, None),
    "no such zone": ("PUT", "{shop}/zones/" + "0" * 32, None),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_objects_of_others_are_not_found(api: Api, places: dict[str, str], what: str) -> None:
    method, path, body = FOREIGN[what]
    assert api.refused(method, P + path.format(**places), body)[:2] == (404, 1000)


def test_immutable_map_may_be_described(api: Api) -> None:
    assert api.result("PATCH", f"{P}/{MI}", {"description": "The fallback"})["description"] == "The fallback"
    shown = api.result("GET", f"{P}/{MI}")
    assert (shown["can_delete"], shown["can_modify_ips"]) == (False, False)
    assert shown["memberships"][0]["can_delete"] is False


def test_only_the_operator_makes_immutable_maps(api: Api) -> None:
    tenant = api.token("--account", A1)
    body = {"ips": ["203.0.113.40"], "immutable": True}
    assert api.refused("POST", P, body, token=tenant)[:2] == (400, 1002)
    made = api.result("POST", P, body)
    assert made["can_delete"] is False
    assert api.refused("DELETE", f"{P}/{made['id']}")[:2] == (400, 1002)
    for file in (api.folder / "accounts/acme/maps").glob("*.yaml"):  # only its file can end it
        if made["id"] in file.read_text():
            file.unlink()


def test_one_of_two_writers_with_the_same_tag_wins(api: Api, shop: Any) -> None:
    path = f"{P}/{shop['id']}"
    tag = api.call("GET", path).headers["ETag"]
    first = api.call("PATCH", path, {"description": "first"}, headers={"If-Match": tag})
    assert first.status_code == 200
    assert api.refused("PATCH", path, {"description": "second"}, headers={"If-Match": tag})[:2] == (412, 1003)
    assert api.refused("DELETE", path, headers={"If-Match": tag})[:2] == (412, 1003)
    again = first.headers["ETag"]
    assert api.call("PATCH", path, {"description": "third"}, headers={"If-Match": again}).status_code == 200


def test_hand_written_files_keep_their_comments(api: Api) -> None:
    prefixes = f"/accounts/{A1}/addressing/prefixes"
    made = api.result("POST", prefixes, {"cidr": "198.51.100.128/25", "asn": 64501, "description": "new"})
    text = api.read("acme/account.yaml")
    assert "# Acme, since 2019" in text
    assert "# the old one" in text
    assert made["approved"] == "P"
    api.result("DELETE", f"{prefixes}/{made['id']}")
    assert "198.51.100.128" not in api.read("acme/account.yaml")


def test_prefix_in_use_cannot_be_removed(api: Api) -> None:
    prefixes = f"/accounts/{A1}/addressing/prefixes"
    for one in api.result("GET", prefixes):
        if one["cidr"] == "203.0.113.0/24":
            status, code, message = api.refused("DELETE", f"{prefixes}/{one['id']}")
            assert (status, code) in ((400, 1001), (400, 1002))
            assert "is outside the account" in message
            return
    raise AssertionError("the prefix is gone")


def test_faults_of_all_addresses_are_reported_at_once(api: Api) -> None:
    """Syntax and use of the addresses of a new map, each with its place."""
    ips = ["203.0.113.300", "8.8.8.8", "203.0.113.5", 7, "198.51.100.1"]
    for path in ("address_maps", "address_maps/plan"):
        response = api.call("POST", f"/accounts/{A1}/addressing/{path}", {"ips": ips, "enabled": "yes"})
        found = [(one["source"]["pointer"], one["message"]) for one in response.json()["errors"]]
        assert [place for place, _ in found] == ["/enabled", "/ips/0", "/ips/1", "/ips/3", "/ips/4"]
        assert "is outside the account's prefixes" in found[2][1]
