"""A control: what the API changes is soon on the wire of every edge, once, with its evidence, and survives kills."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dnsd.fleet.root import RootFolder
from dnsd.process.link import MessageKind, ask
from dnsd.settings.written import state_folder
from tests.api.server import A1, A2, FILES, SETTINGS, Z1, Api
from tests.fleet.edges import Edge, EdgeFolder, FleetSource, urls_of
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import NatsServer, control_folder, new_root
from tests.limits import HANG_S

pytestmark = needs_nats_server
MAPS, RECORDS = f"/accounts/{A1}/addressing/address_maps", f"/zones/{Z1}/dns_records"
POOL = ["198.51.100.10", "198.51.100.11"]


class ControlApi(Api):
    """A control with the API."""

    def __init__(self, root: RootFolder, folder: Path, name: str = "c1") -> None:
        folder.mkdir()
        fleet = {"servers": [*urls_of(root)], "identity": str(control_folder(root, name))}
        super().__init__(folder, {}, settings=f"{SETTINGS}role: control\naudit: required\nfleet: {json.dumps(fleet)}\n")

    def new_map(self, ip: str, zone: str = Z1) -> str:
        body = {"enabled": True, "ips": [ip], "memberships": [{"kind": "zone", "identifier": zone}]}
        return str(self.result("POST", MAPS, body)["id"])


@pytest.fixture
def root(tmp_path: Path) -> RootFolder:
    return new_root(tmp_path, controls=("c1", "c2"))


@pytest.fixture
def server(root: RootFolder, tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(root, root.servers[0]) as server:
        FleetSource(root, tmp_path).send(dict(FILES))
        yield server


@pytest.fixture
def api(root: RootFolder, server: NatsServer, tmp_path: Path) -> Iterator[ControlApi]:
    with ControlApi(root, tmp_path / "control").running() as api:
        assert isinstance(api, ControlApi)
        yield api


@pytest.fixture
def edge(root: RootFolder, server: NatsServer, tmp_path: Path) -> Iterator[Edge]:
    folder = EdgeFolder(root, tmp_path / "edge")
    folder.config.write_text(json.dumps(json.loads(folder.config.read_text()) | {"default_addresses": POOL}))
    with folder.serving() as edge:
        yield edge


def test_a_change_over_the_api_is_soon_answered_by_edges(api: ControlApi, edge: Edge) -> None:
    assert edge.addresses("www.example.com") == sorted(POOL)
    found = api.new_map("203.0.113.7")
    assert api.ask("www.example.com") == ["203.0.113.7"]
    edge.becomes("www.example.com", ["203.0.113.7"])
    assert api.result("PATCH", f"{MAPS}/{found}", {"enabled": False})["enabled"] is False
    edge.becomes("www.example.com", sorted(POOL))
    record = api.result("POST", RECORDS, {"name": "new", "type": "A", "content": "192.0.2.77", "ttl": 300})
    edge.becomes("new.example.com", ["192.0.2.77"])
    api.result("DELETE", f"{RECORDS}/{record['id']}")
    edge.becomes("new.example.com", ["NXDOMAIN"])
    zone = api.result("POST", "/zones", {"name": "shop.example", "account": {"id": A1}})
    edge.becomes("shop.example", [], "TXT")
    api.result("DELETE", f"/zones/{zone['id']}")
    edge.becomes("shop.example", ["REFUSED"], "TXT")
    api.result("DELETE", f"{MAPS}/{found}")
    assert api.result("GET", MAPS) == []
    made = [(entry["action"], entry["outcome"]) for entry in api.audited() if entry.get("object")]
    assert [action for action, _ in made if action != "map.drain"] == [
        *("map.create", "map.edit", "record.create", "record.delete"),
        *("zone.create", "zone.delete", "map.delete"),
    ]
    assert {outcome for _, outcome in made} == {"ok"}
    comment = api.call("GET", f"/zones/{Z1}/dns_records/export").text
    assert "dns.example.com" in comment


def test_what_was_confirmed_outlives_a_kill_of_control(api: ControlApi, edge: Edge) -> None:
    confirmed: list[str] = []
    for round_ in range(3):
        for number in range(6):
            name = f"n{round_}-{number}"
            response = api.call("POST", RECORDS, {"name": name, "type": "A", "content": "192.0.2.9", "ttl": 300})
            if response.is_success:
                confirmed.append(name)
        before = control_pid(api)
        os.kill(before, signal.SIGKILL)
        deadline = time.monotonic() + HANG_S
        while control_pid(api) in (0, before) or not answers(api):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert len(confirmed) >= 12
    for name in confirmed:
        edge.becomes(f"{name}.example.com", ["192.0.2.9"])
    names = [record["name"] for record in api.result("GET", f"{RECORDS}?per_page=100")]
    assert [name for name in names if name.startswith("n")] == sorted({f"{name}.example.com" for name in confirmed})
    created = [entry for entry in api.audited() if entry["action"] == "record.create" and entry["outcome"] == "ok"]
    assert len(created) == len(confirmed)


def control_pid(api: ControlApi) -> int:
    try:
        found = ask(state_folder(api.config), MessageKind.STATUS, {}, timeout_s=HANG_S)
    except (OSError, EOFError):
        return 0
    return next((int(one["pid"]) for one in found["processes"] if one["process"] == "control"), 0)


def answers(api: ControlApi) -> bool:
    try:
        return api.call("GET", MAPS).is_success
    except OSError:
        return False


def test_without_servers_changes_are_refused_and_answers_go_on(api: ControlApi, edge: Edge, server: NatsServer) -> None:
    found = api.new_map("203.0.113.7")
    edge.becomes("www.example.com", ["203.0.113.7"])
    server.process.send_signal(signal.SIGSTOP)
    try:
        status, code, message = api.refused("PATCH", f"{MAPS}/{found}", {"enabled": False})
        assert (status, code) == (503, 1015), message
        assert "the fleet's servers do not answer" in message
        assert api.call("PATCH", f"{MAPS}/{found}", {"enabled": False}).headers["retry-after"] == "5"
        assert edge.addresses("www.example.com") == api.ask("www.example.com") == ["203.0.113.7"]
        assert api.result("GET", f"{MAPS}/{found}")["enabled"] is True
    finally:
        server.process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + HANG_S
    while not api.call("PATCH", f"{MAPS}/{found}", {"enabled": False}).is_success:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    edge.becomes("www.example.com", sorted(POOL))


def test_two_controls_write_at_once(api: ControlApi, edge: Edge, root: RootFolder, tmp_path: Path) -> None:
    with ControlApi(root, tmp_path / "second", "c2").running() as other:
        first, second = api.new_map("203.0.113.7"), 0
        for number in range(5):
            for one, name in ((api, f"a{number}"), (other, f"b{number}")):
                body = {"name": name, "type": "A", "content": "192.0.2.9", "ttl": 300}
                assert one.result("POST", RECORDS, body)["name"] == f"{name}.example.com"
                second += 1
        assert second == 10
        for number in range(5):
            for name in (f"a{number}", f"b{number}"):
                edge.becomes(f"{name}.example.com", ["192.0.2.9"])
        deadline = time.monotonic() + HANG_S
        while [one["id"] for one in other.result("GET", MAPS)] != [first]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert other.result("PATCH", f"{MAPS}/{first}", {"enabled": False})["enabled"] is False
        edge.becomes("www.example.com", sorted(POOL))


def test_a_control_that_cannot_load_what_others_wrote_takes_no_name_of_theirs(
    api: ControlApi, root: RootFolder, tmp_path: Path
) -> None:
    with ControlApi(root, tmp_path / "second", "c2").running() as other:
        text = api.config.read_text()
        api.config.write_text(f"{text}no_such_setting: 1\n")
        wait_for(lambda: not ask(state_folder(api.config), MessageKind.STATUS, {}, timeout_s=HANG_S)["source"]["ok"])
        other.result("POST", "/zones", {"name": "shop.example", "account": {"id": A2}})
        status, _, message = api.refused("POST", "/zones", {"name": "shop.example", "account": {"id": A1}})
        assert status in (400, 503), message
        api.config.write_text(text)
        wait_for(lambda: ask(state_folder(api.config), MessageKind.STATUS, {}, timeout_s=HANG_S)["source"]["ok"])
        for one in (api, other):
            assert [zone["account"]["id"] for zone in one.result("GET", "/zones?name=shop.example")] == [A2]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
