"""Clients read back exactly the text they wrote: quotes and escapes of strings, case of digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.server import A1, Z1, Api

HEX = "AbCdEf01" * 8
FILES = {
    "acme/account.yaml": f"id: {A1}\nname: Acme\n",
    "acme/zones/example.com.yaml": f'id: "{Z1}"\nrecords:\n  - {{name: dns, type: A, content: 192.0.2.2}}\n',
    "acme/zones/example.net.zone": "$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\n",
    "acme/zones/example.org.zone": "$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nold TXT Stra\\195\\159e\n",
}
TEXTS = {
    "letters outside ASCII": '"Grüße"',
    "without quotes": "v=spf1 -all",
    "escapes": r'"back\\slash and \"quotes\""',
    "a semicolon": '"v=DKIM1; k=rsa"',
    "an escaped semicolon": r'"v=DKIM1\; k=rsa"',
    "octets by their numbers": r'"caf\195\169 \032 \000"',
    "two strings": '"one" "two"',
    "two strings, far apart": '  "one"     "two" ',
    "tabs": '"a"\t"b"',
    "an empty string": '""',
    "one string over 255 octets": '"' + "k" * 300 + '"',
    "over 255 octets without quotes": "k" * 300 + " ü",
    "separators of tags": '"a,b=c:d cf_tags=x,cf-proxied:true"',
    "needless escapes": r'"\a\b\c"',
    "emoji": '"💥 日本語"',
    "a word after a quoted one": '"a" b',
    "a percent sign": '"100%25"',
}
SPF = {"type": "SPF", "content": "v=spf1 mx -all"}
STRINGS = [{"type": "TXT", "content": text} for text in TEXTS.values()] + [
    SPF,
    {"type": "SPF", "content": '"v=spf1 ïp4"'},
    {"type": "AVC", "content": '"ärger"'},
    {"type": "RESINFO", "content": r'"q\name" "ö"'},
]
DIGITS: dict[str, dict[str, Any]] = {
    "SSHFP": {"algorithm": 4, "type": 2, "fingerprint": HEX.upper()},
    "DS": {"key_tag": 9, "algorithm": 13, "digest_type": 2, "digest": HEX},
    "TLSA": {"usage": 3, "selector": 1, "matching_type": 1, "certificate": HEX.upper()},
    "SMIMEA": {"usage": 3, "selector": 0, "matching_type": 1, "certificate": HEX},
}


SENT: dict[str, dict[str, Any]] = {
    **{f"s{number}": one for number, one in enumerate(STRINGS)},
    **{f"d-{rtype.lower()}": {"type": rtype, "data": data} for rtype, data in DIGITS.items()},
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that was restarted after writing all these records."""
    api = Api(tmp_path_factory.mktemp("written"), FILES)
    with api.running():
        for path in paths(api):
            api.result("POST", f"{path}/batch", {"posts": [{"name": name, **body} for name, body in SENT.items()]})
        check(api)
    with api.running():
        yield api


def paths(api: Api) -> list[str]:
    """The records of a zone in YAML and of a zone in a master file."""
    names = ("example.com", "example.net")
    return [f"/zones/{one['id']}/dns_records" for one in api.result("GET", "/zones") if one["name"] in names]


def stored(api: Api, path: str) -> dict[str, dict[str, Any]]:
    found = {one["name"].split(".")[0]: one for one in api.result("GET", f"{path}?per_page=1000")}
    return {name: one for name, one in found.items() if name in SENT}


def check(api: Api) -> None:
    for path in paths(api):
        found = stored(api, path)
        for name, body in SENT.items():
            check_one(found[name], body)


def check_one(shown: dict[str, Any], body: dict[str, Any]) -> None:
    if "content" in body:
        assert shown["content"] == body["content"]
    else:
        assert shown["data"] == body["data"]
        digits = body["data"][[*body["data"]][-1]]
        assert shown["content"].endswith(f" {digits.lower()}")  # octoDNS compares it


def test_restart_and_reload_keep_it(api: Api) -> None:
    check(api)
    api.write("acme/zones/example.com.yaml", "# touched\n" + api.read("acme/zones/example.com.yaml"))
    api.write("acme/zones/example.net.zone", "; touched\n" + api.read("acme/zones/example.net.zone"))
    api.result("POST", f"/zones/{Z1}/dns_records", {"name": "loads", "type": "A", "content": "192.0.2.77"})
    check(api)


def test_master_file_stays_one(api: Api) -> None:
    text = api.read("acme/zones/example.net.zone")
    assert "SOA" in text
    assert text.isascii(), "Knot reads no other strings"


def test_edit_of_another_object_keeps_it(api: Api) -> None:
    for path in paths(api):
        patches = [{"id": one["id"], "comment": "seen", "ttl": 120} for one in stored(api, path).values()]
        edited = api.result("POST", f"{path}/batch", {"patches": patches})["patches"]
        assert {one["comment"] for one in edited} == {"seen"}
        for one in edited:
            check_one(one, SENT[one["name"].split(".")[0]])
    check(api)


def test_writing_a_read_value_back_changes_nothing(api: Api) -> None:
    for path in paths(api):
        before = stored(api, path)
        keys = ("id", "name", "type", "ttl", "comment")
        puts = [{key: one[key] for key in (*keys, "data" if "data" in one else "content")} for one in before.values()]
        api.result("POST", f"{path}/batch", {"puts": puts})
        assert stored(api, path) == before


def test_export_and_import_keep_it(api: Api) -> None:
    for path in paths(api):
        text = api.call("GET", f"{path}/export").text
        gone = [{"id": one["id"]} for one in api.result("GET", f"{path}?per_page=1000")]
        api.result("POST", f"{path}/batch", {"deletes": gone})
        assert stored(api, path) == {}
        api.result("POST", f"{path}/import", files={"file": (None, text)})
    check(api)


def test_new_spelling_comes_back_after_an_edit(api: Api) -> None:
    for path in paths(api):
        one = api.result("POST", path, {"name": "again", "type": "TXT", "content": '"Größe"'})
        for content in (r'"Gr\195\182\195\159e"', "Größe", '"Größe"'):
            assert api.result("PATCH", f"{path}/{one['id']}", {"content": content})["content"] == content
            assert api.result("GET", f"{path}/{one['id']}")["content"] == content
        assert api.ask(one["name"], "TXT") == [r'"Gr\195\182\195\159e"']


def test_data_edited_in_the_file_takes_precedence(api: Api) -> None:
    """A spelling that no longer matches the data is ignored."""
    (path,) = [f"/zones/{one['id']}/dns_records" for one in api.result("GET", "/zones?name=example.net")]
    made = api.result("POST", path, {"name": "hand", "type": "TXT", "content": '"Äpfel"'})
    name = "acme/zones/example.net.zone"
    api.write(name, api.read(name).replace(r'"\195\132pfel"', '"pears"'))
    api.result("POST", path, {"name": "loads", "type": "A", "content": "192.0.2.78"})
    assert api.result("GET", f"{path}/{made['id']}")["content"] == '"pears"'


def test_text_of_a_file_comes_back_in_its_presentation_form(api: Api) -> None:
    (path,) = [f"/zones/{one['id']}/dns_records" for one in api.result("GET", "/zones?name=example.org")]
    assert [one["content"] for one in api.result("GET", path)] == [r'"Stra\195\159e"']
