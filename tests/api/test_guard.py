"""The guard and the brake on live servers: reloads, the watch, restarts of control, starts, and rows of requests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnsd.api.policies import GROUPS_BY_PERMISSION
from dnsd.manage.tokens import AccessLevel, Area
from dnsd.model.fields import derived_id
from tests.api.server import SETTINGS, Api
from tests.api.test_durability import is_back, pid_of, wait_until
from tests.api.test_held import cli, page
from tests.browser.sessions import Person

METRICS = 'metrics: {listen: "127.0.0.1:0"}\n'
UNWATCHED = f"{SETTINGS}{METRICS}reload: {{watch: false}}\n"
WATCHED = f"{SETTINGS}{METRICS}"
POOL = ["198.51.100.10", "198.51.100.11"]
COUNT = 40
FEW = 3
RECORDS = (
    "records:\n- {name: www, type: A, content: 192.0.2.1, proxied: true}\n- {name: d, type: A, content: 192.0.2.2}\n"
)


def account(number: int) -> str:
    return derived_id("account", f"a{number:02}")


def map_path(number: int) -> str:
    return f"/accounts/{account(number)}/addressing/address_maps/{derived_id('map', account(number), 'all')}"


def map_text(number: int, last: int = 10, **fields: object) -> str:
    rest = "".join(f"{key}: {value}\n" for key, value in fields.items())
    member = f"memberships: [{{kind: account, identifier: a{number:02}}}]\n"
    return f"enabled: true\nips: [203.0.{number}.{last}]\n{member}{rest}"


def world(count: int) -> dict[str, str]:
    files = {}
    for number in range(count):
        folder = f"a{number:02}"
        files[f"{folder}/account.yaml"] = f"prefixes: [{{cidr: 203.0.{number}.0/24, approved: V}}]\n"
        files[f"{folder}/maps/all.yaml"] = map_text(number)
        files[f"{folder}/zones/z{number}.example.yaml"] = RECORDS
    return files


def answer(api: Api, number: int) -> list[str]:
    return sorted(api.ask(f"www.z{number}.example"))


def own(number: int, last: int = 10) -> list[str]:
    return [f"203.0.{number}.{last}"]


def kill_control(api: Api) -> None:
    control = pid_of(api)
    os.kill(control, signal.SIGKILL)
    wait_until(lambda: is_back(api) and pid_of(api) != control, what=api.dns.stderr.text)


def take_maps_away(api: Api, count: int) -> None:
    for number in range(count):
        shutil.rmtree(api.folder / f"accounts/a{number:02}/maps")


def brake(api: Api) -> dict[str, object]:
    found: dict[str, object] = api.result("GET", "/dnsd/brake")
    return found


# Files


@pytest.fixture(name="few")
def _few(tmp_path: Path) -> Iterator[Api]:
    with Api(tmp_path, world(FEW), settings=UNWATCHED).running() as api:
        yield api


def test_all_maps_taken_away_move_no_one(few: Api) -> None:
    take_maps_away(few, FEW)
    done = cli(few, "reload")
    assert done.returncode == 1
    said = "3 names of 3 accounts would fall from their maps onto the default pool: a00 (1 name), a01 (1 name), a02 (1"
    assert said in done.stderr
    assert "refused; still serving revision" in done.stderr
    assert [answer(few, number) for number in range(FEW)] == [own(number) for number in range(FEW)]
    assert page(few, "/readyz") == (200, ["ok"])
    assert "dnsd_guard_refused 1.0" in page(few, "/metrics")[1]
    assert "dnsd_guard_waiting_names 3.0" in page(few, "/metrics")[1]
    waiting = brake(few)["waiting"]
    none = {"readdressed": 0, "opened": 0, "gone": 0}
    assert waiting == [{"account": f"a{number:02}", "pooled": 1, **none} for number in range(FEW)]
    assert "would fall from their maps" in cli(few, "status").stdout
    with Person(few, few.operator) as person:
        assert "Files wait" in person.get("/").text
        assert "3 proxied names of 3 accounts" in person.get("/audit").text
    entry = json.loads((few.folder / "state/audit.log").read_text().splitlines()[-1])
    assert (entry["action"], entry["outcome"], said in entry["message"]) == ("reload.refused", "refused", True)


def test_refused_files_are_refused_by_a_restart_of_control_and_by_a_start(few: Api) -> None:
    take_maps_away(few, FEW)
    assert cli(few, "reload").returncode == 1
    kill_control(few)
    assert [answer(few, number) for number in range(FEW)] == [own(number) for number in range(FEW)]
    assert "3 names of 3 accounts would fall" in str(brake(few)["reasons"])
    assert page(few, "/readyz")[0] == 200
    few.dns.stop()
    with few.running():
        assert [answer(few, number) for number in range(FEW)] == [own(number) for number in range(FEW)]
        assert "the last good version is served until `dnsd reload --force` or other files" in few.dns.stderr.text()
        done = cli(few, "reload", "--force", "--account", "a01")
        assert "held: a00, a02" in done.stderr
        assert [answer(few, number) for number in range(FEW)] == [own(0), POOL, own(2)]
        assert cli(few, "reload").returncode == 1
        assert cli(few, "reload", "--force").returncode == 0
        assert [answer(few, number) for number in range(FEW)] == [POOL] * FEW
        assert "reload.forced" in (few.folder / "state/audit.log").read_text()
    with few.running():
        assert [answer(few, number) for number in range(FEW)] == [POOL] * FEW


def test_a_start_takes_the_files_with_the_figures(few: Api) -> None:
    few.dns.stop()
    take_maps_away(few, FEW)
    with few.running():
        assert [answer(few, number) for number in range(FEW)] == [POOL] * FEW
        said = "this start changes the answers of 3 proxied names: a00 (1 name), a01 (1 name), a02 (1 name)"
        wait_until(lambda: said in few.dns.stderr.text(), what=few.dns.stderr.text)
        kill_control(few)
        assert [answer(few, number) for number in range(FEW)] == [POOL] * FEW


def test_other_files_end_the_refusal_at_a_start(few: Api) -> None:
    take_maps_away(few, FEW)
    assert cli(few, "reload").returncode == 1
    few.dns.stop()
    for number in range(1, FEW):
        few.write(f"a{number:02}/maps/all.yaml", map_text(number))
    with few.running():
        assert [answer(few, number) for number in range(FEW)] == [POOL, own(1), own(2)]
        assert brake(few)["refused"] is False
    for number in range(1, FEW):
        shutil.rmtree(few.folder / f"accounts/a{number:02}/maps")
    with few.running():  # the last reload was not refused
        assert [answer(few, number) for number in range(FEW)] == [POOL] * FEW


def test_one_accounts_maps_taken_away_are_a_warning(few: Api) -> None:
    shutil.rmtree(few.folder / "accounts/a01/maps")
    done = cli(few, "reload")
    assert (done.returncode, answer(few, 1)) == (0, POOL)
    assert "warning: " in done.stderr
    assert "1 name falls from its map onto the default pool: a01 (1 name)" in done.stderr


def test_maps_disabled_by_sed_move_no_one(few: Api) -> None:
    for number in range(FEW):
        name = f"a{number:02}/maps/all.yaml"
        few.write(name, few.read(name).replace("enabled: true", "enabled: false"))
    assert cli(few, "reload").returncode == 1
    assert [answer(few, number) for number in range(FEW)] == [own(number) for number in range(FEW)]


def test_a_deletion_in_pieces_under_the_watch_moves_no_one(tmp_path: Path) -> None:
    with Api(tmp_path, world(FEW), settings=WATCHED).running() as api:
        for number in range(FEW):  # slower than the watch loads files
            shutil.rmtree(api.folder / f"accounts/a{number:02}/maps")
            until = time.monotonic() + 0.4
            while time.monotonic() < until:
                assert answer(api, 0) == own(0)
                time.sleep(0.02)
        wait_until(lambda: brake(api)["refused"] is True, what=api.dns.stderr.text)
        assert [answer(api, number) for number in range(FEW)] == [own(number) for number in range(FEW)]
        for number in range(1, FEW):
            api.write(f"a{number:02}/maps/all.yaml", map_text(number))
        wait_until(lambda: answer(api, 0) == POOL, what=api.dns.stderr.text)
        assert brake(api)["refused"] is False


# Requests


def readdress(api: Api, number: int, last: int = 99, *, method: str = "PUT", token: str) -> tuple[int, str]:
    """Add an address to the map of an account, or with DELETE remove it: status, and the code with the message."""
    reply = api.call(method, f"{map_path(number)}/ips/203.0.{number}.{last}", token=token)
    said = reply.json()
    return reply.status_code, "" if said["success"] else f"{said['errors'][0]['code']} {said['errors'][0]['message']}"


def test_a_row_of_requests_is_stopped_at_the_limit_over_restarts(tmp_path: Path) -> None:
    api = Api(tmp_path, world(COUNT), settings=UNWATCHED)
    job, tenant = api.token("--name", "job"), api.token("--name", "tenant", "--account", account(30))
    with api.running():
        for number in range(12):
            assert readdress(api, number, token=job) == (200, "")
        kill_control(api)
        for number in range(12, 20):
            assert readdress(api, number, token=job) == (200, "")
    with api.running():
        for number in range(20, 25):
            assert readdress(api, number, token=job) == (200, "")
        check_stopped(api, job)
        assert readdress(api, 3, last=98, token=job) == (200, "")  # moved before
        zone = api.result("GET", "/zones?name=z31.example")[0]["id"]
        acme = {"name": "_acme-challenge", "type": "TXT", "content": '"x"', "ttl": 60}
        assert api.call("POST", f"/zones/{zone}/dns_records", acme, token=job).status_code == 200
        assert readdress(api, 30, token=tenant) == (200, "")
        assert readdress(api, 31, token=api.operator) == (200, "")  # another author
        api.write("a33/maps/all.yaml", map_text(33, last=96))  # files are another author
        assert "refused" not in cli(api, "reload").stderr
        wait_until(lambda: answer(api, 33) == own(33, last=96))
        child = api.result("POST", "/user/tokens", child_of(), token=job)["value"]
        assert readdress(api, 26, token=child)[0] == 400
        with Person(api, job) as person:
            assert "The brake is on</strong> for job" in person.get("/").text
        assert readdress(api, 0, method="DELETE", token=job) == (200, "")  # back where the window began
        assert readdress(api, 26, token=child) == (200, "")
        check_stopped(api, job, number=27)
        check_local_commands(api)
        check_release(api, job)


def child_of() -> dict[str, object]:
    return {
        "name": "child",
        "policies": [
            {
                "effect": "allow",
                "resources": {"com.cloudflare.api.account.*": "*"},
                "permission_groups": [{"id": GROUPS_BY_PERMISSION[Area.MAPS, AccessLevel.EDIT].id}],
            }
        ],
    }


def check_stopped(api: Api, token: str, *, number: int = 25) -> None:
    status, said = readdress(api, number, token=token)
    assert (status, said[:5]) == (400, "1002 ")
    assert "the token job would have changed the addresses of 26 accounts within the window" in said
    assert "the limit is 25 of 40 accounts, 25 so far; the window ends in" in said
    assert "dnsd brake release" in said
    assert answer(api, number) == own(number)
    assert [one["ip"] for one in api.result("GET", map_path(number))["ips"]] == own(number)
    for warning in (planned(api, token, number), planned_by_command(api, token, number), shown(api, token, number)):
        assert "brake would refuse this now: the token job would have changed the addresses of 26 accounts" in warning
    assert "brake" not in planned(api, api.operator, number)
    authors = brake(api)["authors"]
    assert isinstance(authors, list)
    (found,) = [one for one in authors if one["name"] == "job"]
    assert found["accounts"] == 25


def planned(api: Api, token: str, number: int) -> str:
    """The warnings of a plan over the API."""
    map_id, ips = map_path(number).rpartition("/")[2], [f"203.0.{number}.99"]
    plan = {"id": map_id, "ips": ips}
    reply = api.call("POST", f"/accounts/{account(number)}/addressing/address_maps/plan", plan, token=token)
    return "\n".join(reply.json()["result"]["warnings"])


def planned_by_command(api: Api, token: str, number: int) -> str:
    file = api.folder / "token"
    file.write_text(token)
    map_id = map_path(number).rpartition("/")[2]
    options = ("--url", api.origin, "--token-file", str(file), "--account", account(number))
    return cli(api, "map", "add-ip", map_id, f"203.0.{number}.99", "--dry-run", *options).stderr


def shown(api: Api, token: str, number: int) -> str:
    """The page that asks before a map is disabled."""
    with Person(api, token) as person:
        return person.get(map_path(number).replace("addressing/address_maps", "maps") + "/disable").text


def check_local_commands(api: Api) -> None:
    """Without a token, through the control socket, and without the port of the API in dnsd.yaml."""
    shown = cli(api, "brake", "status")
    assert "limit: 25 of 40 accounts within 10 min" in shown.stderr
    refused = cli(api, "brake", "release", "jub")
    assert (refused.returncode, "there is no token with the id or name 'jub'" in refused.stderr) == (1, True)
    done = cli(api, "brake", "release", "files", "--for", "1m", "--json")
    released = [one["id"] for one in json.loads(done.stdout)["authors"] if one["released_until"]]
    assert released == ["files"]
    assert '"brake.release", "object": "files"' in (api.folder / "state/audit.log").read_text()


def check_release(api: Api, token: str) -> None:
    environment = ("--url", api.origin, "--token-file", str(secret_file(api)))
    shown = cli(api, "brake", "status", *environment)
    assert "limit: 25 of 40 accounts within 10 min" in shown.stderr
    assert any(line.split()[1:4] == ["job", "25", "25"] for line in shown.stdout.splitlines())
    refused = cli(api, "brake", "release", "jub", *environment)
    assert "there is no token with the id or name 'jub'" in refused.stderr
    done = cli(api, "brake", "release", "job", "--for", "1m", *environment)
    assert done.returncode == 0, done.stderr
    for number in range(25, COUNT):
        assert readdress(api, number, last=97, token=token) == (200, "")
    assert any(line.startswith('dnsd_brake_refusals_total{author="token"} 3') for line in page(api, "/metrics")[1])
    assert '"action": "brake.release"' in (api.folder / "state/audit.log").read_text()


def secret_file(api: Api) -> Path:
    file = api.folder / "secret"
    file.write_text(api.operator)
    return file
