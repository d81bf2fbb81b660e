"""Without a C compiler at installation, answers are the same: portable loop, plain table of names."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tomllib

import pytest

from tests.limits import IS_LONG
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


PARTS = [
    one["name"] for one in tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
]
RUN = f"""
import sys
sys.modules.update(dict.fromkeys({PARTS}))
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *sys.argv[1:]]))
"""
FILES = ("tests/property/test_reference.py", "tests/property/test_content.py")


def test_random_worlds_are_answered_without_the_compiled_parts() -> None:
    """Against the slow reference, as with a compiler; also the zones as they are listed."""
    ran = subprocess.run(
        [sys.executable, "-c", RUN, *FILES, "-k", "agrees or 70"],  # seeds 701 to 709 of the lists
        cwd=PROJECT,
        env=os.environ | {"WORLDS": "61-90" if IS_LONG else "61-61"},
        capture_output=True,
        text=True,
    )
    assert not ran.returncode, ran.stdout
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout
