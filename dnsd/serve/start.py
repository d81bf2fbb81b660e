"""Start the server: settings, sockets, state, privileges; then the supervisor forks the other processes."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from dnsd.app import load
from dnsd.compiled import stale_parts
from dnsd.control.code_digest import code_digest
from dnsd.control.control import Control, ControlSetup
from dnsd.control.local import serve_local
from dnsd.errors import InvalidDataError, Problem
from dnsd.log import LibraryHandler, Log
from dnsd.net.listen import (
    Address,
    Listener,
    ListenError,
    activated_listeners,
    address_of,
    dropped_datagrams,
    open_listener,
    open_stream_listener,
)
from dnsd.net.udp import Udp, available
from dnsd.process.memory import share_heap
from dnsd.process.parent import end_with_parent
from dnsd.process.privileges import ServerUser, raise_descriptor_limit, user_to_assume
from dnsd.process.shared import Process, Shared, Slot
from dnsd.process.signals import ignore_signals
from dnsd.process.state import State, listen_local, take_state
from dnsd.process.state_folder import give_folder
from dnsd.process.tasks import in_thread
from dnsd.serve.late_modules import STORES, WEB, import_late_modules
from dnsd.serve.state_content import STATE_NAMES, sound_state
from dnsd.serve.supervisor import Child, Children, Run, Supervisor
from dnsd.settings.file import load_settings
from dnsd.settings.role import Role
from dnsd.settings.server import Settings
from dnsd.settings.services import plain_warnings
from dnsd.settings.values import SECRET_SIZE
from dnsd.settings.written import state_folder_of
from dnsd.worker.worker import Worker, WorkerSetup

OUTBOUND = "dnsd.outbound.outbound"
SWITCH_S = 0.0002  # after which a thread of control lets others go on; a change waits so long after each file it writes
SUPERVISOR_WAIT_S, CONTROL_WAIT_S = 0.1, 0.2  # for a log line to be read; a worker does not wait


def serve(config: Path) -> int:
    """Serve until SIGTERM, SIGINT or SIGQUIT; return the exit status.

    Raises InvalidDataError, ListenError, PrivilegeError or UnsafeFolderError before anything is served.
    """
    ignore_signals()
    share_heap()
    _open_standard_streams()
    settings = _settings(config)
    log = Log("supervisor", wait_s=SUPERVISOR_WAIT_S)
    log.format, log.level = settings.log.format, settings.log.level
    code_digest()  # of the code as loaded: by the time another control process is forked, an upgrade may have begun
    if settings.role.is_in_fleet:
        _import_fleet(config, settings.role)
    owner = user_to_assume(settings.user, settings.group)
    udp = available(settings.udp)
    raise_descriptor_limit()
    listeners = activated_listeners() or open_listeners(settings.listen, settings.worker_count, log)
    metrics = open_stream_listener(settings.metrics.listen) if settings.metrics else None
    api = open_stream_listener(settings.api.listen) if settings.api else None
    for warning in (*plain_warnings(settings), *stale_parts()):
        log.warning(f"warning: {warning}")
    folder = state_folder_of(config, settings.state)
    _assume(owner, folder, log)
    state = take_state(folder, log)
    for problem in sound_state(state.folder):
        log.error(problem)
    server = _Server(
        config=config,
        settings=settings,
        log=log,
        listeners=listeners,
        http={"metrics": metrics, "api": api},
        state=state,
        local=_listen_local(state),
        udp=udp,
    )
    return server.run()


def _assume(owner: ServerUser | None, folder: Path, log: Log) -> None:
    """Give the state folder to the server's user, and become it; without one, warn if this is root."""
    if owner:
        import_late_modules()
        if problem := give_folder(folder, owner, STATE_NAMES):
            log.warning(f"warning: state: {problem}")
        owner.assume()
    elif os.geteuid() == 0:
        log.warning("warning: the server runs as root, so an attacker who takes it over is root, too: set `user`")


def _import_fleet(config: Path, role: Role) -> None:
    """Import what a node of a fleet has more than a server alone. Raises InvalidDataError."""
    try:
        importlib.import_module(STORES[role])
    except ModuleNotFoundError as error:
        what = f"`{role}` needs more packages ({error}): install dnsd[fleet]"
        raise InvalidDataError([Problem(str(config), ("role",), what)]) from None


def _open_standard_streams() -> None:
    """Open closed standard streams; else a socket takes the stream's number, and clients receive printed text."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number


def _settings(config: Path) -> Settings:
    try:
        return load_settings(config).settings
    except InvalidDataError:
        load(config)  # raises the data's problems too, so that the user sees all at once
        raise


def _listen_local(state: State) -> socket.socket:
    """The control socket. Raises ListenError."""
    try:
        return listen_local(state)
    except OSError as error:
        raise ListenError("the control socket", error) from None


def open_listeners(addresses: Iterable[Address], workers: int, log: Log) -> list[Listener]:
    """Open the sockets of every address; skip, with a warning, families missing on this machine if others remain.

    Raises ListenError.
    """
    listeners: list[Listener] = []
    missing: ListenError | None = None
    for address in addresses:
        try:
            listeners.append(open_listener(address, workers=workers))
        except ListenError as error:
            if not error.no_such_family:
                for listener in listeners:
                    listener.close()
                raise
            log.warning(f"warning: {error}")
            missing = error
    if not listeners and missing:
        raise missing
    return listeners


class _Server:
    """Everything made before the first fork, and the main functions of the processes, which use it."""

    def __init__(
        self,
        *,
        config: Path,
        settings: Settings,
        log: Log,
        listeners: list[Listener],
        http: Mapping[str, socket.socket | None],
        state: State,
        local: socket.socket,
        udp: Udp,
    ) -> None:
        self.config = config
        self.settings = settings
        self.log = log
        self.listeners = listeners
        self.http = http
        self.state = state
        self.local = local  # listens for workers and commands; control accepts
        self.udp = udp
        self.shared = Shared(
            settings.worker_count, settings.limits.rrl.table_size, has_outbound=bool(settings.resolver)
        )
        log.note_dropped = partial(self.shared.set, self.shared.supervisor, Slot.LOG_DROPPED)
        self.cookie_secret = os.urandom(SECRET_SIZE)
        self.pid = os.getpid()  # the supervisor's
        # For lines between the supervisor and the current control process.
        self.supervisor_end, self.control_end = socket.socketpair()
        self.lifeline, self.lifeline_w = os.pipe()  # children read its end when the supervisor has ended

    def run(self) -> int:
        workers = [Child(one, self._worker(one.index, until_drained=False)) for one in self.shared.workers]
        drains = {one.index: self._worker(one.index, until_drained=True) for one in self.shared.workers}
        children = Children(Child(self.shared.control, self._control), workers, drains=drains)
        if one := self.shared.outbound:
            importlib.import_module(OUTBOUND)  # now, as the process may be started again
            children.outbound = Child(one, partial(self._outbound, one))
        gc.freeze()  # so that garbage collection does not copy memory shared by the processes
        try:
            supervisor = Supervisor(
                shared=self.shared,
                children=children,
                channel=self.supervisor_end,
                log=self.log,
                announce=self._announce,
                count_drops=self._count_drops,
            )
            return supervisor.run()
        finally:
            if self.state.is_temporary:
                shutil.rmtree(self.state.path, ignore_errors=True)

    def _worker(self, index: int, *, until_drained: bool) -> Run:
        process = self.shared.workers[index]

        def run() -> int:
            self._leave_supervisor()
            for sock in (self.control_end, self.local, *self.http.values()):
                if sock:
                    sock.close()
            own = tuple(listener.of_worker(index) for listener in self.listeners)
            kept = {sock for listener in own for sock in (*listener.udp, *listener.tcp)}
            self._close_sockets(but=kept)
            setup = WorkerSetup(
                process=process,
                shared=self.shared,
                listeners=own,
                state=self.state,
                settings=self.settings.for_workers,
                cookie_secret=self.cookie_secret,
                log=self._log_of(process, wait_s=0),
                udp=self.udp,
            )
            asyncio.run(Worker(setup).run(until_drained=until_drained))
            return 0

        return run

    def _control(self) -> int:
        self._leave_supervisor()
        self._close_sockets(but=set())
        setup = ControlSetup(
            process=self.shared.control,
            shared=self.shared,
            config=self.config,
            settings=self.settings,
            state=self.state,
            local=self.local,
            supervisor=self.control_end,
            metrics=self.http["metrics"],
            api=self.http["api"],
            log=self._log_of(self.shared.control, wait_s=CONTROL_WAIT_S),
            listening=tuple(str(listener.address) for listener in self.listeners),
        )
        sys.setswitchinterval(SWITCH_S)
        return asyncio.run(Control(setup).run([serve_local, _serve_web]))

    def _outbound(self, process: Process) -> int:
        self._leave_supervisor()
        for sock in (self.control_end, self.local, *self.http.values()):
            if sock:
                sock.close()
        self._close_sockets(but=set())
        log = self._log_of(process, wait_s=CONTROL_WAIT_S)
        from dnsd.outbound.outbound import Outbound, OutboundSetup

        setup = OutboundSetup(process=process, shared=self.shared, state=self.state, log=log)
        asyncio.run(Outbound(setup).run())
        return 0

    def _leave_supervisor(self) -> None:
        """Close the supervisor's descriptors, and end with the supervisor."""
        end_with_parent(self.pid)
        os.close(self.lifeline_w)
        self.supervisor_end.close()
        threading.Thread(target=_end_with, args=(self.lifeline,), name="lifeline", daemon=True).start()

    def _close_sockets(self, *, but: set[socket.socket]) -> None:
        for listener in self.listeners:
            for sock in (*listener.udp, *listener.tcp):
                if sock not in but:
                    sock.close()

    def _log_of(self, process: Process, *, wait_s: float) -> Log:
        """The log of a child process, which also receives the messages of libraries."""
        log = Log(process.name, wait_s=wait_s, like=self.log)
        log.note_dropped = partial(self.shared.set, process, Slot.LOG_DROPPED)
        logging.getLogger().addHandler(LibraryHandler(log))
        return log

    def _count_drops(self) -> int:
        socks = [sock for listener in self.listeners for sock in listener.udp]
        return sum(dropped_datagrams(sock) for sock in socks)

    def _announce(self) -> None:
        self.log.info(f"UDP loop: {'compiled, in batches' if self.udp is Udp.BATCH else 'portable, one by one'}")
        with suppress(OSError):  # stdout may have no reader
            for listener in self.listeners:
                kinds = " ".join(kind for kind, socks in (("udp", listener.udp), ("tcp", listener.tcp)) if socks)
                print(f"listening on {listener.address} {kinds}")
            for service, sock in self.http.items():
                if sock:
                    print(f"listening on {address_of(sock)} {service}")
            print("ready", flush=True)


async def _serve_web(control: Control) -> None:
    """Serve HTTP, if the settings ask for it. Its imports are slow, so DNS is answered first."""
    await control.has_begun()
    if control.setup.metrics is not None or control.setup.api is not None:
        web = await in_thread(partial(importlib.import_module, WEB))
        await web.serve_web(control)


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)  # the supervisor was killed: leave sockets and state to its successor
