"""A fleet on loopback: its keys, nats-servers, controls and edges, made and filled by the commands in docs/fleet.md.

Each node is a process with a folder of its own, and ends with this program, however that ends. Knows no figures.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml

from bench.proc import children
from dnsd.fleet.server_file import ROUTES_ABOVE
from dnsd.process.parent import end_with_parent

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
CONTROL = "c1"  # the control whose papers edges and the import have
START_S, COMMAND_S = 900.0, 900.0  # a fleet of 100,000 zones on a busy machine needs minutes
STOP_S = 20.0
LOOK_S = 0.01
SHARED = ("default_addresses", "missing_family", "nameservers")  # settings that all nodes must have alike
LISTENS = {kind: re.compile(rf"listening on (\S+) {words}") for kind, words in (("dns", "udp tcp"), ("api", "api"))}
PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"])


class FleetFailedError(Exception):
    """A node or a command failed; the message has its last words."""


class FleetProcess:
    """A process of a fleet. It may be ended and started again."""

    def __init__(self, name: str, folder: Path, command: Sequence[str | Path], is_ready: Callable[[str], bool]) -> None:
        """`is_ready` gets what the process has written since its start."""
        self.name, self.folder = name, folder
        self._command, self._is_ready = command, is_ready
        self._log, self._begin = folder / "log", 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, in the main thread: the kernel ends it with the thread."""
        self._begin = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this program, which ends the nodes in order
                preexec_fn=partial(end_with_parent, os.getpid()),
            )

    def await_ready(self, within_s: float = START_S) -> None:
        """Wait until it is ready. Raises FleetFailedError."""
        deadline = time.monotonic() + within_s
        while not self._is_ready(self.said()):
            if not self.is_running or time.monotonic() > deadline:
                state = "is not ready" if self.is_running else "has ended"
                raise FleetFailedError(f"{self.name} {state}: {' / '.join(self.said().splitlines()[-3:])}")
            time.sleep(LOOK_S)

    def said(self) -> str:
        """What it has written since its start."""
        with self._log.open("rb") as log:
            log.seek(self._begin)
            return log.read().decode(errors="replace")

    def place(self, kind: str) -> tuple[str, int]:
        """The address and port at which it listens for `dns` or `api`. Raises FleetFailedError."""
        found = LISTENS[kind].search(self.said())
        if not found:
            raise FleetFailedError(f"{self.name} does not listen for {kind}")
        host, _, port = found[1].rpartition(":")
        return host, int(port)

    @property
    def port(self) -> int:
        """The port at which it answers DNS."""
        return self.place("dns")[1]

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pids(self) -> list[int]:
        """The process and all below it."""
        return children(self.pid)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def send(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def await_end(self, within_s: float = STOP_S) -> None:
        """Wait for its end, and kill it after a time."""
        if self._process:
            try:
                self._process.wait(within_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it."""
        self.send(number)
        self.await_end()


class LoopbackFleet:
    """A fleet in one folder; `with LoopbackFleet(folder) as fleet:` ends all of its processes."""

    def __init__(
        self,
        folder: Path,
        *,
        servers: int = 3,
        controls: Sequence[str] = (CONTROL,),
        settings: Mapping[str, Any] | None = None,
        first_port: int = 0,
    ) -> None:
        """`settings` are of all nodes. Servers listen from `first_port` on where others do not; 0: at free ports."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.root = folder, folder / "root"
        self.controls = tuple(controls)
        usual = yaml.safe_load((ROOT / "config" / "dnsd.yaml").read_text())
        self.settings = {**{key: usual[key] for key in SHARED}, "workers": 1, **(settings or {})}
        self.server_ports = {
            f"n{number}": free_port(first_port and first_port + number - 1, above=ROUTES_ABOVE)
            for number in range(1, servers + 1)
        }
        self.processes: dict[str, FleetProcess] = {}

    def __enter__(self) -> LoopbackFleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def servers(self) -> list[FleetProcess]:
        return [self.processes[name] for name in self.server_ports]

    def make(self) -> None:
        """Make the keys of servers and controls. Raises FleetFailedError."""
        places = [f"--server={name}={HOST}:{port}" for name, port in self.server_ports.items()]
        run_dnsd("fleet", "init", self.root, *places, *(f"--control={name}" for name in self.controls))

    def start_servers(self) -> None:
        """Start all servers. Raises FleetFailedError."""
        program = nats_server()
        for name, port in self.server_ports.items():
            command = [program, "-c", "nats.conf"]
            self.processes[name] = FleetProcess(name, self.root / "servers" / name, command, partial(_accepts, port))
            self.processes[name].start()
        for one in self.servers:
            one.await_ready()

    def fill(self, accounts: Path) -> str:
        """Import a folder of accounts; what the command says. Raises FleetFailedError."""
        folder = self.folder / "source"
        self._write_settings(folder, self.root / "controls" / self.controls[0], {}, None)
        return run_dnsd("fleet", "import", accounts, "-c", folder / "dnsd.yaml")

    def prepare(
        self, name: str, more: Mapping[str, Any] | None = None, *, urls: Sequence[str] | None = None
    ) -> FleetProcess:
        """A control, or an edge by any other name, with settings of its own; `urls` are in place of the servers'.

        The state of an earlier process of the name stays. Raises FleetFailedError.
        """
        kind = "control" if name in self.controls else "edge"
        identity = self.root / f"{kind}s" / name
        if not identity.exists():
            run_dnsd("fleet", "edge", self.root, name, f"--control={self.controls[0]}")
        role = {
            "role": kind,
            "listen": [f"{HOST}:0"],
            **({"api": {"listen": f"{HOST}:0"}} if kind == "control" else {}),
        }
        folder = self.folder / name
        self._write_settings(folder, identity, role | dict(more or {}), urls)
        command = [sys.executable, "-m", "dnsd", "serve", "-c", folder / "dnsd.yaml"]
        self.processes[name] = FleetProcess(name, folder, command, lambda said: "ready" in said.split("\n"))
        return self.processes[name]

    def _write_settings(
        self, folder: Path, identity: Path, more: Mapping[str, Any], urls: Sequence[str] | None
    ) -> None:
        folder.mkdir(exist_ok=True)
        servers = [*(urls or (f"tls://{HOST}:{port}" for port in self.server_ports.values()))]
        fleet = {"fleet": {"servers": servers, "identity": str(identity)}}
        (folder / "dnsd.yaml").write_text(json.dumps({**self.settings, **more, **fleet}, indent=1))

    def token(self, control: str) -> str:
        """A new token for everything, of a control that runs. Raises FleetFailedError."""
        config = self.folder / control / "dnsd.yaml"
        return run_dnsd("token", "create", "--name", "try", "--operator", "-c", config).split()[-1]

    def stop(self) -> None:
        """End all processes, edges and controls before servers."""
        nodes = [one for name, one in self.processes.items() if name not in self.server_ports]
        for group in (nodes, [one for one in self.processes.values() if one not in nodes]):
            for one in group:
                one.send(signal.SIGTERM)
            for one in group:
                one.await_end()


def api_client(control: FleetProcess, token: str, *, within_s: float = START_S) -> httpx.Client:
    """A client of a control's API."""
    host, port = control.place("api")
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"http://{host}:{port}/client/v4", headers=headers, timeout=within_s)


def result(client: httpx.Client, method: str, path: str, body: object = None) -> Any:
    """The result of a request. Raises FleetFailedError."""
    reply = client.request(method, path, json=body)
    if not reply.is_success:
        raise FleetFailedError(f"{method} {path}: {reply.status_code} {reply.text[:200]}")
    return reply.json()["result"]


def run_dnsd(*words: str | Path) -> str:
    """The output of a command. Raises FleetFailedError."""
    run = subprocess.run(
        [sys.executable, "-m", "dnsd", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=COMMAND_S,
    )
    if run.returncode:
        raise FleetFailedError(f"dnsd {words[0]} {words[1]}: {run.stderr.strip() or run.stdout.strip()}")
    return run.stdout


def nats_server() -> str:
    """The program, of the tests' packages or in PATH. Raises FleetFailedError."""
    if found := shutil.which("nats-server", path=PLACES):
        return found
    raise FleetFailedError("nats-server is missing: `make .venv/.test` installs it, or put it into a folder of PATH")


def environment() -> dict[str, str]:
    """The variables of a node: none that changes its settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DNSD_")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return kept | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def free_port(wanted: int = 0, *, above: int = 0) -> int:
    """A port of loopback that is free over UDP and TCP, like the one `above` it: the wanted one, or any."""
    return next(port for one in _candidates(wanted) if (port := _bound(one, above)))


def _candidates(wanted: int) -> Iterator[int]:
    yield from [wanted] if wanted else []
    yield from itertools.repeat(0)


def _bound(wanted: int, above: int) -> int:
    """The port, if all of its sockets can be bound; else 0."""
    with suppress(OSError, OverflowError), ExitStack() as stack:
        tcp, udp, higher = (
            stack.enter_context(socket.socket(type=kind))
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM)
        )
        for one in (tcp, higher):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # those of an earlier run may wait
        tcp.bind((HOST, wanted))
        port: int = tcp.getsockname()[1]
        udp.bind((HOST, port))
        higher.bind((HOST, port + above if above else 0))
        return port
    return 0


def _accepts(port: int, said: str) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
