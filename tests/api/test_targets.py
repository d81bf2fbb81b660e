"""Names in content come back in lower case and without a final dot; DNS answers keep them as written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.server import A1, Z1, Api

RECORDS = f"/zones/{Z1}/dns_records"
FILES = {
    "acme/account.yaml": f"id: {A1}\nname: Acme\n",
    "acme/zones/example.com.yaml": f"""
id: "{Z1}"
records:
  - {{name: file, type: CNAME, content: Shop.Example.ORG., ttl: 300}}
  - {{name: file, type: TXT, content: "Mixed Case.", ttl: 300}}
""",
    "acme/zones/example.net.zone": "$TTL 300\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nm MX 5 Mail.Example.Net.\n",
}
# type, content sent, content shown, target in data
SENT: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("CNAME", {"content": "Target.Example.ORG."}, "target.example.org", None),
    ("CNAME", {"content": "BÜCHER.example."}, "xn--bcher-kva.example", None),
    ("MX", {"content": "Mail.Example.ORG.", "priority": 5}, "mail.example.org", None),
    ("MX", {"content": ".", "priority": 0}, ".", None),
    ("NS", {"content": "NS1.Example.ORG."}, "ns1.example.org", None),
    ("PTR", {"content": "Host.Example.ORG."}, "host.example.org", None),
    ("DNAME", {"content": "Other.Example.ORG."}, "other.example.org", None),
    (
        "SRV",
        {"data": {"priority": 1, "weight": 2, "port": 3, "target": "SIP.Example.ORG."}},
        "2 3 sip.example.org",
        "sip.example.org",
    ),
    ("SRV", {"data": {"priority": 1, "weight": 2, "port": 3, "target": "."}}, "2 3 .", "."),
    ("AFSDB", {"content": "1 AFS.Example.ORG."}, "1 afs.example.org", None),
    # Cloudflare writes these with a final dot; octoDNS needs it.
    ("HTTPS", {"content": "1 Svc.Example.ORG. alpn=h2"}, '1 svc.example.org. alpn="h2"', "svc.example.org."),
    ("HTTPS", {"content": "1 . alpn=h2"}, '1 . alpn="h2"', "."),
    ("NAPTR", {"content": '1 2 "U" "SIP+d2u" "" Host.Example.ORG.'}, '1 2 "U" "SIP+d2u" "" host.example.org.', None),
]
KEPT: list[tuple[str, str]] = [
    ("TXT", '"Mixed Case. Stays."'),
    ("CAA", '0 issue "CA.example.org"'),
    ("URI", '1 "https://Example.org/Path."'),
    ("HTTPS", '1 . key65400="AbC"'),
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("targets"), FILES).running() as api:
        yield api


@pytest.mark.parametrize(("rtype", "body", "content", "target"), SENT, ids=[f"{one[0]} {one[2]}" for one in SENT])
def test_target_comes_back_in_lower_case(api: Api, rtype: str, body: Any, content: str, target: str | None) -> None:
    made = api.result("POST", RECORDS, {"type": rtype, "name": "_a.t", "ttl": 300, **body})
    path = f"{RECORDS}/{made['id']}"
    for shown in (made, api.result("GET", path), api.result("PUT", path, made), api.result("PATCH", path, {})):
        assert shown["content"] == content
        if target is not None:
            assert shown["data"]["target"] == target
    assert [one["content"] for one in api.result("GET", f"{RECORDS}?name=_a.t.example.com")] == [content]
    api.result("DELETE", path)


@pytest.mark.parametrize(("rtype", "content"), KEPT)
def test_other_data_keeps_its_case(api: Api, rtype: str, content: str) -> None:
    made = api.result("POST", RECORDS, {"type": rtype, "name": "kept", "content": content, "priority": 1})
    assert made["content"] == content
    api.result("DELETE", f"{RECORDS}/{made['id']}")


def test_answers_and_files_keep_the_spelling(api: Api) -> None:
    (made,) = api.result("GET", f"{RECORDS}?type=CNAME&name=file.example.com")
    assert made["content"] == "shop.example.org"
    assert api.ask("file.example.com", "CNAME") == ["Shop.Example.ORG."]
    path = f"{RECORDS}/{made['id']}"
    api.result("PATCH", path, {"comment": "seen"})
    assert api.ask("file.example.com", "CNAME") == ["Shop.Example.ORG."]
    assert "Shop.Example.ORG." in api.read("acme/zones/example.com.yaml")
    again = {key: made[key] for key in ("type", "name", "content", "ttl")} | {"comment": "read and written"}
    assert api.result("PUT", path, again)["content"] == "shop.example.org"
    assert api.ask("file.example.com", "CNAME") == ["Shop.Example.ORG."]
    assert api.result("PATCH", path, {"content": "Other.example.org"})["content"] == "other.example.org"
    assert api.ask("file.example.com", "CNAME") == ["Other.example.org."]
    assert api.ask("m.example.net", "MX") == ["5 Mail.Example.Net."]
