"""The way of a question from a worker's sockets into control's sample, in both loops and over TCP."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.control import publish
from dnsd.control.publish import Publisher, WorkerLink
from dnsd.engine.snapshot import Snapshot
from dnsd.engine.verdict import Replay
from dnsd.log import Log
from dnsd.manage.recent import RecentQuestions
from dnsd.net import udp
from dnsd.net.listen import Address, Listener, open_listener
from dnsd.net.udp import Udp
from dnsd.process.link import MessageKind, read_message
from dnsd.process.shared import Shared
from dnsd.process.state import State
from dnsd.questions import SLOTS
from dnsd.worker import worker as module
from dnsd.worker.worker import Worker, WorkerSetup
from tests.limits import HANG_S
from tests.models import dataset, record, worker_settings, zone
from tests.packets import answers, query, rcode_text

COM, ORG = b"\7example\3com\0", b"\7example\3org\0"


def served() -> Snapshot:
    com = zone("example.com", [record("www A 192.0.2.1"), record("* A 192.0.2.2"), record("a.b TXT x")])
    return build_snapshot(dataset([com, zone("example.org", [record("www A 192.0.2.3")])], {}), Options(()), None)


class Clock:
    """The monotonic clock of workers and control."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for one in (module, publish):  # not asyncio's
        monkeypatch.setattr(one, "time", clock)
    return clock


@pytest.fixture(name="listener")
def _listener() -> Iterator[Listener]:
    listener = open_listener(Address("127.0.0.1", 0))
    for sock in (*listener.udp, *listener.tcp):
        sock.setblocking(False)
    yield listener
    listener.close()


KINDS = [
    Udp.PORTABLE,
    pytest.param(Udp.BATCH, marks=pytest.mark.skipif(not udp.IS_BUILT, reason="no C compiler")),
]


class Wire:
    """A connection between a worker and control."""

    def __init__(self) -> None:
        self.octets = b""

    @property
    def transport(self) -> Wire:
        return self

    def get_write_buffer_size(self) -> int:
        return len(self.octets)

    def write(self, octets: bytes) -> None:
        self.octets += octets


class Server:
    """Control and its workers, in one process and without a loop of their own."""

    def __init__(self, state: Path, workers: int = 1) -> None:
        self.shared = Shared(workers, 8)
        self.publisher = Publisher(self.shared, state, Log())
        self.recent = RecentQuestions(self.publisher.samples.questions)
        self._state = State(folder=state, address="", lock=-1, is_temporary=False)
        self.workers = [self.started(index) for index in range(workers)]

    def started(self, index: int, kind: Udp = Udp.PORTABLE, *listeners: Listener, pid: int = 0) -> Worker:
        setup = WorkerSetup(
            process=self.shared.workers[index],
            shared=self.shared,
            listeners=listeners,
            state=self._state,
            settings=worker_settings(),
            cookie_secret=bytes(16),
            log=Log("test"),
            udp=kind,
        )
        worker = Worker(setup)
        self.publisher.links[index] = WorkerLink(index, pid, Wire(), serves=0, sent=0)  # type: ignore[arg-type]
        return worker

    async def collect(self) -> list[int]:
        """Ask all workers for their samples; return the slots that they send."""
        asking = asyncio.ensure_future(self.publisher.collect_samples(HANG_S))
        await asyncio.sleep(0)
        slots = []
        for index, worker in enumerate(self.workers):
            link: Any = self.publisher.links[index]
            for kind, payload in await messages(link.writer):
                assert kind is MessageKind.SAMPLE
                worker._control = answers = Wire()
                await worker._send_sample(**json.loads(payload))
                *sent, end = await messages(answers)
                for one, slot in sent:
                    assert one is MessageKind.SAMPLED
                    self.publisher.samples.add(link, slot)
                    slots.append(json.loads(slot)["slot"])
                assert end[0] is MessageKind.SAMPLE_END
                self.publisher.samples.end(link, end[1])
        await self.publisher._notify()
        assert await asking == []
        return slots


async def messages(wire: Wire) -> list[tuple[MessageKind, bytes]]:
    reader = asyncio.StreamReader()
    reader.feed_data(wire.octets)
    reader.feed_eof()
    wire.octets = b""
    found = []
    while not reader.at_eof():
        found.append(await read_message(reader))
    return found


def pick(worker: Worker, *names: str) -> None:
    """Let a worker's only socket pick these questions."""
    octets = [query(name)[12:-2] for name in names]
    worker._picks = [lambda: (octets, len(octets))]
    worker._sample_questions()


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), HANG_S))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_questions_over_udp_and_tcp_are_sampled(tmp_path: Path, clock: Clock, listener: Listener, kind: Udp) -> None:
    async def work() -> None:
        server = Server(tmp_path)
        server.workers = [worker] = [server.started(0, kind, listener)]
        worker._serve(served())
        address = (listener.address.host, listener.address.port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(address)
            for _ in range(10):
                client.send(query("wWw.example.com"))  # repeated from the second time on
            for name in ("x.example.com", "y.example.com", "no.example.org", "www.example.net"):
                client.send(query(name))
            await asyncio.sleep(0.2)
        reader, writer = await asyncio.open_connection(*address)
        octets = query("www.example.org", "AAAA")
        writer.write(struct.pack("!H", len(octets)) + octets)
        assert await reader.read(2)
        writer.close()
        worker._sample_questions()
        clock.now += 10
        worker._sample_questions()
        assert len(await server.collect()) == 1
        asked = {one.qname: one for one in server.publisher.samples.questions}
        assert len(list(server.publisher.samples.questions)) == 10 + 5
        assert asked[b"\1x" + COM].owner == asked[b"\1y" + COM].owner == b"\1*" + COM
        assert (asked[b"\2no" + ORG].owner, asked[b"\2no" + ORG].zone) == (b"", ORG)
        assert asked[b"\3www" + ORG].qtype == 28
        assert asked[b"\3www\7example\3net\0"].zone == b""
        assert server.recent.share_of({b"\3www" + ORG}) == pytest.approx(1 / 14)
        for one in worker._udp:
            one.stop()
        for other in worker._tcp:
            other.stop()
            await other.finish(0.1)

    run(work)


def zone_shares(recent: RecentQuestions) -> dict[bytes, float]:
    """The share of questions of each zone, by apex."""
    weights: defaultdict[bytes, float] = defaultdict(float)
    for (apex, _, _), weight in recent.asked().items():
        weights[apex] += weight
    total = sum(weights.values())
    return {apex: weight / total for apex, weight in weights.items()}


def test_samples_of_two_workers_are_merged_and_sent_once(tmp_path: Path, clock: Clock) -> None:
    async def work() -> None:
        server = Server(tmp_path, workers=2)
        for worker in server.workers:
            worker._serve(served())
        pick(server.workers[0], *["www.example.com"] * 3)
        pick(server.workers[1], "www.example.org")
        assert await server.collect() == []  # the slot is still open
        clock.now += 10
        for worker in server.workers:
            pick(worker)
        assert await server.collect() == [100, 100]
        assert zone_shares(server.recent) == {COM: 0.75, ORG: 0.25}
        assert await server.collect() == []
        assert zone_shares(server.recent) == {COM: 0.75, ORG: 0.25}

    run(work)


def test_sample_outlives_a_worker_and_control(tmp_path: Path, clock: Clock) -> None:
    async def work() -> None:
        server = Server(tmp_path)
        server.workers[0]._serve(served())
        pick(server.workers[0], "www.example.com")
        clock.now += 10
        pick(server.workers[0], "www.example.com")
        await server.collect()
        clock.now += 10
        server.workers = [server.started(0, pid=2)]  # the first one's last slot is lost
        server.workers[0]._serve(served())
        pick(server.workers[0], "www.example.org")
        clock.now += 10
        pick(server.workers[0])
        assert await server.collect() == [102]
        assert zone_shares(server.recent) == {COM: 0.5, ORG: 0.5}
        after = Server(tmp_path)
        after.workers = server.workers
        assert await after.collect() == [102]
        assert zone_shares(after.recent) == {ORG: 1.0}

    run(work)


def test_control_forgets_questions_after_ten_minutes(tmp_path: Path, clock: Clock) -> None:
    async def work() -> None:
        server = Server(tmp_path)
        server.workers[0]._serve(served())
        pick(server.workers[0], "www.example.com")
        clock.now += 10
        pick(server.workers[0])
        await server.collect()
        assert zone_shares(server.recent) == {COM: 1.0}
        clock.now += 10 * SLOTS
        await server.collect()
        assert zone_shares(server.recent) == {}

    run(work)


def test_worker_sends_no_more_than_control_reads(tmp_path: Path, clock: Clock) -> None:
    async def work() -> None:
        server = Server(tmp_path)
        (worker,) = server.workers
        worker._serve(served())
        for _ in range(3):
            pick(worker, "www.example.com")
            clock.now += 10
        pick(worker)
        full = Wire()
        full.write(bytes(module.MAX_UNREAD + 1))
        worker._control = full
        await worker._send_sample(0, 1)
        assert len(full.octets) == module.MAX_UNREAD + 1
        assert await server.collect() == [100, 101, 102]  # later, all of it

    run(work)


def test_silent_worker_is_named_and_left_out(tmp_path: Path, clock: Clock) -> None:
    async def work() -> None:
        server = Server(tmp_path, workers=3)
        for worker in server.workers:
            worker._serve(served())
            pick(worker, "www.example.com")
        clock.now += 10
        for worker in server.workers:
            pick(worker)
        del server.publisher.links[2]  # it has ended
        asking = asyncio.ensure_future(server.publisher.collect_samples(0.2))
        await asyncio.sleep(0)
        link: Any = server.publisher.links[0]
        ((_, payload),) = await messages(link.writer)
        server.workers[0]._control = answers = Wire()
        await server.workers[0]._send_sample(**json.loads(payload))
        (_, slot), (_, end) = await messages(answers)
        server.publisher.samples.add(link, slot)
        server.publisher.samples.end(link, end)
        await server.publisher._notify()
        assert await asking == ["worker-1", "worker-2"]
        assert len(list(server.publisher.samples.questions)) == 1

    run(work)


def test_slot_that_is_asked_for_twice_counts_once(tmp_path: Path, clock: Clock) -> None:
    async def work() -> None:
        server = Server(tmp_path)
        (worker,) = server.workers
        worker._serve(served())
        pick(worker, "www.example.com")
        clock.now += 10
        pick(worker)
        link: Any = server.publisher.links[0]
        for number in (1, 2):  # asked before the first one is answered
            worker._control = answers = Wire()
            await worker._send_sample(0, number)
            (_, slot), _ = await messages(answers)
            server.publisher.samples.questions.begin(101)
            server.publisher.samples.add(link, slot)
        assert len(list(server.publisher.samples.questions)) == 1

    run(work)


def changed() -> Snapshot:
    """Other data than `served`: changed, gone and new names."""
    com = zone("example.com", [record("www A 192.0.2.9"), record("a.b A 192.0.2.5")])
    return build_snapshot(dataset([com, zone("example.org", [record("www A 192.0.2.3")])], {}), Options(()), None)


QUESTIONS = [
    ("www.example.com", "A"),
    ("wWw.example.com", "AAAA"),
    ("x.example.com", "A"),
    ("a.b.example.com", "TXT"),
    ("b.example.com", "A"),
    ("www.example.org", "A"),
    ("no.example.org", "A"),
]


async def answers_to(client: socket.socket) -> dict[bytes, tuple[str, list[str]]]:
    """The rcode and the data for each question, over UDP; asked twice, as the compiled loop answers repetitions."""
    found = {}
    for name, rtype in QUESTIONS:
        octets = query(name, rtype)
        for _ in range(2):
            await asyncio.get_running_loop().sock_sendall(client, octets)
            reply = await asyncio.get_running_loop().sock_recv(client, 4096)
        found[octets[12:-2].lower()] = rcode_text(reply), answers(reply)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_replay_of_a_sample_says_what_a_worker_answers_next(
    tmp_path: Path, clock: Clock, listener: Listener, kind: Udp
) -> None:
    async def work() -> None:
        server = Server(tmp_path)
        server.workers = [worker] = [server.started(0, kind, listener)]
        worker._serve(served())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect((listener.address.host, listener.address.port))
            before = await answers_to(client)
            worker._sample_questions()
            clock.now += 10
            worker._sample_questions()
            await server.collect()
            worker._serve(changed())
            after = await answers_to(client)
        replay = Replay(served(), changed(), lambda apex: True)
        sample = {(one.qname, one.qtype) for one in server.publisher.samples.questions}
        for one in sample:
            replay.ask(*one)
        assert {qname + qtype.to_bytes(2) for qname, qtype in sample} == before.keys()
        said = {one.replayed.qname + one.replayed.qtype.to_bytes(2) for one in replay.changed}
        assert said == {asked for asked in before if before[asked] != after[asked]}
        assert len(said) == 3
        for one in worker._udp:
            one.stop()

    run(work)


PLACES = {
    "a name": ("www.example.com", COM, "www.example.com"),
    "the apex": ("example.org", ORG, "example.org"),
    "a wildcard": ("x.y.example.com", COM, "*.example.com"),
    "no data": ("b.example.com", COM, "b.example.com"),
    "below a name, where no wildcard applies": ("x.b.example.com", COM, ""),
    "no name": ("x.example.org", ORG, ""),
    "a name of 127 labels": (".".join("a" * 125) + ".com", b"", ""),
    "outside of the zones": ("example.net", b"", ""),
    "the root": (".", b"", ""),
}


@pytest.mark.parametrize(("name", "apex", "owner"), PLACES.values(), ids=PLACES.keys())
def test_place_of_a_name(name: str, apex: bytes, owner: str) -> None:
    qname, snapshot = query(name)[12:-4], served()
    assert snapshot.place_of(qname) == (apex, query(owner)[12:-4] if owner else b"")
    assert not snapshot.names._nodes, "a sample of names asked once fills no memory of nodes"
