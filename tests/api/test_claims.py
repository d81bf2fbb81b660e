"""Tenants who make zones of others' names, below and above them: nobody is barred, and nothing served is taken."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from dnsd.cli import main
from tests.api.server import A1, A2, FILES, Api
from tests.api.test_manage_commands import done, run

OURS, THEIRS = "198.18.1.1", "198.18.2.2"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("claims"), FILES).running() as api:
        yield api


def made(api: Api, name: str, token: str, address: str) -> str:
    """The id of a new zone with the records www and deep.www."""
    zone_id = str(api.result("POST", "/zones", {"name": name}, token=token)["id"])
    for owner in ("www", "deep.www", "@"):
        record = {"name": owner, "type": "A", "content": address, "ttl": 60}
        api.result("POST", f"/zones/{zone_id}/dns_records", record, token=token)
    return zone_id


def status(api: Api, zone_id: str) -> tuple[str, bool]:
    shown = api.result("GET", f"/zones/{zone_id}")
    return shown["status"], shown["verified"]


PENDING, UNVERIFIED, VERIFIED = ("pending", False), ("active", False), ("active", True)


def test_second_zone_of_a_name_is_pending_until_it_is_verified(api: Api, acme: str, globex: str) -> None:
    first = made(api, "two.test", globex, THEIRS)
    response = api.call("POST", "/zones", {"name": "two.test"}, token=acme).json()
    second = response["result"]["id"]
    assert (response["result"]["status"], response["result"]["verified"]) == PENDING
    assert response["messages"][0]["message"].startswith(
        "two.test is pending, as a zone of another account has this name"
    )
    api.result("POST", f"/zones/{second}/dns_records", {"name": "www", "type": "A", "content": OURS}, token=acme)
    assert api.ask("www.two.test") == [THEIRS]
    assert status(api, first) == UNVERIFIED

    api.result("PATCH", f"/zones/{second}", {"verified": True})
    assert api.ask("www.two.test") == [OURS]
    assert api.ask("deep.www.two.test") == []
    assert (status(api, first), status(api, second)) == (PENDING, VERIFIED)
    assert api.refused("PATCH", f"/zones/{first}", {"verified": True})[:2] == (400, 1061)

    api.result("DELETE", f"/zones/{second}", token=acme)
    assert api.ask("www.two.test") == [THEIRS]
    assert status(api, first) == UNVERIFIED
    api.result("DELETE", f"/zones/{first}", token=globex)


def test_tenant_sees_nothing_of_the_zone_that_is_served(api: Api, acme: str, globex: str) -> None:
    first, second = made(api, "seen.test", globex, THEIRS), made(api, "seen.test", acme, OURS)
    for token, own, other in ((acme, second, first), (globex, first, second)):
        shown = api.result("GET", "/zones", params={"name": "seen.test"}, token=token)
        assert [one["id"] for one in shown] == [own]
        assert other not in str(api.result("GET", "/zones", token=token))
        assert api.refused("GET", f"/zones/{other}", token=token)[:2] == (404, 1000)
        records = api.result("GET", f"/zones/{own}/dns_records", token=token)
        assert {one["content"] for one in records} == {OURS if own == second else THEIRS}
        answered = api.call("GET", f"/zones/{own}/dns_records/export?view=answered", token=token).text
        assert (OURS not in answered, THEIRS in answered) == (True, own == first)
    keys = {api.result("GET", f"/zones/{one}")["verification_key"] for one in (first, second)}
    assert len(keys) == 2
    assert "" not in keys
    assert {one["id"] for one in api.result("GET", "/zones", params={"name": "seen.test"})} == {first, second}
    assert [one["id"] for one in api.result("GET", "/zones", params={"status": "pending"})] == [second]
    for _ in range(20):
        api.ask("www.seen.test")
    report = f"/zones/{second}/dns_analytics/report"
    wanted = {"dimensions": "queryName", "since": (datetime.now(UTC) - timedelta(minutes=5)).isoformat()}
    assert api.result("GET", report, params=wanted, token=acme)["rows"] == 0
    said = CliRunner().invoke(main, ["token", "create", "-c", str(api.config), "--zone", "seen.test"])
    assert said.exit_code == 1
    assert all(one in said.stderr for one in (first, second))
    for zone_id in (first, second):
        api.result("DELETE", f"/zones/{zone_id}")


ATTACKS = ["steal.test", "www.steal.test", "deep.www.steal.test", "cloudflare-verify.steal.test"]


@pytest.mark.parametrize("name", ATTACKS)
def test_zones_at_and_below_a_served_zone_take_nothing(api: Api, acme: str, globex: str, name: str) -> None:
    victim = made(api, "steal.test", acme, OURS)
    names = ("steal.test", "www.steal.test", "deep.www.steal.test", f"www.{name}", f"deep.www.{name}")
    before = [api.reply(one).to_wire()[2:] for one in names]
    thief = made(api, name, globex, THEIRS)
    assert status(api, thief) == PENDING
    versions = api.result("GET", f"/zones/{thief}/history", token=globex)
    for turn in range(2):
        api.result("DELETE", f"/zones/{thief}", token=globex)
        if turn:
            version = f"/accounts/{A2}/zones/{thief}/history/{versions[0]['version']}"
            api.result("POST", f"{version}/restore", token=globex)
        else:
            made(api, name, globex, THEIRS)
        assert status(api, thief) == PENDING
        assert [api.reply(one).to_wire()[2:] for one in names] == before
    assert status(api, victim) == UNVERIFIED
    api.result("DELETE", f"/zones/{thief}", token=globex)
    api.result("DELETE", f"/zones/{victim}", token=acme)


def test_zone_above_hides_nothing_and_verification_ends_squatting(api: Api, acme: str, globex: str) -> None:
    squatter = made(api, "www.above.test", globex, THEIRS)
    owner = made(api, "above.test", acme, OURS)
    assert (status(api, squatter), status(api, owner)) == (UNVERIFIED, UNVERIFIED)
    assert (api.ask("above.test"), api.ask("www.above.test")) == ([OURS], [THEIRS])
    api.result("PATCH", f"/zones/{owner}", {"verified": True})
    assert (status(api, squatter), status(api, owner)) == (PENDING, VERIFIED)
    assert (api.ask("www.above.test"), api.ask("www.www.above.test")) == ([OURS], [])
    for name in ("above.test", "www.above.test", "x.above.test"):
        assert api.refused("POST", "/zones", {"name": name}, token=globex)[0] == 400
    api.result("DELETE", f"/zones/{owner}", token=acme)
    assert api.ask("www.above.test") == [THEIRS]
    api.result("DELETE", f"/zones/{squatter}", token=globex)


def test_earlier_claim_does_not_come_back_by_a_restore(api: Api, acme: str, globex: str) -> None:
    thief = made(api, "early.test", globex, THEIRS)
    old = api.result("GET", f"/zones/{thief}/history", token=globex)[-1]["version"]
    api.result("DELETE", f"/zones/{thief}", token=globex)
    owner = made(api, "early.test", acme, OURS)
    gone = f"/accounts/{A2}/zones/{thief}/history/{old}/restore"
    assert api.result("POST", gone, token=globex)["status"] == "pending"
    assert api.result("POST", f"/zones/{thief}/history/{old}/restore", token=globex)["status"] == "pending"
    assert (status(api, owner), api.ask("www.early.test")) == (UNVERIFIED, [OURS])
    api.result("DELETE", f"/zones/{owner}", token=acme)
    assert (status(api, thief), api.ask("www.early.test")) == (UNVERIFIED, [])
    api.result("DELETE", f"/zones/{thief}", token=globex)


@pytest.mark.parametrize("verified", [False, True])
def test_nothing_that_a_tenant_does_with_zones_changes_another_accounts_answers(
    api: Api, acme: str, globex: str, verified: bool
) -> None:
    rng, name = random.Random(16), f"target{verified}.test".lower()
    victim = made(api, name, acme, OURS)
    api.result("PATCH", f"/zones/{victim}", {"verified": verified})
    names = [name, f"www.{name}", f"deep.www.{name}", f"x.{name}"]
    before = [api.reply(one).to_wire()[2:] for one in names]
    ids: list[str] = []
    for _ in range(40):
        what = rng.random()
        if what < 0.4 or not ids:
            wanted = rng.choice(["", "www.", "deep.www.", "x.", "y.x."]) + name
            response = api.call("POST", "/zones", {"name": wanted}, token=globex)
            ids += [response.json()["result"]["id"]] if response.is_success else []
            if verified:
                assert not ids
        elif what < 0.6:
            record = {"type": "A", "name": rng.choice(["@", "www", "*"]), "content": THEIRS}
            api.call("POST", f"/zones/{rng.choice(ids)}/dns_records", record, token=globex)
        elif what < 0.8:
            api.call("DELETE", f"/zones/{rng.choice(ids)}", token=globex)
        else:
            history = f"/accounts/{A2}/zones/{rng.choice(ids)}/history"
            for version in (api.call("GET", history, token=globex).json()["result"] or [])[:2]:
                api.call("POST", f"{history}/{version['version']}/restore", token=globex)
        assert [api.reply(one).to_wire()[2:] for one in names] == before
    for zone_id in (victim, *ids):
        api.call("DELETE", f"/zones/{zone_id}")


def test_of_zones_made_at_once_one_is_served(api: Api, acme: str, globex: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        wanted = [({"name": f"race{number}.test"}, token) for number in range(4) for token in (acme, globex)]
        zones = list(pool.map(lambda one: api.result("POST", "/zones", one[0], token=one[1]), wanted))
    for number in range(4):
        pair = [one["id"] for one in zones if one["name"] == f"race{number}.test"]
        assert sorted(status(api, one) for one in pair) == [UNVERIFIED, PENDING]
    for one in zones:
        api.result("DELETE", f"/zones/{one['id']}")


def test_member_that_waits_is_answered_from_its_map_once_it_is_verified(api: Api, acme: str, globex: str) -> None:
    first = made(api, "member.test", globex, THEIRS)
    zone_id = str(api.result("POST", "/zones", {"name": "member.test"}, token=acme)["id"])
    record = {"name": "www", "type": "A", "content": OURS, "proxied": True}
    api.result("POST", f"/zones/{zone_id}/dns_records", record, token=acme)
    maps = f"/accounts/{A1}/addressing/address_maps"
    member = {"kind": "zone", "identifier": zone_id}
    body = {"ips": ["203.0.113.77"], "memberships": [member], "enabled": True}
    made_map = api.result("POST", maps, body, token=acme)["id"]
    (written,) = (api.folder / "accounts/acme/maps").iterdir()
    assert "identifier: member.test," in written.read_text()
    assert api.ask("www.member.test") == [THEIRS]
    api.result("PATCH", f"/zones/{zone_id}", {"verified": True})
    assert api.ask("www.member.test") == ["203.0.113.77"]
    api.result("PATCH", f"{maps}/{made_map}", {"enabled": False})
    api.result("DELETE", f"{maps}/{made_map}")
    for one in (zone_id, first):
        api.result("DELETE", f"/zones/{one}")


def test_operator_makes_a_zone_over_a_tenants_and_commands_ask_for_the_id(api: Api, globex: str) -> None:
    squatted = made(api, "ours.test", globex, THEIRS)
    ours = api.result("POST", "/zones", {"name": "ours.test", "account": {"id": A1}})
    assert ours["verified"] is True
    assert (status(api, squatted), status(api, ours["id"])) == (PENDING, VERIFIED)
    env = {"DNSD_API_URL": api.origin, "DNSD_API_TOKEN": api.operator}
    said = run(api.config, "zone", "show", "ours.test", env=env)
    assert said.exit_code == 1
    assert "2 matches for zone 'ours.test'; choose one by its id" in said.stderr
    assert f"{squatted} (Globex, pending)" in said.stderr
    assert f"{ours['id']} (Acme, active)" in said.stderr
    assert "pending" in done(api, "zone", "show", squatted, env=env)
    assert done(api, "zone", "list", env=env).count("ours.test") == 2
    assert api.refused("POST", "/zones", {"name": "ours.test"}, token=globex)[:2] == (400, 1061)
    for one in (ours["id"], squatted):
        api.result("DELETE", f"/zones/{one}")


def test_files_served_after_a_start_are_those_served_before(tmp_path_factory: pytest.TempPathFactory) -> None:
    prepared = Api(tmp_path_factory.mktemp("starts"), FILES)
    claims = {prepared.token("--account", account): address for account, address in ((A2, THEIRS), (A1, OURS))}
    with prepared.running() as api:
        ids = [made(api, "start.test", token, address) for token, address in claims.items()]
    with prepared.running() as api:
        assert [status(api, one) for one in ids] == [UNVERIFIED, PENDING]
        assert api.ask("www.start.test") == [THEIRS]
