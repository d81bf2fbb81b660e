"""The times of an object in the API change only when the object changes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cloudflare import Cloudflare

from dnsd.model.times import parse_time
from dnsd.settings.written import state_folder
from tests.api.server import A1, A2, FILES, MI, PREFIX1, SETTINGS, WWW, Z1, Z2, Api
from tests.api.test_durability import pid_of, reload, save, wait_until

OLD_S = 1_577_836_800  # 2020, the time of all files
TIMES = ("created_on", "modified_on", "activated_on", "created_at", "modified_at", "advertised_modified_at")
MASTER = """\
; a place of learning
$TTL 300
@ IN SOA ns1.example.net. host.example.net. 7 10800 3600 604800 300 ; here
@ NS ns1.example.net.
www A 192.0.2.31 ; cf_tags=cf-proxied:true
ftp A 192.0.2.32
    TXT "beside it"
"""
SALE = """\
description: Sale
enabled: true
ips: [203.0.113.8, 192.0.2.200]
memberships:
  - {kind: zone, identifier: example.net}
  - {kind: zone, identifier: museum.example}
"""
BGP = "94" * 16
PLACES = ("institute", "academy", "college", "lyceum", "museum")  # its zones are master files
WORLD = FILES | {
    "acme/account.yaml": FILES["acme/account.yaml"]
    .replace(
        "cidr: 203.0.113.0/24, asn: 64500, approved: V",
        "cidr: 203.0.113.0/24, asn: 64500, approved: V, "
        f'bgp_prefixes: [{{id: "{BGP}", cidr: 203.0.113.0/24, advertised: false}}]',
    )
    .replace(
        '"2001:db8:100::/48", asn: 64500, approved: V',
        '"2001:db8:100::/48", asn: 64500, approved: V, delegations: [{cidr: "2001:db8:100:7::/64", account: globex}]',
    ),
    **{f"acme/zones/{place}.example.zone": MASTER for place in PLACES},
    "acme/zones/hand.example.yaml": WWW,
    "acme/zones/waiting.example.yaml": "status: pending\nrecords:\n- {name: w, type: A, content: 192.0.2.9}\n",
    "acme/maps/sale.yaml": SALE,
    "acme/maps/fallback.yaml": f'id: "{MI}"\nimmutable: true\nenabled: true\nips: [203.0.113.30]\n'
    "memberships: [{kind: account, identifier: acme}]\n",
}
MAPS = f"/accounts/{A1}/addressing/address_maps"
PREFIXES = f"/accounts/{A1}/addressing/prefixes"
LEASES = f"/accounts/{A1}/addressing/leases"


class Server:
    """A running server that can be restarted."""

    def __init__(self, folder: Path, files: Mapping[str, str] = WORLD) -> None:
        self.api = Api(folder, files, settings=f"{SETTINGS}reload: {{watch: false}}\n")
        for file in (folder / "accounts").rglob("*.*"):
            os.utime(file, (OLD_S, OLD_S))
        self._running = contextlib.ExitStack()
        self.start()

    def start(self) -> None:
        self._running.enter_context(self.api.running())

    def stop(self) -> None:
        self._running.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def zone(self, name: str) -> str:
        (zone,) = self.api.result("GET", "/zones", params={"name": name})
        return str(zone["id"])

    def record(self, name: str, rtype: str = "A") -> str:
        """The path of a record."""
        path = f"/zones/{self.zone(name.partition('.')[2])}/dns_records"
        (record,) = self.api.result("GET", path, params={"name": name, "type": rtype})
        return f"{path}/{record['id']}"

    def reload(self) -> None:
        attempt = reload(self.api, force=True)
        assert attempt["ok"], attempt

    def map(self, description: str) -> str:
        """The path of an address map."""
        return next(f"{MAPS}/{one['id']}" for one in self.api.result("GET", MAPS) if one["description"] == description)


def started(folder: Path) -> Server:
    """A server with objects written by hand and objects created over the API."""
    server = Server(folder)
    api = server.api
    made = api.result("POST", "/zones", {"name": "made.example", "account": {"id": A1}})
    api.result("POST", f"/zones/{made['id']}/dns_records", {"name": "a", "type": "A", "content": "192.0.2.41"})
    api.result("POST", MAPS, {"description": "made", "ips": ["203.0.113.9"]})
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server shared by all cases; each case uses its own objects, or changes objects that no other case reads."""
    server = started(tmp_path_factory.mktemp("shared"))
    yield server
    server.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    server = started(tmp_path)
    yield server
    server.stop()


def all_times(api: Api) -> dict[str, str]:
    """Every time in the API, by names of object and field."""
    found: dict[str, str] = {}

    def note(what: str, shape: Mapping[str, Any]) -> None:
        found.update({f"{what} {name}": shape[name] for name in TIMES if name in shape})

    for account in api.result("GET", "/accounts"):
        note(account["name"], account)
        addressing = f"/accounts/{account['id']}/addressing"
        for lease in api.result("GET", f"{addressing}/leases"):
            note(lease["ip"], lease)
        for prefix in api.result("GET", f"{addressing}/prefixes"):
            note(prefix["cidr"], prefix)
            for part in api.result("GET", f"{addressing}/prefixes/{prefix['id']}/delegations"):
                note(part["cidr"], part)
            for route in api.result("GET", f"{addressing}/prefixes/{prefix['id']}/bgp/prefixes"):
                note(f"route {route['cidr']}", route)
                found[f"route {route['cidr']} since"] = route["on_demand"]["advertised_modified_at"]
        for one in api.result("GET", f"{addressing}/address_maps"):
            note(one["description"], one)
            for ip in one["ips"]:
                note(f"{one['description']} {ip['ip']}", ip)
            for member in one["memberships"]:
                note(f"{one['description']} {member['identifier']}", member)
    for zone in api.result("GET", "/zones"):
        note(zone["name"], zone)
        for record in api.result("GET", f"/zones/{zone['id']}/dns_records"):
            note(f"{record['name']} {record['type']}", record)
    return found


def moved(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {what for what, at in before.items() if what in after and after[what] != at}


def touch(server: Server) -> None:
    for place, file in enumerate((server.api.folder / "accounts").rglob("*.*")):
        os.utime(file, (OLD_S + 1000 * place, OLD_S + 1000 * place))
    server.reload()


def write_again(server: Server) -> None:
    for file in (server.api.folder / "accounts").rglob("*.*"):
        text = file.read_text()
        file.unlink()
        file.write_text(text)
    server.reload()


def other_branch_and_back(server: Server) -> None:
    """Like `git checkout` and back: files absent from the other branch disappear in between."""
    away = server.api.folder / "away"
    shutil.copytree(server.api.folder / "accounts", away)
    for file in ("acme/maps/sale.yaml", "acme/zones/institute.example.zone"):
        (server.api.folder / "accounts" / file).unlink()
    server.api.write("acme/account.yaml", f"id: {A1}\nname: Acme\nprefixes: [{{cidr: 203.0.113.0/24, approved: V}}]\n")
    server.reload()
    assert "Sale modified_at" not in all_times(server.api)
    shutil.rmtree(server.api.folder / "accounts")
    away.rename(server.api.folder / "accounts")
    server.reload()


def kill_all(server: Server) -> None:
    server.api.dns.process.kill()
    server.restart()


def kill_control(server: Server) -> None:
    pid = pid_of(server.api)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _is_another(server.api, pid))
    wait_until(lambda: _answers(server.api))


def _is_another(api: Api, pid: int) -> bool:
    with contextlib.suppress(Exception):
        return pid_of(api) != pid
    return False


def _answers(api: Api) -> bool:
    with contextlib.suppress(Exception):
        return api.call("GET", "/zones").status_code == 200
    return False


def edit(server: Server, name: str, old: str, new: str) -> None:
    text = server.api.read(name)
    assert old in text
    save(server.api, name, text.replace(old, new))
    server.reload()


def post_record(server: Server, zone: str) -> None:
    body = {"name": "new", "type": "A", "content": "192.0.2.50", "ttl": 60}
    server.api.result("POST", f"/zones/{server.zone(zone)}/dns_records", body)


def restore(server: Server) -> None:
    """A zone gains a record and is then restored to its file's version."""
    post_record(server, "example.net")
    (*_, version) = server.api.result("GET", f"/zones/{Z2}/history")
    server.api.result("POST", f"/zones/{Z2}/history/{version['version']}/restore")


def delete_and_restore(server: Server) -> None:
    zone_id = server.zone("made.example")
    server.api.result("DELETE", f"/zones/{zone_id}")
    path = f"/accounts/{A1}/zones/{zone_id}/history"
    server.api.result("POST", f"{path}/{server.api.result('GET', path)[0]['version']}/restore")


def import_records(server: Server) -> None:
    parts = {"file": (None, "imported 300 A 192.0.2.60\nwww 300 A 192.0.2.31\n"), "proxied": (None, "false")}
    path = f"/zones/{server.zone('institute.example')}/dns_records/import"
    assert server.api.call("POST", path, files=parts).json()["result"]["recs_added"] == 1


def convert(server: Server) -> None:
    """A master file becomes YAML when the zone gets a setting that master files lack."""
    server.api.result("PATCH", f"/zones/{server.zone('academy.example')}", {"paused": True})
    assert server.api.read("acme/zones/academy.example.yaml")


def convert_by_hand(server: Server) -> None:
    """The same records, in YAML."""
    (server.api.folder / "accounts/acme/zones/college.example.zone").unlink()
    text = (
        "soa: {mname: ns1.example.net, rname: host.example.net}\nrecords:\n"
        "- {name: www, type: A, content: 192.0.2.31, proxied: true}\n- {name: ftp, type: A, content: 192.0.2.32}\n"
    )
    server.api.write("acme/zones/college.example.yaml", text)
    server.reload()


def other_nameservers(server: Server) -> None:
    text = server.api.config.read_text()
    server.api.config.write_text(text.replace("[ns1.example.net, ns2", "[ns7.example.net, ns2"))
    server.reload()


def add_parts(server: Server) -> None:
    """An account gains new objects; the existing ones stay."""
    server.api.result("POST", PREFIXES, {"cidr": "198.51.100.0/24", "asn": 64501})
    server.api.result("POST", LEASES, {"ip": "192.0.2.201"})
    body = {"cidr": "203.0.113.128/25", "delegated_account_id": A2}
    server.api.result("POST", f"{PREFIXES}/{PREFIX1}/delegations", body)


def change(method: str, path: str, body: Any = None) -> Callable[[Server], None]:
    def changed(server: Server) -> None:
        server.api.result(method, path, body)

    return changed


CASES: dict[str, tuple[Callable[[Server], None], set[str]]] = {  # the action, and the times that move
    "files are touched": (touch, set()),
    "files are written again": (write_again, set()),
    "another branch and back": (other_branch_and_back, set()),
    "a start": (Server.restart, set()),
    "two starts": (lambda server: (server.restart(), server.restart(), None)[-1], set()),
    "kill -9 of all": (kill_all, set()),
    "kill -9 of control": (kill_control, set()),
    "files are touched, and a start": (lambda server: (touch(server), server.restart(), None)[-1], set()),
    "other name servers in the settings": (other_nameservers, set()),
    "a record of a YAML zone is created": (lambda server: post_record(server, "example.com"), set()),
    "a record of a master file is created": (lambda server: post_record(server, "institute.example"), set()),
    "a record of a new zone is created": (lambda server: post_record(server, "made.example"), set()),
    "a record of YAML is edited by hand": (
        lambda server: edit(server, "acme/zones/example.com.yaml", "192.0.2.2,", "192.0.2.22,"),
        set(),
    ),
    "a record of a master file is edited by hand": (
        lambda server: edit(server, "acme/zones/institute.example.zone", "192.0.2.32", "192.0.2.132"),
        set(),
    ),
    "a record is changed": (
        lambda server: server.api.result("PATCH", server.record("www.example.com"), {"content": "192.0.2.77"}),
        {"www.example.com A modified_on"},
    ),
    "a record of a master file is changed": (
        lambda server: server.api.result("PATCH", server.record("ftp.institute.example"), {"ttl": 120}),
        {"ftp.institute.example A modified_on"},
    ),
    "a record is changed to its current value": (
        lambda server: server.api.result("PATCH", server.record("dns.example.com"), {"ttl": 3600}),
        set(),
    ),
    "a record is deleted": (
        lambda server: server.api.result("DELETE", server.record("ftp.institute.example", "TXT")),
        set(),
    ),
    "records are imported": (import_records, set()),
    "a zone is restored": (restore, set()),
    "a zone is deleted and restored": (delete_and_restore, set()),
    "a master file becomes YAML": (convert, {"academy.example modified_on"}),
    "a master file becomes YAML by hand": (convert_by_hand, set()),
    "a zone is paused": (change("PATCH", f"/zones/{Z1}", {"paused": True}), {"example.com modified_on"}),
    "an active zone is resumed": (change("PATCH", f"/zones/{Z2}", {"paused": False}), set()),
    "a zone's settings": (
        change("PATCH", f"/zones/{Z2}/settings/ipv6", {"value": "off"}),
        {"example.net modified_on"},
    ),
    "a master file's zone is paused": (
        lambda server: server.api.result("PATCH", f"/zones/{server.zone('lyceum.example')}", {"paused": True}),
        {"lyceum.example modified_on"},
    ),
    "a zone is paused by hand": (
        lambda server: edit(server, "acme/zones/hand.example.yaml", "records:", "paused: true\nrecords:"),
        {"hand.example modified_on"},
    ),
    "a zone becomes active by hand": (
        lambda server: edit(server, "acme/zones/waiting.example.yaml", "status: pending", "status: active"),
        {"waiting.example modified_on", "waiting.example activated_on"},
    ),
    "a zone is created": (change("POST", "/zones", {"name": "third.example", "account": {"id": A1}}), set()),
    "a zone is deleted": (
        lambda server: server.api.result("DELETE", f"/zones/{server.zone('museum.example')}"),
        {"Sale modified_at"},  # it was a member
    ),
    "a map is changed": (
        lambda server: server.api.result("PUT", f"{server.map('Sale')}/ips/203.0.113.77"),
        {"Sale modified_at"},
    ),
    "a map is changed by hand": (
        lambda server: edit(server, "acme/maps/sale.yaml", "203.0.113.8,", "203.0.113.88,"),
        {"Sale modified_at"},
    ),
    "a new map is changed": (
        lambda server: server.api.result("PATCH", server.map("made"), {"enabled": True}),
        {"made modified_at"},
    ),
    "a map's comment is edited by hand": (
        lambda server: edit(server, "acme/maps/sale.yaml", "enabled: true", "enabled: true  # at last"),
        set(),
    ),
    "a map is created": (change("POST", MAPS, {"description": "third"}), set()),
    "an account gets new objects": (add_parts, set()),
    "an account is renamed": (change("PUT", f"/accounts/{A2}", {"name": "Globex"}), set()),
    "an account enforces DNS only": (
        change("PATCH", f"/accounts/{A1}/dns_settings", {"enforce_dns_only": True}),
        set(),
    ),
    "a prefix is described": (
        change("PATCH", f"{PREFIXES}/{PREFIX1}", {"description": "first"}),
        {"203.0.113.0/24 modified_at"},
    ),
    "a prefix is no longer approved": (
        lambda server: edit(
            server, "acme/account.yaml", '48", asn: 64500, approved: V', '48", asn: 64500, approved: P'
        ),
        {"2001:db8:100::/48 modified_at"},
    ),
    "a prefix is advertised": (
        change("PATCH", f"{PREFIXES}/{PREFIX1}/bgp/prefixes/{BGP}", {"on_demand": {"advertised": True}}),
        {"203.0.113.0/24 advertised_modified_at", "route 203.0.113.0/24 modified_at", "route 203.0.113.0/24 since"},
    ),
    "a route gets prepends": (
        change("PATCH", f"{PREFIXES}/{PREFIX1}/bgp/prefixes/{BGP}", {"asn_prepend_count": 3}),
        {"route 203.0.113.0/24 modified_at"},
    ),
    "an account's comment is edited by hand": (
        lambda server: edit(server, "acme/account.yaml", "# the old one", "# the older one"),
        set(),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_only_changed_objects_get_a_new_time(server: Server, case: str) -> None:
    act, expected = CASES[case]
    before = all_times(server.api)
    act(server)
    after = all_times(server.api)
    assert moved(before, after) == expected
    assert all(after[what] > before[what] for what in expected if before[what])
    now = datetime.now(UTC)
    assert [what for what, at in after.items() if at and parse_time(at) > now] == []
    assert moved(after, all_times(server.api)) == set()


def test_times_survive_restarts_and_kills(server: Server) -> None:
    before = all_times(server.api)
    server.restart()
    assert all_times(server.api) == before
    kill_all(server)
    assert all_times(server.api) == before


def test_new_objects_have_the_time_at_which_they_were_seen(fresh: Server) -> None:
    """Times start again without the state folder, except for objects created over the API."""
    found = all_times(fresh.api)
    assert {what: found[what] for what in found if what.startswith("waiting.example activated")} == {
        "waiting.example activated_on": None
    }
    assert all(parse_time(at) > datetime(2025, 1, 1, tzinfo=UTC) for at in found.values() if at)
    for name in ("example.com", "institute.example", "made.example", "www.institute.example A", "dns.example.com A"):
        assert found[f"{name} created_on"] == found[f"{name} modified_on"]
    assert found["example.com activated_on"] == found["example.com created_on"]
    file = state_folder(fresh.api.config) / "first_seen"
    assert file.stat().st_mode & 0o777 == 0o600
    fresh.stop()
    file.unlink()
    fresh.start()
    begun = moved(found, all_times(fresh.api))
    assert {"example.com created_on", "institute.example modified_on", "Acme created_on", "Sale modified_at"} < begun
    assert not {what for what in begun if what.startswith(("made", "a.made"))}


def test_files_may_contain_times(tmp_path: Path) -> None:
    said = (
        "created_on: 2019-03-01T12:00:00+02:00\nactivated_on: 2019-03-02T12:00:00Z\nmodified_on: 2024-05-06T07:08:09Z\n"
    )
    tags = "cf_tags=dnsd-created:2018-01-02T03:04:05Z,dnsd-modified:2023-01-02T03:04:05.5Z"
    files = WORLD | {
        "acme/zones/example.com.yaml": said + WORLD["acme/zones/example.com.yaml"],
        "acme/zones/academy.example.zone": MASTER.replace("; here", f"; here {tags}"),
    }
    server = Server(tmp_path, files)
    try:
        expected = {
            "example.com created_on": "2019-03-01T10:00:00.000000Z",
            "example.com activated_on": "2019-03-02T12:00:00.000000Z",
            "example.com modified_on": "2024-05-06T07:08:09.000000Z",
            "academy.example created_on": "2018-01-02T03:04:05.000000Z",
            "academy.example activated_on": "2018-01-02T03:04:05.000000Z",
            "academy.example modified_on": "2023-01-02T03:04:05.500000Z",
            "www.example.com A created_on": "2019-03-01T10:00:00.000000Z",
        }
        before = all_times(server.api)
        assert {what: before[what] for what in expected} == expected
        post_record(server, "academy.example")
        assert tags in server.api.read("acme/zones/academy.example.zone")
        convert(server)
        server.api.result("PATCH", f"/zones/{Z1}", {"paused": True})
        assert "created_on: 2019-03-01T12:00:00+02:00\n" in server.api.read("acme/zones/example.com.yaml")
        after = all_times(server.api)
        changed = {"example.com modified_on", "academy.example modified_on"}
        assert moved(before, after) == changed
        server.stop()
        (state_folder(server.api.config) / "first_seen").unlink()
        server.start()
        again = all_times(server.api)
        assert {what: again[what] for what in expected} == {what: after[what] for what in expected}
    finally:
        server.stop()


def test_record_changes_do_not_move_the_times_of_their_zone(server: Server) -> None:
    """A change of one record rewrites the whole zone file."""
    made = server.api.result("POST", "/zones", {"name": "seventeen.example", "account": {"id": A1}})
    assert made["created_on"] == made["activated_on"] == made["modified_on"]
    for number in range(3):
        body = {"name": f"h{number}", "type": "TXT", "content": "x", "ttl": 60}
        server.api.result("POST", f"/zones/{made['id']}/dns_records", body)
        found = server.api.result("GET", f"/zones/{made['id']}")
        assert {name: found[name] for name in TIMES if name in found} == {
            name: made[name] for name in TIMES if name in made
        }


def test_a_large_master_file(tmp_path: Path) -> None:
    lines = "".join(
        f"h{number} 300 IN A 192.0.2.{number % 250}\n" for number in range(99_000)
    )  # the quota is 100,000 records
    soa = "@ 300 IN SOA ns1.example.net. host.example.net. 1 7200 3600 1209600 300\n@ 300 IN NS ns1.example.net.\n"
    server = Server(tmp_path, WORLD | {"globex/zones/large.example.zone": soa + lines})
    try:
        path = f"/zones/{server.zone('large.example')}"

        def times() -> dict[str, tuple[str, str]]:
            """The times of the zone and of some records, by name."""
            shapes = [server.api.result("GET", path)]
            for name in ("h0", "h77", "h50000", "h98999"):
                query = {"name": f"{name}.large.example"}
                shapes += server.api.result("GET", f"{path}/dns_records", params=query)
            return {one["name"]: (one["created_on"], one["modified_on"]) for one in shapes}

        before = times()
        assert len(before) == 5
        assert len(set(before.values())) == 1
        file = state_folder(server.api.config) / "first_seen"
        size = file.stat().st_size
        post_record(server, "large.example")
        edit(server, "globex/zones/large.example.zone", "h77 300 IN A 192.0.2.77\n", "h77 300 IN A 192.0.2.177\n")
        server.restart()
        assert times() == before
        assert file.stat().st_size == size  # nothing is kept of records
    finally:
        server.stop()


def test_models_of_the_sdk_have_times(server: Server) -> None:
    with Cloudflare(api_token=server.api.operator, base_url=f"{server.api.origin}/client/v4") as client:
        zone = client.zones.get(zone_id=Z1)
        one = client.addressing.address_maps.get(server.map("Sale").rpartition("/")[2], account_id=A1)
        prefix = client.addressing.prefixes.get(PREFIX1, account_id=A1)
        account = client.accounts.get(account_id=A1)
        record = next(iter(client.dns.records.list(zone_id=Z1)))
    times = [zone.created_on, zone.modified_on, zone.activated_on, one.created_at, one.modified_at]
    times += [prefix.created_at, prefix.modified_at, account.created_on, record.created_on, record.modified_on]
    assert all(isinstance(at, datetime) and at.tzinfo for at in times)
    assert str(zone.created_on) == str(parse_time(all_times(server.api)["example.com created_on"]))
