"""Without a C compiler at installation, answers are the same: portable loop, plain table of names."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from tests.live.server import PROJECT, Dnsd
from tests.packets import answers, query
from tests.worlds import AccountFiles, World, write_world

SETTINGS = {"listen": ["127.0.0.1:0"], "default_addresses": ["198.51.100.10"], "nameservers": ["ns1.example.net"]}


def world(names: int, ip: str) -> World:
    acme = AccountFiles(
        {"prefixes": [{"cidr": "203.0.113.0/24", "approved": "V"}]},
        {"shop": {"enabled": True, "ips": [ip], "memberships": [{"kind": "zone", "identifier": "example.com"}]}},
        {
            "example.com.yaml": {
                "records": [
                    {"name": "www", "type": "A", "content": "192.0.2.1", "proxied": True},
                    *({"name": f"h{number}", "type": "A", "content": "192.0.2.3"} for number in range(names)),
                ]
            }
        },
    )
    return World(SETTINGS, {"acme": acme})


@pytest.fixture
def plain(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the package without compiled modules."""
    shutil.copytree(PROJECT / "dnsd", tmp_path / "dnsd", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return tmp_path


def test_everything_works_without_the_compiled_parts(
    plain: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("world")
    config = write_world(world(5, "203.0.113.1"), folder)
    with Dnsd(config, cwd=plain) as server:
        assert "one by one" in server.stderr.text(), server.stderr.text()
        assert answers(server.udp(query("www.example.com"))) == ["203.0.113.1"]
        for names, ip in (
            (6, "203.0.113.2"),
            (5_000, "203.0.113.3"),
        ):  # by delta, and by the file
            write_world(world(names, ip), folder)
            assert "reloaded" in server.hup()
            assert answers(server.udp(query("www.example.com"))) == [ip]
            assert answers(server.tcp(query(f"h{names - 1}.example.com"))) == ["192.0.2.3"]
        assert server.stop() == 0
    (folder / "accounts").rename(folder / "away")
    with Dnsd(config, cwd=plain) as server:  # from the snapshot file
        assert answers(server.udp(query("www.example.com"))) == ["203.0.113.3"]
    with Dnsd(config) as server:  # which a server with the compiled parts can also read
        assert answers(server.udp(query("www.example.com"))) == ["203.0.113.3"]
