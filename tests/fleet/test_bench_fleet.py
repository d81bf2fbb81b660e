"""bench.fleet in small: no query fails, no change is lost, a record costs few octets. Seconds are judged elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.distinct_found import Found
from bench.fleet import STEPS, main
from bench.fleet_figures import (
    AFTER_AWAY,
    AFTER_LEADER,
    AGAIN,
    ALONE_AGAIN,
    ALONE_MEMORY,
    ASKED,
    CHANGE,
    EDGES,
    FAILED,
    FOLLOWERS,
    FRESH,
    LATEST,
    LOST,
    MEMORY,
    NAMES,
    OCTETS,
    RECORD_WIRE,
    SERVERS_CPU,
    SLOW_CHANGE,
    SLOW_WIRE,
    WIRE,
    ZONES,
)
from tests.fleet.nats_servers import needs_nats_server

pytestmark = needs_nats_server
SMALL = "--zones 120 --names 3000 --edges 2 --changes 5 --slow-changes 2 --followers 5 --simulated 8 --away 1"
SIZES = {ZONES: 120, NAMES: 3000, FOLLOWERS: 5, EDGES: 8}
COUNTS = {  # of the samples of each figure
    ZONES: {CHANGE: 5, WIRE: 5, SLOW_CHANGE: 2, SLOW_WIRE: 2, AFTER_LEADER: 1, AFTER_AWAY: 1, ASKED: 2, FAILED: 2},
    NAMES: {FRESH: 1, AGAIN: 1, ALONE_AGAIN: 1, MEMORY: 1, ALONE_MEMORY: 1, OCTETS: 5, RECORD_WIRE: 5},
    FOLLOWERS: {SERVERS_CPU: 1, LATEST: 1, LOST: 1},
    EDGES: {SERVERS_CPU: 1, LATEST: 1, LOST: 1},
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_measures_a_fleet_that_loses_nothing(step: str, tmp_path: Path) -> None:
    results = tmp_path / "kept.json"
    assert main([*SMALL.split(), "--step", step, "--results", str(results)]) == 0
    kept = Found.load(results)

    def values(what: str) -> list[float]:
        return [*kept.values.get((step, SIZES[step], what, ""), {}).values()]

    assert {what: len(values(what)) for what in COUNTS[step]} == COUNTS[step]
    assert not any(values(FAILED))
    assert not any(values(LOST))
    assert all(asked > 50 for asked in values(ASKED))
    assert all(octets <= 64_000 for octets in values(OCTETS))
    assert all(value >= 300 for value in values(SLOW_CHANGE))  # the delay is there
