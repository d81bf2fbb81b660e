"""What the processes of a server import while they serve, all of them together, by the server's role."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest

from tests.fleet.edges import FILES, SETTINGS, Edge, EdgeFolder, FleetSource
from tests.fleet.nats_servers import needs_nats_server
from tests.limits import HANG_S
from tests.live.server import Dnsd

pytestmark = needs_nats_server
IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)
METRICS = re.compile(r"listening on (\S+) metrics")
LAST = ("dnsd.control.observer", "dnsd.web.monitoring")  # of what is imported once DNS is answered
OF_A_FLEET = ("dnsd.fleet", "nats", "sqlite3")
OF_THE_API = ("dnsd.dashboard", "dnsd.api.app", "dnsd.api.routes", "jinja2", "httpx")
# An edge shares the parts of every server that load, hold and report, and what these name. It has nothing of requests:
# no routes, pages, sessions, plans, scheduled changes or verbs on objects.
API_OF_AN_EDGE = {"codes", "connection", "envelope", "turns"}
MANAGE_OF_AN_EDGE = {
    *("acts", "audit", "audit_entries", "audit_files", "audit_search"),  # entries of holds and drains
    *("brake", "brake_file", "brake_state", "judge"),  # of the loader, which does not ask it here
    *("change", "draft", "draft_texts", "new_keys", "request_terms"),  # of the queue that saves the snapshot
    *("drain_files", "drains", "history", "versions"),  # of a server that was alone: its blocks stay
    *("refusal", "state_names", "token_file", "token_format", "token_port", "tokens"),  # what those name
    "fleet_view",  # how an edge is seen
}


def imported(server: Dnsd) -> set[str]:
    """All that a server's processes have imported by statements, once they have gone on and shown their metrics."""
    deadline = time.monotonic() + HANG_S
    while not {*LAST} <= {*IMPORTED.findall(server.stderr.text())}:
        assert time.monotonic() < deadline, server.stderr.text()[-2000:]
        time.sleep(0.05)
    found = METRICS.search(server.stdout.text())
    assert found
    assert "dnsd_" in httpx.get(f"http://{found[1]}/metrics", timeout=HANG_S).text
    return {*IMPORTED.findall(server.stderr.text())}


def serving(config: Path) -> Dnsd:
    """A server that tells its imports; not forked from one that has them."""
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "metrics": {"listen": "127.0.0.1:0"}}))
    return Dnsd(config, env={"PYTHONPROFILEIMPORTTIME": "1"}, is_forked=False)


def below(names: Iterable[str], *parts: str) -> set[str]:
    """The names that are one of the parts, or in one."""
    return {name for name in names if any(name == part or name.startswith(f"{part}.") for part in parts)}


def of_part(names: Iterable[str], part: str) -> set[str]:
    """The modules of a part of the package, without the part's name."""
    return {name.removeprefix(f"dnsd.{part}.") for name in names if name.startswith(f"dnsd.{part}.")}


@pytest.mark.usefixtures("server")
def test_an_edge_imports_little_of_what_makes_changes(source: FleetSource, folder: EdgeFolder) -> None:
    source.send(FILES)
    with serving(folder.config) as server:
        assert Edge(server).addresses("www.west.example", "AAAA") == ["2001:db8:f::1"]
        found = imported(server)
    assert {"dnsd.fleet.follower", "nats", "sqlite3"} <= found
    assert below(found, *OF_THE_API, "dnsd.fleet.control_store", "dnsd.fleet.root") == set()
    assert of_part(found, "api") - API_OF_AN_EDGE == set()
    assert of_part(found, "manage") - MANAGE_OF_AN_EDGE == set()


def test_a_server_alone_imports_nothing_of_a_fleet(source: FleetSource, tmp_path: Path) -> None:
    source.put(FILES)
    config = tmp_path / "alone.yaml"
    config.write_text(json.dumps({**SETTINGS, "data": str(source.accounts), "state": "alone"}))
    with serving(config) as server:
        assert Edge(server).addresses("www.west.example", "AAAA") == ["2001:db8:f::1"]
        found = imported(server)
    assert below(found, *OF_A_FLEET, *OF_THE_API) == set()
