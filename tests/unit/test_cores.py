"""The number of workers with `auto`."""

from __future__ import annotations

import os
import pathlib

import pytest

from dnsd.cores import usable_cores

QUOTAS = {
    "none": (["max 100000", "max 100000"], 64),
    "half a core": (["50000 100000", "max 100000"], 1),
    "one and a half": (["150000 100000", "max 100000"], 2),
    "of the group above": (["max 100000", "300000 100000"], 3),
    "the smaller one": (["200000 100000", "300000 100000"], 2),
    "not readable": (["", "?"], 64),
}


@pytest.mark.parametrize(("limits", "expected"), QUOTAS.values(), ids=QUOTAS.keys())
def test_quotas(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, limits: list[str], expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    group = tmp_path / "above" / "own"
    group.mkdir(parents=True)
    for folder, text in zip((group, group.parent), limits, strict=True):
        (folder / "cpu.max").write_text(text)
    own = tmp_path / "cgroup"
    own.write_text("0::/above/own\n")
    assert usable_cores(own, tmp_path) == expected


def test_without_control_groups(tmp_path: pathlib.Path) -> None:
    assert usable_cores(tmp_path / "none", tmp_path) == len(os.sched_getaffinity(0))
