"""The sample of questions and the traffic over time of a running server, as the dashboard shows them."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dnsd.net import udp
from tests.api.server import A1, SETTINGS, Api
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
