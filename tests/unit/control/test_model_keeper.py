"""The model file, once written, is the memory of the zones in it: control holds no second copy of their columns."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnsd.formats.zone_blocks import LineNumbers
from dnsd.model.columns import Records
from dnsd.model.octet_column import OctetColumn
from dnsd.process.snapshot_file import FILE_NAME
from dnsd.store.objects import ReadZone
from dnsd.store.packed_zone import packed_zone
from tests.unit.control.scheduling import SPACE, Life, Scheduling

NAMES = 6_000
MASTER = "".join(f"n{number} 300 IN A 192.0.2.{number % 250}\nn{number} 60 IN A 192.0.3.1\n" for number in range(NAMES))
PROXIED = "".join(f"n{number} 1 IN A 192.0.2.1 ; cf_tags=cf-proxied:true\n" for number in range(NAMES))
FILES = {
    "acme/account.yaml": f"name: Acme\n{SPACE}",
    "acme/zones/master.example.zone": MASTER,
    "acme/zones/proxied.example.zone": PROXIED,
    "acme/zones/small.example.zone": "www 300 IN A 192.0.2.1\n",
}
LARGE = ("acme/zones/master.example", "acme/zones/proxied.example")


@pytest.fixture
def world(tmp_path: Path) -> Scheduling:
    return Scheduling(tmp_path / "world", FILES)


def zones(life: Life) -> dict[str, ReadZone]:
    loaded = life.control.current.loaded
    assert loaded
    return dict(loaded.stored.objects.zones)


def records_of(read: ReadZone) -> Records:
    assert read.zone
    return read.zone.records


def proxied_names(life: Life) -> OctetColumn:
    read, loaded = zones(life)[LARGE[1]], life.control.current.loaded
    assert loaded
    assert read.zone
    names = loaded.snapshot.zones[read.zone.id].proxied_names
    assert isinstance(names, OctetColumn)
    return names


def columns(life: Life) -> Iterator[memoryview]:
    """The columns of the large zones."""
    for key in LARGE:
        records = records_of(zones(life)[key])
        owners, rdatas = records.owners, records.rdatas
        yield from (memoryview(one) for one in (owners.octets, owners.ends, rdatas.octets, rdatas.ends, records.traits))
    yield memoryview(records_of(zones(life)[LARGE[0]]).grouped)
    yield memoryview(proxied_names(life).octets)


def test_zones_rest_in_the_file_of_the_last_save(world: Scheduling) -> None:
    async def saved(life: Life) -> None:
        publisher, keeper = life.control.publisher, life.control.keeper
        before = {key: [*records_of(read)] for key, read in zones(life).items()}
        names = [*proxied_names(life)]
        assert len(names) == NAMES
        await publisher.save()
        base = publisher.new_base
        assert base
        for _ in range(2):  # the second time, the zones are copied from the file before
            publisher.new_base = base
            await keeper.save_new()
            assert keeper._model
            assert {id(one.obj) for one in columns(life)} == {id(keeper._model.octets.obj)}
        small = records_of(zones(life)["acme/zones/small.example"])
        assert isinstance(small.owners.octets, bytes)
        assert {key: [*records_of(read)] for key, read in zones(life).items()} == before
        assert [*proxied_names(life)] == names
        maps = Path("/proc/self/maps").read_text().splitlines()
        assert len([line for line in maps if f"{world.state / FILE_NAME}.model" in line]) == 1

    world.run(saved)


def test_save_makes_no_copy_of_a_zone(world: Scheduling) -> None:
    async def packed(life: Life) -> None:
        read = zones(life)[LARGE[0]]
        assert isinstance(read.rows, LineNumbers)
        size = sum(one.nbytes for one in columns(life)) // 2
        tracemalloc.start()
        for _ in packed_zone(read, None):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < size

    world.run(packed)
