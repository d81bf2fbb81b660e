"""Records are found by the meaning of their content, in any spelling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.server import A1, Z1, Api

RECORDS = f"/zones/{Z1}/dns_records"
HEX = "0a1b2c3d" * 8
FILES = {
    "acme/account.yaml": f"id: {A1}\nname: Acme\n",
    "acme/zones/example.com.yaml": f"""
id: "{Z1}"
records:
  - {{name: _sip._tcp, type: SRV, content: 10 20 5060 sip.example.com.}}
  - {{name: _ldap._tcp, type: SRV, content: 0 0 389 .}}
  - {{name: child, type: DS, content: 5464 13 2 {HEX}}}
  - {{name: "@", type: CAA, content: '0 issue "ca.example.net"'}}
  - {{name: "@", type: MX, content: Mail.Example.com, priority: 10}}
  - {{name: web, type: HTTPS, content: '1 . alpn="h2"'}}
  - {{name: _443._tcp, type: TLSA, content: 3 1 1 {HEX}}}
  - {{name: ssh, type: SSHFP, content: 4 2 {HEX}}}
  - {{name: alias, type: CNAME, content: xn--bcher-kva.example.org}}
  - {{name: v6, type: AAAA, content: "2001:db8::7:0"}}
  - {{name: txt, type: TXT, content: 'say "hi"; twice'}}
  - {{name: parts, type: TXT, content: '"one " "two"'}}
  - {{name: enum, type: NAPTR, content: '100 10 "u" "E2U+sip" "!^.*$!sip:a@example.com!" .'}}
  - {{name: place, type: LOC, content: 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m}}
  - {{name: uri, type: URI, content: 1 2 "https://example.org/A"}}
""",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("meaning"), FILES).running() as api:
        yield api


def names(api: Api, **query: str) -> list[str]:
    found = api.client.get(RECORDS, params=query, headers={"Authorization": f"Bearer {api.operator}"}).json()["result"]
    return [one["name"].removesuffix("example.com").rstrip(".") for one in found]


MEANT = [
    ("SRV", "20\t5060\tsip.example.com", "_sip._tcp"),
    ("SRV", "20 5060 SIP.example.com.", "_sip._tcp"),
    ("SRV", "10  20  5060  sip.example.com.", "_sip._tcp"),
    ("SRV", "0 389 .", "_ldap._tcp"),
    ("DS", f"5464\t13\t2\t{HEX}", "child"),
    ("DS", f"5464 13 2 {HEX.upper()}", "child"),
    ("DS", f"5464 13 2 {HEX[:30]} {HEX[30:]}", "child"),
    ("CAA", "0 issue ca.example.net", ""),
    ("CAA", '0\tissue\t"ca.example.net"', ""),
    ("MX", "mail.example.com.", ""),
    ("MX", "10\tMAIL.example.com", ""),
    ("HTTPS", "1 . alpn=h2", "web"),
    ("TLSA", f"3\t1\t1\t{HEX.upper()}", "_443._tcp"),
    ("SSHFP", f"4 2 {HEX.upper()}", "ssh"),
    ("CNAME", "bücher.example.org", "alias"),
    ("CNAME", "XN--BCHER-KVA.Example.org.", "alias"),
    ("AAAA", "2001:0DB8:0:0:0:0:7:0", "v6"),
    ("TXT", r'"say \"hi\"\; twice"', "txt"),
    ("TXT", r'"say \034hi\034; twice"', "txt"),
    ("TXT", '"one two"', "parts"),
    ("NAPTR", '100 10 u E2U+sip "!^.*$!sip:a@example.com!" .', "enum"),
    ("LOC", "52 22 23 N 4 53 32 E -2m 0m", "place"),
    ("URI", '2 "https://example.org/A"', "uri"),
    ("CAA", r"\# 21 0005697373756563612e6578616d706c652e6e6574", ""),
]


@pytest.mark.parametrize(("rtype", "content", "name"), MEANT, ids=[f"{one[0]} {one[1][:30]}" for one in MEANT])
def test_content_is_found_by_its_meaning(api: Api, rtype: str, content: str, name: str) -> None:
    for parameter in ("content", "content.exact"):
        query = {parameter: content}
        assert names(api, type=rtype, **query) == [name]
        assert names(api, type=rtype, name=f"{name}.example.com".lstrip("."), **query) == [name]
        assert name in names(api, **query), "for any type"
        assert names(api, type="PTR", **query) == []


OTHERS = [
    ("SRV", "20 5061 sip.example.com"),
    ("SRV", "11 20 5060 sip.example.com"),
    ("SRV", "sip.example.com"),
    ("DS", f"5464 13 2 {HEX[:-2]}"),
    ("DS", "5464 13 2"),
    ("CAA", "0 issuewild ca.example.net"),
    ("MX", "20 mail.example.com"),
    ("HTTPS", "1 . alpn=h3"),
    ("HTTPS", "not of this type"),
    ("TXT", '"one'),
    ("AAAA", "2001:db8::8:0"),
    ("URI", '3 "https://example.org/A"'),
]


@pytest.mark.parametrize(("rtype", "content"), OTHERS)
def test_content_with_another_meaning_is_not_found(api: Api, rtype: str, content: str) -> None:
    assert names(api, type=rtype, content=content) == []


PARTS = [
    ({"content.contains": "5060 SIP"}, ["_sip._tcp"]),
    ({"content.contains": "5060\tsip"}, ["_sip._tcp"]),
    ({"content.contains": "bücher"}, ["alias"]),
    ({"content.contains": "üch"}, ["alias"]),
    ({"content.startswith": "2001:0db8:"}, ["v6"]),
    ({"content.startswith": "2001:0db8::0007:0"}, ["v6"]),
    ({"content.endswith": "bücher.example.org."}, ["alias"]),
    ({"content.endswith": HEX.upper()}, ["child", "_443._tcp", "ssh"]),
]


@pytest.mark.parametrize(("query", "expected"), PARTS, ids=str)
def test_part_of_content_is_found_in_other_spellings(api: Api, query: dict[str, str], expected: list[str]) -> None:
    assert names(api, **query) == expected


def test_ansible_finds_its_own_records(api: Api) -> None:
    """Like community.general's cloudflare_dns: a second run changes nothing, and `absent` finds the record."""
    bodies: list[tuple[dict[str, Any], str]] = [
        (
            {"type": "SRV", "data": {"target": "a.example.com", "port": 1, "weight": 2, "priority": 3}},
            "2\t1\ta.example.com",
        ),
        (
            {"type": "DS", "data": {"key_tag": 9, "algorithm": 8, "digest_type": 2, "digest": HEX.upper()}},
            f"9\t8\t2\t{HEX.upper()}",
        ),
        (
            {"type": "TLSA", "data": {"usage": 3, "selector": 0, "matching_type": 1, "certificate": HEX}},
            f"3\t0\t1\t{HEX}",
        ),
        ({"type": "SSHFP", "data": {"algorithm": 1, "type": 2, "fingerprint": HEX.upper()}}, f"1 2 {HEX}"),
    ]
    for number, (body, content) in enumerate(bodies):
        name = f"ansible{number}.example.com"
        made = api.result("POST", RECORDS, {"name": name, "ttl": 300, **body})
        assert api.refused("POST", RECORDS, {"name": name, "ttl": 300, **body})[1] == 81058
        assert names(api, type=body["type"], name=name, content=content) == [f"ansible{number}"]
        assert names(api, type=body["type"], name=name) == [f"ansible{number}"]
        api.result("DELETE", f"{RECORDS}/{made['id']}")
        assert names(api, type=body["type"], name=name, content=content) == []
