"""Changes that make the addresses of origins public: told in the API's messages, refused on request, asked about on a
terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from cloudflare import BadRequestError, Cloudflare

from tests.api.server import A1, A2, FILES, Z1, Api
from tests.api.test_durability import wait_until
from tests.api.test_manage_commands import free_port, run, settings
from tests.limits import HANG_S
from tests.live.server import PROJECT

RECORD, ALIAS, SIX = "41" * 16, "42" * 16, "43" * 16
ZONE = f"/zones/{Z1}"
RECORDS = f"{ZONE}/dns_records"
TEXT = f"""
id: "{Z1}"
records:
  - {{id: "{RECORD}", name: www, type: A, content: 192.0.2.1, proxied: true}}
  - {{id: "{ALIAS}", name: cdn, type: CNAME, content: origin.example.org, proxied: true}}
  - {{id: "{SIX}", name: six, type: AAAA, content: "2001:db8::6", proxied: true}}
  - {{name: plain, type: A, content: 192.0.2.2}}
"""
ALL = [
    "cdn.example.com is answered as stored: origin.example.org becomes public",
    "six.example.com is answered as stored: 2001:db8::6 becomes public",
    "www.example.com is answered as stored: 192.0.2.1 becomes public",
]
NET = "www.example.net is answered as stored: 192.0.2.1 becomes public"
FILE = "acme/zones/example.com.yaml"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    text = settings(f'api: {{listen: "127.0.0.1:{free_port()}"}}')
    files = FILES | {FILE: TEXT, "globex/zones/example.org.yaml": "records: []\n"}
    with Api(tmp_path_factory.mktemp("open"), files, settings=text).running() as api:
        yield api


@pytest.fixture(autouse=True)
def _as_before(api: Api) -> Iterator[None]:
    yield
    api.result("PATCH", f"/accounts/{A1}/dns_settings", {"enforce_dns_only": False})
    api.result("PATCH", ZONE, {"paused": False})
    for one in api.result("GET", RECORDS):
        if one["id"] not in (RECORD, ALIAS, SIX) and one["name"] != "plain.example.com":
            api.result("DELETE", f"{RECORDS}/{one['id']}")
    there = {one["id"] for one in api.result("GET", RECORDS)}
    assert {RECORD, ALIAS, SIX} <= there
    for record_id in (RECORD, ALIAS, SIX):
        api.result("PATCH", f"{RECORDS}/{record_id}", {"proxied": True})


def messages(api: Api, method: str, path: str, body: Any = None, **options: Any) -> list[str]:
    response = api.call(method, path, body, **options)
    assert response.status_code == 200, response.text
    return sorted(one["message"] for one in response.json()["messages"])


WAYS: dict[str, tuple[str, str, Any, list[str]]] = {
    "an edit of a record": ("PATCH", f"{RECORDS}/{RECORD}", {"proxied": False}, ALL[2:]),
    "a replaced record": (
        "PUT",
        f"{RECORDS}/{RECORD}",
        {"name": "www", "type": "A", "content": "192.0.2.1", "ttl": 60, "proxied": False},
        ALL[2:],
    ),
    "an alias": ("PATCH", f"{RECORDS}/{ALIAS}", {"proxied": False}, ALL[:1]),
    "an IPv6 record": ("PATCH", f"{RECORDS}/{SIX}", {"proxied": False}, ALL[1:2]),
    "a batch": (
        "POST",
        f"{RECORDS}/batch",
        {"patches": [{"id": one, "proxied": False} for one in (RECORD, SIX)]},
        ALL[1:],
    ),
    "pause": ("PATCH", ZONE, {"paused": True}, ALL),
    "enforce_dns_only": ("PATCH", f"/accounts/{A1}/dns_settings", {"enforce_dns_only": True}, [*ALL, NET]),
}


@pytest.mark.parametrize("what", WAYS)
def test_every_way_into_the_open_is_told_and_can_be_refused(api: Api, what: str) -> None:
    method, path, body, expected = WAYS[what]
    before = api.result("GET", RECORDS), api.result("GET", ZONE)
    response = api.call(method, path, body, params={"into_open": "refuse"})
    errors = response.json()["errors"]
    assert (response.status_code, {one["code"] for one in errors}) == (400, {1012})
    assert sorted(one["message"] for one in errors) == expected
    assert (api.result("GET", RECORDS), api.result("GET", ZONE)) == before
    assert messages(api, method, path, body) == expected


def test_a_restored_version_is_told(api: Api) -> None:
    api.result("PATCH", f"{RECORDS}/{RECORD}", {"proxied": False})
    version = api.result("GET", f"{ZONE}/history")[0]["version"]
    api.result("PATCH", f"{RECORDS}/{RECORD}", {"proxied": True})
    path = f"{ZONE}/history/{version}/restore"
    assert api.refused("POST", path, params={"into_open": "refuse"})[:2] == (400, 1012)
    assert messages(api, "POST", path) == ALL[2:]


RECORDS_OF_ALL = {
    RECORD: ({"name": "www", "type": "A", "content": "192.0.2.1", "ttl": 60}, ALL[2:]),
    SIX: ({"name": "six", "type": "AAAA", "content": "2001:db8::6", "ttl": 60}, ALL[1:2]),
    ALIAS: ({"name": "cdn", "type": "CNAME", "content": "origin.example.org", "ttl": 60}, ALL[:1]),
}
REQUESTS: dict[str, Callable[[str, Any], tuple[str, str, Any]]] = {
    "PATCH": lambda one, body: ("PATCH", f"{RECORDS}/{one}", {"proxied": False}),
    "PUT": lambda one, body: ("PUT", f"{RECORDS}/{one}", {**body, "proxied": False}),
    "PUT without proxied": lambda one, body: ("PUT", f"{RECORDS}/{one}", body),
    "patches of a batch": lambda one, body: (
        "POST",
        f"{RECORDS}/batch",
        {"patches": [{"id": one, "proxied": False}]},
    ),
    "puts of a batch": lambda one, body: ("POST", f"{RECORDS}/batch", {"puts": [{**body, "id": one}]}),
}


@pytest.mark.parametrize("one", RECORDS_OF_ALL)
@pytest.mark.parametrize("request_", REQUESTS)
def test_ways_of_one_record(api: Api, one: str, request_: str) -> None:
    """IPv6-only names and aliases, too."""
    body, expected = RECORDS_OF_ALL[one]
    method, path, said = REQUESTS[request_](one, body)
    assert api.refused(method, path, said, params={"into_open": "refuse"})[:2] == (400, 1012)
    assert api.result("GET", f"{RECORDS}/{one}")["proxied"] is True
    assert messages(api, method, path, said) == expected


DELETIONS: dict[str, Callable[[str], tuple[str, str, Any]]] = {
    "DELETE": lambda one: ("DELETE", f"{RECORDS}/{one}", None),
    "deletes of a batch": lambda one: ("POST", f"{RECORDS}/batch", {"deletes": [{"id": one}]}),
}


def below_a_wildcard(api: Api) -> str:
    """The id of a proxied record, without which a wildcard answers for its name, as stored."""
    made = {"name": "*.shops", "type": "AAAA", "content": "2001:db8::77", "ttl": 60}
    api.result("POST", RECORDS, made)
    made = {"name": "one.shops", "type": "AAAA", "content": "2001:db8::78", "proxied": True}
    return str(api.result("POST", RECORDS, made)["id"])


BELOW = "one.shops.example.com is answered as stored: 2001:db8::77 becomes public"


@pytest.mark.parametrize("way", DELETIONS)
def test_name_left_to_a_wildcard_is_told(api: Api, way: str) -> None:
    method, path, body = DELETIONS[way](below_a_wildcard(api))
    status, code, message = api.refused(method, path, body, params={"into_open": "refuse"})
    assert (status, code, message) == (400, 1012, BELOW)
    assert messages(api, method, path, body) == [BELOW]


STATES = {"paused": "paused: true", "moved": "status: moved", "pending": "status: pending"}


@pytest.mark.parametrize("state", STATES)
def test_restored_state_of_a_zone_is_told(api: Api, state: str) -> None:
    reloaded(api, f"{STATES[state]}\n{TEXT}")
    api.result("PATCH", f"{RECORDS}/{RECORD}", {"comment": f"while {state}"})
    version = api.result("GET", f"{ZONE}/history")[0]["version"]
    reloaded(api, TEXT)
    path = f"{ZONE}/history/{version}/restore"
    assert api.refused("POST", path, params={"into_open": "refuse"})[:2] == (400, 1012)
    assert messages(api, "POST", path) == ALL
    reloaded(api, TEXT)


def reloaded(api: Api, text: str) -> None:
    """Serve another text of the zone's file."""
    api.write(FILE, text)
    done = run(api.config, "reload")
    assert done.exit_code == 0, done.output


def test_python_sdk_gets_the_messages(api: Api) -> None:
    with Cloudflare(api_token=api.operator, base_url=f"{api.origin}/client/v4") as sdk:
        records = sdk.dns.records.with_raw_response
        response = records.edit(SIX, zone_id=Z1, name="six", type="AAAA", ttl=60, content="2001:db8::6", proxied=False)
        assert [one["message"] for one in response.json()["messages"]] == ALL[1:2]
        with pytest.raises(BadRequestError, match=r"192\.0\.2\.1 becomes public"):
            sdk.zones.edit(zone_id=Z1, paused=True, extra_query={"into_open": "refuse"})


def test_an_import_that_leaves_a_name_proxied_is_not_told(api: Api) -> None:
    """A record without `proxied` at a proxied name does not make the name's origin public."""
    files = {"file": (None, "www 300 IN A 192.0.2.77\n")}
    response = api.call("POST", f"{RECORDS}/import", files=files, params={"into_open": "refuse"})
    assert (response.status_code, response.json()["messages"]) == (200, [])
    assert api.ask("www.example.com")[0].startswith("198.51.100.")


UNTOLD = {
    "a new record": ("POST", RECORDS, {"name": "new", "type": "A", "content": "192.0.2.9", "ttl": 60}),
    "a comment": ("PATCH", f"{RECORDS}/{RECORD}", {"comment": "hidden"}),
    "a new origin": ("PATCH", f"{RECORDS}/{RECORD}", {"content": "192.0.2.1"}),
}


@pytest.mark.parametrize("what", UNTOLD)
def test_other_changes_are_not_told(api: Api, what: str) -> None:
    method, path, body = UNTOLD[what]
    assert messages(api, method, path, body, params={"into_open": "refuse"}) == []


def test_an_unknown_wish_is_refused(api: Api) -> None:
    response = api.call("PATCH", ZONE, {"paused": True}, params={"into_open": "ask"})
    (error,) = response.json()["errors"]
    assert (response.status_code, error["source"]) == (400, {"pointer": "/into_open"})


def test_other_accounts_names_are_not_told(api: Api) -> None:
    token = api.token("--name", "globex", "--account", "globex")
    assert messages(api, "PATCH", f"/accounts/{A2}/dns_settings", {"enforce_dns_only": True}, token=token) == []
    api.result("PATCH", f"/accounts/{A2}/dns_settings", {"enforce_dns_only": False})


def test_token_without_records_learns_no_origin(api: Api) -> None:
    token = api.token("--account", A1, "--permission", "zones:edit")
    refused = {"params": {"into_open": "refuse"}, "token": token}
    status, code, message = api.refused("PATCH", f"/zones/{Z1}", {"paused": True}, **refused)
    assert (status, code) == (400, 1012), message
    assert "192.0.2." not in api.call("PATCH", f"/zones/{Z1}", {"paused": True}, **refused).text


# Commands


class CommandCase(NamedTuple):
    """A command, the line that it shows first, and the answer after it."""

    arguments: tuple[str, ...]
    line: str
    name: str = "www.example.com"
    rtype: str = "A"
    answer: str = "192.0.2.1"


def restoring(api: Api) -> CommandCase:
    api.result("PATCH", f"{RECORDS}/{RECORD}", {"proxied": False})
    version = api.result("GET", f"{ZONE}/history")[0]["version"]
    api.result("PATCH", f"{RECORDS}/{RECORD}", {"proxied": True})
    return CommandCase(("restore", "example.com", version), ALL[2])


def deleting(api: Api) -> CommandCase:
    arguments = ("delete-record", "example.com", below_a_wildcard(api))
    return CommandCase(arguments, BELOW, "one.shops.example.com", "AAAA", "2001:db8::77")


COMMANDS: dict[str, Callable[[Api], CommandCase]] = {
    "edit-record": lambda api: CommandCase(("edit-record", "example.com", RECORD, "--no-proxied"), ALL[2]),
    "pause": lambda api: CommandCase(("pause", "example.com"), ALL[2]),
    "delete-record": deleting,
    "restore": restoring,
}


def on_terminal(api: Api, *arguments: str, typed: str) -> tuple[int, str]:
    """The exit status and all output of a command on a terminal."""
    main, terminal = pty.openpty()
    environment = os.environ | {"DNSD_CONFIG": str(api.config), "DNSD_API_TOKEN": api.operator}
    command = [sys.executable, "-m", "dnsd", "zone", *arguments]
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        env=environment,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        os.write(main, typed.encode())
        said, _ = process.communicate(timeout=HANG_S)
    os.close(main)
    os.close(terminal)
    return process.returncode, said


@pytest.mark.parametrize("what", COMMANDS)
def test_a_command_on_a_terminal_asks_first(api: Api, what: str) -> None:
    case = COMMANDS[what](api)
    before = api.result("GET", RECORDS), api.result("GET", ZONE)
    status, said = on_terminal(api, *case.arguments, typed="n\n")
    assert status == 1
    assert case.line in said
    assert "Make these addresses public?" in said
    assert "nothing was changed" in said
    assert (api.result("GET", RECORDS), api.result("GET", ZONE)) == before
    status, said = on_terminal(api, *case.arguments, typed="y\n")
    assert status == 0, said
    wait_until(lambda: api.ask(case.name, case.rtype) == [case.answer])


@pytest.mark.parametrize("what", ["edit-record", "restore"])
def test_a_command_with_yes_does_not_ask(api: Api, what: str) -> None:
    status, said = on_terminal(api, *COMMANDS[what](api).arguments, "--yes", typed="")
    assert (status, "public" in said) == (0, False)


@pytest.mark.parametrize("what", ["pause", "delete-record"])
def test_a_command_in_a_pipe_works_as_before(api: Api, what: str) -> None:
    case = COMMANDS[what](api)
    done = run(api.config, "zone", *case.arguments, env={"DNSD_API_TOKEN": api.operator})
    assert done.exit_code == 0, done.output
    wait_until(lambda: api.ask(case.name, case.rtype) == [case.answer])
