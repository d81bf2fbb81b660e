"""Untouched objects stay the same: changes around an object do not change any GET of it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

import pytest

from dnsd.api.routes import ROUTES
from dnsd.settings.written import state_folder
from tests.api.server import A1, A2, PREFIX1, Z1
from tests.api.test_times_stay import MAPS, PREFIXES, Server, edit, kill_all, kill_control, started, touch, write_again

# In an exported zone: the time of the export, and the serial, which is the time of a YAML file.
PASSING = re.compile(r"^;; Exported: .*$|(?<=\tSOA\t)\S+ \S+ \d+", re.MULTILINE)
GROWING = ("audit", "dns_analytics", "drains", "quotas")  # parts of paths whose answers change with time
RECORDS: list[dict[str, Any]] = [
    {"type": "A", "name": "one", "content": "192.0.2.1", "ttl": 60},
    {"type": "A", "name": "one", "content": "192.0.2.3", "ttl": 60},
    {"type": "A", "name": "one", "content": "192.0.2.2", "ttl": 60, "tags": ["team:a", "b"], "comment": "the third"},
    {"type": "AAAA", "name": "one", "content": "2001:DB8::1", "proxied": True, "settings": {"ipv4_only": True}},
    {"type": "CNAME", "name": "Alias", "content": "Www.Example.org."},
    {"type": "CNAME", "name": "flat", "content": "www.example.net", "settings": {"flatten_cname": True}},
    {"type": "MX", "name": "@", "content": "Mail.example.org", "priority": 10},
    {"type": "TXT", "name": "t", "content": 'v=spf1 include:"x" -all', "comment": "no; quotes"},
    {"type": "TXT", "name": "t", "content": '"two" "strings; of \\"text\\""'},
    {"type": "TXT", "name": "t", "content": "Grüße"},
    {"type": "CAA", "name": "@", "data": {"flags": 0, "tag": "issue", "value": "ca.example.net"}},
    {
        "type": "SRV",
        "name": "_sip._tcp",
        "data": {"priority": 1, "weight": 2, "port": 5060, "target": "sip.example.org"},
    },
    {"type": "SSHFP", "name": "ssh", "data": {"algorithm": 4, "type": 2, "fingerprint": "AB" * 32}},
    {"type": "HTTPS", "name": "h", "data": {"priority": 1, "target": ".", "value": 'alpn="h3,h2"'}},
    {"type": "NS", "name": "sub", "content": "ns.example.org"},
]
Answers = dict[str, tuple[int, str | None, str]]  # of paths: status, tag and body
BY_HAND = """\
status: active
records:
- {name: "@", type: MX, content: 10 Mail.Example.org.}
- {name: B, type: A, content: 192.0.2.12}
- {name: b, type: A, content: 192.0.2.11, comment: second}
- {name: b, type: TXT, content: "plain text; here"}
- {name: b, type: TXT, content: '"quoted"   "twice"'}
- {name: s, type: SSHFP, content: 4 2 ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB}
- {name: a, type: CNAME, content: Target.Example.ORG}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = started(tmp_path_factory.mktemp("answers"))
    api = server.api
    api.write("acme/zones/spelled.example.yaml", BY_HAND)
    server.reload()
    for zone in ("made.example", "institute.example"):
        for body in RECORDS:
            api.result("POST", f"/zones/{server.zone(zone)}/dns_records", body)
    api.result("PATCH", server.record("one.made.example", "AAAA"), {"comment": "changed"})
    api.result("PUT", f"{server.map('made')}/zones/{Z1}")
    api.result("PATCH", f"{PREFIXES}/{PREFIX1}", {"description": "first"})
    api.result("POST", f"/accounts/{A1}/addressing/leases", {"ip": "192.0.2.202"})
    api.result("POST", f"{PREFIXES}/{PREFIX1}/delegations", {"cidr": "203.0.113.0/26", "delegated_account_id": A2})
    services = api.result("GET", f"/accounts/{A1}/addressing/services")
    body = {"cidr": "203.0.113.0/24", "service_id": services[0]["id"]}
    api.result("POST", f"{PREFIXES}/{PREFIX1}/bindings", body)
    api.result("PATCH", f"/zones/{server.zone('academy.example')}", {"paused": True})
    letter = {"loa_document": ("loa.pdf", b"%PDF-1.7 letter")}
    assert api.call("POST", f"/accounts/{A1}/addressing/loa_documents", files=letter).status_code == 201
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")
    assert api.call("PATCH", server.map("made"), {"enabled": True}, params={"deploy_at": tomorrow}).status_code == 202
    yield server
    server.stop()


def paths(listed: Callable[[str], Any], route: str) -> list[str]:
    """The paths of a route for all objects."""
    ids: dict[str, Callable[[str], list[str]]] = {
        "account_id": lambda _: [one["id"] for one in listed("/accounts")],
        "zone_id": lambda before: [
            one["id"]
            for one in listed("/zones")
            if before == "/zones" or before == f"/accounts/{one['account']['id']}/zones"
        ],
        "map_id": lambda before: [one["id"] for one in listed(before)],
        "prefix_id": lambda before: [one["id"] for one in listed(before)],
        "bgp_prefix_id": lambda before: [one["id"] for one in listed(before)],
        "binding_id": lambda before: [one["id"] for one in listed(before)],
        "record_id": lambda before: [one["id"] for one in listed(before)],
        "change_id": lambda before: [one["id"] for one in listed(before)],
        "loa_document_id": lambda before: [one["id"] for one in listed(before)],
        "membership_id": lambda before: [one["id"] for one in listed(before)],
        "setting": lambda before: [one["id"] for one in listed(before)],
        "token_id": lambda before: [one["id"] for one in listed(before)],
        "version": lambda before: [one["version"] for one in listed(before)],
    }
    found = [""]
    for step in route.strip("/").split("/"):
        name = step.strip("{}")
        steps = ids[name] if name != step else None
        found = [f"{before}/{one}" for before in found for one in (steps(before) if steps else [step])]
    return found


def answers(server: Server) -> Answers:
    """The response to each GET."""
    listed = cache(partial(server.api.result, "GET"))
    found = {}
    for route in ROUTES:
        if route.method == "GET" and not any(one in route.path for one in GROWING):
            for path in paths(listed, route.path):
                response = server.api.call("GET", path, params={"per_page": "1000"})
                body = PASSING.sub("", response.text)
                found[path] = (response.status_code, response.headers.get("etag"), body)
    return found


def without_snapshot(server: Server) -> None:
    server.stop()
    (state_folder(server.api.config) / "snapshot").unlink()
    server.start()


def other_zone_by_hand(server: Server) -> None:
    server.api.write("globex/zones/other.example.yaml", "records:\n- {name: x, type: A, content: 192.0.2.99}\n")
    server.reload()
    (server.api.folder / "accounts/globex/zones/other.example.yaml").unlink()
    server.reload()


def other_objects(server: Server) -> None:
    """Objects are created and deleted again."""
    zone = server.api.result("POST", "/zones", {"name": "zz.example", "account": {"id": A1}})
    body = {
        "description": "passing",
        "ips": ["203.0.113.99"],
        "memberships": [{"kind": "zone", "identifier": zone["id"]}],
    }
    one = server.api.result("POST", MAPS, body)
    server.api.result("DELETE", f"{MAPS}/{one['id']}")
    server.api.result("DELETE", f"/zones/{zone['id']}")


EVENTS: dict[str, Callable[[Server], None]] = {
    "nothing": lambda server: None,
    "a reload": Server.reload,
    "a start": Server.restart,
    "a start without the snapshot": without_snapshot,
    "files are touched": touch,
    "files are written again": write_again,
    "files are written again, and a start": lambda server: (write_again(server), server.restart(), None)[-1],
    "kill -9 of all": kill_all,
    "kill -9 of control": kill_control,
    "another zone is created and deleted": other_zone_by_hand,
    "other objects are created and deleted": other_objects,
    "a comment of a file": lambda server: edit(server, "acme/account.yaml", "# Acme, since 2019", "# Acme"),
}


@pytest.fixture(scope="module")
def last() -> list[Answers]:
    """The answers after the last event, if it changed none."""
    return []


@pytest.mark.parametrize("event", EVENTS)
def test_answers_stay(server: Server, last: list[Answers], event: str) -> None:
    before = last.pop() if last else answers(server)
    EVENTS[event](server)
    after = answers(server)
    assert after.keys() == before.keys()
    changed = {path: (before[path], after[path]) for path in before if after[path] != before[path]}
    assert changed == {}
    last.append(after)


def test_every_get_route_is_compared(server: Server, last: list[Answers]) -> None:
    found = last.pop() if last else answers(server)
    routes = [route for route in ROUTES if route.method == "GET" and not any(one in route.path for one in GROWING)]
    assert all(status == 200 for status, _, _ in found.values()), {path for path, one in found.items() if one[0] != 200}
    for route in routes:
        form = re.compile(re.sub(r"\{\w+\}", r"[^/]+", route.path))
        assert any(map(form.fullmatch, found)), route.path


def test_unchanged_records_keep_their_order(server: Server) -> None:
    """DNS answers stay the same, too, after many objects of one name were created, changed and deleted."""
    for zone in ("made.example", "institute.example", "spelled.example"):
        path = f"/zones/{server.zone(zone)}/dns_records"
        before = server.api.result("GET", path, params={"per_page": "1000"})
        made = [
            server.api.result("POST", path, {"type": "A", "name": name, "content": f"192.0.2.{number}", "ttl": 60})
            for number, name in itertools.product((201, 202), ("one", "b"))
        ]
        server.api.result("PATCH", f"{path}/{made[0]['id']}", {"content": "192.0.2.209"})
        after = server.api.result("GET", path, params={"per_page": "1000"})
        assert after[: len(before)] == before
        for one in made:
            server.api.result("DELETE", f"{path}/{one['id']}")
        assert server.api.result("GET", path, params={"per_page": "1000"}) == before
