"""Quotas of accounts: each way to add, one under, at and over the limit; and the rate of changes of a token."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from dnsd.cli import main
from dnsd.model.times import time_text
from tests.api.server import A1, A2, FILES, PREFIX1, SETTINGS, Z1, Z3, Api
from tests.api.test_durability import wait_until
from tests.api.test_pending_changes import soon
from tests.browser.sessions import Person

MAPS = f"/accounts/{A1}/addressing/address_maps"
PREFIXES = f"/accounts/{A1}/addressing/prefixes"
RECORDS = f"/zones/{Z1}/dns_records"
QUOTAS = f"/accounts/{A1}/quotas"
OWN_CODE, ZONES_CODE, RECORDS_CODE = 1013, 1118, 81045
numbers = count(1)


class World:
    """A server, and acme's tenant; `add`ed objects are remembered, so that the last one can be removed."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.tenant = api.token("--account", A1, "--name", "acme")
        self.made: list[str] = []
        self.map = self.result("POST", MAPS, {"description": "full", "ips": ["203.0.113.1"]})["id"]
        self.old = {}
        for name in range(8):
            zone = self.result("POST", "/zones", {"name": f"gone{name}.example"})["id"]
            self.result("DELETE", f"/zones/{zone}")
            one = self.result("POST", MAPS, {"description": "gone"})["id"]
            self.result("DELETE", f"{MAPS}/{one}")
            self.old |= {f"/accounts/{A1}/zones/{zone}": False, f"{MAPS}/{one}": False}

    def result(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        return self.api.result(method, path, body, token=self.tenant, **options)

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> str:
        """The error of a request, as code and message; empty if it succeeded."""
        said = self.api.call(method, path, body, token=self.tenant, **options).json()
        if said["success"]:
            if isinstance(said["result"], dict) and "id" in said["result"]:
                self.made.append(said["result"]["id"])
            return ""
        return " ".join(f"{one['code']} {one['message']}" for one in said["errors"])

    def restored(self, is_map: bool) -> str:
        """Restore a deleted object that was not restored yet."""
        path = next(path for path in self.old if not self.old[path] and path.startswith(MAPS) is is_map)
        version = self.result("GET", f"{path}/history")[0]["version"]
        if not (error := self.send("POST", f"{path}/history/{version}/restore")):
            self.old[path] = True
            self.made[-1:] = [path.rpartition("/")[2]]
        return error

    def command(self, *arguments: str) -> str:
        env = {"DNSD_API_TOKEN": self.tenant}
        url = ("--url", self.api.origin, "-c", str(self.api.config))
        done = CliRunner().invoke(main, [*arguments[:2], *url, *arguments[2:]], env=env)
        return "" if done.exit_code == 0 else done.output

    def page(self, path: str, form: dict[str, Any]) -> str:
        with Person(self.api, self.tenant) as person:
            page = person.post(path, form)
            return "" if page.status_code == 303 else f"{OWN_CODE} {ZONES_CODE} {RECORDS_CODE} {page.text}"


def record() -> dict[str, Any]:
    return {"type": "A", "name": f"r{next(numbers)}", "content": "192.0.2.7", "ttl": 60}


def ip() -> str:
    return f"203.0.113.{next(numbers) % 200 + 2}"


def zone_name() -> str:
    return f"new{next(numbers)}.example"


def subnet() -> str:
    return f"203.0.113.{next(numbers) % 64 * 4}/30"


def member_zone(world: World) -> str:
    before = world.api.result("GET", QUOTAS)["zones"]["limit"]
    world.api.result("PATCH", QUOTAS, {"zones": None})
    zone = world.api.result("POST", "/zones", {"name": zone_name(), "account": {"id": A1}})["id"]
    world.api.result("PATCH", QUOTAS, {"zones": before})
    return str(zone)


def members(world: World) -> list[dict[str, str]]:
    shown = world.result("GET", f"{MAPS}/{world.map}")["memberships"]
    return [{"kind": one["kind"], "identifier": one["identifier"]} for one in shown]


Way = Callable[[World], str]
ZONE = {"zones": ZONES_CODE}
RECORD_IN_ZONE = {"records_per_zone": RECORDS_CODE}
RECORD = {"records": RECORDS_CODE}
MAP, ADDRESS, MEMBER = {"maps": OWN_CODE}, {"addresses_per_map": OWN_CODE}, {"members_per_map": OWN_CODE}
PREFIX, DELEGATION, TOKEN = {"prefixes": OWN_CODE}, {"delegations": OWN_CODE}, {"tokens": OWN_CODE}


def import_one(world: World) -> str:
    file = f"i{next(numbers)} 60 IN A 192.0.2.9\n"
    return world.send("POST", f"{RECORDS}/import", files={"file": (None, file)})


def patch_ips(world: World) -> str:
    shown = [one["ip"] for one in world.result("GET", f"{MAPS}/{world.map}")["ips"]]
    return world.send("PATCH", f"{MAPS}/{world.map}", {"ips": [*shown, ip()]})


def patch_members(world: World) -> str:
    body = {"memberships": [*members(world), {"kind": "zone", "identifier": member_zone(world)}]}
    return world.send("PATCH", f"{MAPS}/{world.map}", body)


def make_token(world: World) -> str:
    policies = world.result("GET", f"/accounts/{A1}/tokens")[0]["policies"]
    return world.send("POST", f"/accounts/{A1}/tokens", {"name": f"t{next(numbers)}", "policies": policies})


def make_token_on_a_page(world: World) -> str:
    with Person(world.api, world.tenant) as person:
        page = person.post("/tokens/create", {"name": f"t{next(numbers)}", "dns": "read"})
        return "" if page.status_code == 200 else f"{OWN_CODE} {page.text}"


ADDITIONS: dict[str, tuple[dict[str, int], Way]] = {
    "a zone is made": (ZONE, lambda world: world.send("POST", "/zones", {"name": zone_name()})),
    "a zone is restored": (ZONE, lambda world: world.restored(False)),
    "a zone is made by command": (ZONE, lambda world: world.command("zone", "create", zone_name())),
    "a zone is made on the dashboard": (
        ZONE,
        lambda world: world.page("/zones/create", {"name": zone_name(), "account": A1}),
    ),
    "a record is made": (RECORD_IN_ZONE, lambda world: world.send("POST", RECORDS, record())),
    "a record is made in a batch": (
        RECORD_IN_ZONE,
        lambda world: world.send("POST", f"{RECORDS}/batch", {"posts": [record()]}),
    ),
    "a record is imported": (RECORD_IN_ZONE, import_one),
    "a record is made by command": (
        RECORD_IN_ZONE,
        lambda world: world.command("zone", "add-record", "example.com", f"c{next(numbers)}", "A", "192.0.2.7"),
    ),
    "a record is made on the dashboard": (
        RECORD_IN_ZONE,
        lambda world: world.page(f"/zones/{Z1}/records/create", record() | {"ttl": "1"}),
    ),
    "a record is made, of all zones": (RECORD, lambda world: world.send("POST", RECORDS, record())),
    "records are imported, of all zones": (RECORD, import_one),
    "a map is made": (MAP, lambda world: world.send("POST", MAPS, {"description": "m"})),
    "a map is restored": (MAP, lambda world: world.restored(True)),
    "an address is added": (ADDRESS, lambda world: world.send("PUT", f"{MAPS}/{world.map}/ips/{ip()}")),
    "a list of addresses is set": (ADDRESS, patch_ips),
    "a member is added": (
        MEMBER,
        lambda world: world.send("PUT", f"{MAPS}/{world.map}/zones/{member_zone(world)}"),
    ),
    "a list of members is set": (MEMBER, patch_members),
    "a map is made by command": (MAP, lambda world: world.command("map", "create", "--account", A1)),
    "an address is added by command": (ADDRESS, lambda world: world.command("map", "add-ip", world.map, ip())),
    "a member is added by command": (
        MEMBER,
        lambda world: world.command("map", "add-zone", world.map, member_zone(world)),
    ),
    "a token is made": (TOKEN, make_token),
    "a token is made on the dashboard": (TOKEN, make_token_on_a_page),
    "a prefix is added": (
        PREFIX,
        lambda world: world.send("POST", PREFIXES, {"cidr": f"2001:db8:{0x7000 + next(numbers):x}::/48"}),
    ),
    "a prefix is added on the dashboard": (
        PREFIX,
        lambda world: world.page(
            f"/accounts/{A1}/addresses/prefixes", {"cidr": f"2001:db8:{0x7000 + next(numbers):x}::/48"}
        ),
    ),
    "a part is delegated": (
        DELEGATION,
        lambda world: world.send(
            "POST", f"{PREFIXES}/{PREFIX1}/delegations", {"cidr": subnet(), "delegated_account_id": A2}
        ),
    ),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Api(tmp_path_factory.mktemp("quotas"), FILES).running() as api:
        yield World(api)


@pytest.mark.parametrize(("quota", "add"), ADDITIONS.values(), ids=ADDITIONS.keys())
def test_request_adds_up_to_the_quota_and_not_more(world: World, quota: dict[str, int], add: Way) -> None:
    ((name, code),) = quota.items()
    used = world.result("GET", QUOTAS)[name]["used"]
    world.api.result("PATCH", QUOTAS, {name: used + 1})
    try:
        assert add(world) == ""
        shown = world.result("GET", QUOTAS)[name]
        assert shown == {"limit": used + 1, "used": used + 1, "is_own": True}
        error = add(world)
        assert str(code) in error
        assert f"`{name}`" in error or f"`{name}`".replace("`", "&#96;") in error
        assert f"{used + 1:,}" in error
        assert "ask the server" in error
        assert world.result("GET", QUOTAS)[name]["used"] == used + 1
        world.api.result("PATCH", QUOTAS, {name: max(0, used - 1)})  # now it is over
        assert str(code) in add(world)
    finally:
        world.api.result("PATCH", QUOTAS, {name: None})
    assert world.result("GET", QUOTAS)[name]["is_own"] is False


def test_scheduled_change_is_judged_when_it_is_due(world: World) -> None:
    api, used = world.api, world.result("GET", QUOTAS)["addresses_per_map"]["used"]
    path = f"{MAPS}/{world.map}/ips/203.0.113.250"
    api.result("PATCH", QUOTAS, {"addresses_per_map": used})
    later = time_text(datetime.now(UTC) + timedelta(hours=1))
    assert f"{OWN_CODE} the quota `addresses_per_map`" in world.send("PUT", path, params={"deploy_at": later})
    api.result("PATCH", QUOTAS, {"addresses_per_map": used + 1})
    change = soon(api, "PUT", path, token=world.tenant)
    api.result("PATCH", QUOTAS, {"addresses_per_map": used})
    pending = f"/accounts/{A1}/addressing/pending_changes/{change['id']}"
    wait_until(lambda: world.result("GET", pending)["state"] == "stopped")
    reason = world.result("GET", pending)["reason"]
    assert f"the quota `addresses_per_map` is {used:,}, and there would be {used + 1:,}" in reason
    assert f"{OWN_CODE} the quota `addresses_per_map`" in world.send("POST", f"{pending}/run")
    api.result("PATCH", QUOTAS, {"addresses_per_map": None})
    assert world.send("POST", f"{pending}/run") == ""
    assert "203.0.113.250" in str(world.result("GET", f"{MAPS}/{world.map}")["ips"])


def test_account_over_its_quotas_edits_and_deletes(world: World) -> None:
    nothing = dict.fromkeys(("zones", "records_per_zone", "records", "maps", "addresses_per_map", "prefixes"), 0)
    made = world.result("POST", RECORDS, record())["id"]
    one = world.result("POST", MAPS, {"description": "small", "ips": ["203.0.113.1", "203.0.113.2"]})["id"]
    gone = world.result("POST", "/zones", {"name": zone_name()})["id"]
    world.api.result("PATCH", QUOTAS, nothing)
    try:
        assert world.send("PATCH", f"{RECORDS}/{made}", {"content": "192.0.2.8"}) == ""
        assert world.send("PUT", f"{RECORDS}/{made}", record()) == ""
        assert world.send("POST", f"{RECORDS}/batch", {"deletes": [{"id": made}], "posts": [record()]}) == ""
        assert world.send("PATCH", f"{MAPS}/{one}", {"enabled": True}) == ""
        assert world.send("PATCH", f"{MAPS}/{one}", {"ips": ["203.0.113.3"]}) == ""
        assert world.send("PATCH", f"{MAPS}/{one}", {"enabled": False}) == ""
        assert world.send("PATCH", f"{PREFIXES}/{PREFIX1}", {"description": "old"}) == ""
        assert world.send("DELETE", f"{MAPS}/{one}") == ""
        assert world.send("DELETE", f"/zones/{gone}") == ""
        assert world.send("POST", "/zones", {"name": zone_name()}).startswith(str(ZONES_CODE))
    finally:
        world.api.result("PATCH", QUOTAS, dict.fromkeys(nothing))


def test_scan_adds_nothing_and_is_never_refused(world: World) -> None:
    world.api.result("PATCH", QUOTAS, {"records": 0})
    assert world.send("POST", f"{RECORDS}/scan") == ""
    world.api.result("PATCH", QUOTAS, {"records": None})


def test_quotas_are_the_operators(world: World) -> None:
    api = world.api
    assert api.refused("PATCH", QUOTAS, {"zones": 1}, token=world.tenant)[:2] == (403, 10000)
    assert api.refused("GET", f"/accounts/{A2}/quotas", token=world.tenant)[:2] == (404, 1000)
    status, code, message = api.refused("PATCH", QUOTAS, {"zone": 1})
    assert (status, code) == (400, 1001)
    assert "'zones'" in message
    assert api.refused("PATCH", QUOTAS, {"zones": -1})[:2] == (400, 1001)
    assert "quotas" not in api.read("acme/account.yaml")
    api.result("PATCH", QUOTAS, {"zones": 77, "maps": 5})
    assert yaml.safe_load(api.read("acme/account.yaml"))["quotas"] == {"zones": 77, "maps": 5}
    api.result("PATCH", QUOTAS, {"maps": None})
    assert world.result("GET", QUOTAS)["zones"] == {"limit": 77, "used": api.result("GET", QUOTAS)["zones"]["used"]} | {
        "is_own": True
    }
    api.result("PATCH", QUOTAS, {"zones": None})
    assert "quotas" not in api.read("acme/account.yaml")


def test_commands_and_pages_show_limits_and_use(world: World) -> None:
    env = {"DNSD_API_TOKEN": world.api.operator}
    where = ("--url", world.api.origin, "-c", str(world.api.config))
    done = CliRunner().invoke(main, ["account", "quotas", "Globex", "--set", "zones=9", *where], env=env)
    assert done.exit_code == 0, done.output
    assert re.search(r"zones\s+1\s+9\s+account", done.output)
    assert re.search(r"maps\s+0\s+1,000\s+settings", done.output)
    wrong = CliRunner().invoke(main, ["account", "quotas", "Globex", "--set", "zone=9", *where], env=env)
    assert wrong.exit_code == 2
    assert "the quotas are zones, records_per_zone" in wrong.output
    with Person(world.api, world.api.token("--account", A2)) as person:
        page = person.get(f"/accounts/{A2}/quotas").text
        assert re.search(r">zones</th><td[^>]*>1</td><td[^>]*>9</td>", page)
        assert f"/accounts/{A2}/quotas" in person.get("/accounts").text
        assert person.get(f"/accounts/{A1}/quotas").status_code == 404
    done = CliRunner().invoke(main, ["account", "quotas", "Globex", "--set", "zones=default", *where], env=env)
    assert re.search(r"zones\s+1\s+10,000\s+settings", done.output)


def test_writes_over_the_rate_wait(world: World) -> None:
    api, path = world.api, f"/accounts/{A2}/quotas"
    token = api.token("--account", A2)
    api.result("PATCH", path, {"writes_per_minute": 3})
    body = {"comment": "x"}
    record_id = api.result("GET", f"/zones/{Z3}/dns_records")[0]["id"]
    for _ in range(3):
        api.result("PATCH", f"/zones/{Z3}/dns_records/{record_id}", body, token=token)
    over = api.call("PATCH", f"/zones/{Z3}/dns_records/{record_id}", body, token=token)
    assert over.status_code == 429
    assert 1 <= int(over.headers["retry-after"]) <= 20
    assert "x-should-retry" not in over.headers
    (error,) = over.json()["errors"]
    assert error["code"] == 971
    assert error["message"].startswith("Please wait and consider throttling your request speed: the quota `writes_per")
    assert api.result("GET", path, token=token)["writes_per_minute"] == {"limit": 3, "used": 3, "is_own": True}
    assert api.result("GET", f"/zones/{Z3}/dns_records", token=token)  # reading goes on
    api.result("PATCH", f"/zones/{Z3}/dns_records/{record_id}", body)  # and so do others
    with Person(api, token) as person:
        page = person.post(f"/zones/{Z3}/settings", {})
        assert page.status_code == 429
        assert "throttling" in page.text
    api.result("PATCH", path, {"writes_per_minute": None})


def test_quota_in_files_is_a_warning(world: World) -> None:
    api = world.api
    text = api.read("globex/account.yaml")
    api.write("globex/account.yaml", text + "quotas: {records_per_zone: 0, zones: 0}\n")
    done = CliRunner().invoke(main, ["check", "-c", str(api.config)])
    assert done.exit_code == 0, done.output
    assert "account.yaml:" in done.output
    assert "quotas.zones: the quota `zones` is 0, and there are 1 zones in the account" in done.output
    assert "records: the quota `records_per_zone` is 0, and there are 1 records in example.org" in done.output
    api.write("globex/account.yaml", text)


def test_settings_have_quotas_for_all(tmp_path: Any) -> None:
    with Api(tmp_path, FILES, settings=f"{SETTINGS}quotas: {{zones: 2}}\n").running() as api:
        assert api.refused("POST", "/zones", {"name": "more.example", "account": {"id": A1}})[:2] == (400, ZONES_CODE)
        assert api.result("POST", "/zones", {"name": "more.example", "account": {"id": A2}})


def test_flood_of_one_tenant_leaves_the_evidence_of_others(tmp_path: Path) -> None:
    with Api(
        tmp_path, FILES, settings=f"{SETTINGS}quotas: {{audit_octets: 20000, history_octets: 20000}}\n"
    ).running() as api:
        acme, globex = (api.token("--account", one, "--name", one[:2]) for one in (A1, A2))
        made = api.result("POST", f"/zones/{Z3}/dns_records", record(), token=globex)["id"]
        api.result("DELETE", f"/zones/{Z3}/dns_records/{made}", token=globex)
        versions = api.result("GET", f"/zones/{Z3}/history", token=globex)
        for number in range(60):
            body = {"comment": f"{number} " + "x" * 490}
            api.result("PATCH", f"/accounts/{A1}/dns_settings", {"enforce_dns_only": number % 2 == 0}, token=acme)
            api.refused("POST", "/zones", {"name": f"bad name {number}"}, token=acme)
            if not number % 3:
                ids = [one["id"] for one in api.result("GET", f"/zones/{Z1}/dns_records", token=acme)]
                api.result("PATCH", f"/zones/{Z1}/dns_records/{ids[0]}", body, token=acme)
        theirs = api.result("GET", f"/accounts/{A2}/audit_logs", token=globex)
        assert [one["action"]["type"] for one in theirs] == ["record.delete", "record.create"]
        assert api.result("GET", f"/zones/{Z3}/history", token=globex) == versions
        own = api.result("GET", f"/accounts/{A1}/audit_logs", token=acme)
        assert 10 < len(own) < 150
        shown = api.result("GET", QUOTAS, token=acme)
        assert 0 < shown["audit_octets"]["used"] <= 20_000
        assert 0 < shown["history_octets"]["used"] <= 20_000
        assert "were deleted, for lack of room (quota `audit_octets`)" in api.dns.stderr.text()
        assert "audit.dropped" in [one["action"]["type"] for one in api.result("GET", f"/accounts/{A1}/audit_logs")]
        with Person(api, globex) as person:
            assert "record" in person.get("/audit").text
