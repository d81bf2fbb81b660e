"""Ten clients of a tenant that read large things all the time: what others read is not queued after them."""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.api.server import A1, A2, FILES, Api
from tests.api.test_durability import wait_until
from tests.browser.sessions import Person
from tests.limits import HANG_S, judged
from tests.soak.conftest import Scale

Figures = Callable[..., None]
Headers = dict[str, str]

CLIENTS, ZONES, MAPS, RECORDS = 10, 200, 150, 20_000
MOST_BETWEEN = 4  # large responses to the tenant during one small read of another; ten if they were queued
MOST_MEDIAN_MS = judged(50.0)
BIG = "$ORIGIN big.example.\n@ 300 SOA ns1.example.net. h.example.net. 1 10000 2400 604800 300\n" + "".join(
    f"h{number} 300 A 192.0.2.{number % 256} ; {'x' * 60}\n" for number in range(RECORDS)
)
MEMBERS = "".join(f"- {{kind: zone, identifier: z{number}.example}}\n" for number in range(ZONES))
LARGE_FILES = {
    **{f"acme/zones/z{number}.example.yaml": "records: []\n" for number in range(ZONES)},
    **{f"acme/maps/m{number}.yaml": f"ips: [203.0.113.1]\nmemberships:\n{MEMBERS}" for number in range(MAPS)},
    "acme/zones/big.example.zone": BIG,
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("large"), FILES | LARGE_FILES).running() as running:
        yield running


def version(api: Api, token: str) -> str:
    zone = f"/zones/{api.result('GET', '/zones', params={'name': 'big.example'})[0]['id']}"
    api.result("POST", f"{zone}/dns_records", {"name": "new", "type": "A", "content": "192.0.2.1"}, token=token)
    return f"/client/v4{zone}/history/{api.result('GET', f'{zone}/history')[0]['version']}"


READS: dict[str, Callable[[Api, str], str]] = {
    "a version of a zone": version,
    "a list of maps": lambda api, token: f"/client/v4/accounts/{A1}/addressing/address_maps",
    "the page of maps": lambda api, token: f"/accounts/{A1}/maps",
}


@pytest.mark.parametrize("what", READS)
def test_small_reads_do_not_wait_for_another_tenants_large_ones(
    api: Api, what: str, scale: Scale, figures: Figures
) -> None:
    count = scale(15, 300)
    token = api.token("--account", A1)
    path, headers = READS[what](api, token), {"Authorization": f"Bearer {token}"}
    if not path.startswith("/client"):
        with Person(api, token) as person:
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in person.client.cookies.items())}
    other = {"Authorization": f"Bearer {api.token('--account', A2)}"}
    stop, done = threading.Event(), [0] * CLIENTS
    threads = [
        threading.Thread(target=read_on, args=(api, path, headers, stop, done, number)) for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    waits, between = [], []
    try:
        wait_until(lambda: sum(done) >= CLIENTS)
        with closing(connected(api)) as client:
            for _ in range(count):
                before, began = sum(done), time.monotonic()
                assert read(client, f"/client/v4/accounts/{A2}/tokens", other) == 200
                waits.append(1000 * (time.monotonic() - began))
                between.append(sum(done) - before)
                time.sleep(0.02)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    median_ms = statistics.median(waits)
    figures(
        "S2", f"others, while ten clients read {what}", median=f"{median_ms:.1f} ms", slowest=f"{max(waits):.0f} ms"
    )
    assert statistics.median(between) <= MOST_BETWEEN
    assert median_ms <= MOST_MEDIAN_MS


def connected(api: Api) -> http.client.HTTPConnection:
    host, _, port = api.origin.removeprefix("http://").partition(":")
    return http.client.HTTPConnection(host, int(port), timeout=HANG_S)


def read(client: http.client.HTTPConnection, path: str, headers: Headers) -> int:
    client.request("GET", path, headers=headers)
    reply = client.getresponse()
    reply.read()
    return reply.status


def read_on(api: Api, path: str, headers: Headers, stop: threading.Event, done: list[int], number: int) -> None:
    with closing(connected(api)) as client:
        while not stop.is_set():
            assert read(client, path, headers) == 200
            done[number] += 1
