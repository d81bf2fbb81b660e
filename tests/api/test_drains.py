"""Drains: addresses that names moved off, over the API, the command line, restarts and kills."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from dnsd.cli import main
from dnsd.manage.drain_files import DrainFiles
from dnsd.manage.drains import Drain, DrainBook
from tests.api.server import A1, A2, FILES, SETTINGS, Z1, Z2, Api
from tests.browser.sessions import Person
from tests.limits import HANG_S

P = f"/accounts/{A1}/addressing/address_maps"
SHOP = "5a" * 16
OLD_MAP = "5b" * 16
MAP = f"""
id: {SHOP}
description: Shop
enabled: true
ips: [203.0.113.10, 203.0.113.11, "2001:db8:100::10"]
memberships: [{{kind: zone, identifier: {Z1}}}]
"""
MAPPED = FILES | {"acme/maps/shop.yaml": MAP}
ONE_LESS = MAP.replace("203.0.113.11, ", "")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server with a drain of 203.0.113.11, which is in use again."""
    with Api(tmp_path_factory.mktemp("drains"), MAPPED).running() as api:
        api.result("DELETE", f"{P}/{SHOP}/ips/203.0.113.11")
        served(api)
        restored(api)
        yield api


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Api]:
    """A server without drains."""
    with Api(tmp_path, MAPPED).running() as api:
        yield api


def drains(api: Api, map_id: str = SHOP) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.result("GET", f"{P}/{map_id}/drains")
    return found


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def served(api: Api, count: int = 1) -> list[dict[str, Any]]:
    """The drains, once there are so many and every worker has the change."""
    wait_for(lambda: len(found := drains(api)) == count and all(one["served_at"] for one in found))
    return drains(api)


def seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def restored(api: Api) -> None:
    """Give the map its addresses back, for the next test."""
    api.result("PATCH", f"{P}/{SHOP}", {"enabled": True})
    for ip in ("203.0.113.10", "203.0.113.11"):
        api.result("PUT", f"{P}/{SHOP}/ips/{ip}")


def test_a_drain_from_the_change_until_it_is_forgotten(fresh: Api) -> None:
    api, start = fresh, time.time()
    assert drains(api) == []
    api.result("DELETE", f"{P}/{SHOP}/ips/203.0.113.11")
    (one,) = served(api)
    assert (one["addresses"], one["names_total"], one["ttl_s"]) == (["203.0.113.11"], 1, 300)
    assert (one["state"], one["answered_addresses"]) == ("draining", [])
    assert start - 1 <= seconds(one["changed_at"]) <= seconds(one["served_at"]) <= time.time() + 1
    assert one["last_answer_at"] == one["served_at"]
    assert seconds(one["forgotten_at"]) - seconds(one["served_at"]) == pytest.approx(300, abs=0.01)
    assert 240 < one["remaining_s"] <= 300
    api.result("PATCH", f"{P}/{SHOP}", {"enabled": False})
    newest, _ = served(api, 2)
    assert newest["addresses"] == ["203.0.113.10", "2001:db8:100::10"]
    restored(api)
    newest, oldest = drains(api)
    assert newest["answered_addresses"] == newest["addresses"], "they are in use again"
    assert oldest["answered_addresses"] == ["203.0.113.11"]


def test_changes_that_move_no_name_off_an_address_drain_nothing(api: Api) -> None:
    before = drains(api)
    api.result("PUT", f"{P}/{SHOP}/ips/203.0.113.99")
    api.result("PATCH", f"{P}/{SHOP}", {"description": "The shop"})
    api.result("POST", f"/zones/{Z1}/dns_records", {"name": "txt", "type": "TXT", "content": '"x"', "ttl": 60})
    api.result(
        "POST", f"/zones/{Z1}/dns_records", {"name": "new", "type": "A", "content": "192.0.2.7", "proxied": True}
    )
    assert len(drains(api)) == len(before)


def test_an_alias_drains_for_its_own_ttl(api: Api) -> None:
    before = len(drains(api))
    body = {"name": "to-shop", "type": "CNAME", "content": "www.example.com", "ttl": 7200}
    record = api.result("POST", f"/zones/{Z2}/dns_records", body)["id"]
    api.result("DELETE", f"/zones/{Z2}/dns_records/{record}")
    newest = served(api, before + 1)[0]
    assert (newest["ttl_s"], newest["names_total"]) == (7200, 1)
    assert "203.0.113.10" in newest["addresses"]


def test_a_deleted_map_has_its_drains_and_an_unknown_one_none(api: Api) -> None:
    body = {"ips": ["203.0.113.50"], "enabled": True, "memberships": [{"kind": "zone", "identifier": Z2}]}
    made = api.result("POST", P, body)["id"]
    api.result("PATCH", f"{P}/{made}", {"enabled": False})
    api.result("DELETE", f"{P}/{made}")
    assert [one["addresses"] for one in drains(api, made)] == [["203.0.113.50"]]
    assert api.refused("GET", f"{P}/{OLD_MAP}/drains")[:2] == (404, 1000)
    tenant = api.token("--account", A2)
    assert api.refused("GET", f"{P}/{made}/drains", token=tenant)[0] == 404
    assert api.refused("GET", f"/accounts/{A2}/addressing/address_maps/{made}/drains", token=tenant)[:2] == (404, 1000)


def test_audit_log_has_the_drain(api: Api) -> None:
    wait_for(lambda: "map.drain" in [one["action"] for one in api.audited()])
    lines = api.audited()
    drained = [line for line in lines if line["action"] == "map.drain"]
    entry = next(line for line in drained if "203.0.113.11" in line["message"])
    assert (entry["object"], entry["account_id"]) == ("acme/maps/shop", A1)
    assert "the last cache forgets it at" in entry["message"]


def test_map_page_counts_down(api: Api) -> None:
    with Person(api, api.operator) as person:
        page = person.get(f"/accounts/{A1}/maps/{SHOP}").text
    assert 'id="drains"' in page
    assert 'hx-trigger="every 5s"' in page
    assert "still answered for other names" in page


def run(api: Api, *arguments: str) -> Any:
    env = {"DNSD_CONFIG": str(api.config), "DNSD_API_URL": api.origin, "DNSD_API_TOKEN": api.operator}
    return CliRunner().invoke(main, arguments, env=env)


def test_command_lists_the_drains(api: Api) -> None:
    result = run(api, "map", "drains", SHOP)
    assert result.exit_code == 0, result.output
    first, *rows = result.stdout.splitlines()
    assert first.split() == ["changed", "state", "last", "answer", "forgotten", "addresses", "names", "ttl", "s"]
    assert any("203.0.113.11" in row and "draining" in row for row in rows)
    assert json.loads(run(api, "map", "drains", SHOP, "--json").stdout)[-1]["addresses"] == ["203.0.113.11"]


# Files, kills and restarts


def pids(api: Api) -> dict[str, int]:
    done = CliRunner().invoke(main, ["status", "-c", str(api.config), "--json"])
    return {one["process"]: one["pid"] for one in json.loads(done.stdout)["processes"]}


def test_files_count_and_kills_and_restarts_lose_nothing(tmp_path: Path) -> None:
    server = Api(tmp_path, MAPPED)
    with server.running() as api:
        api.write("acme/maps/shop.yaml", ONE_LESS)
        (first,) = served(api)
        assert first["addresses"] == ["203.0.113.11"]
        os.kill(pids(api)["control"], signal.SIGKILL)
        wait_for(lambda: is_up(api))
        assert served(api)[0]["forgotten_at"] == first["forgotten_at"]
    server.write("acme/maps/shop.yaml", ONE_LESS.replace("enabled: true", "enabled: false"))
    with server.running() as api:  # the files changed between two starts
        newest, oldest = served(api, 2)
        assert newest["addresses"] == ["203.0.113.10", "2001:db8:100::10"]
        assert oldest["forgotten_at"] == first["forgotten_at"]


def is_up(api: Api) -> bool:
    try:
        return bool(api.call("GET", "/zones").is_success)
    except httpx.HTTPError:
        return False


def test_a_hung_worker_delays_the_last_answer(tmp_path: Path) -> None:
    settings = SETTINGS.replace("workers: 1", "workers: 2")
    with Api(tmp_path, MAPPED, settings=settings).running() as api:
        hung = pids(api)["worker-1"]
        os.kill(hung, signal.SIGSTOP)
        try:
            api.write("acme/maps/shop.yaml", ONE_LESS)
            wait_for(lambda: drains(api))
            (one,) = drains(api)
            assert one["state"] == "switching"
            assert (one["served_at"], one["forgotten_at"], one["remaining_s"]) == (None, None, None)
            time.sleep(1)
            assert drains(api)[0]["state"] == "switching"
        finally:
            os.kill(hung, signal.SIGCONT)
        (one,) = served(api)
        assert seconds(one["served_at"]) - seconds(one["changed_at"]) > 1


def kept(now: float, ttl_s: int) -> DrainBook:
    one = Drain(SHOP, "acme/maps/shop", A1, ("203.0.113.12", "203.0.113.10"), 3, ttl_s, 1, now, served_at=now)
    return DrainBook().with_drains([one], now)


def test_wait_ends_when_the_last_cache_has_forgotten(tmp_path: Path) -> None:
    server = Api(tmp_path, MAPPED)
    (tmp_path / "state").mkdir(exist_ok=True)
    start = time.time()
    DrainFiles(tmp_path / "state").save(kept(start, 5), [A1])
    with server.running() as api:
        result = run(api, "map", "drains", "Shop", "--wait")
        assert time.time() >= start + 5
        assert result.exit_code == 0, result.output
        assert "forgotten" in result.stdout
        assert result.stderr.splitlines()[-1] == "warning: 203.0.113.10 still answers for other names"
        assert run(api, "map", "drains", "Shop", "--wait").exit_code == 0


def test_damaged_file_is_told_and_replaced(tmp_path: Path) -> None:
    server = Api(tmp_path, MAPPED)
    (tmp_path / "state/drains").mkdir(mode=0o700, parents=True)
    (tmp_path / f"state/drains/{A1}.json").write_text("{")
    with server.running() as api:
        assert drains(api) == []
        assert f"drains/{A1}.json is corrupt" in api.dns.stderr.text()
        api.result("DELETE", f"{P}/{SHOP}/ips/203.0.113.11")
        assert len(served(api)) == 1
