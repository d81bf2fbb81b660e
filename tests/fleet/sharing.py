"""Controls for tests that share tokens and sessions, each in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dnsd.fleet.beginning import make_state
from dnsd.fleet.node import FleetNode, as_control
from dnsd.fleet.root import RootFolder
from dnsd.fleet.shared_state import SharedState
from dnsd.log import Log
from dnsd.settings.file import load_settings
from tests.fleet.edges import urls_of
from tests.fleet.servers import control_folder
from tests.limits import HANG_S


class SharingControl:
    """What one control shares; it ends with the block, and may be begun again with its state folder."""

    def __init__(self, root: RootFolder, folder: Path, name: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.config = folder / "state", folder / "dnsd.yaml"
        fleet = {"servers": [*urls_of(root)], "identity": str(control_folder(root, name))}
        self.config.write_text(json.dumps({"default_addresses": ["198.51.100.1"], "role": "control", "fleet": fleet}))
        self.lines: list[str] = []

    def __enter__(self) -> SharingControl:
        log = Log("control", wait_s=0)
        log.warning = log.error = log.info = self.lines.append  # type: ignore[method-assign, assignment]
        self.folder.mkdir(exist_ok=True)
        self._opened = threading.Event()
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run(log)))
        self._thread.start()
        assert self._opened.wait(HANG_S)
        return self

    async def _run(self, log: Log) -> None:
        self.state = SharedState(self.config, self.folder, load_settings(self.config, {}).settings, log)
        self.tokens, self.sessions = self.state.tokens, self.state.sessions
        task = asyncio.create_task(self.state.run())
        await asyncio.sleep(0)
        self._opened.set()
        await self._stop.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if others := asyncio.all_tasks() - {asyncio.current_task()}:  # of nats-py
            for one in others:
                one.cancel()
            await asyncio.wait(others, timeout=5)

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(HANG_S)
        self._loop.close()
        with warnings.catch_warnings():  # nats-py does not close the sockets of connections that are cut
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    def joined(self) -> SharingControl:
        """The same, once it has the fleet's tokens."""
        wait_for(self.state._is_joined.is_set)
        return self

    def is_kept(self) -> bool:
        """Whether the state folder has the tokens and sessions that this control knows."""
        state, name = self.state, self.folder / "tokens.json"
        there = [one.id for one in state._folder.tokens.tokens()] if name.exists() else None
        return there == [one.id for one in self.tokens.tokens()]


def begin_state(root: RootFolder) -> None:
    """Make the stream, without files."""
    by_control(root, lambda node: make_state(node, 1))


def by_control(root: RootFolder, work: Callable[[FleetNode], Any]) -> Any:
    """The result of a command's work."""
    return as_control(control_folder(root), urls_of(root), work)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
