"""A worker: answers DNS on its sockets from the snapshot it has, whatever happens to the rest of the server.

It maps the snapshot file when it starts, or is told to, and takes changes from control. It writes nothing, and knows no
zone files.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

from dnsd.engine.snapshot import Snapshot
from dnsd.engine.transfer import apply_delta
from dnsd.log import Log
from dnsd.metrics import Counts
from dnsd.net.limits import Admission, RateLimiter
from dnsd.net.listen import Listener
from dnsd.net.tcp import TcpServer
from dnsd.net.tcp_connection import TcpLimits
from dnsd.net.turns import Turns
from dnsd.net.udp import Udp, UdpServer, udp_server
from dnsd.serve.answering import Answering, Serving
from dnsd.serve.link import Kind, packed, peer_uid, read_message
from dnsd.serve.shared import Number, Process, Shared
from dnsd.serve.signals import leave_on_signal
from dnsd.serve.state import State
from dnsd.serve.tasks import in_thread, run_until
from dnsd.settings import LiveSettings, RrlSettings, TcpSettings
from dnsd.store.snapshot_file import FILE_NAME, load_snapshot, unpickled
from dnsd.wire.cookies import Cookies

DRAIN_S = 4.0  # how long clients may take to read their last replies
BEAT_S = 0.25
COUNT_S = 1.0  # how often counts go to control
LAST_WORDS_S = 0.3  # how long control may take to hear the last counts
RECONNECT_S = 0.1
MAX_UNREAD = 1024 * 1024  # octets of counts that control has not read; more are kept and counted on


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a worker is given."""

    process: Process
    shared: Shared
    listeners: tuple[Listener, ...]
    state: State
    settings: LiveSettings  # as they were at the start; control sends later ones
    cookie_secret: bytes  # for when the settings have none
    log: Log
    udp: Udp


class _SupersededError(ValueError):
    """Something newer came before this could be done: what is served is known all the same."""


class Worker:
    """One worker process, from its start to its end."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._log = place.log
        self._counts = Counts()
        self._answerings: list[Answering] = []
        self._serving: Serving | None = None
        self._control: asyncio.StreamWriter | None = None
        self._limited_by: RrlSettings | None = None  # what the limiter was made from
        self._knows = True  # that what it serves is what control thinks it does
        self._udp: list[UdpServer] = []
        self._tcp: list[TcpServer] = []
        self._stop = asyncio.Event()
        self._has_begun = asyncio.Event()  # the snapshot file is served, or cannot be used
        caps = place.settings.limits.tcp
        self._admission = Admission(
            place.shared.regions, place.process.index, connections=caps.connections, per_client=caps.per_client
        )

    async def run(self, *, until_drained: bool) -> None:
        """Answer until a signal to end; or, `until_drained`, only what the sockets have received already."""
        leave_on_signal(asyncio.get_running_loop(), self._stop.set)
        work = [self._begin(until_drained=until_drained), self._beat()]
        if not until_drained:
            work += [self._follow_control(), self._report()]
        await run_until(self._stop, work)
        if self._serving is None:  # ended before it had begun: what its sockets have received is answered all the same
            await self._begin(until_drained=True)
        await self._drain()
        with suppress(TimeoutError, OSError):
            await asyncio.wait_for(self._send_counts(), LAST_WORDS_S)

    async def _begin(self, *, until_drained: bool) -> None:
        """Serve what the snapshot file holds; where it cannot be used, control sends what is published."""
        try:
            await self._load()
        except ValueError as error:
            self._log.warning(f"{self._place.process.name} waits for its snapshot: {error}")
        finally:
            self._has_begun.set()
        if until_drained:
            self._stop.set()

    async def _load(self, revision: int | None = None) -> Snapshot:
        """Serve what the snapshot file holds. Raises ValueError where it cannot be used, or holds another revision."""
        with _no_garbage():
            title, parts = await in_thread(partial(load_snapshot, self._place.state.folder / FILE_NAME))
            if revision not in (None, title.revision):
                raise _SupersededError(f"the snapshot file holds revision {title.revision}, not {revision}")
            snapshot = await _in_turns(apply_delta(None, parts))
            self._serve(snapshot)
        return snapshot

    def _serve(self, snapshot: Snapshot) -> None:
        """Answer from this snapshot from now on."""
        if self._serving is None:
            self._serving = Serving(snapshot, None, None, log_only=False, query_sample=0)
            self._use(self._place.settings)
            self._open()
        self._serving.snapshot = snapshot
        self._forget()
        self._place.shared.set(self._place.process, Number.REVISION, snapshot.revision)

    def _open(self) -> None:
        """Begin to take queries from the sockets."""
        loop = asyncio.get_running_loop()
        turns = Turns(loop)
        for listener in self._place.listeners:
            for sock in listener.udp:
                answering = self._answering("udp", listener)
                self._udp.append(udp_server(self._place.udp, loop, sock, answering))
            for sock in listener.tcp:
                answering = self._answering("tcp", listener)
                self._tcp.append(
                    TcpServer(
                        loop,
                        sock,
                        answering.respond,
                        turns=turns,
                        admission=self._admission,
                        limits=_tcp_limits(self._place.settings.limits.tcp),
                        count=self._counts.add,
                        observe=answering.observe,
                    )
                )
        for udp in self._udp:
            udp.start()
        for tcp in self._tcp:
            tcp.start()

    def _answering(self, protocol: str, listener: Listener) -> Answering:
        assert self._serving is not None
        family = "ipv6" if ":" in listener.address.host else "ipv4"
        answering = Answering(self._serving, self._counts, self._log, protocol, family)
        self._answerings.append(answering)
        return answering

    def _use(self, settings: LiveSettings) -> None:
        """Heed these settings from now on."""
        assert self._serving is not None
        limits, serving = settings.limits, self._serving
        secrets = limits.cookies.secrets or (self._place.cookie_secret,)
        serving.cookies = Cookies(secrets) if limits.cookies.enabled else None
        if limits.rrl != self._limited_by:
            serving.limiter = _limiter(limits.rrl, self._place.shared.rates)
            self._limited_by = limits.rrl
        serving.log_only = limits.rrl.log_only
        serving.query_sample = settings.query_log.sample
        self._admission.connections = limits.tcp.connections
        self._admission.per_client = limits.tcp.per_client
        self._forget()
        for tcp in self._tcp:
            tcp.limits = _tcp_limits(limits.tcp)
        self._log.format, self._log.level = settings.log.format, settings.log.level

    def _forget(self) -> None:
        """Send no reply again that was made from what is being replaced."""
        if self._serving is not None:
            for udp in self._udp:
                udp.forget(self._serving.snapshot.names, self._serving.snapshot.longest)

    async def _follow_control(self) -> None:
        """Take what control publishes; answers go on while it is away."""
        await self._has_begun.wait()
        while True:
            with suppress(OSError, EOFError):
                reader, self._control = await asyncio.open_unix_connection(self._place.state.address)
                try:
                    if peer_uid(self._control.get_extra_info("socket")) != os.geteuid():
                        raise PermissionError
                    self._control.write(packed(Kind.HELLO, self._introduction()))
                    await self._obey(reader)
                except ValueError as error:
                    self._log.error(f"{self._place.process.name} cannot use what control sent: {error}; it asks again")
                    self._knows = isinstance(error, _SupersededError)
                finally:
                    self._control.close()
                    self._control = None
            await asyncio.sleep(RECONNECT_S)

    def _introduction(self) -> dict[str, int]:
        revision = self._serving.snapshot.revision if self._serving and self._knows else 0
        return {"worker": self._place.process.index, "pid": os.getpid(), "revision": revision}

    async def _obey(self, reader: asyncio.StreamReader) -> None:
        while True:
            kind, payload = await read_message(reader)
            if kind is Kind.DELTA:
                self._tell_served(await self._change(payload))
            elif kind is Kind.LOAD:
                self._tell_served(await self._load(json.loads(payload)["revision"]))
            elif kind is Kind.LIMITS:
                self._change_settings(LiveSettings.model_validate_json(payload))
            elif kind is Kind.COUNT:
                await self._send_counts(json.loads(payload)["asked"])

    def _change_settings(self, settings: LiveSettings) -> None:
        """Heed other settings; those that are in force cost nothing."""
        if settings == self._place.settings:
            return
        self._place = replace(self._place, settings=settings)
        if self._serving is not None:
            self._use(settings)

    async def _change(self, payload: bytes) -> Snapshot:
        """Serve what a change makes of what is served. Raises ValueError where it is one of something else."""
        current = self._serving.snapshot if self._serving else None
        with _no_garbage():
            snapshot = await _in_turns(apply_delta(current, unpickled(io.BytesIO(payload))))
            self._serve(snapshot)
        return snapshot

    def _tell_served(self, snapshot: Snapshot) -> None:
        self._knows = True
        if self._control is not None:
            self._control.write(packed(Kind.SERVING, {"revision": snapshot.revision}))

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(COUNT_S)
            with suppress(OSError):  # control has just ended
                await self._send_counts()

    async def _send_counts(self, asked: int = 0) -> None:
        """Send what was counted to control, or keep it until control is there and listens."""
        for udp in self._udp:
            udp.account()
        for answering in self._answerings:
            answering.work_out()
        control = self._control
        if control is None or control.transport.get_write_buffer_size() > MAX_UNREAD:
            return
        control.write(packed(Kind.COUNTED, {"asked": asked, "counts": self._counts.take()}))
        await control.drain()

    async def _beat(self) -> None:
        while True:
            self._place.shared.beat(self._place.process)
            await asyncio.sleep(BEAT_S)

    async def _drain(self) -> None:
        """Answer what the sockets have received, then close them."""
        for tcp in self._tcp:
            tcp.stop()
        for udp in self._udp:
            udp.stop()
        await asyncio.gather(*(tcp.finish(DRAIN_S) for tcp in self._tcp))


def _limiter(settings: RrlSettings, rates: memoryview[float]) -> RateLimiter | None:
    if not settings.responses_per_second:
        return None
    return RateLimiter(
        rates,
        responses_per_second=settings.responses_per_second,
        slip=settings.slip,
        ipv4_prefix=settings.ipv4_prefix,
        ipv6_prefix=settings.ipv6_prefix,
        exempt=settings.exempt,
    )


def _tcp_limits(settings: TcpSettings) -> TcpLimits:
    return TcpLimits(idle_s=settings.idle_s, first_byte_s=settings.first_byte_s, queries=settings.queries)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """For taking in what is served: no garbage is looked for in it, now or later, as that would stop the answers.

    What is frozen is there for ever if it is garbage already, so that is looked for first, when hardly anything is not
    frozen yet: afterwards it would take a third of a second for a million names.
    """
    gc.collect()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


async def _in_turns(steps: Iterator[Snapshot | None]) -> Snapshot:
    """The snapshot that the steps lead to; queries are answered between them."""
    for snapshot in steps:
        if snapshot is not None:
            return snapshot
        await asyncio.sleep(0)
    raise AssertionError("a delta that leads to no snapshot")
