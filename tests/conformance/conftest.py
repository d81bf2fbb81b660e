"""Fixtures: the four servers with the hand-written and the generated zones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.generate import generated_zones
from tests.conformance.peers import missing_packages
from tests.conformance.servers import Ports, running

ZONES = Path(__file__).parent / "zones"
SEED = 20240229


@pytest.fixture(scope="session")
def peers_installed() -> None:
    missing = missing_packages()
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (apt-get install {' '.join(missing)})")


@pytest.fixture(scope="session")
def written_zones() -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(ZONES.glob("*.zone"))}


@pytest.fixture(scope="session")
def made_zones() -> dict[str, str]:
    return generated_zones(SEED)


@pytest.fixture(scope="module")
def ports(
    peers_installed: None,
    written_zones: dict[str, str],
    made_zones: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ports]:
    with running(written_zones | made_zones, tmp_path_factory.mktemp("peers")) as started:
        yield started
