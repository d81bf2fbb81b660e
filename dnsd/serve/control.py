"""Control: reads the source, decides what is published, and answers operators. No DNS client ever meets it."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dnsd.app import Loaded, Source, guard_problems, load, read_source
from dnsd.engine.transfer import apply_delta
from dnsd.errors import InvalidDataError, Problem
from dnsd.log import Log
from dnsd.serve.publish import SNAPSHOT_FILE, Publisher
from dnsd.serve.shared import Number, Process, Shared
from dnsd.settings import Settings
from dnsd.store.snapshot_file import SnapshotFileError, load_snapshot
from dnsd.store.watch import Watch, watched_folders

T = TypeVar("T")
Service = Callable[["Control"], Coroutine[Any, Any, None]]

BEAT_S = 0.25
SERVED_WITHIN_S = 30.0  # a worker that takes longer is told of, and not waited for
SCAN_S = 1.0  # at least so often the files are looked at, should the system not tell of a change
SCAN_SHARE = 20  # but no more than a 20th of the time
SETTLE_S, SETTLE_TRIES = 0.05, 10  # how long files must stay as they are before they are loaded; how often to look
NEEDS_START = ("listen", "workers", "udp", "metrics", "state", "user", "group")  # settings that a reload cannot change


@dataclass(frozen=True, slots=True)
class Desk:
    """What control is given."""

    process: Process
    shared: Shared
    config: Path
    settings: Settings  # as they were at the start of the server
    state: Path
    supervisor: socket.socket  # lines in both directions
    http: socket.socket | None
    log: Log
    listening: tuple[str, ...]  # addresses, for people


@dataclass(slots=True)
class LastLoad:
    """How the last attempt to load the source went."""

    ok: bool
    problems: tuple[Problem, ...]
    seconds: float
    at: float  # seconds since 1970


class Control:
    """The control process, from its start to its end."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.publisher = Publisher(desk.shared, desk.state, desk.log)
        self.settings = desk.settings
        self.loaded: Loaded | None = None  # None: what is served is a snapshot file's
        self.last_load = LastLoad(True, (), 0, 0)
        self.reloads = {"ok": 0, "refused": 0, "failed": 0}
        self.started = time.monotonic()
        self._log = desk.log
        self._source: Source | None = None  # what the last attempt read, successful or not
        self._loading = asyncio.Lock()

    async def run(self, services: Sequence[Service]) -> int:
        """Load, publish, and run the services until SIGTERM. The exit status: 1 where there is nothing to serve."""
        loop = asyncio.get_running_loop()
        stop, tasks = asyncio.Event(), list[asyncio.Task[None]]()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        stopped = asyncio.create_task(stop.wait())
        beat = asyncio.create_task(self._beat())
        loading = asyncio.create_task(self._load_first())
        await asyncio.wait([stopped, loading], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            if not loading.result():
                return 1
            tasks = await self._begin(stop, services)
            await stop.wait()
        for task in (beat, loading, *tasks):
            task.cancel()
        return 0

    async def _begin(self, stop: asyncio.Event, services: Sequence[Service]) -> list[asyncio.Task[None]]:
        """Do all that there is to do besides loading; the tasks that do it."""
        await self.publisher.save()
        reader, self._supervisor = await asyncio.open_connection(sock=self.desk.supervisor)
        self._supervisor.write(b"loaded\n")
        work = [
            self._tell_when_ready(),
            self._obey_supervisor(reader, stop),
            self.publisher.save_again(),
            self._follow_source(),
            *(service(self) for service in services),
        ]
        return [asyncio.create_task(one) for one in work]

    # Loading

    async def _load_first(self) -> bool:
        """Publish what the source says, else what the snapshot file holds."""
        before = int(self.desk.shared.get(self.desk.process, Number.REVISION))  # of a control process that has ended
        start = time.monotonic()
        try:
            self._source = await _in_thread(lambda: read_source(self.desk.config))
            loaded = await _in_thread(lambda: load(self.desk.config, source=self._source))
        except InvalidDataError as error:
            self._note_load(ok=False, problems=error.problems, since=start)
            self._report(error.problems)
            return await self._publish_file(before)
        self._report(loaded.warnings)
        self._note_load(ok=True, problems=loaded.warnings, since=start)
        snapshot = replace(loaded.snapshot, revision=before + 1)
        await self._publish(replace(loaded, snapshot=snapshot))
        self._log.info(f"serving {loaded.summary()}")
        return True

    async def _publish_file(self, before: int) -> bool:
        try:
            title, parts = load_snapshot(self.desk.state / SNAPSHOT_FILE)
        except SnapshotFileError as error:
            self._log.debug(f"there is no snapshot to serve instead: {error}")
            return False
        snapshot = [step for step in apply_delta(None, parts) if step][-1]
        age = max(0, int(time.time()) - title.saved_at)
        self._log.error(
            f"the source cannot be read: serving the snapshot of {age} s ago instead, {title.names:,} names, "
            "until it can be"
        )
        await self.publisher.publish(replace(snapshot, revision=max(before, snapshot.revision) + 1), self.settings.live)
        return True

    async def reload(self, *, force: bool = False) -> LastLoad:
        """Load the source anew and publish it, all or nothing; what came of it."""
        async with self._loading:
            return await self._reload(force=force)

    async def _reload(self, *, force: bool) -> LastLoad:
        start = time.monotonic()
        try:
            loaded = await _in_thread(lambda: self._load_again(force=force))
        except InvalidDataError as error:
            return self._refuse("refused", error.problems, start)
        except Exception as error:  # whatever it is, what is served must outlive it
            problem = Problem(str(self.desk.config), (), f"{type(error).__name__}: {error}")
            return self._refuse("failed", (problem,), start)
        await self._publish(loaded)
        if not await self.publisher.wait_until_served(SERVED_WITHIN_S):
            self._log.error(f"revision {loaded.snapshot.revision} is not served yet by {self.publisher.late()}")
        self.reloads["ok"] += 1
        self._note_load(ok=True, problems=loaded.warnings, since=start)
        self._report(loaded.warnings)
        self._warn_of_settings(loaded.settings)
        self._log.info(f"reloaded: revision {loaded.snapshot.revision}, {loaded.summary()}")
        await self.publisher.save()
        return self.last_load

    def _load_again(self, *, force: bool) -> Loaded:
        """In a thread. Raises InvalidDataError, also for what the change guard refuses."""
        self._source = read_source(self.desk.config, previous=self._source)
        loaded = load(self.desk.config, previous=self.loaded, source=self._source)
        if self.loaded and not force and (found := guard_problems(loaded, self.loaded)):
            raise InvalidDataError(found)
        revision = self.publisher.revision
        return replace(loaded, snapshot=replace(loaded.snapshot, revision=revision + 1))

    async def _publish(self, loaded: Loaded) -> None:
        self.loaded, self.settings = loaded, loaded.settings
        self._log.format, self._log.level = loaded.settings.log.format, loaded.settings.log.level
        await self.publisher.publish(loaded.snapshot, loaded.settings.live)

    def _refuse(self, result: str, problems: tuple[Problem, ...], start: float) -> LastLoad:
        self.reloads[result] += 1
        self._note_load(ok=False, problems=problems, since=start)
        self._report(problems)
        revision = self.publisher.revision
        self._log.error(f"reload {result}; revision {revision} keeps serving")
        return self.last_load

    def _note_load(self, *, ok: bool, problems: tuple[Problem, ...], since: float) -> None:
        self.last_load = LastLoad(ok, problems, time.monotonic() - since, time.time())

    def _warn_of_settings(self, new: Settings) -> None:
        old = self.desk.settings
        changed = [name for name in NEEDS_START if getattr(new, name) != getattr(old, name)]
        if new.limits.rrl.table_size != old.limits.rrl.table_size:
            changed.append("limits.rrl.table_size")
        for name in changed:
            self._log.warning(f"{name}: the change takes effect at the next start")

    def _report(self, problems: tuple[Problem, ...]) -> None:
        for problem in problems:
            if problem.warning:
                self._log.warning(problem.line())
            else:
                self._log.error(str(problem))

    async def _follow_source(self) -> None:
        """Reload when the files say something else than at the last attempt."""
        watch = await _in_thread(lambda: Watch(self._folders))
        pause_s = SCAN_S
        while True:
            await _in_thread(partial(watch.wait, pause_s))
            if not self.settings.reload.watch:
                continue
            async with self._loading:
                start = time.monotonic()
                source = await self._read_source(self._source)
                pause_s = max(SCAN_S, SCAN_SHARE * (time.monotonic() - start))
                if source == self._source:
                    continue
                source = await self._wait_for_writers(source)
                if self.loaded and source == self.loaded.source:
                    self._mended(source)
                else:
                    await self._reload(force=False)

    async def _read_source(self, previous: Source | None) -> Source:
        return await _in_thread(lambda: read_source(self.desk.config, previous=previous))

    async def _wait_for_writers(self, source: Source) -> Source:
        """The source once it has not changed for a moment: a file cut between two lines may look whole."""
        for _ in range(SETTLE_TRIES):
            await asyncio.sleep(SETTLE_S)
            last, source = source, await self._read_source(source)
            if source == last:
                break
        return source

    def _folders(self) -> list[str]:
        return watched_folders(self.desk.config, self._source.folder if self._source else None)

    def _mended(self, source: Source) -> None:
        assert self.loaded is not None
        self._source = source
        self._note_load(ok=True, problems=self.loaded.warnings, since=time.monotonic())
        self._log.info(f"the source is what it was: revision {self.loaded.snapshot.revision} keeps serving")

    # The other processes, and operators

    async def _beat(self) -> None:
        while True:
            self.desk.shared.beat(self.desk.process)
            self.desk.shared.set(self.desk.process, Number.LOG_DROPPED, self._log.dropped)
            await asyncio.sleep(BEAT_S)

    async def _tell_when_ready(self) -> None:
        await self.publisher.wait_until_served()
        self._supervisor.write(b"ready\n")

    async def _obey_supervisor(self, reader: asyncio.StreamReader, stop: asyncio.Event) -> None:
        while line := await reader.readline():
            if line == b"reload\n":
                await self.reload()
        stop.set()  # there is no supervisor any more


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """The result of `work`, done beside everything else in a thread that the process' end does not wait for."""
    future: Future[T] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="source", daemon=True).start()
    return asyncio.wrap_future(future)
