"""A fleet as the contract of stores sees it (`tests/contract`): each store is a control of its own, with its state."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import threading
import time
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dnsd.errors import DnsdError
from dnsd.fleet import control_store
from dnsd.fleet.beginning import filled, make_state
from dnsd.fleet.control_store import ControlStore
from dnsd.fleet.fetch import fetched_state
from dnsd.fleet.heads import AccountState
from dnsd.fleet.node import FleetNode, as_control
from dnsd.fleet.objects import removal, replacement
from dnsd.fleet.subjects import ALL_STATE, NAMES_GUARD, account_of_subject
from dnsd.fleet.writer import Commit, ObjectWrite, Writer
from dnsd.log import Log
from dnsd.manage.state_names import FLEET_OP
from dnsd.settings.file import load_settings
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.journal import Entries
from dnsd.store.port import Seen, Store
from dnsd.store.text_file import content_of
from tests.fleet.servers import NatsServer, control_folder, new_root
from tests.stores import KilledError, file_of, named

CONTROLS = [f"c{number}" for number in range(1, 8)]


class FollowingStore(ControlStore):
    """A store that sees what the servers have when it is asked: without the lag of the real one."""

    async def look(self, known: Seen | None) -> Seen:
        last = await self._last_of_all()
        while True:
            step = self._steps.next
            if (seen := await super().look(known)).files is not None and seen.files.seq >= last:
                return seen
            await step.wait()

    def _read_settings(self) -> SourceFile:
        return SourceFile("", FileKind.SETTINGS, "/nowhere/dnsd.yaml", content_of(""))  # the same in all

    async def _last_of_all(self) -> int:
        """The number of the servers' last message of state; 0 while they are away."""
        while self._node is None:
            await asyncio.sleep(0.01)
        with suppress(DnsdError):
            return await Writer(self.link, give_up_s=0.3).guard(ALL_STATE)
        return 0


class Fleet:
    """One server, its root folder, and the stores on it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settled: list[tuple[Entries, bool]] = []
        self._folder, self._elsewhere, self._monkeypatch = root, root / "elsewhere", monkeypatch
        self._elsewhere.mkdir()
        self._root = new_root(root, controls=("others", *CONTROLS))
        self._server = NatsServer(self._root, self._root.servers[0]).__enter__()
        self._tasks: dict[str, asyncio.Future[None]] = {}  # of the controls' stores
        monkeypatch.setattr(control_store, "GIVE_UP_S", 1.0)

    def close(self) -> None:
        self._server.__exit__()
        with warnings.catch_warnings():  # nats-py does not close the sockets of connections that are cut
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    def store(self, kind: type[ControlStore] = FollowingStore) -> Store:
        """The store of a control."""
        name = self._name()
        state, config = self._folder / name, self._folder / f"{name}.yaml"
        state.mkdir(exist_ok=True)
        servers = [server.url for server in self._root.servers]
        fleet = {"servers": servers, "identity": str(control_folder(self._root, name))}
        config.write_text(json.dumps({"default_addresses": ["198.51.100.1"], "fleet": fleet}))
        log = Log("control", wait_s=0)
        log.warning = log.error = log.info = _said  # type: ignore[method-assign, assignment]
        store = kind(config, state, load_settings(config, {}).settings, self._settle, log)
        before = self._tasks.get(name)
        self._tasks[name] = asyncio.ensure_future(_run_after(before, store))
        return store

    def _name(self) -> str:
        """A new control's, or that of one that has left a change without an outcome: it starts again."""
        for name in self._tasks:
            if (self._folder / name / FLEET_OP).exists():
                return name
        return CONTROLS[len(self._tasks)]

    def _settle(self, entries: Entries, is_made: bool) -> None:
        self.settled.append((entries, is_made))

    def put(self, texts: dict[str, str]) -> None:
        """Have another control write files."""
        self._by_another(partial(self._put, texts=texts))

    def only(self, texts: dict[str, str]) -> None:
        """Have nothing but these files."""
        self._by_another(partial(self._put, texts=texts, keeps=False))

    def _by_another(self, work: Callable[[FleetNode], Coroutine[Any, Any, None]]) -> None:
        identity, urls = control_folder(self._root, "others"), tuple(one.url for one in self._root.servers)
        thread = threading.Thread(target=lambda: as_control(identity, urls, work))  # there may be a running loop here
        thread.start()
        thread.join()

    async def _put(self, node: FleetNode, texts: dict[str, str], *, keeps: bool = True) -> None:
        writer = Writer(node.line.link)
        await make_state(node, 1)
        async with fetched_state(node) as state:
            old, writes = state.files.by_key(), list[ObjectWrite]()
            for name, text in texts.items():
                key, _ = named(name)
                writes += replacement(file_of("fleet", name, text, 1_600_000_000), old.get(key), state.reader.value)
            for key in old.keys() - {named(name)[0] for name in texts} if not keeps else ():
                writes += removal(old[key], state.reader.value)
            writes += [filled(state.meta)] if state.is_filling else []
            accounts = {account_of_subject(write.subject) for write in writes}
            states = {account: state.heads.get(account, AccountState()) for account in accounts}
            guard = {NAMES_GUARD: await writer.guard(NAMES_GUARD)}
            await writer.commit(Commit(str(uuid4()), b"{}", writes, states, rewritten=guard))

    def killing(self) -> None:
        real = Writer.commit

        async def commit(writer: Writer, change: Commit) -> Any:
            self._monkeypatch.setattr(Writer, "commit", real)
            raise KilledError

        self._monkeypatch.setattr(Writer, "commit", commit)

    def away(self, *, is_away: bool) -> None:
        process = self._server.process
        process.send_signal(signal.SIGSTOP if is_away else signal.SIGCONT)
        while is_away and not all(map(_is_stopped, Path(f"/proc/{process.pid}/task").iterdir())):
            time.sleep(0.001)

    def state_file(self, name: str) -> Path:
        """The one file of this name in a control's state folder."""
        (found,) = [
            self._folder / control / name for control in self._tasks if (self._folder / control / name).exists()
        ]
        return found

    def leftovers(self) -> list[str]:
        return []

    def beside(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in self._elsewhere.iterdir()}

    def path_beside(self, name: str) -> str:
        return str(self._elsewhere / name)


def _is_stopped(thread: Path) -> bool:
    """Whether a thread stands still, or has ended, by its folder in /proc."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _said(line: str) -> None:
    """A line of the log."""


async def _run_after(before: asyncio.Future[None] | None, store: Store) -> None:
    """Run a store, once that of an earlier process of the same control has ended."""
    if before:
        before.cancel()
        await asyncio.wait([before])
    await store.run()
