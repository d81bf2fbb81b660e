"""Values in bodies: names without blanks, real booleans; numbers and nulls in the forms that clients send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dnsd.api.routes import ROUTES
from tests.api.server import A1, PREFIX1, Z1, Api
from tests.browser.sessions import Person

RECORDS = f"/zones/{Z1}/dns_records"
MAPS = f"/accounts/{A1}/addressing/address_maps"
M, R = "31" * 16, "41" * 16
FILES = {
    "acme/account.yaml": f"""
id: {A1}
name: Acme
settings: {{enforce_dns_only: no}}
prefixes: [{{id: "{PREFIX1}", cidr: 203.0.113.0/24, approved: V}}]
""",
    "acme/maps/shop.yaml": f'id: "{M}"\nenabled: yes\nips: [203.0.113.10]\n',
    "acme/zones/example.com.yaml": f"""
id: "{Z1}"
settings: {{ipv6: on, flatten_all_cnames: 0}}
paused: off
records:
  - {{id: "{R}", name: www, type: A, content: 192.0.2.1, proxied: yes, settings: {{ipv4_only: "true"}}}}
  - {{name: "a b", type: A, content: 192.0.2.2, ttl: 60}}
""",
    "acme/zones/example.net.zone": "$TTL 300\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nmy\\032printer A 192.0.2.3\n",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("strict"), FILES).running() as api:
        yield api


def errors(api: Api, method: str, path: str, body: Any) -> list[tuple[int, int, str]]:
    """Status, code and pointer of each fault."""
    response = api.call(method, path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert response.status_code == 400, response.text
    return [(response.status_code, one["code"], one["source"]["pointer"]) for one in response.json()["errors"]]


# Names

BLANK = {
    "a blank": "a b",
    "a blank at the beginning": " www",
    "a blank at the end": "www ",
    "a tab": "a\tb",
    "a newline": "a\nb",
    "a control character": "a\x07b",
    "NUL": "a\x00b",
    "DEL": "a\x7fb",
    "a C1 control character": "a\x85b",
    "an escape sequence": "\x1b[2J",
    "a no-break space": "a\xa0b",
    "an ideographic space": "a\u3000b",
    "a zero-width space": "a\u200bb",
    "a right-to-left override": "a\u202eb",
    "an escaped blank": r"a\032b",
    "a blank after a backslash": "a\\ b",
    "an escaped control character": r"a\007b",
    "an escaped DEL": r"a\127b",
    "an escaped backslash before an escaped blank": r"a\\\032b",
    "only blanks": "   ",
}


@pytest.mark.parametrize("name", BLANK.values(), ids=BLANK.keys())
def test_names_with_blanks_or_control_characters_are_refused(api: Api, name: str) -> None:
    record = {"type": "A", "content": "192.0.2.9", "ttl": 60}
    for full in (name, f"{name}.example.com", f"{name}.example.com."):
        assert errors(api, "POST", RECORDS, record | {"name": full}) == [(400, 9000, "/name")]
    assert errors(api, "PUT", f"{RECORDS}/{R}", record | {"name": name}) == [(400, 9000, "/name")]
    assert errors(api, "PATCH", f"{RECORDS}/{R}", {"name": name}) == [(400, 9000, "/name")]
    batch = {"posts": [record | {"name": "good"}, record | {"name": name}]}
    assert errors(api, "POST", f"{RECORDS}/batch", batch) == [(400, 9000, "/posts/1/name")]
    body = {"name": f"{name}.example", "account": {"id": A1}}
    assert errors(api, "POST", "/zones", body) == [(400, 9000, "/name")]


def test_form_of_a_record_refuses_such_a_name(api: Api) -> None:
    form = {"type": "A", "name": "bad name!", "content": "192.0.2.9", "ttl": "1"}
    with Person(api, api.operator) as person:
        page = person.post(f"/zones/{Z1}/records/create", form)
    assert page.status_code == 400
    assert "DNS name is invalid" in page.text
    assert errors(api, "POST", RECORDS, {**form, "ttl": 1}) == [(400, 9000, "/name")]
    assert "bad" not in api.read("acme/zones/example.com.yaml")


GOOD = ["_sip._tcp", "*", "a-b", r"a\.b", r"a\033b", r"a\\032b", "müller", "A", "1", "xn--mller-kva"]


@pytest.mark.parametrize("name", GOOD)
def test_other_names_are_accepted(api: Api, name: str) -> None:
    made = api.result("POST", RECORDS, {"type": "TXT", "name": f"{name}.good", "content": "x"})
    api.result("DELETE", f"{RECORDS}/{made['id']}")


def test_names_with_blanks_in_files_are_served_and_can_be_edited(api: Api) -> None:
    assert api.ask(r"a\032b.example.com") == ["192.0.2.2"]
    assert api.ask(r"my\032printer.example.net") == ["192.0.2.3"]
    (made,) = [one for one in api.result("GET", RECORDS) if one["content"] == "192.0.2.2"]
    path = f"{RECORDS}/{made['id']}"
    assert api.result("PATCH", path, {"comment": "seen"})["name"] == made["name"]
    assert api.result("PATCH", path, {"name": made["name"], "ttl": 120})["ttl"] == 120
    assert errors(api, "PATCH", path, {"name": "a c"}) == [(400, 9000, "/name")]


def test_other_texts_keep_their_code(api: Api) -> None:
    assert errors(api, "POST", RECORDS, {"name": "x", "type": "TXT", "content": "a\x07b"}) == [(400, 1001, "/content")]
    assert errors(api, "POST", MAPS, {"description": "a\x1b[2Jb"}) == [(400, 1001, "/description")]
    assert errors(api, "POST", RECORDS, {"name": "a..b", "type": "A", "content": "192.0.2.1"}) == [(400, 1001, "/name")]


# Booleans

OTHERS = ["yes", "no", "true", "false", "True", "on", "", 1, 0, 1.0, [], {}, [True]]
FLAGS = {
    "map": ("PATCH", f"{MAPS}/{M}", "enabled"),
    "new map": ("POST", MAPS, "enabled"),
    "immutable map": ("POST", MAPS, "immutable"),
    "plan": ("POST", f"{MAPS}/plan", "enabled"),
    "plan of a deletion": ("POST", f"{MAPS}/plan", "delete"),
    "zone": ("PATCH", f"/zones/{Z1}", "paused"),
    "zone's settings": ("PATCH", f"/zones/{Z1}/dns_settings", "flatten_all_cnames"),
    "account's settings": ("PATCH", f"/accounts/{A1}/dns_settings", "enforce_dns_only"),
    "record": ("PATCH", f"{RECORDS}/{R}", "proxied"),
    "record's settings": ("PATCH", f"{RECORDS}/{R}", "settings/ipv4_only"),
    "record's other settings": ("PATCH", f"{RECORDS}/{R}", "settings/ipv6_only"),
    "record's third settings": ("PATCH", f"{RECORDS}/{R}", "settings/flatten_cname"),
}


@pytest.mark.parametrize(("method", "path", "key"), FLAGS.values(), ids=FLAGS.keys())
def test_booleans_are_true_or_false(api: Api, method: str, path: str, key: str) -> None:
    for value in OTHERS:
        body: Any = value
        for step in reversed(key.split("/")):
            body = {step: body}
        found = errors(api, method, path, body)
        assert [one[:2] for one in found] == [(400, 1001)], value
        assert found[0][2].startswith(f"/{key}"), value


def test_every_boolean_of_every_route_is_strict() -> None:
    """Every boolean in every route's body: a lenient field would accept `"yes"` for true from clients."""
    for body in {route.body for route in ROUTES if route.body and route.body_type == "application/json"}:
        for name, field in flags(body.model_json_schema()):
            assert field, f"{body.__name__}: {name}"
            for text in ("yes", "true", "1", 1):
                said = needed(body) | {name: text}
                with pytest.raises(ValueError, match="bool"):
                    body.model_validate(said)


def flags(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, one in schema.get("properties", {}).items():
        kinds = [one, *one.get("anyOf", ())]
        if any(kind.get("type") == "boolean" for kind in kinds):
            yield name, one


def needed(body: Any) -> dict[str, Any]:
    return {"id": "ab" * 16, "name": "x", "type": "A", "value": "on", "cidr": "192.0.2.0/24", "ip": "192.0.2.1"}


def test_true_false_and_null_are_taken(api: Api) -> None:
    assert api.result("PATCH", f"{MAPS}/{M}", {"enabled": False})["enabled"] is False
    assert api.result("PATCH", f"{MAPS}/{M}", {"enabled": None})["enabled"] is False
    assert api.result("PATCH", f"{MAPS}/{M}", {"enabled": True})["enabled"] is True
    assert api.result("PATCH", f"/zones/{Z1}", {"paused": None})["paused"] is False


def test_numbers_and_nulls_are_as_clients_send_them(api: Api) -> None:
    body = {"type": "SRV", "name": "_n._tcp", "ttl": "7200", "content": None, "tags": None, "proxied": None}
    data = {"port": "5060", "weight": 5.0, "priority": "1", "target": "sip.example.com."}
    made = api.result("POST", RECORDS, body | {"data": data, "settings": {"ipv4_only": None}})
    assert (made["ttl"], made["data"]["port"], made["priority"]) == (7200, 5060, 1)
    assert api.result("PATCH", f"{RECORDS}/{made['id']}", {"ttl": 120.0})["ttl"] == 120


def test_scalars_of_files_stay_lenient(api: Api) -> None:
    """YAML's `yes`, `off` and the like, accepted at the start."""
    assert api.result("GET", f"{RECORDS}/{R}")["proxied"] is True
    assert api.result("GET", f"{RECORDS}/{R}")["settings"] == {"ipv4_only": True}
    assert api.result("GET", f"/zones/{Z1}")["paused"] is False


def test_proxied_of_an_import_is_a_text(api: Api) -> None:
    files = {"file": (None, "imp 60 IN A 203.0.113.77\n"), "proxied": (None, "true")}
    assert api.result("POST", f"{RECORDS}/import", files=files)["recs_added"] == 1
    (made,) = [one for one in api.result("GET", RECORDS) if one["name"] == "imp.example.com"]
    assert made["proxied"] is True


NO_BOOLEANS = {
    "yes": "yes",
    "a digit": "1",
    "another word": "proxied",
    "two words": "true false",
    "JSON": '"true"',
}


@pytest.mark.parametrize("text", NO_BOOLEANS.values(), ids=NO_BOOLEANS.keys())
def test_proxied_of_an_import_is_true_or_false(api: Api, text: str) -> None:
    """Otherwise records meant to be proxied would reveal their origin."""
    files = {"file": (None, "no 60 IN A 203.0.113.78\n"), "proxied": (None, text)}
    response = api.call("POST", f"{RECORDS}/import", files=files)
    (error,) = response.json()["errors"]
    assert (response.status_code, error["code"], error["source"]["pointer"]) == (400, 1001, "/proxied")
    assert repr(text) in error["message"]
    assert not [one for one in api.result("GET", RECORDS) if one["name"] == "no.example.com"]


@pytest.mark.parametrize("text", ["", "True", "FALSE", " false "])
def test_proxied_of_an_import_may_be_written_in_any_case(api: Api, text: str) -> None:
    """Booleans as programs print them, and empty values as forms send them."""
    name = f"any{len(text)}"
    files = {"file": (None, f"{name} 60 IN A 203.0.113.79\n"), "proxied": (None, text)}
    assert api.result("POST", f"{RECORDS}/import", files=files)["recs_added"] == 1
    (made,) = [one for one in api.result("GET", RECORDS) if one["name"] == f"{name}.example.com"]
    assert made["proxied"] is (text == "True")
