"""UDP together with TCP clients that pipeline as fast as they are answered (reliability.md)."""

from __future__ import annotations

import pathlib
import resource
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest

from tests.conformance.peers import KINDS, Peer, binary_of, nsd_conf
from tests.limits import IS_LONG
from tests.soak.conftest import Scale
from tests.soak.harness import Dnsperf, Perf, Soaked, soak_world
from tests.soak.pipelining import LOADS, NINE_NETWORKS, Latencies, Load, ask_over_udp, pipelining

Figures = Callable[..., None]

ROOM = {"limits": {"tcp": {"connections": 2_000, "per_client": 1_000}}, "workers": 1}
DESCRIPTORS = 4_096
QPS = 5_000  # of dnsperf at the same time
ANSWERED = 0.98  # share of dnsperf's queries
TIMES_NSD = 3.0  # limit on the 99th percentile under the larger load, in multiples of NSD's
ZONE = """\
example.com. 300 SOA ns1.example.com. host.example.com. 1 2 3 4 5
example.com. 300 NS ns1.example.com.
ns1.example.com. 300 A 192.0.2.1
dns.example.com. 300 A 192.0.2.2
"""


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    """Raise the limit on descriptors, which child processes inherit, for the connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip(f"needs {DESCRIPTORS} file descriptors; {hard} are allowed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def nsd_with_room(folder: pathlib.Path, port: int, zones: Mapping[str, pathlib.Path]) -> str:
    """NSD's configuration, with a limit that allows all connections."""
    return nsd_conf(folder, port, zones).replace("server-count: 1", "server-count: 1\n  tcp-count: 2000")


NSD = replace(KINDS[0], configure=nsd_with_room)


def udp_under(server: Soaked | Peer, load: Load, seconds: int) -> tuple[Latencies, Perf]:
    """The latencies of a UDP client under a load, and then dnsperf's measurements."""
    with pipelining(server.port, load):
        ask_over_udp(server.port, 0.5)  # until the load has started
        latencies = ask_over_udp(server.port, seconds)
        perf = Dnsperf(server, ["dns.example.com A"], seconds, max_qps=QPS, timeout_s=5.0).result()
    return latencies, perf


def test_udp_with_pipelining_clients(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    if binary_of(NSD) is None:
        pytest.skip(f"not installed: {NSD.package}")
    seconds = scale(0, 10)
    if not seconds:  # the test below looks at the same path, without milliseconds
        pytest.skip("compares milliseconds with NSD's: DNSD_SOAK=long")
    with Peer(NSD, {"example.com": ZONE}, tmp_path) as nsd:
        theirs, _ = udp_under(nsd, LOADS["900 of nine networks"], seconds)
    bound_s = TIMES_NSD * theirs.percentile(0.99)
    with Soaked(tmp_path, soak_world(**ROOM)) as server:
        found = {name: udp_under(server, load, seconds) for name, load in LOADS.items()}
        server.baseline()
    for name, (latencies, perf) in found.items():
        figures(
            "F16",
            f"UDP and TCP, {name}",
            median_ms=1e3 * latencies.percentile(0.5),
            p99_ms=1e3 * latencies.percentile(0.99),
            NSD_p99_ms_with_900=1e3 * theirs.percentile(0.99),
            dnsperf=f"{perf.qps:,.0f} of {QPS:,} a second",
            lost=perf.lost + latencies.lost,
        )
    for latencies, perf in found.values():
        assert latencies.percentile(0.99) <= bound_s
        assert latencies.lost == perf.lost == 0
        assert perf.qps >= ANSWERED * QPS


MANY = Load(200, NINE_NETWORKS, queries=300)
PAUSE_S = 0.004  # between a reply and the next query
SHARE = 0.2 if IS_LONG else 0.1  # of the queries that are answered without the load; half is usual, a twentieth was


@pytest.mark.parametrize("udp", ["auto", "portable"])
def test_udp_has_its_share(udp: str, tmp_path: pathlib.Path) -> None:
    """The ratio of queries answered one at a time with and without TCP clients, independent of the machine's load."""
    with Soaked(tmp_path, soak_world(**ROOM), env={"DNSD_UDP": udp}) as server:
        alone, together = 0, 0
        for _ in range(2):
            alone += answered_in_a_second(server)
            with pipelining(server.port, MANY):
                ask_over_udp(server.port, 0.3)
                together += answered_in_a_second(server)
        assert together >= SHARE * alone


def answered_in_a_second(server: Soaked) -> int:
    found = ask_over_udp(server.port, 1.0, pause_s=PAUSE_S)
    assert found.lost == 0
    return len(found.seconds)
