"""An account with errors is held while the others change: in the API, for operators and monitors, over restarts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.server import A1, A2, FILES, SETTINGS, WWW, Z1, Z2, Z3, Api
from tests.browser.sessions import Person
from tests.limits import HANG_S
from tests.live.forked import run

WITH_METRICS = SETTINGS + 'metrics: {listen: "127.0.0.1:0"}\n'
MAP = """
description: Shop
enabled: true
ips: [203.0.113.10]
memberships: [{kind: zone, identifier: example.com}]
"""
BROKEN_MAP = MAP.replace("203.0.113.10", "203.0.113.10, 203.0.113.999")
WORLD = {**FILES, "acme/maps/shop.yaml": MAP}
NEW_ZONE = WWW.replace("192.0.2.1", "192.0.2.99")


@pytest.fixture(name="api")
def _api(tmp_path: Path) -> Iterator[Api]:
    with Api(tmp_path, WORLD, settings=WITH_METRICS).running() as api:
        yield api


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + HANG_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def cli(api: Api, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(*arguments, "-c", str(api.config))


def page(api: Api, path: str) -> tuple[int, list[str]]:
    """The status and lines of a page for monitors."""
    line = next(line for line in api.dns.stdout.text().splitlines() if line.endswith(" metrics"))
    reply = api.client.get(f"http://{line.split()[2]}{path}")
    return reply.status_code, reply.text.splitlines()


def held(api: Api) -> list[str]:
    return [line for line in page(api, "/readyz")[1] if line.startswith("held: ")]


def break_the_map(api: Api) -> None:
    api.write("acme/maps/shop.yaml", BROKEN_MAP)
    wait_for(lambda: held(api) == ["held: acme"])


def test_others_are_updated_and_monitors_notified(api: Api) -> None:
    api.write("globex/zones/example.org.yaml", FILES["globex/zones/example.org.yaml"] + more("new", "192.0.2.77"))
    break_the_map(api)
    wait_for(lambda: api.ask("new.example.org") == ["192.0.2.77"])
    assert api.ask("www.example.com") == ["203.0.113.10"]
    assert page(api, "/readyz") == (200, ["ok", "held: acme"])
    assert page(api, "/healthz") == (200, ["ok"])
    assert "dnsd_accounts_held 1.0" in page(api, "/metrics")[1]
    assert "dnsd_source_ok 0.0" in page(api, "/metrics")[1]
    shown = cli(api, "status").stdout
    assert "the account acme is held at its last good version" in shown
    assert "203.0.113.999" in shown
    api.write("acme/maps/shop.yaml", MAP)
    wait_for(lambda: held(api) == [])
    assert "dnsd_accounts_held 0.0" in page(api, "/metrics")[1]
    assert "dnsd_source_ok 1.0" in page(api, "/metrics")[1]


def more(name: str, ip: str) -> str:
    return f"  - {{name: {name}, type: A, content: {ip}}}\n"


def test_reload_names_held_accounts_and_exits_1(api: Api) -> None:
    api.write("acme/maps/shop.yaml", BROKEN_MAP)
    done = cli(api, "reload")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert any(line.startswith(f"{api.folder}/accounts/acme/maps/shop.yaml:4:") for line in lines)
    revision = json.loads(cli(api, "status", "--json").stdout)["revision"]
    assert lines[-1] == f"revision {revision} is served; held: acme"
    said = json.loads(cli(api, "reload", "--json").stdout)
    assert (said["served"], said["held"], said["refused"]) == (revision + 1, ["acme"], False)

    api.config.write_text(WITH_METRICS + "nonsense: 1\n")
    done = cli(api, "reload")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"refused; still serving revision {revision + 1}"
    said = json.loads(cli(api, "reload", "--json").stdout)
    assert (said["served"], said["refused"]) == (None, True)

    api.config.write_text(WITH_METRICS)
    api.write("acme/maps/shop.yaml", MAP)
    done = cli(api, "reload")
    assert (done.returncode, done.stderr) == (0, "")


def test_check_reports_every_problem_and_exits_1(api: Api) -> None:
    api.write("acme/maps/shop.yaml", BROKEN_MAP)
    api.write("globex/zones/example.org.yaml", "records: 5\n")
    done = cli(api, "check")
    assert done.returncode == 1
    assert "acme/maps/shop.yaml:4:" in done.stderr
    assert "globex/zones/example.org.yaml:1:" in done.stderr


def test_object_whose_file_is_in_error_is_not_written(api: Api) -> None:
    map_id = api.result("GET", f"/accounts/{A1}/addressing/address_maps")[0]["id"]
    break_the_map(api)
    path = f"/accounts/{A1}/addressing/address_maps/{map_id}"
    for method, where, body in (
        ("PATCH", path, {"description": "x"}),
        ("PUT", f"{path}/ips/203.0.113.12", None),
        ("DELETE", f"{path}/zones/{Z1}", None),
    ):
        status, code, message = api.refused(method, where, body)
        assert (status, code) == (400, 1002)
        assert "acme/maps/shop.yaml:4:" in message
        assert "203.0.113.999" in message
        assert str(api.folder) not in message
    assert api.read("acme/maps/shop.yaml") == BROKEN_MAP


def test_other_objects_are_written_and_survive_kills(tmp_path: Path) -> None:
    """ACME must not stop for a broken map."""
    world = Api(tmp_path, WORLD, settings=WITH_METRICS)
    with world.running() as api:
        break_the_map(api)
        for number in range(3):
            body = {"type": "TXT", "name": f"_acme-challenge.h{number}", "content": f'"token {number}"'}
            api.result("POST", f"/zones/{Z2}/dns_records", body)
        api.result("POST", f"/zones/{Z3}/dns_records", {"type": "A", "name": "b", "content": "192.0.2.78"})
        assert api.ask("_acme-challenge.h1.example.net", "TXT") == ['"token 1"']
        kill_all(api)
    with world.running() as api:
        assert held(api) == ["held: acme"]
        assert api.ask("www.example.com") == ["203.0.113.10"]
        assert [api.ask(f"_acme-challenge.h{n}.example.net", "TXT") for n in range(3)] == [
            [f'"token {n}"'] for n in range(3)
        ]
        assert api.ask("b.example.org") == ["192.0.2.78"]
        api.result("POST", f"/zones/{Z2}/dns_records", {"type": "A", "name": "c", "content": "192.0.2.79"})
        assert held(api) == ["held: acme"]


def kill_all(api: Api) -> None:
    os.kill(api.dns.process.pid, signal.SIGKILL)
    api.dns.process.wait(HANG_S)


def test_reads_show_the_served_version(api: Api) -> None:
    api.write("acme/zones/example.net.yaml", NEW_ZONE.replace("192.0.2.99", "none"))
    wait_for(lambda: held(api) == ["held: acme"])
    records = api.result("GET", f"/zones/{Z2}/dns_records")
    assert [one["content"] for one in records] == ["192.0.2.1"]
    assert records[0]["meta"]["held"] is True
    assert api.result("GET", f"/zones/{Z1}")["meta"]["held"] is True
    assert api.result("GET", f"/accounts/{A1}/addressing/address_maps")[0]["meta"]["held"] is True
    assert api.result("GET", f"/accounts/{A1}")["meta"]["held"] is True
    assert "held" not in api.result("GET", f"/zones/{Z3}")["meta"]
    assert "held" not in api.result("GET", f"/zones/{Z3}/dns_records")[0]["meta"]


def test_refusal_of_a_claimed_name_does_not_reveal_its_owner(api: Api) -> None:
    """A tenant learns nothing about another tenant whose object its own file claims."""
    api.write("globex/zones/example.net.yaml", WWW)
    wait_for(lambda: held(api) == ["held: globex"])
    token = api.token("--name", "globex", "--account", A2)
    status, _, message = api.refused("POST", "/zones", {"name": "example.net", "account": {"id": A2}}, token=token)
    assert status == 400
    assert "acme" not in message
    with httpx.Client(base_url=api.origin, timeout=HANG_S) as client:
        assert client.get("/").status_code in (200, 303)


@pytest.mark.parametrize("name", ["w\udcffd", "wood\nheld: globex"])
def test_name_of_a_held_account_is_shown_on_one_line(name: str, api: Api) -> None:
    """With any folder name, the server keeps running and reveals nothing about other accounts."""
    api.write(f"{name}/zones/q.example.yaml", "records: 1\n")
    shown = name.encode("unicode_escape").decode()
    wait_for(lambda: held(api) == [f"held: {shown}"])
    api.write("globex/zones/example.org.yaml", FILES["globex/zones/example.org.yaml"] + more("new", "192.0.2.77"))
    wait_for(lambda: api.ask("new.example.org") == ["192.0.2.77"])
    assert cli(api, "reload").stderr.splitlines()[-1].endswith(f"is served; held: {shown}")
    assert json.loads(cli(api, "status", "--json").stdout)["held"]
    assert "Traceback" not in api.dns.stderr.text()


def test_dashboard_shows_held_accounts_to_their_users(api: Api) -> None:
    api.write("acme/zones/example.org.yaml", WWW)  # globex has it
    wait_for(lambda: held(api) == ["held: acme"])
    banners = {}
    for name, options in {"operator": (), "acme": ("--account", A1), "globex": ("--account", A2)}.items():
        with Person(api, api.token("--name", name, *options)) as person:
            banners[name] = re.findall(r"<p><strong>Acme</strong> is held.*?</p>", person.get("/").text)
    assert [len(banners[name]) for name in ("operator", "acme", "globex")] == [1, 1, 0]
    assert "globex" in banners["operator"][0]
    assert "globex" not in banners["acme"][0]


def test_new_objects_avoid_files_that_are_not_served(api: Api) -> None:
    api.write("acme/zones/new.example.yaml", "records: 1\n")
    wait_for(lambda: held(api) == ["held: acme"])
    status, code, message = api.refused("POST", "/zones", {"name": "new.example", "account": {"id": A1}})
    assert (status, code) == (400, 1002)
    assert "acme/zones/new.example.yaml:1:" in message
    assert api.read("acme/zones/new.example.yaml") == "records: 1\n"


def test_write_that_resolves_a_clash_releases_the_account(api: Api) -> None:
    api.write("globex/zones/example.net.yaml", NEW_ZONE)
    wait_for(lambda: held(api) == ["held: globex"])
    api.result("DELETE", f"/zones/{Z2}")
    wait_for(lambda: held(api) == [])
    zones = api.result("GET", "/zones?name=example.net")
    assert [one["account"]["id"] for one in zones] == [A2]


def test_held_account_is_an_alarm_after_a_while(api: Api) -> None:
    break_the_map(api)

    def actions() -> list[str]:
        return [f"{entry['action']} {entry['object']}" for entry in api.audited()]

    assert "account.held acme" not in actions()
    wait_for(lambda: "account.held acme" in actions())
    wait_for(lambda: "alarm: the account acme is held" in api.dns.stderr.text())
    api.write("acme/maps/shop.yaml", MAP)
    wait_for(lambda: "account.let_go acme" in actions())


RESTARTS = ("restart", "kill -9, and again")


@pytest.mark.parametrize("how", RESTARTS)
def test_old_answers_survive_restarts(how: str, tmp_path: Path) -> None:
    world = Api(tmp_path, WORLD, settings=WITH_METRICS)
    with world.running() as api:
        break_the_map(api)
        api.write("new/zones/fresh.example.yaml", "records: 1\n")  # an account that was never valid
        wait_for(lambda: held(api) == ["held: acme", "held: new"])
        if how != "restart":
            kill_all(api)
    for _ in range(2):
        with world.running() as api:
            assert held(api) == ["held: acme", "held: new"]
            assert api.ask("www.example.com") == ["203.0.113.10"]
            assert api.ask("www.example.org") == ["198.51.100.10", "198.51.100.11"]
            assert api.ask("www.fresh.example") == []
            if how != "restart":
                kill_all(api)
    world.write("acme/maps/shop.yaml", MAP.replace(".10]", ".11]"))
    world.write("new/zones/fresh.example.yaml", WWW)
    with world.running() as api:
        assert held(api) == []
        assert api.ask("www.example.com") == ["203.0.113.11"]
        assert api.ask("www.fresh.example") == ["198.51.100.10", "198.51.100.11"]


def test_first_start_with_an_error_is_refused(tmp_path: Path) -> None:
    world = Api(tmp_path, {**WORLD, "acme/maps/shop.yaml": BROKEN_MAP, "globex/account.yaml": "x: 1\n"})
    done = cli(world, "serve")
    assert done.returncode == 1
    assert "acme/maps/shop.yaml:4:" in done.stderr
    assert "globex/account.yaml:1:1" in done.stderr


def test_leftovers_do_not_count_and_strangers_count_after_a_while(api: Api) -> None:
    for name in ("4913", "example.com.yaml.bak", "x~", "shop.yaml.rpmnew", "shop.yaml.dpkg-old", "@eaDir/x"):
        api.write(f"acme/zones/{name}", "?")
    api.write("lost+found/x", "?")
    api.write("README.md", "?")
    api.write("acme/zones/notes.txt", "?")
    time.sleep(2)
    assert held(api) == []  # an editor may be in the middle of a save
    assert cli(api, "check").returncode == 1
    wait_for(lambda: held(api) == ["held: acme"])
    (api.folder / "accounts/acme/zones/notes.txt").unlink()
    wait_for(lambda: held(api) == [])
    assert cli(api, "check").returncode == 0
