"""No proxied name of a barred account is ever answered from the default pool, whatever happens to files and state."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.model.dataset import Dataset
from tests.limits import examples
from tests.property.barred import EDITS, LEAST_SHARE, OUTCOMES, STARTS, histories

RUNS = examples(40, 480)
NOTHING = Dataset({}, {}, {})


def test_barred_names_are_never_answered_from_the_pool(tmp_path: Path) -> None:
    found = histories(range(RUNS), tmp_path)
    rare = {kind: found[kind] for kind in (*EDITS, *STARTS, *OUTCOMES) if found[kind] < LEAST_SHARE * RUNS}
    assert not rare, f"too rare in {RUNS} runs: {rare}"


# The parts of the rule, each patched out, and a history that shows it, which is tried first: the first of the rest may
# be long in coming.
FIRST = {
    "the rule on states": 10,
    "the rule on slips in files": 6,
    "the rule on slips at starts": 66,
    "the rule on removed accounts": 34,
    "the rule on slips in requests": 9,
}
PATCHES = {
    "the rule on states": [("dnsd.model.dataset_rules.pool_problems", lambda dataset, account: ())],
    "the rule on slips in files": [
        ("dnsd.store.judging.slips", lambda old, new, may_go: ()),
        ("dnsd.store.hold.slips", lambda old, new, may_go: ()),
    ],
    "the rule on slips at starts": [("dnsd.store.judging.changed_policies", lambda loading, found, good: NOTHING)],
    "the rule on removed accounts": [("dnsd.model.pool.GONE", None)],
    "the rule on slips in requests": [("dnsd.model.changes.slip", lambda *given: None)],
}


@pytest.mark.parametrize("part", PATCHES)
def test_histories_find_each_missing_part_of_the_rule(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, instead in PATCHES[part]:
        monkeypatch.setattr(name, instead)
    with pytest.raises(AssertionError, match=r"from the pool|operator's word"):
        histories([FIRST[part], *(seed for seed in range(RUNS) if seed != FIRST[part])], tmp_path)
