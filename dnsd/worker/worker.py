"""A worker: answers DNS queries on its sockets from its snapshot, whatever happens to the rest of the server.

It maps the snapshot file at its start or on request, and receives deltas from control. It writes no files and reads no
zone files.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

from dnsd.engine.delta import apply_delta
from dnsd.engine.snapshot import Snapshot
from dnsd.log import Log
from dnsd.metrics import Counts
from dnsd.net.limits import RateLimits, rate_limiter
from dnsd.net.listen import Listener
from dnsd.net.picks import Picked
from dnsd.net.places import Places
from dnsd.net.tcp import TcpServer
from dnsd.net.turns import Turns
from dnsd.net.udp import Udp, UdpServer, udp_server
from dnsd.process.link import MessageKind, packed, peer_uid, read_message
from dnsd.process.shared import Process, Shared, Slot
from dnsd.process.signals import leave_on_signal
from dnsd.process.snapshot_file import FILE_NAME, unpickled
from dnsd.process.snapshot_log import load_snapshot
from dnsd.process.state import State
from dnsd.process.tasks import in_thread, run_until
from dnsd.process.worker_settings import WorkerSettings
from dnsd.questions import Question, QuestionSample, packed_slot, slot_at
from dnsd.wire.cookies import Cookies
from dnsd.worker.answering import Answering, Serving

DRAIN_S = 4.0  # for clients to read their last replies
BEAT_S = 0.25
COUNT_S = 1.0  # between two messages with counts to control
LAST_COUNTS_S = 0.3  # for control to read the last counts
RECONNECT_S = 0.1
CONTROL_S = 1.0  # for control to bring a started worker up to date, before that answers from an older snapshot
MAX_UNREAD = 1024 * 1024  # octets of counts not yet read by control; above this, the worker goes on counting


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """The parts of the server that a worker receives from the process that forks it."""

    process: Process
    shared: Shared
    listeners: tuple[Listener, ...]
    state: State
    settings: WorkerSettings  # at the server's start; control sends later ones
    cookie_secret: bytes  # used if the settings have none
    log: Log
    udp: Udp


class _SupersededError(ValueError):
    """The snapshot file holds a newer revision than the one to load; control still knows which revision is served."""


class Worker:
    """One worker process, from its start to its end."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._log = setup.log
        self._counts = Counts()
        self._answerings: list[Answering] = []
        self._serving: Serving | None = None
        self._control: asyncio.StreamWriter | None = None
        self._limiter_settings: RateLimits | None = None  # those of the current limiter
        self._excess = mmap.mmap(-1, len(setup.shared.rates))  # of all limiters; only used pages need memory
        self._is_revision_known = True  # to control
        self._udp: list[UdpServer] = []
        self._tcp: list[TcpServer] = []
        self._picks: list[Callable[[], Picked]] = []  # of each socket
        self._sample = QuestionSample()
        self._stop = asyncio.Event()
        self._has_begun = asyncio.Event()  # the snapshot file is loaded or has proved unusable
        self._has_loaded = asyncio.Event()  # a snapshot, which may be older than the published one
        self._is_open = False  # queries are read
        shared, index = setup.shared, setup.process.index
        self._places = Places(shared.regions, index, setup.settings.tcp_places, asks=shared.asks)

    async def run(self, *, until_drained: bool) -> None:
        """Answer until a signal to end; with `until_drained`, only queries already received by the sockets."""
        leave_on_signal(asyncio.get_running_loop(), self._stop.set)
        work = [self._begin(until_drained=until_drained), self._beat()]
        if not until_drained:
            work += [self._follow_control(), self._open_in_time(), self._report()]
        await run_until(self._stop, work)
        if self._serving is None:  # stopped before it began: queries already received are still answered
            await self._begin(until_drained=True)
        self._open()
        await self._drain()
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(LAST_COUNTS_S):
                await self._send_counts()

    async def _begin(self, *, until_drained: bool) -> None:
        """Load the snapshot file; if it cannot be used, control sends the published snapshot."""
        try:
            await self._load()
        except ValueError as error:
            self._log.warning(f"{self._setup.process.name} waits for a snapshot from control: {error}")
        finally:
            self._has_begun.set()
        if until_drained:
            self._stop.set()

    async def _open_in_time(self) -> None:
        """Without word from control, answer from a snapshot that is older than the published one."""
        await self._has_loaded.wait()
        await asyncio.sleep(CONTROL_S)
        if not self._is_open:
            name = self._setup.process.name
            self._log.warning(
                f"{name} answers from an older snapshot: control has sent no newer one in {CONTROL_S:g} s"
            )
            self._open()

    async def _load(self, revision: int | None = None) -> Snapshot:
        """Serve the snapshot file. Raises ValueError if it cannot be used or holds another `revision`."""
        with _no_garbage():
            file = self._setup.state.folder / FILE_NAME
            title, steps = await in_thread(partial(load_snapshot, file, revision, self._setup.shared.verified))
            if revision not in (None, title.revision):
                raise _SupersededError(f"the snapshot file holds revision {title.revision}, not {revision}")
            snapshot = await _in_turns(steps)
            self._serve(snapshot)
        return snapshot

    def _serve(self, snapshot: Snapshot) -> None:
        """Answer from this snapshot from now on; a started worker, not before it has the published one."""
        shared = self._setup.shared
        if self._serving is None:
            self._serving = Serving(snapshot, None, None, query_sample=0)
            self._use(self._setup.settings)
            self._has_loaded.set()
        self._serving.snapshot = snapshot
        self._forget()
        if self._is_open:
            shared.set(self._setup.process, Slot.REVISION, snapshot.revision)
        elif snapshot.revision >= shared.get(shared.control, Slot.REVISION):
            self._open()

    def _open(self) -> None:
        """Start reading queries from the sockets, if there is a snapshot, and they are not read yet."""
        if self._serving is None or self._is_open:
            return
        self._is_open = True
        self._setup.shared.set(self._setup.process, Slot.REVISION, self._serving.snapshot.revision)
        loop = asyncio.get_running_loop()
        turns = Turns(loop)
        for listener in self._setup.listeners:
            for sock in listener.udp:
                answering = self._answering("udp", listener)
                udp = udp_server(self._setup.udp, loop, sock, answering)
                self._udp.append(udp)
                self._picks.append(udp.picked)
            for sock in listener.tcp:
                answering = self._answering("tcp", listener)
                self._picks.append(answering.picks.take)
                self._tcp.append(
                    TcpServer(
                        loop,
                        sock,
                        answering.respond,
                        turns=turns,
                        places=self._places,
                        limits=self._setup.settings.tcp,
                        count=self._counts.add,
                        observe=answering.observe,
                    )
                )
        self._forget()  # gives the sockets the names, and the limiter
        loop.add_reader(self._setup.shared.asks[self._setup.process.index][0], self._places.answer_asks)
        for server in self._udp:
            server.start()
        for tcp in self._tcp:
            tcp.start()

    def _answering(self, protocol: str, listener: Listener) -> Answering:
        assert self._serving is not None
        family = "ipv6" if ":" in listener.address.host else "ipv4"
        answering = Answering(self._serving, self._counts, self._log, protocol, family)
        self._answerings.append(answering)
        return answering

    def _use(self, settings: WorkerSettings) -> None:
        """Apply these settings from now on."""
        assert self._serving is not None
        serving = self._serving
        secrets = settings.cookie_secrets or (self._setup.cookie_secret,)
        serving.cookies = Cookies(secrets) if settings.cookies else None
        if settings.rates != self._limiter_settings:
            self._account()  # with the old limiter
            shared = self._setup.shared
            serving.limiter = rate_limiter(settings.rates, shared.rates, shared.rates_key, self._excess)
            self._limiter_settings = settings.rates
        serving.query_sample = settings.query_sample
        self._places.limits = settings.tcp_places
        self._forget()
        for tcp in self._tcp:
            tcp.limits = settings.tcp
        self._log.format, self._log.level = settings.log_format, settings.log_level

    def _forget(self) -> None:
        """Discard remembered replies that were made from the previous snapshot or settings."""
        serving = self._serving
        if serving is not None:
            table = serving.snapshot.names.table
            for udp in self._udp:
                udp.forget(table, serving.limiter)

    async def _follow_control(self) -> None:
        """Receive snapshots and settings from control, forever; answering goes on while control is away."""
        await self._has_begun.wait()
        while True:
            with suppress(OSError, EOFError):
                reader, self._control = await asyncio.open_unix_connection(self._setup.state.address)
                try:
                    if peer_uid(self._control.get_extra_info("socket")) != os.geteuid():
                        raise PermissionError
                    self._control.write(packed(MessageKind.HELLO, self._introduction()))
                    await self._obey(reader)
                except ValueError as error:
                    self._log.error(f"{self._setup.process.name} cannot use control's message: {error}; reconnecting")
                    self._is_revision_known = isinstance(error, _SupersededError)
                finally:
                    self._control.close()
                    self._control = None
            await asyncio.sleep(RECONNECT_S)

    def _introduction(self) -> dict[str, int]:
        revision = self._serving.snapshot.revision if self._serving and self._is_revision_known else 0
        return {"worker": self._setup.process.index, "pid": os.getpid(), "revision": revision}

    async def _obey(self, reader: asyncio.StreamReader) -> None:
        while True:
            kind, payload = await read_message(reader)
            if kind is MessageKind.DELTA:
                self._tell_served(await self._apply_delta(payload))
            elif kind is MessageKind.LOAD:
                self._tell_served(await self._load(json.loads(payload)["revision"]))
            elif kind is MessageKind.LIMITS:
                self._change_settings(WorkerSettings.from_json(payload))
            elif kind is MessageKind.COUNT:
                await self._send_counts(json.loads(payload)["asked"])
            elif kind is MessageKind.SAMPLE:
                await self._send_sample(**json.loads(payload))

    def _change_settings(self, settings: WorkerSettings) -> None:
        """Apply settings, unless they are in force already."""
        if settings == self._setup.settings:
            return
        self._setup = replace(self._setup, settings=settings)
        if self._serving is not None:
            self._use(settings)

    async def _apply_delta(self, payload: bytes) -> Snapshot:
        """Apply a delta to the served snapshot, and serve the result. Raises ValueError for a delta of another base."""
        current = self._serving.snapshot if self._serving else None
        with _no_garbage():
            snapshot = await _in_turns(apply_delta(current, unpickled(io.BytesIO(payload))))
            self._serve(snapshot)
        return snapshot

    def _tell_served(self, snapshot: Snapshot) -> None:
        self._is_revision_known = True
        if self._control is not None:
            self._control.write(packed(MessageKind.SERVING, {"revision": snapshot.revision}))

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(COUNT_S)
            self._sample_questions()
            with suppress(OSError):  # control just ended
                await self._send_counts()

    def _account(self) -> None:
        """Turn everything counted so far into metrics."""
        for udp in self._udp:
            udp.account()
        for answering in self._answerings:
            answering.flush_tally()

    async def _send_counts(self, asked: int = 0) -> None:
        """Send the counts to control; keep them while control is away or does not read."""
        self._account()
        control = self._control
        if control is None or control.transport.get_write_buffer_size() > MAX_UNREAD:
            return
        control.write(packed(MessageKind.COUNTED, {"asked": asked, "counts": self._counts.take()}))
        await control.drain()

    def _sample_questions(self) -> None:
        """Add the questions picked since the last call to the sample."""
        slot = slot_at(time.monotonic())
        self._sample.begin(slot)
        for take in self._picks:
            picked, passed = take()
            self._sample.add(self._questions(picked, passed), slot)

    def _questions(self, picked: list[bytes], passed: int) -> Iterator[Question]:
        """The picked questions, each standing for its share of all that passed."""
        assert self._serving is not None
        snapshot = self._serving.snapshot
        weight = passed / max(1, len(picked))
        for octets in filter(None, picked):
            qname = octets[:-2].lower()
            zone, owner = snapshot.place_of(qname)
            yield Question(qname, int.from_bytes(octets[-2:]), zone, owner, weight)

    async def _send_sample(self, after: int, asked: int) -> None:
        """Send control the slots of the sample after this number, one at a time, and the number of its request."""
        for slot, questions in tuple(self._sample.after(after)):
            control = self._control
            if control is None or control.transport.get_write_buffer_size() > MAX_UNREAD:
                return
            control.write(packed(MessageKind.SAMPLED, packed_slot(slot, questions)))
            await asyncio.sleep(0)  # queries are answered between slots
        if self._control is not None:
            self._control.write(packed(MessageKind.SAMPLE_END, {"asked": asked}))

    async def _beat(self) -> None:
        while True:
            self._setup.shared.beat(self._setup.process)
            await asyncio.sleep(BEAT_S)

    async def _drain(self) -> None:
        """Answer queries already received, then close the sockets."""
        for tcp in self._tcp:
            tcp.stop()
        for udp in self._udp:
            udp.stop()
        await asyncio.gather(*(tcp.finish(DRAIN_S) for tcp in self._tcp))


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Exempt the objects made in this context from garbage collection for good, as it would delay answers.

    Frozen garbage is never freed, so garbage is collected first, while few objects are not yet frozen: afterwards it
    would take a third of a second for a million names.
    """
    gc.collect()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


async def _in_turns(steps: Iterator[Snapshot | None]) -> Snapshot:
    """Run the steps and return their snapshot; queries are answered between steps."""
    for snapshot in steps:
        if snapshot is not None:
            return snapshot
        await asyncio.sleep(0)
    raise AssertionError("a delta without a snapshot")
