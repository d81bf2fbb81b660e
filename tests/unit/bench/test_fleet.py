"""The figures of bench.fleet: percentiles, limits, and a link that delays and counts."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from bench.distinct_found import Found
from bench.fleet_figures import AGAIN, ALONE_AGAIN, FAILED, NAMES, OCTETS, WIRE, ZONES, FleetSizes, percentile
from bench.fleet_nodes import free_port
from bench.fleet_report import BEGIN, END, results, write_page
from bench.slow_link import SlowLink
from tests.limits import HANG_S

SIZES = FleetSizes()


@pytest.mark.parametrize(
    ("values", "percent", "wanted"),
    [
        ([5.0], 50, 5.0),
        ([1.0, 2.0, 3.0], 50, 2.0),
        ([*map(float, range(1, 101))], 99, 99.0),
        ([*map(float, range(1, 201))], 99, 198.0),
        ([3.0, 1.0, 2.0], 100, 3.0),
    ],
)
def test_a_percentile_is_one_of_the_values(values: list[float], percent: int, wanted: float) -> None:
    assert percentile(values, percent) == wanted


def test_report_names_what_misses_its_limit_and_what_was_not_measured() -> None:
    found = Found(about={"dnsd": "1"})
    for sample, value in enumerate([20.0] * 199 + [150.0]):
        found.add(ZONES, SIZES.zones, WIRE, "", sample, value)
    for sample, value in enumerate([0, 1]):
        found.add(ZONES, SIZES.zones, FAILED, "", sample, value)
    found.add(NAMES, SIZES.names, AGAIN, "", 0, 1.0)
    found.add(NAMES, SIZES.names, ALONE_AGAIN, "", 0, 1.25)
    for sample, value in enumerate([90_000, 57_000, 56_000]):
        found.add(NAMES, SIZES.names, OCTETS, "", sample, value)
    found.failures["500 edges"] = "no room"
    text = "\n".join(results(found))
    wire = "99 % of the samples, from the 200 to the changed answer of every edge ≤ 100 ms"
    assert f"| 100,000 zones: {wire} | 20.00 ms | yes |" in text
    assert "| 100,000 zones: queries without an answer ≤ 0 | 1 | **no** |" in text
    assert "second start | 0.80 × that of standalone, second start | yes |" in text
    assert "≤ 64000 | 57,000 | yes |" in text
    assert "| not measured | – |" in text
    assert "| from the 200 to the changed answer of every edge, ms | 20.0 | 20.0 | 150.0 | 200 |" in text
    assert "- 500 edges: no room" in text


def test_page_keeps_what_stands_around_the_figures(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    page = write_page(tmp_path, Found(about={"dnsd": "1"})).read_text()
    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"{END}\nafter\n")
    assert "old" not in page


def test_a_slow_link_delays_each_direction_and_counts_what_comes_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, SlowLink(server.getsockname()[1], 0.1) as link:

        def echo() -> None:
            connection, _ = server.accept()
            with connection:
                while octets := connection.recv(100):
                    connection.sendall(octets * 2)

        thread = threading.Thread(target=echo)
        thread.start()
        with socket.create_connection(("127.0.0.1", link.port), timeout=HANG_S) as client:
            began = time.monotonic()
            client.sendall(b"ab")
            assert client.recv(4, socket.MSG_WAITALL) == b"abab"
            assert time.monotonic() - began >= 0.2
            assert link.received == 4
        thread.join(HANG_S)
        assert not thread.is_alive()


def test_a_port_that_others_have_is_not_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert free_port(taken) not in (0, taken)
        assert free_port(taken - 1, above=1) != taken - 1
    assert free_port(taken) == taken
