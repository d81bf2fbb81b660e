"""Memberships: one for each account that a token covers, in a paged list and by id."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.server import A1, A2, Z1, Api

A3 = "a3" * 16
FILES = {
    "acme/account.yaml": f"id: {A1}\nname: Acme\n",
    "acme/zones/example.com.yaml": f'id: "{Z1}"\n',
    "globex/account.yaml": f"id: {A2}\nname: Globex\n",
    "umbrella/account.yaml": f"id: {A3}\nname: Umbrella of Acme\n",
}
ID = re.compile(r"[0-9a-f]{32}")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("memberships"), FILES).running() as api:
        yield api


def accounts_of(found: list[dict[str, Any]]) -> list[str]:
    return [one["account"]["id"] for one in found]


def test_operator_s_token_is_a_member_of_all_accounts(api: Api) -> None:
    said = api.call("GET", "/memberships?page=1&per_page=50").json()
    assert accounts_of(said["result"]) == [A1, A2, A3]
    assert [one["account"]["name"] for one in said["result"]] == ["Acme", "Globex", "Umbrella of Acme"]
    assert all(ID.fullmatch(one["id"]) and one["status"] == "accepted" and one["roles"] for one in said["result"])
    assert len({one["id"] for one in said["result"]}) == 3
    expected = {"page": 1, "per_page": 50, "count": 3, "total_count": 3, "total_pages": 1}
    assert said["result_info"] == expected


def test_libcloud_finds_the_one_account_of_its_token(api: Api) -> None:
    token = api.token("--account", "globex", "--permission", "zones:edit", "--permission", "dns:edit")
    found = api.result("GET", "/memberships?page=1&per_page=50", token=token)
    assert accounts_of(found) == [A2]
    body = {"name": "libcloud.example", "account": {"id": found[0]["account"]["id"]}, "jump_start": False}
    made = api.result("POST", "/zones", body, token=token)
    assert made["account"] == {"id": A2, "name": "Globex"}
    api.result("DELETE", f"/zones/{made['id']}", token=token)


def test_membership_by_id_equals_the_listed_one(api: Api) -> None:
    first, second = api.result("GET", "/memberships?per_page=2")
    assert api.result("GET", f"/memberships/{first['id']}") == first
    token = api.token("--account", "globex")
    assert api.result("GET", f"/memberships/{second['id']}", token=token)["account"]["id"] == A2
    assert api.refused("GET", f"/memberships/{first['id']}", token=token)[:2] == (404, 1000)
    assert api.refused("GET", f"/memberships/{A1}")[:2] == (404, 1000)
    assert api.refused("GET", "/memberships/acme")[:2] == (404, 7003)


QUERIES = {
    "pages": ("per_page=2&page=2", [A3]),
    "past the end": ("per_page=2&page=3", []),
    "a name": ("account.name=globex", [A2]),
    "a part of a name": ("name=Acme", [A1, A3]),
    "the other way round": ("order=account.name&direction=desc", [A3, A2, A1]),
    "accepted": ("status=accepted", [A1, A2, A3]),
    "pending": ("status=pending", []),
}


@pytest.mark.parametrize(("query", "expected"), QUERIES.values(), ids=QUERIES.keys())
def test_list_follows_its_query(api: Api, query: str, expected: list[str]) -> None:
    assert accounts_of(api.result("GET", f"/memberships?{query}")) == expected


def test_permissions_and_roles_follow_the_token(api: Api) -> None:
    token = api.token("--account", "acme", "--permission", "dns:edit", "--permission", "maps:read")
    (found,) = api.result("GET", "/memberships", token=token)
    assert found["roles"] == ["dns:edit", "maps:read"]
    assert found["permissions"] == {
        "address_maps": {"read": True, "write": False},
        "prefixes": {"read": False, "write": False},
        "zones": {"read": True, "write": False},
        "dns_records": {"read": True, "write": True},
        "api_tokens": {"read": False, "write": False},
    }
    (found,) = api.result("GET", "/memberships", token=api.token("--account", "acme"))
    assert all(one == {"read": True, "write": True} for one in found["permissions"].values())


def test_token_for_a_zone_is_a_member_of_nothing(api: Api) -> None:
    said = api.call("GET", "/memberships", token=api.token("--zone", "example.com")).json()
    assert (said["result"], said["result_info"]["total_count"]) == ([], 0)
