"""What workers hold: they know no origin of a proxied record, wherever control keeps it."""

from __future__ import annotations

import pathlib
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest

from tests.limits import HANG_S
from tests.live.server import Dnsd
from tests.packets import answers, query
from tests.worlds import AccountFiles, World, write_world

ORIGINS = [f"2001:db8:51:{number:x}:8a2e:370:7334:{number:x}" for number in range(1, 1_001)]
STORED = "2001:db8:52:1:8a2e:370:7334:1"


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    proxied = [
        {"name": f"n{number}", "type": "AAAA", "content": origin, "proxied": True}
        for number, origin in enumerate(ORIGINS)
    ]
    records = [*proxied, {"name": "stored", "type": "AAAA", "content": STORED}]
    zone = {"example.com.yaml": {"records": records}}
    settings = {
        "default_addresses": ["198.51.100.10", "2001:db8::10"],
        "nameservers": ["ns1.example.net"],
        "workers": 2,
    }
    return write_world(World(settings, {"a1": AccountFiles({}, {}, zone)}), tmp_path)


def prefix(address: str) -> bytes:
    return IPv6Address(address).packed[:6]


def memory(pid: int) -> Iterator[bytes]:
    """The memory of a process that is its own, or that it maps from a state folder."""
    try:
        opened = open(f"/proc/{pid}/mem", "rb", buffering=0)  # noqa: SIM115
    except PermissionError:
        pytest.skip("this system lets nobody read the memory of a process")
    with opened as file:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, access, *_, name = [*line.split(maxsplit=5), ""][:6]
            if "r" not in access or name.startswith("[v") or (name.startswith("/") and "/state/" not in name):
                continue
            start, end = (int(one, 16) for one in span.split("-"))
            file.seek(start)
            yield file.read(end - start)


def maps(pid: int, file: pathlib.Path) -> bool:
    return str(file) in pathlib.Path(f"/proc/{pid}/maps").read_text()


def holds(pid: int, octets: bytes) -> bool:
    return any(octets in part for part in memory(pid))


def processes(server: Dnsd) -> list[int]:
    """The supervisor, control, and the workers."""
    pid = server.process.pid
    return [pid, *sorted(map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_hold_no_origin(config: pathlib.Path) -> None:
    """Control has them in memory, and maps them from the file that it keeps for its next start."""
    model = config.parent / "state/snapshot.model"
    with Dnsd(config) as server:
        assert answers(server.udp(query("stored.example.com", "AAAA"))) == [STORED]
        assert answers(server.udp(query("n7.example.com", "AAAA"))) == ["2001:db8::10"]
        supervisor, control, *workers = processes(server)
        assert len(workers) == 2
        deadline = time.monotonic() + HANG_S
        while not maps(control, model) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert maps(control, model)
        assert holds(control, prefix(ORIGINS[0]))
        for pid in (supervisor, *workers):
            assert not maps(pid, model)
            assert not holds(pid, prefix(ORIGINS[0]))
            assert not holds(pid, ORIGINS[0][:12].encode())
        assert all(holds(pid, prefix(STORED)) for pid in workers)
