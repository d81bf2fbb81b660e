"""A file of a held account is not edited: on a disk, it may be fixed by now; a fleet's is what was seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from dnsd.errors import Problem
from dnsd.manage.draft import Draft
from dnsd.manage.refusal import RefusedError
from dnsd.store.directory import Files
from dnsd.store.text_file import FileChangedError
from tests.stores import edit_of

KEY = "acme/maps/shop"


@pytest.mark.parametrize(("seq", "error"), [(0, FileChangedError), (7, RefusedError)], ids=["folder", "fleet"])
def test_a_held_file_is_read_again_only_from_a_disk(seq: int, error: type[Exception]) -> None:
    files = replace(edit_of(Files("/nowhere"), {f"{KEY}.yaml": "enabled: maybe\n"}, modified=1).after, seq=seq)
    loaded: Any = SimpleNamespace(
        unserved=lambda key: Problem(key, (), "is neither true nor false"),
        source=SimpleNamespace(files=files),
        described=lambda problem, *_, **__: str(problem),
    )
    with pytest.raises(error):
        Draft(loaded, datetime.now(UTC), by_operator=True).check_served(KEY)
