"""Control: loads the files, publishes their data, and answers operators. DNS clients never reach it."""

from __future__ import annotations

import asyncio
import importlib
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnsd.control.brake import Brake
from dnsd.control.current import Current
from dnsd.control.folder_store import FolderStore
from dnsd.control.heartbeat import Heartbeat
from dnsd.control.loading import Loader
from dnsd.control.model_keeper import ModelKeeper
from dnsd.control.publish import Publisher
from dnsd.log import Log
from dnsd.manage.audit import FILE_NAME as AUDIT_LOG
from dnsd.manage.audit import AuditLog
from dnsd.process.shared import Process, Shared, Slot
from dnsd.process.signals import leave_on_signal
from dnsd.process.state import State
from dnsd.process.tasks import in_thread, run_until
from dnsd.settings.role import Role
from dnsd.settings.server import Settings
from dnsd.source import SettingsReader
from dnsd.store.port import Store

if TYPE_CHECKING:
    from dnsd.control.certificates import Certificates
    from dnsd.control.change_queue import ChangeQueue
    from dnsd.control.observer import RouteObserver
    from dnsd.control.outside import Outside
    from dnsd.fleet.control_edges import ControlEdges
    from dnsd.fleet.edge_presence import EdgePresence
    from dnsd.fleet.shared_state import SharedState
    from dnsd.manage.acts import Acts
    from dnsd.manage.brake import Book
    from dnsd.manage.history import History
    from dnsd.manage.pending import Due
    from dnsd.manage.pending_files import PendingFiles
    from dnsd.manage.session_port import SessionRecords
    from dnsd.manage.token_port import Tokens

BEGUN_WITHIN_S = 3.0  # all workers, at a start; all other work of control waits for them so long
GOING_ON = "dnsd.control.going_on"
SAVED_WITHIN_S = 0.3  # at the end; the supervisor's patience is a little longer
SHARED_WITHIN_S = 2.0  # what controls share, at a start

ControlTask = Callable[["Control"], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSetup:
    """The parts of the server that control receives from the process that forks it."""

    process: Process
    shared: Shared
    config: Path
    settings: Settings  # at the server's start
    state: State
    local: socket.socket  # listens for workers and commands, since before the fork
    supervisor: socket.socket  # lines in both directions
    metrics: socket.socket | None
    api: socket.socket | None
    log: Log
    listening: tuple[str, ...]  # addresses, as shown in the status


class Control:
    """The control process, from its start to its end."""

    def __init__(self, setup: ControlSetup) -> None:
        self.setup = setup
        self.publisher = Publisher(setup.shared, setup.state.folder, setup.log)
        self.current = Current(setup.state.folder, setup.settings, self.publisher, setup.log)
        self.audit = AuditLog(setup.state.folder / AUDIT_LOG, room=self.current.audit_room, report=setup.log.warning)
        self.brake = Brake(setup.state.folder, self.audit, setup.log)
        settings = SettingsReader(setup.config)
        self.fleet: ControlEdges | None = None  # of a control
        self.presence: EdgePresence | None = None  # of an edge
        self.shared = self._shared()
        self.store = self._store(settings)
        self.keeper = ModelKeeper(self.current.snapshot_file, self.publisher, setup.log)
        self.loader = Loader(settings, self.store, self.current, self.publisher, self.brake, self.keeper, setup.log)
        self.started = time.monotonic()
        self._may_report_at = 0.0  # on the monotonic clock
        self._has_begun = asyncio.Event()  # every worker serves the first snapshot, or BEGUN_WITHIN_S have passed

    def _store(self, settings: SettingsReader) -> Store:
        """The store of the server's role; a server alone need not have the libraries of a fleet."""
        setup, state, settle = self.setup, self.setup.state.folder, self.audit.settle_again
        if setup.settings.role is Role.EDGE:
            from dnsd.fleet.edge_presence import EdgePresence
            from dnsd.fleet.store import edge_store

            edge = edge_store(setup.config, state, setup.settings, setup.log, self._max_drop_percent)
            self.presence = EdgePresence(edge)
            return edge
        if setup.settings.role is Role.CONTROL:
            from dnsd.fleet.control_edges import ControlEdges
            from dnsd.fleet.control_store import ControlStore

            pending = self.shared.pending_objects if self.shared else None
            control = ControlStore(setup.config, state, setup.settings, settle, setup.log, pending=pending)
            self.fleet = ControlEdges(control)
            return control
        return FolderStore(settings, state, served=self.current.served_texts, settle=settle, log=setup.log)

    def _shared(self) -> SharedState | None:
        """What the controls of a fleet share in addition to the files; None for other roles."""
        setup = self.setup
        if setup.settings.role is not Role.CONTROL:
            return None
        from dnsd.fleet.shared_state import SharedState

        return SharedState(setup.config, setup.state.folder, setup.settings, setup.log)

    def _max_drop_percent(self) -> int:
        return self.current.settings.reload.max_drop_percent

    # The parts from here on have no work before that, and importing them takes a tenth of a second.

    @cached_property
    def acts(self) -> Acts:
        """The acts that change other files of the state folder."""
        from dnsd.manage.acts import Acts

        elsewhere = self.shared.seen if self.shared else None
        return Acts(self.setup.state.folder, self.audit, self.tokens, self.setup.log.error, elsewhere)

    @cached_property
    def certificates(self) -> Certificates:
        """The certificates of the HTTP services."""
        from dnsd.control.certificates import Certificates

        return Certificates(self.setup.config, self.current, self.setup.settings, self.setup.log)

    @cached_property
    def changes(self) -> ChangeQueue:
        """The queue of changes."""
        from dnsd.control.change_queue import ChangeQueue

        return ChangeQueue(self.store, self.current, self.loader, self.publisher, self.brake, self.setup.log)

    @cached_property
    def history(self) -> History:
        """The versions of all objects."""
        from dnsd.manage.history import History

        return History(self.setup.state.folder, self.setup.log.error, self.current.blocks)

    @cached_property
    def observer(self) -> RouteObserver:
        """The observed routes."""
        from dnsd.control.observer import RouteObserver

        setup = self.setup
        return RouteObserver(setup.config, self.current, self.loader, self.changes, self.brake, self.acts, setup.log)

    @cached_property
    def outside(self) -> Outside:
        """The process that asks resolvers."""
        from dnsd.control.outside import Outside

        return Outside()

    @property
    def due(self) -> Sequence[Due]:
        """The pending changes; an edge makes none, and imports nothing of them."""
        return () if self.setup.settings.role is Role.EDGE else self.pending.due

    @cached_property
    def sessions(self) -> SessionRecords:
        """The sessions of signed-in users."""
        from dnsd.manage.session_file import SessionFile

        return self.shared.sessions if self.shared else SessionFile(self.setup.state.folder, self.setup.log.error)

    @cached_property
    def tokens(self) -> Tokens:
        """The tokens."""
        from dnsd.manage.token_file import TokenFile

        return self.shared.tokens if self.shared else TokenFile(self.setup.state.folder)

    @cached_property
    def pending(self) -> PendingFiles:
        """The pending changes."""
        from dnsd.manage.pending_files import PendingFiles

        return self.shared.pending if self.shared else PendingFiles(self.setup.state.folder)

    async def run(self, services: Sequence[ControlTask]) -> int:
        """Load, publish, and run the services until a signal to end. Return an exit status, 1 without data to serve.

        At the end, the published snapshot is saved if it is not yet: the files may be unusable at the next start.
        """
        stop = asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(self._log_loop_error)
        leave_on_signal(asyncio.get_running_loop(), stop.set)
        statuses: list[int] = []
        heartbeat = Heartbeat(partial(self.setup.shared.beat, self.setup.process))
        shared = [self.shared.run(), self._share_brake(self.shared)] if self.shared else []
        await run_until(stop, [heartbeat.run(), self.store.run(), *shared, self._work(stop, services, statuses)])
        with suppress(TimeoutError):  # of a large snapshot or a hung disk: the older file stays whole
            async with asyncio.timeout(SAVED_WITHIN_S):
                await self.publisher.save()
        return sum(statuses)

    async def _share_brake(self, shared: SharedState) -> None:
        """Have the brake's book be that of all controls, forever."""
        from dnsd.fleet.shared_brake import share_brake

        def read() -> tuple[Book, float]:
            return self.brake.book, self.current.settings.reload.window_s

        async def take(change: Callable[[Book], Book]) -> None:
            async with self.current.turn:
                await self.brake.keep(change(self.brake.book))

        self.brake.when_kept = shared.is_brake_due.set
        await share_brake(shared.brake, shared.is_brake_due, read, take)

    def _log_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log asyncio's errors; an OSError, such as a lack of descriptors, without its stack, at most once a second."""
        error = context.get("exception")
        if not isinstance(error, OSError):
            loop.default_exception_handler(context)
        elif time.monotonic() >= self._may_report_at:
            self._may_report_at = time.monotonic() + 1
            self.setup.log.error(f"{context['message']}: {error.strerror}")

    async def _work(self, stop: asyncio.Event, services: Sequence[ControlTask], statuses: list[int]) -> None:
        await self.current.drains.load()
        before = int(self.setup.shared.get(self.setup.process, Slot.REVISION))
        while not await self.loader.load_first(before):
            if not await self.store.arrival():
                statuses.append(1)
                stop.set()
                return
        await self.publisher.save()
        # Kept in an attribute: a garbage-collected writer closes its socket.
        reader, self._supervisor = await asyncio.open_connection(sock=self.setup.supervisor)
        self._supervisor.write(b"loaded\n")
        work = [self._tell_when_ready(), self._go_on(), self._obey_supervisor(reader, stop)]
        await run_until(stop, [*work, *(service(self) for service in services)])

    async def has_begun(self) -> None:
        """Wait until queries are answered: until then, work of control would only keep workers from their start."""
        await self._has_begun.wait()

    async def _go_on(self) -> None:
        await self.publisher.wait_until_served(self.publisher.revision, BEGUN_WITHIN_S)
        going_on = await in_thread(partial(importlib.import_module, GOING_ON))
        await self._look_for_pending()
        await self.certificates.look(is_patient=False)
        if self.shared:
            await self.shared.until_whole(SHARED_WITHIN_S)  # else a token could be good that was revoked meanwhile
        self._has_begun.set()
        await going_on.go_on(self)

    async def _look_for_pending(self) -> None:
        if self.setup.settings.role is Role.EDGE:
            return
        try:
            problems = await in_thread(self.pending.refresh)
        except OSError as error:
            problems = [f"pending changes cannot be read: {error}"]
        for problem in problems:
            self.setup.log.error(problem)
        if self.due and self.setup.api is None:
            self.setup.log.error(f"{len(self.due)} pending changes are not made while `api` is off")

    async def _tell_when_ready(self) -> None:
        await self.publisher.wait_until_served(self.publisher.revision)
        self._supervisor.write(b"ready\n")

    async def _obey_supervisor(self, reader: asyncio.StreamReader, stop: asyncio.Event) -> None:
        while line := await reader.readline():
            if line == b"reload\n":
                await self.loader.reload()
        stop.set()  # the supervisor has gone
