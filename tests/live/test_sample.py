"""The sample of questions and the traffic over time of a running server, as the dashboard shows them."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dnsd.net import udp
from dnsd.questions import MAX_OF_ZONE
from tests.api.server import A1, SETTINGS, Z1, Api
from tests.browser.sessions import Person
from tests.live.forked import run
from tests.mutations import question
from tests.soak.harness import wait_until

KINDS = ["portable", pytest.param("batch", marks=pytest.mark.skipif(not udp.IS_BUILT, reason="no C compiler"))]
TWO_WORKERS = SETTINGS.replace("workers: 1", "workers: 2")
HOSTILE = [
    question(b"\x3f" + b"\xff" * 63 + (b"\x3f" + b"\x80" * 63) * 2 + b"\x2e" + b"c" * 46 + b"\7example\3com\0", 1),
    question(b"\x08<script>\7example\3com\0", 65_535),
    question(b"\3www\7example\3com\0", 1)[:20],
    question(b"\xc0\x0c", 1),
    b"",
]


def ask(api: Api, *names: str) -> None:
    """Ask from many ports, so that every worker is asked, and once over TCP."""
    for name in names:
        for _ in range(12):
            assert api.ask(name)
        assert api.dns.tcp(question(b"".join(bytes([len(one)]) + one.encode() for one in name.split(".")) + b"\0", 1))


def shows(person: Person, *texts: str) -> Callable[[], bool]:
    return lambda: all(text in person.get("/").text for text in texts)


def worker_pids(api: Api) -> list[int]:
    said = json.loads(run("status", "--json", "-c", str(api.config)).stdout)
    return [one["pid"] for one in said["processes"] if one["process"].startswith("worker")]


@pytest.mark.parametrize("kind", KINDS)
def test_top_names_of_all_workers_are_shown_to_those_who_may_see_them(tmp_path: Path, kind: str) -> None:
    api = Api(tmp_path, settings=TWO_WORKERS)
    tenant = api.token("--account", A1)
    with api.running(env={"DNSD_UDP": kind}), Person(api, api.operator) as operator, Person(api, tenant) as acme:
        ask(api, "www.example.com", "www.example.org")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for octets in HOSTILE:
                client.sendto(octets, (api.dns.host, api.dns.port))
        names = ("www.<wbr>example.<wbr>com", "www.<wbr>example.<wbr>org")
        wait_until(shows(operator, "Top names", *names))
        wait_until(shows(acme, "Top names", names[0], "&lt;script&gt;"))
        page = acme.get("/").text
        assert "example.org" not in page.replace("<wbr>", "")
        assert "<script>" not in page.replace('<script src="', "")
        assert "127.0.0.1" not in page
        os.kill(worker_pids(api)[0], signal.SIGKILL)
        wait_until(lambda: len(worker_pids(api)) == 2)
        assert shows(operator, *names)()


def test_traffic_over_time_outlives_a_restart(tmp_path: Path) -> None:
    api = Api(tmp_path)
    with api.running(), Person(api, api.operator) as person:
        ask(api, "www.example.com")
        wait_until(shows(person, "NOERROR"))
    saved = {path.name for path in (tmp_path / "state").glob("traffic_*")}
    assert saved == {"traffic_hour", "traffic_day", "traffic_week"}
    (tmp_path / "state/traffic_day").write_bytes(b"\0" * 100)
    with api.running(), Person(api, api.operator) as person:
        wait_until(shows(person, "NOERROR"))
        assert "NOERROR" in person.get("/?range=week").text
        assert "NOERROR" not in person.get("/?range=day").text
        assert "traffic_day is corrupt: moved aside as traffic_day.damaged" in api.dns.stderr.text()


def test_unknown_range_is_an_hour(tmp_path: Path) -> None:
    with Api(tmp_path).running() as api, Person(api, api.operator) as person:
        for wanted in ("hour", "day", "week", "year", "<script>", "", "%00", "HOUR"):
            response = person.get(f"/?range={wanted}")
            assert response.status_code == 200
            chosen = wanted if wanted in ("hour", "day", "week") else "hour"
            assert f'<a href="/?range={chosen}" aria-current="true">' in response.text


SHOP = "51" * 16
MAPS = f"/accounts/{A1}/addressing/address_maps"
SHOP_FILE = f"""
id: "{SHOP}"
description: Shop
enabled: true
ips: [203.0.113.1, "2001:db8:100::1"]
memberships: [{{kind: account, identifier: acme}}]
"""


@pytest.mark.parametrize("kind", KINDS)
def test_plan_says_which_recent_questions_it_would_answer_otherwise(tmp_path: Path, kind: str) -> None:
    api = Api(tmp_path, settings=TWO_WORKERS)
    api.write("acme/maps/shop.yaml", SHOP_FILE)
    tenant = api.token("--account", A1)

    def replay(**change: object) -> dict[str, Any]:
        found: dict[str, Any] = api.result("POST", f"{MAPS}/plan", {"id": SHOP, **change}, token=tenant)["replay"]
        return found

    with api.running(env={"DNSD_UDP": kind}), Person(api, tenant) as acme:
        ask(api, "www.example.com", "dns.example.com", "www.example.org")
        wait_until(lambda: replay(enabled=False)["questions"] >= MAX_OF_ZONE)
        off = replay(enabled=False)
        asked, changed = off["questions"], off["changes"]["onto_pool"]
        assert 0 < changed < asked  # www of both names
        assert (sum(off["changes"].values()), off["verdict"], off["workers_left_out"]) == (changed, "go_on", [])
        assert "example.org" not in json.dumps(off)
        none = replay(ips=["2001:db8:100::1"])
        assert (none["changes"]["no_data"], none["verdict"]) == (changed, "halt")
        assert [(one["name"], one["questions"], one["unmeant"]) for one in none["maps"]] == [("Shop", changed, changed)]
        assert (none["examples"][0]["old"], none["examples"][0]["new"]) == ("A 203.0.113.1", "no data")
        here = os.environ | {"DNSD_CONFIG": str(api.config), "DNSD_API_URL": api.origin, "DNSD_API_TOKEN": tenant}
        shown = run("map", "disable", "Shop", "--dry-run", env=here).stdout
        assert f"of {asked} recent questions for the account's zones, {changed} would be answered otherwise" in shown
        page = acme.get(f"/accounts/{A1}/maps/{SHOP}/disable").text
        assert f"{changed} would be answered otherwise" in page
        assert "example.org" not in page.replace("<wbr>", "")
        [record] = api.result("GET", f"/zones/{Z1}/dns_records?name=dns.example.com", token=tenant)
        review = acme.post(f"/zones/{Z1}/records/bulk", {"do": "delete", "record": record["id"]}).text
        assert f"{asked - changed} would be answered otherwise: {asked - changed} NXDOMAIN instead of data" in review
        assert "does not name" not in review
        tag = api.call("GET", f"{MAPS}/{SHOP}").headers["etag"].strip('"')
        form = {"do": "preview", "tag": tag, "account_wide": "yes", "ips": "2001:db8:100::1"}
        warned = acme.post(f"/accounts/{A1}/maps/{SHOP}/edit", form).text
        assert "would be answered otherwise, though the change does not name them" in warned
        assert api.ask("www.example.com") == ["203.0.113.1"]
        stopped = worker_pids(api)[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            late = replay(enabled=False)
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert late["workers_left_out"] == ["worker-0"]
        assert late["questions"] >= asked
