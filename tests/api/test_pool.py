"""Accounts barred from the default pool, over the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dnsd.cli import main
from tests.api.server import A1, A2, FILES, Z1, Z3, Api

MAPS = f"/accounts/{A1}/addressing/address_maps"
WIDE = [{"kind": "account", "identifier": A1}]
POOL = ["198.51.100.10", "198.51.100.11"]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with Api(tmp_path).running() as running:
        yield running


def pool(api: Api, **change: Any) -> str:
    said: str = api.result("PUT", f"/accounts/{A1}", {"name": "Acme", **change})["pool"]
    return said


def made(api: Api, **fields: Any) -> str:
    body = {"ips": ["203.0.113.40"], "memberships": WIDE, "enabled": True, **fields}
    created: str = api.result("POST", MAPS, body)["id"]
    return created


def test_new_immutable_map_bars_its_account(api: Api) -> None:
    assert api.result("GET", f"/accounts/{A1}")["pool"] == "allowed"
    assert sorted(api.ask("www.example.com")) == POOL
    made(api, immutable=True)
    assert api.result("GET", f"/accounts/{A1}")["pool"] == "never"
    assert "\npool: never" in api.read("acme/account.yaml")
    assert "# the old one" in api.read("acme/account.yaml")
    assert api.ask("www.example.com") == ["203.0.113.40"]
    assert api.result("GET", f"/accounts/{A2}")["pool"] == "allowed"


def test_immutable_map_bars_its_account_once_it_is_in_effect(api: Api) -> None:
    found = made(api, immutable=True, enabled=False)
    assert "pool:" not in api.read("acme/account.yaml")
    api.result("PATCH", f"{MAPS}/{found}", {"enabled": True})
    assert "\npool: never" in api.read("acme/account.yaml")


def test_barred_account_keeps_an_account_wide_map(api: Api) -> None:
    assert api.refused("PUT", f"/accounts/{A1}", {"name": "Acme", "pool": "never"})[:2] == (400, 1002)
    found = made(api)
    assert pool(api, pool="never") == "never"
    path = f"{MAPS}/{found}"
    for method, place, body in (
        ("PATCH", path, {"enabled": False}),
        ("DELETE", f"{path}/ips/203.0.113.40", None),
        ("DELETE", f"{path}/accounts/{A1}", None),
    ):
        for token in (api.operator, api.token("--account", A1)):
            status, code, message = api.refused(method, place, body, token=token)
            assert (status, code) == (400, 1002), message
    assert "`pool: never` needs an enabled account-wide map" in message or "last address" in message
    assert api.ask("www.example.com") == ["203.0.113.40"]


def test_another_map_may_take_over(api: Api) -> None:
    first = made(api)
    pool(api, pool="never")
    second = made(api, ips=["203.0.113.41"])
    api.result("PATCH", f"{MAPS}/{first}", {"enabled": False})
    assert api.ask("www.example.com") == ["203.0.113.41"]
    assert api.refused("PATCH", f"{MAPS}/{second}", {"enabled": False})[:2] == (400, 1002)


def test_bar_ends_by_the_operators_word(api: Api) -> None:
    found = made(api)
    pool(api, pool="never")
    status, code, message = api.refused("PUT", f"/accounts/{A1}", {"name": "Acme", "pool": None})
    assert (status, code) == (400, 1002)
    assert "`pool: allowed`" in message
    assert pool(api) == "never"  # a rename leaves the key
    assert pool(api, pool="allowed") == "allowed"
    api.result("PATCH", f"{MAPS}/{found}", {"enabled": False})
    assert sorted(api.ask("www.example.com")) == POOL
    assert pool(api, pool=None) == "allowed"
    assert "pool" not in api.read("acme/account.yaml")


def test_unknown_value_is_refused(api: Api) -> None:
    status, code, message = api.refused("PUT", f"/accounts/{A1}", {"name": "Acme", "pool": "no"})
    assert (status, code) == (400, 1001)
    assert "allowed" in message


def test_account_goes_with_its_immutable_map(tmp_path: Path) -> None:
    files = {name: text for name, text in FILES.items() if not name.startswith("globex/zones")}
    files["globex/account.yaml"] += "static_ips: [192.0.2.230]\n"
    with Api(tmp_path, files).running() as api:
        maps = f"/accounts/{A2}/addressing/address_maps"
        body = {"ips": ["192.0.2.230"], "memberships": [{"kind": "account", "identifier": A2}], "enabled": True}
        api.result("POST", maps, {**body, "immutable": True})
        ordinary = api.result("POST", maps, {"ips": ["192.0.2.230"]})["id"]
        status, code, message = api.refused("DELETE", f"/accounts/{A2}")
        assert (status, code) == (400, 1002)
        assert "1 address maps" in message
        api.result("DELETE", f"{maps}/{ordinary}")
        assert api.result("DELETE", f"/accounts/{A2}") == {"id": A2}
        assert not (tmp_path / "accounts/globex").exists()


def test_barred_account_never_asks_the_pool_for_a_new_zone(api: Api) -> None:
    made(api, immutable=True)
    created = api.result("POST", "/zones", {"name": "new.example", "account": {"id": A1}})["id"]
    record = {"name": "www", "type": "A", "content": "192.0.2.9", "proxied": True}
    api.result("POST", f"/zones/{created}/dns_records", record)
    assert api.ask("www.new.example") == ["203.0.113.40"]
    assert api.ask("www.new.example", "AAAA") == []
    assert sorted(api.ask("www.example.org")) == POOL  # of the other account, as before
    assert Z3 in {one["id"] for one in api.result("GET", "/zones")}


def test_plan_and_check_warn_of_names_that_lead_to_other_accounts(api: Api) -> None:
    """Before the account is barred, and after: the other account's addresses are the default pool's."""
    record = {"name": "partner", "type": "CNAME", "content": "www.example.org"}
    api.result("POST", f"/zones/{Z1}/dns_records", record)
    body = {"ips": ["203.0.113.40"], "memberships": WIDE, "enabled": True, "immutable": True}
    warnings = api.result("POST", f"{MAPS}/plan", body)["warnings"]
    words = "partner.example.com leads to a proxied name of another account"
    assert [one for one in warnings if words in one]
    api.result("POST", MAPS, body)
    assert sorted(api.ask("partner.example.com")[1:]) == POOL
    checked = CliRunner().invoke(main, ["check", "-c", str(api.config)])
    assert checked.exit_code == 0
    assert words in checked.output
    api.result("PUT", f"/accounts/{A1}", {"name": "Acme", "pool": "allowed"})
    assert words not in CliRunner().invoke(main, ["check", "-c", str(api.config)]).output


def test_command_makes_an_immutable_map(api: Api) -> None:
    env = {"DNSD_API_URL": api.origin, "DNSD_API_TOKEN": None, "DNSD_CONFIG": str(api.config)}
    command = ["map", "create", "--account", A1, "--ip", "203.0.113.40", "--immutable", "--enable"]
    planned = CliRunner().invoke(main, [*command, "--dry-run"], env=env)
    assert (planned.exit_code, api.result("GET", MAPS)) == (0, []), planned.output
    assert "www.example.com" in planned.output
    made = CliRunner().invoke(main, command, env=env)
    assert made.exit_code == 0, made.output
    (found,) = api.result("GET", MAPS)
    assert (found["can_delete"], [one["kind"] for one in found["memberships"]]) == (False, ["account"])
    assert "\npool: never" in api.read("acme/account.yaml")
    tenant = CliRunner().invoke(main, command, env={**env, "DNSD_API_TOKEN": api.token("--account", A1)})
    assert tenant.exit_code == 1
    assert "only the operator can create immutable maps (code 1002)" in tenant.output


def test_live_server_holds_an_account_that_loses_its_immutable_map(api: Api) -> None:
    """At a reload, with or without --force, and at the next start."""
    made(api, immutable=True)
    (file,) = (api.folder / "accounts/acme/maps").glob("*.yaml")
    file.unlink()
    for force in ([], ["--force"]):
        reload = CliRunner().invoke(main, ["reload", "-c", str(api.config), *force])
        assert reload.exit_code == 1, reload.output
        assert "held: acme" in reload.output
        assert "write `pool: allowed`" in reload.output
        assert api.ask("www.example.com") == ["203.0.113.40"]
    api.dns.stop()
    with api.running():
        assert api.ask("www.example.com") == ["203.0.113.40"]
        assert api.result("GET", f"/accounts/{A1}")["pool"] == "never"
        api.write("acme/account.yaml", api.read("acme/account.yaml").replace("pool: never", "pool: allowed"))
        reload = CliRunner().invoke(main, ["reload", "-c", str(api.config)])
        assert reload.exit_code == 0, reload.output
        assert sorted(api.ask("www.example.com")) == POOL
