"""Faults of the machine and of the server's processes: R5 to R11 and R15 of reliability.md."""

from __future__ import annotations

import ast
import contextlib
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psutil
import pytest

from dnsd.net.udp import BATCH_SIZE
from dnsd.process.snapshot_log import load_snapshot
from tests.beside import Beside
from tests.limits import HANG_S, IS_LONG, judged
from tests.live.server import PROJECT, REPLY_TIMEOUT_S, receive_exactly
from tests.packets import answers, opt, query
from tests.soak.editions import (
    DNS,
    DNS_ANSWER,
    MAP,
    ZONE,
    edition_world,
    map_text,
    questions,
    serves_map,
    serves_zone,
    wait_for_edition,
    wait_for_line,
    zone_of,
)
from tests.soak.flow import Flow, Scrapes, on_core, reload_now
from tests.soak.harness import Dnsperf, Soaked, frames, growth_percent, parse_perf, wait_until

Figures = Callable[..., None]
Scale = Callable[[Any, Any], Any]

MAX_DEATHS = 30  # of one worker; as many would need a machine that starts none within a second


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[Soaked]:
    with Soaked(tmp_path, edition_world()) as running:
        yield running


def has_answer(server: Soaked, timeout_s: float = REPLY_TIMEOUT_S) -> bool:
    try:
        return answers(server.udp(DNS, timeout_s)) == DNS_ANSWER
    except OSError:  # silence, for example
        return False


def pids(server: Soaked) -> dict[str, int]:
    """The processes' ids by name; empty while control is away."""
    try:
        return server.pids()
    except OSError:
        return {}


# R5

OVERLOAD = 3  # times the peak
LEAST_SENT, LEAST_SHARE = (2, 0.8) if IS_LONG else (1.2, 0.3)  # of the peak
ROUNDS = 4  # another program may spoil one
COOKIE = query("www.example.com", after=opt(options=bytes.fromhex("000a 0008 0102030405060708")))


@dataclass(frozen=True)
class Round:
    """Queries per second: the peak, then those sent and answered under overload."""

    peak: float
    sent: float
    answered: float

    @property
    def share(self) -> float:
        return self.answered / self.peak


def test_three_times_more_load_than_can_be_served(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    """One worker on its own core, the clients on another: else the overload would starve the server.

    The queries have a cookie, like resolvers' queries.
    """
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    with on_core(0):
        server = Soaked(tmp_path, edition_world(workers=1), is_forked=False)
        server.__enter__()
    with contextlib.closing(Closing(server)), on_core(1):
        usual_s = probe_s(server)
        back_s = max(2 * usual_s, 0.005) if IS_LONG else LOST_S
        held, rounds = Held(server), list[Round]()
        with Scrapes(server) as scrapes, held:
            while len(rounds) < scale(1, ROUNDS) or (len(rounds) < ROUNDS and not any(map(is_telling, rounds))):
                rounds.append(overload(server, scale(2, 15)))
                recovered_s = wait_until(lambda: probe_s(server, 3) < back_s, timeout_s=judged(10))
        best = max(rounds, key=lambda one: (is_telling(one), one.share))
        drops, growth = server.metric("dnsd_socket_drops_total"), growth_percent(held.before, held.most)
        figures(
            "R5",
            "three times the peak",
            peak_qps=round(best.peak),
            sent_qps=round(best.sent),
            answered_qps=round(best.answered),
            share_of_peak_percent=round(100 * best.share),
            dropped_by_the_kernel=int(drops),
            memory_growth_percent=growth,
            back_within_s=recovered_s,
        )
        figures("R14", "metrics under overload", reads=scrapes.count, slowest_ms=round(1000 * scrapes.slowest_s))
        assert is_telling(best)
        assert drops > 0
        assert growth < 20
        assert recovered_s <= judged(2.0)
        scrapes.check()


def is_telling(one: Round) -> bool:
    """Whether the load was as high as planned, or as the client's core allowed, and was answered."""
    return one.sent >= LEAST_SENT * one.peak and one.share >= LEAST_SHARE


class Closing:
    """Ends a server started outside of a `with` block."""

    def __init__(self, server: Soaked) -> None:
        self._server = server

    def close(self) -> None:
        self._server.stop()


def overload(server: Soaked, seconds: int) -> Round:
    peak = peak_qps(server)
    before = server.metric("dnsd_responses_total")
    command = [sys.executable, "-m", "tests.soak.flooder", server.host, str(server.port)]
    command += [str(OVERLOAD * peak), str(seconds), COOKIE.hex()]
    started = time.monotonic()
    sent = int(subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, text=True).stdout)
    answered = server.metric("dnsd_responses_total") - before
    return Round(peak, sent / seconds, answered / min(seconds + 0.2, time.monotonic() - started))


def peak_qps(server: Soaked) -> float:
    """The peak rate by dnsperf, with the same query."""
    binary = shutil.which("dnsperf")
    if binary is None:
        pytest.skip("not installed: dnsperf (apt-get install dnsperf)")
    file = server.folder / "questions"
    file.write_text("www.example.com A\n")
    command = [binary, "-s", server.host, "-p", str(server.port), "-d", str(file), "-l", "2", "-c", "16", "-q", "200"]
    command += ["-e", "-E", "10:0102030405060708"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return parse_perf(done.stdout).qps


LOST_S = 0.25


def probe_s(server: Soaked, count: int = 20) -> float:
    """The median time from a query to its reply; a lost one counts as LOST_S, which bounds the time to measure."""
    return statistics.median(timed(server) for _ in range(count))


def timed(server: Soaked) -> float:
    started = time.monotonic()
    with contextlib.suppress(TimeoutError):
        server.udp(query("www.example.com"), timeout_s=LOST_S)
    return time.monotonic() - started


class Held(Beside):
    """The peak memory of each process within the context."""

    def __init__(self, server: Soaked) -> None:
        super().__init__()
        self._processes = {name: psutil.Process(pid) for name, pid in server.pids().items()}
        self.before = self._now()
        self.most = dict(self.before)

    def _now(self) -> dict[str, int]:
        return {name: process.memory_info().rss // 1024 for name, process in self._processes.items()}

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            for name, kib in self._now().items():
                self.most[name] = max(self.most[name], kib)


# R7


def test_missing_source_stops_no_answer(server: Soaked, figures: Figures) -> None:
    (server.folder / "accounts").rename(server.folder / "away")
    wait_for_line(server, "reload refused")
    assert has_answer(server)
    assert server.healthy()
    assert "there is no folder" in server.get("/readyz")[1]
    (server.folder / "away").rename(server.folder / "accounts")
    server.write(MAP, map_text(1))
    fixed_s = wait_for_edition(server, map=1)
    assert server.ready()
    figures("R7", "data folder gone", served_after_fix_s=fixed_s)
    assert fixed_s <= judged(2.0)


def test_answers_continue_without_control(server: Soaked, scale: Scale, figures: Figures) -> None:
    before = server.pids()
    with Flow(server, questions()) as flow:
        os.kill(before["control"], signal.SIGKILL)
        away_s = wait_until(lambda: pids(server).get("control", before["control"]) != before["control"])
        assert server.healthy()
        wait_until(server.ready, lambda: server.get("/readyz")[1])
        server.write(MAP, map_text(1))
        wait_for_edition(server, map=1)
        stopped = server.pids()["control"]
        os.kill(stopped, signal.SIGSTOP)
        time.sleep(scale(1.0, 15.0))  # the supervisor's patience is 10 s
        assert has_answer(server)
        with contextlib.suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGCONT)
        server.write(MAP, map_text(2))
        wait_for_edition(server, map=2)
    figures("R7", "control killed, then stopped", away_s=away_s, queries=flow.answered, lost=flow.lost)
    flow.check()
    after = server.pids()
    assert {name: pid for name, pid in after.items() if name != "control"} == {
        name: pid for name, pid in before.items() if name != "control"
    }


def test_start_without_source_serves_the_snapshot(tmp_path: pathlib.Path, figures: Figures) -> None:
    with Soaked(tmp_path, edition_world()) as first:
        first.write(MAP, map_text(3))
        wait_for_edition(first, map=3)
    accounts, away = tmp_path / "accounts", tmp_path / "away"
    world = Restarted(tmp_path)
    zone, good, settings = tmp_path / ZONE, tmp_path / "state" / "good", tmp_path / "dnsd.yaml"
    for spoil, mend in (
        (lambda: accounts.rename(away), lambda: away.rename(accounts)),
        # Without the last good texts, no account can be held at them.
        (lambda: (zone.write_text("@ 300 SO"), shutil.rmtree(good)), lambda: zone.write_text(zone_of(0))),
        (
            lambda: (zone.write_text("@ 300 SO"), settings.write_text(settings.read_text() + "on_error: refuse\n")),
            lambda: zone.write_text(zone_of(0)),
        ),
    ):
        spoil()
        started = time.monotonic()
        with world as server:
            ready_s = time.monotonic() - started
            assert serves_map(server, 3)
            assert serves_zone(server, 0)
            assert server.healthy()
            status, reasons = server.get("/readyz")
            assert (status, "the files cannot be used" in reasons) == (503, True)
            assert server.metric("dnsd_source_ok") == 0
            wait_for_line(server, r"the snapshot of \d+ s ago")
            mend()
            fixed_s = wait_until(server.ready, server.stderr.text)
            assert serves_map(server, 3)
            server.write(MAP, map_text(3))
        figures("R7", "start without the source", ready_s=ready_s, served_after_fix_s=fixed_s)
        assert ready_s <= judged(5.0)
        assert fixed_s <= judged(2.0)


class Restarted(Soaked):
    """A server with an existing configuration."""

    def __init__(self, folder: pathlib.Path, **options: Any) -> None:
        self.folder = folder
        self.config = folder / "dnsd.yaml"
        self._baseline = {}
        super(Soaked, self).__init__(self.config, **options)


# R8

STATE = [
    "blocks",
    "first_seen",
    "good",
    "lock",
    "observed",
    "snapshot",
    "snapshot.model",
]  # the state folder's content, without half-written files


def content(state: pathlib.Path) -> list[str]:
    """The names in a state folder, without the file that fills the disk."""
    return sorted(path.name for path in state.iterdir() if path.name != "fill")


def whole_snapshot(file: pathlib.Path) -> int:
    """The revision of a snapshot file, checked to be complete."""
    title, steps = load_snapshot(file)
    snapshot = [step for step in steps if step][-1]
    assert len(snapshot.names) == title.names
    assert snapshot.revision == title.revision
    return title.revision


def large_zone(edition: int, names: int) -> str:
    return zone_of(edition) + "".join(f"n{number} 300 A 192.0.2.{edition}\n" for number in range(names))


@pytest.mark.parametrize("how", ["file size limit", "full disk"])
def test_full_disk_keeps_a_whole_version(tmp_path: pathlib.Path, figures: Figures, how: str) -> None:
    state = tmp_path / "state"
    with room(state, how) as (fill, free), Soaked(tmp_path, edition_world(state=str(state))) as server:
        saved = wait_for_save(state, 1)
        wait_until(lambda: content(state) == STATE)  # the rest is written after the first answers
        fill(server)
        server.write(ZONE, large_zone(1, 2_000))  # too large to be sent as a change: workers would load the file
        wait_for_line(
            server, r"snapshot cannot be written: .*; a start with unusable files would serve an older revision"
        )
        wait_until(lambda: serves_zone(server, 1), timeout_s=judged(2.0))  # workers are sent the whole snapshot
        assert server.healthy()
        assert whole_snapshot(state / "snapshot") == saved
        assert content(state) == STATE
        worker = server.pids()["worker-0"]
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: pids(server).get("worker-0", worker) != worker, server.stderr.text)
        wait_until(server.ready, lambda: server.get("/readyz")[1])
        assert all(serves_zone(server, 1) for _ in range(50))
        free(server)
        server.write(ZONE, large_zone(2, 2_000))
        latest = wait_for_save(state, saved + 2)
    figures("R8", how, revision_kept=saved, revision_after_room=latest)


def wait_for_save(state: pathlib.Path, revision: int) -> int:
    wait_until(lambda: (state / "snapshot").exists() and whole_snapshot(state / "snapshot") >= revision)
    return whole_snapshot(state / "snapshot")


Act = Callable[[Soaked], None]


@contextlib.contextmanager
def room(state: pathlib.Path, how: str) -> Iterator[tuple[Act, Act]]:
    """A state folder whose disk can be filled and freed again."""
    state.mkdir()
    if how == "file size limit":
        yield limit_file_size, unlimit_file_size
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "dnsd-test", str(state)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode().strip()}")
    try:
        yield lambda server: fill_up(state / "fill"), lambda server: (state / "fill").unlink()
    finally:
        subprocess.run(["umount", str(state)], check=True)


def limit_file_size(server: Soaked) -> None:
    resource.prlimit(server.pids()["control"], resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))


def unlimit_file_size(server: Soaked) -> None:
    unlimited = resource.RLIM_INFINITY
    resource.prlimit(server.pids()["control"], resource.RLIMIT_FSIZE, (unlimited, unlimited))


def fill_up(file: pathlib.Path) -> None:
    with contextlib.suppress(OSError), open(file, "wb", buffering=0) as out:
        while out.write(bytes(4096)):
            pass


def test_kill_during_a_save_leaves_a_whole_version(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    """Control is killed while it writes, or at any moment of a reload; then the server starts with unusable files."""
    kills, rng = scale(3, 60), random.Random(8)
    names = scale(5_000, 30_000)  # so many changes go to a file of their own, not to the log
    state = tmp_path / "state"
    parts = edition = 0
    with Soaked(tmp_path, edition_world(reload={"watch": False})) as server:
        server.write(ZONE, large_zone(0, names))
        reload_s = reload_now(server)["seconds"]
        while edition < kills or (not parts and edition < 10 * kills):  # a busy machine may miss the moment
            edition += 1
            time.sleep(1.05)  # a process that ends earlier is restarted with growing delays
            server.write(ZONE, large_zone(edition, names))
            control = pids(server)["control"]
            server.process.send_signal(signal.SIGHUP)
            if edition % 2:
                wait_for_file(state / "snapshot.new", state / "snapshot")
            else:
                time.sleep(rng.uniform(0.3, 1.3) * reload_s)
            os.kill(control, signal.SIGKILL)
            parts += (state / "snapshot.new").exists()
            whole_snapshot(state / "snapshot")
            assert has_answer(server)
            wait_for_edition(server, zone=edition)
            wait_until(lambda: bool(pids(server)), server.stderr.text)
    revision = whole_snapshot(state / "snapshot")
    (tmp_path / "accounts").rename(tmp_path / "away")
    with Restarted(tmp_path) as server:
        assert serves_zone(server, edition)
    figures("R8", "kill -9 during a save", kills=edition, half_written_files=parts, revision=revision)
    assert parts > 0


def wait_for_file(file: pathlib.Path, successor: pathlib.Path) -> None:
    """Return as soon as the file exists."""
    deadline = time.monotonic() + HANG_S
    before = successor.stat().st_ino
    while not file.exists() and successor.stat().st_ino == before:
        assert time.monotonic() < deadline, f"{file} does not exist"


def test_start_right_after_the_server_was_killed(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    """The ports and the state folder of a killed server are free at once."""
    port, kills = free_port(), scale(2, 40)
    slowest_s = 0.0
    world = edition_world(listen=[f"127.0.0.1:{port}"], reload={"watch": False})
    for _ in range(kills):
        with Soaked(tmp_path, world) as server:
            os.kill(server.process.pid, signal.SIGKILL)
            started = time.monotonic()
            with Restarted(tmp_path) as second:
                slowest_s = max(slowest_s, time.monotonic() - started)
                assert has_answer(second)
                assert "state: " not in second.stderr.text()
    figures("R8", "kill -9 of the whole server", kills=kills, slowest_start_s=slowest_s)
    assert slowest_s <= judged(5.0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# R9

# The places that read the time of day, and why it may jump there.
WALL_CLOCKS = {
    "log.py": "time of a log line, for people",
    "worker/answering.py": "DNS cookies carry a time read by other servers (RFC 9018 §4.3)",
    "control/publish.py": "time of saving a snapshot, for people",
    "control/loading.py": "time of a load and age of a snapshot, for people and metrics",
    "store/folder.py": "compared with the times of files, which use that clock",
    "store/block_store.py": "compared with the times of files, which use that clock",
    "app.py": "compared with the times of files, which use that clock",
    "control/alarms.py": "time of holding an account, in the audit log",
    "control/service.py": "time of a change: in files, the audit log and the API's answers",
    "manage/history.py": "time of viewing a version, for people",
    "api/access.py": "tokens expire at a time of day",
    "api/zones.py": "time of a zone's export, for people",
    "dashboard/records.py": "time of a zone's export, for people",
    "dashboard/app.py": "sessions begin and end at a time of day",
    "fleet/shared_sessions.py": "sessions end at a time of day",
    "fleet/shared_brake.py": "windows outlive restarts, and so end at a time of day",
    "api/analytics.py": "reports are for times of day",
    "api/drains.py": "time left until caches have forgotten, over restarts",
    "api/loa.py": "time of an upload, for people",
    "api/tokens.py": "tokens are made and expire at a time of day",
    "cli/brake.py": "a release ends at a time of day",
    "cli/observed.py": "observations expire at a time of day",
    "control/brake.py": "windows outlive restarts, and so end at a time of day",
    "control/draining.py": "drains outlive restarts, and so end at a time of day",
    "control/guarded.py": "windows outlive restarts, and so end at a time of day",
    "control/kept_routes.py": "observations expire at a time of day",
    "control/observer.py": "observations expire at a time of day",
    "control/sampling.py": "samples of traffic outlive restarts, and so have a time of day",
    "control/scheduler.py": "changes are due at a time of day",
    "control/status.py": "time left of windows that outlive restarts",
    "dashboard/maps.py": "time left until caches have forgotten, over restarts",
    "dashboard/route_actions.py": "observations expire at a time of day",
    "dashboard/tokens.py": "tokens are made and expire at a time of day",
    "dashboard/visit.py": "changes are scheduled for a time of day",
    "cli/tokens.py": "tokens are made and expire at a time of day",
    "cli/check.py": "certificates expire at a time of day",
    "cli/connection.py": "tokens are made and expire at a time of day",
    "control/audit_upkeep.py": "entries are kept for days",
    "control/certificates.py": "certificates expire at a time of day",
    "control/change_request.py": "time of a change, in the audit log",
    "control/edge_changes.py": "time of a change, in the audit log",
    "control/verifier.py": "time of a change by the server itself",
    "manage/audit.py": "time of a loss of entries, for people",
    "source.py": "compared with the times of files, which use that clock",
    "cli/fleet.py": "certificates begin and expire at a time of day",
    "fleet/store.py": "compared with the times of files, which use that clock",
    "fleet/ask_service.py": "papers begin and end at a time of day",
    "fleet/join.py": "papers begin and end at a time of day",
    "fleet/join_service.py": "papers begin and end at a time of day",
    "fleet/renewal.py": "papers end at a time of day",
    "fleet/edge_list.py": "an edge leaves at a time of day",
    "fleet/edge_presence.py": "tells the news of a process from those of one before it",
    "fleet/import_judge.py": "as a reload, it is judged at a time of day",
    "fleet/node.py": "papers end at a time of day",
    "fleet/op_journal.py": "servers know a change for a day, also over restarts",
    "fleet/follower.py": "an absence outlives restarts, and the servers keep marks of deletions for days",
    "fleet/writer.py": "time of a commit, for people",
}
OF_THE_DAY = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}


def test_time_of_day_is_read_only_where_necessary() -> None:
    package = PROJECT / "dnsd"
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and ast.unparse(node).removeprefix("datetime.datetime.") in OF_THE_DAY)
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "time"
            and {n.name for n in node.names} & {"time", "time_ns"}
        )
    }
    assert found == set(WALL_CLOCKS)


PAUSE_S = 11.0  # longer than HANG_S, after which a process is killed


def test_paused_machine_kills_no_process(server: Soaked, scale: Scale, figures: Figures) -> None:
    """As under `docker pause`: no process had a heartbeat, but all are healthy."""
    if scale(True, False):
        pytest.skip("takes too long: DNSD_SOAK=long")
    before = server.pids()
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in (before["supervisor"], *before.values()):
            os.kill(pid, number)
        time.sleep(PAUSE_S if number is signal.SIGSTOP else 2.0)
    after = server.pids()
    figures(
        "R9",
        "a pause of the whole machine",
        pause_s=PAUSE_S,
        processes_killed=len(set(before.values()) - set(after.values())),
    )
    assert after == before, server.stderr.text()
    assert has_answer(server)


# R10

RESTART_S = 0.3
ASKED = ["www.example.com A", "multi.example.net A", "none.example.com A"]


def test_killed_workers_lose_almost_nothing(server: Soaked, scale: Scale, figures: Figures) -> None:
    """A client of a killed worker waits for its successor: the longest wait is the restart."""
    kills, rate = scale(3, 60), scale(3_000, 5_000)
    with Scrapes(server) as scrapes:
        perf = Dnsperf(server, ASKED, 2 * kills + 1, max_qps=rate, outstanding=5_000, clients=16)
        with Flow(server, questions(), sockets=8, window=1) as flow:
            for number in range(kills):
                time.sleep(2)
                name = f"worker-{number % 2}"
                os.kill(server.pids()[name], signal.SIGKILL)
        open_loop = perf.result()
    queries, lost = flow.answered + flow.lost + open_loop.sent, flow.lost + open_loop.lost
    figures(
        "R10",
        "a worker killed every 2 s",
        kills=kills,
        queries=queries,
        lost=lost,
        lost_percent=100 * lost / queries,
        restart_ms=round(1000 * flow.slowest_s),
    )
    figures("R14", "metrics while workers die", reads=scrapes.count, slowest_ms=round(1000 * scrapes.slowest_s))
    assert not flow.wrong, flow.wrong
    assert lost <= max(0.0005 * queries, 0 if IS_LONG else kills * BATCH_SIZE)
    assert flow.slowest_s <= judged(RESTART_S)
    assert server.metric("dnsd_worker_restarts_total") == kills
    scrapes.check()


def test_worker_that_dies_at_each_start_is_restarted_with_growing_delays(
    server: Soaked, scale: Scale, figures: Figures
) -> None:
    """It is killed as soon as it runs; the other worker answers. A worker that ran for a second has not failed."""
    least = scale(0.8, 5.0)  # seconds
    seen, supervisor = server.stderr.count(), psutil.Process(server.process.pid)
    survivor = server.pids()["worker-1"]
    known = {child.pid for child in supervisor.children()} - {server.pids()["worker-0"]}
    delays: list[float] = []
    while not delays or delays[-1] < least:
        wait_until(lambda: bool(new_children(supervisor, known)), server.stderr.text)
        new_children(supervisor, known)[0].kill()
        wait_for_line(server, rf"(?s)(worker-0 ended.*){{{len(delays) + 1}}}", seen)
        ended = re.findall(r"worker-0 ended .*?(?:at once|in ([\d.]+) s)", server.stderr.since(seen))
        delays = [float(text or 0) for text in ended]
        assert len(delays) <= MAX_DEATHS
    wait_until(lambda: pids(server).keys() >= {"worker-0", "worker-1"}, server.stderr.text)
    figures("R10", "a worker that dies at its start", delays_s=" ".join(f"{one:g}" for one in delays))
    for before, after in pairwise(delays):
        assert after in (0.0, min(5.0, 2 * before or 0.1))
    assert server.pids()["worker-1"] == survivor
    assert has_answer(server)


def new_children(supervisor: psutil.Process, known: set[int]) -> list[psutil.Process]:
    return [child for child in supervisor.children() if child.pid not in known and child.status() != "zombie"]


# R11


def numbered(number: int) -> bytes:
    return number.to_bytes(2) + DNS[2:]


@pytest.mark.parametrize("state", ["idle", "during a reload", "while a worker is dead", "while control is stopped"])
def test_sigterm_answers_all_that_was_received(server: Soaked, scale: Scale, figures: Figures, state: str) -> None:
    """Queries wait in the sockets of stopped workers when the signal comes."""
    count, clients = 100, scale(8, 32)
    found = server.pids()
    if state == "during a reload":
        server.write(ZONE, large_zone(1, 100_000))
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
    with contextlib.ExitStack() as stack:
        udp = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(clients)]
        for client in udp:
            client.settimeout(HANG_S)
            client.connect((server.host, server.port))
        server.process.send_signal(signal.SIGSTOP)
        for name in ("worker-0", "worker-1"):
            os.kill(found[name], signal.SIGSTOP)
        if state == "while a worker is dead":
            os.kill(found["worker-0"], signal.SIGKILL)
        if state == "while control is stopped":
            os.kill(found["control"], signal.SIGSTOP)
        tcp = []
        if state != "while a worker is dead":  # its connections end with it
            tcp = [
                stack.enter_context(socket.create_connection((server.host, server.port), HANG_S))
                for _ in range(clients)
            ]
        for number in range(count):
            for client in udp:
                client.send(numbered(number))
        for stream in tcp:
            stream.sendall(frames([numbered(number) for number in range(count)]))
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGCONT)
        for name in ("worker-0", "worker-1"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(found[name], signal.SIGCONT)
        answered = sum(len({client.recv(4096)[:2] for _ in range(count)}) for client in udp)
        for stream in tcp:
            answered += len(
                {receive_exactly(stream, struct.unpack("!H", receive_exactly(stream, 2))[0])[:2] for _ in range(count)}
            )
        status = server.process.wait(HANG_S)
        taken_s = time.monotonic() - started
    figures("R11", f"SIGTERM, {state}", queries=count * (len(udp) + len(tcp)), answered=answered, ended_after_s=taken_s)
    assert answered == count * (len(udp) + len(tcp))
    assert status == 0
    assert taken_s <= judged(5.0)


# R15


def command_with_log(config: pathlib.Path, log: pathlib.Path) -> list[str]:
    """Run the server with stderr redirected to a file."""
    serve = [sys.executable, "-m", "dnsd", "serve", "-c", str(config)]
    return ["/bin/sh", "-c", 'log="$1"; shift; exec "$@" 2> "$log"', "sh", str(log), *serve]


@contextlib.contextmanager
def unread_pipe(path: pathlib.Path) -> Iterator[int]:
    """A named pipe that is open but not read; yields its reading end."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield reader
    finally:
        os.close(reader)


def test_unread_log_does_no_harm(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    seconds = scale(2, 60)
    pipe = tmp_path / "log"
    with (
        unread_pipe(pipe) as reader,
        Soaked(
            tmp_path,
            edition_world(query_log={"sample": 1}),
            command=command_with_log(tmp_path / "dnsd.yaml", pipe),
        ) as server,
    ):
        with Scrapes(server) as scrapes, Flow(server, questions()) as flow:
            time.sleep(seconds)
            server.write(MAP, map_text(1))
            wait_for_edition(server, map=1)
            worker = server.pids()["worker-0"]
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: pids(server).get("worker-0", worker) != worker)
        dropped = int(server.metric("dnsd_log_dropped_total"))
        figures(
            "R15",
            "unread log pipe",
            queries=flow.answered,
            lost=flow.lost,
            lines_dropped=dropped,
            slowest_ms=round(1000 * flow.slowest_s),
        )
        figures("R14", "metrics with a blocked log", reads=scrapes.count, slowest_ms=round(1000 * scrapes.slowest_s))
        assert flow.lost <= BATCH_SIZE  # the killed worker's last batch
        assert not flow.wrong, flow.wrong
        scrapes.check()
        lines = 0
        while chunk := read_some(reader):
            lines += chunk.count(b"\n")
        assert dropped >= flow.answered - lines > 100
        before = server.metric("dnsd_log_dropped_total")
        assert has_answer(server)
        assert server.metric("dnsd_log_dropped_total") == before  # once read again, the pipe receives lines again
        assert b"query" in read_some(reader)


def read_some(reader: int) -> bytes:
    try:
        return os.read(reader, 65_536)
    except BlockingIOError:
        return b""
