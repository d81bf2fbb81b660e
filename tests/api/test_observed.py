"""Observed routes on a live server: fed by a token or a file, applied, expired, kept, and told to operators."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.server import A1, A2, SETTINGS, Api
from tests.api.server import FILES as USUAL
from tests.limits import HANG_S
from tests.live.forked import run

ROUTES = "/addressing/observed_routes"
ALL = ["203.0.113.1", "203.0.113.201"]
MAP = """
description: Tea
enabled: true
ips: [203.0.113.1, 203.0.113.201, "2001:db8:100::1"]
memberships: [{kind: account, identifier: acme}]
"""
FILES = USUAL | {"acme/account.yaml": USUAL["acme/account.yaml"] + "withdrawn: skip\n", "acme/maps/tea.yaml": MAP}


def settings(**advertisement: Any) -> str:
    return f"{SETTINGS}metrics: {{listen: '127.0.0.1:0'}}\nadvertisement: {json.dumps(advertisement)}\n"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with Api(tmp_path, FILES, settings=settings()).running() as api:
        yield api


def feed(api: Api, **options: Any) -> None:
    api.result("PUT", ROUTES, {"routes": [{"cidr": cidr, "advertised": state} for cidr, state in options.items()]})


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def metric(api: Api, name: str, **labels: str) -> float:
    """A metric's value; 0 while it is absent."""
    address = re.search(r"listening on (\S+) metrics", api.dns.stdout.text())
    assert address
    text = httpx.get(f"http://{address[1]}/metrics", timeout=HANG_S).text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return next((sample.value for sample in samples if sample.name == name and sample.labels == labels), 0)


def check(api: Api) -> str:
    """The output of `dnsd check`."""
    done = run("check", "-c", str(api.config))
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_observed_withdrawal_is_skipped_at_once_and_told(api: Api) -> None:
    assert api.ask("www.example.com") == ALL
    feed(api, **{"203.0.113.0/25": False})
    assert api.ask("www.example.com") == ["203.0.113.201"]
    assert "203.0.113.1 is observed withdrawn: it is left out" in check(api)
    assert any("203.0.113.0/25 is observed withdrawn, of acme" in line for line in api.dns.stderr.text().split("\n"))
    (entry,) = [one for one in audit(api) if one["action"] == "route.withdrawn"]
    assert (entry["object"], entry["account_id"], entry["actor"]["name"]) == ("acme", A1, "operator")
    prefix = next(one for one in api.result("GET", f"/accounts/{A1}/addressing/prefixes") if "203" in one["cidr"])
    (seen,) = api.result("GET", f"/accounts/{A1}/addressing/prefixes/{prefix['id']}/bgp/observed")
    assert (seen["cidr"], seen["advertised"], seen["is_current"]) == ("203.0.113.0/25", False, True)
    feed(api, **{"203.0.113.0/25": True})
    assert api.ask("www.example.com") == ALL
    assert [one["action"] for one in audit(api)][-1] == "route.advertised"


def test_pending_prefix_shows_no_routes_of_others(api: Api) -> None:
    tenant = api.token("--account", A2)
    prefixes = f"/accounts/{A2}/addressing/prefixes"
    claimed = api.result("POST", prefixes, {"cidr": "203.0.0.0/8", "asn": 64500}, token=tenant)
    feed(api, **{"203.0.113.0/25": False})
    assert api.result("GET", f"{prefixes}/{claimed['id']}/bgp/observed", token=tenant) == []
    assert api.result("GET", f"{prefixes}/{claimed['id']}/bgp/observed") != []
    feed(api, **{"203.0.113.0/25": True})
    api.result("DELETE", f"{prefixes}/{claimed['id']}")


def audit(api: Api) -> list[dict[str, Any]]:
    return api.audited()


def test_last_address_of_a_family_stays_and_is_counted(api: Api) -> None:
    feed(api, **{"203.0.113.0/24": False, "2001:db8:100::/48": False})
    assert api.ask("www.example.com") == ALL
    assert api.ask("www.example.com", "AAAA") == ["2001:db8:100::1"]
    eventually(lambda: metric(api, "dnsd_unadvertised_answers_total", map="acme/maps/tea") == 2)
    assert metric(api, "dnsd_unadvertised_maps") == 1
    feed(api, **{"203.0.113.0/24": True, "2001:db8:100::/48": True})
    assert metric(api, "dnsd_unadvertised_maps") == 0


def test_observation_ends_when_it_is_too_old(tmp_path: Path) -> None:
    with Api(tmp_path, FILES, settings=settings(max_age_s=5)).running() as api:
        revision = metric(api, "dnsd_revision")
        feed(api, **{"203.0.113.0/25": False})
        assert api.ask("www.example.com") == ["203.0.113.201"]
        eventually(lambda: api.ask("www.example.com") == ALL)
        assert metric(api, "dnsd_revision") == revision + 2
        (seen,) = api.result("GET", ROUTES)
        assert (seen["advertised"], seen["is_current"]) == (False, False)


def test_observations_outlive_a_restart_and_a_damaged_file_starts_empty(tmp_path: Path) -> None:
    server = Api(tmp_path, FILES, settings=settings())
    with server.running() as api:
        feed(api, **{"203.0.113.0/25": False})
    with server.running() as api:
        assert api.ask("www.example.com") == ["203.0.113.201"]
    kept = tmp_path / "state" / "observed"
    kept.write_text(kept.read_text()[:-5])
    with server.running() as api:
        assert api.ask("www.example.com") == ALL
        assert "the kept observations of routes cannot be used" in api.dns.stderr.text()


def test_watched_file_is_read_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"

    def write(text: str) -> None:
        new = tmp_path / "routes.new"
        new.write_text(text)
        os.replace(new, file)

    def routes(*, advertised: bool) -> str:
        return json.dumps({"routes": [{"cidr": "203.0.113.0/25", "advertised": advertised}]})

    write(routes(advertised=False))
    with Api(tmp_path, FILES, settings=settings(file="routes.json")).running() as api:
        assert api.ask("www.example.com") == ["203.0.113.201"]
        assert "203.0.113.1 is observed withdrawn" in check(api)
        write(routes(advertised=True))
        eventually(lambda: api.ask("www.example.com") == ALL)
        write("[]")
        eventually(lambda: "routes.json cannot be used" in api.dns.stderr.text())
        file.unlink()
        write(routes(advertised=False))
        eventually(lambda: api.ask("www.example.com") == ["203.0.113.201"])


def test_file_of_a_dead_collector_counts_no_longer(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"
    file.write_text(json.dumps({"routes": [{"cidr": "203.0.113.0/25", "advertised": False}]}))
    an_hour_ago = time.time() - 3600
    os.utime(file, (an_hour_ago, an_hour_ago))
    with Api(tmp_path, FILES, settings=settings(file="routes.json")).running() as api:
        assert api.ask("www.example.com") == ALL


def test_accounts_without_skip_are_only_warned(tmp_path: Path) -> None:
    files = FILES | {"acme/account.yaml": USUAL["acme/account.yaml"]}
    with Api(tmp_path, files, settings=settings()).running() as api:
        feed(api, **{"203.0.113.0/25": False})
        assert api.ask("www.example.com") == ALL
        assert "203.0.113.1 is observed withdrawn, but the map answers with it" in check(api)
        plan = api.result(
            "POST",
            f"/accounts/{A1}/addressing/address_maps/plan",
            {
                "enabled": True,
                "ips": ["203.0.113.7"],
                "memberships": [{"kind": "account", "identifier": A1}],
            },
        )
        assert any("203.0.113.7 is observed withdrawn" in text for text in plan["warnings"])


BAD: dict[str, tuple[Any, str]] = {
    "no state": ({"routes": [{"cidr": "203.0.113.0/24"}]}, "/routes/0/advertised"),
    "a state as text": ({"routes": [{"cidr": "203.0.113.0/24", "advertised": "no"}]}, "/routes/0/advertised"),
    "a contradiction": (
        {"routes": [{"cidr": "203.0.113.0/24", "advertised": state} for state in (True, False)]},
        "/routes/1",
    ),
    "the future": (
        {"observed_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(), "routes": []},
        "/observed_at",
    ),
}


def test_bad_feeds_change_nothing_and_name_their_field(api: Api) -> None:
    feed(api, **{"203.0.113.0/25": False})
    for body, pointer in BAD.values():
        response = api.call("PUT", ROUTES, body)
        assert response.status_code == 400
        assert response.json()["errors"][0]["source"]["pointer"] == pointer
    assert api.ask("www.example.com") == ["203.0.113.201"]
