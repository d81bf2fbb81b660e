"""One start with every file in the state folder damaged, each in another way: the server answers DNS and the API."""

from __future__ import annotations

import os
from itertools import cycle, islice
from pathlib import Path

import pytest

from tests.api.server import SETTINGS, Api
from tests.browser.sessions import Person
from tests.limits import IS_LONG
from tests.unit.control.scheduling import ACME, SHOP, Scheduling
from tests.unit.control.test_state_files import DAMAGES, files_in, is_damage, keep_all


@pytest.fixture
def world(tmp_path: Path) -> Scheduling:
    """A folder with every file that a server keeps."""
    world = Scheduling(tmp_path / "world")
    world.schedule("map.add_ip", ip="203.0.113.7")
    world.run(keep_all)
    return world


@pytest.mark.parametrize("first", range(len(DAMAGES)) if IS_LONG else [5])
def test_start_with_all_state_files_damaged(world: Scheduling, first: int) -> None:
    api = Api(world.folder, {}, settings=f"{SETTINGS}data: accounts\n")
    files = [*files_in(world.state)]
    damaged = []
    for file, kind in zip(files, islice(cycle(DAMAGES), first, None), strict=False):
        if kind == "huge" and "audit" in str(file.relative_to(world.state)):
            kind = "octets"
        DAMAGES[kind](file)
        damaged += [(file, kind)] if is_damage(file, kind) else []
    assert len(damaged) > len(files) / 3
    with api.running():
        assert api.ask("www.tools.example") == ["198.51.100.10", "198.51.100.11"]
        assert api.ask("www.cake.example") == ["203.0.113.1", "203.0.113.3"]
        assert api.call("GET", "/zones").status_code in (401, 403)  # the tokens are gone, with all access
        api.operator = api.token("--name", "again")
        zones = {one["name"]: one["id"] for one in api.result("GET", "/zones")}
        assert set(zones) == {"cake.example", "bread.example", "tools.example"}
        zone = f"/zones/{zones['bread.example']}/dns_records"
        made = api.result("POST", zone, {"type": "A", "name": "new", "content": "192.0.2.9", "ttl": 60})
        assert api.ask("new.bread.example") == ["192.0.2.9"]
        api.result("DELETE", f"{zone}/{made['id']}")  # with evidence
        account = f"/accounts/{ACME}"
        for path in (
            f"{account}/addressing/loa_documents",
            f"{account}/addressing/address_maps/{SHOP}/pending_changes",
            f"{account}/addressing/address_maps/{SHOP}/history",
            f"{account}/audit_logs",
        ):
            assert api.call("GET", path).status_code in (200, 404), path
        with Person(api, api.operator) as person:
            assert person.get("/").status_code == 200
        output = api.dns.stdout.text() + api.dns.stderr.text()
    output = api.dns.stdout.text() + api.dns.stderr.text()
    assert "Traceback" not in output
    for file, kind in damaged:
        asides = [file.with_name(f"{dot}{file.name}.damaged") for dot in ("", ".")]
        assert any(map(os.path.lexists, asides)), (file, kind)
        assert f"{file.name}.damaged" in output, (file, kind)
