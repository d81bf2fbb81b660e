"""Controls write one fleet: of two on the same, one goes on; a commit without an answer or a writer gets its outcome.

What every store promises is asked of this one, too (`tests/contract/test_store.py`).
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest

from dnsd.fleet import control_store, op_journal
from dnsd.fleet.control_store import ControlStore
from dnsd.fleet.edge_record import EdgeRecord, edge_subject
from dnsd.fleet.follower import FleetFollower
from dnsd.fleet.intake import StateMessage
from dnsd.fleet.level import NEWEST_LEVEL
from dnsd.fleet.link import Line, NoAnswerError
from dnsd.fleet.op_journal import OpJournal
from dnsd.fleet.subjects import NAMES_GUARD, SPACE_GUARD
from dnsd.fleet.writer import Writer
from dnsd.manage.state_names import FLEET_OP
from dnsd.store import write as write_module
from dnsd.store.kept_file import ASIDE
from dnsd.store.port import ChangeTooLargeError, Op, Seen, StaleError, Store, StoreAwayError
from dnsd.store.write import FileChange
from tests.contract.test_store import FILES, LATER, ONE, THEN, TWO, Witnessed, octets, opened, run, texts, written
from tests.fleet.holdings import Fleet
from tests.fleet.nats_servers import needs_nats_server
from tests.stores import KilledError

pytestmark = needs_nats_server
RACES = 50
NEW = {ONE: "# new\n", TWO: "# new\n"}  # of two accounts
ENTRIES = [{"id": "1"}]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, monkeypatch)
    fleet.put(FILES)
    yield fleet
    fleet.close()


async def seen_with(store: Store, files: Mapping[str, str | None]) -> Seen:
    """What a store sees once it has exactly these files."""
    wanted = octets({name: text for name, text in files.items() if text is not None})
    while (seen := await opened(store)).files is None or texts(seen) != wanted:
        await store.changed(1)
    return seen


RIVALS: dict[str, Callable[[int], tuple[dict[str, str | None], dict[str, str | None]]]] = {
    "a zone's name": lambda number: (
        {f"acme/zones/z{number}.example.yaml": "records: []\n"},
        {f"globex/zones/z{number}.example.yaml": "records: []\n"},
    ),
    "maps of an account": lambda number: ({ONE: f"# one {number}\n"}, {"acme/maps/other.yaml": f"# two {number}\n"}),
    "a map": lambda number: ({ONE: f"# one {number}\n"}, {ONE: f"# two {number}\n", TWO: f"# two {number}\n"}),
}


@pytest.mark.parametrize("case", RIVALS)
def test_of_two_controls_one_goes_on(fleet: Fleet, case: str) -> None:
    async def work() -> None:
        stores = [fleet.store(ControlStore), fleet.store(ControlStore)]
        files: Mapping[str, str | None] = FILES
        for number in range(RACES):
            rivals = RIVALS[case](number)
            seen = [await seen_with(store, files) for store in stores]
            writes = [written(*each) for each in zip(stores, seen, rivals, strict=True)]
            outcomes = await asyncio.gather(*writes, return_exceptions=True)
            assert sorted(type(one).__name__ for one in outcomes) == ["OvertakenError", "Seen"]
            won = next(place for place, one in enumerate(outcomes) if isinstance(one, Seen))
            files = {**files, **rivals[won]}
            lost = outcomes[1 - won]
            assert isinstance(lost, StaleError)
            assert len(lost.keys) == len(rivals[1 - won])
        for store in stores:
            await seen_with(store, files)

    run(work())


def test_a_server_that_sends_nothing_new_takes_no_change_back(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on with its heartbeats, as one that catches up after the leader was killed."""
    is_stuck, taken = [True], FleetFollower.taken

    def stuck(self: FleetFollower, message: StateMessage | None, pending: int) -> None:
        taken(self, None if is_stuck[0] else message, pending)

    async def leave(self: Line) -> None:
        is_stuck[0] = False

    monkeypatch.setattr(control_store, "COPIED_WITHIN_S", 0.1)

    async def work() -> None:
        store = fleet.store(ControlStore)
        seen = await seen_with(store, FILES)
        monkeypatch.setattr(FleetFollower, "taken", stuck)
        monkeypatch.setattr(Line, "leave", leave)
        after = await written(store, seen, {ONE: "# new\n"})
        assert texts(after) == octets({**FILES, ONE: "# new\n"})
        assert await store.look(after) == after
        assert texts(await store.look(None)) == octets(FILES)  # the copy does not have it
        while is_stuck[0]:
            await store.changed(1)
            assert await store.look(after) == after
        await seen_with(store, {**FILES, ONE: "# new\n"})

    run(work())


ZONES = ["acme/zones/x.example.yaml", "globex/zones/y.example.yaml"]
MASTERS = ["acme/zones/m.example.zone", "globex/zones/n.example.zone"]
MANY = "".join(f"- {{{{name: n{n}, type: A, content: 192.0.2.1}}}}\n" for n in range(3000))
NEIGHBOURS: dict[str, tuple[list[str], str]] = {
    "maps": ([ONE, TWO], "# {}\n"),
    "records": (ZONES, "id: x\nrecords:\n- {{name: '@', type: A, content: 192.0.2.{}}}\npaused: false\n"),
    "records of large zones": (ZONES, f"id: x\nrecords:\n{MANY}- {{{{name: '@', type: A, content: 192.0.2.{{}}}}}}\n"),
    "master files": (MASTERS, "@ A 192.0.2.{}\n"),
}


@pytest.mark.parametrize("case", NEIGHBOURS)
def test_controls_write_different_accounts_at_once(fleet: Fleet, case: str) -> None:
    names, text = NEIGHBOURS[case]
    first = {name: text.format(0) for name in names}
    fleet.put(first)

    async def work() -> None:
        stores = [fleet.store(ControlStore), fleet.store(ControlStore)]
        files: Mapping[str, str | None] = {**FILES, **first}
        for number in range(1, 11):
            seen = [await seen_with(store, files) for store in stores]
            new: list[dict[str, str | None]] = [{name: text.format(number)} for name in names]
            await asyncio.gather(*[written(*each) for each in zip(stores, seen, new, strict=True)])
            files = {**files, **new[0], **new[1]}

    run(work())


def test_a_control_that_catches_up_sees_what_others_have_written(fleet: Fleet) -> None:
    async def work() -> None:
        writer, reader = fleet.store(ControlStore), fleet.store(ControlStore)
        await seen_with(reader, FILES)
        for number in range(20):
            files: dict[str, str | None] = {**FILES, ONE: f"# {number}\n"}
            await written(writer, await opened(writer), {ONE: f"# {number}\n"})
            await reader.catch_up()
            assert texts(await reader.look(None)) == octets(files)

    run(work())


def test_at_a_later_level_nothing_shared_is_written(fleet: Fleet) -> None:
    async def work() -> None:
        store = fleet.store(ControlStore)
        await seen_with(store, FILES)
        subject = edge_subject("e1")
        await store.write_shared(subject, lambda old: EdgeRecord("U").packed(), Op())
        store._in_force.take(None, b'{"epoch":"e","level":%d}' % (NEWEST_LEVEL + 1))
        with pytest.raises(OSError, match="upgrade this node"):
            await store.write_shared(subject, lambda old: EdgeRecord("U", 3).packed(), Op())
        assert store.shared_value(subject) == EdgeRecord("U").packed()

    run(work())


def test_a_change_too_large_for_one_batch_changes_nothing(fleet: Fleet) -> None:
    async def work() -> None:
        store, witnessed = fleet.store(), Witnessed()
        seen = await opened(store)
        many: dict[str, str | None] = {f"acme/zones/z{number}.example.yaml": "records: []\n" for number in range(1000)}
        with pytest.raises(
            ChangeTooLargeError, match=r"1,000 objects with .* at most 994 objects with 16,000,000 octets"
        ):
            await written(store, seen, many, op=Op(evidence=witnessed.evidence))
        assert witnessed.events == []
        assert await opened(store) == seen

    run(work())


def test_evidence_too_large_for_a_message_stops_no_commit(fleet: Fleet) -> None:
    async def work() -> None:
        store = fleet.store()
        seen = await opened(store)
        evidence = replace(Witnessed().evidence, entries=[{"id": "1", "note": "x" * 2_000_000}])
        assert texts(await written(store, seen, {ONE: "# new\n"}, op=Op(evidence=evidence)))[ONE] == b"# new\n"

    run(work())


# whether a batch reaches the servers before they stop, or is on its way then -> whether it is made
WAYS: dict[str, bool | None] = {"stored": True, "not sent": False, "on its way": None}


@pytest.mark.parametrize("is_asked", [True, False], ids=["at the next open", "by itself"])
@pytest.mark.parametrize("way", WAYS)
def test_a_commit_without_an_answer_gets_its_outcome(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, way: str, *, is_asked: bool
) -> None:
    real, stopped = Writer._send, list[str]()

    async def send(writer: Writer, messages: list[Any], longest_s: float) -> dict[str, Any]:
        if way == "stored" and not stopped:
            await real(writer, messages, longest_s)
        if not stopped:
            stopped.append(way)
            fleet.away(is_away=True)
        if way == "on its way":
            return await real(writer, messages, longest_s)
        raise NoAnswerError("lost")

    async def work() -> None:
        store, witnessed = fleet.store(), Witnessed()
        seen = await opened(store)
        op = Op((FileChange(fleet.path_beside("pending"), "{}", LATER),), witnessed.evidence)
        monkeypatch.setattr(Writer, "_send", send)
        with pytest.raises(StoreAwayError) as error:
            await written(store, seen, dict(NEW), op=op)
        assert error.value.retry_after_s > 0
        assert (witnessed.events, fleet.settled, fleet.beside()) == (["testified"], [], {})
        monkeypatch.setattr(Writer, "_send", real)
        fleet.away(is_away=False)
        while not fleet.settled:
            await (opened(store) if is_asked else asyncio.sleep(0.05))
        for _ in range(2):  # what was on its way does not come later
            now = texts(await opened(store))
            is_made = now[ONE] == b"# new\n"
            assert now == octets({**FILES, **NEW} if is_made else FILES)
            assert [([*entries], made) for entries, made in fleet.settled] == [(ENTRIES, is_made)]
            assert fleet.beside() == ({"pending": b"{}"} if is_made else {})
            await asyncio.sleep(0.3)
        assert WAYS[way] in (None, is_made)
        await written(store, await opened(store), {ONE: "# next\n"})

    run(work())


# the step of a write at whose beginning or end the process is killed -> whether the write is made, and an outcome left
KILLS: dict[str, tuple[Any, str, bool, bool, bool]] = {
    "before the note": (OpJournal, "begin", False, False, False),
    "noted": (OpJournal, "begin", True, False, True),
    "before the evidence": (Witnessed, "_testify", False, False, True),
    "with evidence": (Witnessed, "_testify", True, False, True),
    "before the commit": (Writer, "commit", False, False, True),
    "stored": (Writer, "commit", True, True, True),
    "before the files beside": (OpJournal, "complete", False, True, True),
    "within the files beside": (write_module, "_rename", True, True, True),
    "with files beside": (op_journal, "write_files", True, True, True),
    "completed": (OpJournal, "complete", True, True, True),
    "seen": (ControlStore, "_seen_with", False, True, True),
    "before the end": (OpJournal, "finish", False, True, True),
    "ended": (OpJournal, "finish", True, True, False),
}


def killed_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, is_after: bool) -> None:
    """Have the process end at the beginning or the end of its next call of a function."""
    real, undo = getattr(owner, name), write_module.undo

    def end() -> None:
        monkeypatch.setattr(owner, name, real)
        monkeypatch.setattr(write_module, "undo", lambda *_: monkeypatch.setattr(write_module, "undo", undo))

    def step(*args: Any, **more: Any) -> None:
        end()
        if is_after:
            real(*args, **more)
        raise KilledError

    async def awaited(*args: Any, **more: Any) -> None:
        end()
        if is_after:
            await real(*args, **more)
        raise KilledError

    monkeypatch.setattr(owner, name, awaited if iscoroutinefunction(real) else step)


async def written_and_finished(store: Store, seen: Seen, op: Op) -> None:
    await written(store, seen, dict(NEW), op=op)
    await store.finish(op, 7)


@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_control_leaves_all_or_nothing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, kill: str) -> None:
    owner, name, is_after, is_made, is_left = KILLS[kill]
    undo = write_module.undo
    names = ("pending", "more")

    async def work() -> None:
        store = fleet.store()
        seen = await opened(store)
        killed_at(monkeypatch, owner, name, is_after=is_after)
        op = Op([FileChange(fleet.path_beside(one), "{}", LATER) for one in names], Witnessed().evidence)
        with pytest.raises(KilledError):
            await written_and_finished(store, seen, op)
        monkeypatch.setattr(write_module, "undo", undo)
        assert fleet.settled == []
        for _ in range(2):
            assert texts(await opened(fleet.store())) == octets({**FILES, **NEW} if is_made else FILES)
            assert {one: text for one, text in fleet.beside().items() if one in names} == (
                dict.fromkeys(names, b"{}") if is_made else {}
            )
            settled = [(ENTRIES, is_made)] if is_left else []
            assert [([*entries], made) for entries, made in fleet.settled] == settled

    run(work())


def test_an_outcome_that_cannot_be_written_follows(fleet: Fleet) -> None:
    def full(revision: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    async def work() -> None:
        store, witnessed = fleet.store(), Witnessed()
        seen = await opened(store)
        op = Op(evidence=replace(witnessed.evidence, made=full))
        seen = await written(store, seen, {ONE: "# new\n"}, op=op)
        with pytest.raises(OSError, match="full"):
            await store.finish(op, 7)
        while not fleet.settled:
            await asyncio.sleep(0.05)
        assert [([*entries], made) for entries, made in fleet.settled] == [(ENTRIES, True)]
        assert await written(store, seen, {ONE: "# newer\n"})

    run(work())


def test_files_beside_that_cannot_be_written_follow(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    real = op_journal.write_files

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    async def work() -> None:
        store, witnessed = fleet.store(), Witnessed()
        seen = await opened(store)
        beside = [FileChange(fleet.path_beside("pending"), "{}", LATER)]
        for number, op in enumerate([Op(beside, witnessed.evidence), Op(beside)]):
            monkeypatch.setattr(op_journal, "write_files", full)
            seen = await written(store, seen, {ONE: f"# {number}\n"}, op=op)
            assert texts(seen)[ONE] == f"# {number}\n".encode()
            assert fleet.beside() == {}
            monkeypatch.setattr(op_journal, "write_files", real)
            await store.finish(op, 7)
            while not fleet.beside():
                await asyncio.sleep(0.05)
            Path(fleet.path_beside("pending")).unlink()
        assert (witnessed.events, fleet.settled) == (["testified", 7], [])

    run(work())


def test_a_copy_that_is_not_whole_is_no_base(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_store, "COPIED_WITHIN_S", 0.2)

    async def work() -> None:
        store, witnessed = fleet.store(), Witnessed()
        seen = await opened(store)
        with monkeypatch.context() as within:
            within.setattr(FleetFollower, "is_caught_up", property(lambda _: False, lambda *_: None), raising=False)
            with pytest.raises(StoreAwayError):
                await written(store, seen, {ONE: "# new\n"}, op=Op(evidence=witnessed.evidence))
        assert witnessed.events == []
        assert await written(store, seen, {ONE: "# new\n"}) == await opened(fleet.store())

    run(work())


def test_a_note_that_no_server_knows_any_more_is_moved_aside(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        store = fleet.store()
        seen = await opened(store)
        killed_at(monkeypatch, Writer, "commit", is_after=True)
        with pytest.raises(KilledError):
            await written(store, seen, {ONE: "# new\n"}, op=Op(evidence=Witnessed().evidence))
        note = fleet.state_file(FLEET_OP)
        os.utime(note, (THEN, THEN))
        after = fleet.store()
        now = await opened(after)
        assert texts(now)[ONE] == b"# new\n"
        assert (fleet.settled, note.exists()) == ([], False)
        assert note.with_name(f"{FLEET_OP}{ASIDE}").exists()
        assert await written(after, now, {ONE: "# newer\n"})

    run(work())


def test_both_guards_are_asked_for_at_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """With servers far away, each question is a delay of the change."""
    real, asked, all_asked = ControlStore._last, set[str](), asyncio.Event()

    async def last(store: ControlStore, subject: str) -> int:
        asked.add(subject)
        if len(asked) == 2:
            all_asked.set()
        await all_asked.wait()
        return await real(store, subject)

    async def work() -> None:
        store = fleet.store()
        seen = await opened(store)
        monkeypatch.setattr(ControlStore, "_last", last)
        assert texts(await written(store, seen, {ONE: "# new\n"}))[ONE] == b"# new\n"

    run(work())
    assert asked == {NAMES_GUARD, SPACE_GUARD}
