"""nats-servers for tests, started in the folders that `make_root` makes, and clients of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import nats
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dnsd.fleet.access import STREAM
from dnsd.fleet.certificates import request_of
from dnsd.fleet.identity import ROOT_FILE, load_identity, make_identity
from dnsd.fleet.issuer import load_issuer
from dnsd.fleet.root import RootFolder, make_root
from dnsd.fleet.server_file import ROUTES_ABOVE, FleetServer
from tests.limits import HANG_S

T = TypeVar("T")
PROGRAM = Path(sys.executable).with_name("nats-server")
CONFIG = {  # of the stream, as fleets have it
    "name": STREAM,
    "subjects": ["dnsd.s.>", "dnsd.c.>"],
    "storage": "file",
    "retention": "limits",
    "max_msgs_per_subject": 1,
    "discard": "new",
    "max_msg_size": 1024 * 1024,
    "allow_atomic": True,
    "allow_msg_ttl": True,
    "allow_direct": True,
    "deny_delete": True,
    "deny_purge": True,
}


class NatsServer:
    """A running server; it ends with the block."""

    def __init__(self, root: RootFolder, server: FleetServer) -> None:
        self.folder, self.server = root.folder / "servers" / server.name, server
        self.log = self.folder / "log"

    def __enter__(self) -> NatsServer:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([PROGRAM, "-c", "nats.conf"], cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + HANG_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError), socket.create_connection((self.server.host, self.server.port)):
                return self
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def reload(self) -> None:
        """Have it read its files again, and wait until it has."""
        before = self._reloads()
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + HANG_S
        while self._reloads() == before:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def _reloads(self) -> int:
        return self.log.read_text().count("Reloaded server configuration")


def free_servers(number: int) -> list[FleetServer]:
    """Servers on free ports of loopback."""
    found: list[FleetServer] = []
    while len(found) < number:
        with socket.socket() as clients, socket.socket() as routes, suppress(OSError):
            clients.bind(("127.0.0.1", 0))
            port = clients.getsockname()[1]
            if port + ROUTES_ABOVE < 65536:
                routes.bind(("127.0.0.1", port + ROUTES_ABOVE))
                found.append(FleetServer(f"n{len(found)}", "127.0.0.1", port))
    return found


def new_root(folder: Path, servers: int = 1, controls: Sequence[str] = ("c1",)) -> RootFolder:
    return make_root(folder / "root", free_servers(servers), controls, now=datetime.now(UTC))


@contextmanager
def running(root: RootFolder) -> Iterator[list[NatsServer]]:
    """All servers of a fleet."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(NatsServer(root, server)) for server in root.servers]


def new_edge(root: RootFolder, name: str, *, control: str = "c1", now: datetime | None = None) -> Path:
    """The folder of a new edge's identity, with papers from a control."""
    key, folder = Ed25519PrivateKey.generate(), root.folder.parent / f"edge-{name}-{os.urandom(4).hex()}"
    issuer = load_issuer(control_folder(root, control))
    papers = issuer.edge_papers(name, request_of(name, key), now=now or datetime.now(UTC))
    make_identity(folder, key, (root.folder / ROOT_FILE).read_bytes(), papers)
    return folder


def control_folder(root: RootFolder, name: str = "c1") -> Path:
    return root.folder / "controls" / name


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run a test whose connections a server cuts; nats-py does not close their sockets."""
    try:
        return asyncio.run(test)
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


class Client:
    """A connection of a node, with the errors that servers told it."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.connection: Any = None
        self.is_closed = asyncio.Event()

    async def refusal(self) -> str:
        """The next error."""
        async with asyncio.timeout(HANG_S):
            while not self.errors:
                await asyncio.sleep(0.01)
        return self.errors.pop(0)

    async def ask(self, subject: str, body: object = None, *, within_s: float = HANG_S) -> Any:
        """The reply to a request of JetStream's API."""
        payload = b"" if body is None else json.dumps(body).encode()
        return await self.ask_raw(subject, payload, within_s=within_s)

    async def ask_raw(self, subject: str, payload: bytes, *, within_s: float = HANG_S) -> Any:
        """The reply to octets, as of a stream to a message."""
        return json.loads((await self.connection.request(subject, payload, timeout=within_s)).data)


@asynccontextmanager
async def connected(root: RootFolder, folder: Path, **options: Any) -> AsyncIterator[Client]:
    """A client with the identity in a folder; options replace those of the identity."""
    client = Client()

    async def note(error: Exception) -> None:
        client.errors.append(str(error))

    async def closed() -> None:
        client.is_closed.set()

    own = load_identity(folder).connect_options()
    urls = [server.url for server in root.servers]
    settings = {"allow_reconnect": False, "error_cb": note, "closed_cb": closed, "connect_timeout": HANG_S}
    client.connection = await nats.connect(urls, **{**own, **settings, **options})
    try:
        yield client
    finally:
        await client.connection.close()


async def make_stream(control: Client, **changes: Any) -> None:
    """Make the stream of the state, with an object."""
    body = {**CONFIG, "num_replicas": 1, **changes}
    made = await control.ask(f"$JS.API.STREAM.CREATE.{body['name']}", body)
    assert "error" not in made, made
