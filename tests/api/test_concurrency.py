"""Many writers at once: every request is answered, and every change is in the files and in DNS."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bench.api import RATE, START, Size, measure
from dnsd.manage.state_names import TOKENS
from dnsd.settings.written import state_folder
from tests.api.server import A1, BASE, FILES, Api
from tests.limits import HANG_S, IS_LONG, judged

WRITERS, EDITS = 50, 100 if IS_LONG else 10

MAPS = f"/accounts/{A1}/addressing/address_maps"
Y, M = "31" * 16, "32" * 16  # a zone in YAML, and one in a master file
SHARED = "33" * 16  # a map
OWN_MAPS, OWN_ZONES, OWN_RECORDS = range(10), range(10, 20), range(20, 25)  # the writers' tasks
YAML_ZONE, MASTER_ZONE, SHARED_MAP, PATCHED = range(25, 33), range(33, 40), range(40, 46), range(46, 50)


def world() -> dict[str, str]:
    files = dict(FILES)
    members = "- {kind: zone, identifier: own0.example}\n"
    files["acme/zones/shared.example.yaml"] = f'id: "{Y}"  # by all\nrecords: []\n'
    files["acme/zones/master.example.zone"] = (
        "$TTL 300\n@ SOA ns1.example.net. host.example.net. 1 7200 3600 1209600 300\n@ NS ns1.example.net.\n"
    )
    files["acme/maps/shared.yaml"] = f'id: "{SHARED}"\nenabled: true\nips: [203.0.113.250]\nmemberships:\n{members}'
    for number in (*OWN_ZONES, *OWN_RECORDS, 0):
        files[f"acme/zones/own{number}.example.yaml"] = "records:\n- {name: www, type: A, content: 192.0.2.1}\n"
    files["acme/zones/own0.example.yaml"] = "records:\n- {name: www, type: A, content: 192.0.2.1, proxied: true}\n"
    return files


class Client:
    """One persistent connection with a minimal client, so that the test measures the server."""

    def __init__(self, api: Api, **headers: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(api.origin).netloc, timeout=HANG_S)
        self._headers = {"Authorization": f"Bearer {api.operator}", "Content-Type": "application/json", **headers}
        self.slowest_s = 0.0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def status(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and body of a response."""
        start = time.monotonic()
        self._connection.request(method, BASE + path, json.dumps(body) if body is not None else "", self._headers)
        response = self._connection.getresponse()
        said = json.loads(response.read())
        self.slowest_s = max(self.slowest_s, time.monotonic() - start)
        return response.status, said

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """The result of a request that must succeed."""
        status, said = self.status(method, path, body)
        assert status == 200, (method, path, status, said)
        return said["result"]


@dataclass
class Writers:
    """The combined work of all writers."""

    api: Api
    zones: dict[str, str]
    seconds: float = 0.0
    slowest_s: float = 0.0

    def run(self) -> None:
        barrier = threading.Barrier(WRITERS)

        def work(number: int) -> float:
            with Client(self.api) as client:
                barrier.wait()
                self.write(client, number)
                return client.slowest_s

        started = time.monotonic()
        with ThreadPoolExecutor(WRITERS) as pool:
            self.slowest_s = max(pool.map(work, range(WRITERS)))
        self.seconds = time.monotonic() - started

    def write(self, client: Client, number: int) -> None:
        """All edits of one writer, one after another."""
        own = ""
        for edit in range(EDITS):
            if number in OWN_MAPS:
                if not own:
                    own = client("POST", MAPS, {"description": f"Of {number}"})["id"]
                else:
                    client("PATCH", f"{MAPS}/{own}", {"description": f"{number}: edit {edit}"})
            elif number in OWN_ZONES:
                self.add_record(client, f"own{number}.example", f"e{edit}", edit)
            elif number in OWN_RECORDS:
                zone = f"own{number}.example"
                if not own:
                    own = self.add_record(client, zone, "mine", 0)
                else:
                    client("PATCH", f"/zones/{self.zones[zone]}/dns_records/{own}", {"content": f"192.0.2.{edit}"})
            elif number in YAML_ZONE:
                self.add_record(client, "shared.example", f"w{number}-e{edit}", edit)
            elif number in MASTER_ZONE:
                self.add_record(client, "master.example", f"w{number}-e{edit}", edit)
            elif number in SHARED_MAP:
                method = "DELETE" if edit % 2 else "PUT"
                client(method, f"{MAPS}/{SHARED}/ips/203.0.113.{number}")
                client("PUT", f"{MAPS}/{SHARED}/ips/2001:db8:100::{number}:{edit % 2}")
            elif number in PATCHED:
                client("PATCH", f"{MAPS}/{SHARED}", {"enabled": True, "default_sni": f"{number}-{edit}.example.com"})

    def add_record(self, client: Client, zone: str, name: str, edit: int) -> str:
        body = {"name": f"{name}.{zone}", "type": "A", "content": f"192.0.2.{edit}", "ttl": 300}
        record_id: str = client("POST", f"/zones/{self.zones[zone]}/dns_records", body)["id"]
        return record_id


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writers]:
    with Api(tmp_path_factory.mktemp("api"), world()).running() as api:
        zones = {zone["name"]: zone["id"] for zone in api.result("GET", "/zones?per_page=50")}
        writers = Writers(api, zones)
        writers.run()
        yield writers


def test_each_writer_is_answered_soon(done: Writers) -> None:
    rate = WRITERS * EDITS / done.seconds
    print(f"\n{WRITERS} writers × {EDITS} edits: {rate:.0f} a second, the slowest {done.slowest_s:.2f} s")
    assert rate > 20 or not IS_LONG
    assert done.slowest_s < judged(15)


def expected_names() -> dict[str, str]:
    """The expected names and addresses at the end."""
    found = {}
    for edit in range(EDITS):
        for number in OWN_ZONES:
            found[f"e{edit}.own{number}.example"] = f"192.0.2.{edit}"
        for zone, numbers in (("shared", YAML_ZONE), ("master", MASTER_ZONE)):
            for number in numbers:
                found[f"w{number}-e{edit}.{zone}.example"] = f"192.0.2.{edit}"
    for number in OWN_RECORDS:
        found[f"mine.own{number}.example"] = f"192.0.2.{EDITS - 1}"
    return found


def test_all_records_are_answered(done: Writers) -> None:
    names = expected_names()
    assert {name: done.api.ask(name) for name in names} == {name: [ip] for name, ip in names.items()}


def test_all_records_are_listed(done: Writers) -> None:
    names = expected_names()
    listed = {}
    for zone in done.zones.values():
        for record in done.api.result("GET", f"/zones/{zone}/dns_records?per_page=50000"):
            if record["name"] in names:
                assert record["name"] not in listed
                listed[record["name"]] = record["content"]
    assert listed == names


def test_maps_reflect_the_last_edits(done: Writers) -> None:
    described = {one["description"]: one for one in done.api.result("GET", MAPS)}
    assert all(f"{number}: edit {EDITS - 1}" in described for number in OWN_MAPS)
    shared = done.api.result("GET", f"{MAPS}/{SHARED}")
    ips = {one["ip"] for one in shared["ips"]}
    wanted = {f"2001:db8:100::{number}:{edit % 2}" for number in SHARED_MAP for edit in range(EDITS)}
    assert ips == {"203.0.113.250", *wanted}  # all others were removed as often as added
    assert sorted(done.api.ask("www.own0.example", "AAAA")) == sorted(wanted)
    assert shared["default_sni"] in {f"{number}-{EDITS - 1}.example.com" for number in PATCHED}


def test_files_have_all_changes(done: Writers) -> None:
    """A server restarted on the files answers the same; comments keep their places."""
    assert done.api.read("acme/zones/shared.example.yaml").startswith(f'id: "{Y}"  # by all\n')
    hidden = [path for path in done.api.folder.glob("accounts/**/.*") if path.is_file()]
    assert hidden == []
    names, before = expected_names(), done.api.result("GET", MAPS)
    with Again(done.api.config, done.api.operator).running() as again:
        assert {name: again.ask(name) for name in names} == {name: [ip] for name, ip in names.items()}
        assert again.result("GET", MAPS) == before


class Again(Api):
    """Another server on the same files, with the same tokens in its state folder."""

    def __init__(self, config: Path, operator: str) -> None:
        self.folder, self.operator, self.trust = config.parent, operator, None
        self.config = config.with_name("again.yaml")
        state = config.with_name("again-state")
        state.mkdir()
        (state / TOKENS).write_bytes((state_folder(config) / TOKENS).read_bytes())
        self.config.write_text(f"{config.read_text()}\nstate: {state}\n")


def statuses(api: Api, requests: list[tuple[str, str, Any]], **headers: str) -> list[int]:
    """The statuses of simultaneous requests."""

    def status(request: tuple[str, str, Any]) -> int:
        with Client(api, **headers) as client:
            return client.status(*request)[0]

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(status, requests))


def test_one_of_many_with_the_same_tag_wins(done: Writers) -> None:
    path = f"{MAPS}/{SHARED}"
    for attempt in range(3):
        tag = done.api.call("GET", path).headers["etag"]
        requests = [("PATCH", path, {"description": f"{attempt}, of {number}"}) for number in range(8)]
        assert sorted(statuses(done.api, requests, **{"If-Match": tag})) == [200] + [412] * 7


def test_waiting_changes_are_refused_one_by_one(done: Writers) -> None:
    """Waiting changes are carried out together; a refused change does not affect the others."""
    path = f"/zones/{done.zones['own11.example']}/dns_records"
    requests = []
    for number in range(10):
        body = {"name": f"both{number}", "ttl": 300}
        requests.append(("POST", path, body | {"type": "A", "content": "192.0.2.1"}))
        requests.append(("POST", path, body | {"type": "CNAME", "content": "a.example"}))
    found = statuses(done.api, requests)
    assert [sorted(pair) for pair in zip(found[::2], found[1::2], strict=True)] == [[200, 400]] * 10
    listed = [one["name"] for one in done.api.result("GET", f"{path}?per_page=5000")]
    assert sorted(name for name in listed if name.startswith("both")) == [f"both{n}.own11.example" for n in range(10)]


def test_benchmark_measures_and_names_slow_results(tmp_path: Path) -> None:
    found = measure(Size(maps=20, zones=40, records=3, rounds=3), tmp_path)
    assert all(0 < time < 5_000 for times in found.times.values() for time in times)
    assert all(len(times) == 3 for times in found.times.values())
    assert found.values[START] > 0
    assert found.values[RATE] > 0
    lines = found.table().splitlines()
    assert len(lines) == 1 + len(found.times) + len(found.values)
    found.times["record created"] = [1e6]
    assert "record created" in found.beyond()
