"""What every store promises (`store/port.py`), asked of each: the folder of YAML files, a fleet, the one in memory."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from dnsd.control.folder_store import FolderStore
from dnsd.log import Log
from dnsd.source import SettingsReader
from dnsd.store import write as write_module
from dnsd.store.directory import FileKind, Files, SourceFile
from dnsd.store.journal import Entries
from dnsd.store.port import EvidenceError, Op, Seen, StaleError, Store
from dnsd.store.text_file import content_of
from dnsd.store.write import BegunFile, Evidence, FileChange
from tests.fleet.holdings import Fleet
from tests.fleet.nats_servers import needs_nats_server
from tests.limits import HANG_S
from tests.stores import KilledError, MemoryEngine, MemoryStore, edit_of

ONE, TWO = "acme/maps/shop.yaml", "globex/maps/other.yaml"
ZONE, ZONE_FILE, ACCOUNT = "acme/zones/x.example.yaml", "acme/zones/x.example.zone", "acme/account.yaml"
FILES = {
    ACCOUNT: "name: Acme\n",
    ONE: "# shop\r\nenabled: true\r\n",
    ZONE: "records: []\n",
    "globex/account.yaml": "name: Globex\n",
    TWO: "enabled: false\n",
}
THEN, LATER = 1_600_000_000, 1_700_000_000


class Holdings(Protocol):
    """What a store has, from the outside: others' hands, and the faults that it meets."""

    def store(self) -> Store:
        """The store of a process."""

    def put(self, texts: dict[str, str]) -> None:
        """Have others write files, at THEN."""

    def made_anew(self) -> None:
        """Have nothing but FILES of globex."""

    def killing(self) -> None:
        """Have the next writer killed once its evidence is written, and a part of the rest if that is possible."""

    def away(self, *, is_away: bool) -> None:
        """Take the store away, or bring it back."""

    def leftovers(self) -> list[str]:
        """The names of hidden files among those of the accounts."""

    def beside(self) -> dict[str, bytes]:
        """The files elsewhere, by name."""

    def path_beside(self, name: str) -> str:
        """The path of a file elsewhere."""

    @property
    def settled(self) -> list[tuple[Entries, bool]]:
        """The entries whose outcome a later process has written, and whether they were made."""


class Folder:
    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settled: list[tuple[Entries, bool]] = []
        self._root, self._accounts, self._elsewhere = root, root / "accounts", root / "elsewhere"
        self._monkeypatch = monkeypatch
        (root / "state").mkdir()
        self._elsewhere.mkdir()
        (root / "dnsd.yaml").write_text("data: accounts\n")

    def store(self) -> Store:
        log = Log("control", wait_s=0)
        log.warning = lambda line: None  # type: ignore[method-assign, assignment]
        settings = SettingsReader(self._root / "dnsd.yaml", {})
        return FolderStore(settings, self._root / "state", served=tuple, settle=self._settle, log=log)

    def _settle(self, entries: Entries, is_made: bool) -> None:
        self.settled.append((entries, is_made))

    def put(self, texts: dict[str, str]) -> None:
        for name, text in texts.items():
            file = self._accounts / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
            os.utime(file, (THEN, THEN))

    def made_anew(self) -> None:
        self._accounts.rename(self._root / "before")
        self.put(only("globex"))

    def killing(self) -> None:
        rename, undo, steps = write_module._rename, write_module.undo, list[Any]()

        def killed(step: Any) -> None:
            if steps:
                raise KilledError
            steps.append(step)
            rename(step)

        def back(*_: Any) -> list[str]:
            self._monkeypatch.setattr(write_module, "_rename", rename)
            self._monkeypatch.setattr(write_module, "undo", undo)
            return []

        self._monkeypatch.setattr(write_module, "_rename", killed)
        self._monkeypatch.setattr(write_module, "undo", back)

    def away(self, *, is_away: bool) -> None:
        here, there = self._accounts, self._root / "away"
        (here if is_away else there).rename(there if is_away else here)

    def leftovers(self) -> list[str]:
        return [file.name for file in self._accounts.rglob(".*")]

    def beside(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in self._elsewhere.iterdir()}

    def path_beside(self, name: str) -> str:
        return str(self._elsewhere / name)


class Memory:
    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settled: list[tuple[Entries, bool]] = []
        self._engine = MemoryEngine(SourceFile("", FileKind.SETTINGS, "/nowhere/dnsd.yaml", content_of("")))

    def store(self) -> Store:
        return MemoryStore(self._engine, lambda entries, is_made: self.settled.append((entries, is_made)))

    def put(self, texts: dict[str, str]) -> None:
        self._engine.put(texts, modified=THEN)

    def made_anew(self) -> None:
        self._engine.files = Files("/nowhere")
        self.put(only("globex"))

    def killing(self) -> None:
        self._engine.kills = True

    def away(self, *, is_away: bool) -> None:
        self._engine.is_away = is_away

    def leftovers(self) -> list[str]:
        return []

    def beside(self) -> dict[str, bytes]:
        return {
            os.path.basename(path): text.encode() if isinstance(text, str) else text
            for path, text in self._engine.beside.items()
        }

    def path_beside(self, name: str) -> str:
        return f"/elsewhere/{name}"


class InFleet(Fleet):
    def made_anew(self) -> None:
        self.only(only("globex"))


@pytest.fixture(params=[Folder, Memory, pytest.param(InFleet, marks=needs_nats_server)])
def held(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Holdings]:
    holdings: Holdings = request.param(tmp_path, monkeypatch)
    holdings.put(FILES)
    yield holdings
    if isinstance(holdings, Fleet):
        holdings.close()


class Witnessed:
    """Evidence that notes what happens to it."""

    def __init__(self, error: OSError | None = None) -> None:
        self.events: list[Any] = []
        self.error = error
        self.evidence = Evidence([{"id": "1"}], self._testify, self._settle, self.events.append)

    def _testify(self) -> None:
        if self.error:
            raise self.error
        self.events.append("testified")

    def _settle(self, entries: Entries, is_made: bool) -> None:
        self.events.append(is_made)


def only(account: str) -> dict[str, str]:
    return {name: text for name, text in FILES.items() if name.startswith(f"{account}/")}


def run(work: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(HANG_S):
            await work

    asyncio.run(within())


async def opened(store: Store, known: Seen | None = None) -> Seen:
    return await store.open(known, noted=lambda root: None)


async def written(
    store: Store, seen: Seen, texts: dict[str, str | None], *, op: Op | None = None, gone: Sequence[str] = ()
) -> Seen:
    """Write texts on what was seen."""
    assert seen.files
    return await store.write(seen, edit_of(seen.files, texts, modified=LATER, gone=gone), op or Op())


def texts(seen: Seen) -> dict[str, bytes]:
    assert seen.files
    root = f"{seen.files.root}/"
    return {
        file.path.removeprefix(root): b"".join(map(file.block_reader(), blocks_of(file))) for file in seen.files.files
    }


def blocks_of(file: SourceFile) -> range:
    return range(len(file.content.blocks))


def times(seen: Seen) -> dict[str, int]:
    assert seen.files
    return {file.key: file.modified for file in seen.files.files}


def octets(files: dict[str, str]) -> dict[str, bytes]:
    return {name: text.encode() for name, text in files.items()}


def test_what_is_there_is_seen(held: Holdings) -> None:
    async def work() -> None:
        seen = await opened(held.store())
        assert texts(seen) == octets(FILES)
        assert seen.files
        assert seen.files.accounts == ("acme", "globex")
        assert set(times(seen).values()) == {THEN}

    run(work())


def test_what_is_written_is_seen_by_others_octet_for_octet_and_with_its_times(held: Holdings) -> None:
    new = {ONE: "# shop\r\nenabled: false\r\n", "acme/zones/y.example.zone": "@ SOA ns1 h 1 2 3 4 5\n"}

    async def work() -> None:
        store, other = held.store(), held.store()
        before = await opened(other)
        seen = await written(store, await opened(store), dict(new))
        for one in (seen, await other.settled(before), await opened(held.store())):
            assert one == seen
            assert texts(one) == octets(FILES | new)
            assert {key for key, time in times(one).items() if time == LATER} == {
                "acme/maps/shop",
                "acme/zones/y.example",
            }

    run(work())


def test_of_two_writers_on_the_same_one_is_refused(held: Holdings) -> None:
    async def work() -> None:
        store, other = held.store(), held.store()
        seen, same = await opened(store), await opened(other)
        now = await written(store, seen, {ONE: "enabled: false\n"})
        with pytest.raises(StaleError) as error:
            await written(other, same, {ONE: "enabled: maybe\n", TWO: "enabled: true\n"})
        assert error.value.keys == {"acme/maps/shop", "globex/maps/other"}
        assert await opened(other, same) == now
        again = await written(other, now, {ONE: "enabled: maybe\n"})
        assert await opened(store, now) == again

    run(work())


def test_writers_of_different_objects_go_on_from_the_same(held: Holdings) -> None:
    async def work() -> None:
        store, other = held.store(), held.store()
        seen, same = await opened(store), await opened(other)
        await written(store, seen, {ONE: "enabled: false\n"})
        await written(other, same, {TWO: "enabled: true\n"})
        assert texts(await opened(store)) == octets({**FILES, ONE: "enabled: false\n", TWO: "enabled: true\n"})

    run(work())


def test_what_others_wrote_meanwhile_is_seen_after_the_write(held: Holdings) -> None:
    """The writer has not loaded it, and must still find that it differs."""

    async def work() -> None:
        store, other = held.store(), held.store()
        seen = await opened(store)
        await written(other, await opened(other), {TWO: "enabled: true\n"})
        seen = await written(store, seen, {ONE: "enabled: false\n"})
        assert texts(seen) == octets({**FILES, ONE: "enabled: false\n"})
        assert texts(await store.settled(seen)) == octets({**FILES, ONE: "enabled: false\n", TWO: "enabled: true\n"})

    run(work())


@pytest.mark.parametrize(
    "others", [{"acme/maps/new.yaml": "enabled: true\n"}, {ZONE: "records: []\npaused: true\n"}], ids=["new", "edited"]
)
def test_an_account_that_others_edited_does_not_go(held: Holdings, others: dict[str, str]) -> None:
    async def work() -> None:
        store = held.store()
        seen = await opened(store)
        held.put(others)
        with pytest.raises(StaleError):
            await written(store, seen, {}, gone=["acme"])
        assert texts(await opened(store, seen)) == octets(FILES | others)

    run(work())


# what goes, what comes -> the files left
LEFT: dict[str, tuple[dict[str, str | None], Sequence[str], dict[str, str]]] = {
    "an object": ({ONE: None}, (), {name: text for name, text in FILES.items() if name != ONE}),
    "a zone as another kind of file": (
        {ZONE: None, ZONE_FILE: "@ SOA\n"},
        (),
        {name: text for name, text in FILES.items() if name != ZONE} | {ZONE_FILE: "@ SOA\n"},
    ),
    "an account": ({}, ("acme",), only("globex")),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_goes_is_gone(held: Holdings, case: str) -> None:
    change, gone, left = LEFT[case]

    async def work() -> None:
        store, other = held.store(), held.store()
        before = await opened(other)
        seen = await written(store, await opened(store), change, gone=gone)
        for one in (seen, await other.settled(before), await opened(held.store())):
            assert texts(one) == octets(left)
            assert one == seen

    run(work())


def test_a_change_of_two_accounts_is_followed_as_a_whole(held: Holdings) -> None:
    async def work() -> None:
        store, other = held.store(), held.store()
        seen, followed = await opened(store), await opened(other)
        waiting = asyncio.create_task(other.changed(HANG_S))
        await asyncio.sleep(0.2)  # until a folder is watched
        for number in range(3):
            seen = await written(store, seen, {ONE: f"# {number}\n", TWO: f"# {number}\n"})
            await waiting
            while (followed := await other.settled(followed)) != seen:
                assert texts(followed)[ONE] == texts(followed)[TWO]
            waiting = asyncio.create_task(other.changed(HANG_S))
            await asyncio.sleep(0.2)
        waiting.cancel()
        assert await other.still(followed) == seen

    run(work())


def test_one_line_of_a_large_file_leaves_its_other_blocks(held: Holdings) -> None:
    lines = [f"n{number} A 192.0.2.{number % 256}\n" for number in range(40_000)]

    async def work() -> None:
        held.put({ZONE_FILE.replace("x.", "large."): "".join(lines)})
        store, other = held.store(), held.store()
        seen, before = await opened(store), await opened(other)
        changed = [*lines[:20_000], "new A 192.0.2.1\n", *lines[20_000:]]
        await written(store, seen, {ZONE_FILE.replace("x.", "large."): "".join(changed)})
        after = await other.settled(before)
        assert before.files
        assert after.files
        old, new = (one.by_key()["acme/zones/large.example"] for one in (before.files, after.files))
        assert new.text() == "".join(changed)
        assert len({*new.content.blocks} - {*old.content.blocks}) <= 3

    run(work())


@pytest.mark.parametrize("is_written", [True, False])
def test_what_was_begun_is_written_or_forgotten(held: Holdings, *, is_written: bool) -> None:
    async def work() -> None:
        store = held.store()
        seen = await opened(store)
        assert seen.files
        edit = edit_of(seen.files, {ONE: "# new\n"}, modified=LATER)
        begun = await store.begin(edit.changes())
        assert await opened(held.store()) == seen
        if is_written:
            seen = await store.write(seen, edit, Op(begun=begun))
        await store.forget(begun)
        assert await opened(held.store()) == seen
        assert texts(seen)[ONE] == (b"# new\n" if is_written else FILES[ONE].encode())
        assert held.leftovers() == []

    run(work())


@pytest.mark.parametrize("is_begun", [True, False])
def test_anothers_change_is_begun_while_one_is_written(held: Holdings, *, is_begun: bool) -> None:
    """Of the same object: the first is written as it is, then the other."""

    async def work() -> None:
        store, witnessed = held.store(), Witnessed()
        seen = await opened(store)
        assert seen.files
        edit = edit_of(seen.files, {ONE: "# one\n"}, modified=LATER)
        own = await store.begin(edit.changes()) if is_begun else ()
        other = edit_of(seen.files, {ONE: "# other\n"}, modified=LATER)
        begun: list[BegunFile] = []

        def meanwhile() -> None:
            begin = threading.Thread(target=lambda: begun.extend(asyncio.run(begin_other())))
            begin.start()
            begin.join()

        async def begin_other() -> Sequence[BegunFile]:
            return await store.begin(other.changes())

        evidence = replace(witnessed.evidence, testify=meanwhile)
        op = Op(evidence=evidence, begun=own)
        now = await store.write(seen, edit, op)
        await store.finish(op, 1)
        assert await opened(held.store()) == now
        assert texts(now)[ONE] == b"# one\n"
        assert now.files
        last = replace(other, before=now.files, after=other.applied(now.files))
        now = await store.write(now, last, Op(begun=begun))
        await store.forget([*own, *begun])
        assert await opened(held.store()) == now
        assert texts(now)[ONE] == b"# other\n"
        assert held.leftovers() == []

    run(work())


def test_what_a_killed_process_has_begun_goes_with_the_next_write(held: Holdings) -> None:
    async def work() -> None:
        killed, store = held.store(), held.store()
        seen = await opened(killed)
        assert seen.files
        await killed.begin(edit_of(seen.files, {ZONE: "# begun\n"}, modified=LATER).changes())
        now = await written(store, await opened(store), {"acme/zones/y.example.yaml": "records: []\n"})
        assert await opened(held.store()) == now
        assert held.leftovers() == []

    run(work())


def test_the_writes_of_a_killed_process_are_undone(held: Holdings) -> None:
    async def work() -> None:
        store, witnessed = held.store(), Witnessed()
        seen = await opened(store)
        held.killing()
        op = Op((FileChange(held.path_beside("pending"), "{}", LATER),), witnessed.evidence)
        with pytest.raises(KilledError):
            await written(store, seen, {ONE: "# new\n", TWO: "# new\n"}, op=op)
        assert held.settled == []
        after = held.store()
        assert await opened(after) == seen
        assert held.beside() == {}
        assert [(list(entries), is_made) for entries, is_made in held.settled] == [([{"id": "1"}], False)]
        await written(after, seen, {ONE: "# new\n"})

    run(work())


def test_a_store_that_is_away_changes_nothing(held: Holdings) -> None:
    async def work() -> None:
        store, witnessed = held.store(), Witnessed()
        seen = await opened(store)
        held.away(is_away=True)
        with pytest.raises((OSError, StaleError)):
            await written(store, seen, {ONE: "# new\n"}, op=Op(evidence=witnessed.evidence))
        assert "testified" not in witnessed.events
        held.away(is_away=False)
        assert await opened(store, seen) == seen
        assert texts(await written(store, seen, {ONE: "# new\n"}))[ONE] == b"# new\n"

    run(work())


def test_a_store_made_anew_is_seen_as_it_is(held: Holdings) -> None:
    async def work() -> None:
        store = held.store()
        seen = await opened(store)
        held.made_anew()
        for one in (await store.settled(seen), await opened(store, seen)):
            assert texts(one) == octets(only("globex"))

    run(work())


def test_evidence_comes_before_the_change_and_its_outcome_after(held: Holdings) -> None:
    async def work() -> None:
        store, witnessed = held.store(), Witnessed()
        op = Op((FileChange(held.path_beside("pending"), "{}", LATER),), witnessed.evidence)
        seen = await written(store, await opened(store), {ONE: "# new\n"}, op=op)
        assert (witnessed.events, held.beside()) == (["testified"], {"pending": b"{}"})
        await store.finish(op, 7)
        assert witnessed.events == ["testified", 7]
        assert await opened(held.store()) == seen
        assert held.settled == []

    run(work())


def test_a_change_without_its_evidence_is_not_made(held: Holdings) -> None:
    async def work() -> None:
        store = held.store()
        seen = await opened(store)
        op = Op((FileChange(held.path_beside("pending"), "{}", LATER),), refused_evidence())
        with pytest.raises(EvidenceError):
            await written(store, seen, {ONE: "# new\n"}, op=op)
        assert held.beside() == {}
        assert await opened(held.store()) == seen
        assert held.settled == []

    run(work())


def refused_evidence() -> Evidence:
    return Witnessed(EvidenceError(errno.ENOSPC, "full")).evidence


def test_an_outcome_that_was_not_written_follows(held: Holdings) -> None:
    """A process is killed after its change is made: the next one knows that it was."""

    async def work() -> None:
        store = held.store()
        seen = await written(store, await opened(store), {ONE: "# new\n"}, op=Op(evidence=Witnessed().evidence))
        assert await opened(held.store()) == seen
        assert [(list(entries), is_made) for entries, is_made in held.settled] == [([{"id": "1"}], True)]
        await opened(held.store())
        assert len(held.settled) == 1

    run(work())
