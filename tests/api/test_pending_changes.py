"""Changes of address maps that wait for their time, over the API."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dnsd.manage.token_file import TokenFile
from dnsd.model.times import time_text
from tests.api.server import A1, FILES, Z1, Z2, Api
from tests.api.test_durability import pid_of, status, wait_until

MAPS, PENDING = f"/accounts/{A1}/addressing/address_maps", f"/accounts/{A1}/addressing/pending_changes"
SHOP = "51" * 16
MAP = f"{MAPS}/{SHOP}"
SHOP_TEXT = f"""
id: "{SHOP}"
description: Shop
enabled: true
ips: [203.0.113.10, 203.0.113.11]
memberships: [{{kind: zone, identifier: example.com}}]
"""

pytestmark = pytest.mark.usefixtures("nothing_pending")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("pending"), FILES | {"acme/maps/shop.yaml": SHOP_TEXT}).running() as api:
        yield api


def ahead(**delta: float) -> str:
    return time_text(datetime.now(UTC) + timedelta(**delta))


def scheduled(api: Api, method: str, path: str, body: Any = None, *, at: str | None = None, **options: Any) -> Any:
    response = api.call(method, path, body, params={"deploy_at": at or ahead(hours=1)}, **options)
    assert response.status_code == 202, response.text
    return response.json()["result"]


def soon(api: Api, method: str, path: str, **options: Any) -> Any:
    """A change due as soon as the machine allows: a busy one answers after seconds."""
    for seconds in (1, 3, 10, 30):
        response = api.call(method, path, params={"deploy_at": ahead(seconds=seconds)}, **options)
        if response.status_code == 202:
            break
    return response.json()["result"]


def test_a_change_waits_and_is_listed_with_its_plan(api: Api) -> None:
    at = "2026-12-24T03:00:00+01:00" if datetime.now(UTC).year < 2026 else ahead(days=10)
    before, tag = api.result("GET", MAP), api.call("GET", MAP).headers["etag"].strip('"')
    change = scheduled(api, "PATCH", MAP, {"enabled": False}, at=at)
    assert api.result("GET", MAP) == before
    assert (change["map_id"], change["action"], change["arguments"]) == (SHOP, "map.edit", {"enabled": False})
    assert (change["state"], change["reason"], change["etag"], change["deploy_at"]) == ("pending", None, tag, at)
    assert change["token"]["name"] == "operator"
    assert change["plan"] == api.result("POST", f"{MAPS}/plan", {"id": SHOP, "enabled": False}) | {"replay": None}
    assert change["plan"]["zones"][0]["id"] == Z1
    assert api.result("GET", PENDING) == api.result("GET", f"{MAP}/pending_changes") == [change]
    assert api.result("GET", f"{PENDING}/{change['id']}") == change
    assert api.result("GET", f"{PENDING}?map_id={'0' * 32}") == []


REQUESTS = {
    "create": ("POST", MAPS, {"description": "New", "ips": ["203.0.113.50"]}, "map.create"),
    "edit": ("PATCH", MAP, {"description": "Cakes"}, "map.edit"),
    "add ip": ("PUT", f"{MAP}/ips/203.0.113.12", None, "map.add_ip"),
    "remove ip": ("DELETE", f"{MAP}/ips/203.0.113.11", None, "map.remove_ip"),
    "add zone": ("PUT", f"{MAP}/zones/{Z2}", None, "map.add_zone"),
    "remove zone": ("DELETE", f"{MAP}/zones/{Z1}", None, "map.remove_zone"),
    "add account": ("PUT", f"{MAP}/accounts/{A1}", None, "map.add_account"),
    "remove account": ("DELETE", f"{MAP}/accounts/{A1}", None, "map.remove_account"),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_every_changing_route_can_wait(api: Api, what: str) -> None:
    method, path, body, action = REQUESTS[what]
    maps = api.result("GET", MAPS)
    assert scheduled(api, method, path, body)["action"] == action
    assert api.result("GET", MAPS) == maps


def test_deletion_and_restoration_can_wait(api: Api) -> None:
    made = api.result("POST", MAPS, {"description": "Old"})["id"]
    api.result("PATCH", f"{MAPS}/{made}", {"description": "Older"})
    version = api.result("GET", f"{MAPS}/{made}/history")[-1]["version"]
    assert scheduled(api, "POST", f"{MAPS}/{made}/history/{version}/restore")["action"] == "map.restore"
    assert scheduled(api, "DELETE", f"{MAPS}/{made}", at=ahead(hours=2))["action"] == "map.delete"
    status, _, message = api.refused("PATCH", f"{MAPS}/{made}", {"enabled": True}, params={"deploy_at": ahead(hours=3)})
    assert status == 400
    assert "the map is to be deleted before" in message
    api.result("DELETE", f"{MAPS}/{made}")
    assert api.result("GET", PENDING) == []


def test_a_due_change_is_answered_by_dns(api: Api) -> None:
    assert "203.0.113.77" not in api.ask("www.example.com")
    change = soon(api, "PUT", f"{MAP}/ips/203.0.113.77")
    wait_until(lambda: "203.0.113.77" in api.ask("www.example.com"))
    assert datetime.now(UTC) >= datetime.fromisoformat(change["deploy_at"])
    wait_until(lambda: api.result("GET", PENDING) == [])
    assert api.result("GET", f"{MAP}/history")[0]["token"].startswith("operator (scheduled ")
    api.result("DELETE", f"{MAP}/ips/203.0.113.77")


REFUSED = {
    "no time": ("", "'' is not a time with seconds and an offset"),
    "words": ("tomorrow", "'tomorrow' is not a time with seconds and an offset"),
    "no offset": ("2026-12-01T03:00:00", "is not a time with seconds and an offset"),
    "no time of day": ("2026-12-01", "is not a time with seconds and an offset"),
    "no seconds": ("2026-12-01T03:00Z", "is not a time with seconds and an offset"),
    "a number": ("1796000000", "is not a time with seconds and an offset"),
    "no such day": ("2026-02-30T03:00:00Z", "is not a time with seconds and an offset"),
    "a leap second": ("2026-12-31T23:59:60Z", "is not a time with seconds and an offset"),
    "beyond all years": ("9999-12-31T23:59:59-23:59", "is not a time with seconds and an offset"),
    "other digits": ("٢٠٢٦-12-01T03:00:00Z", "is not a time with seconds and an offset"),
    "past": ("2020-01-01T00:00:00Z", "the time has passed: it is "),
    "ten years ahead": ("2040-01-01T00:00:00Z", "the limit is 366 days ahead: "),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_time_is_refused_with_the_remedy(api: Api, what: str) -> None:
    text, why = REFUSED[what]
    response = api.call("PUT", f"{MAP}/ips/203.0.113.12", params={"deploy_at": text})
    (error,) = response.json()["errors"]
    assert (response.status_code, error["code"], error["source"]) == (400, 1001, {"pointer": "/deploy_at"})
    assert why in error["message"]
    assert api.result("GET", PENDING) == []


FORMS = ["2027-01-01T03:00:00.5+01:00", "2027-01-01t02:00:00z", "2026-12-31T21:30:00-04:30"]


@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("is_raw", [False, True])
def test_times_with_any_offset_are_read(api: Api, text: str, is_raw: bool) -> None:
    """Raw: a `+` in a query means a space, and many clients send it."""
    if not timedelta() < datetime.fromisoformat(text.upper()) - datetime.now(UTC) < timedelta(days=366):
        text = text.replace("2026", str(datetime.now(UTC).year)).replace("2027", str(datetime.now(UTC).year + 1))
    path = f"{MAP}/ips/203.0.113.12"
    response = (
        api.call("PUT", f"{path}?deploy_at={text}") if is_raw else api.call("PUT", path, params={"deploy_at": text})
    )
    assert response.status_code == 202, response.text
    assert response.json()["result"]["deploy_at"] == time_text(datetime.fromisoformat(text.upper()))


def test_a_change_beyond_the_end_of_its_token_is_refused(api: Api) -> None:
    now = datetime.now(UTC)
    tokens = TokenFile(api.folder / "state")
    _, secret = tokens.create(name="short", now=now, expires_at=now + timedelta(hours=1), accounts=[A1])
    said = api.refused("PATCH", MAP, {"enabled": False}, params={"deploy_at": ahead(hours=2)}, token=secret)
    assert said[:2] == (400, 1001)
    assert "this token expires before" in said[2]


def test_the_101st_change_of_an_account_is_refused(api: Api) -> None:
    first = scheduled(api, "PATCH", MAP, {"description": "Shop"})
    folder = api.folder / "state" / "pending"
    text = (folder / f"{first['id']}.json").read_text()
    for number in range(98):
        change_id = f"{number:032x}"
        (folder / f"{change_id}.json").write_text(text.replace(first["id"], change_id))
    wait_until(lambda: len(api.result("GET", PENDING)) == 99)
    scheduled(api, "PATCH", MAP, {"description": "the 100th"})
    status, code, message = api.refused("PATCH", MAP, {"description": "one more"}, params={"deploy_at": ahead(hours=1)})
    assert (status, code) == (400, 1002)
    assert message == "the account has 100 pending changes; the limit is 100: cancel one first"


def test_a_change_that_a_rule_refuses_is_not_kept(api: Api) -> None:
    status, _, message = api.refused("PUT", f"{MAP}/ips/192.0.2.99", params={"deploy_at": ahead(hours=1)})
    assert (status, "192.0.2.99" in message) == (400, True)
    assert api.refused("DELETE", f"{MAPS}/{'0' * 32}", params={"deploy_at": ahead(hours=1)})[0] == 404
    assert api.result("GET", PENDING) == []


def test_a_change_of_another_version_is_refused(api: Api) -> None:
    options = {"params": {"deploy_at": ahead(hours=1)}, "headers": {"If-Match": '"other"'}}
    assert api.refused("PATCH", MAP, {"enabled": False}, **options)[:2] == (412, 1003)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", f"/zones/{Z1}", {"paused": True}),
        ("POST", f"/zones/{Z1}/dns_records", {"name": "x", "type": "A", "content": "192.0.2.1"}),
        ("POST", f"{MAPS}/plan", {}),
        ("GET", MAP, None),
    ],
)
def test_routes_that_cannot_wait_refuse_a_time(api: Api, method: str, path: str, body: Any) -> None:
    """They would make the change at once."""
    response = api.call(method, path, body, params={"deploy_at": ahead(hours=1)})
    assert (response.status_code, response.json()["errors"][0]["source"]) == (400, {"pointer": "/deploy_at"})


def test_a_cancelled_change_names_those_that_follow(api: Api) -> None:
    first = scheduled(api, "PUT", f"{MAP}/ips/203.0.113.12")
    second = scheduled(api, "DELETE", f"{MAP}/ips/203.0.113.10", at=ahead(hours=2))
    assert second["follows"] == [first["id"]]
    said = api.call("DELETE", f"{PENDING}/{first['id']}").json()
    assert said["result"] == {"id": first["id"]}
    assert said["messages"][0]["message"] == (
        f"the pending change {second['id']} was planned to follow it, and will be stopped"
    )
    assert api.refused("DELETE", f"{PENDING}/{first['id']}")[:2] == (404, 1000)


def due_without_its_token(api: Api, secret: str, path: str) -> Any:
    """A change of alice, whose token is revoked before it is due."""
    for seconds in (2, 5, 20, 60):
        response = api.call(
            "PUT", f"{path}/ips/203.0.113.12", params={"deploy_at": ahead(seconds=seconds)}, token=secret
        )
        if response.status_code == 202:
            break
    TokenFile(api.folder / "state").revoke("alice")
    change = response.json()["result"]
    assert api.result("GET", f"{PENDING}/{change['id']}")["id"] == change["id"], "it was made before the revocation"
    return change


def test_a_stopped_change_runs_by_a_person_alone(api: Api) -> None:
    secret = api.token("--name", "alice", "--account", "acme")
    later = scheduled(api, "PUT", f"{MAP}/ips/203.0.113.13", token=secret)
    assert "it is not stopped" in api.refused("POST", f"{PENDING}/{later['id']}/run")[2]
    api.result("DELETE", f"{PENDING}/{later['id']}")
    change = due_without_its_token(api, secret, MAP)
    wait_until(lambda: api.result("GET", PENDING)[0]["state"] == "stopped")
    (stopped,) = api.result("GET", PENDING)
    assert stopped["reason"] == "the token alice that scheduled it was revoked"
    assert stopped["stopped_at"] >= stopped["deploy_at"]
    assert any(change["id"] in reason for reason in status(api)["reasons"])
    made = api.result("POST", f"{PENDING}/{change['id']}/run")
    assert "203.0.113.12" in [one["ip"] for one in made["ips"]]
    assert api.result("GET", PENDING) == []
    assert api.result("GET", f"{MAP}/history")[0]["token"] == "operator (scheduled by alice)"
    api.result("DELETE", f"{MAP}/ips/203.0.113.12")


def test_deleting_the_map_cancels_its_pending_changes(api: Api) -> None:
    made = api.result("POST", MAPS, {"description": "Gone soon"})["id"]
    scheduled(api, "PATCH", f"{MAPS}/{made}", {"description": "never"})
    api.result("DELETE", f"{MAPS}/{made}")
    assert api.result("GET", PENDING) == []
    wait_until(lambda: not list((api.folder / "state" / "pending").glob("*.json")))


def test_a_pending_change_survives_kills_of_control(tmp_path: Path) -> None:
    with Api(tmp_path, FILES | {"acme/maps/shop.yaml": SHOP_TEXT}).running() as api:
        change = soon(api, "PUT", f"{MAP}/ips/203.0.113.77")
        for _ in range(3):
            os.kill(pid_of(api), signal.SIGKILL)
            time.sleep(0.7)
        wait_until(lambda: "203.0.113.77" in api.ask("www.example.com"))
        wait_until(lambda: api.result("GET", PENDING) == [])
        assert datetime.now(UTC) >= datetime.fromisoformat(change["deploy_at"])
        actions = [one["action"] for one in api.result("GET", f"{MAP}/history")]
        assert actions.count("map.add_ip") <= 1
