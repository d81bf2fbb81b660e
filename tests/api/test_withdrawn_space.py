"""Space lent to another account, and taken back: from disabled maps at any time, from enabled ones by force."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dnsd.cli import main
from tests.api.server import A1, A2, FILES, PREFIX1, Api
from tests.api.test_prefix_pages import shown_by
from tests.browser.sessions import Person

DELEGATIONS = f"/accounts/{A1}/addressing/prefixes/{PREFIX1}/delegations"
MAPS = f"/accounts/{A2}/addressing/address_maps"
LENT = ["203.0.113.70", "203.0.113.71"]
OWN = "198.51.100.200"
OUTSIDE = "is outside the account's prefixes"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    files = FILES | {"globex/account.yaml": f"id: {A2}\nname: Globex\nstatic_ips: [{OWN}]\n"}
    with Api(tmp_path, files).running() as api:
        yield api


def tenant(api: Api, account: str) -> str:
    return api.token("--account", account)


def delegate(api: Api) -> str:
    body = {"cidr": "203.0.113.64/26", "delegated_account_id": A2}
    return f"{DELEGATIONS}/{api.result('POST', DELEGATIONS, body, token=tenant(api, 'acme'))['id']}"


def made(api: Api, *ips: str, **fields: Any) -> str:
    """The path of a new map of the other account, for its zone."""
    zone = api.result("GET", "/zones", params={"name": "example.org"})[0]["id"]
    body = {"ips": ips, "memberships": [{"kind": "zone", "identifier": zone}], "description": "Sale", **fields}
    return f"{MAPS}/{api.result('POST', MAPS, body, token=tenant(api, 'globex'))['id']}"


def checked(api: Api) -> bool:
    """Whether the files are without an error."""
    return CliRunner().invoke(main, ["check", "-c", str(api.config)]).exit_code == 0


def test_owner_takes_back_what_only_disabled_maps_list(api: Api) -> None:
    lent = delegate(api)
    listed = made(api, *LENT, OWN)
    globex = tenant(api, "globex")
    api.result("DELETE", lent, token=tenant(api, "acme"))
    assert api.result("GET", DELEGATIONS) == []
    assert [one["ip"] for one in api.result("GET", listed, token=globex)["ips"]] == [*LENT, OWN]
    assert checked(api)  # else the next reload would hold the account
    with Person(api, globex) as person:
        page = person.get(listed.replace("/addressing/address_maps", "/maps")).text
        assert "203.0.113.70 is outside the account" in page
        assert "cannot be enabled while it lists it" in page
    assert OUTSIDE in api.refused("PATCH", listed, {"enabled": True}, token=globex)[2]
    api.result("PATCH", listed, {"description": "Winter sale"}, token=globex)
    for ip in LENT:
        api.result("DELETE", f"{listed}/ips/{ip}", token=globex)
    assert OUTSIDE in api.refused("PUT", f"{listed}/ips/{LENT[0]}", token=globex)[2]
    assert OUTSIDE in api.refused("POST", MAPS, {"ips": [LENT[0]]}, token=globex)[2]
    assert api.result("PATCH", listed, {"enabled": True}, token=globex)["enabled"] is True


def test_owner_hears_nothing_of_the_maps_that_use_it_and_the_operator_does(api: Api) -> None:
    lent = delegate(api)
    made(api, LENT[0], OWN, enabled=True)
    before = api.ask("www.example.org")
    for path in (lent, DELEGATIONS.rpartition("/")[0]):
        for params in ({}, {"force": "true"}):
            status, code, message = api.refused("DELETE", path, token=tenant(api, "acme"), params=params)
            assert (status, code) == (400, 1002)
            assert "enabled address maps of another account use these addresses" in message
            assert not any(word in message for word in ("globex", "Sale", "sale", "203.0.113.70", "example.org"))
        status, code, message = api.refused("DELETE", path)
        assert (status, code) == (400, 1002)
        assert "for 1 zone: example.org" in message
        assert "globex/maps/sale loses 203.0.113.70" in message
    assert api.ask("www.example.org") == before
    assert len(api.result("GET", DELEGATIONS)) == 1


def test_operator_forces_it_and_the_maps_go_on_with_what_is_left(api: Api) -> None:
    lent = delegate(api)
    path = made(api, *LENT, OWN, enabled=True)
    assert sorted(api.ask("www.example.org")) == sorted([OWN, *LENT])
    api.result("DELETE", lent, params={"force": "true"})
    assert [one["ip"] for one in api.result("GET", path)["ips"]] == [OWN]
    assert api.ask("www.example.org") == [OWN]
    assert checked(api)
    entries = [one for one in api.audited() if one["action"] == "prefix.undelegate"]
    assert {one["account_id"] for one in entries} == {A1, A2}
    assert len(api.result("GET", f"{path}/history")) > 1  # the map's account can look up what it was


def test_forced_off_its_last_address_a_map_is_disabled_and_keeps_it(api: Api) -> None:
    lent = delegate(api)
    path = made(api, *LENT, enabled=True)
    api.result("DELETE", lent, params={"force": "true"})
    after = api.result("GET", path)
    assert (after["enabled"], [one["ip"] for one in after["ips"]]) == (False, LENT)


def test_nobody_is_forced_off_a_map_onto_a_pool_from_which_it_is_barred(api: Api) -> None:
    lent = delegate(api)
    member = [{"kind": "account", "identifier": A2}]
    path = made(api, *LENT, enabled=True, memberships=member)
    api.result("PUT", f"/accounts/{A2}", {"name": "Globex", "pool": "never"})
    assert "pool: never" in api.refused("DELETE", lent, params={"force": "true"})[2]
    api.result("PUT", f"/accounts/{A2}", {"name": "Globex", "pool": "allowed"})
    api.result("POST", MAPS, {"ips": [LENT[0], OWN], "immutable": True, "enabled": True, "memberships": member})
    assert "is immutable" in api.refused("DELETE", lent, params={"force": "true"})[2]
    assert api.result("GET", path)["enabled"] is True
    assert len(api.result("GET", DELEGATIONS)) == 1


def test_operator_forces_a_prefix_back_to_pending(api: Api) -> None:
    delegate(api)
    prefix = f"/accounts/{A1}/addressing/prefixes/{PREFIX1}"
    lent = made(api, LENT[0], OWN, enabled=True)
    zone = {"kind": "zone", "identifier": api.result("GET", "/zones", params={"name": "example.com"})[0]["id"]}
    maps = f"/accounts/{A1}/addressing/address_maps"
    body = {"ips": ["203.0.113.9", "2001:db8:100::9"], "enabled": True, "memberships": [zone], "description": "Own"}
    own = f"{maps}/{api.result('POST', maps, body)['id']}"
    only = f"{maps}/{api.result('POST', maps, {'ips': ['203.0.113.8'], 'enabled': True})['id']}"
    status, code, message = api.refused("PATCH", prefix, {"approved": "P"})
    assert (status, code) == (400, 1002)
    assert "enabled maps use these addresses for 2 zones: example.com, example.org" in message
    assert "acme/maps/own loses 203.0.113.9" in message
    for params in ({}, {"force": "true"}):  # a tenant has no force
        assert api.refused("PATCH", prefix, {"approved": "P"}, token=tenant(api, "acme"), params=params)[0] == 400
    assert api.result("PATCH", prefix, {"approved": "P"}, params={"force": "true"})["approved"] == "P"
    assert [one["ip"] for one in api.result("GET", own)["ips"]] == ["2001:db8:100::9"]
    assert [one["ip"] for one in api.result("GET", lent)["ips"]] == [OWN]
    assert api.result("GET", only)["enabled"] is False
    assert api.ask("www.example.org") == [OWN]
    assert checked(api)
    assert "not approved yet" in api.refused("PATCH", only, {"enabled": True})[2]
    api.result("PATCH", prefix, {"approved": "V"})
    assert api.result("PATCH", only, {"enabled": True})["enabled"] is True


def test_dashboard_shows_the_operator_the_plan_and_confirms_it(api: Api) -> None:
    lent = delegate(api)
    made(api, LENT[0], OWN, enabled=True)
    page_of = f"/accounts/{A1}/addresses/{PREFIX1}/delegations/{lent.rpartition('/')[2]}/delete"
    with Person(api, tenant(api, "acme")) as person:
        page = person.get(page_of)
        assert "enabled address maps of another account use these addresses" in page.text.lower()
        assert "lobex" not in page.text
        assert "203.0.113.70" not in page.text
        assert person.post(page_of, {"shown": shown_by(page.text)}).status_code == 400
    with Person(api, api.operator) as person:
        seen = person.get(page_of).text
        assert "globex/maps/sale loses 203.0.113.70" in seen
        assert "www.example.org" in seen
        api.result("POST", MAPS, {"ips": [LENT[1], OWN], "enabled": True, "description": "More"})
        again = person.post(page_of, {"shown": shown_by(seen)})
        assert again.status_code == 412
        assert "look at it again" in again.text
        assert "globex/maps/more loses 203.0.113.71" in again.text
        assert len(api.result("GET", DELEGATIONS)) == 1
        assert person.post(page_of, {"shown": shown_by(again.text)}).status_code == 303
    assert api.result("GET", DELEGATIONS) == []
    assert api.ask("www.example.org") == [OWN]
