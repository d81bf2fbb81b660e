"""Several edges of three servers: while servers are killed no query fails, and at the end all answer alike."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dns.message

from dnsd.errors import DnsdError
from tests.fleet.edges import FILES, SETTINGS, Edge, EdgeFolder, FleetSource
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import NatsServer, new_root, running
from tests.limits import HANG_S, IS_LONG
from tests.live.server import Dnsd

pytestmark = needs_nats_server
CHANGES = 400 if IS_LONG else 16
KINDS = ("A", "AAAA", "SOA", "NS", "TXT", "HTTPS")


class Changing:
    """A source whose files change at random, each with a later time than all before."""

    def __init__(self, source: FleetSource, seed: int) -> None:
        self.source, self.random, self.clock = source, random.Random(seed), 1_600_000_000
        self.zones = {f"z{number}.example" for number in range(6)}
        self.names: set[str] = set()
        self.put({**FILES, **{self.file(zone): self.text(zone) for zone in sorted(self.zones)}})

    def put(self, texts: dict[str, str | bytes | None]) -> None:
        self.source.put(texts)
        for name, text in texts.items():
            self.clock += 1
            if text is not None:
                os.utime(self.source.accounts / name, (self.clock, self.clock))

    def file(self, zone: str) -> str:
        return f"öst/zones/{zone}.yaml"

    def text(self, zone: str) -> str:
        names = self.random.sample(["www", "api", '"*"', "mail", "a.b"], 3)
        self.names |= {f"{name.strip(chr(34)).replace('*', 'x')}.{zone}" for name in names} | {zone}
        return "records:\n" + "".join(
            f"- {{name: {name}, type: A, content: 192.0.2.{self.random.randrange(256)}, "
            f"proxied: {str(self.random.random() < 0.6).lower()}}}\n"
            for name in names
        )

    def map_text(self) -> str:
        zones = self.random.sample(sorted(self.zones), min(2, len(self.zones)))
        members = "".join(f"- {{kind: zone, identifier: {zone}}}\n" for zone in zones)
        ip = f"203.0.113.{self.random.randrange(1, 255)}"
        return f"enabled: {str(self.random.random() < 0.7).lower()}\nips: [{ip}]\nmemberships:\n{members}"

    def step(self) -> None:
        """One change of one to three files."""
        match self.random.randrange(4):
            case 0 | 1:
                self.put({"öst/maps/some.yaml": self.map_text()})
            case 2:
                zones = self.random.sample(sorted(self.zones), 2)
                self.put({self.file(zone): self.text(zone) for zone in zones})
            case 3:
                zone = f"n{self.random.randrange(100)}.example"
                self.zones.add(zone)
                self.put({self.file(zone): self.text(zone), "öst/maps/some.yaml": self.map_text()})

    def send(self) -> None:
        """Import until the servers take it."""
        deadline = time.monotonic() + HANG_S
        while True:
            try:
                self.source.send()
                return
            except DnsdError:
                assert time.monotonic() < deadline
                time.sleep(0.1)


def answers(server: Dnsd, names: set[str]) -> dict[tuple[str, str], str]:
    found = {}
    for name in sorted(names):
        for kind in KINDS:
            query = dns.message.make_query(name, kind)
            query.id = 1
            reply = dns.message.from_wire(server.tcp(query.to_wire()))
            for section in (reply.answer, reply.authority, reply.additional):
                section.sort()  # RRsets; rotated records compare equal
            found[name, kind] = "\n".join(sorted(reply.to_text().splitlines()))
    return found


@contextmanager
def asked(edges: list[Edge]) -> Iterator[list[str]]:
    """Ask all edges meanwhile; the questions without an answer."""
    failed: list[str] = []
    done = threading.Event()

    def ask(edge: Edge) -> None:
        query = dns.message.make_query("www.west.example", "AAAA").to_wire()
        while not done.is_set():
            try:
                if dns.message.from_wire(edge.server.udp(query)).rcode():
                    failed.append("another code")
            except OSError as error:
                failed.append(str(error))
            time.sleep(0.005)

    threads = [threading.Thread(target=ask, args=(edge,)) for edge in edges]
    for thread in threads:
        thread.start()
    try:
        yield failed
    finally:
        done.set()
        for thread in threads:
            thread.join()


class Killed:
    """A server that is killed, and starts again a second later."""

    def __init__(self, server: NatsServer) -> None:
        server.__exit__()
        self._timer = threading.Timer(1.0, server.__enter__)
        self._timer.start()

    def join(self) -> None:
        """Wait until it has started."""
        self._timer.join()


def test_edges_answer_alike_after_servers_were_killed(tmp_path: Path) -> None:
    root = new_root(tmp_path, 3)
    folders = [EdgeFolder(root, tmp_path / name, name) for name in ("e1", "e2", "e3")]
    changing = Changing(FleetSource(root, tmp_path), seed=18)
    with running(root) as servers, ExitStack() as stack:
        changing.send()
        edges = [stack.enter_context(folder.serving()) for folder in folders[:2]]
        with asked(edges) as failed:
            for number in range(CHANGES):
                changing.step()
                killed = Killed(servers[changing.random.randrange(3)]) if number % 8 == 3 else None
                changing.send()
                if killed:
                    killed.join()
        assert failed == []
        edges.append(stack.enter_context(folders[2].serving()))  # a new one
        with Dnsd(alone(changing.source, tmp_path)) as standalone:
            wanted = answers(standalone, changing.names)
            assert all("\nflags QR AA" in text for text in wanted.values())  # an edge may lack a new zone for a moment
            for edge in edges:
                deadline = time.monotonic() + HANG_S
                while (found := answers(edge.server, changing.names)) != wanted:
                    assert time.monotonic() < deadline, {key for key in wanted if wanted[key] != found[key]}
                    time.sleep(0.1)


def alone(source: FleetSource, folder: Path) -> Path:
    """The settings of a server on one machine with the files of a source."""
    file = folder / "alone.yaml"
    file.write_text(json.dumps({**SETTINGS, "data": str(source.accounts), "state": "alone"}))
    return file
