"""`dnsd map` and `dnsd zone` against a running server: output, effects, dry runs, refusals, and tokens."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dnsd.cli import main
from dnsd.manage.token_file import TokenFile
from dnsd.settings.file import load_settings
from tests.api.server import A1, A2, FILES, IMMUTABLE, MI, SETTINGS, Z1, Z2, Z3, Api
from tests.limits import HANG_S
from tests.live.server import PROJECT

P = f"/accounts/{A1}/addressing/address_maps"
ASKED = re.compile(r"recent questions|^for example ")  # lines about the questions that other tests asked
MASTER = """\
$TTL 300
@    IN SOA ns1 hostmaster 1 2 3 4 5
     IN NS  ns1
www  IN A   192.0.2.1
new  IN A   192.0.2.60
text IN TXT "a;b"
"""
ANSWERED = [(name, rtype) for name in ("www.example.com", "www.example.net") for rtype in ("A", "AAAA")]


def settings(api: str) -> str:
    return SETTINGS.replace('api: {listen: "127.0.0.1:0"}', api)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that has its API's address in the settings file."""
    text = settings(f'api: {{listen: "127.0.0.1:{free_port()}"}}')
    with Api(
        tmp_path_factory.mktemp("cli"), FILES | {"acme/maps/fallback.yaml": IMMUTABLE}, settings=text
    ).running() as api:
        yield api


@pytest.fixture
def shop(api: Api) -> Iterator[str]:
    """The id of an enabled map for example.com; deleted after the test."""
    body = {
        "description": "Shop",
        "enabled": True,
        "ips": ["203.0.113.10"],
        "memberships": [{"kind": "zone", "identifier": Z1}],
    }
    made = api.result("POST", P, body)["id"]
    yield made
    if api.call("GET", f"{P}/{made}").status_code == 200:
        api.result("PATCH", f"{P}/{made}", {"enabled": False})
        api.result("DELETE", f"{P}/{made}")


def run(config: pathlib.Path, *arguments: str, env: dict[str, str] | None = None, **options: Any) -> Result:
    clean: dict[str, str | None] = {"NO_COLOR": None, "DNSD_API_URL": None, "DNSD_API_TOKEN": None}
    clean |= {"DNSD_CONFIG": str(config), "LOGNAME": "tester"}
    return CliRunner().invoke(main, arguments, env={**clean, **(env or {})}, **options)


def done(api: Api, *arguments: str, **options: Any) -> str:
    """The output of a command, which must succeed without messages."""
    result = run(api.config, *arguments, **options)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def files(api: Api) -> dict[str, str]:
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted((api.folder / "accounts").rglob("*"))
        if file.is_file()
    }


def answers(api: Api) -> list[list[str]]:
    return [api.ask(*question) for question in ANSWERED]


def record_id(api: Api, name: str, zone: str = Z1) -> str:
    (found,) = api.result("GET", f"/zones/{zone}/dns_records?name={name}")
    return str(found["id"])


# Output

SHOWN = {
    "all maps": (
        ["map", "list"],
        f"""\
          id                                description  account  enabled  members  addresses
          {MI}  Fallback     Acme     yes      account          2
        """,
    ),
    "the maps of an account": (
        ["map", "list", "--account", "acme"],
        f"""\
          id                                description  enabled  members  addresses
          {MI}  Fallback     yes      account          2
        """,
    ),
    "a map": (
        ["map", "show", "1a1a1a1a"],
        f"""\
        {MI} (Fallback)
          account    Acme ({A1})
          enabled    yes
          immutable  yes
          addresses  203.0.113.30
                     2001:db8:100::30
          members    account Acme
          created    TIME
          modified   TIME
        """,
    ),
    "all zones": (
        ["zone", "list"],
        f"""\
          name         id                                account  status
          example.com  {Z1}  Acme     active
          example.net  {Z2}  Acme     active
          example.org  {Z3}  Globex   active
        """,
    ),
    "the zones of an account": (
        ["zone", "list", "--account", A2],
        f"""\
          name         id                                account  status
          example.org  {Z3}  Globex   active
        """,
    ),
    "a zone": (
        ["zone", "show", "Example.ORG."],
        f"""\
        example.org
          id                  {Z3}
          account             Globex ({A2})
          status              active
          name servers        ns1.example.net
                              ns2.example.net
          ipv6                on
          flatten all CNAMEs  off
          modified            TIME
        """,
    ),
    "records": (
        ["zone", "records", Z1],
        """\
          id                                name             type  ttl   proxied  content
          50f813bafad2bd32e99ca1d228939d2c  www.example.com  A     auto  yes      192.0.2.1
          ca830880bbcf19374922daa70214503d  dns.example.com  A     3600  -        192.0.2.2
        """,
    ),
    "records at a name": (
        ["zone", "records", "example.com", "--name", "DNS", "--type", "a"],
        """\
          id                                name             type  ttl   proxied  content
          ca830880bbcf19374922daa70214503d  dns.example.com  A     3600  -        192.0.2.2
        """,
    ),
}


@pytest.mark.parametrize(("arguments", "expected"), SHOWN.values(), ids=SHOWN.keys())
def test_shown(api: Api, arguments: list[str], expected: str) -> None:
    lines = [line[8:] for line in expected.splitlines()]
    shown = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", done(api, *arguments))
    assert shown.splitlines() == lines[:-1]
    assert "\t" not in shown


AS_JSON = {
    "map list --account Acme": P,
    "map show Fallback": f"{P}/{MI}",
    "map history Fallback": f"{P}/{MI}/history",
    "zone list": "/zones",
    "zone records example.com": f"/zones/{Z1}/dns_records",
    "zone records example.com --type A --name www": f"/zones/{Z1}/dns_records?name=www.example.com",
    "zone history example.com": f"/zones/{Z1}/history",
}


@pytest.mark.parametrize("command", AS_JSON)
def test_json_equals_the_apis_result(api: Api, command: str) -> None:
    assert json.loads(done(api, *command.split(), "--json")) == api.result("GET", AS_JSON[command])


def test_json_of_a_zone_includes_its_settings(api: Api) -> None:
    output = json.loads(done(api, "zone", "show", "example.com", "--json"))
    assert output.pop("ipv6") == api.result("GET", f"/zones/{Z1}/settings/ipv6")
    assert output.pop("dns_settings") == api.result("GET", f"/zones/{Z1}/dns_settings")
    assert output == api.result("GET", f"/zones/{Z1}")


COLOUR: dict[str, tuple[bool, dict[str, str], bool]] = {
    "a terminal": (True, {}, True),
    "a pipe": (False, {}, False),
    "a terminal and NO_COLOR": (True, {"NO_COLOR": "1"}, False),
}


@pytest.mark.parametrize(("terminal", "env", "colour"), COLOUR.values(), ids=COLOUR.keys())
@pytest.mark.parametrize("command", ["map list", "map show Fallback", "zone show example.com"])
def test_colour(api: Api, command: str, terminal: bool, env: dict[str, str], colour: bool) -> None:
    assert ("\x1b[" in done(api, *command.split(), env=env, color=terminal)) is colour


def test_control_characters_are_escaped(api: Api, shop: str) -> None:
    api.result("PATCH", f"{P}/{shop}", {"description": "x\u202ey"})
    for command in (["list"], ["show", shop], ["disable", shop], ["enable", shop, "--dry-run"]):
        result = run(api.config, "map", *command, color=True)
        assert result.exit_code == 0
        shown = result.output
        assert r"x\u202ey" in shown
        assert "\u202e" not in shown


# Maps


def test_life_of_a_map(api: Api) -> None:
    before = answers(api)
    create = ["--account", "Acme", "--description", "Life", "--ip", "203.0.113.40", "--zone", "example.com"]
    made = re.fullmatch(r"created ([0-9a-f]{32}) \(Life\)\n", done(api, "map", "create", *create))
    assert made
    map_id, name = made[1], f"{made[1]} (Life)\n"
    assert answers(api) == before
    assert done(api, "map", "enable", "Life") == "enabled " + name
    assert answers(api) == [["203.0.113.40"], [], *before[2:]]
    assert done(api, "map", "add-ip", map_id[:8], "203.0.113.41", "2001:DB8:100:0::40", "203.0.113.41") == (
        "changed " + name
    )
    assert answers(api) == [["203.0.113.40", "203.0.113.41"], ["2001:db8:100::40"], *before[2:]]
    done(api, "map", "remove-ip", "Life", "203.0.113.40", "2001:db8:100::40")
    done(api, "map", "add-zone", "Life", "example.net", Z1)
    assert answers(api) == [["203.0.113.41"], [], ["203.0.113.41"], []]
    done(api, "map", "remove-zone", "Life", "example.com")
    assert answers(api) == [*before[:2], ["203.0.113.41"], []]
    done(api, "map", "edit", "Life", "--sni", "*.example.net", "--description", "Other")
    assert "*.example.net" in done(api, "map", "show", "Other")
    done(api, "map", "add-account", "Other")
    assert "zone example.net" in done(api, "map", "show", "Other")
    done(api, "map", "remove-account", "Other")
    done(api, "map", "edit", "Other", "--sni", "")
    assert done(api, "map", "disable", "Other") == f"disabled {map_id} (Other)\n"
    assert answers(api) == before
    assert done(api, "map", "delete", "Other") == f"deleted {map_id} (Other)\n"
    assert api.refused("GET", f"{P}/{map_id}")[:2] == (404, 1000)
    history = json.loads(done(api, "map", "history", map_id, "--json"))
    assert {one["token"] for one in history} == {"cli tester"}
    first = history[-1]["version"]
    assert f"id: {map_id}" in done(api, "map", "history", map_id, first)
    assert "no answer would change" in done(api, "map", "restore", map_id, first, "--dry-run")
    assert api.refused("GET", f"{P}/{map_id}")[:2] == (404, 1000)
    assert done(api, "map", "restore", map_id, first) == f"restored {map_id} (Life)\n"
    assert json.loads(done(api, "map", "delete", map_id, "--json")) == []


def test_created_map_as_json(api: Api) -> None:
    output = json.loads(done(api, "map", "create", "--account", A1, "--ip", "203.0.113.42", "--account-wide", "--json"))
    assert output == api.result("GET", f"{P}/{output['id']}")
    assert [(one["kind"], one["identifier"]) for one in output["memberships"]] == [("account", A1)]
    assert json.loads(done(api, "map", "add-zone", output["id"], Z2, "--json")) == api.result(
        "GET", f"{P}/{output['id']}"
    )
    api.result("DELETE", f"{P}/{output['id']}")


def test_all_parts_are_refused_before_the_first_is_written(api: Api, shop: str) -> None:
    before = api.result("GET", f"{P}/{shop}")
    result = run(api.config, "map", "add-ip", "Shop", "203.0.113.43", "192.0.2.77")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "192.0.2.77 is outside the account" in result.stderr
    assert "(code 1001)" in result.stderr
    assert api.result("GET", f"{P}/{shop}") == before


def test_removing_a_missing_part_is_a_warning(api: Api, shop: str) -> None:
    before = api.result("GET", f"{P}/{shop}")
    for command in (["remove-ip", "Shop", "203.0.113.99"], ["remove-zone", "Shop", Z2], ["remove-account", "Shop"]):
        result = run(api.config, "map", *command)
        assert result.exit_code == 0
        assert result.stderr.startswith(f"warning: the map {shop} (Shop) does not have ")
    assert api.result("GET", f"{P}/{shop}") == before


PLAN_KEYS = {"zones", "zones_total", "names_total", "names_of_other_accounts", "effects", "share_of_questions"}
PLAN_KEYS |= {"forgotten_after_s", "replay", "warnings"}
CHANGES = {
    "a new map": (
        ["map", "create", "--account", "Acme", "--ip", "203.0.113.44", "--account-wide", "--zone", Z2, "--enable"],
        """\
        example.net
          names  www.example.net
          A      203.0.113.30 -> 203.0.113.44
          AAAA   2001:db8:100::30 -> none
          map    Fallback -> the new map
        caches may give the old answers for 300 s after the change
        1 name in 1 zone would be answered differently; nothing was written
        """,
    ),
    "a new map without effect": (
        ["map", "create", "--account", "Acme", "--ip", "203.0.113.44", "--zone", "example.com"],
        """\
        no answer would change; nothing was written
        """,
    ),
    "another address": (
        ["map", "add-ip", "Shop", "203.0.113.11", "2001:db8:100::11"],
        """\
        example.com
          names  www.example.com
          A      203.0.113.10 -> 203.0.113.10, 203.0.113.11
          AAAA   none -> 2001:db8:100::11
          map    Shop
        caches may give the old answers for 300 s after the change
        1 name in 1 zone would be answered differently; nothing was written
        """,
    ),
    "another zone": (
        ["map", "add-zone", "Shop", "example.net"],
        """\
        example.net
          names  www.example.net
          A      203.0.113.30 -> 203.0.113.10
          AAAA   2001:db8:100::30 -> none
          map    Fallback -> Shop
        caches may give the old answers for 300 s after the change
        1 name in 1 zone would be answered differently; nothing was written
        """,
    ),
    "a zone removed": (
        ["map", "remove-zone", "Shop", "example.com"],
        """\
        example.com
          names  www.example.com
          A      203.0.113.10 -> 203.0.113.30
          AAAA   none -> 2001:db8:100::30
          map    Shop -> Fallback
        caches may give the old answers for 300 s after the change
        1 name in 1 zone would be answered differently; nothing was written
        """,
    ),
    "a deleted map": (
        ["map", "disable", "Shop"],
        """\
        example.com
          names  www.example.com
          A      203.0.113.10 -> 203.0.113.30
          AAAA   none -> 2001:db8:100::30
          map    Shop -> Fallback
        caches may give the old answers for 300 s after the change
        1 name in 1 zone would be answered differently; nothing was written
        """,
    ),
    "texts": (
        ["map", "edit", "Shop", "--description", "x"],
        """\
        no answer would change; nothing was written
        """,
    ),
    "a new record": (
        ["zone", "add-record", "example.com", "@", "MX", "mail.example.org", "--priority", "10", "--comment", "x"],
        """\
        + example.com. 1 IN MX 10 mail.example.org. ; x
        1 to add, 0 to remove; nothing was written
        """,
    ),
    "an edited record": (
        ["zone", "edit-record", "example.com", "ca830880", "--ttl", "60", "--content", "192.0.2.3"],
        """\
        - dns.example.com. 3600 IN A 192.0.2.2 ; cf_tags=cf-proxied:false
        + dns.example.com. 60 IN A 192.0.2.3 ; cf_tags=cf-proxied:false
        1 to add, 1 to remove; nothing was written
        """,
    ),
    "an unchanged record": (
        ["zone", "edit-record", "example.com", "ca830880", "--ttl", "3600"],
        """\
        0 to add, 0 to remove; nothing was written
        """,
    ),
    "a deleted record": (
        ["zone", "delete-record", "example.com", "50f813bafad2bd32e99ca1d228939d2c", "50F8"],
        """\
        - www.example.com. 1 IN A 192.0.2.1 ; cf_tags=cf-proxied:true
        0 to add, 1 to remove; nothing was written
        """,
    ),
    "a file": (
        ["zone", "import", "example.com", "-"],
        """\
        + new.example.com. 300 IN A 192.0.2.60 ; cf_tags=cf-proxied:false
        + text.example.com. 300 IN TXT "a;b"
        2 to add, 0 to remove; nothing was written
        """,
    ),
    "a file, proxied": (
        ["zone", "import", "example.com", "-", "--proxied"],
        """\
        + new.example.com. 1 IN A 192.0.2.60 ; cf_tags=cf-proxied:true
        + text.example.com. 300 IN TXT "a;b"
        2 to add, 0 to remove; nothing was written
        """,
    ),
}


@pytest.mark.parametrize(("arguments", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_dry_run_shows_the_change_and_writes_nothing(api: Api, shop: str, arguments: list[str], expected: str) -> None:
    before = files(api), answers(api)
    lines = [line[8:] for line in expected.splitlines()[:-1]]
    result = run(api.config, *arguments, "--dry-run", input=MASTER)
    assert all("the change does not name them" in line for line in result.stderr.splitlines())
    shown = result.stdout.splitlines()
    assert [line for line in shown if not ASKED.search(line)] == lines
    output = json.loads(done(api, *arguments, "--dry-run", "--json", input=MASTER))
    assert output.keys() in (PLAN_KEYS, {"added", "removed"})
    assert (files(api), answers(api)) == before


def test_dry_run_predicts_the_change(api: Api, shop: str) -> None:
    plan = json.loads(done(api, "map", "disable", "Shop", "--dry-run", "--json"))
    assert plan["zones"][0]["new"]["A"] != api.ask("www.example.com")
    done(api, "map", "disable", "Shop")
    assert plan["zones"][0]["new"]["A"] == api.ask("www.example.com")


def test_dry_run_of_restoring_a_map(api: Api, shop: str) -> None:
    done(api, "map", "add-ip", "Shop", "203.0.113.12")
    first = json.loads(done(api, "map", "history", "Shop", "--json"))[-1]["version"]
    before = files(api), answers(api)
    output = done(api, "map", "restore", "Shop", first, "--dry-run")
    assert "  A      203.0.113.10, 203.0.113.12 -> 203.0.113.10\n" in output
    assert (files(api), answers(api)) == before
    done(api, "map", "restore", "Shop", first)
    assert api.ask("www.example.com") == ["203.0.113.10"]


# Zones and records


def test_life_of_a_zone(api: Api) -> None:
    made = re.fullmatch(
        r"created ([0-9a-f]{32}) \(life\.example\)\n", done(api, "zone", "create", "life.example", "--account", "acme")
    )
    assert made
    done(api, "zone", "add-record", "life.example", "www", "A", "192.0.2.5", "--proxied")
    assert api.ask("www.life.example") == ["203.0.113.30"]
    assert done(api, "zone", "pause", "life.example") == f"paused {made[1]} (life.example)\n"
    assert api.ask("www.life.example") == ["192.0.2.5"]
    assert "active, paused" in done(api, "zone", "show", "life.example")
    assert json.loads(done(api, "zone", "resume", "life.example", "--json"))["paused"] is False
    assert api.ask("www.life.example") == ["203.0.113.30"]
    assert done(api, "zone", "delete", "life.example", "--yes") == f"deleted {made[1]} (life.example)\n"
    assert api.reply("www.life.example").rcode() == 5
    history = json.loads(done(api, "zone", "history", "life.example", "--json"))
    assert not any(one["current"] for one in history)
    output = done(api, "zone", "restore", "life.example", history[0]["version"], "--dry-run")
    assert output.splitlines()[0] == "+ www.life.example. 1 IN A 192.0.2.5 ; cf_tags=cf-proxied:true"
    assert api.reply("www.life.example").rcode() == 5
    done(api, "zone", "restore", made[1], history[0]["version"])
    assert api.ask("www.life.example") == ["203.0.113.30"]
    assert json.loads(done(api, "zone", "delete", "life.example", "--yes", "--json")) == {"id": made[1]}


def test_life_of_records(api: Api) -> None:
    made = re.match(
        r"created ([0-9a-f]{32}) \(cli\.example\.net MX 10 mail\.example\.org\)\n",
        done(api, "zone", "add-record", Z2, "cli", "mx", "mail.example.org", "--priority", "10", "--ttl", "60"),
    )
    assert made
    assert api.ask("cli.example.net", "MX") == ["10 mail.example.org."]
    done(api, "zone", "edit-record", Z2, made[1][:6], "--content", "mx.example.org", "--comment", "the new one")
    assert api.ask("cli.example.net", "MX") == ["10 mx.example.org."]
    assert done(api, "zone", "records", Z2, "--name", "cli").splitlines()[1].endswith("10 mx.example.org  the new one")
    output = json.loads(done(api, "zone", "add-record", Z2, "cli", "TXT", "--json", "--", "-x"))
    assert output == api.result("GET", f"/zones/{Z2}/dns_records/{output['id']}")
    result = run(api.config, "zone", "delete-record", Z2, made[1], "0" * 32)
    assert (result.exit_code, result.stdout) == (1, "")
    assert api.ask("cli.example.net", "MX") == ["10 mx.example.org."]
    assert done(api, "zone", "delete-record", Z2, made[1], output["id"]) == (
        f"deleted {made[1]} (cli.example.net MX 10 mx.example.org)\n"
        f"deleted {output['id']} (cli.example.net TXT {output['content']})\n"
    )
    assert run(api.config, "zone", "records", Z2, "--name", "cli").stderr == "no records match\n"


def test_export_shows_a_zone_as_dns_answers_it(api: Api) -> None:
    lines = done(api, "zone", "export", "example.net", "--answered").splitlines()
    answered = [line.split("\t") for line in lines if not line.startswith(";;")]
    (owner, rtype, address) = next((o, t, data) for o, _, _, t, data in answered if t == "A")
    assert address in api.ask(owner.removesuffix("."), rtype)
    stored = done(api, "zone", "export", "example.net")
    origins = [line.split("\t")[4].split(" ;")[0] for line in stored.splitlines() if "cf-proxied:true" in line]
    assert origins
    assert not {*origins} & {data for *_, data in answered}
    refused = api.call("GET", f"/zones/{Z2}/dns_records/export?view=other")
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["message"] == "the query parameter `view` is stored or answered"


def test_export_can_be_imported(api: Api, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "example.net.zone"
    done(api, "zone", "create", "export.example", "--account", A1)
    file.write_text(MASTER)
    assert done(api, "zone", "import", "export.example", str(file)) == "added 3 records; 0 already existed\n"
    assert done(api, "zone", "export", "export.example", str(file)) == ""
    lines = [line for line in done(api, "zone", "export", "export.example").splitlines() if "SOA" not in line]
    assert [line for line in file.read_text().splitlines() if "SOA" not in line][3:] == lines[3:]
    assert done(api, "zone", "import", "export.example", "-", input=file.read_text()) == (
        "added 0 records; 3 already existed\n"
    )
    history = json.loads(done(api, "zone", "history", "export.example", "--json"))
    text = done(api, "zone", "history", "export.example", history[-1]["version"])
    assert "name: export.example" in text
    before = files(api)
    output = done(api, "zone", "restore", "export.example", history[-1]["version"], "--dry-run").splitlines()
    assert [line[0] for line in output] == ["-", "-", "-", "0"]
    assert files(api) == before
    records = json.loads(done(api, "zone", "records", "export.example", "--json"))
    done(api, "zone", "delete-record", "export.example", *(one["id"] for one in records))
    output = json.loads(done(api, "zone", "import", "export.example", str(file), "--json"))
    assert output == {"recs_added": 3, "total_records_parsed": 3}
    done(api, "zone", "delete", "export.example", "--yes")


@pytest.mark.parametrize(("typed", "status"), [("example.test.\n", 0), ("example.tes\n", 1)])
def test_deletion_on_a_terminal_asks_for_the_name(api: Api, typed: str, status: int) -> None:
    done(api, "zone", "create", "example.test", "--account", A1)
    reader, terminal = pty.openpty()
    command = [sys.executable, "-m", "dnsd", "zone", "delete", "example.test", "-c", str(api.config)]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        os.write(reader, typed.encode())
        stdout, stderr = process.communicate(timeout=HANG_S)
    os.close(reader)
    os.close(terminal)
    assert "This deletes all records of example.test. Type the zone's name: " in stderr
    assert process.returncode == status
    assert stdout.startswith("deleted ") is (status == 0)
    assert api.reply("example.test").rcode() == (5 if status == 0 else 0)
    if status:
        assert "nothing was deleted" in stderr
        done(api, "zone", "delete", "example.test", "--yes")


def test_token_of_an_interrupted_command_is_revoked(api: Api) -> None:
    reader, terminal = pty.openpty()
    command = [sys.executable, "-m", "dnsd", "zone", "delete", "example.net", "-c", str(api.config)]
    with subprocess.Popen(command, cwd=PROJECT, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE) as process:
        assert process.stderr
        assert process.stderr.read(4) == b"This"
        assert len(TokenFile(api.folder / "state").tokens()) == 2
        for _ in range(10):  # a signal just before the read of the terminal takes effect only at the next signal
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=3)
                break
    os.close(reader)
    os.close(terminal)
    assert process.returncode == 1
    assert [token.name for token in TokenFile(api.folder / "state").tokens()] == ["operator"]


# Refusals

REFUSED: dict[str, tuple[list[str], int, str]] = {
    "a rule": (["map", "delete", "Shop"], 1, r"the map is enabled: disable it before deleting it \(code 1002\)\n"),
    "a rule, dry run": (["map", "delete", "Shop", "--dry-run"], 1, r"the map is enabled.* \(code 1002\)\n"),
    "an immutable map": (["map", "add-ip", MI, "203.0.113.31"], 1, r".*immutable.* \(code 1002\)\n"),
    "an address outside every prefix": (
        ["map", "create", "--account", A1, "--ip", "192.0.2.77"],
        1,
        r"ips\[0\]: 192\.0\.2\.77 is outside the account.* \(code 1001\)\n",
    ),
    "a foreign zone": (["map", "add-zone", "Shop", "example.org"], 1, r".*no zone.*in the account \(code 1000\)\n"),
    "no such map": (["map", "show", "Shoe"], 1, "there is no address map 'Shoe'\n"),
    "no map with this id": (["map", "history", "0" * 32], 1, "there is no address map '0+'\n"),
    "too short an id": (["map", "disable", MI[:3]], 1, "there is no address map '1a1'\n"),
    "another account's map": (["map", "show", "Shop", "--account", "Globex"], 1, "there is no address map 'Shop'\n"),
    "no such version": (["map", "restore", "Shop", "x"], 1, r"not_found: .*version.* \(code 1000\)\n"),
    "no such account": (["map", "list", "--account", "Initech"], 1, "there is no account 'Initech'\n"),
    "an empty account": (["zone", "list", "--account", ""], 1, "there is no account ''\n"),
    "no account with this id": (["map", "list", "--account", "0" * 32], 1, r"not_found: .* \(code 1000\)\n"),
    "no such zone": (["zone", "show", "example.edu"], 1, "there is no zone 'example.edu'\n"),
    "a filter for a zone": (["zone", "delete", "contains:example.com", "--yes"], 1, "there is no zone 'contains:"),
    "no history of a zone": (["zone", "history", "example.edu"], 1, "there is no zone 'example.edu'\n"),
    "an existing zone": (
        ["zone", "create", "example.org", "--account", A2],
        1,
        r"name: example\.org already exists \(code 1061\)\n",
    ),
    "an identical record": (
        ["zone", "add-record", "example.com", "dns", "A", "192.0.2.2"],
        1,
        r".* \(code 81058\)\n",
    ),
    "a record's data": (["zone", "add-record", Z1, "x", "A", "x"], 1, r"content: .* \(code 9005\)\n"),
    "a record's data, dry run": (
        ["zone", "add-record", Z1, "x", "A", "x", "--dry-run"],
        1,
        r"content: .* \(code 9005\)\n",
    ),
    "no such record": (["zone", "delete-record", Z1, "0" * 32], 1, r"Record does not exist\. \(code 81044\)\n"),
    "no record with such an id": (["zone", "delete-record", Z1, "0000"], 1, "there is no record '0000' in example.com"),
    "an asterisk for a record": (["zone", "delete-record", Z1, "*"], 1, r"there is no record '\*' in example\.com\n"),
    "a record's file": (["zone", "import", Z1, "/nowhere"], 1, "/nowhere cannot be read: No such file or directory\n"),
    "an export to a missing folder": (
        ["zone", "export", Z1, "/nowhere/x"],
        1,
        "/nowhere/x cannot be written: No such file",
    ),
    "which account": (["map", "create"], 2, r"(?s).*Error: the token covers 2 accounts; choose .*Acme \(a1a1"),
    "which account of a zone": (["zone", "create", "example.edu"], 2, "(?s).*choose with --account"),
    "an invalid address": (
        ["map", "add-ip", "Shop", "203.0.113.0/24"],
        2,
        "(?s).*'203.0.113.0/24' is not an IP address",
    ),
    "an empty map": (["map", "disable", " "], 2, "(?s).*the map must not be empty"),
    "an empty zone": (["zone", "delete", "", "--yes"], 2, "(?s).*the zone must not be empty"),
    "an empty record": (["zone", "delete-record", Z1, ""], 2, "(?s).*the record must not be empty"),
    "no records": (["zone", "delete-record", Z1], 2, r"(?s).*Missing argument 'ID\.\.\.'"),
    "an empty filter": (["zone", "records", Z1, "--name", ""], 2, "(?s).*the name must not be empty"),
    "an unknown filter": (["zone", "records", Z1, "--type", "AAB"], 2, "(?s).*AAB"),
    "a filter elsewhere": (["zone", "records", Z1, "--name", "x.example.org."], 2, "(?s).*outside the zone"),
    "an invalid zone name": (["zone", "show", "a..b"], 2, "(?s).*two dots"),
    "nothing to edit": (["map", "edit", "Shop"], 2, "(?s).*nothing to change"),
    "no field to edit": (["zone", "edit-record", Z1, "50f8"], 2, "(?s).*nothing to change"),
    "no confirmation": (["zone", "delete", "example.com"], 2, "(?s).*use --yes"),
    "an invalid URL": (["map", "list", "--url", "localhost:8053"], 2, "(?s).*'localhost:8053' is not a URL"),
    "a token in the URL": (
        ["map", "list", "--url", "http://a:b@localhost"],
        2,
        "(?s).*must not contain a user name or a token",
    ),
    "a token on the command line": (["map", "list", "--token", "x"], 2, "(?s).*No such option"),
    "another machine without a token": (
        ["map", "list", "--url", "https://dns.example.org"],
        2,
        r"(?s).*https://dns\.example\.org/client/v4 requires a token: set \$DNSD_API_TOKEN or use --token-file",
    ),
    "a missing token file": (["map", "list", "--token-file", "/nowhere"], 2, "(?s).*/nowhere cannot be read"),
    "a token file without a token": (["map", "list", "--token-file", "/dev/null"], 2, "(?s).*holds no token"),
    "another port": (
        ["map", "list", "--url", "http://127.0.0.1:1"],
        2,
        "(?s).*is not the server of .*set \\$DNSD_API_TOKEN",
    ),
}


@pytest.mark.parametrize(("arguments", "status", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(api: Api, shop: str, arguments: list[str], status: int, message: str) -> None:
    before = files(api)
    result = run(api.config, *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert re.match(message, result.stderr), result.stderr
    assert "Traceback" not in result.stderr
    assert files(api) == before
    assert [token.name for token in TokenFile(api.folder / "state").tokens()] == ["operator"]


def test_every_error_is_on_a_line_of_its_own(api: Api) -> None:
    result = run(api.config, "zone", "add-record", Z1, "x", "MX", "a b c", "--ttl", "5", "--proxied")
    assert result.exit_code == 1
    assert sorted(re.sub(r".*\(code (\d+)\)", r"\1", line) for line in result.stderr.splitlines()) == [
        "1001",
        "9004",
        "9021",
    ]


def test_ambiguous_description_needs_the_id(api: Api, shop: str) -> None:
    other = api.result("POST", P, {"description": "Shop"})["id"]
    result = run(api.config, "map", "enable", "Shop")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == "2 matches for address map 'Shop'; choose one by its id:"
    assert set(result.stderr.splitlines()[1:]) == {f"{one} (Shop)" for one in (shop, other)}
    done(api, "map", "delete", other)


def test_wrong_file_is_refused_with_every_wrong_line(api: Api, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "x.zone"
    file.write_text("a 300 IN A x\nb 300 IN A 192.0.2.1\nc 300 IN AAA x\n")
    result = run(api.config, "zone", "import", "example.com", str(file), "--dry-run")
    assert result.exit_code == 1
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == [f"{file}:1:12", f"{file}:3:10"]
    result = run(api.config, "zone", "import", "example.com", str(file))
    assert result.exit_code == 1
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == ["line 1, column 12", "line 3, column 10"]
    file.write_bytes("a 300 IN TXT x\n".encode("utf-16"))
    result = run(api.config, "zone", "import", "example.com", str(file), "--dry-run")
    assert result.stderr == f"{file}:1:1: the text is in UTF-16; save it as UTF-8\n"
    result = run(api.config, "zone", "import", "example.com", str(file))
    assert "line 1, column 1: the text is in UTF-16; save it as UTF-8" in result.stderr


# Address and token


def test_token_of_a_command_is_an_operators_and_temporary(api: Api, shop: str) -> None:
    tokens = TokenFile(api.folder / "state")
    name = "cli " + ("\u00fcser" * 30)
    done(api, "map", "disable", "Shop", env={"LOGNAME": name.removeprefix("cli ")})
    made = [one["token"] for one in api.result("GET", f"{P}/{shop}/history")]
    assert made[0] == name[:100]
    assert [token.name for token in tokens.tokens()] == ["operator"]


def test_tokens_of_killed_commands_are_revoked(api: Api) -> None:
    tokens, now = TokenFile(api.folder / "state"), datetime.now(UTC)
    for name, expires in (("cli old", -1), ("cli new", 60), ("ci", -1)):
        tokens.create(name=name, now=now, expires_at=now + timedelta(seconds=expires))
    done(api, "zone", "list")
    assert [token.name for token in tokens.tokens()] == ["operator", "cli new", "ci"]
    for name in ("cli new", "ci"):
        tokens.revoke(name)


def test_given_token_is_used(api: Api, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "token"
    file.write_text(api.token("--account", A2) + "\n")
    zone_token = api.token("--zone", Z2, "--permission", "zones:read")
    for env, arguments, zones in (
        ({"DNSD_API_TOKEN": zone_token}, (), ["example.net"]),
        ({}, ("--token-file", str(file)), ["example.org"]),
        ({"DNSD_API_TOKEN": zone_token}, ("--token-file", str(file)), ["example.org"]),
        ({"DNSD_API_TOKEN": ""}, (), ["example.com", "example.net", "example.org"]),
    ):
        output = json.loads(done(api, "zone", "list", "--json", *arguments, env=env))
        assert [one["name"] for one in output] == zones
    assert "flatten" not in done(api, "zone", "show", Z2, env={"DNSD_API_TOKEN": zone_token})
    result = run(api.config, "map", "list", env={"DNSD_API_TOKEN": zone_token})
    assert (result.exit_code, result.stderr) == (1, "the token covers no account\n")
    result = run(api.config, "zone", "pause", Z2, env={"DNSD_API_TOKEN": zone_token})
    assert result.exit_code == 1
    assert re.search(r"lacks the permission zones:edit \(code 10000\)\n", result.stderr)
    done(api, "map", "create", "--token-file", str(file))  # its only account
    (made,) = json.loads(done(api, "map", "list", "--token-file", str(file), "--json"))
    done(api, "map", "delete", made["id"], "--token-file", str(file))
    for name in [token.id for token in TokenFile(api.folder / "state").tokens() if token.name != "operator"]:
        TokenFile(api.folder / "state").revoke(name)


@pytest.mark.parametrize("end", ["", "/", "/client/v4", "/client/v4/"])
def test_url_of_the_server_or_of_the_api(api: Api, end: str) -> None:
    nowhere = str(api.folder / "none.yaml")
    env = {"DNSD_CONFIG": nowhere, "DNSD_API_URL": api.origin + end, "DNSD_API_TOKEN": api.operator}
    assert done(api, "zone", "list", env=env).count("\n") == 4
    assert done(api, "zone", "list", "--url", api.origin + end).count("\n") == 4


def test_variables_of_commands_are_not_settings(api: Api) -> None:
    load_settings(api.config, {"DNSD_API_URL": "http://localhost", "DNSD_API_TOKEN": "x"})


def test_wrong_token(api: Api) -> None:
    result = run(api.config, "map", "list", env={"DNSD_API_TOKEN": "wrong"})
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Authentication error: the token is unknown or has expired (code 10000)\n"


def test_token_is_required_without_write_access_to_the_state(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    result = run(api.config, "map", "list")
    assert result.exit_code == 2
    assert "requires a token: set $DNSD_API_TOKEN or use --token-file" in result.stderr
    assert run(api.config, "map", "list", env={"DNSD_API_TOKEN": api.operator}).exit_code == 0


NO_SERVER = {
    "no api": (
        "",
        3,
        'has no `api`: the server\'s HTTP API is off. To turn it on, add: api: {listen: "127.0.0.1:8053"}\n',
    ),
    "no running server": ('api: {listen: "127.0.0.1:1"}', 3, "no server can be reached in "),
    "a port chosen at the start": ('api: {listen: "127.0.0.1:0"}', 2, "use --url with"),
    "wrong settings": ("api: {listn: x}", 1, "unknown key"),
}


@pytest.mark.parametrize(("text", "status", "message"), NO_SERVER.values(), ids=NO_SERVER.keys())
def test_no_server(tmp_path: pathlib.Path, text: str, status: int, message: str) -> None:
    config = tmp_path / "dnsd.yaml"
    config.write_text(settings(text))
    result = run(config, "map", "list")
    assert (result.exit_code, result.stdout) == (status, "")
    assert message in result.stderr
    assert not (tmp_path / "state").exists()


def test_no_settings(tmp_path: pathlib.Path) -> None:
    result = run(tmp_path / "none.yaml", "zone", "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "none.yaml:1:1: cannot be read: No such file or directory" in result.stderr


class Stranger(BaseHTTPRequestHandler):
    """Another server; the path selects its response."""

    def do_GET(self) -> None:
        what = self.path.split("/")[1]
        self.send_response({"page": 200, "json": 200, "elsewhere": 302}[what])
        self.send_header("Location", "/stolen")
        self.end_headers()
        self.wfile.write(b'{"result": []}' if what == "json" else b"<html>")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("what", ["page", "json", "elsewhere"])
def test_response_of_another_server(tmp_path: pathlib.Path, what: str) -> None:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/{what}"
            result = run(tmp_path / "none.yaml", "zone", "list", "--url", url, env={"DNSD_API_TOKEN": "x"})
        finally:
            server.shutdown()
            thread.join()
    assert (result.exit_code, result.stdout) == (3, "")
    assert "is not a dnsd API: it answers " in result.stderr


def test_only_requests_import_httpx() -> None:
    code = "import sys, dnsd.cli, dnsd.web.listener, dnsd.api.app; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


def test_shell_completes_commands_and_options() -> None:
    for words, expected in (("dnsd map add-", "add-zone"), ("dnsd zone import --p", "--proxied")):
        env = {"_DNSD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        result = CliRunner().invoke(main, prog_name="dnsd", env=env)
        assert expected in result.output
