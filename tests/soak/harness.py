"""A server under observation: its processes' resources, its status and metrics, and clients that load it.

Uses an operator's views: the command line, /metrics, /proc. The status is requested over the control socket, as by
`dnsd status`, because starting an interpreter each time would be most of the load.
"""

from __future__ import annotations

import http.client
import itertools
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dnsd.process.link import MessageKind, ask
from dnsd.settings.written import state_folder
from tests.limits import HANG_S, IS_LONG, judged
from tests.live.forked import run
from tests.live.server import Dnsd
from tests.packets import answers, query
from tests.worlds import AccountFiles, Fields, World, write_world

METRICS_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+) metrics")
PROBLEM_WORDS = re.compile(r"Traceback|[Ee]xception")
SETTLE_S = judged(5.0)  # for descriptors and threads to be released
STILL_S = 0.5  # unchanged for this long: control then watches the files
LOOK_S = 0.05
LOST_S = 2.0 if IS_LONG else 10.0  # dnsperf counts a query as lost that waits for longer

# The world.

DEFAULTS = ["198.51.100.10", "2001:db8:f::10"]
EDGE = ["203.0.113.1", "203.0.113.2"]
BIG_RRSET = 100  # records: the limit
CHAIN = 8  # aliases: the limit of a chain
SHOP_ZONE = """\
$TTL 300
@ SOA ns1.example.net. hostmaster.example.org. 1 7200 3600 1209600 300
@ NS ns1.example.net.
www A 192.0.2.50
* TXT "any name"
"""


def soak_world(**settings: Any) -> World:
    """Zones with records for every path through the engine."""
    acme = AccountFiles(
        {"prefixes": [{"cidr": "203.0.113.0/24", "approved": "V"}]},
        {"shop": {"enabled": True, "ips": EDGE, "memberships": [{"kind": "zone", "identifier": "example.com"}]}},
        {"example.com.yaml": {"records": records()}, "example.net.yaml": {"records": other_records()}},
    )
    given = {
        "default_addresses": DEFAULTS,
        "nameservers": ["ns1.example.net"],
        "workers": 2,
        "metrics": {"listen": "127.0.0.1:0"},
        **settings,
    }
    return World(given, {"acme": acme, "globex": AccountFiles(zones={"example.org.zone": SHOP_ZONE})})


def records() -> list[Fields]:
    return [
        {"name": "www", "type": "A", "content": "192.0.2.1", "proxied": True},
        {"name": "dns", "type": "A", "content": "192.0.2.2"},
        {"name": "dns", "type": "AAAA", "content": "2001:db8::2"},
        {"name": "*.w", "type": "A", "content": "192.0.2.3"},
        {"name": "*.p", "type": "A", "content": "192.0.2.4", "proxied": True},
        {"name": "sub", "type": "NS", "content": "ns1.sub.example.com"},
        {"name": "ns1.sub", "type": "A", "content": "192.0.2.5"},
        {"name": "old", "type": "DNAME", "content": "example.net"},
        *ladder("c", "CNAME", "dns.example.com"),
        *ladder("n", "CNAME", "nowhere.example.com"),
        *ladder("d", "DNAME", "example.net"),
        *({"name": "big", "type": "A", "content": f"192.0.2.{number}"} for number in range(1, BIG_RRSET + 1)),
        *({"name": "amplified", "type": "A", "content": f"192.0.2.{number}"} for number in range(1, 71)),
        {"name": "large", "type": "TXT", "content": " ".join([f'"{"x" * 250}"'] * 100)},
        {"name": "@", "type": "MX", "content": "mail.example.net", "priority": 10},
    ]


def ladder(label: str, rtype: str, end: str) -> list[Fields]:
    """The longest chain of aliases that is followed, ending at `end`."""
    targets = [f"{label}{number}.example.com" for number in range(1, CHAIN)] + [end]
    return [{"name": f"{label}{number}", "type": rtype, "content": target} for number, target in enumerate(targets)]


def other_records() -> list[Fields]:
    return [
        {"name": "www", "type": "CNAME", "content": "www.example.com"},
        {"name": "mail", "type": "A", "content": "192.0.2.20"},
        {"name": "ns1", "type": "A", "content": "192.0.2.21"},
        {"name": "far", "type": "CNAME", "content": "dns.old.example.com"},
        {"name": "dns", "type": "A", "content": "192.0.2.22"},
    ]


PROBE = query("dns.example.com")
PROBE_ANSWER = ["192.0.2.2"]

# The server.


class Soaked(Dnsd):
    """A running server with a world in `folder`; `with Soaked(tmp_path) as server: …; server.check_clean()`."""

    def __init__(self, folder: pathlib.Path, world: World | None = None, **options: Any) -> None:
        """`options` are those of `Dnsd`; without a world, `soak_world()` is served."""
        self.folder = folder
        self.config = write_world(world or soak_world(), folder)
        self._baseline: dict[str, dict[str, int]] = {}
        super().__init__(self.config, **options)

    # Its pages and status

    def get(self, path: str, timeout_s: float = HANG_S) -> tuple[int, str]:
        """Status and text of a page of its HTTP server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port(), timeout=timeout_s)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def http_port(self) -> int:
        found = METRICS_LISTENING.search(self.stdout.text())
        assert found, f"no line says where metrics are:\n{self.stdout.text()}"
        return int(found[1])

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """All samples of /metrics by name and labels."""
        status, text = self.get("/metrics")
        assert status == 200, text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        return total(self.metrics(), name, **labels)

    def healthy(self) -> bool:
        return self.get("/healthz")[0] == 200

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def status(self) -> dict[str, Any]:
        """The output of `dnsd status --json`."""
        found: dict[str, Any] = ask(state_folder(self.config), MessageKind.STATUS, {}, timeout_s=HANG_S)
        return found

    def cli(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        return run(*arguments, "-c", str(self.config), timeout_s=timeout_s)

    def reload(self, *, force: bool = False) -> subprocess.CompletedProcess[str]:
        """`dnsd reload`, by the command line."""
        return self.cli("reload", *(["--force"] if force else []))

    def write(self, file: str, text: str) -> pathlib.Path:
        """Replace a file of the configuration atomically, like a careful editor; `file` is relative to its folder."""
        path = self.folder / file
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(text, encoding="utf-8")
        return draft.replace(path)

    def ask_reload(self, *, force: bool = False) -> dict[str, Any]:
        """The output of `dnsd reload --json`."""
        result: dict[str, Any] = ask(state_folder(self.config), MessageKind.RELOAD, {"force": force}, timeout_s=60)
        return result

    def counted(self) -> dict[str, int]:
        """Messages received, answered and dropped since the start; raises AssertionError if they do not add up."""
        samples = self.metrics()
        names = {"received": "dnsd_requests_total", "answered": "dnsd_responses_total", "dropped": "dnsd_dropped_total"}
        counts = {what: int(total(samples, name)) for what, name in names.items()}
        assert counts["received"] == counts["answered"] + counts["dropped"], counts
        return counts

    # Its processes' resources

    def pids(self) -> dict[str, int]:
        """The process ids by name: supervisor, control, worker-0, …"""
        return {one["process"]: one["pid"] for one in self.status()["processes"]}

    def worker_pids(self) -> list[int]:
        return [pid for name, pid in sorted(self.pids().items()) if name.startswith("worker")]

    def starts(self) -> dict[str, int]:
        """The number of starts of each process."""
        return {one["process"]: one["starts"] for one in self.status()["processes"]}

    def rss_kib(self) -> dict[str, int]:
        return {name: psutil.Process(pid).memory_info().rss // 1024 for name, pid in self.pids().items()}

    def fds(self) -> dict[str, int]:
        return {name: psutil.Process(pid).num_fds() for name, pid in self.pids().items()}

    def threads(self) -> dict[str, int]:
        return {name: psutil.Process(pid).num_threads() for name, pid in self.pids().items()}

    def cpu_s(self) -> dict[str, float]:
        """User and system time of each process."""
        return {name: cpu_of(pid) for name, pid in self.pids().items()}

    def baseline(self) -> None:
        """Remember the processes' peak of descriptors and threads, once it has stopped growing; after a warm-up."""
        most, still_since = self._held(), time.monotonic()
        while time.monotonic() - still_since < STILL_S:
            time.sleep(LOOK_S)
            held = self._held()
            for name, found in held.items():
                for what, count in found.items():
                    if count > most[name][what]:
                        most[name][what], still_since = count, time.monotonic()
        self._baseline = most

    def check_no_growth(self) -> None:
        """Assert that no process holds more descriptors or threads than at the baseline, after at most 5 s."""
        assert self._baseline, "call baseline() after the warm-up"

        def grown() -> list[str]:
            held = self._held()
            assert held.keys() == self._baseline.keys(), (held, self._baseline)
            return [
                f"{name} has {count} {what}, had {self._baseline[name][what]}"
                for name, found in held.items()
                for what, count in found.items()
                if count > self._baseline[name][what]
            ]

        wait_until(lambda: not grown(), lambda: "; ".join([*grown(), *self._open_files()]), SETTLE_S)

    def check_clean(self, *, restarts: int | None = 0) -> None:
        """Assert no exception on stderr, no growth, and this many `restarts` of workers since the start; None: any."""
        self.check_no_growth()
        found = [line for line in self.stderr.text().splitlines() if PROBLEM_WORDS.search(line)]
        assert not found, self.stderr.text()
        if restarts is not None:
            assert sum(max(0, count - 1) for count in self.starts().values()) == restarts, self.stderr.text()

    def _open_files(self) -> list[str]:
        """What each process's descriptors lead to."""
        return [f"{name}: {sorted(open_files(pid))}" for name, pid in self.pids().items()]

    def _held(self) -> dict[str, dict[str, int]]:
        fds, threads = self.fds(), self.threads()
        return {name: {"fds": fds[name], "threads": threads[name]} for name in fds}


@contextmanager
def soaked(folder: pathlib.Path, *, is_forked: bool = not IS_LONG, **settings: Any) -> Iterator[Soaked]:
    """A server with `soak_world()`, warmed up and with a baseline; checked to be clean at the end."""
    with Soaked(folder, soak_world(**settings), is_forked=is_forked) as server:
        for _ in range(20):
            assert answers(server.udp(PROBE)) == answers(server.tcp(PROBE)) == PROBE_ANSWER
        server.baseline()
        yield server
        server.check_clean()
        server.counted()


def open_files(pid: int) -> Iterator[str]:
    """What the descriptors of a process lead to, except for those that it closes just now."""
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield os.readlink(descriptor)


def cpu_of(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def total(samples: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    """The sum of the samples of a metric with these labels."""
    wanted = frozenset(labels.items())
    return sum(value for (sample, found), value in samples.items() if sample == name and wanted <= found)


def growth_percent(before: dict[str, int], after: dict[str, int]) -> float:
    """The memory growth of the process that grew most."""
    return max(100.0 * (after[name] / before[name] - 1) for name in before)


def wait_until(condition: Callable[[], bool], said: Callable[[], str] = str, timeout_s: float = HANG_S) -> float:
    """Wait for a condition; return the seconds waited. Raises AssertionError with the text from `said`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, said() or f"not within {timeout_s} s"
        time.sleep(LOOK_S)
    return time.monotonic() - started


# Clients.


@dataclass(frozen=True)
class Perf:
    """The measurements of dnsperf."""

    sent: int
    completed: int
    lost: int
    qps: float
    latency_s: float  # mean
    rcodes: dict[str, int]


class Asked(Protocol):
    """A server to query."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...


class Dnsperf:
    """A started run of Debian's dnsperf; `result()` waits for its end."""

    def __init__(
        self,
        server: Asked,
        questions: Iterable[str],
        seconds: float,
        *,
        clients: int = 8,
        max_qps: int | None = None,
        outstanding: int = 100,
        timeout_s: float = LOST_S,
        mode: str = "udp",
        source: str | None = None,
    ) -> None:
        """`questions` are lines like `www.example.com A`, sent in turn; a query counts as lost after `timeout_s`."""
        binary = shutil.which("dnsperf")
        if binary is None:
            pytest.skip("not installed: dnsperf (apt-get install dnsperf)")
        self._limit_s = seconds + timeout_s + 30
        with tempfile.NamedTemporaryFile("w", suffix=".questions", delete=False) as file:
            file.writelines(f"{line}\n" for line in questions)
        self._file = pathlib.Path(file.name)
        command = [binary, "-s", server.host, "-p", str(server.port), "-d", file.name, "-l", f"{seconds:.0f}"]
        command += ["-c", str(clients), "-q", str(outstanding), "-t", str(timeout_s), "-m", mode]
        command += ["-Q", str(max_qps)] if max_qps else []
        command += ["-a", source] if source else []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def result(self) -> Perf:
        """The measurements; may be called once."""
        try:
            out, errors = self.process.communicate(timeout=self._limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, errors = self.process.communicate()
        self._file.unlink()
        assert self.process.returncode == 0, out + errors
        return parse_perf(out)


def dnsperf(server: Asked, questions: Iterable[str], seconds: float, **options: Any) -> Perf:
    """Run dnsperf for whole `seconds`; options as for `Dnsperf`."""
    return Dnsperf(server, questions, seconds, **options).result()


def parse_perf(text: str) -> Perf:
    def value(pattern: str) -> float:
        found = re.search(pattern + r":\s+([\d.]+)", text)
        return float(found[1]) if found else 0.0

    codes = re.search(r"Response codes:\s+(.+)", text)
    rcodes = {name: int(count) for name, count in re.findall(r"([A-Z]+) (\d+) \(", codes[1] if codes else "")}
    return Perf(
        sent=int(value("Queries sent")),
        completed=int(value("Queries completed")),
        lost=int(value("Queries lost")),
        qps=value("Queries per second"),
        latency_s=value(r"Average Latency \(s\)"),
        rcodes=rcodes,
    )


BARRIER_ID = b"\xb7\x77"  # of probes that end a burst; packets of a flood must not have it
BURST = 100  # datagrams between probes: fits into any socket buffer
BARRIER_S = judged(5.0)


class Flood:
    """A client that sends bursts of datagrams, and after each a probe whose answer it awaits.

    The kernel keeps one socket's datagrams in order and on one worker, so that nothing is lost on the way and every
    packet has been handled once its burst's probe is answered. Several sockets reach several workers.
    """

    def __init__(self, server: Dnsd, *, sockets: int = 4, probe: bytes = PROBE) -> None:
        self._probe = BARRIER_ID + probe[2:]
        self.sent = 0  # probes included
        self.probes = 0
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(sockets)]
        for sock in self._sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
            sock.settimeout(BARRIER_S)
            sock.connect((server.host, server.port))

    def __enter__(self) -> Flood:
        return self

    def __exit__(self, *error: object) -> None:
        for sock in self._sockets:
            sock.close()

    def send(self, packets: Iterable[bytes]) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Yield each burst with its replies; raises TimeoutError if a probe is not answered."""
        waiting: list[tuple[socket.socket, list[bytes]]] = []
        for burst, sock in zip(bursts(packets), itertools.cycle(self._sockets), strict=False):
            if len(waiting) == len(self._sockets):
                yield self._replies(*waiting.pop(0))
            for packet in (*burst, self._probe):
                sock.send(packet)
            self.sent += len(burst) + 1
            self.probes += 1
            waiting.append((sock, burst))
        for pair in waiting:
            yield self._replies(*pair)

    def _replies(self, sock: socket.socket, burst: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        replies: list[bytes] = []
        while (reply := sock.recv(65_535))[:2] != BARRIER_ID:
            replies.append(reply)
        return burst, replies


def bursts(packets: Iterable[bytes], size: int = BURST) -> Iterator[list[bytes]]:
    burst: list[bytes] = []
    for packet in packets:
        burst.append(packet)
        if len(burst) == size:
            yield burst
            burst = []
    if burst:
        yield burst


def frames(messages: Sequence[bytes]) -> bytes:
    """The messages in the form of a TCP stream."""
    return b"".join(len(message).to_bytes(2) + message for message in messages)
