"""Changes leave no cycles: each would keep a whole version of the data until garbage collection, which comes rarely."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dnsd.app import Loaded
from dnsd.control import service
from dnsd.manage.draft import Draft
from dnsd.manage.maps import MapChange, delete_map, edit_map
from dnsd.manage.refusal import RefusedError
from dnsd.manage.service import Actor
from dnsd.store.yaml_records import _Reader
from tests.limits import HANG_S
from tests.unit.control.scheduling import ACME, GLOBEX, OTHER, SHOP, Life, Scheduling


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(service, "SERVED_WITHIN_S", 0)
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def there(kind: type[object]) -> int:
    return sum(type(one) is kind for one in gc.get_objects())


async def left(kind: type[object], most: int) -> int:
    """The number that is left, once work in the background has let all but `most` go; cycles would stay."""
    deadline = time.monotonic() + HANG_S
    while there(kind) > most and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return there(kind)


@pytest.mark.parametrize("author", ["quick", "slow"])
def test_changes_keep_no_earlier_data(tmp_path: Path, author: str) -> None:
    world = Scheduling(tmp_path / "world")

    async def changes(life: Life) -> None:
        actor = Actor(world.alice, "")
        if author == "slow":
            life.control.changes._waiting.note(actor.token.author.id, 1.0)

        async def change(action: str, account_id: str, map_id: str, **fields: str | bool) -> None:
            def verb(draft: Draft) -> None:
                if action == "map.delete":
                    delete_map(draft, account_id, map_id)
                else:
                    edit_map(draft, account_id, map_id, MapChange(**fields))  # type: ignore[typeddict-item]

            with suppress(RefusedError):
                await life.service.change(actor, action, verb)

        for number in range(5):
            await change("map.edit", ACME, SHOP, description=f"edit {number}")
            await change("map.delete", ACME, SHOP)  # refused if it is enabled
            assert await left(Loaded, 2) <= 2, "the data that is served or being saved, and no earlier one"
        await change("map.edit", GLOBEX, OTHER, enabled=False)
        await change("map.delete", GLOBEX, OTHER)  # needs evidence
        await change("map.edit", ACME, SHOP, description="last")
        await change("map.edit", ACME, SHOP, description="very last")
        assert await left(Loaded, 2) <= 2

    world.run(changes)
    assert (world.folder / "accounts/acme/maps/shop.yaml").exists()
    assert not (world.folder / "accounts/globex/maps/other.yaml").exists()
    assert there(_Reader) == 0
