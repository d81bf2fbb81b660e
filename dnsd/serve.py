"""The running server: sockets, the published snapshot, and signals. One process for now."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from dnsd.app import Loaded, load
from dnsd.engine.respond import respond
from dnsd.errors import InvalidDataError, Problem
from dnsd.net.listen import BACKLOG, Address, Listener, ListenError, open_listener
from dnsd.net.tcp import TcpConnection
from dnsd.net.udp import DrainingUdpServer

DRAIN_S = 4.0  # how long clients may take to read their last replies


class Server:
    """Answers on its sockets from `loaded.snapshot`, the one reference that a reload replaces."""

    def __init__(self, config: Path, loaded: Loaded, listeners: Iterable[Listener]) -> None:
        self.config = config
        self.loaded = loaded
        self.listeners = tuple(listeners)
        self._connections: set[TcpConnection] = set()
        self._reload_wanted = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP reloads. Calls `ready` once every socket is answered."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        udp = [DrainingUdpServer(loop, listener.udp, self._respond) for listener in self.listeners]
        for server in udp:
            server.start()
        tcp = [
            await loop.create_server(self._connect, sock=listener.tcp, backlog=BACKLOG) for listener in self.listeners
        ]
        reloading = asyncio.create_task(self._reload_when_wanted())
        ready()
        await stop.wait()
        reloading.cancel()
        for acceptor in tcp:
            acceptor.close()
        for server in udp:
            server.stop()
        await self._finish_connections()
        for listener in self.listeners:
            listener.close()

    def _respond(self, query: bytes) -> bytes | None:
        return respond(self.loaded.snapshot, query)

    def _respond_on_stream(self, query: bytes) -> bytes | None:
        return respond(self.loaded.snapshot, query, stream=True)

    def _connect(self) -> TcpConnection:
        return TcpConnection(self._respond_on_stream, self._connections)

    async def _reload_when_wanted(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            await self._reload()

    async def _reload(self) -> None:
        """Load everything anew, beside the serving; publish it by one assignment, or keep what there is."""
        revision = self.loaded.snapshot.revision
        try:
            loaded = await _in_thread(lambda: load(self.config, previous=self.loaded.snapshot))
        except InvalidDataError as error:
            report(error.problems)
            say(f"reload refused; revision {revision} keeps serving")
            return
        except Exception as error:  # whatever it is, the server must outlive it
            say(f"reload failed: {type(error).__name__}: {error}; revision {revision} keeps serving")
            return
        before, self.loaded = self.loaded, loaded
        report(loaded.warnings)
        if loaded.settings.listen != before.settings.listen:
            say("listen: the change takes effect at the next start")
        say(f"reloaded: revision {loaded.snapshot.revision}, {loaded.summary()}")

    async def _finish_connections(self) -> None:
        """Let every client have the replies to what it has sent."""
        for connection in tuple(self._connections):
            connection.finish()
        deadline = asyncio.get_running_loop().time() + DRAIN_S
        while self._connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)


def _in_thread(work: Callable[[], Loaded]) -> asyncio.Future[Loaded]:
    """The result of `work`, done beside the serving in a thread that the server's end does not wait for."""
    future: Future[Loaded] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="reload", daemon=True).start()
    return asyncio.wrap_future(future)


def serve(config: Path) -> None:
    """Load, listen, serve. Raises InvalidDataError or ListenError before anything is served."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    loaded = load(config)
    report(loaded.warnings)
    listeners = open_listeners(loaded.settings.listen)
    asyncio.run(Server(config, loaded, listeners).run(lambda: _announce(listeners, loaded)))


def open_listeners(addresses: Iterable[Address]) -> list[Listener]:
    """Every address' sockets; one of a family that this machine does not have is left out, if others remain.

    Raises ListenError.
    """
    listeners: list[Listener] = []
    missing: ListenError | None = None
    for address in addresses:
        try:
            listeners.append(open_listener(address))
        except ListenError as error:
            if not error.no_such_family:
                for listener in listeners:
                    listener.close()
                raise
            say(f"warning: {error}")
            missing = error
    if not listeners and missing:
        raise missing
    return listeners


def say(text: str) -> None:
    """One line for the operator, on stderr; nobody may be reading it, and that ends nothing."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def report(problems: Iterable[Problem]) -> None:
    """Each problem on a line."""
    for problem in problems:
        say(f"{'warning: ' if problem.warning else ''}{problem}")


def _announce(listeners: Iterable[Listener], loaded: Loaded) -> None:
    say(f"serving {loaded.summary()}")
    for listener in listeners:
        print(f"listening on {listener.address} udp tcp")
    print("ready", flush=True)
