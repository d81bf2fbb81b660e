"""What the server says of itself: health, figures, and the status that `dnsd status` shows."""

from __future__ import annotations

import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import psutil

from dnsd import __version__
from dnsd.metrics import Key
from dnsd.net.listen import address_of
from dnsd.serve.control import Control
from dnsd.serve.shared import Slot

COLLECT_S = 0.5  # how long workers may take to send what they have counted
SILENT_S = 3.0  # a worker that has given no sign of life for so long is not counted on


def unhealthy(control: Control) -> list[str]:
    """Why DNS cannot answer; empty where it can: one worker is enough."""
    shared = control.setup.shared
    answering = [w for w in shared.workers if shared.silence_s(w) < SILENT_S and shared.get(w, Slot.REVISION)]
    return [] if answering else [f"none of {len(shared.workers)} workers answers"]


def unready(control: Control) -> list[str]:
    """Why the server is not to be relied on: a worker is behind, or nothing of what the files say is served."""
    reasons, load = unhealthy(control), control.loader.last
    if late := control.publisher.late(control.publisher.revision):
        reasons.append(f"the published revision is not served by {', '.join(late)}")
    errors = [problem for problem in load.problems if not problem.warning]
    if not load.ok:
        what = "the last reload was refused" if control.loader.loaded else "the source cannot be read"
        count = f"{len(errors)} error{'' if len(errors) == 1 else 's'}"
        reasons.append(f"{what}: {count}, the first is {errors[0]}" if errors else what)
    return reasons


def worries(control: Control) -> list[str]:
    """All that the server does not do as it should, for people: what is no reason to take it from clients too."""
    loaded, good = control.loader.loaded, control.loader.good
    why = loaded.held if loaded else {}
    accounts = [f"the account {account} is held at its last good version: {why[account][0]}" for account in why]
    copies = [f"{good.problem}; accounts would be held at an older version"] if good.problem else []
    return [*unready(control), *accounts, *copies]


def status(control: Control) -> dict[str, Any]:
    """All of it as plain data."""
    publisher, shared, load = control.publisher, control.setup.shared, control.loader.last
    totals = _totals(publisher.counts.items())
    return {
        "version": __version__,
        "revision": publisher.revision,
        "uptime_s": round(time.monotonic() - control.started, 1),
        "listening": list(control.setup.listening),
        "http": {what: str(address_of(sock)) for what, sock in _http(control) if sock},
        "state": str(control.setup.state.folder),
        "ready": not unready(control),
        "answering": not unhealthy(control),
        "reasons": worries(control),
        "snapshot_problem": publisher.save_problem,
        "held": list(load.held),
        "source": {
            "ok": load.ok and not load.held,
            "loaded_at": round(load.at, 3),
            "seconds": round(load.seconds, 4),
            "problems": [str(problem) for problem in load.problems],
        },
        "data": _sizes(control),
        "traffic": {
            "requests": totals["dnsd_requests_total"],
            "responses": totals["dnsd_responses_total"],
            "dropped": totals["dnsd_dropped_total"],
            "tcp_connections": shared.connections(),
        },
        "processes": [
            {
                "process": name,
                "pid": process.pid,
                "revision": int(shared.get(one, Slot.REVISION)),
                "starts": int(shared.get(one, Slot.STARTS)),
                **_figures(process),
            }
            for one, name, process in _processes(control)
        ],
    }


def _http(control: Control) -> Iterator[tuple[str, socket.socket | None]]:
    yield "api", control.setup.api
    yield "metrics", control.setup.metrics


def metric_samples(control: Control) -> list[tuple[Key, float]]:
    """Everything that is counted and measured."""
    return [*control.publisher.counts.items(), *_own_samples(control)]


def _own_samples(control: Control) -> Iterator[tuple[Key, float]]:
    """What control knows itself."""
    publisher, shared, load = control.publisher, control.setup.shared, control.loader.last
    yield ("dnsd_tcp_connections",), shared.connections()
    for result, count in control.loader.results.items():
        yield ("dnsd_reloads_total", result), count
    yield ("dnsd_socket_drops_total",), shared.get(shared.supervisor, Slot.SOCKET_DROPS)
    yield ("dnsd_snapshot_saved",), publisher.save_problem is None
    yield ("dnsd_revision",), publisher.revision
    yield ("dnsd_source_ok",), load.ok and not load.held
    yield ("dnsd_accounts_held",), len(load.held)
    yield ("dnsd_last_reload_seconds",), load.seconds
    yield ("dnsd_last_reload_timestamp_seconds",), load.at
    yield ("dnsd_worker_restarts_total",), shared.restarts()
    yield ("dnsd_workers",), len(shared.workers) - len(publisher.late(publisher.revision))
    for what, count in _sizes(control).items():
        yield (f"dnsd_{what}",), count
    yield ("dnsd_log_dropped_total",), shared.log_dropped()
    figures = {one: _figures(process) for one, _, process in _processes(control)}
    for one in shared.processes:
        taken = figures.get(one, {})  # nothing, while another is started in its place
        yield ("dnsd_process_resident_bytes", one.name), taken.get("resident_bytes", 0)
        yield ("dnsd_process_cpu_seconds_total", one.name), shared.cpu_s(one, taken.get("cpu_s", 0))
        yield ("dnsd_process_open_fds", one.name), taken.get("open_fds", 0)
        yield ("dnsd_process_threads", one.name), taken.get("threads", 0)
    yield ("dnsd_build_info", __version__), 1


def _sizes(control: Control) -> dict[str, int]:
    """How much is served, as far as it is known: a snapshot file tells of names alone."""
    names = {"names": len(control.publisher.snapshot.names) if control.publisher.snapshot else 0}
    if control.loader.loaded is None:
        return names
    dataset = control.loader.loaded.dataset
    records = sum(len(zone.records) for zone in dataset.zones.values())
    return {"zones": len(dataset.zones), **names, "records": records, "maps": len(dataset.maps)}


def _processes(control: Control) -> Iterator[tuple[Any, str, psutil.Process]]:
    shared = control.setup.shared
    pids = {shared.control: os.getpid(), shared.supervisor: os.getppid()}
    pids |= {shared.workers[index]: link.pid for index, link in control.publisher.links.items()}
    for one in shared.processes:
        if one in pids and psutil.pid_exists(pids[one]):
            try:
                yield one, one.name, psutil.Process(pids[one])
            except psutil.Error:
                continue  # it has just ended


def _figures(process: psutil.Process) -> dict[str, float]:
    """What a process takes; nothing where it has just ended."""
    try:
        with process.oneshot():
            times = process.cpu_times()
            return {
                "resident_bytes": process.memory_info().rss,
                "cpu_s": round(times.user + times.system, 2),
                "open_fds": process.num_fds(),
                "threads": process.num_threads(),
            }
    except psutil.Error:
        return {}


def _totals(counts: Iterable[tuple[Key, float]]) -> defaultdict[str, int]:
    totals: defaultdict[str, int] = defaultdict(int)
    for (name, *_), value in counts:
        totals[name] += int(value)
    return totals
