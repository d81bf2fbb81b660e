"""Former bugs in the API and its storage, one test for each."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import pytest

from dnsd.app import read_source
from dnsd.formats.yaml_edit import edited_yaml
from dnsd.manage.history import History, _Provenance
from tests.api.server import A1, A2, FILES, Z1, Z2, Api

GLOBEX_MAPS = f"/accounts/{A2}/addressing/address_maps"
MAPS = f"/accounts/{A1}/addressing/address_maps"
RECORDS = f"/zones/{Z1}/dns_records"
MASTER = """\
; keep me
$ORIGIN m.test.
$TTL 300
@ SOA ns1.example.net. hostmaster.m.test. 1 10000 2400 604800 300
@ NS ns1.example.net.
www A 192.0.2.1
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("reviewed"), FILES | {"acme/zones/m.test.zone": MASTER}).running() as api:
        yield api


@pytest.fixture(scope="module")
def acme(api: Api) -> str:
    return api.token("--account", A1)


@pytest.fixture(scope="module")
def globex(api: Api) -> str:
    return api.token("--account", A2)


def made_zone(api: Api, account_id: str, name: str, token: str) -> str:
    return str(api.result("POST", "/zones", {"name": name, "account": {"id": account_id}}, token=token)["id"])


# Other tenants


def test_restore_does_not_reach_another_account(api: Api, acme: str, globex: str) -> None:
    first = made_zone(api, A1, "shared.test", acme)
    api.result("POST", f"/zones/{first}/dns_records", {"type": "A", "name": "www", "content": "192.0.2.66"}, token=acme)
    api.result("DELETE", f"/zones/{first}", token=acme)
    second = made_zone(api, A2, "shared.test", globex)
    assert first != second  # a token for one is not valid for the other
    api.result(
        "POST", f"/zones/{second}/dns_records", {"type": "A", "name": "www", "content": "192.0.2.7"}, token=globex
    )
    history = f"/accounts/{A1}/zones/{first}/history"
    newest = api.result("GET", history, token=acme)[0]["version"]
    assert api.refused("POST", f"{history}/{newest}/restore", token=acme)[:2] == (400, 1061)
    assert api.ask("www.shared.test") == ["192.0.2.7"]


def test_restore_of_a_file_that_was_moved_to_another_account(api: Api, acme: str) -> None:
    path = f"/zones/{Z2}/dns_records"
    api.result("POST", path, {"type": "A", "name": "a", "content": "192.0.2.9"}, token=acme)
    version = api.result("GET", f"/zones/{Z2}/history", token=acme)[-1]["version"]
    root = api.folder / "accounts"
    os.rename(root / "acme/zones/example.net.yaml", root / "globex/zones/example.net.yaml")
    try:
        wait_for(lambda: api.call("GET", f"/zones/{Z2}", token=acme).status_code == 404)
        gone = f"/accounts/{A1}/zones/{Z2}/history/{version}/restore"
        assert api.refused("POST", gone, token=acme)[:2] == (404, 1000)
        assert api.ask("a.example.net") == ["192.0.2.9"]
    finally:
        os.rename(root / "globex/zones/example.net.yaml", root / "acme/zones/example.net.yaml")
        wait_for(lambda: api.call("GET", f"/zones/{Z2}", token=acme).status_code == 200)


@pytest.mark.parametrize("name", ["www.example.com", "a.b.example.com", "com", "example"])
def test_zone_in_or_around_another_account_s_is_the_operator_s_to_make(api: Api, globex: str, name: str) -> None:
    body = {"name": name, "account": {"id": A2}}
    assert api.refused("POST", "/zones", body, token=globex)[:2] == (400, 1002)
    zone = api.result("POST", "/zones", body)
    api.result("DELETE", f"/zones/{zone['id']}")


def test_zone_around_another_account_s(api: Api, acme: str, globex: str) -> None:
    inner = made_zone(api, A1, "deep.around.test", acme)
    assert api.refused("POST", "/zones", {"name": "around.test", "account": {"id": A2}}, token=globex)[:2] == (
        400,
        1002,
    )
    made_zone(api, A1, "around.test", acme)
    api.result("DELETE", f"/zones/{inner}", token=acme)


def test_nobody_keeps_another_from_deleting_a_zone(api: Api, acme: str, globex: str) -> None:
    vendor = made_zone(api, A2, "vendor.test", api.operator)
    api.result(
        "POST", f"/zones/{vendor}/dns_records", {"type": "A", "name": "shop", "content": "192.0.2.8"}, token=globex
    )
    flat = made_zone(api, A1, "flat.test", acme)
    alias = {"type": "CNAME", "name": "@", "content": "shop.vendor.test"}
    api.result("POST", f"/zones/{flat}/dns_records", alias, token=acme)
    assert api.ask("flat.test") == ["192.0.2.8"]
    api.result("DELETE", f"/zones/{vendor}", token=globex)
    assert api.reply("flat.test").rcode() == 2  # no longer resolvable
    other = made_zone(api, A1, "flat2.test", acme)
    assert api.refused("POST", f"/zones/{other}/dns_records", alias, token=acme)[:2] == (400, 1001)
    api.result("DELETE", f"/zones/{flat}", token=acme)


def test_restore_takes_what_an_edit_takes(api: Api) -> None:
    """A version contains settings and records, so restoring it requires both permissions."""
    dns_only = api.token("--zone", Z1, "--permission", "dns:edit")
    api.result("PATCH", f"/zones/{Z1}", {"paused": True})
    version = api.result("GET", f"/zones/{Z1}/history")[-1]["version"]
    path = f"/zones/{Z1}/history/{version}/restore"
    assert api.refused("POST", path, token=dns_only)[:2] == (403, 10000)
    assert api.result("GET", f"/zones/{Z1}", token=dns_only)["paused"] is True
    api.result("PATCH", f"/zones/{Z1}", {"paused": False})


def test_status_of_a_zone_is_the_operator_s(api: Api, acme: str) -> None:
    zone = made_zone(api, A1, "status.test", acme)
    version = api.result("GET", f"/zones/{zone}/history", token=acme)[-1]["version"]
    file = api.folder / "accounts/acme/zones/status.test.yaml"
    file.write_text(file.read_text().replace("status: active", "status: initializing"))
    wait_for(lambda: api.result("GET", f"/zones/{zone}")["status"] == "initializing")
    assert api.refused("POST", f"/zones/{zone}/history/{version}/restore", token=acme)[:2] == (400, 1002)
    assert api.result("POST", f"/zones/{zone}/history/{version}/restore")["status"] == "active"


# Secrets


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", RECORDS, {"type": "NS", "name": "@", "content": "ns.evil.test"}),
        ("POST", RECORDS, {"type": "SOA", "name": "@", "content": "a.b. c.d. 5 1 2 3 4"}),
        ("POST", f"{RECORDS}/batch", {"posts": [{"type": "NS", "name": "@", "content": "ns.evil.test"}]}),
    ],
)
def test_soa_and_ns_of_the_apex_are_not_made(api: Api, method: str, path: str, body: Any) -> None:
    before = api.ask("example.com", "NS"), api.read("acme/zones/example.com.yaml")
    assert api.refused(method, path, body)[:2] == (400, 9007)
    assert before == (api.ask("example.com", "NS"), api.read("acme/zones/example.com.yaml"))


def test_target_is_looked_at_however_it_is_written(api: Api) -> None:
    body = {"type": "A", "name": "octets", "content": r"\# 4 7f000001", "proxied": True}
    assert api.refused("POST", RECORDS, body)[:2] == (400, 9003)
    files = {"file": (None, "p3 300 IN A 127.0.0.1\n"), "proxied": (None, "true")}
    assert api.refused("POST", f"{RECORDS}/import", files=files)[:2] == (400, 9003)


def test_ttl_of_an_import_is_one_that_may_be_asked_for(api: Api) -> None:
    files = {"file": (None, "i3 0 IN TXT a\ni4 2147483647 IN TXT a\ni5 1 IN TXT a\n")}
    assert api.result("POST", f"{RECORDS}/import", files=files)["recs_added"] == 3
    shown = {one["name"]: one for one in api.result("GET", f"{RECORDS}?type=TXT&content=a")}
    assert [shown[f"i{n}.example.com"]["ttl"] for n in (3, 4, 5)] == [60, 86_400, 1]
    for one in shown.values():
        api.result("PUT", f"{RECORDS}/{one['id']}", one)


# Responses


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


def test_message_that_terraform_looks_for_and_place_in_the_body(api: Api) -> None:
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


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/zones", {"name": "bad name.test", "account": {"id": A1}}, 9000),
        ("/zones", {"name": "partial.test", "account": {"id": A1}, "type": "partial"}, 1001),
        (MAPS, {"default_sni": "not a name"}, 1001),
        (MAPS, {"description": "a\u009bcontrol"}, 1001),
    ],
)
def test_what_nobody_means_is_refused(api: Api, path: str, body: Any, code: int) -> None:
    assert api.refused("POST", path, body)[:2] == (400, code)


def test_zone_of_a_part_of_a_network(api: Api) -> None:
    """RFC 2317 names contain a slash, which file names cannot."""
    made = api.result("POST", "/zones", {"name": "0/25.2.0.192.in-addr.arpa", "account": {"id": A1}})
    assert api.ask("0/25.2.0.192.in-addr.arpa", "SOA")
    api.result("DELETE", f"/zones/{made['id']}")


def test_edit_that_changes_nothing_writes_nothing(api: Api) -> None:
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


# Files


def test_name_that_differs_in_case_alone_is_not_taken(api: Api) -> None:
    api.write("acme/zones/Case.IO.yaml", "name: other-case.test\n")
    wait_for(lambda: api.result("GET", "/zones?name=other-case.test"))
    made = api.result("POST", "/zones", {"name": "case.io", "account": {"id": A1}})
    assert api.reply("case.io", "SOA").flags & dns.flags.AA
    api.write("acme/zones/later.test.yaml", "{records: []}\n")  # the files can still be loaded
    wait_for(lambda: api.result("GET", "/zones?name=later.test"))
    api.result("DELETE", f"/zones/{made['id']}")


def test_damaged_history_keeps_nothing_from_being_changed(api: Api) -> None:
    made = api.result("POST", MAPS, {"description": "one"})
    api.result("PATCH", f"{MAPS}/{made['id']}", {"description": "two"})
    folder = api.folder / "state/history" / made["id"]
    max(folder.iterdir()).write_bytes(b"")
    assert api.result("PATCH", f"{MAPS}/{made['id']}", {"description": "three"})["description"] == "three"
    assert len(api.result("GET", f"{MAPS}/{made['id']}/history")) == 3  # the damaged file's content is saved again
    api.result("DELETE", f"{MAPS}/{made['id']}")


def test_account_with_files_of_others_is_not_deleted(api: Api) -> None:
    account = api.result("POST", "/accounts", {"name": "Old"})
    folder = next(
        one.parent for one in (api.folder / "accounts").glob("*/account.yaml") if account["id"] in one.read_text()
    )
    (folder / "notes~").write_text("mine")
    status, code, message = api.refused("DELETE", f"/accounts/{account['id']}")
    assert (status, code) == (503, 1007)
    assert "notes~" in message
    assert (folder / "account.yaml").exists()
    (folder / "notes~").unlink()
    api.result("DELETE", f"/accounts/{account['id']}")
    assert not folder.exists()


def test_file_that_is_read_only_stays(api: Api) -> None:
    made = api.result("POST", MAPS, {"description": "fixed"})
    (file,) = (api.folder / "accounts/acme/maps").glob("fixed*")
    file.chmod(0o444)
    assert api.refused("PATCH", f"{MAPS}/{made['id']}", {"description": "x"})[:2] == (503, 1007)
    file.chmod(0o644)
    api.result("DELETE", f"{MAPS}/{made['id']}")


def test_master_file_that_becomes_yaml_keeps_its_comments_and_mode(api: Api) -> None:
    zone = api.result("GET", "/zones?name=m.test")[0]
    master = api.folder / "accounts/acme/zones/m.test.zone"
    master.chmod(0o600)
    api.result("PATCH", f"/zones/{zone['id']}", {"paused": True})
    written = master.with_suffix(".yaml")
    assert not master.exists()
    assert written.read_text().startswith("# keep me\n")
    assert written.stat().st_mode & 0o777 == 0o600


def test_change_waits_until_an_editor_has_written_all(api: Api) -> None:
    zone = made_zone(api, A1, "slow.test", api.operator)
    file = api.folder / "accounts/acme/zones/slow.test.yaml"
    line = "  - {{name: h{0}, type: A, content: 192.0.2.1}}\n".format
    head = f"id: {zone}\nname: slow.test\nrecords:\n"
    file.write_text(head + "".join(map(line, range(100))))
    wait_for(lambda: api.ask("h99.slow.test"))
    with file.open("r+") as editor:
        editor.truncate()
        editor.write(head + "".join(map(line, range(90))))
        editor.flush()
        time.sleep(0.02)
        editor.write("".join(map(line, range(90, 110))))
    api.result("POST", f"/zones/{zone}/dns_records", {"type": "A", "name": "api", "content": "192.0.2.2"})
    for name in ("h0", "h109", "api"):
        assert api.ask(f"{name}.slow.test"), name


def test_serial_does_not_go_back_at_a_restart(tmp_path: Path) -> None:
    with Api(tmp_path).running() as api:
        for number in range(5):
            api.result("POST", RECORDS, {"type": "TXT", "name": "t", "content": str(number)})
        before = serial(api)
        text = api.read("acme/zones/example.com.yaml")
        api.write("acme/zones/example.com.yaml", text + "\n# by hand\n")
        wait_for(lambda: serial(api) > before)
        before = serial(api)
        wait_for(lambda: (api.folder / "accounts/acme/zones/example.com.yaml").stat().st_mtime >= before)
    with Api(tmp_path, {}).running() as api:
        assert serial(api) >= before


def serial(api: Api) -> int:
    (soa,) = api.ask("example.com", "SOA")
    return int(soa.split()[2])


def test_file_from_a_far_future_is_read(tmp_path: Path) -> None:
    (tmp_path / "accounts/acme/zones").mkdir(parents=True)
    (tmp_path / "dnsd.yaml").write_text("{}\n")
    file = tmp_path / "accounts/acme/zones/a.test.yaml"
    file.write_text("{records: []}\n")
    os.utime(file, (2**33, 2**33))
    found = read_source(tmp_path / "dnsd.yaml", {}).files
    assert found
    assert found.files[0].modified == 2**33


# Parts


def test_comments_go_with_their_records() -> None:
    text = "records:\n- {name: a, type: A}  # about a\n- {name: b, type: A}  # about b\n"
    wanted = {"records": [{"name": "b", "type": "AAAA"}, {"name": "c", "type": "A"}]}
    edited = edited_yaml(text, wanted, {"records": [1, None]})
    assert "about a" not in edited
    assert [line.partition("  #")[2] for line in edited.splitlines()[1:]] == [" about b", ""]


def test_history_of_gone_objects_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnsd.manage.history.MAX_OBJECTS", 3)
    from datetime import UTC, datetime

    for run in range(2):  # including sessions of an earlier run
        history = History(tmp_path)
        for number in range(5):
            made = _Provenance("k", "MAP", "aa" * 16, datetime.now(UTC), "map.create", "")
            history.keep(f"{run}{number}".ljust(32, "0"), made, "text")
        history.keep(
            "bb" * 16, _Provenance("k", "MAP", "cc" * 16, datetime.now(UTC), "map.create", ""), "other account"
        )
    assert len(list((tmp_path / "history").iterdir())) == 4
    assert history.versions("bb" * 16)


def test_versions_are_in_the_order_in_which_they_were_seen(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    history = History(tmp_path)
    for text, at in (("one", datetime(2031, 1, 1, tzinfo=UTC)), ("two", datetime.now(UTC)), ("one", datetime.now(UTC))):
        history.keep("aa" * 16, _Provenance("k", "MAP", "bb" * 16, at, "map.edit", ""), text)
    texts = [found[1] for one in history.versions("aa" * 16) if (found := history.text("aa" * 16, one.version))]
    assert texts == ["one", "two", "one"]


def test_refused_requests_cost_the_audit_log_little(api: Api) -> None:
    log = api.folder / "state/audit.log"
    before = log.stat().st_size if log.exists() else 0
    body = {"posts": [{"type": "A", "name": "x", "content": "192.0.2.1", "comment": "c" * 60_000}] * 2}
    api.refused("POST", f"{RECORDS}/batch", body)
    assert log.stat().st_size - before < 4096
    assert json.loads(log.read_text().splitlines()[-1])["outcome"] == "refused"


def wait_for(is_so: Any, within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
