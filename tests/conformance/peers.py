"""NSD, Knot and BIND from Debian's packages, each started on a free port of 127.0.0.1 in its own folder.

Knows the three configuration files and how to start and stop a process; knows no zones and no questions.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rdata

START_S = 60.0
STOP_S = 30.0
STARTS = 3


@dataclass(frozen=True)
class PeerKind:
    """The name, package, configuration and command of one server."""

    name: str
    package: str
    binary: str
    configure: Callable[[Path, int, Mapping[str, Path]], str]
    arguments: Callable[[Path], list[str]]
    unread_types: frozenset[str]  # types that this server reads only in the form of RFC 3597, others by name


class StartError(Exception):
    """A server ended, or took too long, before it served its zones."""


def nsd_conf(folder: Path, port: int, zones: Mapping[str, Path]) -> str:
    # refuse-any off and no RRL: the comparison is about the data, not about limits.
    lines = [
        "server:",
        f"  ip-address: 127.0.0.1@{port}",
        '  username: ""',
        '  chroot: ""',
        f'  zonesdir: "{folder}"',
        f'  pidfile: "{folder}/nsd.pid"',
        f'  xfrdfile: "{folder}/xfrd.state"',
        f'  zonelistfile: "{folder}/zone.list"',
        '  database: ""',
        "  server-count: 1",
        "  minimal-responses: yes",
        "  refuse-any: no",
        "  round-robin: no",
        "  tcp-query-count: 0",
        "  rrl-ratelimit: 0",
        "  rrl-whitelist-ratelimit: 0",
        "remote-control:",
        "  control-enable: no",
    ]
    for name, path in zones.items():
        lines += ["zone:", f'  name: "{name}"', f'  zonefile: "{path}"']
    return "\n".join(lines) + "\n"


def knot_conf(folder: Path, port: int, zones: Mapping[str, Path]) -> str:
    lines = [
        "server:",
        f'  rundir: "{folder}"',
        f"  listen: 127.0.0.1@{port}",
        "  udp-workers: 1",
        "  tcp-workers: 1",
        "  background-workers: 1",
        "database:",
        f'  storage: "{folder}"',
        "log:",
        "  - target: stderr",
        "    any: warning",
        "template:",
        "  - id: default",
        f'    storage: "{folder}"',
        "    semantic-checks: off",
        "    zonefile-sync: -1",
        "    journal-content: none",
        "zone:",
    ]
    for name, path in zones.items():
        lines += [f'  - domain: "{name}"', f'    file: "{path}"']
    return "\n".join(lines) + "\n"


def bind_conf(folder: Path, port: int, zones: Mapping[str, Path]) -> str:
    lines = [
        "options {",
        f'  directory "{folder}";',
        f'  pid-file "{folder}/named.pid";',
        f'  session-keyfile "{folder}/session.key";',
        f'  managed-keys-directory "{folder}";',
        f"  listen-on port {port} {{ 127.0.0.1; }};",
        "  listen-on-v6 { none; };",
        "  recursion no;",
        "  allow-query { any; };",
        "  minimal-responses yes;",
        "  minimal-any no;",
        "  empty-zones-enable no;",
        "  dnssec-validation no;",
        "  notify no;",
        "  check-names primary ignore;",
        "  check-integrity no;",
        "  check-mx ignore;",
        "  check-srv-cname ignore;",
        "  check-mx-cname ignore;",
        "  answer-cookie no;",
        "};",
        "controls { };",
    ]
    lines += [f'zone "{name}" {{ type primary; file "{path}"; }};' for name, path in zones.items()]
    return "\n".join(lines) + "\n"


NSD_UNREAD = frozenset({"AMTRELAY", "GPOS", "HIP", "NINFO"})
KNOT_UNREAD = NSD_UNREAD | {"AVC", "DLV", "ISDN", "NSAP", "PX", "SIG", "WKS", "X25"}

KINDS = (
    PeerKind("nsd", "nsd", "nsd", nsd_conf, lambda conf: ["-d", "-c", str(conf)], NSD_UNREAD),
    PeerKind("knot", "knot", "knotd", knot_conf, lambda conf: ["-c", str(conf)], KNOT_UNREAD),
    PeerKind("bind", "bind9", "named", bind_conf, lambda conf: ["-f", "-n", "1", "-c", str(conf)], frozenset()),
)


def binary_of(kind: PeerKind) -> str | None:
    """Path of the server's binary, or None if its package is not installed."""
    return shutil.which(kind.binary, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def missing_packages() -> list[str]:
    """The Debian packages that are missing for the three peers."""
    return [kind.package for kind in KINDS if binary_of(kind) is None]


def free_port() -> int:
    """A port of 127.0.0.1 that is currently free for UDP and TCP."""
    for _ in range(50):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free for UDP and TCP at once")


def readable_text(zone_text: str, unread_types: frozenset[str]) -> str:
    """The same zone, with records of types that the server cannot read by name in the form of RFC 3597 §5."""
    return "\n".join(_readable_line(line, unread_types) for line in zone_text.splitlines()) + "\n"


def _readable_line(line: str, unread_types: frozenset[str]) -> str:
    fields = line.split(None, 2)
    if len(fields) < 3 or fields[1] not in unread_types:
        return line
    rdata = dns.rdata.from_text("IN", fields[1], fields[2]).to_generic()
    return f"{fields[0]} TYPE{int(rdata.rdtype)} {rdata.to_text()}"


class Peer:
    """One running server: `with Peer(kind, zones, folder) as peer: … peer.port`."""

    def __init__(self, kind: PeerKind, zones: Mapping[str, str], folder: Path) -> None:
        self.name = kind.name
        self.host = "127.0.0.1"
        self.port = 0
        self._kind = kind
        self._zones = zones
        self._folder = folder / kind.name
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> Path:
        return self._folder / "log"

    def __enter__(self) -> Peer:
        for tries_left in reversed(range(STARTS)):
            try:
                self._start()
                return self
            except StartError as error:
                self.stop()
                if not tries_left:
                    raise StartError(
                        f"{self.name} {error}\n{self.log_path.read_text(errors='replace')[-3000:]}"
                    ) from None
            except BaseException:
                self.stop()
                raise
        raise AssertionError("not reached")

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Terminate the process, or kill it if it does not react."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)
        self._process = None

    def _start(self) -> None:
        self.port = free_port()  # another process may take it before the server does: hence several attempts
        conf = self._write_files()
        binary = binary_of(self._kind)
        assert binary is not None, f"{self._kind.package} is not installed"
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen([binary, *self._kind.arguments(conf)], stdout=log, stderr=log)
        self._wait_until_served(self._process)

    def _write_files(self) -> Path:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        paths = {}
        for number, (name, text) in enumerate(self._zones.items()):
            paths[name] = self._folder / f"{number}.zone"
            paths[name].write_text(readable_text(text, self._kind.unread_types), encoding="utf-8")
        conf = self._folder / f"{self.name}.conf"
        conf.write_text(self._kind.configure(self._folder, self.port, paths), encoding="utf-8")
        return conf

    def _wait_until_served(self, process: subprocess.Popen[bytes]) -> None:
        wait_until_served(self.port, self._zones, still_running=lambda: process.poll() is None)


def wait_until_served(port: int, zones: Mapping[str, str], *, still_running: Callable[[], bool]) -> None:
    """Wait until the server on `port` answers the SOA of every zone with AA; raise if it ends or takes too long."""
    waiting = [dns.name.from_text(name) for name in zones]
    deadline = time.monotonic() + START_S
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(0.2)
        while waiting:
            if not still_running() or time.monotonic() > deadline:
                raise StartError(f"does not serve {[str(name) for name in waiting]}")
            if _is_served(client, waiting[-1]):
                waiting.pop()
            else:
                time.sleep(0.05)


def _is_served(client: socket.socket, zone: dns.name.Name) -> bool:
    query = dns.message.make_query(zone, "SOA")
    try:
        client.send(query.to_wire())
        reply = dns.message.from_wire(client.recv(65535))
        while reply.id != query.id:  # a late reply to the previous question
            reply = dns.message.from_wire(client.recv(65535))
    except OSError:
        return False
    return bool(reply.flags & dns.flags.AA) and bool(reply.answer)
