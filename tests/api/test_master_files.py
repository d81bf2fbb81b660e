"""A zone in a master file, changed over HTTP: it stays a master file while possible, and keeps comments and order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dnsd.formats.comments import SHORTENED
from tests.api.server import A1, FILES, Api
from tests.browser.sessions import Person

ZONE = """\
; made by hand, with care
$ORIGIN example.edu.
$TTL 1h
@ IN SOA ns1.example.net. hostmaster.example.net. (
        2026010101 ; the serial
        10000 2400 604800 300 )
@   NS ns1.example.net.
; people
www 300 A 192.0.2.10 ; web cf_tags=cf-proxied:true
    300 TXT "beside it"
old     A 192.0.2.11
"""
FILE = "acme/zones/example.edu.zone"


@pytest.fixture
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("master"), FILES | {FILE: ZONE}).running() as api:
        yield api


def zone_id(api: Api) -> str:
    (zone,) = api.result("GET", "/zones", params={"name": "example.edu"})
    return str(zone["id"])


def serial(api: Api) -> int:
    return int(api.ask("example.edu", "SOA")[0].split()[2])


def test_records_are_edited_in_place(master: Api) -> None:
    records = f"/zones/{zone_id(master)}/dns_records"
    before = {one["name"]: one for one in master.result("GET", records, params={"type": "A"})}
    assert before["www.example.edu"]["proxied"] is True
    assert serial(master) == 2026010101
    made = master.result("POST", records, {"name": "new", "type": "A", "content": "192.0.2.12", "ttl": 60})
    assert master.ask("new.example.edu") == ["192.0.2.12"]
    first = serial(master)
    assert first > 2026010101 or first < 2026010101 - 2**31
    old = before["old.example.edu"]["id"]
    edited = master.result("PATCH", f"{records}/{old}", {"content": "192.0.2.13"})
    assert (edited["id"], edited["content"]) == (old, "192.0.2.13")
    assert master.ask("old.example.edu") == ["192.0.2.13"]
    master.result("DELETE", f"{records}/{before['www.example.edu']['id']}")
    assert master.ask("www.example.edu") == []
    assert master.ask("www.example.edu", "TXT") == ['"beside it"']
    assert serial(master) != first
    text = master.read(FILE)
    for line in ("; made by hand, with care", "; people", "; the serial"):
        assert line in text
    assert master.result("GET", f"{records}/{made['id']}")["created_on"] == made["created_on"]


def test_switches_and_tags_stay_in_the_master_file(master: Api) -> None:
    records = f"/zones/{zone_id(master)}/dns_records"
    (www,) = master.result("GET", records, params={"name": "www.example.edu", "type": "A"})
    change = {"settings": {"ipv4_only": True}, "tags": ["team:web", 'said:"a, b"'], "comment": "two\nlines"}
    edited = master.result("PATCH", f"{records}/{www['id']}", change)
    assert {name: edited[name] for name in change} == change
    edited = master.result("PATCH", f"{records}/{www['id']}", {"content": "192.0.2.77"})
    assert {name: edited[name] for name in change} == change
    assert "; made by hand, with care" in master.read(FILE)
    assert "team:web" in master.read(FILE)
    master.result("POST", records, {"type": "A", "name": "al", "content": "192.0.2.78"})
    flat = {"type": "CNAME", "name": "flat", "content": "al.example.edu", "settings": {"flatten_cname": True}}
    master.result("POST", records, flat)
    assert master.ask("flat.example.edu") == ["192.0.2.78"]


def test_settings_unknown_to_master_files_make_a_zone_yaml(master: Api) -> None:
    records = f"/zones/{zone_id(master)}/dns_records"
    before = {one["id"]: one["content"] for one in master.result("GET", records)}
    soa = master.ask("example.edu", "SOA")[0].split()
    assert master.result("PATCH", f"/zones/{zone_id(master)}", {"paused": True})["paused"] is True
    assert master.result("PATCH", f"/zones/{zone_id(master)}", {"paused": False})["paused"] is False
    assert not (master.folder / "accounts" / FILE).exists()
    assert {one["id"]: one["content"] for one in master.result("GET", records)} == before
    after = master.ask("example.edu", "SOA")[0].split()
    assert (after[:2], after[3:]) == (soa[:2], soa[3:])
    assert master.ask("example.edu", "NS") == ["ns1.example.net."]
    assert master.ask("old.example.edu") == ["192.0.2.11"]


def test_paused_zone_shows_stored_records(master: Api) -> None:
    path = f"/zones/{zone_id(master)}"
    assert master.ask("www.example.edu") == ["198.51.100.10", "198.51.100.11"]
    assert master.result("PATCH", path, {"paused": True})["paused"] is True
    assert master.ask("www.example.edu") == ["192.0.2.10"]
    assert master.result("PATCH", path, {"paused": False})["paused"] is False
    assert master.ask("www.example.edu") == ["198.51.100.10", "198.51.100.11"]


def test_identical_record_and_conflicts_have_the_codes_that_clients_know(master: Api) -> None:
    records = f"/zones/{zone_id(master)}/dns_records"
    same = {"name": "old", "type": "A", "content": "192.0.2.11", "ttl": 120}
    assert master.refused("POST", records, same)[:2] == (400, 81058)
    assert master.refused("POST", records, {"name": "old", "type": "CNAME", "content": "x.test"})[1] == 81053
    master.result("POST", records, {"name": "al", "type": "CNAME", "content": "x.test"})
    assert master.refused("POST", records, {"name": "al", "type": "A", "content": "192.0.2.1"})[1] == 81054
    assert master.refused("POST", records, {"name": "me", "type": "CNAME", "content": "me.example.edu"})[1] == 9039
    yaml = "/zones/" + "21" * 16 + "/dns_records"
    assert master.refused("POST", yaml, {"name": "www", "type": "A", "content": "192.0.2.1"})[:2] == (400, 81058)
    assert master.refused("POST", yaml, {"name": "dns", "type": "CNAME", "content": "x.test"})[1] == 81053


NEW = [
    {"type": "A", "name": "t", "content": "192.0.2.20", "tags": ["owner:net", "x:a, b", "empty"], "comment": "why"},
    {"type": "CNAME", "name": "f", "content": "t.example.edu", "settings": {"flatten_cname": True}},
    {"type": "A", "name": "p", "content": "192.0.2.21", "proxied": True, "settings": {"ipv4_only": True}},
    {
        "type": "AAAA",
        "name": "s",
        "content": "2001:db8::21",
        "comment": "see cf_tags=cf-proxied:true",
        "tags": ["a:\\"],
    },
    {"type": "TXT", "name": "x", "content": "cf_tags=a", "comment": " two\r\nlines ", "tags": ["cf-proxied:true"]},
    {"type": "MX", "name": "m", "content": "t.example.edu", "priority": 5, "settings": {"ipv6_only": False}},
]


def test_export_delete_all_and_import_give_the_same_records(master: Api) -> None:
    records = f"/zones/{zone_id(master)}/dns_records"
    for one in NEW:
        master.result("POST", records, one)

    def said() -> list[str]:
        kept = ("name", "type", "content", "ttl", "proxied", "comment", "tags", "settings")
        return sorted(str([one[name] for name in kept]) for one in master.result("GET", records))

    before = said()
    assert len(before) == len(NEW) + 3
    text = master.call("GET", f"{records}/export").text
    master.result("POST", f"{records}/batch", {"deletes": [{"id": one["id"]} for one in master.result("GET", records)]})
    assert said() == []
    answer = master.call("POST", f"{records}/import", files={"file": (None, text)}).json()
    assert answer["result"]["recs_added"] == len(before)
    assert said() == before
    assert master.result("GET", f"/accounts/{A1}")["name"] == "Acme"


OCTETS = ZONE.encode() + b'b\xfcro TXT "B\xfcro" ; B\xfcro\n'


@pytest.fixture
def octets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("octets"), FILES | {FILE: ZONE})
    (server.folder / "accounts" / FILE).write_bytes(OCTETS)
    with server.running() as api:
        yield api


def test_octets_that_are_not_utf8_survive_edits_and_restores(octets: Api) -> None:
    zone = f"/zones/{zone_id(octets)}"
    (odd,) = octets.result("GET", f"{zone}/dns_records", params={"comment": "Büro"})
    assert (odd["name"], odd["content"]) == (r"b\252ro.example.edu", r'"B\252ro"')
    octets.result("POST", f"{zone}/dns_records", {"name": "new", "type": "A", "content": "192.0.2.12"})
    file = octets.folder / "accounts" / FILE
    assert file.read_bytes().count(b'b\xfcro TXT "B\xfcro" ; B\xfcro\n') == 1
    versions = octets.result("GET", f"{zone}/history")
    assert "büro TXT" in octets.result("GET", f"{zone}/history/{versions[-1]['version']}")["text"]
    octets.result("POST", f"{zone}/history/{versions[-1]['version']}/restore")
    assert file.read_bytes().endswith(OCTETS[-20:])
    assert octets.ask(r"b\252ro.example.edu", "TXT") == [r'"B\252ro"']
    octets.result("PATCH", f"{zone}/dns_records/{odd['id']}", {"tags": ["a:b"]})
    assert octets.ask(r"b\252ro.example.edu", "TXT") == [r'"B\252ro"']
    (same,) = octets.result("GET", f"{zone}/dns_records", params={"comment": "Büro"})
    assert (same["id"], same["tags"]) == (odd["id"], ["a:b"])


@pytest.mark.parametrize("name", [None, "büro.zone"])
def test_octets_that_are_not_utf8_are_imported(octets: Api, name: str | None) -> None:
    path = f"/zones/{zone_id(octets)}/dns_records"
    file = 'a 300 IN TXT "Stra\xdfe" ; \xdf\nb 300 IN TXT "x"\n'.encode("latin-1")
    assert octets.result("POST", f"{path}/import", files={"file": (name, file)})["recs_added"] == 2
    assert octets.ask("a.example.edu", "TXT") == [r'"Stra\223e"']
    (added,) = octets.result("GET", path, params={"name": "a.example.edu"})
    assert added["comment"] == "ß"
    for charset, said in (("utf-16", "in UTF-16"), ("utf-32", "in UTF-32"), ("utf-16-le", "a NUL character")):
        refused = octets.refused(
            "POST", f"{path}/import", files={"file": (name, file.decode("latin-1").encode(charset))}
        )
        assert refused[:2] == (400, 9007)
        assert refused[2].startswith("line 1, column ")
        assert said in refused[2]
        assert "save it as UTF-8" in refused[2]
        assert "codec" not in refused[2]


def test_octets_that_are_not_utf8_are_imported_on_the_dashboard(octets: Api) -> None:
    path = f"/zones/{zone_id(octets)}/records/import"
    with Person(octets, octets.operator) as person:
        page = person.post(path, {}, files={"file": ("x.zone", "d 300 IN TXT Stra\xdfe\n".encode("utf-16"))})
        assert page.status_code == 400
        assert "ine 1, column 1: the text is in UTF-16; save it as UTF-8" in page.text
        page = person.post(path, {}, files={"file": ("x.zone", b"d 300 IN TXT Stra\xdfe\ne 300 IN A x\n")})
        assert page.status_code == 400
        assert "ine 2, column 12" in page.text
        page = person.post(path, {"do": "import"}, files={"file": ("x.zone", b"d 300 IN TXT Stra\xdfe\n")})
        assert (page.status_code, octets.ask("d.example.edu", "TXT")) == (303, [r'"Stra\223e"'])
        page = person.post(path, {"text": "e 300 IN TXT Straße\n", "do": "import"}, files={"file": ("", b"")})
        assert (page.status_code, octets.ask("e.example.edu", "TXT")) == (303, [r'"Stra\195\159e"'])


def test_import_reports_doubtful_data(master: Api) -> None:
    path = f"/zones/{zone_id(master)}/dns_records/import"
    signature = "@ 300 IN RRSIG SOA 13 2 300 20300101000000 20200101000000 4711 example.edu. AQIDBA=="
    said = master.call("POST", path, files={"file": (None, f"{signature}\nh 300 IN SVCB 0 x. port=53\n")}).json()
    assert [one["message"].partition(":")[0] for one in said["messages"]] == [
        "priority 0 is AliasMode",
        "the zone is signed but served without its signatures",
    ]
    said = master.call("POST", path, files={"file": (None, "i 300 IN A 192.0.2.1\n")}).json()
    assert (said["success"], said["messages"]) == (True, [])


def test_limit_of_records_follows_the_settings(master: Api) -> None:
    records = f"/zones/{zone_id(master)}/dns_records"
    lines = "".join(f"m 300 IN A 192.0.2.{number}\n" for number in range(101))
    breach = "101 A records at m.example.edu; the limit is 100 (limits.rrset_records in dnsd.yaml)"
    assert master.refused("POST", f"{records}/import", files={"file": (None, lines)}) == (400, 1001, breach)
    assert master.result("POST", f"{records}/import", files={"file": (None, lines[:-1].rpartition("\n")[0] + "\n")})
    assert master.refused("POST", records, {"type": "A", "name": "m", "content": "198.51.100.1"})[2] == breach


def test_tags_of_an_imported_file_take_precedence_over_the_request(master: Api) -> None:
    """As the import page says: with `proxied`, records without cf-proxied are proxied; the others follow their tag."""
    records = f"/zones/{zone_id(master)}/dns_records"
    text = "i1 1 A 192.0.2.31 ; cf_tags=cf-proxied:false\ni2 1 A 192.0.2.32 ; cf_tags=team:a\ni3 1 A 192.0.2.33\n"
    parts = {"file": (None, text), "proxied": (None, "true")}
    assert master.call("POST", f"{records}/import", files=parts).json()["result"]["recs_added"] == 3
    found = {one["name"]: one["proxied"] for one in master.result("GET", records, params={"name.startswith": "i"})}
    assert found == {"i1.example.edu": False, "i2.example.edu": True, "i3.example.edu": True}


def test_imported_comment_is_cut_with_a_message(master: Api) -> None:
    records = f"/zones/{zone_id(master)}/dns_records"
    text = f"j 1 A 192.0.2.41\nk 1 A 192.0.2.42 ; \x1b[2J{'b ' * 5_000}\nl 1 A 192.0.2.43 ; \tx\ty\n"
    answer = master.call("POST", f"{records}/import", files={"file": (None, text)}).json()
    assert answer["result"]["recs_added"] == 3
    (message,) = answer["messages"]
    assert message["message"].startswith("line 2: this comment was shortened: the limits are 500 characters")
    (k,) = master.result("GET", records, params={"name": "k.example.edu"})
    assert k["comment"] == f"[2J{'b ' * 249}"[:500].rstrip()
    wrong = 'm 1 A 192.0.2.44 ; cf_tags=team:"a, cf-proxied:true\n'
    refused = master.call("POST", f"{records}/import", files={"file": (None, wrong)})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, 9007)
    assert "line 1, column 1" in refused.json()["errors"][0]["message"]


@pytest.mark.parametrize("said", [{"comment": "x" * 501}, {"tags": [f"t{one}" for one in range(21)]}])
def test_too_long_texts_are_refused(master: Api, said: dict[str, object]) -> None:
    records = f"/zones/{zone_id(master)}/dns_records"
    (old,) = master.result("GET", records, params={"name": "old.example.edu"})
    new = {"type": "A", "name": "z", "content": "192.0.2.51"} | said
    assert master.refused("POST", records, new)[0] == 400
    assert master.refused("PUT", f"{records}/{old['id']}", new)[0] == 400
    assert master.refused("PATCH", f"{records}/{old['id']}", said)[0] == 400
    assert master.refused("POST", f"{records}/batch", {"posts": [new]})[0] == 400


def test_import_on_the_dashboard_that_adds_nothing_still_shows_the_files_warnings(master: Api) -> None:
    path = f"/zones/{zone_id(master)}/records/import"
    with Person(master, master.operator) as person:
        for expected in ("records were added.", "Nothing to add: the zone already has all of these records."):
            form = {"text": f"h 300 IN A 192.0.2.77 ; {'x' * 501}\n", "do": "import"}
            assert person.post(path, form).status_code == 303
            page = person.get(path.removesuffix("/import")).text
            assert expected in page
            assert f"Line 1: {SHORTENED}" in page
