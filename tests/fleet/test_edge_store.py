"""What an edge sees of its copy: each step whole, the old files while the copy cannot be read, and blocks that stay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dnsd.fleet.beginning import make_state
from dnsd.fleet.node import FleetNode, as_control
from dnsd.fleet.root import RootFolder
from dnsd.fleet.store import FleetStore, edge_store
from dnsd.fleet.subjects import object_subject
from dnsd.log import Log
from dnsd.settings.file import load_settings
from dnsd.store.directory import FileKind, Files
from dnsd.store.port import Seen, StaleError
from dnsd.store.text_file import FileChangedError
from tests.fleet.edges import FILES, EdgeFolder, FleetSource, urls_of
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import NatsServer, control_folder, new_root
from tests.limits import HANG_S

pytestmark = needs_nats_server
MAP, ZONE, LARGE = "öst/maps/butik 1.yaml", "öst/zones/ost.example.yaml", "west/zones/large.example.zone"
TEXT = "@ SOA ns1 h 7 2 3 4 5\n@ NS ns1\n" + "".join(f"n{n * 7919 % 60013} A 192.0.2.1\n" for n in range(9000))


class Held:
    """A fleet with one server, its source, and the folder of an edge."""

    def __init__(self, root: RootFolder, folder: Path) -> None:
        self.source, self.edge = FleetSource(root, folder), EdgeFolder(root, folder / "edge")
        self.edge.state.mkdir()
        self.identity = Path(json.loads(self.edge.config.read_text())["fleet"]["identity"])
        self.said: list[str] = []

    @asynccontextmanager
    async def store(self) -> AsyncIterator[FleetStore]:
        """The running store of the edge."""
        log = Log("control", wait_s=0)
        log.warning = log.error = log.info = self.said.append  # type: ignore[method-assign, assignment]
        settings = load_settings(self.edge.config, {}).settings
        store = edge_store(self.edge.config, self.edge.state, settings, log, lambda: 100)
        task = asyncio.create_task(store.run())
        try:
            async with asyncio.timeout(HANG_S):
                yield store
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def send(self, texts: Mapping[str, str | bytes | None]) -> None:
        await asyncio.to_thread(self.source.send, texts)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    root = new_root(tmp_path)
    with NatsServer(root, root.servers[0]):
        yield Held(root, tmp_path)


def files_of(seen: Seen) -> Files:
    assert seen.files, "what was seen is forgotten"
    return seen.files


def octets(seen: Seen) -> dict[str, bytes]:
    assert seen.files
    return {
        file.path.removeprefix("fleet/"): b"".join(map(file.block_reader(), range(len(file.content.blocks))))
        for file in seen.files.files
    }


def as_octets(texts: Mapping[str, str | bytes | None]) -> dict[str, bytes]:
    return {name: text.encode() if isinstance(text, str) else text or b"" for name, text in texts.items()}


def test_files_are_seen_as_they_are_at_the_source(held: Held) -> None:
    async def test() -> None:
        async with held.store() as store:
            assert (await store.look(None)).absence == "the fleet's state has not come yet"
            await held.send(FILES)
            assert await store.arrival()
            first = await store.look(None)
            assert octets(first) == as_octets(FILES)
            assert first.files
            assert first.files.accounts == ("west", "öst")
            assert [file.problem for file in first.files.files] == [None] * len(FILES)
            assert (await store.settled(first)).files is first.files

            zone = {ZONE: None, "öst/zones/ost.example.zone": "@ SOA ns1 h 7 2 3 4 5\n", LARGE: TEXT}
            await held.send(zone)
            while (seen := await store.settled(first)) == first:
                await store.changed(1)
            wanted = {name: text for name, text in (as_octets(FILES) | as_octets(zone)).items() if name != ZONE}
            assert octets(seen) == wanted
        async with held.store() as store:  # the next process, from the copy as it is
            again = await store.open(noted=lambda root: None)
            assert (again, octets(again)) == (seen, wanted)
            await held.send({name: None for name in wanted if name.startswith("öst/")})
            while not (seen := await store.settled(seen)).files or seen.files.accounts != ("west",):
                await store.changed(1)

    asyncio.run(test())


def test_a_text_that_is_replaced_is_not_read_as_a_mixture(held: Held) -> None:
    async def test() -> None:
        await held.send({**FILES, LARGE: TEXT})
        async with held.store() as store:
            await store.arrival()
            before = await store.look(None)
            assert before.files
            file = before.files.by_key()["west/zones/large.example"]
            await held.send({LARGE: TEXT.replace("192.0.2.1\n", "192.0.2.2\n")})
            while await store.settled(before) == before:
                await store.changed(1)
            with pytest.raises(FileChangedError):
                file.text()

    asyncio.run(test())


def test_a_damaged_copy_keeps_what_was_seen_and_is_fetched_anew(held: Held) -> None:
    async def test() -> None:
        await held.send(FILES)
        async with held.store() as store:
            await store.arrival()
            seen = await store.look(None)
            assert store._reader
            table = store._reader._db.execute("SELECT served FROM place").fetchone()[0]
            store._reader._db.execute("PRAGMA query_only=OFF")
            store._reader._db.execute(f"UPDATE objects_{table} SET value = x'00' WHERE subject LIKE 'dnsd.s.o.%map%'")
            store._changed = None  # as after a copy fetched anew
            assert (await store.look(seen)).files is seen.files
            assert any("is damaged: an object is not as it was written" in said for said in held.said)
            while not any("moved aside as replica.db.damaged" in said for said in held.said):
                await asyncio.sleep(0.05)
            await held.send({MAP: None})
            while "öst/maps/butik 1" in files_of(now := await store.settled(seen)).by_key():
                await store.changed(1)
            assert octets(now) == {name: text for name, text in as_octets(FILES).items() if name != MAP}
            assert store.problems() == []

    asyncio.run(test())


def test_what_is_seen_is_one_state_whatever_comes_meanwhile(held: Held) -> None:
    """A step comes between the beginning of a look and its reading of the copy."""

    async def test() -> None:
        await held.send(FILES)
        async with held.store() as store:
            await store.arrival()
            await store.look(None)
            loop, real = asyncio.get_running_loop(), store._read

            async def next_step() -> None:
                await held.send({MAP: "enabled: false\n# 2\n", ZONE: "records: []\n# 2\n"})
                while b"# 2" not in zone_value(store):
                    await asyncio.sleep(0.01)

            def read(*args: Any) -> Files | None:
                store._read = real  # type: ignore[method-assign]
                asyncio.run_coroutine_threadsafe(next_step(), loop).result()
                return real(*args)

            await held.send({MAP: "enabled: false\n# 1\n"})
            while not store._changed:
                await asyncio.sleep(0.01)
            store._read = read  # type: ignore[method-assign]
            first = octets(await store.look(None))
            assert (first[MAP], first[ZONE]) == (b"enabled: false\n# 1\n", as_octets(FILES)[ZONE])
            then = octets(await store.look(None))
            assert (then[MAP], then[ZONE]) == (b"enabled: false\n# 2\n", b"records: []\n# 2\n")

    asyncio.run(test())


def zone_value(store: FleetStore) -> bytes:
    assert store._reader
    return store._reader.value("öst", object_subject("öst/zones/ost.example", FileKind.ZONE_YAML)) or b""


def test_a_state_that_is_being_filled_has_not_come_yet(held: Held) -> None:
    async def begin(node: FleetNode) -> None:
        await make_state(node, 1)

    async def test() -> None:
        source = held.source
        await asyncio.to_thread(as_control, control_folder(source.root), urls_of(source.root), begin)
        async with held.store() as store:
            while not held.said:
                await asyncio.sleep(0.01)
            assert (await store.look(None)).files is None
            await held.send(FILES)
            assert await store.arrival()
            assert octets(await store.look(None)) == as_octets(FILES)

    asyncio.run(test())


def test_unusable_papers_are_said_once_and_replaced_ones_are_used(held: Held) -> None:
    async def test() -> None:
        await held.send(FILES)
        async with held.store() as store:
            await store.arrival()
        key = held.identity / "key.pem"
        key.chmod(0o644)
        async with held.store() as store:
            seen = await store.open(noted=lambda root: None)
            assert octets(seen) == as_octets(FILES)
            while not any("key.pem may be read by others" in said for said in held.said):
                await asyncio.sleep(0.01)
            await asyncio.sleep(2.5)  # two more attempts
            assert sum("key.pem may be read by others" in said for said in held.said) == 1
            assert (await store.look(seen)).files is seen.files
            key.chmod(0o600)
            await held.send({MAP: None})
            while "öst/maps/butik 1" in files_of(await store.settled(seen)).by_key():
                await store.changed(1)

    asyncio.run(test())


def test_what_could_not_be_loaded_is_not_tried_again_until_something_is_new(held: Held) -> None:
    async def test() -> None:
        await held.send(FILES)
        async with held.store() as store:
            await store.arrival()
            await store.open(noted=lambda root: None)
            waiting = asyncio.create_task(store.arrival())
            await asyncio.wait([waiting], timeout=2.5)
            assert not waiting.done()
            await held.send({MAP: None})
            assert await waiting

    asyncio.run(test())


def test_an_edge_writes_nothing(held: Held) -> None:
    async def test() -> None:
        await held.send(FILES)
        async with held.store() as store:
            await store.arrival()
            seen = await store.look(None)
            with pytest.raises((OSError, StaleError), match="an edge changes nothing"):
                await store.write(seen, None, None)  # type: ignore[arg-type]

    asyncio.run(test())
