"""Hostile clients of a running server: too much, too deep, too slow, too many. Meanwhile, other clients are served and
DNS answers as fast as before.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import dns.message
import httpx
import psutil
import pytest

from dnsd.api.routes import BASE
from dnsd.web.http import MAX_CONNECTIONS, MAX_HEADERS, REQUEST_S
from tests.api.server import A1, Z1, Api
from tests.limits import HANG_S, IS_LONG, examples, judged

MIB = 1024 * 1024
MAPS = f"/accounts/{A1}/addressing/address_maps"
SLOWER = 5 if IS_LONG else 25  # times as slow as usual DNS may be
MAX_GROWTH = 80 * MIB  # octets of memory of the control process: three of the largest bodies, as one is freed late
REFUSED_WITHIN_S = judged(2.0)
SERVED_WITHIN_S = judged(1.0)
CLOSED_WITHIN_S = judged(REQUEST_S + 1.5)
FLOOD = examples(10, 100)  # times a hundred requests in a row

# Queries the server over UDP, and an echo process for comparison, until its input ends; then writes the 99th
# percentile of each one's times in ms; of few times, the 90th. A separate process: threads wait for each other.
PROBE = """
import os, select, socket, sys, time
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
echo.bind(("127.0.0.1", 0))
child = os.fork()
while not child:
    echo.sendto(*echo.recvfrom(4096))
query, servers = bytes.fromhex(sys.argv[3]), [(sys.argv[1], int(sys.argv[2])), echo.getsockname()]
clients = [(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), []) for _ in servers]
for (client, _), server in zip(clients, servers):
    client.connect(server)
    client.settimeout(20)
while not select.select([sys.stdin], [], [], 0.002)[0]:
    for client, times in clients:
        start = time.perf_counter()
        client.send(query)
        client.recv(4096)
        times.append(time.perf_counter() - start)
os.kill(child, 9)
part = 0.99 if len(clients[0][1]) > 500 and sys.argv[4:] else 0.9
print(*(1000 * sorted(times)[int(len(times) * part)] for _, times in clients))
"""


class Probe:
    """Measures the latency of DNS and of an echo process on this machine, from creation until it is read."""

    def __init__(self, api: Api) -> None:
        query = dns.message.make_query("www.example.com", "A").to_wire().hex()
        command = [sys.executable, "-c", PROBE, api.dns.host, str(api.dns.port), query, *(["long"] if IS_LONG else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def slow_ms(self) -> tuple[float, float]:
        """The latencies of DNS and of the echo process, which shows the load of the machine."""
        said, _ = self._process.communicate("end\n", timeout=HANG_S)
        assert self._process.returncode == 0, "a query was not answered"
        dns_ms, echo_ms = map(float, said.split())
        return dns_ms, echo_ms


def quiet_ms(api: Api) -> float:
    """The latency of DNS without hostile clients."""
    probe = Probe(api)
    time.sleep(1.5)
    return probe.slow_ms()[0]


@pytest.fixture(scope="module")
def usual_ms(api: Api) -> float:
    return quiet_ms(api)


@pytest.fixture
def control(api: Api) -> psutil.Process:
    """The id of the process that accepts the API's connections."""
    port = int(api.origin.rpartition(":")[2])
    children = psutil.Process(api.dns.process.pid).children()
    with connected(api):
        deadline = time.monotonic() + HANG_S
        while not (found := [one for one in children if has_connection(one, port)]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    (one,) = found
    return one


def has_connection(process: psutil.Process, port: int) -> bool:
    found = process.net_connections("tcp")
    return any(one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in found)


@pytest.fixture
def steady(api: Api, usual_ms: float, control: psutil.Process) -> Iterator[None]:
    """During the test, DNS stays as fast and the control process as small as before."""
    before = control.memory_info().rss
    peak = [before]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], control.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    probe = Probe(api)
    time.sleep(0.3)
    yield
    done.set()
    watcher.join()
    dns_ms, echo_ms = probe.slow_ms()
    if dns_ms > SLOWER * usual_ms + 5:  # the machine may have become busy
        assert dns_ms < SLOWER * max(usual_ms, quiet_ms(api)) + 5 + 2 * echo_ms
    assert peak[0] - before < MAX_GROWTH
    assert api.call("GET", "/user").status_code == 200


@contextmanager
def connected(api: Api, *, timeout_s: float = HANG_S) -> Iterator[socket.socket]:
    with socket.create_connection(address(api), timeout=timeout_s) as client:
        yield client


def address(api: Api) -> tuple[str, int]:
    host, port = api.origin.removeprefix("http://").split(":")
    return host, int(port)


def head(api: Api, method: str, path: str, *headers: str) -> bytes:
    lines = [f"{method} {BASE}{path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {api.operator}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(client: socket.socket) -> tuple[int, Any]:
    """The status and the body of the next response."""
    octets = b""
    while b"\r\n\r\n" not in octets:
        part = client.recv(65536)
        assert part, octets
        octets += part
    top, _, body = octets.partition(b"\r\n\r\n")
    lines = top.decode().lower().split("\r\n")
    size = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    while len(body) < size:
        body += client.recv(65536)
    return int(lines[0].split()[1]), json.loads(body[:size])


def is_closed(client: socket.socket, within_s: float) -> bool:
    """Whether the server closes a connection, after sending anything or nothing."""
    client.settimeout(within_s)
    try:
        while client.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def pour(client: socket.socket, parts: Iterator[bytes], until: Callable[[], bool]) -> int:
    """Send until the server stops reading, or until `until`; return the number of octets sent."""
    sent = 0
    try:
        for part in parts:
            client.sendall(part)
            sent += len(part)
            if until():
                break
    except OSError:
        pass
    return sent


def time_out(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


# Too much


CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"
LARGE = {
    "announced": ("Content-Length: 1000000000", b" " * 65536),
    "an absurd announced length": ("Content-Length: " + "9" * 18, b" " * 65536),
    "without end": ("Transfer-Encoding: chunked", CHUNK),
}


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("what", LARGE)
def test_body_that_is_too_large_is_refused_at_once(api: Api, what: str) -> None:
    header, part = LARGE[what]
    with connected(api) as client:
        start = time.monotonic()
        client.sendall(head(api, "POST", MAPS, header))
        pour(client, repeat(part, 20), lambda: False)
        status, said = answer(client)
        assert time.monotonic() - start < REFUSED_WITHIN_S
        assert (status, said["errors"][0]["code"]) == (413, 1004)
        if what == "without end":
            pour(client, repeat(part), time_out(CLOSED_WITHIN_S))
            assert time.monotonic() - start < CLOSED_WITHIN_S
            assert is_closed(client, HANG_S)


def test_body_of_the_largest_size_is_read(api: Api) -> None:
    body = b'{"description": "large"}'
    for size, status in ((MIB, 200), (MIB + 1, 413)):
        response = api.call("POST", f"{MAPS}/plan", content=body.ljust(size))
        assert response.status_code == status


@pytest.mark.usefixtures("steady")
def test_large_bodies_of_strangers_fill_no_memory(api: Api) -> None:
    request = head(api, "POST", MAPS, f"Content-Length: {MIB}").replace(api.operator.encode(), b"wrong")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(api)) for _ in range(MAX_CONNECTIONS)]
        for client in clients:
            client.sendall(request + b" " * (MIB // 2))
        assert {answer(client)[0] for client in clients} <= {403, 429}


HEADERS = {
    "a header of 10 MB": [b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", *repeat(b"x" * 65536, 160), b"\r\n\r\n"],
    "a million headers": [b"GET / HTTP/1.1\r\nHost: localhost\r\n", *repeat(b"X: x\r\n" * 10_000, 100), b"\r\n"],
    "a path of 10 MB": [b"GET /", *repeat(b"x" * 65536, 160), b" HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    "a line without end": [*repeat(b"x" * 65536, 160)],
    "empty lines without end": [*repeat(b"\r\n" * 32768, 160)],
}


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("what", HEADERS)
def test_headers_that_are_too_large_are_refused(api: Api, what: str) -> None:
    with connected(api) as client:
        pour(client, iter(HEADERS[what]), time_out(HANG_S))
        assert is_closed(client, HANG_S)
    with connected(api) as client:  # the same, cut to the size that is read before any answer
        client.sendall(b"".join(HEADERS[what])[: 2 * MAX_HEADERS])
        status, said = answer(client)
        assert (status, said["errors"][0]["code"]) == (400, 1001)
        assert is_closed(client, HANG_S)


@pytest.mark.usefixtures("steady")
def test_expensive_bodies_delay_no_client(api: Api) -> None:
    bodies = [
        b"[" * MIB,
        b'{"a":' * (MIB // 6),
        b'{"description":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"ips":[' + b",".join(repeat(b'"x"', 200_000)) + b"]}",
        b'{"ips":[' + b",".join(repeat(b"{}", 300_000)) + b"]}",
        b'{"description":"' + b"\\\\" * 500_000 + b'"}',
        b'{"ttl":' + b"9" * 1_000_000 + b"}",
    ]
    for body in bodies:
        for path in (MAPS, f"/zones/{Z1}/dns_records"):
            start = time.monotonic()
            assert api.refused("POST", path, content=body)[0] == 400
            assert time.monotonic() - start < SERVED_WITHIN_S


# Too slow, too many


def served_within(api: Api) -> float:
    """The time until another client has its answer, on a new connection; it retries after a cut connection."""
    start = time.monotonic()
    for _ in range(3):
        try:
            headers = {"Authorization": f"Bearer {api.operator}"}
            assert httpx.get(f"{api.origin}{BASE}/zones", headers=headers, timeout=HANG_S).status_code == 200
            break
        except httpx.TransportError:
            continue
    else:
        raise AssertionError("no other client is served")
    return time.monotonic() - start


SLOW: dict[str, tuple[bytes, bytes]] = {  # sent first, then once a second
    "headers": (b"GET /client/v4/zones HTTP/1.1\r\nHost: localhost\r\nX: ", b"x"),
    "bodies": (b"Content-Length: 100000\r\n\r\n{", b" "),
    "chunks": (b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1"),
    "bodies of strangers": (
        b"POST /client/v4/zones HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{",
        b" ",
    ),
    "nothing": (b"", b""),
}


@pytest.mark.usefixtures("steady")
def test_slow_clients_are_closed_and_delay_no_client(api: Api) -> None:
    good_head = head(api, "POST", MAPS)[:-2]  # to be continued
    kinds = [(good_head + first if "-" in first.decode()[:15] else first, then) for first, then in SLOW.values()]
    waited, start = [], time.monotonic()
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for number in range(2 * MAX_CONNECTIONS):
            client = stack.enter_context(socket.create_connection(address(api), timeout=HANG_S))
            first, then = kinds[number % len(kinds)]
            client.sendall(first)
            client.setblocking(False)
            selector.register(client, selectors.EVENT_READ, then)
        trickled = 0
        while selector.get_map() and time.monotonic() - start < CLOSED_WITHIN_S + 2:
            waited.append(served_within(api))
            for key, _ in selector.select(0.1):
                if not _received(key.fileobj):
                    selector.unregister(key.fileobj)
            if time.monotonic() - start > trickled:
                trickled += 1
                for key in selector.get_map().values():
                    with contextlib.suppress(OSError):
                        key.fileobj.send(key.data)  # type: ignore[union-attr]
        left = [key.data for key in selector.get_map().values()]
    assert left == []
    assert len(waited) > 3
    assert max(waited) < SERVED_WITHIN_S


def _received(client: Any) -> bytes:
    try:
        return client.recv(65536)
    except OSError:
        return b""


def test_connections_over_the_limit_take_the_place_of_idle_ones(api: Api) -> None:
    request = head(api, "GET", "/user")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(api)) for _ in range(MAX_CONNECTIONS)]
        time.sleep(0.3)  # for all to be accepted
        clients[0].sendall(request)
        assert answer(clients[0])[0] == 200  # so another client has waited longest
        late = [stack.enter_context(connected(api)) for _ in range(20)]
        for client in (*late, clients[0]):
            client.sendall(request)
            assert answer(client)[0] == 200
        assert sum(is_closed(client, 0.01) for client in clients[1:]) >= 20


@pytest.mark.usefixtures("steady")
def test_response_without_a_reader_is_not_kept(api: Api, control: psutil.Process) -> None:
    names = [{"name": f"big{n}", "type": "TXT", "content": "x" * 200, "ttl": 60} for n in range(3000)]
    api.result("POST", f"/zones/{Z1}/dns_records/batch", {"posts": names})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(4)]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(address(api))
            client.sendall(head(api, "GET", f"/zones/{Z1}/dns_records?per_page=3000"))
        start = time.monotonic()
        time.sleep(0.5)
        assert served_within(api) < SERVED_WITHIN_S
        assert _established(control, clients) == len(clients)
        while time.monotonic() - start < CLOSED_WITHIN_S + 1 and _established(control, clients):
            time.sleep(0.2)
        assert _established(control, clients) == 0


def _established(control: psutil.Process, clients: list[socket.socket]) -> int:
    """The number of connections that the server still holds."""
    ports = {client.getsockname()[1] for client in clients}
    there = (one for one in control.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED)
    return sum(one.raddr.port in ports for one in there)


@pytest.mark.usefixtures("steady")
def test_endless_pipelined_requests_delay_no_client(api: Api) -> None:
    request = head(api, "GET", "/user") * 100
    with connected(api) as client:
        reader = threading.Thread(target=is_closed, args=(client, HANG_S))
        client.settimeout(HANG_S)
        reader.start()
        for _ in range(FLOOD):
            client.sendall(request)
            assert served_within(api) < SERVED_WITHIN_S
        client.shutdown(socket.SHUT_RDWR)
        reader.join()
