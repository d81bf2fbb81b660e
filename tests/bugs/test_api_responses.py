"""Responses show the written data, and change only with their object; lists have pages and filters."""

from __future__ import annotations

import pytest

from tests.api.server import A1, Z1, Api
from tests.bugs.accounts import RECORDS, wait_for

MAPS = f"/accounts/{A1}/addressing/address_maps"


@pytest.mark.parametrize("content", ["v=spf1 -all", '"v=spf1 -all"', 'a "b"; c', "x" * 300, " é "])
def test_text_is_read_back_as_it_was_written(api: Api, content: str) -> None:
    for zone_id in (Z1, api.result("GET", "/zones?name=m.test")[0]["id"]):
        path = f"/zones/{zone_id}/dns_records"
        one = api.result("POST", path, {"type": "TXT", "name": "t", "content": content, "ttl": 300})
        assert one["content"] == content
        assert api.result("PATCH", f"{path}/{one['id']}", {"ttl": 600})["content"] == content
        assert api.result("GET", f"{path}/{one['id']}")["content"] == content
        exported = api.call("GET", f"{path}/export").text
        api.result("DELETE", f"{path}/{one['id']}")
        api.result("POST", f"{path}/import", files={"file": (None, exported)})
        (back,) = api.result("GET", f"{path}?type=TXT&name=t.{one['zone_name']}")
        assert back["content"] == content
        api.result("DELETE", f"{path}/{back['id']}")


def test_message_for_terraform_and_place_in_the_body(api: Api) -> None:
    www = {"type": "A", "name": "www", "content": "192.0.2.1"}
    status, code, message = api.refused("POST", RECORDS, www)
    assert (status, code) == (400, 81058)
    assert "already exist" in message
    assert "source" not in api.call("POST", RECORDS, www).json()["errors"][0]
    alias = {"type": "CNAME", "name": "www", "content": "other.example.com"}
    batch = {"posts": [{"type": "TXT", "name": "new", "content": "x"}, alias]}
    (error,) = api.call("POST", f"{RECORDS}/batch", batch).json()["errors"]
    assert (error["code"], error["source"]["pointer"]) == (81053, "/posts/1")
    assert "already exists" in error["message"]


def test_tag_does_not_change_with_other_records(api: Api) -> None:
    one = api.result("GET", f"{RECORDS}?name=dns.example.com")[0]
    tag = api.call("GET", f"{RECORDS}/{one['id']}").headers["etag"]
    other = api.result("POST", RECORDS, {"type": "TXT", "name": "other", "content": "x"})
    api.result("PATCH", f"{RECORDS}/{one['id']}", {"comment": "hello"}, headers={"If-Match": tag})
    api.result("DELETE", f"{RECORDS}/{other['id']}")


def test_short_lists_have_pages(api: Api) -> None:
    for path in (f"/accounts/{A1}/addressing/prefixes", f"/accounts/{A1}/addressing/leases", f"/zones/{Z1}/pagerules"):
        said = api.call("GET", f"{path}?page=9").json()
        assert said["result"] == []
        assert said["result_info"]["page"] == 9
    assert len(api.result("GET", f"/accounts/{A1}/addressing/prefixes?per_page=1")) == 1


def test_maps_are_filtered_by_address(api: Api) -> None:
    one = api.result("POST", MAPS, {"ips": ["203.0.113.77", "2001:db8:100::77"]})
    for query, is_found in (
        ("ip=203.0.113.77", True),
        ("ip=203.0.113.78", False),
        ("cidr=203.0.113.64%2F26", True),
        ("cidr=2001%3Adb8%3A100%3A%3A%2F64", True),
        ("cidr=nonsense", False),
    ):
        assert (one["id"] in [found["id"] for found in api.result("GET", f"{MAPS}?{query}")]) is is_found
    api.result("DELETE", f"{MAPS}/{one['id']}")


def test_zone_of_part_of_a_network(api: Api) -> None:
    """RFC 2317 names contain a slash, which file names cannot."""
    made = api.result("POST", "/zones", {"name": "0/25.2.0.192.in-addr.arpa", "account": {"id": A1}})
    assert api.ask("0/25.2.0.192.in-addr.arpa", "SOA")
    api.result("DELETE", f"/zones/{made['id']}")


def test_edit_without_a_change_writes_nothing(api: Api) -> None:
    made = api.result("POST", MAPS, {"description": "same", "ips": ["203.0.113.9"]})
    for body in ({"enabled": False}, {"description": "same"}, {}):
        assert api.result("PATCH", f"{MAPS}/{made['id']}", body) == made
    api.result("DELETE", f"{MAPS}/{made['id']}")


def test_times_of_a_map_do_not_move(api: Api) -> None:
    (api.folder / "accounts/acme/maps").mkdir(exist_ok=True)
    api.write("acme/maps/hand.yaml", "description: by hand\nips: [203.0.113.9]\n")
    wait_for(lambda: any(one["description"] == "by hand" for one in api.result("GET", MAPS)))
    (one,) = (one for one in api.result("GET", MAPS) if one["description"] == "by hand")
    for number in range(10, 20):
        api.result("PUT", f"{MAPS}/{one['id']}/ips/203.0.113.{number}")
    after = api.result("GET", f"{MAPS}/{one['id']}")
    assert after["created_at"] == one["created_at"] <= after["modified_at"]
    api.result("DELETE", f"{MAPS}/{one['id']}")
