"""A fleet of one server, with a folder that fills it, and an edge of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dnsd.fleet.root import RootFolder
from tests.fleet.edges import FILES, EdgeFolder, FleetSource
from tests.fleet.servers import NatsServer, new_root


@pytest.fixture
def root(tmp_path: Path) -> RootFolder:
    return new_root(tmp_path)


@pytest.fixture
def server(root: RootFolder) -> Iterator[NatsServer]:
    with NatsServer(root, root.servers[0]) as server:
        yield server


@pytest.fixture
def source(root: RootFolder, tmp_path: Path) -> FleetSource:
    return FleetSource(root, tmp_path)


@pytest.fixture
def folder(root: RootFolder, tmp_path: Path) -> EdgeFolder:
    return EdgeFolder(root, tmp_path / "edge")


@pytest.fixture
def filled(server: NatsServer, source: FleetSource) -> FleetSource:
    """The source, of which the fleet has all."""
    source.send(FILES)
    return source
