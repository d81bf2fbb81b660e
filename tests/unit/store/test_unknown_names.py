"""Files and folders with unknown names in the accounts folder: the age at which a watching server reports them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dnsd.store.directory import Files
from dnsd.store.folder import PATIENCE_S, _Reading

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
    "removed": (FileNotFoundError(), 0, False),
    "access denied": (PermissionError(), PATIENCE_S, True),  # affects only its own account
}


@pytest.mark.parametrize(("error", "patience_s", "is_reported"), CASES.values(), ids=CASES.keys())
def test_is_reported(tmp_path: Path, error: OSError | None, patience_s: float, *, is_reported: bool) -> None:
    file = tmp_path / "notes.txt"
    file.touch()
    reading = _Reading(Files(str(tmp_path)), patience_s=patience_s)
    assert reading.is_old_enough(entry(file, error)) is is_reported
