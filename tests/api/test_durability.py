"""Acknowledged changes survive kills at any moment, files edited by hand, full disks, and restarts."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import dns.exception
import httpx
import pytest

from dnsd.process.link import MessageKind, ask
from dnsd.settings.written import state_folder
from dnsd.store.journal import undo_unfinished
from dnsd.store.write import FileChange, write_files
from tests.api.server import A1, FILES, PREFIX1, SETTINGS, Z1, Z2, Z3, Api
from tests.beside import Beside
from tests.limits import HANG_S, IS_LONG, judged
from tests.unit.store.test_write import killed_in

KILLS = 100 if IS_LONG else 6  # of each kind
BACK_WITHIN_S = judged(5.0)

MAPS = f"/accounts/{A1}/addressing/address_maps"
SHOP, SALE = "51" * 16, "52" * 16
UNWATCHED = f"{SETTINGS}reload: {{watch: false}}\n"
SHOP_FILE, ZONE_FILE = "acme/maps/shop.yaml", "acme/zones/example.com.yaml"


def map_text(map_id: str, ip: str) -> str:
    members = "memberships:\n- {kind: zone, identifier: example.com}\n"
    return f'id: "{map_id}"  # by hand\nenabled: true\nips: [{ip}]\n{members}'


WORLD = FILES | {
    SHOP_FILE: map_text(SHOP, "203.0.113.1"),
    "acme/maps/sale.yaml": map_text(SALE, "203.0.113.2"),
    "acme/zones/example.edu.zone": "@ 300 SOA ns1.example.net. host.example.net. 1 7200 3600 1209600 300\n"
    "@ 300 NS ns1.example.net.\nwww 300 A 192.0.2.7\n",
}

PROBED = ("dns.example.com", "192.0.2.2")
MANY = "records:\n" + "".join(f"- {{name: h{number}, type: A, content: 192.0.2.1}}\n" for number in range(100))


def status(api: Api) -> dict[str, Any]:
    """The output of `dnsd status --json`."""
    found: dict[str, Any] = ask(state_folder(api.config), MessageKind.STATUS, {}, timeout_s=HANG_S)
    return found


def reload(api: Api, *, force: bool = False) -> dict[str, Any]:
    """The output of `dnsd reload --json`."""
    found: dict[str, Any] = ask(state_folder(api.config), MessageKind.RELOAD, {"force": force}, timeout_s=HANG_S)
    return found


def pid_of(api: Api, name: str = "control") -> int:
    return next(int(one["pid"]) for one in status(api)["processes"] if one["process"] == name)


def wait_until(condition: Callable[[], bool], timeout_s: float = HANG_S, what: Callable[[], str] = str) -> float:
    """Wait for the condition; return the seconds waited."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, what() or f"not within {timeout_s} s"
        time.sleep(0.02)
    return time.monotonic() - started


def everything(api: Api) -> dict[str, str]:
    """The texts of all files in the accounts folder, including the files that the loader ignores."""
    root = api.folder / "accounts"
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def edit_by_hand(api: Api, name: str, old: str, new: str) -> None:
    """Replace the file, as editors do."""
    text = api.read(name)
    assert old in text
    save(api, name, text.replace(old, new))


def save(api: Api, name: str, text: str) -> None:
    file = api.folder / "accounts" / name
    beside = file.with_name(f".{file.name}.swp")
    beside.write_text(text)
    beside.replace(file)


# Kills


@dataclass
class Model:
    """The expected state of the API and DNS: each map's addresses and members, each zone's records."""

    maps: dict[str, tuple[set[str], set[str]]] = field(default_factory=dict)
    zones: dict[str, set[tuple[str, str]]] = field(default_factory=dict)  # names and addresses


@dataclass
class Ids:
    """The ids of objects."""

    zones: dict[str, str] = field(default_factory=dict)
    records: dict[tuple[str, str], str] = field(default_factory=dict)

    def learn(self, result: Any) -> None:
        """Apply an acknowledged change."""
        for made in [result, *result.get("posts", ())] if isinstance(result, dict) else ():
            if "content" in made:
                self.records[made["name"], made["content"]] = made["id"]
            elif "name_servers" in made:
                self.zones[made["name"]] = made["id"]


def observed(api: Api) -> tuple[Model, Ids]:
    """The current state in the API."""
    model, ids = Model(), Ids()
    ids.zones = {zone["name"]: zone["id"] for zone in api.result("GET", "/zones?per_page=50")}
    names = {zone_id: name for name, zone_id in ids.zones.items()}
    for one in api.result("GET", MAPS):
        members = {names[member["identifier"]] for member in one["memberships"]}
        model.maps[one["id"]] = {ip["ip"] for ip in one["ips"]}, members
    for name, zone_id in ids.zones.items():
        records = api.result("GET", f"/zones/{zone_id}/dns_records?per_page=5000")
        model.zones[name] = {(record["name"], record["content"]) for record in records if not record["proxied"]}
        ids.records |= {(record["name"], record["content"]): record["id"] for record in records}
    return model, ids


class Stream:
    """Changes of all kinds, one after another, made over HTTP until a kill ends one of them."""

    def __init__(self, api: Api, seed: int) -> None:
        self.api = api
        self.rng = random.Random(seed)
        self.model, self.ids = observed(api)
        self.pending = self.model  # the state if the interrupted change was made
        self.names = {name for records in self.model.zones.values() for name, _ in records}
        self.acknowledged = self.broken_off = self.made = 0

    def run(self, end: threading.Timer) -> None:
        """Make changes until the server ends; `end` starts after the first, as a busy machine may be slow with it."""
        deadline = time.monotonic() + HANG_S
        while True:
            assert time.monotonic() < deadline, "no kill ended the changes"
            self.pending, request = self._next()
            try:
                response = self.api.call(*request)
            except httpx.TransportError:
                self.broken_off += 1
                return
            said = response.json()
            if response.status_code == 500 and "the server is shutting down" in said["errors"][0]["message"]:
                self.broken_off += 1
                return
            assert response.status_code == 200, (request, said)
            self.ids.learn(said["result"])
            self.model = self.pending
            self.acknowledged += 1
            if end.ident is None:
                end.start()

    def _next(self) -> tuple[Model, tuple[Any, ...]]:
        """A change: the state after it, and its request."""
        kinds = [self._add_record] * 3 + [self._edit_map] * 2
        if any(deletable(self.model, zone) for zone in self.model.zones):  # unless all records were deleted
            kinds += [self._delete_record, self._batch]
        kinds += [self._create_zone] * 2 if len(self.model.zones) < 9 else [self._delete_zone] * 9
        model = deepcopy(self.model)
        return model, self.rng.choice(kinds)(model)

    def _name(self, zone: str) -> str:
        name = f"n{len(self.names)}.{zone}"
        self.names.add(name)
        return name

    def _ip(self) -> str:
        return f"192.0.2.{self.rng.randrange(1, 250)}"

    def _add_record(self, model: Model) -> tuple[Any, ...]:
        zone = self.rng.choice(sorted(model.zones))
        name, ip = self._name(zone), self._ip()
        model.zones[zone].add((name, ip))
        body = {"name": name, "type": "A", "content": ip, "ttl": 300}
        return "POST", f"/zones/{self.ids.zones[zone]}/dns_records", body

    def _delete_record(self, model: Model) -> tuple[Any, ...]:
        choices = [(zone, one) for zone in sorted(model.zones) for one in deletable(model, zone)]
        zone, record = self.rng.choice(choices)
        model.zones[zone].remove(record)
        return "DELETE", f"/zones/{self.ids.zones[zone]}/dns_records/{self.ids.records[record]}"

    def _batch(self, model: Model) -> tuple[Any, ...]:
        zone = self.rng.choice([zone for zone in sorted(model.zones) if deletable(model, zone)])
        gone = self.rng.choice(deletable(model, zone))
        new = [(self._name(zone), self._ip()) for _ in range(3)]
        model.zones[zone] = (model.zones[zone] - {gone}) | set(new)
        posts = [{"name": name, "type": "A", "content": ip, "ttl": 300} for name, ip in new]
        body = {"deletes": [{"id": self.ids.records[gone]}], "posts": posts}
        return "POST", f"/zones/{self.ids.zones[zone]}/dns_records/batch", body

    def _edit_map(self, model: Model) -> tuple[Any, ...]:
        map_id = self.rng.choice([SHOP, SALE])
        ips, members = model.maps[map_id]
        if missing := sorted(model.zones.keys() - members - {"example.org"}):
            zone = self.rng.choice(missing)
            members.add(zone)
            return "PUT", f"{MAPS}/{map_id}/zones/{self.ids.zones[zone]}"
        ip = f"203.0.113.{self.rng.randrange(100, 250)}"
        if len(ips) > 5:
            ip = self.rng.choice(sorted(ips))
            ips.remove(ip)
            return "DELETE", f"{MAPS}/{map_id}/ips/{ip}"
        ips.add(ip)
        return "PUT", f"{MAPS}/{map_id}/ips/{ip}"

    def _create_zone(self, model: Model) -> tuple[Any, ...]:
        name = self._name("example")
        model.zones[name] = set()
        return "POST", "/zones", {"name": name, "account": {"id": A1}}

    def _delete_zone(self, model: Model) -> tuple[Any, ...]:
        """A change of several files: the zone's and those of its maps."""
        name = self.rng.choice(sorted(name for name in model.zones if not name.startswith("example")))
        del model.zones[name]
        for _, members in model.maps.values():
            members.discard(name)
        return "DELETE", f"/zones/{self.ids.zones[name]}"

    def check(self) -> None:
        """All acknowledged changes are in the API and DNS, and the interrupted change as a whole or not at all."""
        seen, self.ids = observed(self.api)
        assert seen in (self.model, self.pending)
        self.made += seen == self.pending and self.pending is not self.model
        self.model = self.pending = seen
        wait_until(lambda: not self.unanswered(seen), HANG_S, lambda: str(self.unanswered(seen)))
        hidden = [name for name in everything(self.api) if "/." in f"/{name}"]
        assert len(hidden) <= 5 * KILLS  # left by a kill, until the next change of the file

    def unanswered(self, model: Model) -> dict[str, tuple[list[str], list[str]]]:
        """The names with wrong DNS answers: actual and expected."""
        wanted: dict[str, list[str]] = {name: [] for name in self.names}
        for records in model.zones.values():
            for name, ip in records:
                wanted[name] = sorted([*wanted.get(name, ()), ip])
        first = min(model.maps, key=lambda map_id: map_id != SALE)  # of two maps with one member, the later counts
        if "example.com" in model.maps[first][1]:
            wanted["www.example.com"] = sorted(ip for ip in model.maps[first][0])
        said = {name: sorted(self.api.ask(name)) for name in wanted}
        return {name: (said[name], ips) for name, ips in wanted.items() if said[name] != ips}


def deletable(model: Model, zone: str) -> list[tuple[str, str]]:
    return [record for record in sorted(model.zones[zone]) if record != PROBED]


class Prober(Beside):
    """Queries continuously; every query must be answered."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = api
        self.answered, self.wrong = 0, list[str]()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            try:
                said: Any = self._api.ask(PROBED[0])
            except (OSError, dns.exception.DNSException) as error:
                said = repr(error)
            if said == [PROBED[1]]:
                self.answered += 1
            else:
                self.wrong.append(str(said))


def is_back(api: Api) -> bool:
    """Whether the API answers on a new connection."""
    try:
        with httpx.Client(base_url=api.client.base_url, timeout=HANG_S, verify=False) as client:
            return client.get("zones", headers={"Authorization": f"Bearer {api.operator}"}).status_code == 200
    except httpx.TransportError:
        return False


def kill_after(seconds: float, pid: int) -> threading.Timer:
    return threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))


def test_end_saves_the_last_change(tmp_path: Path) -> None:
    """Else the save waits until changes stop, and a start with unusable files would not know the change."""
    api = Api(tmp_path)
    with api.running():
        api.result("POST", f"/zones/{Z1}/dns_records", {"type": "A", "name": "late", "content": "192.0.2.77"})
    shutil.rmtree(tmp_path / "state/good")  # no account can be held
    api.write("acme/zones/example.com.yaml", "records: [")
    with api.running():
        assert api.ask("late.example.com") == ["192.0.2.77"]


def test_kills_of_control_lose_nothing(tmp_path: Path) -> None:
    with Api(tmp_path, WORLD).running() as api:
        stream, slowest_s = Stream(api, 1), 0.0
        with Prober(api) as prober:
            for _ in range(KILLS):
                kill = kill_after(stream.rng.uniform(0.2, 0.8), pid_of(api))
                stream.run(kill)
                kill.join()  # a request may fail before: the kill must not end the next control process
                if stream.unanswered(stream.model):
                    assert not stream.unanswered(stream.pending)
                slowest_s = max(slowest_s, wait_until(lambda: is_back(api)))
                stream.check()
        print(
            f"\n{KILLS} kills of control: {stream.acknowledged} changes acknowledged, {stream.broken_off} broken off, "
            f"of which {stream.made} were made; the API was back within {slowest_s:.1f} s; {prober.answered} questions"
        )
        assert not prober.wrong
        assert stream.acknowledged > KILLS * 5 or not IS_LONG  # a busy machine makes fewer changes
        assert slowest_s < BACK_WITHIN_S
        assert all(one["starts"] == 1 for one in status(api)["processes"] if one["process"].startswith("worker"))


def test_kills_of_the_whole_server_lose_nothing(tmp_path: Path) -> None:
    api, stream = Api(tmp_path, WORLD), None
    acknowledged = broken_off = made = 0
    for seed in range(KILLS + 1):
        with api.running():
            before, stream = stream, Stream(api, seed + 100)
            if before:
                before.check()
                stream.names |= before.names
                acknowledged += before.acknowledged
                broken_off, made = broken_off + before.broken_off, made + before.made
            if seed < KILLS:
                kill = kill_after(stream.rng.uniform(0.1, 0.6), api.dns.process.pid)
                stream.run(kill)
                kill.join()
    print(f"\n{KILLS} kills of all: {acknowledged} changes acknowledged, {broken_off} broken off, {made} were made")
    assert acknowledged > KILLS * 3 or not IS_LONG
    assert made <= broken_off


def test_end_of_the_server_loses_nothing(tmp_path: Path) -> None:
    """A change in progress at SIGTERM is made or not; the response, if there is one, is in the envelope."""
    api, stream = Api(tmp_path, WORLD), None
    for seed in range(40 if IS_LONG else 3):
        with api.running():
            before, stream = stream, Stream(api, seed + 200)
            if before:
                before.check()
                stream.names |= before.names
            stream.run(threading.Timer(stream.rng.uniform(0.1, 0.4), api.dns.process.terminate))


def test_interrupted_change_is_undone_at_the_start(tmp_path: Path) -> None:
    api = Api(tmp_path, WORLD)
    before, journal = everything(api), state_folder(api.config) / "journal"
    files = [str(tmp_path / "accounts" / name) for name in (SHOP_FILE, ZONE_FILE)]
    changes = [FileChange(file, "enabled: false\n", 1) for file in files]
    call = 0
    while api.read(SHOP_FILE) == before[SHOP_FILE]:
        undo_unfinished(journal)
        assert killed_in(call, partial(write_files, changes, journal))
        call += 1
    with api.running():
        assert "undid an unfinished change of several files" in api.dns.stderr.text()
        assert everything(api) == before
        assert api.ask("www.example.com") in (["203.0.113.1"], ["203.0.113.2"])


def test_large_deletion_survives_a_kill(tmp_path: Path) -> None:
    """The change guard is for files: changes acknowledged over the API need no force."""
    with Api(tmp_path, WORLD | {"acme/zones/many.example.yaml": MANY}).running() as api:
        zone = api.result("GET", "/zones?name=many.example")[0]["id"]
        assert api.ask("h1.many.example") == ["192.0.2.1"]
        control = pid_of(api)
        time.sleep(1.5)  # the snapshot file holds it by now
        api.result("DELETE", f"/zones/{zone}")
        os.kill(control, signal.SIGKILL)
        assert api.ask("h1.many.example") == []
        wait_until(lambda: is_back(api))
        assert api.ask("h1.many.example") == []
        assert api.refused("GET", f"/zones/{zone}")[:2] == (404, 1000)


def test_change_guard_applies_again_after_a_change(tmp_path: Path) -> None:
    with Api(tmp_path, WORLD | {"acme/zones/many.example.yaml": MANY}).running() as api:
        api.result("PATCH", f"{MAPS}/{SHOP}", {"description": "Shop"})
        time.sleep(2.5)  # the snapshot file holds it by now
        control = pid_of(api)
        os.kill(control, signal.SIGSTOP)
        api.write("acme/zones/many.example.yaml", "records: []\n")
        os.kill(control, signal.SIGKILL)
        wait_until(lambda: new_pid(api, control))
        said = "records would be removed, from many.example; the limit is 30 percent"
        wait_until(lambda: said in str(status(api)["source"]), what=lambda: str(status(api)))
        assert status(api)["held"] == ["acme"]
        assert api.ask("h1.many.example") == ["192.0.2.1"]


# Files edited by hand


@pytest.fixture(scope="module")
def unwatched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that does not watch its files, so that an edit is certainly not loaded yet."""
    with Api(tmp_path_factory.mktemp("unwatched"), WORLD, settings=UNWATCHED).running() as api:
        yield api


@pytest.fixture
def by_hand(unwatched: Api) -> Iterator[Api]:
    """The same server; after the test it has its original files again."""
    yield unwatched
    root = unwatched.folder / "accounts"
    for name in everything(unwatched):
        if name not in WORLD:
            (root / name).unlink()
    for name, text in WORLD.items():
        unwatched.write(name, text)
    assert reload(unwatched, force=True)["ok"]


def test_edit_of_a_map_is_not_undone(by_hand: Api) -> None:
    edit_by_hand(by_hand, SHOP_FILE, "203.0.113.1]", "203.0.113.1, 203.0.113.9]  # one more")
    shop = by_hand.result("PATCH", f"{MAPS}/{SHOP}", {"description": "Shop"})
    assert [one["ip"] for one in shop["ips"]] == ["203.0.113.1", "203.0.113.9"]
    text = by_hand.read(SHOP_FILE)
    assert "203.0.113.9]  # one more" in text
    assert "description: Shop" in text
    by_hand.result("PUT", f"{MAPS}/{SALE}/ips/203.0.113.8")
    assert by_hand.result("GET", f"{MAPS}/{SHOP}") == shop


@pytest.mark.parametrize(
    ("name", "zone", "old", "new"),
    [
        (ZONE_FILE, Z1, "192.0.2.2, ttl: 3600", "192.0.2.22, ttl: 3600"),
        ("acme/zones/example.edu.zone", "example.edu", "192.0.2.7", "192.0.2.22"),
    ],
)
def test_edit_of_a_zone_is_not_undone(by_hand: Api, name: str, zone: str, old: str, new: str) -> None:
    zone_id, domain = zone, Path(name).stem
    if "." in zone:
        zone_id = by_hand.result("GET", f"/zones?name={zone}")[0]["id"]
    edit_by_hand(by_hand, name, old, new)
    by_hand.result(
        "POST", f"/zones/{zone_id}/dns_records", {"name": "new", "type": "A", "content": "192.0.2.3", "ttl": 300}
    )
    label = "dns" if zone == Z1 else "www"
    assert by_hand.ask(f"{label}.{domain}") == ["192.0.2.22"]
    assert by_hand.ask(f"new.{domain}") == ["192.0.2.3"]
    assert new in by_hand.read(name)


def test_edit_of_an_account_is_not_undone(by_hand: Api) -> None:
    edit_by_hand(by_hand, "acme/account.yaml", "static_ips: [192.0.2.200]", "static_ips: [192.0.2.200, 192.0.2.201]")
    by_hand.result("PATCH", f"/accounts/{A1}/addressing/prefixes/{PREFIX1}", {"description": "Old"})
    by_hand.result("PUT", f"{MAPS}/{SHOP}/ips/192.0.2.201")
    text = by_hand.read("acme/account.yaml")
    assert "192.0.2.201" in text
    assert "# the old one" in text


def test_removed_file_does_not_come_back(by_hand: Api) -> None:
    (by_hand.folder / "accounts" / SHOP_FILE).unlink()
    assert by_hand.refused("PATCH", f"{MAPS}/{SHOP}", {"description": "Shop"})[:2] == (404, 1000)
    assert SHOP_FILE not in everything(by_hand)


@pytest.mark.parametrize("ending", ["yaml", "zone"])
def test_file_that_was_made_is_not_overwritten(by_hand: Api, ending: str) -> None:
    made = WORLD[ZONE_FILE].replace(Z1, "77" * 16).replace("example.com", "new.example")
    text = made if ending == "yaml" else WORLD["acme/zones/example.edu.zone"]
    by_hand.write(f"acme/zones/new.example.{ending}", text)
    assert by_hand.refused("POST", "/zones", {"name": "new.example", "account": {"id": A1}})[:2] == (400, 1061)
    assert by_hand.read(f"acme/zones/new.example.{ending}") == text


def test_moved_account_is_not_recreated(by_hand: Api) -> None:
    """Nothing is written into a deleted folder, neither an account's nor the folder of all accounts."""
    for folder in (by_hand.folder / "accounts/acme", by_hand.folder / "accounts"):
        folder.rename(by_hand.folder / "away")
        status, code, message = by_hand.refused("POST", MAPS, {"description": "New"})
        assert (status, code) in [(503, 1007), (404, 1000)], message
        assert not folder.exists()
        (by_hand.folder / "away").rename(folder)
        assert reload(by_hand)["ok"]
    by_hand.result("POST", MAPS, {"description": "New"})


def test_edit_of_a_zone_being_deleted_is_seen(by_hand: Api) -> None:
    """A deletion removes the current version of the intended object; no other file is lost."""
    edit_by_hand(by_hand, SHOP_FILE, "enabled: true", "enabled: true\ndescription: by hand")
    by_hand.result("DELETE", f"/zones/{Z1}")
    assert ZONE_FILE not in everything(by_hand)
    text = by_hand.read(SHOP_FILE)
    assert "description: by hand" in text
    assert "example.com" not in text


BROKEN = [
    (SHOP_FILE, "enabled: true", "enabled: perhaps", 2),
    (SHOP_FILE, "ips: [203.0.113.1]", "ips: [203.0.113.1", 4),
    (SHOP_FILE, "203.0.113.1", "192.0.2.99", 3),
]


@pytest.mark.parametrize(("name", "old", "new", "line"), BROKEN, ids=["field", "syntax", "rule"])
def test_edit_that_is_broken_refuses_changes_of_that_file(
    by_hand: Api, name: str, old: str, new: str, line: int
) -> None:
    edit_by_hand(by_hand, name, old, new)
    before, revision = everything(by_hand), status(by_hand)["revision"]
    for _ in range(2):
        status_code, code, message = by_hand.refused("PATCH", f"{MAPS}/{SHOP}", {"description": "Shop"})
        assert (status_code, code) == (400, 1002)
        assert f" {name}:{line}:" in message
    assert everything(by_hand) == before
    assert status(by_hand)["revision"] == revision
    assert by_hand.result("GET", f"{MAPS}/{SHOP}")["enabled"] is True
    by_hand.result("PUT", f"{MAPS}/{SALE}/ips/203.0.113.8")  # other objects are unaffected
    assert "203.0.113.8" in by_hand.ask("www.example.com")
    assert by_hand.read(name) == before[name]
    edit_by_hand(by_hand, name, new, old)
    assert by_hand.result("PATCH", f"{MAPS}/{SHOP}", {"description": "Shop"})["description"] == "Shop"


def test_broken_edit_refuses_changes_where_no_account_is_held(by_hand: Api) -> None:
    settings = by_hand.config.read_text()
    by_hand.config.write_text(settings + "on_error: refuse\n")
    assert reload(by_hand)["ok"]
    name, old, new, line = BROKEN[0]
    edit_by_hand(by_hand, name, old, new)
    for _ in range(2):
        response = by_hand.call("PATCH", f"{MAPS}/{SHOP}", {"description": "Shop"})
        assert (response.status_code, response.headers["x-should-retry"]) == (503, "false")
        error = response.json()["errors"][0]
        assert error["code"] == 1007
        assert f"/{name}:{line}:" in error["message"]
    by_hand.result("PUT", f"{MAPS}/{SALE}/ips/203.0.113.8")  # other objects are unaffected
    by_hand.config.write_text(settings)


def test_refused_changes_are_not_tried_again_and_again(by_hand: Api) -> None:
    edit_by_hand(by_hand, SHOP_FILE, "enabled: true", "enabled: perhaps")
    lines = by_hand.dns.stderr.count()
    by_hand.refused("PATCH", f"{MAPS}/{SHOP}", {"description": "Shop"})
    wait_until(lambda: "held: acme" in by_hand.dns.stderr.since(lines))
    lines = by_hand.dns.stderr.count()
    for _ in range(5):
        by_hand.refused("PATCH", f"{MAPS}/{SHOP}", {"description": "Shop"})
    assert by_hand.dns.stderr.since(lines) == ""


def test_large_zone_edited_in_the_meantime(by_hand: Api) -> None:
    """The zone's text is not kept in memory; when it is read again, it has changed."""
    large = "records:\n" + "".join(f"- {{name: h{n}, type: A, content: 192.0.2.1}}  # {n}\n" for n in range(2_000))
    by_hand.write("acme/zones/large.example.yaml", large)
    assert reload(by_hand)["ok"]
    zone = by_hand.result("GET", "/zones?name=large.example")[0]["id"]
    edit_by_hand(
        by_hand,
        "acme/zones/large.example.yaml",
        "{name: h7, type: A, content: 192.0.2.1}",
        "{name: seven, type: A, content: 192.0.2.7}",
    )
    by_hand.result(
        "POST", f"/zones/{zone}/dns_records", {"name": "new", "type": "A", "content": "192.0.2.3", "ttl": 300}
    )
    assert by_hand.ask("seven.large.example") == ["192.0.2.7"]
    assert by_hand.ask("new.large.example") == ["192.0.2.3"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("watched"), WORLD).running() as api:
        yield api


def test_api_change_is_not_seen_as_an_edit(watched: Api) -> None:
    time.sleep(0.5)  # the files are watched by now
    watched.result("PATCH", f"{MAPS}/{SHOP}", {"description": "Shop"})
    watched.result("POST", f"/zones/{Z1}/dns_records", {"name": "a", "type": "A", "content": "192.0.2.3", "ttl": 300})
    zone = watched.result("POST", "/zones", {"name": "short.example", "account": {"id": A1}})["id"]
    for map_id in (SHOP, SALE):
        watched.result("PUT", f"{MAPS}/{map_id}/zones/{zone}")
    watched.result("DELETE", f"/zones/{zone}")
    made = watched.result("POST", "/accounts", {"name": "Initech"})["id"]
    watched.result("DELETE", f"/accounts/{made}")
    before, lines = status(watched), watched.dns.stderr.count()
    time.sleep(2.2)
    after = status(watched)
    assert after["revision"] == before["revision"]
    assert after["source"] == before["source"]
    assert watched.dns.stderr.since(lines) == ""


def test_broken_file_elsewhere_delays_no_change(watched: Api) -> None:
    """The broken edit is neither lost nor loaded; once fixed, it is loaded with the changes made meanwhile."""
    revision = status(watched)["revision"]
    edit_by_hand(watched, "globex/zones/example.org.yaml", "192.0.2.1", "192.0.2.300")
    wait_until(lambda: not status(watched)["source"]["ok"])
    broken = watched.read("globex/zones/example.org.yaml")
    watched.result("PATCH", f"{MAPS}/{SALE}", {"default_sni": "a.example.com"})
    watched.result("POST", f"/zones/{Z2}/dns_records", {"name": "b", "type": "A", "content": "192.0.2.4", "ttl": 300})
    made = watched.result("POST", "/accounts", {"name": "Umbrella"})["id"]
    assert watched.ask("b.example.net") == ["192.0.2.4"]
    time.sleep(1.2)
    assert watched.read("globex/zones/example.org.yaml") == broken
    assert status(watched)["revision"] == revision + 3
    assert not status(watched)["source"]["ok"]
    assert watched.result("GET", f"/zones/{Z3}/dns_records")[0]["content"] == "192.0.2.1"
    edit_by_hand(watched, "globex/zones/example.org.yaml", "192.0.2.300", "192.0.2.30")
    wait_until(lambda: bool(status(watched)["source"]["ok"]))
    assert watched.result("GET", f"/zones/{Z3}/dns_records")[0]["content"] == "192.0.2.30"
    assert watched.ask("b.example.net") == ["192.0.2.4"]
    watched.result("DELETE", f"/accounts/{made}")


@pytest.mark.parametrize("on_error", ["hold", "refuse"])
def test_kill_with_a_broken_file_loses_no_answer(watched: Api, on_error: str) -> None:
    """With `refuse`, control cannot load the files and serves the snapshot file, which contains the last change."""
    settings = watched.config.read_text()
    watched.config.write_text(settings + f"on_error: {on_error}\n")
    assert reload(watched)["ok"]
    edit_by_hand(watched, "globex/zones/example.org.yaml", "proxied: true", "proxied: perhaps")
    wait_until(lambda: not status(watched)["source"]["ok"])
    name, is_held = on_error, on_error == "hold"
    watched.result("POST", f"/zones/{Z1}/dns_records", {"name": name, "type": "A", "content": "192.0.2.5", "ttl": 300})
    control = pid_of(watched)
    os.kill(control, signal.SIGKILL)
    wait_until(lambda: new_pid(watched, control))
    wait_until(lambda: watched.call("GET", "/zones").status_code == (200 if is_held else 503))
    assert watched.ask(f"{name}.example.com") == ["192.0.2.5"]
    assert watched.call("PATCH", f"{MAPS}/{SALE}", {"default_sni": "b.example.com"}).status_code == (
        200 if is_held else 503
    )
    edit_by_hand(watched, "globex/zones/example.org.yaml", "proxied: perhaps", "proxied: true")
    wait_until(lambda: status(watched)["source"]["ok"])
    assert watched.ask(f"{name}.example.com") == ["192.0.2.5"]
    watched.config.write_text(settings)
    assert reload(watched)["ok"]


def new_pid(api: Api, before: int) -> bool:
    try:
        return pid_of(api) != before
    except (OSError, StopIteration):
        return False


def test_changes_during_reloads_and_edits(watched: Api) -> None:
    """One file is edited by hand and reloaded continuously, while clients change other objects over HTTP."""
    stop = threading.Event()
    edits = reloads = 0

    def edit() -> None:
        nonlocal edits
        while not stop.wait(0.05):
            edits += 1
            save(watched, "globex/zones/example.org.yaml", f"{WORLD['globex/zones/example.org.yaml']}# edit {edits}\n")

    def load() -> None:
        nonlocal reloads
        while not stop.wait(0.02):
            assert reload(watched)["ok"]
            reloads += 1

    threads = [threading.Thread(target=work) for work in (edit, load)]
    for thread in threads:
        thread.start()
    try:
        for number in range(30):
            body = {"name": f"r{number}", "type": "A", "content": f"192.0.2.{number}", "ttl": 300}
            watched.result("POST", f"/zones/{Z1}/dns_records", body)
            watched.result("PATCH", f"{MAPS}/{SHOP}", {"description": f"{number}"})
            assert watched.ask(f"r{number}.example.com") == [f"192.0.2.{number}"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert edits > 5
    assert reloads > 2
    assert watched.read("globex/zones/example.org.yaml").endswith(f"# edit {edits}\n")
    assert all(watched.ask(f"r{number}.example.com") == [f"192.0.2.{number}"] for number in range(30))
    assert 'description: "29"' in watched.read(SHOP_FILE)


# Disks


def refused_writes(api: Api, expected: tuple[int, int]) -> None:
    """Writes of all kinds are refused without a trace."""
    before, shown, revision = everything(api), observed(api)[0], status(api)["revision"]
    zone = "z" * 60 + ".example"
    for request in (
        ("PATCH", f"{MAPS}/{SHOP}", {"description": "x" * 900}),
        ("POST", MAPS, {"description": "x" * 900}),
        (
            "POST",
            f"/zones/{Z1}/dns_records",
            {"name": "full", "type": "A", "content": "192.0.2.6", "comment": "x" * 90},
        ),
        ("POST", "/zones", {"name": zone, "account": {"id": A1}}),
        ("POST", "/accounts", {"name": "Full"}),
        ("DELETE", f"/zones/{Z1}", None),
    ):
        response = api.call(*request)
        said = response.json()
        assert (response.status_code, said["errors"][0]["code"]) == expected, (request, said)
        assert response.headers["x-should-retry"] == "false"
        assert said["errors"][0]["message"]
    assert everything(api) == before
    assert sorted(os.listdir(api.folder / "accounts")) == ["acme", "globex"]
    assert observed(api)[0] == shown
    assert status(api)["revision"] == revision
    assert api.ask("full.example.com") == []
    assert api.ask("dns.example.com") == ["192.0.2.2"]


def accepted_writes(api: Api) -> None:
    api.result("POST", f"/zones/{Z1}/dns_records", {"name": "room", "type": "A", "content": "192.0.2.6", "ttl": 300})
    assert api.ask("room.example.com") == ["192.0.2.6"]
    api.result("DELETE", f"/zones/{Z1}")
    assert api.ask("room.example.com") == []


def test_file_size_limit(tmp_path: Path) -> None:
    unlimited = resource.RLIM_INFINITY
    with Api(tmp_path, WORLD).running() as api:
        resource.prlimit(pid_of(api), resource.RLIMIT_FSIZE, (0, unlimited))
        for request in (
            ("PATCH", f"{MAPS}/{SHOP}", {"description": "x" * 900}),
            ("POST", MAPS, {"description": "x" * 900}),
            ("POST", "/accounts", {"name": "Full"}),
        ):
            before = everything(api)
            assert api.refused(*request)[:2] == (507, 1006)
            assert everything(api) == before
        resource.prlimit(pid_of(api), resource.RLIMIT_FSIZE, (unlimited, unlimited))
        accepted_writes(api)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0755", "dnsd-test", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(file: Path) -> None:
    with contextlib.suppress(OSError), open(file, "wb", buffering=0) as out:
        while out.write(bytes(4096)):
            pass


@pytest.mark.parametrize("what", ["accounts", "state"])
def test_full_disk(tmp_path: Path, what: str) -> None:
    state = tmp_path / "state"
    with small_disk(tmp_path / what), Api(tmp_path, WORLD, settings=f"{SETTINGS}state: {state}\n").running() as api:
        time.sleep(1.2)
        fill_up(tmp_path / what / ".fill")
        if what == "accounts":
            (tmp_path / what / ".fill").rename(tmp_path / what / "acme/.fill")
            refused_writes(api, (507, 1006))
            (tmp_path / what / "acme/.fill").unlink()
        else:  # no room for the journal; changes of a single file need none
            before = everything(api)
            assert api.refused("DELETE", f"/zones/{Z1}")[:2] == (507, 1006)
            assert everything(api) == before
            assert api.ask("dns.example.com") == ["192.0.2.2"]
            api.result("PATCH", f"{MAPS}/{SHOP}", {"description": "Shop"})
            (tmp_path / what / ".fill").unlink()
        accepted_writes(api)


def no_path_in_the_audit_log(api: Api) -> None:
    """Tenants read the log of their account; the server's own log has the path."""
    token = api.token("--account", "acme")
    refused = [
        one for one in api.result("GET", f"/accounts/{A1}/audit_logs", token=token) if not one["action"]["result"]
    ]
    assert refused
    assert "cannot be written" in refused[0]["metadata"]["message"]
    assert str(api.folder) not in str(refused)
    assert str(api.folder) in api.dns.stderr.text()


def test_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "accounts"
    if os.geteuid():
        with Api(tmp_path, WORLD).running() as api:
            folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
            for path in folders:
                path.chmod(0o555)
            try:
                refused_writes(api, (503, 1007))
                no_path_in_the_audit_log(api)
            finally:
                for path in folders:
                    path.chmod(0o755)
            accepted_writes(api)
    else:
        with small_disk(folder), Api(tmp_path, WORLD).running() as api:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
            refused_writes(api, (503, 1007))
            no_path_in_the_audit_log(api)
            subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
            accepted_writes(api)


# Serials


def serial(api: Api, zone: str) -> int:
    return int(api.ask(zone, "SOA")[0].split()[2])


def test_serials_only_grow(tmp_path: Path) -> None:
    with Api(tmp_path, WORLD).running() as api:
        zones = {"example.com": Z1, "example.edu": api.result("GET", "/zones?name=example.edu")[0]["id"]}
        last = {zone: serial(api, zone) for zone in zones}
        for number in range(12):  # more than one in a second
            for zone, zone_id in zones.items():
                body = {"name": f"s{number}", "type": "A", "content": "192.0.2.6", "ttl": 300}
                api.result("POST", f"/zones/{zone_id}/dns_records", body)
                assert serial(api, zone) > last[zone]
                last[zone] = serial(api, zone)
        os.kill(pid_of(api), signal.SIGKILL)
        wait_until(lambda: is_back(api))
        assert {zone: serial(api, zone) for zone in zones} == last
    with api.running():
        assert {zone: serial(api, zone) for zone in zones} == last
        for zone, zone_id in zones.items():
            api.result(
                "POST", f"/zones/{zone_id}/dns_records", {"name": "t", "type": "A", "content": "192.0.2.6", "ttl": 300}
            )
            assert serial(api, zone) > last[zone]
