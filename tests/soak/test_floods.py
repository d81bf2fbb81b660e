"""Floods of packets: malformed, expensive, of every kind, forged and random (reliability.md)."""

from __future__ import annotations

import itertools
import pathlib
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import dns.message
import dns.rcode
import pytest

from dnsd.app import load
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from tests.limits import HANG_S, IS_LONG
from tests.mutations import mutations, seeds
from tests.packets import answers, opt, query, rcode_text, wire_name
from tests.soak.bombs import BOMBS, DEAR, Make
from tests.soak.conftest import Scale
from tests.soak.harness import (
    BARRIER_ID,
    PROBE,
    PROBE_ANSWER,
    Dnsperf,
    Flood,
    Perf,
    Soaked,
    bursts,
    dnsperf,
    frames,
    growth_percent,
    soak_world,
    soaked,
)
from tests.worlds import write_world

Figures = Callable[..., None]

FLAT_PERCENT = 5.0
NAMES = ["www", "dns", "a.w", "big", "large", "sub", "x.sub", "a.old", "c0", "n0", "x.d0", "nope"]
OWNERS = [wire_name(f"{name}.example.com") for name in NAMES] + [wire_name("example.org"), b"\0"]


# F1: malformed packets


def test_malformed_packets(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    packets = harmless_ids(mutations(random.Random(1), seeds(OWNERS)))
    datagrams, messages = scale(160_000, 2_000_000), scale(40_000, 500_000)
    with soaked(tmp_path, is_forked=False) as server:
        flood_udp(server, itertools.islice(fillers(), scale(0, 300_000)))
        flood_udp(server, itertools.islice(packets, scale(20_000, 200_000)))
        flood_tcp(server, itertools.islice(packets, scale(5_000, 50_000)))
        counted, rss, started = server.counted(), server.rss_kib(), time.monotonic()
        sent = flood_udp(server, itertools.islice(packets, datagrams))
        sent += flood_tcp(server, itertools.islice(packets, messages))
        took_s, growth = time.monotonic() - started, growth_percent(rss, server.rss_kib())
        received = server.counted()["received"] - counted["received"]
        figures(
            "F1", "malformed packets", UDP=datagrams, TCP=messages, per_second=sent / took_s, memory=f"{growth:+.1f} %"
        )
        assert received == sent
        assert growth < FLAT_PERCENT
        assert answers(server.udp(PROBE)) == answers(server.tcp(PROBE)) == PROBE_ANSWER


def fillers() -> Iterator[bytes]:
    """Queries that fill every cache before a long flood: 4,096 shapes, 65,536 replies per worker."""
    for flags in range(4):
        for size in range(512, 0xFFFF, 2):
            asked = struct.pack("!6H", size & 0xFF, flags << 4, 1, 0, 0, 1) + OWNERS[0] + struct.pack("!2H", 1, 1)
            yield from [asked + struct.pack("!BHHIH", 0, 41, size, 0, 0)] * 2


def harmless_ids(packets: Iterable[bytes]) -> Iterator[bytes]:
    """The packets that cannot be mistaken for a probe."""
    return (packet for packet in packets if packet[:2] != BARRIER_ID)


def flood_udp(server: Soaked, packets: Iterable[bytes]) -> int:
    """Send all packets and check the replies; return the number sent, probes included."""
    with Flood(server) as flood:
        for burst, replies in flood.send(packets):
            check_replies(burst, replies)
        return flood.sent


def flood_tcp(server: Soaked, packets: Iterable[bytes]) -> int:
    sent = 0
    for burst in bursts(packets, 900):
        with socket.create_connection((server.host, server.port), timeout=HANG_S) as client:
            client.sendall(frames([*burst, BARRIER_ID + PROBE[2:]]))
            check_replies(burst, list(read_until_probe(client)))
        sent += len(burst) + 1
    return sent


def read_until_probe(client: socket.socket) -> Iterator[bytes]:
    with client.makefile("rb") as stream:
        while True:
            reply = stream.read(int.from_bytes(stream.read(2)))
            if reply[:2] == BARRIER_ID:
                assert answers(reply) == PROBE_ANSWER
                return
            yield reply


def check_replies(burst: list[bytes], replies: list[bytes]) -> None:
    """Assert that every query of any kind has a reply, and other packets do not."""
    wanted = [packet[:2] for packet in burst if len(packet) >= 12 and not packet[2] & 0x80]
    assert [reply[:2] for reply in replies] == wanted
    assert all(reply[2] & 0x80 for reply in replies)


# F2: work bombs

CPU_US = 20.0  # microseconds per packet
PLAIN_QUERIES = 16  # the same in plain queries; answers synthesized per query name cost more, up to 50 times


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return load(write_world(soak_world(), tmp_path_factory.mktemp("bombs")), {}).snapshot


def test_work_bombs(tmp_path: pathlib.Path, snapshot: Snapshot, scale: Scale, figures: Figures) -> None:
    """Their cost is judged in-process; live, the kernel and wake-ups for single packets add to it: reported only."""
    count = scale(200, 20_000)
    kinds = list(BOMBS.values())
    costs = {name: cost_us(snapshot, make, count) for name, make in BOMBS.items()}
    worst = max(costs, key=costs.__getitem__)
    mean = cost_us(snapshot, lambda rng: rng.choice(kinds)(rng), count * len(kinds))
    most = bound_us(snapshot, CPU_US)
    with soaked(tmp_path) as server:
        plain = live_cost_us(server, itertools.repeat(query("www.example.com"), scale(10_000, 100_000)))
        rng = random.Random(2)
        bombs = [make(rng) for _ in range(count) for make in BOMBS.values()]
        live = live_cost_us(server, bombs * 3)
        others = Dnsperf(server, POSITIVE, scale(2, 20), max_qps=500)
        while others.process.poll() is None:
            flood_udp(server, bombs)
        perf = others.result()
        figures(
            "F2",
            "work bombs",
            kinds=len(BOMBS),
            mean=f"{mean:.1f} µs",
            most_expensive=f"{costs[worst]:.1f} µs ({worst})",
            live=f"{live:.1f} µs (a plain query {plain:.1f})",
            lost_meanwhile=perf.lost,
            latency_meanwhile=f"{1e3 * perf.latency_s:.1f} ms",
        )
        assert perf.lost == 0
        assert perf.completed > 0
    assert mean <= most
    assert costs[worst] <= 3 * most


def test_expensive_queries(snapshot: Snapshot, scale: Scale, figures: Figures) -> None:
    """Well-formed queries, not bombs: they need zones made for them."""
    costs = {name: cost_us(snapshot, make, scale(200, 20_000)) for name, make in DEAR.items()}
    figures("F2", "expensive queries", **{name: f"{cost:.0f} µs" for name, cost in costs.items()})
    most = bound_us(snapshot, CPU_US)
    assert {name: cost for name, cost in costs.items() if cost > (50 if "DNAME" in name else 2) * most} == {}


def bound_us(snapshot: Snapshot, promised: float) -> float:
    """The promised cost; in the short form, a multiple of a plain query's."""
    return promised if IS_LONG else PLAIN_QUERIES * cost_us(snapshot, lambda rng: query("www.example.com"), 2_000)


def cost_us(snapshot: Snapshot, make: Make, count: int) -> float:
    """Mean CPU time per answer, in the best of several rounds, to exclude the load of other programs."""
    rng = random.Random(3)
    rounds = []
    for _ in range(3):
        packets = [make(rng) for _ in range(count)]
        start = time.thread_time()
        for packet in packets:
            respond(snapshot, packet)
        rounds.append((time.thread_time() - start) / count)
    return 1e6 * min(rounds)


def live_cost_us(server: Soaked, packets: Iterable[bytes]) -> float:
    """Mean CPU time of the workers per message, including kernel, event loop and counting."""
    before, received = worker_cpu_s(server), server.counted()["received"]
    flood_udp(server, packets)
    spent = worker_cpu_s(server) - before
    return 1e6 * spent / (server.counted()["received"] - received)


def worker_cpu_s(server: Soaked) -> float:
    return sum(spent for name, spent in server.cpu_s().items() if name.startswith("worker"))


# F3: every kind of query

CLASSES = [0, 1, 2, 3, 4, 254, 255, 1000, 65_535]
TYPES = [*range(260), 32_768, 32_769, 65_280, 65_535]
KNOWN_RCODES = {"NOERROR", "FORMERR", "NXDOMAIN", "NOTIMP", "REFUSED", "NOTAUTH", "BADVERS"}


def test_every_type_class_opcode_and_flag(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    rng = random.Random(4)
    found: Counter[str] = Counter()
    silent = 0
    with soaked(tmp_path) as server, Flood(server) as flood:
        for burst, replies in flood.send(every_kind(rng, scale(12_000, 600_000))):
            wanted = [packet for packet in burst if not packet[2] & 0x80]
            silent += len(burst) - len(wanted)
            for packet, reply in zip(wanted, replies, strict=True):
                found[check_reply(packet, reply)] += 1
        figures("F3", "types, classes, opcodes, flags", queries=flood.sent, silent=silent, **found)
        assert set(found) <= KNOWN_RCODES
        assert server.counted()["dropped"] == silent


def every_kind(rng: random.Random, count: int) -> Iterator[bytes]:
    """A sample of the product of all values; half are plain queries, for which type and name matter most."""
    for number in range(count):
        is_plain = number % 2
        flags = rng.randrange(256) << 8 & 0x0700 | rng.randrange(256) if is_plain else rng.randrange(65_536)
        qclass = 1 if is_plain else rng.choice(CLASSES)
        after = rng.choice([b"", opt(), opt(version=rng.choice((0, 0, 1, 255)), flags=0x8000)])
        qtype = TYPES[number // 2 % len(TYPES)]
        packet = query(rng.choice(OWNERS), qtype, qclass=qclass, flags=flags, after=after)
        yield rng.randrange(0xB000).to_bytes(2) + packet[2:]


def check_reply(packet: bytes, reply: bytes) -> str:
    """The rcode of a valid reply, which can be parsed and echoes id, opcode and RD."""
    # Parsed as a reply to a query, as dnspython has special rules for the zone section of an UPDATE.
    message = dns.message.from_wire(reply[:2] + bytes([reply[2] & 0x87]) + reply[3:])
    assert reply[:2] == packet[:2]
    assert reply[2] & 0xF9 == packet[2] & 0x79 | 0x80 | reply[2] & 0x80, (packet.hex(), reply.hex())
    assert reply[2] & 0x80
    return dns.rcode.to_text(message.rcode())


# F10: amplification. Each kind of response comes from a network of its own.

RATE, RRL_S = 200, 3.0
CLIENTS = 8  # addresses in each network
ATTACK_QPS = 1_600  # of each network
RRL = {"rrl": {"responses_per_second": RATE, "slip": 2, "exempt": []}}
ATTACKS: dict[str, Make] = {
    "one name": lambda rng: query("amplified.example.com", after=opt()),
    "random names": lambda rng: DEAR["random names"](rng),
    "random names of a wildcard": lambda rng: DEAR["wildcard, random"](rng),
    "random names of a delegation": lambda rng: DEAR["delegation"](rng),
    "refused": lambda rng: query(f"x{rng.random()}.example.edu"),
    "malformed": lambda rng: query("www.example.com")[:-1],
}


class Network:
    """Clients in one /24 that send the same kind of query."""

    def __init__(self, server: Soaked, number: int, make: Make) -> None:
        self.make = make
        self.sent = self.whole = self.cut = self.sent_octets = self.received_octets = 0
        self.sockets = [client_at(server, f"127.9.{number}.{client + 1}") for client in range(CLIENTS)]

    def ask(self, rng: random.Random) -> None:
        for sock in self.sockets:
            packet = self.make(rng)
            self.sent_octets += len(packet)
            self.sent += 1
            sock.send(packet)

    def take(self) -> None:
        for sock in self.sockets:
            for reply in waiting(sock):
                self.received_octets += len(reply)
                self.cut += bool(reply[2] & 0x02)
                self.whole += not reply[2] & 0x02


def client_at(server: Soaked, source: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((source, 0))
    sock.connect((server.host, server.port))
    sock.setblocking(False)
    return sock


def waiting(sock: socket.socket) -> Iterator[bytes]:
    try:
        while True:
            yield sock.recv(65_535)
    except BlockingIOError:
        return


def test_amplification(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    seconds = RRL_S * scale(1, 10)
    with soaked(tmp_path, limits=RRL) as server:
        networks = {name: Network(server, number, make) for number, (name, make) in enumerate(ATTACKS.items())}
        innocents = [client_at(server, f"127.8.{number}.1") for number in range(8)]  # of both workers
        holder = client_at(server, "127.9.0.200")  # in the network that queries one name, but with a cookie
        with_cookie = query("amplified.example.com", after=opt(options=cookie_of(server, holder)))
        before = server.counted()
        took_s, asked_by_others, others = attack(
            list(networks.values()), [(holder, with_cookie), *((one, PROBE) for one in innocents)], seconds
        )
        after = server.counted()
        whole = {name: network.whole for name, network in networks.items()}
        sent, cut = (sum(getattr(one, what) for one in networks.values()) for what in ("sent", "cut"))
        one = networks["one name"]
        figures(
            "F10",
            "amplification",
            networks=len(networks),
            queries=sent,
            whole_answers_per_second=f"{min(whole.values()) / took_s:.0f} to {max(whole.values()) / took_s:.0f}",
            cut=cut,
            amplification=f"{one.received_octets / one.sent_octets:.1f} (without a limit 25)",
            innocent=f"{min(others[1:]):.0%}",
            with_cookie=f"{others[0]:.0%}",
        )
        for sock in (*innocents, holder, *(sock for network in networks.values() for sock in network.sockets)):
            sock.close()
        assert set(others) == {1.0}
        allowed = RATE * (took_s + 1)  # one second's worth may be sent at once
        assert {
            name: count for name, count in whole.items() if not 0.9 * RATE * took_s <= count <= 1.05 * allowed
        } == {}
        for name, network in networks.items():
            share = network.cut / (network.sent - network.whole)
            assert share == 0 if name == "malformed" else 0.45 < share < 0.55, name
        answered = sum(one.whole + one.cut for one in networks.values())
        assert after["received"] - before["received"] == sent + asked_by_others
        assert after["dropped"] - before["dropped"] == sent - answered


def cookie_of(server: Soaked, client: socket.socket) -> bytes:
    """The option with the server's cookie for this client."""
    client.send(query("dns.example.com", after=opt(options=struct.pack("!HH", 10, 8) + b"soak-tst")))
    client.settimeout(HANG_S)
    reply = dns.message.from_wire(client.recv(4096))
    client.setblocking(False)
    (option,) = (one for one in reply.options if one.otype == 10)
    cookie = bytes(option.to_wire() or b"")
    return struct.pack("!HH", 10, len(cookie)) + cookie


def attack(
    networks: list[Network], others: list[tuple[socket.socket, bytes]], seconds: float
) -> tuple[float, int, list[float]]:
    """Send all networks' queries at an even pace. Return the seconds taken, the number of the others' queries, and the
    share of each one's that was answered in full.

    The next turn waits for the replies to the others, so that no queue in the kernel overflows.
    """
    rng = random.Random(5)
    started = time.monotonic()
    asked, answered = 0, [0 for _ in others]
    for turn in range(int(seconds * ATTACK_QPS / CLIENTS)):
        time.sleep(max(0.0, started + turn * CLIENTS / ATTACK_QPS - time.monotonic()))
        for network in networks:
            network.ask(rng)
            network.take()
        asked += 1
        for sock, packet in others:
            sock.send(packet)
        for index, (sock, _) in enumerate(others):
            sock.settimeout(HANG_S)
            answered[index] += not sock.recv(65_535)[2] & 0x02
    took_s = time.monotonic() - started
    time.sleep(0.5)
    for network in networks:
        network.take()
    return took_s, asked * len(others), [count / asked for count in answered]


# F11: floods from forged addresses

IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
OUTSTANDING = 200  # datagrams that the server's socket holds while it is busy


class Forger:
    """A client that sends from a new address of 127.0.0.0/8 each time."""

    def __init__(self, server: Soaked) -> None:
        self._to = (server.host, server.port)
        self.sent = self.answered = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self._socket.bind(("0.0.0.0", 0))
        self._socket.settimeout(HANG_S)

    def __enter__(self) -> Forger:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def send(self, packets: Iterable[tuple[bytes, bytes]]) -> None:
        """Send each packet from its address; raises TimeoutError if too many replies are missing."""
        for source, packet in packets:
            info = struct.pack("@I4s4s", 0, source, bytes(4))
            self._socket.sendmsg([packet], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, self._to)
            self.sent += 1
            while self.sent - self.answered > OUTSTANDING:
                self._take()
        while self.sent > self.answered:
            self._take()

    def _take(self) -> None:
        self._socket.recv(4096)
        self.answered += 1


def forged(rng: random.Random, count: int) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(count):
        source = 0x7F100000 + rng.randrange(0xE00000)
        yield source.to_bytes(4), DEAR["random names"](rng)


def test_forged_addresses(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    rng = random.Random(6)
    count = scale(40_000, 2_000_000)
    with soaked(tmp_path, is_forked=False, limits=RRL) as server, Forger(server) as forger:
        forger.send(forged(rng, 40_000))  # more addresses than any cache has room for
        rss, started = server.rss_kib(), time.monotonic()
        forger.send(forged(rng, count))
        took_s, growth = time.monotonic() - started, growth_percent(rss, server.rss_kib())
        innocent = client_at(server, "127.8.0.1")
        innocent.settimeout(HANG_S)
        innocent.send(PROBE)
        reply = innocent.recv(4096)
        innocent.close()
        figures(
            "F11",
            "forged addresses",
            addresses=count,
            answered_per_second=count / took_s,
            memory=f"{growth:+.1f} %",
            limited=int(server.metric("dnsd_rate_limited_total")),
        )
        assert answers(reply) == PROBE_ANSWER
        assert growth < FLAT_PERCENT


# F12: floods of random names

POSITIVE = ["www.example.com A", "dns.example.com A", "dns.example.com AAAA", "www.example.org A"]
ROUNDS = 2


def test_random_names(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    rng = random.Random(7)
    random_names = [f"{rng.getrandbits(64):x}.example.com A" for _ in range(scale(150_000, 1_000_000))]
    seconds = scale(2, 20)
    with soaked(tmp_path, is_forked=False) as server:
        dnsperf(server, random_names, 1)
        rss = server.rss_kib()
        positive, negative = list[Perf](), list[Perf]()
        for _ in range(ROUNDS):
            positive.append(dnsperf(server, POSITIVE, seconds))
            negative.append(dnsperf(server, random_names, seconds))
        growth = growth_percent(rss, server.rss_kib())
        rates = [sum(perf.qps for perf in found) / ROUNDS for found in (positive, negative)]
        figures(
            "F12",
            "random names",
            positive=f"{rates[0]:,.0f} a second",
            NXDOMAIN=f"{rates[1]:,.0f} a second",
            ratio=rates[1] / rates[0],
            memory=f"{growth:+.1f} %",
            lost=sum(perf.lost for perf in positive + negative),
        )
        assert all(set(perf.rcodes) == {"NXDOMAIN"} for perf in negative)
        assert rates[1] >= (0.5 if IS_LONG else 0.25) * rates[0]
        assert growth < FLAT_PERCENT


# F4: the largest RRset and chain


def test_largest_rrset_and_longest_chain(tmp_path: pathlib.Path, figures: Figures) -> None:
    with soaked(tmp_path, reload={"watch": False}) as server:
        for after in (b"", opt(size=65_535)):
            cut, whole = (ask(query("big.example.com", after=after)) for ask in (server.udp, server.tcp))
            assert cut[2] & 0x02
            assert len(answers(whole)) == 100
        chain = answers(server.udp(query("c0.example.com")))
        assert chain == [*(f"c{number}.example.com." for number in range(1, 8)), "dns.example.com.", *PROBE_ANSWER]
        zone = server.folder / "accounts/acme/zones/example.com.yaml"
        good = zone.read_text(encoding="utf-8")
        server.write("accounts/acme/zones/example.com.yaml", good + "- {name: big, type: A, content: 192.0.2.101}\n")
        result = server.reload()
        figures(
            "F4",
            "largest RRset",
            records=100,
            octets=len(whole),
            with_one_more=result.stderr.splitlines()[0].split("]: ")[-1],
        )
        assert result.returncode == 1
        assert f"{zone}:" in result.stderr
        assert "big" in result.stderr
        assert rcode_text(server.udp(PROBE)) == "NOERROR"
