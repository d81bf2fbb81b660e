"""An edge answers what its fleet has: soon after each change, without the servers too, and never half of a change."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dnsd.errors import InvalidDataError
from dnsd.fleet.export_files import NotExportedError, export_files
from dnsd.fleet.import_files import ImportRefusedError
from dnsd.fleet.node import as_control
from dnsd.fleet.root import RootFolder
from dnsd.serve import start
from dnsd.settings.role import Role
from tests.fleet.edges import BUTIK, FILES, POOL, EdgeFolder, FleetSource, urls_of
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import NatsServer, control_folder
from tests.live.server import Dnsd

pytestmark = needs_nats_server
MAP = "öst/maps/butik 1.yaml"
LARGE = "west/zones/large.example.zone"
LINES = [
    "@ SOA ns1 h 7 2 3 4 5\n@ NS ns1.edge.example.\n",
    *(f"n{n * 7919 % 60013} A 192.0.2.1\n" for n in range(9000)),
]


@pytest.mark.usefixtures("server")
def test_each_change_is_answered(source: FleetSource, folder: EdgeFolder) -> None:
    assert source.send(FILES) == (len(FILES), 0, 0)
    with folder.serving() as edge:
        assert edge.addresses("www.ost.example") == ["203.0.113.7"]
        assert edge.addresses("www.west.example", "AAAA") == ["2001:db8:f::1"]
        assert edge.addresses("a.plain.example") == ["192.0.2.2"]
        assert edge.addresses("\\255.plain.example") == ["192.0.2.3"]

        assert source.send({MAP: BUTIK.replace("203.0.113.7", "203.0.113.8")}) == (0, 1, 0)
        edge.becomes("www.ost.example", ["203.0.113.8"])
        assert source.send({MAP: BUTIK.replace("true", "false")}) == (0, 1, 0)
        edge.becomes("www.ost.example", POOL)
        assert source.send({MAP: None}) == (0, 0, 1)
        assert source.send({LARGE: "".join(LINES)}) == (1, 0, 0)
        edge.becomes("n7919.large.example", ["192.0.2.1"])
        assert source.send({LARGE: "".join([*LINES[:4000], "new A 192.0.2.9\n", *LINES[4000:]])}) == (0, 1, 0)
        edge.becomes("new.large.example", ["192.0.2.9"])
        assert edge.addresses("n7919.large.example") == ["192.0.2.1"]
        new = {"west/zones/west.example.yaml": None, "west/zones/west.example.zone": "".join(LINES[:2])}
        assert source.send(new) == (0, 1, 0)
        edge.becomes("n0.west.example", ["192.0.2.1"])
        assert source.send({LARGE: None}) == (0, 0, 1)
        edge.becomes("new.large.example", ["REFUSED"])
        assert source.send() == (0, 0, 0)


def test_an_edge_answers_on_without_servers(root: RootFolder, source: FleetSource, folder: EdgeFolder) -> None:
    with NatsServer(root, root.servers[0]):
        source.send({**FILES, LARGE: "".join(LINES)})
        with folder.serving() as edge:
            edge.becomes("www.ost.example", ["203.0.113.7"])
    with folder.serving() as edge:  # started without servers
        assert edge.addresses("www.ost.example") == ["203.0.113.7"]
        assert edge.addresses("n7919.large.example") == ["192.0.2.1"]
        with NatsServer(root, root.servers[0]):
            source.send({MAP: None, LARGE: "".join([*LINES, "new A 192.0.2.9\n"])})
            edge.becomes("www.ost.example", POOL)
            edge.becomes("new.large.example", ["192.0.2.9"])
    (folder.state / "replica.db-wal").unlink()
    (folder.state / "replica.db").write_bytes(b"damaged")
    with folder.serving() as edge:  # from the snapshot file
        assert edge.addresses("new.large.example") == ["192.0.2.9"]
        with NatsServer(root, root.servers[0]):
            source.send({"west/zones/west.example.yaml": None})
            edge.becomes("www.west.example", ["REFUSED"])
        assert "moved aside as replica.db.damaged, and its content is fetched anew" in edge.server.stderr.text()


def test_a_new_edge_waits_for_the_first_state(root: RootFolder, source: FleetSource, folder: EdgeFolder) -> None:
    with NatsServer(root, root.servers[0]):
        source.send({"west/account.yaml": "name: West\n"})
    with pytest.raises(AssertionError, match="is silent"), Dnsd(folder.config, ready_timeout_s=3):
        pass
    with NatsServer(root, root.servers[0]):
        source.send(FILES)
        with folder.serving() as edge:
            edge.becomes("www.ost.example", ["203.0.113.7"])


@pytest.mark.usefixtures("server")
def test_what_a_folder_has_wrong_is_not_sent(source: FleetSource, folder: EdgeFolder) -> None:
    source.send(FILES)
    with pytest.raises(InvalidDataError):
        source.send({MAP: "ips: [nothing]\n"})
    source.put({name: None for name in FILES if name.startswith("west/")})
    source.put({MAP: FILES[MAP]})
    with pytest.raises(ImportRefusedError, match=r"2 of the fleet's 6 files would go.*nothing was changed"):
        source.send(max_drop=30)
    with folder.serving() as edge:
        assert edge.addresses("www.west.example", "AAAA") == ["2001:db8:f::1"]
        assert source.send(max_drop=50) == (0, 0, 2)
        edge.becomes("www.west.example", ["REFUSED"], "AAAA")


@pytest.mark.usefixtures("server")
def test_an_export_has_each_octet_and_each_time(source: FleetSource, root: RootFolder, tmp_path: Path) -> None:
    source.put({**FILES, LARGE: "".join(LINES)})
    for number, file in enumerate(sorted(source.accounts.rglob("*.*"))):
        os.utime(file, (1_600_000_000 + number, 1_600_000_000 + number))
    source.send()
    target = tmp_path / "exported"

    def exported() -> int:
        return as_control(control_folder(root), urls_of(root), lambda node: export_files(node, target)).number

    assert exported() == len(FILES) + 1
    assert content(target) == content(source.accounts)
    with pytest.raises(NotExportedError, match="exists, and nothing was written"):
        exported()


def content(folder: Path) -> dict[str, tuple[bytes, float]]:
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime)
        for file in folder.rglob("[!.]*")
        if file.is_file()
    }


def test_an_edge_without_its_packages_says_so(folder: EdgeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(start.importlib, "import_module", missing)
    with pytest.raises(InvalidDataError, match=re.escape("install dnsd[fleet]")):
        start._import_fleet(folder.config, Role.EDGE)
