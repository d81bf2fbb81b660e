"""An account can neither take, restore nor keep a zone of another account; some fields are for the operator alone."""

from __future__ import annotations

import os

import pytest
from dns.rcode import NOERROR, REFUSED

from tests.api.server import A1, A2, Z1, Z2, Api
from tests.bugs.accounts import made_zone, wait_for


def test_restore_does_not_reach_another_account(api: Api, acme: str, globex: str) -> None:
    first = made_zone(api, A1, "shared.test", acme)
    api.result("POST", f"/zones/{first}/dns_records", {"type": "A", "name": "www", "content": "192.0.2.66"}, token=acme)
    api.result("DELETE", f"/zones/{first}", token=acme)
    second = made_zone(api, A2, "shared.test", globex)
    assert first != second  # a token for one is not valid for the other
    api.result(
        "POST", f"/zones/{second}/dns_records", {"type": "A", "name": "www", "content": "192.0.2.7"}, token=globex
    )
    history = f"/accounts/{A1}/zones/{first}/history"
    newest = api.result("GET", history, token=acme)[0]["version"]
    assert api.result("POST", f"{history}/{newest}/restore", token=acme)["status"] == "pending"
    assert api.ask("www.shared.test") == ["192.0.2.7"]
    api.result("PATCH", f"/zones/{second}", {"verified": True})
    api.result("DELETE", f"/zones/{first}", token=acme)
    assert api.refused("POST", f"{history}/{newest}/restore", token=acme)[:2] == (400, 1061)


def test_restore_of_a_file_moved_to_another_account(api: Api, acme: str) -> None:
    path = f"/zones/{Z2}/dns_records"
    api.result("POST", path, {"type": "A", "name": "a", "content": "192.0.2.9"}, token=acme)
    version = api.result("GET", f"/zones/{Z2}/history", token=acme)[-1]["version"]
    root = api.folder / "accounts"
    os.rename(root / "acme/zones/example.net.yaml", root / "globex/zones/example.net.yaml")
    try:
        wait_for(lambda: api.call("GET", f"/zones/{Z2}", token=acme).status_code == 404)
        gone = f"/accounts/{A1}/zones/{Z2}/history/{version}/restore"
        assert api.refused("POST", gone, token=acme)[:2] == (404, 1000)
        assert api.ask("a.example.net") == ["192.0.2.9"]
    finally:
        os.rename(root / "globex/zones/example.net.yaml", root / "acme/zones/example.net.yaml")
        wait_for(lambda: api.call("GET", f"/zones/{Z2}", token=acme).status_code == 200)


@pytest.mark.parametrize(
    "name",
    [
        *("www.example.com", "a.b.example.com", "com", "example"),
        *("co.uk", "gov.uk", "github.io", "in-addr.arpa", "ip6.arpa", "xn--55qx5d.cn"),
    ],
)
def test_only_the_operator_makes_zones_of_others_and_of_public_suffixes(api: Api, globex: str, name: str) -> None:
    body = {"name": name, "account": {"id": A2}}
    assert api.refused("POST", "/zones", body, token=globex)[:2] == (400, 1002)
    zone = api.result("POST", "/zones", body)
    api.result("DELETE", f"/zones/{zone['id']}")


def test_zone_around_one_of_another_account(api: Api, acme: str, globex: str) -> None:
    inner = made_zone(api, A1, "deep.around.test", acme)
    api.result("PATCH", f"/zones/{inner}", {"verified": True})
    assert api.refused("POST", "/zones", {"name": "around.test", "account": {"id": A2}}, token=globex)[:2] == (
        400,
        1002,
    )
    made_zone(api, A1, "around.test", acme)
    api.result("DELETE", f"/zones/{inner}", token=acme)


def test_alias_of_another_account_does_not_keep_a_zone(api: Api, acme: str, globex: str) -> None:
    vendor = made_zone(api, A2, "vendor.test", api.operator)
    api.result(
        "POST", f"/zones/{vendor}/dns_records", {"type": "A", "name": "shop", "content": "192.0.2.8"}, token=globex
    )
    flat = made_zone(api, A1, "flat.test", acme)
    alias = {"type": "CNAME", "name": "@", "content": "shop.vendor.test"}
    api.result("POST", f"/zones/{flat}/dns_records", alias, token=acme)
    assert api.ask("flat.test") == ["192.0.2.8"]
    api.result("DELETE", f"/zones/{vendor}", token=globex)
    assert api.reply("flat.test").rcode() == 2  # no longer resolvable
    other = made_zone(api, A1, "flat2.test", acme)
    assert api.refused("POST", f"/zones/{other}/dns_records", alias, token=acme)[:2] == (400, 1001)
    api.result("DELETE", f"/zones/{flat}", token=acme)


def test_restore_needs_the_permissions_of_an_edit(api: Api) -> None:
    """A version contains settings and records, so restoring it requires both permissions."""
    dns_only = api.token("--zone", Z1, "--permission", "dns:edit")
    api.result("PATCH", f"/zones/{Z1}", {"paused": True})
    version = api.result("GET", f"/zones/{Z1}/history")[-1]["version"]
    path = f"/zones/{Z1}/history/{version}/restore"
    assert api.refused("POST", path, token=dns_only)[:2] == (403, 10000)
    assert api.result("GET", f"/zones/{Z1}", token=dns_only)["paused"] is True
    api.result("PATCH", f"/zones/{Z1}", {"paused": False})


def test_only_the_operator_restores_a_status(api: Api, acme: str) -> None:
    zone = made_zone(api, A1, "status.test", acme)
    version = api.result("GET", f"/zones/{zone}/history", token=acme)[-1]["version"]
    file = api.folder / "accounts/acme/zones/status.test.yaml"
    file.write_text(file.read_text().replace("status: active", "status: initializing"))
    wait_for(lambda: api.result("GET", f"/zones/{zone}")["status"] == "initializing")
    assert api.refused("POST", f"/zones/{zone}/history/{version}/restore", token=acme)[:2] == (400, 1002)
    assert api.result("POST", f"/zones/{zone}/history/{version}/restore")["status"] == "active"


@pytest.mark.parametrize("status", ["initializing", "pending", "moved"])
def test_tenant_cannot_get_around_a_lock(api: Api, acme: str, status: str) -> None:
    zone = made_zone(api, A1, f"{status}.locked.test", acme)
    record = {"type": "A", "name": "www", "content": "192.0.2.66"}
    api.result("POST", f"/zones/{zone}/dns_records", record, token=acme)
    file = api.folder / f"accounts/acme/zones/{status}.locked.test.yaml"
    file.write_text(file.read_text().replace("status: active", f"status: {status}"))
    wait_for(lambda: api.result("GET", f"/zones/{zone}")["status"] == status)
    is_served = status != "initializing"  # the worker may be a moment behind
    wait_for(lambda: api.reply(f"www.{status}.locked.test").rcode() == (NOERROR if is_served else REFUSED))
    answer = api.reply(f"www.{status}.locked.test").to_wire()[2:]
    code, number, message = api.refused("DELETE", f"/zones/{zone}", token=acme)
    assert (code, number) == (400, 1002)
    assert f"the zone is {status}: only the operator can delete it" in message
    below = {"name": f"www.{status}.locked.test", "account": {"id": A1}}
    assert api.refused("POST", "/zones", below, token=acme)[:2] == (400, 1002)
    assert api.reply(f"www.{status}.locked.test").to_wire()[2:] == answer
    assert api.call("DELETE", f"/zones/{zone}").status_code == 200
