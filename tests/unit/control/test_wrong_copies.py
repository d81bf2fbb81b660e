"""A start with an account in error whose last good version is damaged: the snapshot file is served, whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dnsd.store.directory import FileKind
from tests.kept_texts import block_files, good_texts, make_old, put_good_text
from tests.unit.control.scheduling import Life, Scheduling

CAKE, CAKE_KEY = "accounts/acme/zones/cake.example.yaml", "acme/zones/cake.example"
FIXED = "records:\n- {name: www, type: A, content: 192.0.2.99}\n"
WWW, TOOLS = b"\3www\4cake\7example\0", b"\3www\5tools\7example\0"


def block(world: Scheduling) -> Path:
    """The block of the zone's good text; the other zone of the account has the same one."""
    [file] = block_files(world.state, CAKE_KEY)
    return file


def manifest(world: Scheduling) -> Path:
    return world.state / "good" / "acme"


def broken(octets: bytes, of: Callable[[Scheduling], Path]) -> Callable[[Scheduling], str]:
    def damage(world: Scheduling) -> str:
        file = of(world)
        file.write_bytes(octets)
        prefix = "." if of is manifest else ""
        return f"{file} is corrupt: moved aside as {prefix}{file.name}.damaged"

    return damage


def all_gone(world: Scheduling) -> str:
    shutil.rmtree(world.state / "blocks")
    return " is missing"


def wrong(text: str) -> Callable[[Scheduling], str]:
    """A sound text that the rules of this release refuse."""

    def damage(world: Scheduling) -> str:
        put_good_text(world.state, CAKE_KEY, FileKind.ZONE_YAML, text)
        return f"{manifest(world)} is corrupt: moved aside as .acme.damaged"

    return damage


def old(octets: bytes) -> Callable[[Scheduling], str]:
    """A damaged copy of the release before."""

    def damage(world: Scheduling) -> str:
        make_old(world.state)
        (manifest(world) / "zones/cake.example.yaml").write_bytes(octets)
        return f"{manifest(world)} is corrupt: moved aside as .acme.damaged"

    return damage


def known_to_be_damaged(world: Scheduling) -> str:
    """By the release before."""
    said = old(b"")(world)
    (manifest(world) / "zones/cake.example.yaml").unlink()
    (world.state / "good/.incomplete").write_text(f"{CAKE_KEY}\n")
    return said


DAMAGES: dict[str, Callable[[Scheduling], str]] = {  # each returns what the log says
    "a block: readable but wrong": broken(b"records: 5\n", block),
    "a block: empty": broken(b"", block),
    "all blocks: gone": all_gone,
    "a manifest: empty": broken(b"", manifest),
    "a text: another key": wrong("recrods: []\n"),
    "a copy: readable but wrong": old(b"records: 5\n"),
    "a copy: not text": old(b"\xff\xfe\x00\x01"),
    "a copy: gone, and listed": known_to_be_damaged,
}


async def keep(life: Life) -> None:
    await life.control.publisher.save()
    await life.control.current.keep_first_good()


@pytest.fixture
def world(tmp_path: Path) -> Scheduling:
    """After a life in which all was served."""
    world = Scheduling(tmp_path / "world")
    world.run(keep)
    world.lines.clear()
    return world


def names(life: Life) -> set[bytes]:
    snapshot = life.control.publisher.snapshot
    assert snapshot
    return {name for name in (WWW, TOOLS) if snapshot.names.get(name)}


@pytest.mark.parametrize("what", DAMAGES)
def test_snapshot_file_is_served_until_the_file_is_fixed(world: Scheduling, what: str) -> None:
    told = DAMAGES[what](world)
    (world.folder / CAKE).write_text("records: wrong\n")

    async def served(life: Life) -> None:
        assert life.control.current.loaded is None
        assert names(life) == {WWW, TOOLS}

    world.run(served)
    said = "\n".join(world.lines)
    assert f"{told}; its account is in error, and cannot be held at this version" in said
    assert "serving the snapshot of" in said
    assert "Traceback" not in said
    world.run(served)  # and once more: the lack of the text is remembered

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
    assert good_texts(world.state)["acme/zones/cake.example.yaml"] == FIXED
    (world.folder / CAKE).write_text("records: wrong again\n")

    async def held(life: Life) -> None:
        assert life.control.current.loaded
        assert [*life.control.current.loaded.held] == ["acme"]
        assert names(life) == {WWW, TOOLS}

    world.run(held)


@pytest.mark.parametrize("what", DAMAGES)
def test_without_a_snapshot_file_the_rest_is_served(world: Scheduling, what: str) -> None:
    DAMAGES[what](world)
    (world.folder / CAKE).write_text("records: wrong\n")
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
    assert (world.state / "good" / "globex").exists()


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_to_the_text_of_a_sound_file_changes_nothing(world: Scheduling, what: str) -> None:
    texts = good_texts(world.state)
    told = DAMAGES[what](world)

    async def served(life: Life) -> None:
        assert life.control.current.loaded
        assert names(life) == {WWW, TOOLS}
        await life.control.current.keep_first_good()

    world.run(served)
    assert good_texts(world.state) == texts
    if "text" not in what and "copy: readable" not in what:
        assert any(told in line for line in world.lines)
    world.lines.clear()
    world.run(served)
    assert not any("corrupt" in line or "missing" in line for line in world.lines)


@pytest.mark.parametrize("octets", [b"", b"\xff" * 99, b"acme\nnowhere/zones/x\n\n", b"[" * 9999])
@pytest.mark.parametrize("is_old", [False, True])
def test_damaged_list_of_damaged_copies_is_harmless(world: Scheduling, octets: bytes, *, is_old: bool) -> None:
    if is_old:
        make_old(world.state)
    (world.state / "good/.incomplete").write_bytes(octets)

    async def served(life: Life) -> None:
        assert life.control.current.loaded
        await life.control.current.keep_first_good()

    world.run(served)
    assert not (world.state / "good/.incomplete").exists()
