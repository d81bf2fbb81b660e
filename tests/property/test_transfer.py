"""A snapshot received by a worker as octets, whole or as changes, answers like the snapshot that was sent."""

from __future__ import annotations

import dataclasses
import io
import pathlib
import random
import struct

import pytest

from dnsd.app import Loaded, load
from dnsd.engine.delta import AddressChanges, Heading, apply_delta, delta
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.process.snapshot_file import pickled, unpickled
from tests.worlds import World, random_world, write_world

SEEDS = range(12)
TYPES = (1, 2, 5, 6, 16, 28, 39, 43, 65, 255)


def travelled(base: Snapshot | None, sent: Snapshot | None, snapshot: Snapshot) -> Snapshot:
    """A worker's snapshot after it had `base`, a copy of `sent`, and was sent `snapshot`."""
    octets = b"".join(pickled(delta(sent, snapshot)))
    *steps, arrived = apply_delta(base, unpickled(io.BytesIO(octets)))
    assert steps
    assert not any(steps)
    assert arrived is not None
    return arrived


def questions(rng: random.Random, snapshots: list[Snapshot]) -> list[bytes]:
    names = sorted({name for snapshot in snapshots for name in snapshot.names})
    names += [b"\x01x" + name for name in names if len(name) < 250]
    return [
        struct.pack("!6H", 1, 0x100, 1, 0, 0, 0) + name + struct.pack("!2H", rng.choice(TYPES), 1)
        for name in names
        for _ in range(3)
    ]


def changed(world: World, other: World, rng: random.Random) -> World:
    """The world with a few files of the other world, so that most of it is unchanged."""
    accounts = {}
    for name, files in world.accounts.items():
        theirs = other.accounts.get(name, files)
        maps = {key: rng.choice((value, theirs.maps.get(key, value))) for key, value in files.maps.items()}
        zones = {key: value for key, value in files.zones.items() if rng.random() > 0.2}
        accounts[name] = dataclasses.replace(files, maps=maps, zones=zones)
    return dataclasses.replace(world, accounts=accounts)


def with_pool(world: World) -> World:
    """The world, in which accounts may lose their immutable maps."""
    opened = {
        name: dataclasses.replace(files, account={**files.account, "pool": "allowed"})
        for name, files in world.accounts.items()
    }
    return dataclasses.replace(world, accounts=opened)


@pytest.mark.parametrize("seed", SEEDS)
def test_workers_answer_as_the_snapshot_that_was_sent(seed: int, tmp_path: pathlib.Path) -> None:
    rng = random.Random(seed)
    first = with_pool(random_world(rng))
    worlds = [first, with_pool(random_world(rng)), first]
    loaded: Loaded | None = None
    arrived: Snapshot | None = None
    sent: Snapshot | None = None
    asked = 0
    for number, world in enumerate(worlds):
        loaded = load(write_world(world, tmp_path / str(number)), {}, previous=loaded)
        snapshot = dataclasses.replace(loaded.snapshot, revision=number + 1)
        arrived = travelled(arrived, sent, snapshot)
        whole = travelled(None, None, snapshot)
        for query in questions(rng, [snapshot, sent or snapshot]):
            expected = respond(snapshot, query)
            assert respond(arrived, query) == expected, query.hex()
            assert respond(whole, query) == expected, query.hex()
            asked += 1
        sent = snapshot
    assert asked > 300


def test_map_edit_sends_no_names(tmp_path: pathlib.Path) -> None:
    world = World(
        {"default_addresses": ["198.51.100.10"], "nameservers": ["ns1.example.net"]},
        random_world(random.Random(3)).accounts,
    )
    before = load(write_world(world, tmp_path), {}).snapshot
    after = dataclasses.replace(before, revision=2, by_account={**before.by_account, "x" * 32: before.default})
    parts = list(delta(before, after))
    assert [type(part) for part in parts] == [Heading, AddressChanges]
    assert len(b"".join(pickled(parts))) < 20_000
    copy = travelled(travelled(None, None, before), before, after)
    assert copy.by_account.keys() == after.by_account.keys()


def test_a_change_of_another_revision_is_not_applied(tmp_path: pathlib.Path) -> None:
    first = load(write_world(random_world(random.Random(4)), tmp_path), {}).snapshot
    second, third = (dataclasses.replace(first, revision=number) for number in (2, 3))
    with pytest.raises(ValueError, match="a delta from revision 2, applied to revision 1"):
        list(apply_delta(first, delta(second, third)))
