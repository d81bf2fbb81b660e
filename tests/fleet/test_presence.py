"""A fleet that can be seen and waited for: statuses, `?wait=fleet`, drains, /readyz, and beats, with real servers."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from dnsd.cli import main
from dnsd.fleet.access import status_subject
from dnsd.fleet.edge_status import EdgeStatus
from dnsd.fleet.root import RootFolder
from tests.beside import Beside
from tests.fleet.edges import Edge, EdgeFolder
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import NatsServer, connected, new_edge, run
from tests.fleet.test_control import MAPS, POOL, RECORDS, ControlApi, api, control_pid, root, server, wait_for
from tests.limits import HANG_S

pytestmark = needs_nats_server
__all__ = ["api", "root", "server"]  # fixtures
METRICS = re.compile(r"listening on (\S+) metrics")
EDGES = "/fleet/edges"


@pytest.fixture
def edge(root: RootFolder, server: NatsServer, tmp_path: Path) -> Iterator[Edge]:
    folder = EdgeFolder(root, tmp_path / "edge")
    more = {"default_addresses": POOL, "metrics": {"listen": "127.0.0.1:0"}, "workers": 2}
    folder.config.write_text(json.dumps(json.loads(folder.config.read_text()) | more))
    with folder.serving() as edge:
        yield edge


def readiness(server: Any) -> tuple[int, str]:
    found = METRICS.search(server.stdout.text())
    assert found
    response = httpx.get(f"http://{found[1]}/readyz", timeout=HANG_S)
    return response.status_code, response.text


def edges(api: ControlApi) -> dict[str, Any]:
    return {one["name"]: one for one in api.result("GET", EDGES)}


def until_ok(api: ControlApi, name: str = "e1") -> dict[str, Any]:
    wait_for(lambda: edges(api).get(name, {}).get("state") == "ok")
    return dict(edges(api)[name])


def test_an_edge_is_seen_with_what_it_serves(api: ControlApi, edge: Edge) -> None:
    told = until_ok(api)
    assert (told["ring"], told["label"], told["drained"], told["held_total"], told["problems"]) == (0, "", False, 0, [])
    assert told["zones"] == 3
    assert told["lag_s"] == 0
    before = told["seq"]
    api.new_map("203.0.113.7")
    wait_for(lambda: edges(api)["e1"]["seq"] > before)
    assert edge.addresses("www.example.com") == ["203.0.113.7"]
    assert [one["name"] for one in api.result("GET", f"{EDGES}?search=E1&state=ok")] == ["e1"]
    assert api.result("GET", f"{EDGES}?search=e2") == []
    assert edges(api).keys() == {"e1"}
    assert api.result("GET", f"{EDGES}?state=silent") == []
    wait_for(lambda: edges(api)["e1"]["answers_per_s"] > 0 or not edge.addresses("www.example.com"))


def test_a_change_that_waits_is_answered_by_the_edge_once_it_is_confirmed(api: ControlApi, edge: Edge) -> None:
    until_ok(api)
    for number in range(20):
        body = {"name": f"n{number}", "type": "A", "content": "192.0.2.9", "ttl": 300}
        said = api.call("POST", f"{RECORDS}?wait=fleet", body).json()
        assert (said["success"], said["messages"]) == (True, [])
        assert [edge.addresses(f"n{number}.example.com") for _ in range(4)] == [["192.0.2.9"]] * 4  # by each worker
    status, _, message = api.refused("POST", f"{RECORDS}?wait=all", {"name": "x", "type": "A", "content": "192.0.2.9"})
    assert (status, "'all' is unknown" in message) == (400, True)


class SlowEdge(Beside):
    """An edge that is healthy and never serves anything new."""

    def __init__(self, root: RootFolder, name: str) -> None:
        super().__init__()
        self._root, self._name = root, name

    def _run(self) -> None:
        run(self._tell())

    async def _tell(self) -> None:
        import asyncio

        async with connected(self._root, new_edge(self._root, self._name)) as client:
            number = 0
            while not self._stop.is_set():
                number += 1
                said = EdgeStatus(1, number, "none", 1, 1, 0.0, "0", 0, False, 1, 1.0)
                await client.connection.publish(status_subject(self._name), said.packed())
                await asyncio.sleep(0.3)


def test_a_change_that_waits_names_the_edges_that_are_late(api: ControlApi, edge: Edge, root: RootFolder) -> None:
    until_ok(api)
    with SlowEdge(root, "slow"):
        wait_for(lambda: "slow" in edges(api))
        map_id = api.new_map("203.0.113.7")
        said = api.call("PATCH", f"{MAPS}/{map_id}?wait=fleet", {"enabled": False}).json()
        assert (said["success"], said["result"]["enabled"]) == (True, False)
        assert [one["message"] for one in said["messages"]] == [
            "it is saved, but not every edge serves it yet: slow",
        ]
        assert edge.addresses("www.example.com") == sorted(POOL)
        done = command(api, "set", "e1", "--label", "Oslo", "--wait")
        assert (done.exit_code, done.stdout) == (0, "e1: ring 0, Oslo\n")
        assert done.stderr == "it is saved, but not every edge serves it yet: slow\n"
        api.result("PATCH", f"{EDGES}/slow", {"drained": True})
        body = {"name": "new", "type": "A", "content": "192.0.2.9", "ttl": 300}
        assert api.call("POST", f"{RECORDS}?wait=fleet", body).json()["messages"] == []  # drained: it is not waited for


def command(api: ControlApi, *words: str) -> Any:
    """A command of `dnsd fleet` with an operator's token."""
    return CliRunner().invoke(
        main, ["fleet", *words, "--url", api.origin, "-c", str(api.config)], env={"DNSD_API_TOKEN": api.operator}
    )


def test_a_drained_edge_answers_and_is_not_ready(api: ControlApi, edge: Edge) -> None:
    until_ok(api)
    assert readiness(edge.server) == (200, "ok\n")
    done = command(api, "drain", "e1", "--wait")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "e1: ring 0, drained\n", "")
    wait_for(lambda: readiness(edge.server)[0] == 503)
    assert readiness(edge.server)[1] == "drained: `dnsd fleet undrain` ends it\n"
    assert edge.addresses("www.example.com") == sorted(POOL)
    assert edges(api)["e1"]["state"] == "drained"
    shown = command(api, "status")
    row = shown.stdout.splitlines()[0].split("\t")
    assert (shown.exit_code, row[:2], row[4]) == (0, ["e1", "drained"], "0")
    assert json.loads(command(api, "status", "--json").stdout)[0]["drained"] is True
    assert api.result("PATCH", f"{EDGES}/e1", {"drained": False, "ring": 2, "label": "Oslo"})["ring"] == 2
    wait_for(lambda: readiness(edge.server) == (200, "ok\n"))
    entries = [one for one in api.audited() if one["action"] == "edge.edit"]
    made = [(one["object"], one["outcome"], one["before"], one["after"]) for one in entries if one["outcome"] == "ok"]
    drained = {"ring": 0, "label": "", "drained": True}
    assert made == [
        ("edges/e1", "ok", None, drained),
        ("edges/e1", "ok", drained, {"ring": 2, "label": "Oslo", "drained": False}),
    ]


def test_what_cannot_be_said_of_an_edge_is_refused(api: ControlApi, edge: Edge) -> None:
    until_ok(api)
    for body in (
        {"ring": 10},
        {"ring": True},
        {"label": "x" * 65},
        {"label": "\x1b"},
        {"drained": 1},
        {"color": "red"},
    ):
        assert api.refused("PATCH", f"{EDGES}/e1", body)[0] == 400, body
    assert api.refused("PATCH", f"{EDGES}/nobody", {"ring": 1})[0] == 404
    assert command(api, "drain", "nobody").exit_code == 1
    customer = api.token("--name", "acme", "--account", "a1" * 16)
    for method, path in (("GET", EDGES), ("PATCH", f"{EDGES}/e1")):
        assert api.refused(method, path, {"ring": 1} if method == "PATCH" else None, token=customer)[0] == 403
    assert edges(api)["e1"]["ring"] == 0


def test_a_control_is_ready_while_servers_answer(api: ControlApi, server: NatsServer) -> None:
    wait_for(lambda: readiness_of_control(api) == [])
    server.process.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: readiness_of_control(api) != [])
        assert "the fleet's servers do not answer" in readiness_of_control(api)[0]
    finally:
        server.process.send_signal(signal.SIGCONT)
    wait_for(lambda: readiness_of_control(api) == [])


def readiness_of_control(api: ControlApi) -> list[str]:
    done = CliRunner().invoke(main, ["status", "-c", str(api.config), "--json"])
    assert done.exit_code == 0, done.output
    status = json.loads(done.stdout)
    return [one for one in status["reasons"] if "the fleet's s" in one and not status["ready"]]


def test_a_paused_control_makes_no_edge_begin_anew(
    api: ControlApi, edge: Edge, root: RootFolder, tmp_path: Path
) -> None:
    with ControlApi(root, tmp_path / "second", "c2").running() as other:
        assert isinstance(other, ControlApi)
        until_ok(api)
        before, paused = edge.server.stderr.text(), control_pid(other)
        for _ in range(2):
            os.kill(paused, signal.SIGSTOP)
            map_id = api.new_map("203.0.113.7")
            edge.becomes("www.example.com", ["203.0.113.7"])
            api.result("PATCH", f"{MAPS}/{map_id}", {"enabled": False})
            time.sleep(3)  # beats of one control alone, then of both
            os.kill(paused, signal.SIGCONT)
            time.sleep(2)
        assert "warning: fleet" not in edge.server.stderr.text().removeprefix(before)
        assert until_ok(api)["problems"] == []
        wait_for(lambda: edges(other).get("e1", {}).get("state") == "ok")
