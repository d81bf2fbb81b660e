"""Operators make immutable maps on the dashboard, and see and set whether an account may use the default pool."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.server import A1, A2, Api
from tests.browser.sessions import Person

MAPS = f"/accounts/{A1}/maps"
POOL = f"/accounts/{A1}/pool"
FORM = {"scope": "immutable", "ips": "203.0.113.40\n2001:db8:100::40", "description": "Fallback", "enabled": "on"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with Api(tmp_path).running() as running:
        yield running


def steps(person: Person) -> list[str]:
    """The pages of making an immutable map, the last one deployed."""
    number = "ab" * 16
    pages = []
    for at, do in (("scope", "members"), ("members", "name"), ("name", "review"), ("review", "deploy")):
        page = person.post(f"{MAPS}/create", {**FORM, "number": number, "step": at, "do": do})
        pages.append(page.text if page.status_code != 303 else person.get(page.headers["location"]).text)
    return pages


def test_operator_makes_an_immutable_map(api: Api) -> None:
    with Person(api, api.operator) as person:
        assert 'value="immutable"' in person.get(f"{MAPS}/create").text
        members, _, review, deployed = steps(person)
        assert 'name="scope" value="immutable"' in members
        assert "in place of the default pool" in review
        assert "<code>pool: never</code>" in review
        assert "Why this map is locked" in deployed
        assert "Never answered from the default pool" in person.get(MAPS).text
    assert "\npool: never" in api.read("acme/account.yaml")
    assert api.ask("www.example.com") == ["203.0.113.40"]
    (made,) = api.result("GET", f"/accounts/{A1}/addressing/address_maps")
    assert (made["can_delete"], made["can_modify_ips"]) == (False, False)


def test_customer_is_not_offered_an_immutable_map_and_is_refused_one(api: Api) -> None:
    with Person(api, api.token("--account", A1)) as person:
        assert 'value="immutable"' not in person.get(f"{MAPS}/create").text
        assert "only the operator can create immutable maps" in steps(person)[-1].lower()
        assert "Only the server's operator can change this" in person.get(POOL).text
        assert 'name="pool"' not in person.get(POOL).text
        assert person.post(POOL, {"pool": "allowed"}).status_code == 403
    assert api.result("GET", f"/accounts/{A1}/addressing/address_maps") == []


def test_operator_sets_whether_the_pool_may_answer(api: Api) -> None:
    with Person(api, api.operator) as person:
        refused = person.post(POOL, {"pool": "never"})
        assert refused.status_code == 400
        assert "needs an enabled account-wide map" in refused.text
        steps(person)
        assert re.search(r'value="never" checked', person.get(POOL).text)
        assert person.post(POOL, {"pool": "allowed"}).status_code == 303
        assert "\npool: allowed" in api.read("acme/account.yaml")
        page = person.get(MAPS).text
        assert "Never answered from the default pool" not in page
        assert "Bar the account from the pool" in page
        assert person.post(POOL, {"pool": "no"}).status_code == 400
        assert person.post(f"/accounts/{A2}/pool", {"pool": "never"}).status_code == 400
