"""Changes drawn up aside: made as they are or on newer data, they change their own files alone, once, with evidence."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dnsd.app import Loaded
from dnsd.compile import build
from dnsd.compile.zone import PackedZone, pack_zone
from dnsd.control import change_request
from dnsd.control.brake import Trial
from dnsd.engine import table
from dnsd.engine.respond import respond
from dnsd.manage import draft_texts
from dnsd.manage.change import Witness, draw_up, drawn
from dnsd.manage.draft import Draft
from dnsd.manage.history import History
from dnsd.manage.maps import MapChange, edit_map
from dnsd.manage.records import import_records
from dnsd.manage.refusal import RefusedError
from dnsd.manage.restore import restore
from dnsd.manage.service import Actor
from dnsd.manage.zones import edit_zone
from dnsd.model.zones import Zone
from dnsd.process.tasks import in_thread
from dnsd.store import write
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.port import EvidenceError
from dnsd.store.text_file import MAX_KEPT, FileChangedError
from dnsd.store.write import FileChange
from tests.limits import HANG_S
from tests.packets import answers, query
from tests.unit.control.scheduling import ACME, FILES, GLOBEX, OTHER, Life, Scheduling

CAKE, TOOLS, OTHER_MAP = "acme/zones/cake.example.yaml", "globex/zones/tools.example.yaml", "globex/maps/other.yaml"


def zone_id(draft: Draft, name: str) -> str:
    return next(one.id for one in draft.dataset.zones.values() if one.name_text == name)


def added(draft: Draft, zone: str, name: str) -> None:
    """Add a record to a zone."""
    import_records(draft, zone_id(draft, zone), f"{name} 60 IN A 192.0.2.7\n".encode(), proxies=False)


def adding(zone: str, name: str) -> Callable[[Loaded], tuple[None, Draft]]:
    """A change that adds a record to a zone."""

    def make(loaded: Loaded) -> tuple[None, Draft]:
        draft = Draft(loaded, datetime.now(UTC), by_operator=False)
        added(draft, zone, name)
        return None, draft

    return make


class Gate:
    """Holds up a change of a slow author once it is drawn up."""

    def __init__(self) -> None:
        self.is_there, self.is_open = threading.Event(), threading.Event()
        self.calls = 0

    def __call__(self, *_: object) -> None:
        self.calls += 1
        self.is_there.set()
        assert self.is_open.wait(HANG_S)

    def after(self, make: Callable[[Loaded], tuple[None, Draft]]) -> Callable[[Loaded], tuple[None, Draft]]:
        def slowly(loaded: Loaded) -> tuple[None, Draft]:
            made = make(loaded)
            self()
            return made

        return slowly


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(HANG_S):
        while not is_so():
            await asyncio.sleep(0.001)


async def drawn_on_older_data(
    life: Life, between: Callable[[], Awaitable[object]], *, turn: Callable[[], Awaitable[object]] | None = None
) -> int:
    """Make a slow author's change of cake.example, drawn up before `between`, and then `turn` in the same batch.

    Returns how often it was drawn up.
    """
    changes, gate = life.control.changes, Gate()
    changes._waiting.note("slow", 1.0)
    slow = asyncio.create_task(changes.change(gate.after(adding("cake.example", "slow")), "slow"))
    await in_thread(gate.is_there.wait)
    await between()
    async with life.control.current.turn:
        gate.is_open.set()
        await until(lambda: changes._waiting._waiting[0].drawn)
        others = asyncio.ensure_future(_none() if turn is None else turn())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await others
    await slow
    return gate.calls


def pausing(zone: str, *, is_paused: bool = True) -> Callable[[Loaded], tuple[None, Draft]]:
    """A change that pauses or resumes a zone."""

    def make(loaded: Loaded) -> tuple[None, Draft]:
        draft = Draft(loaded, datetime.now(UTC), by_operator=False)
        edit_zone(draft, zone_id(draft, zone), paused=is_paused)
        return None, draft

    return make


@pytest.mark.parametrize("most", [20, 4_096], ids=["in a new base", "in the overlay"])
def test_zone_paused_while_others_are_edited_is_packed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """As a zone of a million names needs: in its turn, what is packed already is put on the data of then."""
    hosts = "".join(f"- {{name: h{n}, type: A, content: 192.0.2.{n}, proxied: true}}\n" for n in range(40))
    world = Scheduling(tmp_path / "world", FILES | {CAKE: f"records:\n{hosts}"})
    packed: list[str] = []

    def counted(zone: Zone, *given: Any, **more: Any) -> PackedZone:
        packed.append(zone.name_text)
        return pack_zone(zone, *given, **more)

    monkeypatch.setattr(table, "MAX_OVERLAY", most)
    monkeypatch.setattr(build, "pack_zone", counted)

    async def work(life: Life) -> None:
        changes, gate = life.control.changes, Gate()
        packed.clear()
        changes._waiting.note("slow", 1.0)
        slow = asyncio.create_task(changes.change(gate.after(pausing("cake.example")), "slow"))
        await in_thread(gate.is_there.wait)
        for name in ("first", "second"):
            await changes.change(adding("tools.example", name), "quick")
        gate.is_open.set()
        await slow
        assert (packed, gate.calls) == (["cake.example"], 1)
        assert life.control.current.loaded
        snapshot = life.control.current.loaded.snapshot
        for name, address in {
            "h39.cake.example": "192.0.2.39",
            "first.tools.example": "192.0.2.7",
            "second.tools.example": "192.0.2.7",
        }.items():
            assert answers(respond(snapshot, query(name)) or b"") == [address]

    world.run(work)
    assert "paused: true" in world.read(CAKE)
    assert "second" in world.read(TOOLS)


def test_large_zone_with_a_byte_order_mark_keeps_its_records(tmp_path: Path) -> None:
    comment = f"# ä{'x' * MAX_KEPT}\n"
    world = Scheduling(tmp_path / "world", FILES | {CAKE: f"\ufeff{comment}{FILES[CAKE]}"})

    async def work(life: Life) -> None:
        await life.control.changes.change(pausing("cake.example"), "author")
        assert life.control.current.loaded
        assert answers(respond(life.control.current.loaded.snapshot, query("www.cake.example")) or b"") == ["192.0.2.9"]

    world.run(work)
    text = world.read(CAKE)
    assert text.removeprefix("\ufeff").startswith(f"{comment}{FILES[CAKE]}")
    assert "paused: true" in text


@pytest.mark.parametrize("is_made", [True, False])
def test_large_text_is_written_before_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_made: bool
) -> None:
    """What was written for nothing is removed."""
    world = Scheduling(tmp_path / "world", FILES | {CAKE: f"# {'x' * 200}\n{FILES[CAKE]}"})
    monkeypatch.setattr(draft_texts, "LARGE", 200)
    written: list[tuple[str, bool]] = []
    writing = write._write_text

    def write_text(file: str, one: FileChange) -> None:
        written.append((Path(one.path).name, life_of[0].control.current.turn.locked()))
        writing(file, one)

    def refuse(*_: object) -> None:
        raise RefusedError([])

    life_of: list[Life] = []

    async def work(life: Life) -> None:
        life_of.append(life)
        monkeypatch.setattr(write, "_write_text", write_text)
        if not is_made:
            monkeypatch.setattr(Trial, "check", refuse)
        life.control.changes._waiting.note("slow", 1.0)
        made = asyncio.create_task(life.control.changes.change(pausing("cake.example"), "slow"))
        await asyncio.wait([made])
        assert (made.exception() is None) == is_made
        await until(lambda: not life.control.changes._begun)

    world.run(work)
    assert written == [("cake.example.yaml", False)]
    assert ("paused: true" in world.read(CAKE)) == is_made
    assert [one.name for one in (world.folder / "accounts/acme/zones").iterdir() if one.name.startswith(".")] == []


def test_nobody_waits_for_the_first_change_of_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its author is not known to be slow yet; the author's next change stays behind it."""
    comment = "# " + "x" * 200
    world = Scheduling(tmp_path / "world", FILES | {CAKE: f"{comment}\n{FILES[CAKE]}"})
    monkeypatch.setattr(draft_texts, "LARGE", 200)
    made: list[str] = []

    async def work(life: Life) -> None:
        gate, author = Gate(), Actor(world.token("author"), "192.0.2.1")
        zones = {one.name_text: one.id for one in life.service.loaded.dataset.zones.values()}

        async def pause(zone: str, actor: Actor, then: Callable[[], object] = list) -> None:
            def verb(draft: Draft) -> None:
                edit_zone(draft, zones[zone], paused=True)
                then()

            await life.service.change(actor, "zone.edit", verb)
            made.append(zone)

        large = asyncio.create_task(pause("cake.example", author, gate))
        small = asyncio.create_task(pause("bread.example", author))
        await in_thread(gate.is_there.wait)
        await pause("tools.example", Actor(world.token("other"), "192.0.2.2"))
        assert made == ["tools.example"]
        gate.is_open.set()
        await asyncio.gather(large, small)
        assert gate.calls == 1

    world.run(work)
    assert made == ["tools.example", "cake.example", "bread.example"]
    assert f"{comment}\n" in world.read(CAKE)


MASTER = "$TTL 300\n@ SOA ns1 h 1 1 1 1 1\n@ NS ns1.example.net.\n" + "".join(
    f"h{n} A 192.0.2.{n}\n" for n in range(50)
)
LONG = {
    "a setting in a master file": lambda draft, _: edit_zone(draft, zone_id(draft, "mast.example"), paused=True),
    "an import": lambda draft, _: import_records(draft, zone_id(draft, "bread.example"), IMPORT, proxies=False),
    "a restoration": lambda draft, history: restored(draft, history, "mast.example"),
}
IMPORT = b"".join(b"q%d 60 IN A 192.0.2.7\n" % number for number in range(90))


def restored(draft: Draft, history: History, name: str) -> None:
    found = zone_id(draft, name)
    restore(draft, history, ACME, found, history.versions(found)[-1].version, is_map=False)


@pytest.mark.parametrize("what", LONG)
def test_long_text_is_read_where_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    world = Scheduling(tmp_path / "world", FILES | {"acme/zones/mast.example.zone": MASTER})

    async def work(life: Life) -> None:
        await life.service.change(
            Actor(world.alice, ""), "record.import", partial(added, zone="mast.example", name="x")
        )
        monkeypatch.setattr(draft_texts, "LARGE", 200)
        turns: list[bool] = []

        def verb(draft: Draft) -> None:
            LONG[what](draft, life.service.history)
            turns.append(life.control.current.turn.locked())

        await life.service.change(Actor(world.token("author"), ""), "long", verb)
        assert turns == [False]

    world.run(work)


def test_large_change_is_drawn_up_aside_also_after_its_batch_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change of the batch is tried again, alone, and in the turn."""
    world = Scheduling(tmp_path / "world", FILES | {CAKE: f"# {'x' * 200}\n{FILES[CAKE]}"})
    monkeypatch.setattr(draft_texts, "LARGE", 200)
    turns, stale = list[bool](), [FileChangedError()]

    async def work(life: Life) -> None:
        def large(draft: Draft) -> None:
            edit_zone(draft, zone_id(draft, "cake.example"), paused=True)
            turns.append(life.control.current.turn.locked())

        def failing(draft: Draft) -> None:
            if stale:
                raise stale.pop()
            added(draft, "tools.example", "other")

        def change(name: str, verb: Callable[[Draft], None]) -> asyncio.Task[Any]:
            return asyncio.create_task(life.service.change(Actor(world.token(name), ""), "change", verb))

        async with life.control.current.turn:
            both = change("first", large), change("second", failing)
            await until(lambda: len(life.control.changes._waiting._waiting) == 2)
        await asyncio.gather(*both)

    world.run(work)
    assert (turns, stale) == ([False], [])
    assert "paused: true" in world.read(CAKE)
    assert "other" in world.read(TOOLS)


def test_request_that_changed_nothing_changes_what_is_otherwise_by_its_turn(world: Scheduling) -> None:
    """A paused zone is paused again; while that is drawn up aside, another author resumes the zone."""

    async def work(life: Life) -> None:
        changes, gate = life.control.changes, Gate()
        await changes.change(pausing("cake.example"), "quick")
        changes._waiting.note("slow", 1.0)
        slow = asyncio.create_task(changes.change(gate.after(pausing("cake.example")), "slow"))
        await in_thread(gate.is_there.wait)
        await changes.change(pausing("cake.example", is_paused=False), "quick")
        assert "paused: true" not in world.read(CAKE)
        gate.is_open.set()
        await slow

    world.run(work)
    assert "paused: true" in world.read(CAKE)


async def _none() -> None:
    """Nothing else is in the batch."""


def edited_by_hand(life: Life, _: pytest.MonkeyPatch) -> None:
    life.world.write(OTHER_MAP, f"{FILES[OTHER_MAP]}description: by hand\n")


def failing_once(error: OSError) -> Callable[[Life, pytest.MonkeyPatch], None]:
    def fail(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
        whole, errors = life.control.store.write, [error]

        def once(*args: Any, **more: Any) -> Any:
            if errors:
                raise errors.pop()
            return whole(*args, **more)

        monkeypatch.setattr(life.control.store, "write", once)

    return fail


@pytest.mark.parametrize(
    "fail",
    [
        pytest.param(edited_by_hand, id="a file edited by hand"),
        pytest.param(failing_once(OSError(errno.ENOSPC, "full")), id="a full disk"),
        pytest.param(failing_once(EvidenceError(errno.ENOSPC, "full")), id="evidence"),
    ],
)
def test_batch_that_fails_and_is_made_one_by_one_leaves_the_changes_of_others(
    world: Scheduling, monkeypatch: pytest.MonkeyPatch, fail: Callable[[Life, pytest.MonkeyPatch], None]
) -> None:
    """The slow change is put on the data with a third author's change twice: it must not undo that."""
    then: dict[str, str] = {}

    async def work(life: Life) -> None:
        changes = life.control.changes

        async def third() -> None:
            await changes.change(adding("tools.example", "third"), "third")
            then.update({name: world.read(name) for name in FILES})
            fail(life, monkeypatch)

        def edited(loaded: Loaded) -> tuple[None, Draft]:
            draft = Draft(loaded, datetime.now(UTC), by_operator=False)
            edit_map(draft, GLOBEX, OTHER, MapChange(enabled=True))
            return None, draft

        await drawn_on_older_data(life, third, turn=partial(changes.change, edited, "quick"))
        served = life.control.current.loaded.files.files  # type: ignore[union-attr]
        assert {one.path: one.text() for one in served} == {one.path: Path(one.path).read_text() for one in served}

    world.run(work)
    now = {name: world.read(name) for name in FILES}
    assert "third" in then[TOOLS]
    assert {name for name in FILES if now[name] != then[name]} == {CAKE, OTHER_MAP}
    assert "name: slow" in now[CAKE]
    assert "enabled: true" in now[OTHER_MAP]
    assert ("by hand" in now[OTHER_MAP]) == (fail is edited_by_hand)


def test_serial_of_a_zone_that_changed_and_changed_back_goes_on(world: Scheduling) -> None:
    async def work(life: Life) -> None:
        def file() -> SourceFile:
            return life.control.current.loaded.files.by_key()["acme/zones/cake.example"]  # type: ignore[union-attr]

        def with_text(text: str) -> Callable[[Loaded], tuple[None, Draft]]:
            def make(loaded: Loaded) -> tuple[None, Draft]:
                draft = Draft(loaded, datetime.now(UTC), by_operator=True)
                draft.write_text("acme/zones/cake.example", FileKind.ZONE_YAML, text)
                return None, draft

            return make

        async def there_and_back() -> None:
            for text in (f"{first}# x\n", first, f"{first}# y\n", first):
                await life.control.changes.change(with_text(text), "operator")
            times.append(file().modified)

        first, times = file().text(), [file().modified]
        assert await drawn_on_older_data(life, there_and_back) == 2  # the serial is part of what it was drawn up on
        times.append(file().modified)
        assert times == sorted(set(times))

    world.run(work)
    assert "name: slow" in world.read(CAKE)


@pytest.mark.parametrize("by", ["a change", "a reload"])
def test_evidence_has_the_replaced_version_after_the_data_moved_on(
    world: Scheduling, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    kept, keep = list[list[str]](), change_request.keep_replaced

    def noted(history: Any, before: Loaded, replaced: list[SourceFile]) -> None:
        kept.append([one.key for one in replaced])
        keep(history, before, replaced)

    monkeypatch.setattr(change_request, "keep_replaced", noted)
    with world.config.open("a") as file:
        file.write("audit: required\n")

    async def work(life: Life) -> None:
        changes, gate = life.control.changes, Gate()

        def verb(draft: Draft) -> None:
            added(draft, "cake.example", "slow")
            gate()

        await changes.change(adding("cake.example", "before"), "operator")
        changes._waiting.note(world.alice.author.id, 1.0)
        slow = asyncio.create_task(life.service.change(Actor(world.alice, ""), "record.import", verb))
        await in_thread(gate.is_there.wait)
        if by == "a reload":
            world.write(OTHER_MAP, f"{FILES[OTHER_MAP]}description: by hand\n")
            assert (await life.control.loader._reload()).ok
        else:
            await changes.change(adding("tools.example", "other"), "other")
        gate.is_open.set()
        await slow
        assert gate.calls == 1

    world.run(work)
    assert kept == [["acme/zones/cake.example"]]
    assert [(one["action"], one["outcome"]) for one in world.audit()] == [("record.import", "ok")]


@pytest.mark.parametrize("when", ["before its turn", "in its turn"])
def test_change_whose_requester_has_gone_is_made_with_evidence_or_not_at_all(world: Scheduling, when: str) -> None:
    with world.config.open("a") as file:
        file.write("audit: required\n")

    async def work(life: Life) -> None:
        changes, gate = life.control.changes, Gate()
        changes._waiting.note(world.alice.author.id, 1.0)
        async with life.control.current.turn:
            quick = asyncio.create_task(changes.change(gate.after(adding("tools.example", "other")), "quick"))
            await asyncio.sleep(0)
            verb = partial(added, zone="cake.example", name="slow")
            slow = asyncio.create_task(life.service.change(Actor(world.alice, ""), "record.import", verb))
            await until(lambda: changes._waiting._waiting[-1].drawn)
            if when == "before its turn":
                slow.cancel()
                await asyncio.sleep(0)
        await in_thread(gate.is_there.wait)
        slow.cancel()
        await asyncio.sleep(0)
        gate.is_open.set()
        await quick
        assert slow.cancelled()

    world.run(work)
    made = [] if when == "before its turn" else [("record.import", "ok")]
    assert [(one["action"], one["outcome"]) for one in world.audit()] == made
    assert ("slow" in world.read(CAKE)) == bool(made)
    assert "other" in world.read(TOOLS)


def test_change_whose_evidence_cannot_be_drawn_up_is_not_made_with_the_next(world: Scheduling) -> None:
    async def work(life: Life) -> None:
        def unwitnessed(loaded: Loaded) -> tuple[None, Draft]:
            made = adding("cake.example", "unseen")(loaded)
            made[1].witness = no_witness
            return made

        def no_witness(_: Loaded) -> Witness:
            raise ValueError

        before = life.control.current.loaded
        assert before
        works = [partial(drawn, make) for make in (unwitnessed, adding("cake.example", "next"))]
        first, second = (one.outcome for one in draw_up(works, before, lambda *_: None))
        assert isinstance(first, ValueError)
        assert not isinstance(second, Exception)
        text = second.loaded.files.by_key()["acme/zones/cake.example"].text()
        assert "next" in text
        assert "unseen" not in text

    world.run(work)
