"""TCP clients that are slow, too many, or use the last file descriptor (reliability.md)."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import psutil
import pytest

from tests.limits import HANG_S, IS_LONG, judged
from tests.packets import answers
from tests.soak.conftest import Scale
from tests.soak.harness import PROBE, PROBE_ANSWER, Dnsperf, Soaked, cpu_of, frames, soaked, wait_until

Figures = Callable[..., None]

QUESTIONS = ["www.example.com A", "dns.example.com AAAA"]
CLIENTS = 2_000
CLOSED_WITHIN_S = 12.0
RECOVERED_WITHIN_S = judged(5.0)
OCTET_EVERY_S = 1.0  # a query then takes half a minute
SLOW_QUERY = frames([PROBE])
ADDRESSES = 50  # of the clients
OVER = 200  # connections over the limit
OTHERS = 30  # queries of other clients over TCP
PER_CONNECTION_KIB = 32


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Raise the limit on descriptors for the clients, which are all in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CLIENTS + OVER + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"needs {wanted} file descriptors; {hard} are allowed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Clients:
    """Many connections from many addresses."""

    def __init__(self, server: Soaked, count: int, first: bytes = b"") -> None:
        """`first`: octets that each client sends at once."""
        self.opened_at: dict[socket.socket, float] = {}
        for number in range(count):
            client = connect(server, f"127.7.0.{number % ADDRESSES + 1}")
            self.opened_at[client] = time.monotonic()
            client.send(first)

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *error: object) -> None:
        for client in self.opened_at:
            client.close()

    def send(self, octets: bytes) -> None:
        for client in self.opened_at:
            with contextlib.suppress(OSError):
                client.send(octets)

    def drop_closed(self) -> list[float]:
        """Forget connections closed by the server; return the seconds for which each was open."""
        closed = [client for client in self.opened_at if is_closed(client)]
        for client in closed:
            client.close()
        return [time.monotonic() - self.opened_at.pop(client) for client in closed]


def connect(server: Soaked, source: str) -> socket.socket:
    client = socket.create_connection((server.host, server.port), timeout=HANG_S, source_address=(source, 0))
    client.setblocking(False)
    return client


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def is_answered_over_tcp(server: Soaked, within_s: float | None = None) -> bool:
    with contextlib.suppress(OSError, EOFError):
        return answers(server.tcp(PROBE, timeout_s=within_s or judged(1.0))) == PROBE_ANSWER
    return False


def test_slow_and_too_many_clients(tmp_path: pathlib.Path, figures: Figures) -> None:
    """F7: clients that never finish a query are closed in time. F8: those over the cap push out the longest idle."""
    patience = {} if IS_LONG else {"first_byte_s": 20, "idle_s": 20}  # a busy machine takes seconds for so many
    limits = {"tcp": {"connections": CLIENTS, "per_client": CLIENTS, "per_network": 2 * CLIENTS, **patience}}
    with soaked(tmp_path, limits=limits) as server:
        rss = server.rss_kib()
        others = Dnsperf(server, QUESTIONS, CLOSED_WITHIN_S, max_qps=500)
        with Clients(server, CLIENTS, SLOW_QUERY[:1]) as slow:
            wait_until(lambda: server.metric("dnsd_tcp_connections") == CLIENTS)
            with Clients(server, OVER):
                wait_until(lambda: server.metric("dnsd_tcp_closed_total", reason="connections") >= OVER)
                pushed_out = len(slow.drop_closed())
                kept = server.metric("dnsd_tcp_connections")
            grown_kib = max(after - rss[name] for name, after in server.rss_kib().items())
            open_s = drip(slow)
        perf = others.result()
        closed = server.metric("dnsd_tcp_closed_total", reason="idle")
        with Clients(server, CLIENTS):
            served = sum(is_answered_over_tcp(server) for _ in range(OTHERS))
        figures(
            "F7",
            "slow TCP clients",
            clients=CLIENTS,
            closed_within=f"{max(open_s, default=0):.1f} s",
            UDP_lost=perf.lost,
            UDP_latency=f"{1e3 * perf.latency_s:.1f} ms",
        )
        figures(
            "F8",
            "TCP over the cap",
            pushed_out=pushed_out,
            memory=f"{grown_kib / 1024:.1f} MiB a worker",
            others_answered=f"{served} of {OTHERS}",
        )
        assert len(open_s) + pushed_out == CLIENTS
        assert max(open_s) <= judged(CLOSED_WITHIN_S)
        assert closed == CLIENTS - pushed_out
        assert OVER <= pushed_out <= OVER + 20  # workers that make room at the same time may close too many
        assert kept <= CLIENTS + 1
        assert perf.lost == 0
        assert grown_kib < PER_CONNECTION_KIB * CLIENTS / 2
        assert served == OTHERS


def drip(slow: Clients) -> list[float]:
    """Send an octet every OCTET_EVERY_S until all are closed; return how long each was open."""
    open_s: list[float] = []
    octets = iter(SLOW_QUERY[1:])
    started = sent_at = time.monotonic()
    while slow.opened_at and time.monotonic() - started < judged(CLOSED_WITHIN_S + 5):
        if time.monotonic() - sent_at >= OCTET_EVERY_S:
            sent_at = time.monotonic()
            slow.send(bytes([*itertools.islice(octets, 1)]))
        open_s += slow.drop_closed()
        time.sleep(0.05)
    return open_s


PLACES, QUERY_EVERY_S = 1_000, 8.0  # the default limits
HOLDERS = {
    "ten addresses": [f"127.{number}.0.1" for number in range(10, 20)],
    "a network": [f"127.20.0.{number}" for number in range(1, 201)],
}


class Holders(threading.Thread):
    """Clients that hold as many connections as they can: they ask seldom enough not to be closed, and come back."""

    def __init__(self, server: Soaked, sources: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._sources = itertools.cycle(sources)
        self._asked_at: dict[socket.socket, float] = {}
        self._is_over = threading.Event()
        self.opened = 0

    def run(self) -> None:
        while not self._is_over.wait(0.01):
            now = time.monotonic()
            for client, asked_at in tuple(self._asked_at.items()):
                if is_closed(client):
                    client.close()
                    del self._asked_at[client]
                elif now - asked_at >= QUERY_EVERY_S:
                    self._ask(client)
            while len(self._asked_at) < PLACES and not self._is_over.is_set():
                self._ask(connect(self._server, next(self._sources)))
                self.opened += 1
        for client in self._asked_at:
            client.close()

    def _ask(self, client: socket.socket) -> None:
        self._asked_at[client] = time.monotonic()
        with contextlib.suppress(OSError):
            client.send(SLOW_QUERY)

    def stop(self) -> None:
        self._is_over.set()
        self.join(HANG_S)


@pytest.mark.parametrize("what", HOLDERS)
def test_others_are_served_while_all_places_are_held(
    tmp_path: pathlib.Path, what: str, scale: Scale, figures: Figures
) -> None:
    """F8: ten addresses, or one network, that keep opening connections leave room for other clients."""
    with soaked(tmp_path) as server:
        holders = Holders(server, HOLDERS[what])
        holders.start()
        try:
            wait_until(lambda: holders.opened >= PLACES)
            taken_s, answered = [], 0
            for _ in range(OTHERS):
                started = time.monotonic()
                answered += is_answered_over_tcp(server)
                taken_s.append(time.monotonic() - started)
                time.sleep(scale(0.0, 0.5))
            held = server.metric("dnsd_tcp_connections")
        finally:
            holders.stop()
        figures(
            "F8",
            f"places held by {what}",
            connections_held=int(held),
            opened=holders.opened,
            others_answered=f"{answered} of {OTHERS}",
            slowest=f"{1000 * max(taken_s):.0f} ms",
        )
        assert answered == OTHERS
        assert held <= PLACES + 1


SPARE = 6  # descriptors left for each worker
HELD = 200  # connections that need one
IDLE_SHARE = 0.05  # of a core


def test_no_descriptors_left(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    limits = {"tcp": {"first_byte_s": 300, "idle_s": 300, "per_client": HELD}}
    with soaked(tmp_path, limits=limits) as server:
        workers = server.worker_pids()
        for pid in workers:
            leave_descriptors(pid, SPARE)
        with Clients(server, HELD) as clients:
            wait_until(lambda: server.metric("dnsd_tcp_connections") == SPARE * len(workers))
            wait_until(lambda: server.metric("dnsd_tcp_refused_total", reason="no_descriptors") > 0)
            seconds = scale(3, 30)
            share = cpu_share(workers, seconds)
            perf = Dnsperf(server, QUESTIONS, scale(2, 20), max_qps=500).result()
            assert not is_answered_over_tcp(server, within_s=1.0)
            for client in list(clients.opened_at)[: SPARE * len(workers)]:
                client.send(frames([PROBE]))
        waited_s = wait_until(lambda: is_answered_over_tcp(server))
        said = server.metric("dnsd_tcp_refused_total", reason="no_descriptors")
        figures(
            "F9",
            "no descriptors left",
            CPU=f"{100 * share:.1f} %",
            UDP_lost=perf.lost,
            TCP_answers_after=f"{waited_s:.2f} s",
            pauses=int(said),
        )
        assert share < IDLE_SHARE
        assert perf.lost == 0
        assert waited_s <= judged(2.0)


def leave_descriptors(pid: int, count: int) -> None:
    """Let a process open this many more files; open ones stay open, and free numbers below the limit count."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    limit = next(number for number in range(1, 1_000_000) if number - len([fd for fd in used if fd < number]) == count)
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))


def cpu_share(pids: list[int], seconds: float) -> float:
    """CPU time of the busiest process, as a share of a core."""
    before = {pid: cpu_of(pid) for pid in pids}
    time.sleep(seconds)
    assert all(psutil.pid_exists(pid) for pid in pids)
    return max(cpu_of(pid) - spent for pid, spent in before.items()) / seconds


SILENT = 300  # HTTP connections


def test_silent_http_clients(tmp_path: pathlib.Path, figures: Figures) -> None:
    """Silent clients of the metrics' port do not keep others out."""
    with soaked(tmp_path) as server:
        clients = [http_client(server) for _ in range(SILENT)]
        try:
            recovered_s = wait_until(lambda: is_healthy(server))
            figures("F8", "silent HTTP clients", clients=SILENT, healthy_after=f"{recovered_s:.1f} s")
        finally:
            for client in clients:
                client.close()
        assert recovered_s <= RECOVERED_WITHIN_S + 1


def test_control_without_descriptors(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    with soaked(tmp_path) as server:
        control = server.pids()["control"]
        leave_descriptors(control, SPARE)
        clients = [http_client(server) for _ in range(SPARE + 4)]
        share = cpu_share([control], scale(3, 30))
        said = server.stderr.count()
        assert answers(server.udp(PROBE)) == PROBE_ANSWER
        for client in clients:
            client.close()
        waited_s = wait_until(lambda: is_healthy(server))
        figures("F9", "no descriptors left for control", CPU=f"{100 * share:.1f} %", healthy_after=f"{waited_s:.1f} s")
        assert share < IDLE_SHARE
        assert said < 100
        assert waited_s <= judged(2.0)


def http_client(server: Soaked) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.http_port()), timeout=HANG_S)


def is_healthy(server: Soaked) -> bool:
    with contextlib.suppress(OSError):
        return server.healthy()
    return False
