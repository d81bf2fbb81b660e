"""Changes leave no cycles: each would keep a whole version of the data until garbage collection, which comes rarely."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from dnsd.app import Loaded
from dnsd.formats.zone_blocks import BlockReading, ZonePart
from dnsd.formats.zone_text import ZoneText
from dnsd.manage.draft import Draft
from dnsd.manage.maps import MapChange, delete_map, edit_map
from dnsd.manage.record_ids import record_id
from dnsd.manage.records import Batch, change_records
from dnsd.manage.refusal import RefusedError
from dnsd.manage.service import Actor
from dnsd.model.columns import Records
from dnsd.model.octet_column import OctetColumn
from dnsd.model.records import RecordFields, build_record
from dnsd.store.directory import SourceFile
from dnsd.store.yaml_records import _Reader
from tests.limits import HANG_S
from tests.unit.control.scheduling import ACME, GLOBEX, OTHER, SHOP, Life, Scheduling


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
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


HELD = (Loaded, Records, OctetColumn, ZoneText, ZonePart, SourceFile, BlockReading)


def test_changes_of_records_keep_no_earlier_columns_nor_texts(tmp_path: Path) -> None:
    world = Scheduling(tmp_path / "world")
    text = "@ 60 SOA ns1 host 1 2 3 4 5\n@ 60 NS ns1\n" + "".join(
        f"pier{n} 60 A 198.51.{n // 256}.{n % 256}\n" for n in range(12_000)
    )
    (world.folder / "accounts/acme/zones/harbour.example.zone").write_text(text)

    async def changes(life: Life) -> list[tuple[int, ...]]:
        actor, counts = Actor(world.token("op"), ""), []
        zones = life.service.loaded.dataset.zones.values()
        zone_id = next(one.id for one in zones if one.name_text == "harbour.example")

        def change(draft: Draft, number: int) -> None:
            zone = draft.dataset.zones[zone_id]
            found = record_id(zone, zone.records.owners.index(b"\5pier7" + zone.name))
            made = build_record(RecordFields(name="pier7", type="A", content=f"192.0.2.{number}", ttl=60), zone.name)
            change_records(draft, zone_id, Batch(patches=[(found, lambda _: made)]))

        del zones
        for number in range(20, 26):
            await life.service.change(actor, "records", partial(change, number=number))
            await asyncio.sleep(0)  # until then, the loop refers to the result of the change
            counts.append(tuple(map(there, HELD)))
            large = [one for one in gc.get_objects() if type(one) is Records and len(one) > 12_000]
            assert len(large) == 1, "the records served, not those before, for workers that are behind"
            del large
        return counts

    _, first, *others = world.run(changes)
    assert first[0] == 1
    assert others == [first] * len(others)
