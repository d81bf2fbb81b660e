"""Files and folders with unknown names in the data folder: when the watching server takes them into account."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dnsd.store.directory import PATIENCE_S, Files, _Reading

WAY_BACK = -PATIENCE_S - 1


def entry(path: Path, error: OSError | None = None) -> Any:
    def stat(*, follow_symlinks: bool) -> Any:
        if error:
            raise error
        return path.stat(follow_symlinks=follow_symlinks)

    return SimpleNamespace(path=str(path), stat=stat)


CASES = {
    "new": (None, PATIENCE_S, False),
    "old enough": (None, WAY_BACK, True),
    "gone": (FileNotFoundError(), 0, False),
    "nobody may look": (PermissionError(), PATIENCE_S, True),  # affects only its own account
}


@pytest.mark.parametrize(("error", "patience_s", "counts"), CASES.values(), ids=CASES.keys())
def test_counts(tmp_path: Path, error: OSError | None, patience_s: float, *, counts: bool) -> None:
    file = tmp_path / "notes.txt"
    file.touch()
    reading = _Reading(Files(str(tmp_path)), patience_s=patience_s)
    assert reading.counts(entry(file, error)) is counts
