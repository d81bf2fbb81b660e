"""`dnsd map … --at`, `dnsd map pending`, `cancel` and `run` against a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import Result

from dnsd.manage.token_file import TokenFile
from tests.api.server import A1, FILES, Api
from tests.api.test_durability import wait_until
from tests.api.test_manage_commands import free_port, run, settings
from tests.api.test_pending_changes import MAP, MAPS, PENDING, SHOP, SHOP_TEXT, ahead, due_without_its_token

pytestmark = pytest.mark.usefixtures("nothing_pending")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    text = settings(f'api: {{listen: "127.0.0.1:{free_port()}"}}')
    files = FILES | {"acme/maps/shop.yaml": SHOP_TEXT}
    with Api(tmp_path_factory.mktemp("later"), files, settings=text).running() as api:
        yield api


def dnsd(api: Api, *arguments: str, token: str | None = "") -> Result:
    """Run a command with the operator's token; with None, with a token of its own."""
    secret = api.operator if token == "" else token
    return run(api.config, *arguments, env={"DNSD_API_TOKEN": secret or ""})


def pending(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.result("GET", PENDING)
    return found


COMMANDS = {
    "create": (("create", "--description", "New", "--account", "acme"), ["map.create"]),
    "edit": (("edit", "Shop", "--description", "Cakes"), ["map.edit"]),
    "enable": (("enable", "Shop"), ["map.edit"]),
    "disable": (("disable", "Shop"), ["map.edit"]),
    "add-ip": (("add-ip", "Shop", "203.0.113.12", "203.0.113.13"), ["map.add_ip", "map.add_ip"]),
    "remove-ip": (("remove-ip", "Shop", "203.0.113.10"), ["map.remove_ip"]),
    "add-zone": (("add-zone", "Shop", "example.net"), ["map.add_zone"]),
    "remove-zone": (("remove-zone", "Shop", "example.com"), ["map.remove_zone"]),
    "add-account": (("add-account", "Shop"), ["map.add_account"]),
    "remove-account": (("remove-account", "Shop"), ["map.remove_account"]),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_every_changing_command_can_wait(api: Api, what: str) -> None:
    arguments, actions = COMMANDS[what]
    maps = api.result("GET", MAPS)
    done = dnsd(api, "map", *arguments, "--at", ahead(hours=1))
    assert done.exit_code == 0, done.output
    assert done.stdout.count("scheduled for ") == len(actions)
    assert api.result("GET", MAPS) == maps
    assert [one["action"] for one in pending(api)] == actions
    assert all(one["id"] in done.stdout for one in pending(api))


def test_restoration_and_deletion_can_wait(api: Api) -> None:
    made = api.result("POST", MAPS, {"description": "Old"})["id"]
    version = api.result("GET", f"{MAPS}/{made}/history")[-1]["version"]
    for arguments in (("restore", made, version), ("delete", made)):
        done = dnsd(api, "map", *arguments, "--at", ahead(hours=1))
        assert done.exit_code == 0, done.output
    assert [one["action"] for one in pending(api)] == ["map.restore", "map.delete"]
    api.result("DELETE", f"{MAPS}/{made}")


def test_pending_changes_are_listed_cancelled_and_shown_with_their_plans(api: Api) -> None:
    dnsd(api, "map", "disable", "Shop", "--at", "2090-01-01T00:00:00Z")
    assert pending(api) == []
    done = dnsd(api, "map", "disable", "Shop", "--at", ahead(hours=2))
    assert "1 name in 1 zone will be answered differently" in done.stdout
    (change,) = pending(api)
    due = f"{change['deploy_at'][:19]}Z"
    listed = dnsd(api, "map", "pending").stdout.splitlines()
    assert listed[1].split()[:4] == [change["id"], due, "Shop", "edit"]
    assert listed[1].endswith("operator  pending")
    shown = dnsd(api, "map", "pending", "Shop").stdout
    assert "example.com: A 203.0.113.10, 203.0.113.11 -> 198.51.100.10, 198.51.100.11" in shown
    assert json.loads(dnsd(api, "map", "pending", "--json").stdout) == [change]
    assert dnsd(api, "map", "cancel", "0" * 32).exit_code == 1
    assert dnsd(api, "map", "cancel", change["id"][:3]).exit_code == 1
    cancelled = dnsd(api, "map", "cancel", change["id"][:8])
    assert (cancelled.exit_code, cancelled.stdout) == (0, f"cancelled: edit enabled=False ({change['id']})\n")
    assert pending(api) == []
    assert "there are no pending changes" in dnsd(api, "map", "pending").output


WRONG = {
    "tomorrow": "'tomorrow' is not a time with seconds and an offset, such as",
    "2026-12-01T03:00:00": "is not a time with seconds and an offset, such as",
    "2020-01-01T00:00:00Z": "deploy_at: the time has passed",
    "2090-01-01T00:00:00Z": "deploy_at: the limit is 366 days ahead",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_bad_time_is_refused(api: Api, text: str) -> None:
    done = dnsd(api, "map", "enable", "Shop", "--at", text)
    assert done.exit_code in (1, 2)
    assert WRONG[text] in " ".join(done.output.split())
    assert pending(api) == []


def test_a_dry_run_has_no_time(api: Api) -> None:
    done = dnsd(api, "map", "enable", "Shop", "--dry-run", "--at", ahead(hours=1))
    assert done.exit_code == 2
    assert "use it without --at" in done.output


def test_several_parts_are_scheduled_together_or_not_at_all(api: Api) -> None:
    done = dnsd(api, "map", "add-ip", "Shop", "203.0.113.12", "192.0.2.77", "--at", ahead(hours=1))
    assert (done.exit_code, "192.0.2.77" in done.output) == (1, True)
    assert pending(api) == []


def test_a_command_s_own_token_stays_until_its_change_is_made(api: Api) -> None:
    tokens = TokenFile(api.folder / "state")
    before = {token.id for token in tokens.tokens()}
    for seconds in (3, 10, 30):
        done = dnsd(api, "map", "add-ip", "Shop", "203.0.113.12", "--at", ahead(seconds=seconds), token=None)
        if done.exit_code == 0:
            break
    (own,) = (token for token in tokens.tokens() if token.id not in before)
    assert own.name.startswith("cli ")
    wait_until(lambda: pending(api) == [])
    assert "203.0.113.12" in [one["ip"] for one in api.result("GET", MAP)["ips"]]
    api.result("DELETE", f"{MAP}/ips/203.0.113.12")
    tokens.revoke(own.id)
    assert dnsd(api, "map", "enable", "Shop", "--at", "2020-01-01T00:00:00Z", token=None).exit_code == 1
    assert {token.id for token in tokens.tokens()} == before


def test_a_stopped_change_is_run_by_hand(api: Api) -> None:
    secret = api.token("--name", "alice", "--account", "acme")
    dnsd(api, "map", "add-ip", "Shop", "203.0.113.14", "--at", ahead(hours=1), token=secret)
    (change,) = pending(api)
    assert "it is not stopped" in dnsd(api, "map", "run", change["id"]).output
    dnsd(api, "map", "cancel", change["id"])
    change = due_without_its_token(api, secret, MAP)
    wait_until(lambda: pending(api)[0]["state"] == "stopped")
    assert "stopped: the token alice that scheduled it was revoked" in dnsd(api, "map", "pending").stdout
    done = dnsd(api, "map", "run", change["id"])
    assert (done.exit_code, done.stdout) == (0, f"changed {SHOP} (Shop)\n")
    assert "203.0.113.12" in [one["ip"] for one in api.result("GET", f"{MAPS}/{SHOP}")["ips"]]
    assert api.result("GET", f"/accounts/{A1}/addressing/pending_changes") == []
