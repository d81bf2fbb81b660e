"""A start with an account in error whose last good version is damaged: the snapshot file is served, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.control import loading
from tests.unit.control.scheduling import Life, Scheduling

CAKE, GOOD_CAKE = "accounts/acme/zones/cake.example.yaml", "state/good/acme/zones/cake.example.yaml"
ASIDE = "state/good/acme/zones/.cake.example.yaml.damaged"
FIXED = "records:\n- {name: www, type: A, content: 192.0.2.99}\n"
DAMAGES = {
    "readable but wrong": b"records: 5\n",
    "another key": b"recrods: []\n",
    "not YAML": b"records: [\n",
    "not text": b"\xff\xfe\x00\x01",
    "empty lines and a NUL": b"\n\n\0\n",
}
WWW, TOOLS = b"\3www\4cake\7example\0", b"\3www\5tools\7example\0"


async def keep(life: Life) -> None:
    await life.control.publisher.save()
    await life.control.current.keep_first_good()


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SERVED_WITHIN_S", 0)


@pytest.fixture
def world(tmp_path: Path) -> Scheduling:
    """After a life in which all was served."""
    world = Scheduling(tmp_path / "world")
    world.run(keep)
    world.lines.clear()
    return world


def damage(world: Scheduling, octets: bytes) -> None:
    """The account's file by a mistake, and its copy by the disk."""
    (world.folder / CAKE).write_text("records: wrong\n")
    (world.folder / GOOD_CAKE).write_bytes(octets)


def names(life: Life) -> set[bytes]:
    snapshot = life.control.publisher.snapshot
    assert snapshot
    return {name for name in (WWW, TOOLS) if snapshot.names.get(name)}


@pytest.mark.parametrize("what", DAMAGES)
def test_snapshot_file_is_served_until_the_file_is_fixed(world: Scheduling, what: str) -> None:
    damage(world, DAMAGES[what])

    async def served(life: Life) -> None:
        assert life.control.current.loaded is None
        assert names(life) == {WWW, TOOLS}

    world.run(served)
    assert (world.folder / ASIDE).read_bytes() == DAMAGES[what]
    said = "\n".join(world.lines)
    assert f"{world.folder / GOOD_CAKE} is corrupt: moved aside as .cake.example.yaml.damaged; its account" in said
    assert "serving the snapshot of" in said
    assert "Traceback" not in said
    world.run(served)  # and once more: the lack of the copy is remembered

    async def fixed(life: Life) -> None:
        await served(life)
        (world.folder / CAKE).write_text("records: still wrong\n")
        assert not (await life.control.loader.reload()).ok
        await served(life)
        (world.folder / CAKE).write_text(FIXED)
        assert (await life.control.loader.reload()).ok
        assert life.control.current.loaded
        assert names(life) == {WWW, TOOLS}

    world.run(fixed)
    assert (world.folder / GOOD_CAKE).read_text() == FIXED
    (world.folder / CAKE).write_text("records: wrong again\n")

    async def held(life: Life) -> None:
        assert life.control.current.loaded
        assert [*life.control.current.loaded.held] == ["acme"]
        assert names(life) == {WWW, TOOLS}

    world.run(held)


@pytest.mark.parametrize("what", DAMAGES)
def test_without_a_snapshot_file_the_rest_is_served(world: Scheduling, what: str) -> None:
    damage(world, DAMAGES[what])
    (world.state / "snapshot").unlink()

    async def served(life: Life) -> None:
        loaded = life.control.current.loaded
        assert loaded
        assert names(life) == {TOOLS}
        assert sorted(zone.name_text for zone in loaded.dataset.zones.values()) == ["tools.example"]
        assert [*loaded.held] == ["acme"]

        await life.control.current.keep_first_good()

    for _ in range(2):
        world.run(served)
        assert (world.folder / ASIDE).exists()
        assert (world.state / "good/acme/zones/bread.example.yaml").exists()  # until the account is served again
        assert (world.state / "good/.incomplete").read_text() == "acme/zones/cake.example\n"


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_copy_of_a_sound_file_changes_nothing(world: Scheduling, what: str) -> None:
    (world.folder / GOOD_CAKE).write_bytes(DAMAGES[what])

    async def served(life: Life) -> None:
        assert life.control.current.loaded
        assert names(life) == {WWW, TOOLS}
        await life.control.current.keep_first_good()

    world.run(served)
    assert (world.folder / GOOD_CAKE).read_text() == (world.folder / CAKE).read_text()
    assert not (world.state / "good/.incomplete").exists()


@pytest.mark.parametrize("octets", [b"", b"\xff" * 99, b"acme\nnowhere/zones/x\n\n", b"[" * 9999])
def test_damaged_list_of_damaged_copies_is_harmless(world: Scheduling, octets: bytes) -> None:
    (world.state / "good/.incomplete").write_bytes(octets)

    async def served(life: Life) -> None:
        assert life.control.current.loaded
        await life.control.current.keep_first_good()

    world.run(served)
    assert not (world.state / "good/.incomplete").exists()
