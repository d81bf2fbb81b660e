"""A million distinct names on an edge and on a standalone server: starts, memory, and what one record costs."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench.client import ask
from bench.distinct_worlds import distinct_zone
from bench.fleet_figures import (
    AGAIN,
    ALONE,
    ALONE_AGAIN,
    ALONE_MEMORY,
    FRESH,
    MEMORY,
    OCTETS,
    RECORD,
    RECORD_WIRE,
    FleetStep,
)
from bench.fleet_nodes import (
    CONTROL,
    HOST,
    START_S,
    FleetFailedError,
    FleetProcess,
    LoopbackFleet,
    api_client,
    free_port,
    result,
)
from bench.proc import memory_of, wait_until_idle
from bench.questions import ZONE, A, query
from bench.slow_link import SlowLink

QUOTAS = {"quotas": dict.fromkeys(("zones", "records", "records_per_zone", "writes_per_minute"), 100_000_000)}
EDGE = "pop-1"
TRIES = 5
WITHIN_S, IDLE_S, SETTLE_S, POLL_S = 120.0, 120.0, 0.3, 0.0005


def measure_names(step: FleetStep) -> None:
    """All of a standalone server, then of a fleet with the same zone. Raises FleetFailedError."""
    names, say = step.sizes.names, step.progress.say
    say(f"writing {names:,} names")
    accounts = step.folder / "accounts"
    _write_zone(accounts / "acme", names)
    probe = query(f"h{names - 1}", A)
    say("a standalone server")
    with LoopbackFleet(step.folder / "fleet", settings=QUOTAS) as fleet, ExitStack() as stack:
        alone = _standalone(fleet, accounts)
        step.note(ALONE, _seconds(alone, probe))
        step.note(ALONE_MEMORY, _memory(alone))
        alone.stop()
        step.note(ALONE_AGAIN, _seconds(alone, probe))
        alone.stop()
        fleet.make()
        fleet.start_servers()
        say(f"importing: {fleet.fill(accounts).strip()}")
        control = fleet.prepare(CONTROL)
        control.start()
        control.await_ready()
        wait_until_idle(control.pids, IDLE_S)
        links = [stack.enter_context(SlowLink(port)) for port in fleet.server_ports.values()]
        edge = fleet.prepare(EDGE, _at_port(), urls=[f"tls://{HOST}:{link.port}" for link in links])
        say("a fresh edge, and the same with its copy")
        step.note(FRESH, _seconds(edge, probe))
        step.note(MEMORY, _memory(edge))
        edge.stop()
        step.note(AGAIN, _seconds(edge, probe))
        wait_until_idle(edge.pids, IDLE_S)
        say(f"{TRIES} changes of one record")
        _change_records(step, fleet, edge, links)


def _write_zone(account: Path, names: int) -> None:
    (account / "zones").mkdir(parents=True)
    (account / "account.yaml").write_text("name: Acme\n")
    with (account / "zones" / f"{ZONE}.zone").open("w") as out:
        out.writelines(distinct_zone(names))


def _at_port() -> dict[str, object]:
    return {"listen": [f"{HOST}:{free_port()}"]}


def _standalone(fleet: LoopbackFleet, accounts: Path) -> FleetProcess:
    folder = fleet.folder / "alone"
    folder.mkdir()
    (folder / "dnsd.yaml").write_text(json.dumps({**fleet.settings, **_at_port(), "data": str(accounts)}))
    command = [sys.executable, "-m", "dnsd", "serve", "-c", folder / "dnsd.yaml"]
    fleet.processes["alone"] = FleetProcess("alone", folder, command, lambda said: "ready" in said.split("\n"))
    return fleet.processes["alone"]


def _seconds(process: FleetProcess, probe: bytes) -> float:
    """Start a server; the seconds until all of its workers answer. Raises FleetFailedError."""
    settings = json.loads((process.folder / "dnsd.yaml").read_text())
    port = int(settings["listen"][0].rpartition(":")[2])
    began = time.monotonic()
    process.start()
    while time.monotonic() - began < START_S and process.is_running:
        reply = ask(port, probe, 0.02)
        if reply and not reply[3] & 15 and "ready" in process.said().split("\n"):
            return time.monotonic() - began
        time.sleep(0.002)
    raise FleetFailedError(f"{process.name} does not answer: {' / '.join(process.said().splitlines()[-3:])}")


def _memory(process: FleetProcess) -> float:
    """The memory of all of a server's processes once it is idle, in MiB."""
    wait_until_idle(process.pids, IDLE_S)
    return memory_of(process.pids) / 2**20


def _change_records(step: FleetStep, fleet: LoopbackFleet, edge: FleetProcess, links: list[SlowLink]) -> None:
    """Change a record several times; the octets are all that the edge's connection brings, as TLS has them."""
    label = f"h{step.sizes.names // 2}"
    probe = query(label, A)
    with api_client(fleet.processes[CONTROL], fleet.token(CONTROL)) as client:
        (zone,) = (one for one in result(client, "GET", "/zones") if one["name"] == ZONE)
        records = f"/zones/{zone['id']}/dns_records"
        (record,) = result(client, "GET", f"{records}?name={label}.{ZONE}")
        for turn in range(1, TRIES + 1):
            wait_until_idle([*edge.pids, *fleet.processes[CONTROL].pids], IDLE_S)
            before, began = sum(link.received for link in links), time.monotonic()
            result(client, "PATCH", f"{records}/{record['id']}", {"content": f"198.51.100.{turn}"})
            done = time.monotonic()
            answered = _answered(edge, probe, bytes((198, 51, 100, turn)))
            step.note(RECORD, (answered - began) * 1000)
            step.note(RECORD_WIRE, (answered - done) * 1000)
            time.sleep(SETTLE_S)  # for what comes after the change, as a heartbeat
            step.note(OCTETS, sum(link.received for link in links) - before)


def _answered(edge: FleetProcess, probe: bytes, wanted: bytes) -> float:
    """The time when an edge answers with an address. Raises FleetFailedError."""
    deadline = time.monotonic() + WITHIN_S
    port = edge.port
    while wanted not in (ask(port, probe) or b"")[12:]:
        if time.monotonic() > deadline:
            raise FleetFailedError(f"{edge.name} does not answer by a change within {WITHIN_S:g} s")
        time.sleep(POLL_S)
    return time.monotonic()
