"""The compared servers: dnsd in its variants, NSD, Knot, BIND, PowerDNS, two in Python, and a null responder.

Each gets a folder, a port of 127.0.0.1 and one core, and as many threads or processes as that core can use. Knows their
configurations, commands and labels; knows no traffic and no figures.
"""

from __future__ import annotations

import compileall
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Self

import dnsd
from bench.client import ask
from bench.native import build
from bench.proc import children, first_line
from bench.questions import MAP_IPS, MARKER, ZONE, A, query, scale_ip
from tests.conformance.peers import bind_conf, free_port, knot_conf, nsd_conf

ROOT = Path(__file__).parents[1]
STOP_S = 20.0
PATHS = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


class FailedError(Exception):
    """A server failed; the message has the end of its log."""


@dataclass(frozen=True)
class Kind:
    """How to find, configure and start one server: `prepare(folder, port, zone file)` returns its command."""

    name: str
    label: str
    prepare: Callable[[Path, int, Path], list[str]]
    version: Callable[[], str]
    missing: Callable[[], str]  # the reason why it cannot be started here; empty if it can
    is_ours: bool = False  # reads the zone in dnsd's form


# dnsd

SETTINGS = """\
listen: ["127.0.0.1:{port}"]
workers: {workers}
default_addresses: [198.51.100.10, "2001:db8:f::10"]
data: accounts
metrics: {{listen: "127.0.0.1:0"}}
"""
# By default loopback is exempt, as in the other servers; here it is counted like other clients.
RRL_ON = "limits: {rrl: {responses_per_second: 1000000, exempt: []}}\n"
ACCOUNT = """\
name: Acme
prefixes:
  - {cidr: 203.0.113.0/24, asn: 64500, approved: V}
  - {cidr: "2001:db8:100::/48", asn: 64500, approved: V}
"""
MAP = "enabled: true\nips: [{ips}]\nmemberships: [{{kind: zone, identifier: {zone}}}]\n"


def prepare_dnsd(folder: Path, port: int, zone: Path, *, workers: int = 1, more: str = "") -> list[str]:
    account = folder / "accounts" / "acme"
    for part in ("zones", "maps"):
        (account / part).mkdir(parents=True, exist_ok=True)
    (account / "account.yaml").write_text(ACCOUNT)
    (account / "maps" / "edge.yaml").write_text(map_text([*MAP_IPS.values()]))
    shutil.move(zone, account / "zones" / f"{ZONE}.zone")
    (folder / "dnsd.yaml").write_text(SETTINGS.format(port=port, workers=workers) + more)
    return [sys.executable, "-m", "dnsd", "serve", "-c", str(folder / "dnsd.yaml")]


def map_text(ips: list[tuple[str, ...]]) -> str:
    """The file of the map that covers the zone."""
    return MAP.format(ips=", ".join(f'"{ip}"' for family in ips for ip in family), zone=ZONE)


def dnsd_version() -> str:
    commit = first_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty"])
    return f"dnsd {dnsd.__version__} ({commit})"


# The others

PDNS = """\
launch=bind
bind-config={folder}/named.conf
local-address=127.0.0.1
local-port={port}
socket-dir={folder}
daemon=no
guardian=no
disable-syslog=yes
loglevel=3
receiver-threads=1
distributor-threads=1
consistent-backends=yes
security-poll-suffix=
max-tcp-transactions-per-conn=0
"""


def prepare_nsd(folder: Path, port: int, zone: Path) -> list[str]:
    (folder / "nsd.conf").write_text(nsd_conf(folder, port, {ZONE: zone}))
    return [path_of("nsd"), "-d", "-c", str(folder / "nsd.conf")]


def prepare_knot(folder: Path, port: int, zone: Path) -> list[str]:
    (folder / "knot.conf").write_text(knot_conf(folder, port, {ZONE: zone}))
    return [path_of("knotd"), "-c", str(folder / "knot.conf")]


def prepare_bind(folder: Path, port: int, zone: Path) -> list[str]:
    (folder / "named.conf").write_text(bind_conf(folder, port, {ZONE: zone}))
    return [path_of("named"), "-f", "-n", "1", "-c", str(folder / "named.conf")]


def prepare_pdns(folder: Path, port: int, zone: Path) -> list[str]:
    (folder / "named.conf").write_text(f'zone "{ZONE}" {{ type master; file "{zone}"; }};\n')
    (folder / "pdns.conf").write_text(PDNS.format(folder=folder, port=port))
    return [path_of("pdns_server"), f"--config-dir={folder}"]


def prepare_python(folder: Path, port: int, zone: Path, *, script: str) -> list[str]:
    return [sys.executable, str(ROOT / "bench" / script), str(port), ZONE, str(zone)]


def prepare_null(folder: Path, port: int, zone: Path) -> list[str]:
    return [str(build("null")), str(port)]


def path_of(name: str) -> str:
    return shutil.which(name, path=PATHS) or name


def _binary_missing(name: str, package: str) -> str:
    return "" if shutil.which(name, path=PATHS) else f"not installed (apt-get install {package})"


def _module_missing(name: str) -> str:
    return "" if importlib.util.find_spec(name) else f"not importable (pip install {name})"


def _system(name: str, label: str, prepare: Callable[..., list[str]], binary: str, package: str, ask: str) -> Kind:
    return Kind(
        name, label, prepare, partial(_said_version, path_of(binary), ask), partial(_binary_missing, binary, package)
    )


def _said_version(binary: str, ask: str) -> str:
    """The version in a server's output, without date and copyright."""
    said = first_line([binary, ask]).removesuffix(" <id:>")
    return said[said.find("PowerDNS") :].partition(" (C)")[0] if "PowerDNS" in said else said


def _python(name: str, label: str, module: str, script: str) -> Kind:
    prepare = partial(prepare_python, script=script)
    return Kind(name, label, prepare, lambda: f"{label} {version(module)}", partial(_module_missing, module))


def _dnsd(name: str, label: str, workers: int = 1, more: str = "") -> Kind:
    return Kind(name, label, partial(prepare_dnsd, workers=workers, more=more), dnsd_version, lambda: "", is_ours=True)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("null", "null responder (C)", prepare_null, lambda: "bench/null.c", lambda: ""),
        _dnsd("dnsd", "dnsd"),
        _dnsd("dnsd-2", "dnsd, 2 workers", workers=2),
        _dnsd("dnsd-rrl", "dnsd, RRL for loopback, too", more=RRL_ON),
        _dnsd("dnsd-portable", "dnsd without the compiled loop", more="udp: portable\n"),
        _system("nsd", "NSD", prepare_nsd, "nsd", "nsd", "-v"),
        _system("knot", "Knot", prepare_knot, "knotd", "knot", "--version"),
        _system("bind", "BIND", prepare_bind, "named", "bind9", "-v"),
        _system("pdns", "PowerDNS", prepare_pdns, "pdns_server", "pdns-server pdns-backend-bind", "--version"),
        _python("dnslib", "dnslib", "dnslib", "dnslib_server.py"),
        _python("twisted", "twisted.names", "twisted", "twisted_server.py"),
    )
}


@cache
def compile_package() -> None:
    """Write dnsd's bytecode, as pip does; else each start of a checkout may compile all of it, for half a second."""
    compileall.compile_dir(ROOT / "dnsd", quiet=1)


@cache
def cores() -> tuple[int, int]:
    """The core for the servers and the core for the load and this process; the same on a machine with one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1 if len(usable) > 1 else 0]


class Server:
    """One running server: `with Server(kind, folder).prepare(zone file) as server: server.start(…)`."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self.folder = folder / kind.name
        self.port = free_port()
        self.command: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self, zone_file: Path) -> Self:
        """Write the configuration; the server takes over the zone file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.kind.is_ours:
            compile_package()
        self.command = self.kind.prepare(self.folder, self.port, zone_file)
        return self

    def start(self, probe: bytes, within_s: float) -> float:
        """Start on the servers' core; return the seconds until all workers answer the probe. Raises FailedError."""
        core = cores()[0]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DNSD_")}
        environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        began = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.folder,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
        while True:
            reply = ask(self.port, probe, 0.02)
            if reply and reply[3] & 15 == 0 and self._is_ready():
                return time.monotonic() - began
            if (status := self._process.poll()) is not None:
                raise FailedError(f"ended with status {status}: {self.last_words()}")
            if time.monotonic() - began > within_s:
                raise FailedError(f"does not answer within {within_s:.0f} s: {self.last_words()}")
            time.sleep(0.002)

    def _is_ready(self) -> bool:
        """Whether all workers answer, not only the first."""
        return not self.kind.is_ours or b"\nready" in self.log.read_bytes()

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def shown_command(self) -> str:
        """The command without this run's paths."""
        text = shlex.join(self.command).replace(f"{self.folder}", "…").replace(str(self.port), "PORT")
        return text.replace(f"{ROOT}/", "").replace(sys.executable, "python").replace(tempfile.gettempdir(), "…")

    @property
    def pids(self) -> list[int]:
        assert self._process is not None
        return children(self._process.pid)

    def last_words(self) -> str:
        """The end of its log, on one line."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return " / ".join(lines[-3:])[-300:]

    def hang_up(self) -> None:
        """Send SIGHUP, on which all servers reload changed files."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """Stop it with SIGTERM, or SIGKILL if that has no effect."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def marker_probe() -> bytes:
    """A query that each edition of a scale zone answers."""
    return query(MARKER, A)


def scale_map_text(edition: int) -> str:
    """The map's file in an edition."""
    return map_text([(scale_ip(edition),)])
