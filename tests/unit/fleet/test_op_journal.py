"""What belongs to a commit is made once, also if it was made in part before the process ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dnsd.fleet.op_journal import OpJournal
from dnsd.store.write import FileChange, write_files


def recovered(journal: Path) -> None:
    async def is_stored(op: str) -> bool:
        return op == "op"

    assert asyncio.run(OpJournal(journal, lambda entries, is_made: None).recover(is_stored))
    assert not journal.exists()


@pytest.mark.parametrize("is_made", [True, False])
def test_files_beside_are_made_once(tmp_path: Path, *, is_made: bool) -> None:
    gone, new, kept = (tmp_path / name for name in ("gone", "new", "kept"))
    for file in (gone, kept):
        file.write_text("old")
    changes = [FileChange(str(gone), None, 0), FileChange(str(new), "n", 5), FileChange(str(kept), "k", 5)]
    OpJournal(tmp_path / "op", lambda entries, is_made: None).begin("op", [{"id": "1"}], changes)
    if is_made:  # and the process was killed before it noted that
        write_files(changes, tmp_path / "journal")
    recovered(tmp_path / "op")
    assert not gone.exists()
    assert (new.read_text(), kept.read_text()) == ("n", "k")


def test_a_file_that_has_gone_since_stays_gone(tmp_path: Path) -> None:
    """Such as a pending change that was cancelled meanwhile."""
    file = tmp_path / "pending"
    file.write_text("old")
    OpJournal(tmp_path / "op", lambda entries, is_made: None).begin("op", [], [FileChange(str(file), "new", 5)])
    file.unlink()
    recovered(tmp_path / "op")
    assert not file.exists()
