"""The server's health and metrics, and the status for `dnsd status`."""

from __future__ import annotations

import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import psutil

from dnsd import __version__
from dnsd.app import Loaded
from dnsd.control.control import Control
from dnsd.control.fleet_samples import fleet_samples
from dnsd.manage.brake import limit_of
from dnsd.manage.brake_state import BrakeState, authors_of
from dnsd.metrics import Key
from dnsd.net.listen import address_of
from dnsd.process.shared import Process, Slot
from dnsd.settings.role import Role
from dnsd.settings.sections import AuditMode

COLLECT_S = 0.5  # for workers to send their counts
MAX_LISTED = 10  # stopped changes
MAX_NAMED = 5  # maps in a message
SILENT_S = 3.0  # a worker without a heartbeat for this long counts as not answering


def unhealthy(control: Control) -> list[str]:
    """Reasons why no query is answered; empty if at least one worker answers."""
    shared = control.setup.shared
    answering = [w for w in shared.workers if shared.silence_s(w) < SILENT_S and shared.get(w, Slot.REVISION)]
    return [] if answering else [f"0 of {len(shared.workers)} workers are answering"]


def unready(control: Control) -> list[str]:
    """Reasons why the server is not ready: no worker answers, one is behind, or the last load of the files failed.

    An edge is ready while it answers and is not drained: what it cannot load or fetch is for its operator to see, not
    for those who send queries to another edge instead. A control is ready while it has what the fleet has.
    """
    reasons = unhealthy(control)
    if late := control.publisher.late(control.publisher.revision):
        reasons.append(f"the published revision is not yet served by {', '.join(late)}")
    is_edge = control.setup.settings.role is Role.EDGE
    if control.presence and control.presence.is_drained:
        reasons.append("drained: `dnsd fleet undrain` ends it")
    return [*reasons, *(control.fleet.unready() if control.fleet else ()), *(() if is_edge else _not_loaded(control))]


def _not_loaded(control: Control) -> Iterator[str]:
    """The reason why the last load of the files failed, if it did."""
    load = control.loader.last
    errors = [problem for problem in load.problems if not problem.warning]
    if not load.ok and not load.by_guard:
        what = "the last reload was refused" if control.current.loaded else "the files cannot be used"
        count = f"{len(errors)} error{'' if len(errors) == 1 else 's'}"
        yield f"{what}: {count}, the first is {errors[0]}" if errors else what


def problems_for_operator(control: Control) -> list[str]:
    """All problems for the operator, including those with which the server is still ready."""
    loaded, good = control.current.loaded, control.current.good
    why = loaded.held if loaded else {}
    accounts = [f"the account {account} is held at its last good version: {why[account][0]}" for account in why]
    copies = [f"{good.problem}; an account with an error would be held at an older version"] if good.problem else []
    return [
        *unready(control),
        *(_not_loaded(control) if control.setup.settings.role is Role.EDGE else ()),
        *control.store.problems(),
        *(control.shared.problems() if control.shared else ()),
        *evidence_problems(control),
        *_waiting(control),
        *accounts,
        *copies,
        *_stopped_changes(control),
        *_routes(control),
        *control.certificates.problems(),
    ]


def evidence_problems(control: Control) -> list[str]:
    """A problem while entries cannot be written: some changes are refused, or made without; answers do not suffer."""
    if control.audit.problem is None:
        return []
    refused = {
        AuditMode.REQUIRED: "changes with entries there are refused",
        AuditMode.DELETES: "changes with entries there are refused if they remove something, else made without",
        AuditMode.BEST_EFFORT: "changes are made without entries there",
    }
    return [f"audit log: {control.audit.problem}; {refused[control.current.settings.audit]}"]


def _stopped_changes(control: Control) -> list[str]:
    stopped = [one for one in control.due if one.stopped]
    more = [f"{len(stopped) - MAX_LISTED:,} more pending changes are stopped"] if len(stopped) > MAX_LISTED else []
    return [*(f"the pending change {one.id} is stopped: {one.stopped}" for one in stopped[:MAX_LISTED]), *more]


def _waiting(control: Control) -> Iterator[str]:
    """Files that wait for the operator's word, as the guard refused them."""
    if control.loader.last.by_guard:
        errors = [problem for problem in control.loader.last.problems if not problem.warning]
        yield f"files wait, as the guard refused the last reload: {errors[0]}"


def _routes(control: Control) -> Iterator[str]:
    """Observed withdrawals that wait, and maps that answer with addresses declared or observed withdrawn."""
    if control.observer.waiting:
        yield f"observed withdrawals wait: {control.observer.waiting}"
    maps = unadvertised_maps(control.current.loaded)
    if maps:
        named = ", ".join(maps[:MAX_NAMED]) + (f" and {len(maps) - MAX_NAMED:,} more" if len(maps) > MAX_NAMED else "")
        yield f"withdrawn addresses are answered from {named}: `dnsd check` lists them"


def unadvertised_maps(loaded: Loaded | None) -> list[str]:
    """The keys of the maps whose withdrawn addresses are answered, in order."""
    if loaded is None:
        return []
    snapshot = loaded.snapshot
    served = (*snapshot.by_zone.values(), *snapshot.by_account.values())
    return sorted({source.map for addresses in served for source in addresses.sources if source.is_unadvertised})


def brake_state(control: Control) -> BrakeState:
    """The brake's and the guard's state."""
    loaded, last, book = control.current.loaded, control.loader.last, control.brake.book
    reload = control.current.settings.reload
    limit = limit_of(len(loaded.dataset.accounts) if loaded else 0, reload.brake_limits, reload.window_s)
    authors = tuple(authors_of(book, loaded.snapshot if loaded else None, limit, time.time()))
    if not last.by_guard:
        return BrakeState(limit, authors)
    reasons = tuple(str(problem) for problem in last.problems if not problem.warning)
    return BrakeState(limit, authors, True, reasons, last.waiting)


def status(control: Control) -> dict[str, Any]:
    """The status as plain data."""
    publisher, shared, load = control.publisher, control.setup.shared, control.loader.last
    totals = _totals(publisher.counts.items())
    return {
        "version": __version__,
        "revision": publisher.revision,
        "uptime_s": round(time.monotonic() - control.started, 1),
        "listening": list(control.setup.listening),
        "http": {what: str(address_of(sock)) for what, sock in _http(control) if sock},
        "tls": control.certificates.data(),
        "state": control.setup.state.path,
        "ready": not unready(control),
        "answering": not unhealthy(control),
        "reasons": problems_for_operator(control),
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
                "process": process.name,
                "pid": running.pid,
                "revision": int(shared.get(process, Slot.REVISION)),
                "starts": int(shared.get(process, Slot.STARTS)),
                **_figures(running),
            }
            for process, running in _processes(control)
        ],
    }


def _http(control: Control) -> Iterator[tuple[str, socket.socket | None]]:
    yield "api", control.setup.api
    yield "metrics", control.setup.metrics


def metric_samples(control: Control) -> list[tuple[Key, float]]:
    """All metrics: the workers' counts and control's own."""
    return [*control.publisher.counts.items(), *_own_samples(control)]


def _own_samples(control: Control) -> Iterator[tuple[Key, float]]:
    """The metrics that control measures itself."""
    publisher, shared, load = control.publisher, control.setup.shared, control.loader.last
    yield ("dnsd_tcp_connections",), shared.connections()
    for result, count in control.loader.results.items():
        yield ("dnsd_reloads_total", result), count
    yield ("dnsd_socket_drops_total",), shared.get(shared.supervisor, Slot.SOCKET_DROPS)
    yield ("dnsd_snapshot_saved",), publisher.save_problem is None
    yield ("dnsd_revision",), publisher.revision
    yield ("dnsd_source_ok",), load.ok and not load.held
    elsewhere = control.shared.problems() if control.shared else []
    yield ("dnsd_fleet_problems",), len(control.store.problems()) + len(elsewhere)
    yield from fleet_samples(control)
    yield ("dnsd_accounts_held",), len(load.held)
    stopped = sum(bool(one.stopped) for one in control.due)
    yield ("dnsd_pending_changes", "pending"), len(control.due) - stopped
    yield ("dnsd_pending_changes", "stopped"), stopped
    yield ("dnsd_unadvertised_maps",), len(unadvertised_maps(control.current.loaded))
    yield from _brake_samples(control)
    yield from control.certificates.samples()
    yield ("dnsd_last_reload_seconds",), load.seconds
    yield ("dnsd_last_reload_timestamp_seconds",), load.at
    yield ("dnsd_worker_restarts_total",), shared.restarts()
    yield ("dnsd_workers",), len(shared.workers) - len(publisher.late(publisher.revision))
    for what, count in _sizes(control).items():
        yield (f"dnsd_{what}",), count
    yield ("dnsd_log_dropped_total",), shared.log_dropped()
    figures = {process: _figures(running) for process, running in _processes(control)}
    for process in shared.processes:
        used = figures.get(process, {})  # empty during a restart
        yield ("dnsd_process_resident_bytes", process.name), used.get("resident_bytes", 0)
        yield ("dnsd_process_cpu_seconds_total", process.name), shared.cpu_s(process, used.get("cpu_s", 0))
        yield ("dnsd_process_open_fds", process.name), used.get("open_fds", 0)
        yield ("dnsd_process_threads", process.name), used.get("threads", 0)
    yield ("dnsd_build_info", __version__), 1


def _brake_samples(control: Control) -> Iterator[tuple[Key, float]]:
    state = brake_state(control)
    yield ("dnsd_guard_refused",), state.is_refused
    yield ("dnsd_guard_waiting_names",), sum(one.names.total for one in state.waiting)
    if state.limit:
        yield ("dnsd_brake_limit",), state.limit.accounts
    for one in state.authors:
        yield ("dnsd_brake_accounts", one.key), one.accounts
    for kind, count in control.brake.refusals.items():
        yield ("dnsd_brake_refusals_total", kind), count


def _sizes(control: Control) -> dict[str, int]:
    """The number of served zones, names, records and maps; of names alone if a snapshot file is served."""
    names = {"names": len(control.publisher.snapshot.names) if control.publisher.snapshot else 0}
    if control.current.loaded is None:
        return names
    dataset = control.current.loaded.dataset
    records = sum(len(zone.records) for zone in dataset.zones.values())
    return {"zones": len(dataset.zones), **names, "records": records, "maps": len(dataset.maps)}


def _processes(control: Control) -> Iterator[tuple[Process, psutil.Process]]:
    """The running processes of the server."""
    shared = control.setup.shared
    pids = {shared.control: os.getpid(), shared.supervisor: os.getppid()}
    pids |= {shared.workers[index]: link.pid for index, link in control.publisher.links.items()}
    if shared.outbound and control.outside.pid:
        pids[shared.outbound] = control.outside.pid
    for process in shared.processes:
        if process in pids and psutil.pid_exists(pids[process]):
            try:
                yield process, psutil.Process(pids[process])
            except psutil.Error:
                continue  # it just ended


def _figures(process: psutil.Process) -> dict[str, float]:
    """A process's memory, CPU time, descriptors and threads; empty if it just ended."""
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
