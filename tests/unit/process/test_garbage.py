"""Garbage collection waits for the end of long work, and passes over what stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress

import pytest

from dnsd.process.garbage import garbage_paused


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("is_on", [True, False])
def test_collection_is_paused_and_then_as_before(is_on: bool) -> None:
    if not is_on:
        gc.disable()
    seen = []
    with suppress(ValueError), garbage_paused():
        seen.append(gc.isenabled())
        raise ValueError
    assert [*seen, gc.isenabled()] == [False, is_on]


@pytest.mark.parametrize("freeze", [True, False])
def test_kept_objects_are_not_looked_at_again(freeze: bool) -> None:
    with garbage_paused(freeze=freeze):
        made = [object()]
    assert any(one is made for one in gc.get_objects()) is not freeze
