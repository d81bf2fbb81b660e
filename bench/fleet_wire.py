"""Changes over the API until every edge answers by them: usually, while servers fail, and with servers far away."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from bench.client import ask
from bench.fleet_figures import (
    AFTER_AWAY,
    AFTER_LEADER,
    ASKED,
    AWAY,
    CHANGE,
    FAILED,
    OUTAGE,
    SLOW_CHANGE,
    SLOW_WIRE,
    WIRE,
    FleetStep,
)
from bench.fleet_nodes import CONTROL, HOST, FleetFailedError, FleetProcess, LoopbackFleet, api_client, result
from bench.proc import wait_until_idle
from bench.questions import ZONE, A, query
from bench.slow_link import SlowLink
from dnsd.fleet.node import FleetNode, as_control
from dnsd.fleet.stream import STREAM

MAPPED, POOL = "203.0.113.10", "198.51.100.10"
ACCOUNT_ZONES, ZONE_RECORDS = 100, 3
SETTINGS = {
    "quotas": dict.fromkeys(("zones", "records", "records_per_zone", "writes_per_minute"), 1_000_000),
    "default_addresses": [POOL],
}
WITHIN_S, PATIENCE_S = 120.0, 5.0  # for a change; for an answer
POLL_S, ASK_S, IDLE_S = 0.0005, 0.005, 120.0
WARM_UP = 3


def write_accounts(folder: Path, zones: int) -> None:
    """Accounts with small zones in YAML; the first account also has a map for its first zone."""
    for first in range(0, zones, ACCOUNT_ZONES):
        account = folder / f"a{first // ACCOUNT_ZONES}"
        (account / "zones").mkdir(parents=True)
        space = "prefixes: [{cidr: 203.0.113.0/24, approved: V}]\n" if not first else ""
        (account / "account.yaml").write_text(f"name: {account.name}\n{space}")
        for number in range(first, min(zones, first + ACCOUNT_ZONES)):
            records = "".join(
                f"- {{name: h{host}, type: A, content: 192.0.2.{host}, proxied: true}}\n"
                for host in range(ZONE_RECORDS)
            )
            (account / "zones" / f"z{number}.{ZONE}.yaml").write_text(f"records:\n{records}")
    (folder / "a0" / "maps").mkdir()
    member = f"memberships: [{{kind: zone, identifier: z0.{ZONE}}}]"
    (folder / "a0" / "maps" / "m.yaml").write_text(f"enabled: false\nips: [{MAPPED}]\n{member}\n")


def measure_zones(step: FleetStep) -> None:
    """All of a fleet with many zones. Raises FleetFailedError."""
    sizes, say = step.sizes, step.progress.say
    say(f"writing {sizes.zones:,} zones")
    write_accounts(step.folder / "accounts", sizes.zones)
    with ExitStack() as stack:
        fleet = stack.enter_context(LoopbackFleet(step.folder / "fleet", settings=SETTINGS))
        fleet.make()
        fleet.start_servers()
        say(f"importing: {fleet.fill(step.folder / 'accounts').strip()}")
        names = [f"pop-{number}" for number in range(1, sizes.edges + 1)]
        say("starting the control and the edges")
        wire = _Wire(fleet, _started(fleet, [CONTROL, *names]))
        say(f"{sizes.changes} changes")
        for took, on_wire in wire.changes(sizes.changes):
            step.note(CHANGE, took * 1000)
            step.note(WIRE, on_wire * 1000)
        _kill_leader(step, fleet, wire)
        _kill_all(step, fleet, wire)
        say(f"{sizes.slow_changes} changes with servers {2000 * sizes.delay_s:g} ms away")
        wire.stop()
        links = [stack.enter_context(SlowLink(port, sizes.delay_s)) for port in fleet.server_ports.values()]
        urls = [f"tls://{HOST}:{link.port}" for link in links]
        wire = _Wire(fleet, _started(fleet, [CONTROL, *names], urls))
        for took, on_wire in wire.changes(sizes.slow_changes):
            step.note(SLOW_CHANGE, took * 1000)
            step.note(SLOW_WIRE, on_wire * 1000)
        wire.stop()


def _started(fleet: LoopbackFleet, names: Sequence[str], urls: Sequence[str] | None = None) -> list[FleetProcess]:
    nodes = [fleet.prepare(name, urls=urls) for name in names]
    for node in nodes:
        node.start()
    for node in nodes:
        node.await_ready()
    wait_until_idle([pid for node in nodes for pid in node.pids], IDLE_S)
    return nodes


class _Wire:
    """A map that is changed over the API, and the edges that are asked for a name of its zone."""

    def __init__(self, fleet: LoopbackFleet, nodes: Sequence[FleetProcess]) -> None:
        self.nodes, self.edges = nodes, nodes[1:]
        self.query = query("h0.z0", A)
        self._client = api_client(nodes[0], fleet.token(CONTROL))
        (account,) = (one for one in result(self._client, "GET", "/accounts?name=a0") if one["name"] == "a0")
        maps = f"/accounts/{account['id']}/addressing/address_maps"
        (self._map,) = (f"{maps}/{one['id']}" for one in result(self._client, "GET", maps))
        self._is_enabled = bool(result(self._client, "GET", self._map)["enabled"])

    def changes(self, number: int) -> Iterator[tuple[float, float]]:
        """Make so many changes: the seconds until the 200, and from there to the answers of all edges."""
        for turn in range(number + WARM_UP):
            found = self.change()
            if turn >= WARM_UP:
                yield found

    def change(self) -> tuple[float, float]:
        """Make a change, and wait until every edge answers by it. Raises FleetFailedError."""
        began = time.monotonic()
        if not self.try_to_change():
            raise FleetFailedError("the control refuses a change")
        done = time.monotonic()
        return done - began, self.wait() - done

    def try_to_change(self) -> bool:
        """Whether a change was made."""
        reply = self._client.patch(self._map, json={"enabled": not self._is_enabled})
        if reply.is_success:
            self._is_enabled = not self._is_enabled
        return reply.is_success

    def wait(self) -> float:
        """The time when every edge answers by the last change. Raises FleetFailedError."""
        wanted = socket.inet_aton(MAPPED if self._is_enabled else POOL)
        deadline = time.monotonic() + WITHIN_S
        for edge in self.edges:
            port = edge.port
            while wanted not in (ask(port, self.query) or b"")[12:]:
                if time.monotonic() > deadline:
                    raise FleetFailedError(f"{edge.name} does not answer by a change within {WITHIN_S:g} s")
                time.sleep(POLL_S)
        return time.monotonic()

    def until_made(self) -> float:
        """Try until a change is made, and return the time. Raises FleetFailedError."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                if self.try_to_change():
                    return time.monotonic()
            except httpx.HTTPError as error:
                raise FleetFailedError(f"the API does not answer: {error}") from None
            if time.monotonic() > deadline:
                raise FleetFailedError(f"the API takes no change within {WITHIN_S:g} s")

    @contextmanager
    def asked(self, step: FleetStep) -> Iterator[None]:
        """Ask all edges meanwhile, and note how many queries there were, and how many failed."""
        done, numbers = threading.Event(), [0, 0]

        def ask_on(port: int) -> None:
            while not done.is_set():
                reply = ask(port, self.query, PATIENCE_S)
                numbers[0] += 1
                numbers[1] += not reply or reply[3] & 15 != 0
                time.sleep(ASK_S)

        threads = [threading.Thread(target=ask_on, args=(edge.port,)) for edge in self.edges]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join()
        step.note(ASKED, numbers[0])
        step.note(FAILED, numbers[1])

    def stop(self) -> None:
        """End control and edges."""
        self._client.close()
        for node in self.nodes:
            node.send(signal.SIGTERM)
        for node in self.nodes:
            node.await_end()


def _kill_leader(step: FleetStep, fleet: LoopbackFleet, wire: _Wire) -> None:
    leader = fleet.processes[_leader(fleet)]
    step.progress.say(f"killing the leader, {leader.name}")
    with wire.asked(step):
        began = time.monotonic()
        leader.stop(signal.SIGKILL)
        made = wire.until_made()
        step.note(OUTAGE, made - began)
        step.note(AFTER_LEADER, wire.wait() - made)
    leader.start()
    leader.await_ready()


def _kill_all(step: FleetStep, fleet: LoopbackFleet, wire: _Wire) -> None:
    step.progress.say(f"killing all servers, for {step.sizes.away_s:g} s")
    with wire.asked(step):
        for server in fleet.servers:
            server.stop(signal.SIGKILL)
        time.sleep(step.sizes.away_s)
        step.note(AWAY, step.sizes.away_s)
        for server in fleet.servers:
            server.start()
        for server in fleet.servers:
            server.await_ready()
        made = wire.until_made()
        step.note(AFTER_AWAY, wire.wait() - made)


def _leader(fleet: LoopbackFleet) -> str:
    """The name of the server that leads the stream."""

    async def look(node: FleetNode) -> str:
        found = await (await node.line.link()).ask(f"$JS.API.STREAM.INFO.{STREAM}", within_s=PATIENCE_S)
        return str(found["cluster"]["leader"])

    urls = tuple(f"tls://{HOST}:{port}" for port in fleet.server_ports.values())
    return as_control(fleet.root / "controls" / CONTROL, urls, look)
