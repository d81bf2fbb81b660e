"""Control over a store without a disk: all that it does with the accounts' files goes over the port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from dnsd.control import control
from dnsd.control.change_queue import OVERTAKEN_TRIES
from dnsd.control.follow import Follower
from dnsd.manage.draft import Draft
from dnsd.manage.maps import MapChange, delete_map, edit_map
from dnsd.manage.refusal import Reason, RefusedError
from dnsd.manage.service import Actor
from dnsd.store.directory import FileKind
from dnsd.store.files_edit import FilesEdit
from dnsd.store.folder import read_file
from dnsd.store.port import ChangeTooLargeError, Op, Seen, StoreAwayError
from tests.limits import HANG_S
from tests.stores import MemoryEngine, MemoryStore
from tests.unit.control.scheduling import ACME, FILES, SALE, SHOP, Life, Scheduling

MAP = "acme/maps/shop"


@pytest.fixture
def world(tmp_path: Path) -> Scheduling:
    return Scheduling(tmp_path / "world", {})


@pytest.fixture
def engine(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> MemoryEngine:
    config = read_file(str(world.config), "", FileKind.SETTINGS, previous=None, now_ns=0)
    made = MemoryEngine(config)
    made.put(dict(FILES))
    monkeypatch.setattr(control, "FolderStore", lambda settings, state, settle, **_: MemoryStore(made, settle))
    return made


def addressed(address: str) -> Callable[[Draft], None]:
    return lambda draft: edit_map(draft, ACME, SHOP, MapChange(ips=[address]))


def actor(world: Scheduling) -> Actor:
    return Actor(world.alice, "192.0.2.7")


def text_of(engine: MemoryEngine) -> str:
    assert engine.files
    return engine.files.by_key()[MAP].text()


def served(life: Life) -> str:
    loaded = life.control.current.loaded
    assert loaded
    return str(next(one for one in loaded.dataset.maps.values() if one.id == SHOP).ips)


def test_a_change_is_there_for_the_next_process(world: Scheduling, engine: MemoryEngine) -> None:
    async def change(life: Life) -> None:
        await life.service.change(actor(world), "map.update", addressed("203.0.113.9"))
        assert "203.0.113.9" in served(life)

    async def look(life: Life) -> str:
        return served(life)

    world.run(change)
    assert "203.0.113.9" in text_of(engine)
    assert "203.0.113.9" in world.run(look)
    assert [entry["outcome"] for entry in world.audit() if entry["action"] == "map.update"] == ["ok"]
    assert not (world.folder / "accounts").exists()


def test_what_others_write_is_followed(world: Scheduling, engine: MemoryEngine) -> None:
    async def follow(life: Life) -> None:
        following = asyncio.create_task(
            Follower(life.control.store, life.control.current, life.control.loader).follow()
        )
        engine.put({f"{MAP}.yaml": FILES[f"{MAP}.yaml"].replace("203.0.113.1,", "203.0.113.9,")})
        async with asyncio.timeout(HANG_S):
            while "203.0.113.9" not in served(life):
                await asyncio.sleep(0.02)
        following.cancel()

    world.run(follow)


def test_a_change_on_top_of_anothers_is_drawn_up_again(world: Scheduling, engine: MemoryEngine) -> None:
    async def change(life: Life) -> None:
        engine.put({f"{MAP}.yaml": FILES[f"{MAP}.yaml"] + "description: theirs\n"})
        await life.service.change(actor(world), "map.update", addressed("203.0.113.9"))

    world.run(change)
    assert "description: theirs" in text_of(engine)
    assert "203.0.113.9" in text_of(engine)


def test_a_change_refused_as_stale_again_and_again_is_given_up(world: Scheduling, engine: MemoryEngine) -> None:
    async def change(life: Life) -> Reason:
        engine.stale = 100
        with pytest.raises(RefusedError) as error:
            await life.service.change(actor(world), "map.update", addressed("203.0.113.9"))
        return error.value.faults[0].reason

    before = text_of(engine)
    assert world.run(change) is Reason.NOT_WRITABLE
    assert text_of(engine) == before


@pytest.mark.parametrize("times", [OVERTAKEN_TRIES - 1, OVERTAKEN_TRIES])
def test_a_change_that_other_servers_overtake_is_tried_more_often(
    world: Scheduling, engine: MemoryEngine, times: int
) -> None:
    async def change(life: Life) -> None:
        engine.overtaken = times
        with pytest.raises(RefusedError) if times == OVERTAKEN_TRIES else nullcontext():
            await life.service.change(actor(world), "map.update", addressed("203.0.113.9"))

    world.run(change)
    assert ("203.0.113.9" in text_of(engine)) is (times < OVERTAKEN_TRIES)


def test_a_store_that_is_away_refuses_changes_until_it_is_back(world: Scheduling, engine: MemoryEngine) -> None:
    async def change(life: Life) -> RefusedError:
        engine.is_away = True
        with pytest.raises(RefusedError) as error:
            await life.service.change(actor(world), "map.update", addressed("203.0.113.9"))
        assert "203.0.113.9" not in served(life)
        engine.is_away = False
        await life.service.change(actor(world), "map.update", addressed("203.0.113.8"))
        assert "203.0.113.8" in served(life)
        return error.value

    refusal = world.run(change)
    assert refusal.faults[0].reason is Reason.NOT_WRITABLE
    assert "the store cannot be reached; nothing has changed" in str(refusal)


def test_a_reload_while_the_store_is_away_serves_on(world: Scheduling, engine: MemoryEngine) -> None:
    async def reload(life: Life) -> str:
        engine.is_away = True
        attempt = await life.control.loader.reload()
        assert not attempt.ok
        assert "203.0.113.1" in served(life)
        return str(attempt.problems[0])

    assert "the store cannot be reached" in world.run(reload)


def test_a_slow_store_keeps_changes_in_order(world: Scheduling, engine: MemoryEngine) -> None:
    engine.delay_s = 0.05

    async def change(life: Life) -> list[Any]:
        verbs = [addressed("203.0.113.9"), lambda draft: edit_map(draft, ACME, SALE, MapChange(ips=["203.0.113.7"]))]
        return await asyncio.gather(*(life.service.change(actor(world), "map.update", verb) for verb in verbs))

    assert len(world.run(change)) == 2
    assert engine.files
    assert "203.0.113.7" in engine.files.by_key()["acme/maps/sale"].text()
    assert "203.0.113.9" in text_of(engine)


def test_control_has_no_other_way_to_the_files() -> None:
    """Of the modules that read, watch or write the folder, control imports none, except in its adapter."""
    words = ("store.folder ", "store.folder_write", "store.watch", "import write_files", "undo_unfinished")
    modules = [one for one in Path(control.__file__).parent.glob("*.py") if one.name != "folder_store.py"]
    assert [(one.name, word) for one in modules for word in words if word in one.read_text()] == []


def test_a_batch_of_which_nothing_is_known_is_not_made_again(
    world: Scheduling, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer is lost: whoever asked for a part of it must not hear that the object is not there."""
    engine.put({f"{MAP}.yaml": FILES[f"{MAP}.yaml"].replace("enabled: true", "enabled: false")})
    real, lost = MemoryStore.write, [1]

    async def write(store: MemoryStore, seen: Seen, edit: FilesEdit, op: Op) -> Seen:
        found = await real(store, seen, edit, op)
        if lost and len(edit.touched_keys()) > 1:
            lost.pop()
            raise StoreAwayError("nothing is known of the change yet", 5)
        return found

    monkeypatch.setattr(MemoryStore, "write", write)

    async def work(life: Life) -> None:
        async with life.control.current.turn:  # so that both are in one batch
            changes = [
                asyncio.create_task(life.service.change(actor(world), "map.delete", removed)),
                asyncio.create_task(life.service.change(actor(world), "map.edit", moved)),
            ]
            await asyncio.sleep(0.1)
        for change in changes:
            with pytest.raises(RefusedError) as error:
                await change
            assert error.value.faults[0].reason is Reason.AWAY
        assert not lost

    def removed(draft: Draft) -> None:
        delete_map(draft, ACME, SHOP)

    def moved(draft: Draft) -> None:
        edit_map(draft, ACME, SALE, MapChange(ips=["203.0.113.9"]))

    world.run(work)


REFUSALS = [
    (StoreAwayError("the servers do not answer", 5), Reason.AWAY, 5, "the servers do not answer"),
    (ChangeTooLargeError("1,200 objects; at most 994"), Reason.TOO_LARGE, None, "1,200 objects; at most 994"),
    (OSError(28, "No space left on device"), Reason.NO_ROOM, None, "the files cannot be written: No space left"),
]


@pytest.mark.parametrize(("error", "reason", "retry_after_s", "words"), REFUSALS, ids=lambda one: str(one)[:20])
def test_a_refusal_says_why_nothing_was_written_and_when_to_try_again(
    world: Scheduling,
    engine: MemoryEngine,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    reason: Reason,
    retry_after_s: int | None,
    words: str,
) -> None:
    before = text_of(engine)

    async def write(store: MemoryStore, seen: Seen, edit: FilesEdit, op: Op) -> Seen:
        raise error

    monkeypatch.setattr(MemoryStore, "write", write)

    async def work(life: Life) -> None:
        with pytest.raises(RefusedError, match=words) as found:
            await life.service.change(actor(world), "map.edit", addressed("203.0.113.9"))
        assert [fault.reason for fault in found.value.faults] == [reason]
        assert found.value.retry_after_s == retry_after_s

    world.run(work)
    assert text_of(engine) == before
