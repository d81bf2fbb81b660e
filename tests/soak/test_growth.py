"""No process grows with the number of changes (reliability.md)."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from tests.api.server import SETTINGS, Api
from tests.soak.changes import FEW, Changing, memory_kib
from tests.soak.conftest import Scale
from tests.soak.harness import growth_percent

Figures = Callable[..., None]

GROWTH_PERCENT = 5.0  # of each process, from the end of the warm-up on
FEW_CHANGES, WARM_UP = 100, 1_000
STEPS = (("a growing number of changes", ""), ("the same with the largest table of rates", "table_size: 10000000"))


@pytest.mark.parametrize(("what", "rrl"), STEPS)
def test_changes(tmp_path: pathlib.Path, what: str, rrl: str, scale: Scale, figures: Figures) -> None:
    map_edits, record_edits, reloads, zones = scale((100, 100, 15, 50), (10_000, 10_000, 500, 2_500))
    with Api(tmp_path, settings=f"{SETTINGS}limits: {{rrl: {{{rrl}}}}}\n").running() as api:
        changing = Changing(api, rrl)
        for _ in range(scale(FEW_CHANGES, WARM_UP)):
            changing.edit_map()
        for _ in range(FEW_CHANGES):
            changing.edit_record()
        before = memory_kib(api)
        grown = {}
        for kind, change, count in (
            ("map edits", changing.edit_map, map_edits),
            ("record edits", changing.edit_record, record_edits),
            ("reloads", changing.reload, reloads),
            ("zones", changing.make_and_delete_zones, zones // FEW),
        ):
            for _ in range(count):
                change()
            grown[kind] = growth_percent(before, memory_kib(api))
        after = memory_kib(api)
    figures(
        "R16",
        what,
        map_edits=map_edits,
        record_edits=record_edits,
        reloads=reloads,
        zones_made_and_deleted=zones,
        **{name: f"{after[name] / 1024:.1f} MiB ({100 * (after[name] / before[name] - 1):+.1f} %)" for name in after},
    )
    assert growth_percent(before, after) <= GROWTH_PERCENT, grown
