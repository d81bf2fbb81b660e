"""A real root zone in dnsd, NSD, Knot and BIND: delegations with glue, DS, and nonexistent names."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.questions import question
from tests.conformance.servers import Ports, compare, running

pytestmark = pytest.mark.peers

ROOT_ZONE = Path(__file__).resolve().parents[3] / "shared" / "data" / "root.zone"
TYPES = ("A", "AAAA", "NS", "DS", "SOA", "TXT", "NSEC", "ANY")
ASKED = 5_000


@pytest.fixture(scope="module")
def root_zone() -> str:
    if not ROOT_ZONE.exists():
        pytest.skip("no shared data folder next to the project: ../shared/data/root.zone")
    return ROOT_ZONE.read_text(encoding="ascii")


@pytest.fixture(scope="module")
def ports(peers_installed: None, root_zone: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    peers_zone = {".": without_second_soa(root_zone)}
    with running(peers_zone, tmp_path_factory.mktemp("root"), dnsd_zones={".": root_zone}) as started:
        yield started


def without_second_soa(text: str) -> str:
    """The zone for servers that refuse a second SOA."""
    lines = text.splitlines()
    return "\n".join(lines[:-1] if "\tSOA\t" in lines[-1] else lines) + "\n"


def names(text: str, rng: random.Random) -> list[str]:
    """Owner names of the zone, names below them, and nonexistent names."""
    owners = sorted({line.split(None, 1)[0] for line in text.splitlines() if line.strip()})
    below = [f"{rng.choice(('www', 'a.b', '*', 'ns'))}.{owner.lstrip('.')}" for owner in owners]
    none = [f"{''.join(rng.choices('abcdefghijklmnopqrstuvwxyz-', k=rng.randrange(2, 12)))}." for _ in range(1_000)]
    return owners + below + none


def test_root_zone_is_answered_as_the_peers_do(ports: Ports, root_zone: str) -> None:
    rng = random.Random(1034)
    pairs = [(name, rng.choice(TYPES)) for name in rng.sample(names(root_zone, rng), ASKED - len(TYPES))]
    pairs += [(".", qtype) for qtype in TYPES]
    ways = ((False, None), (False, 4096), (True, None))
    asked = [(*pair, *rng.choice(ways)) for pair in pairs]
    questions = [question(name, qtype, tcp=tcp, edns=edns) for name, qtype, tcp, edns in asked]
    tally = compare(ports, questions)
    print(f"\n{tally.table()}")
    if tally.unexplained:
        pytest.fail(tally.report())
    assert tally.counts.total() == ASKED
