"""The API leaves files of others alone, and keeps comments, modes and serials of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import dns.flags

from dnsd.formats.yaml_edit import edited_yaml
from dnsd.source import read_source
from tests.api.server import A1, Api
from tests.bugs.accounts import RECORDS, made_zone, wait_for

MAPS = f"/accounts/{A1}/addressing/address_maps"


def test_file_name_that_differs_in_case_alone_is_not_reused(api: Api) -> None:
    api.write("acme/zones/Case.IO.yaml", "name: other-case.test\n")
    wait_for(lambda: api.result("GET", "/zones?name=other-case.test"))
    made = api.result("POST", "/zones", {"name": "case.io", "account": {"id": A1}})
    assert api.reply("case.io", "SOA").flags & dns.flags.AA
    api.write("acme/zones/later.test.yaml", "{records: []}\n")  # the files can still be loaded
    wait_for(lambda: api.result("GET", "/zones?name=later.test"))
    api.result("DELETE", f"/zones/{made['id']}")


def test_account_with_foreign_files_is_not_deleted(api: Api) -> None:
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


def test_read_only_file_stays(api: Api) -> None:
    made = api.result("POST", MAPS, {"description": "fixed"})
    (file,) = (api.folder / "accounts/acme/maps").glob("fixed*")
    file.chmod(0o444)
    assert api.refused("PATCH", f"{MAPS}/{made['id']}", {"description": "x"})[:2] == (503, 1007)
    file.chmod(0o644)
    api.result("DELETE", f"{MAPS}/{made['id']}")


def test_master_file_turned_into_yaml_keeps_comments_and_mode(api: Api) -> None:
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


def test_file_from_a_far_future_counts_as_changed_now(tmp_path: Path) -> None:
    (tmp_path / "accounts/acme/zones").mkdir(parents=True)
    (tmp_path / "dnsd.yaml").write_text("{}\n")
    file = tmp_path / "accounts/acme/zones/a.test.yaml"
    file.write_text("{records: []}\n")
    os.utime(file, (2**33, 2**33))
    before = int(time.time())
    found = read_source(tmp_path / "dnsd.yaml", {}).files
    assert found
    assert before <= found.files[0].modified <= time.time()  # its serial, which is not to be 0


def test_comments_go_with_their_records() -> None:
    text = "records:\n- {name: a, type: A}  # about a\n- {name: b, type: A}  # about b\n"
    wanted = {"records": [{"name": "b", "type": "AAAA"}, {"name": "c", "type": "A"}]}
    edited = edited_yaml(text, wanted, {"records": [1, None]})
    assert "about a" not in edited
    assert [line.partition("  #")[2] for line in edited.splitlines()[1:]] == [" about b", ""]
