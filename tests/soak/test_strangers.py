"""Clients of the API and dashboard without a token: the cost of each page, and a flood of requests nobody reads."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from dnsd.process.link import MessageKind, ask
from dnsd.settings.written import state_folder
from tests.api.server import Api
from tests.limits import HANG_S, judged
from tests.soak.conftest import Scale
from tests.soak.harness import cpu_of

Figures = Callable[..., None]

PAGES = {
    "OpenAPI": "GET /openapi.json",
    "documentation": "GET /docs",
    "sign-in": "GET /sign-in",
    "sign-in with a wrong token": "POST /sign-in",
    "overview": "GET /",
    "a script": "GET /static/0/htmx.min.js",
    "an unknown path": "GET /client/v4/nothing/here",
    "a list without a token": "GET /client/v4/zones",
    "a change without a token": "PUT /client/v4/zones/00000000000000000000000000000000/settings/ipv6",
}
MOST_CPU_MS = judged(1.0)
MOST_MEDIAN_MS = judged(250.0)
SETTLING_S = 1.0  # for the flood to fill all it can


def request(line: str, api: Api) -> bytes:
    body = "token=dnsd_wrong&next=%2F&form_secret=x" if line.startswith("POST") else ""
    head = f"{line} HTTP/1.1\r\nHost: {urlsplit(api.origin).netloc}\r\nAccept-Encoding: gzip\r\n"
    form = "Cookie: dnsd_visitor=x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    return f"{head}{form}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def connected(api: Api) -> socket.socket:
    parts = urlsplit(api.origin)
    assert parts.hostname
    assert parts.port
    return socket.create_connection((parts.hostname, parts.port), timeout=HANG_S)


def response(client: socket.socket) -> bytes:
    """Read one response; return its head."""
    octets = b""
    while b"\r\n\r\n" not in octets:
        octets += client.recv(65_536)
    head, _, body = octets.partition(b"\r\n\r\n")
    (size,) = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    left = size - len(body)
    while left:
        left -= len(client.recv(min(left, 65_536)))
    return head


def control_pid(api: Api) -> int:
    status = ask(state_folder(api.config), MessageKind.STATUS, {}, timeout_s=HANG_S)
    return next(int(one["pid"]) for one in status["processes"] if one["process"] == "control")


def test_pages_without_a_token_are_cheap(tmp_path: Path, scale: Scale, figures: Figures) -> None:
    count = scale(20, 1_000)
    cost_ms = {}
    with Api(tmp_path).running() as api:
        control = control_pid(api)
        for name, line in PAGES.items():
            octets = request(line, api)
            with connected(api) as client:
                for _ in range(5):
                    client.sendall(octets)
                    response(client)
                before = cpu_of(control)
                for _ in range(count):
                    client.sendall(octets)
                    response(client)
                cost_ms[name] = 1000 * (cpu_of(control) - before) / count
    figures("S1", "pages without a token", **{name.replace(" ", "_"): f"{ms:.2f} ms" for name, ms in cost_ms.items()})
    assert max(cost_ms.values()) <= MOST_CPU_MS


UNREAD = 120  # connections, more than the server takes
# Sends pipelined requests over many connections, reads nothing, and comes back when it is closed.
FLOOD = """
import contextlib, socket, sys, time
server, count, octets = (sys.argv[1], int(sys.argv[2])), int(sys.argv[3]), bytes.fromhex(sys.argv[4])
clients = []
print("ready", flush=True)
while True:
    for client in tuple(clients):
        try:
            client.send(octets * 50)
        except BlockingIOError:
            pass
        except OSError:
            client.close()
            clients.remove(client)
    while len(clients) < count:
        with contextlib.suppress(OSError):
            client = socket.create_connection(server, 5, ("127.0.0.2", 0))
            client.setblocking(False)
            clients.append(client)
    time.sleep(0.01)
"""


def median_ms(api: Api, count: int) -> float:
    """The usual time of an operator's requests, each over a connection of its own."""
    times = []
    for _ in range(count):
        started = time.monotonic()
        api.result("GET", "/zones")
        times.append(time.monotonic() - started)
    return 1000 * statistics.median(times)


@contextmanager
def flooded(api: Api) -> Iterator[None]:
    parts = urlsplit(api.origin)
    octets = request(PAGES["OpenAPI"], api).replace(b"Accept-Encoding: gzip\r\n", b"")
    arguments = [str(parts.hostname), str(parts.port), str(UNREAD), octets.hex()]
    flood = subprocess.Popen([sys.executable, "-c", FLOOD, *arguments], stdout=subprocess.PIPE)
    try:
        assert flood.stdout
        flood.stdout.readline()
        time.sleep(SETTLING_S)
        yield
    finally:
        flood.kill()
        flood.communicate()


def test_unread_responses_delay_no_operator(tmp_path: Path, scale: Scale, figures: Figures) -> None:
    count = scale(20, 200)
    with Api(tmp_path).running() as api:
        before = median_ms(api, count)
        with flooded(api):
            during = median_ms(api, count)
    times = {"usual_median": f"{before:.1f} ms", "median": f"{during:.1f} ms"}
    figures("S1", "responses that nobody reads", connections=UNREAD, **times)
    assert during <= MOST_MEDIAN_MS
