"""`data` in addition to `content`, which libdns and others send with every record: only the type's parts count."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.server import Z1, Api

RECORDS = f"/zones/{Z1}/dns_records"
HEX = "4F" * 32
CONTENTS: dict[str, dict[str, Any]] = {
    "A": {"content": "192.0.2.81"},
    "AAAA": {"content": "2001:db8::81"},
    "CAA": {"content": '0 issue "ca.example.net"'},
    "CERT": {"content": "1 2 3 YWJjZA=="},
    "CNAME": {"content": "target.example.org"},
    "DNSKEY": {"content": "257 3 13 YWJjZA=="},
    "DS": {"content": f"5464 13 2 {HEX.lower()}"},
    "HTTPS": {"content": '1 . alpn="h2"'},
    "LOC": {"content": "52 0 0 N 4 0 0 E 5.00m 1m 10000m 10m"},
    "MX": {"content": "mail.example.net", "priority": 5},
    "NAPTR": {"content": '1 2 "u" "sip" "" _sip._udp.example.net.'},
    "NS": {"content": "ns1.example.org"},
    "PTR": {"content": "host.example.org"},
    "SMIMEA": {"content": f"3 0 1 {HEX.lower()}"},
    "SPF": {"content": '"v=spf1 -all"'},
    "SRV": {"content": "20 5060 sip.example.net", "priority": 10},
    "SSHFP": {"content": f"4 2 {HEX.lower()}"},
    "SVCB": {"content": "1 svc.example.net. port=8443"},
    "TLSA": {"content": f"3 1 1 {HEX.lower()}"},
    "TXT": {"content": '"some text"'},
    "TYPE65400": {"content": r"\# 3 abcdef"},
    "URI": {"content": '1 "https://example.org/"', "priority": 7},
}
SAYING_NOTHING: dict[str, Any] = {
    "libdns": {"tag": ""},
    "an empty object": {},
    "null": None,
    "keys of no type": {"proto": "_udp", "name": "@", "colour": "red", "Flags": 3},
    "parts that are null": {"target": None, "fingerprint": None, "tag": None, "value": None, "priority": None},
    "parts that are empty": {"target": "", "fingerprint": "", "tag": "", "value": "", "flags": "", "digest": ""},
}
numbers = itertools.count()


@pytest.fixture
def name() -> str:
    return f"data{next(numbers)}"


@pytest.fixture
def made(api: Api, name: str, rtype: str) -> Iterator[dict[str, Any]]:
    """A record created from its type and content alone."""
    record = api.result("POST", RECORDS, {"type": rtype, "name": name, **CONTENTS[rtype]})
    yield record
    api.call("DELETE", f"{RECORDS}/{record['id']}")


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two records are equal except for id, name, times, comment and TTL."""
    own = ("id", "name", "created_on", "modified_on", "comment", "comment_modified_on", "ttl")
    return {k: v for k, v in one.items() if k not in own} == {k: v for k, v in other.items() if k not in own}


@pytest.mark.parametrize("rtype", CONTENTS)
def test_data_without_a_part_of_the_type_leaves_content_in_force(api: Api, rtype: str, made: Any) -> None:
    path = f"{RECORDS}/{made['id']}"
    for number, (what, data) in enumerate(SAYING_NOTHING.items(), [*CONTENTS].index(rtype)):
        body = {"type": rtype, "name": made["name"], **CONTENTS[rtype], "data": data}
        assert same(api.result("PUT", path, body), made), what
        assert same(api.result("PATCH", path, body), made), what
        if number % 3:
            continue  # other types make records, and in batches, with this form
        other = api.result("POST", RECORDS, body | {"name": f"other.{made['name']}"})
        assert same(other, made), what
        parts = {"patches": [{"id": other["id"], **CONTENTS[rtype], "data": data, "ttl": 120}]}
        posts = [body | {"name": f"third.{made['name']}"}]
        batch = api.result("POST", f"{RECORDS}/batch", parts | {"posts": posts, "deletes": []})
        assert same(batch["patches"][0], made), what
        assert same(batch["posts"][0], made), what
        puts = [{"id": other["id"], **body, "name": other["name"]}]
        gone = [{"id": batch["posts"][0]["id"]}]
        assert same(api.result("POST", f"{RECORDS}/batch", {"puts": puts, "deletes": gone})["puts"][0], made), what
        api.result("DELETE", f"{RECORDS}/{other['id']}")


@pytest.mark.parametrize("rtype", [one for one in CONTENTS if one not in ("HTTPS", "SVCB", "NAPTR", "CAA", "URI")])
def test_edit_with_empty_data_keeps_the_content(api: Api, rtype: str, made: Any) -> None:
    for what, data in SAYING_NOTHING.items():
        edited = api.result("PATCH", f"{RECORDS}/{made['id']}", {"comment": what, "data": data})
        assert (same(edited, made), edited["comment"]) == (True, what)


def test_optional_part_can_be_emptied_on_its_own(api: Api) -> None:
    made = api.result("POST", RECORDS, {"type": "HTTPS", "name": "emptied", **CONTENTS["HTTPS"]})
    edited = api.result("PATCH", f"{RECORDS}/{made['id']}", {"data": {"value": ""}})
    assert edited["content"] == "1 ."
    kept = api.result("PATCH", f"{RECORDS}/{made['id']}", {"data": {"target": ""}})
    assert kept["data"] == edited["data"]


SOME = {
    "SRV": ({"port": 5060}, ["/data/weight", "/data/target"]),
    "SRV of a name that is empty": ({"weight": 1, "port": 2, "target": "", "priority": 3}, ["/data/target"]),
    "CAA": ({"tag": "issue"}, ["/data/flags", "/data/value"]),
    "CAA with one part empty": ({"flags": 0, "tag": "", "value": "ca.example"}, ["/data/tag"]),
    "TLSA": ({"usage": 3, "tag": ""}, ["/data/selector", "/data/matching_type", "/data/certificate"]),
    "SSHFP": ({"fingerprint": HEX}, ["/data/algorithm", "/data/type"]),
    "DS": ({"key_tag": 1, "algorithm": 13, "digest_type": 2, "digest": "xyz"}, ["/data/digest"]),
}


@pytest.mark.parametrize(("what", "said"), SOME.items(), ids=SOME.keys())
def test_data_with_some_parts_is_refused_by_their_names(api: Api, what: str, said: Any) -> None:
    data, pointers = said
    rtype = what.split()[0]
    for more in ({}, CONTENTS[rtype]):
        response = api.call("POST", RECORDS, {"type": rtype, "name": "some", **more, "data": data})
        errors = response.json()["errors"]
        assert response.status_code == 400
        assert {error["code"] for error in errors} == {9007}
        assert [error["source"]["pointer"] for error in errors] == pointers


@pytest.mark.parametrize("rtype", ["MX", "CAA", "SRV", "TLSA"])
def test_neither_content_nor_data_is_content_missing(api: Api, rtype: str) -> None:
    for data in SAYING_NOTHING.values():
        if rtype == "CAA" and data and data.get("value") == "":
            continue  # an empty string is a valid value here
        response = api.call("POST", RECORDS, {"type": rtype, "name": "none", "priority": 1, "data": data})
        (error,) = response.json()["errors"]
        assert (response.status_code, error["code"], error["source"]["pointer"]) == (400, 9007, "/content")
