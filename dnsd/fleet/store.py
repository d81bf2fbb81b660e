"""The accounts' files of a fleet as a node's store: read from the node's copy of the state, which it follows.

Without the fleet's servers, a node goes on with the copy as it is.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from dnsd.errors import DnsdError
from dnsd.fleet.edge_record import edge_subject, parse_edge_record
from dnsd.fleet.files import changed_fleet_files, read_fleet_files
from dnsd.fleet.follower import FleetFollower
from dnsd.fleet.identity import IdentityError, NodeIdentity, load_identity
from dnsd.fleet.intake import Flushed
from dnsd.fleet.link import Link, NoAnswerError
from dnsd.fleet.node import FleetNode, NodeService, edge_node
from dnsd.fleet.renewal import IsListed, NewPapers, PapersKeeper, asked_papers, everybody
from dnsd.fleet.settings_in_force import SettingsInForce
from dnsd.fleet.subjects import META, SETTINGS, SHARED
from dnsd.log import Log
from dnsd.manage.state_names import FLEET_SETTINGS, REPLICA
from dnsd.process.garbage import garbage_paused
from dnsd.process.tasks import in_thread, run_until
from dnsd.settings.server import Settings
from dnsd.store.directory import FileKind, Files, SourceFile
from dnsd.store.files_edit import FilesEdit
from dnsd.store.folder import read_file
from dnsd.store.port import Noted, Op, Seen
from dnsd.store.replica import Replica, open_replica
from dnsd.store.replica_reader import ReplicaReader, ReplicaState
from dnsd.store.replica_rows import DamagedReplicaError
from dnsd.store.write import BegunFile, FileChange

AGAIN_S = 1.0  # after the copy could not be opened
PAPERS = "papers"  # the name of a service
NOT_HERE = "the fleet's state has not come yet"
UNUSABLE = "the fleet's settings cannot be read, and there are none from before"
READ_ONLY = "an edge changes nothing: send changes to the fleet's source"


class FleetStore:
    """Follows a fleet while `run` runs."""

    def __init__(
        self, config: Path, state: Path, settings: Settings, log: Log, open_node: Callable[[], FleetNode]
    ) -> None:
        """`config` is the settings file; `settings` are those of the server's start, which has a fleet.

        `open_node` makes the node with its connection, and raises IdentityError.
        """
        assert settings.fleet
        self._config = config
        self._path = state / REPLICA
        self._identity = settings.fleet.identity_folder(config)
        self._open_node = open_node
        self._log = log
        self._problem = ""  # the reason why the copy may not be what the fleet has; empty without one
        self._reader: ReplicaReader | None = None
        self._node: FleetNode | None = None
        self._follower: FleetFollower | None = None
        self._moved = asyncio.Event()
        self._changed: set[str] | None = None  # subjects of objects changed since `_files`; None: all
        self._files: Files | None = None
        self._settings: SourceFile | None = None
        self._in_force = SettingsInForce(state / FLEET_SETTINGS)
        self._in_force_said: list[str] = []  # its problems, as logged last
        self._opened: Seen | None = None  # what `open` has seen last
        self._looking = asyncio.Lock()
        self._is_tried = asyncio.Event()  # the copy was opened, or cannot be
        self._is_damaged = asyncio.Event()  # the copy is to be opened anew
        self._troubles: dict[str, str] = {}  # by service, in words
        self.services: list[NodeService] = []  # that run beside the follower
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_whole(self) -> bool:
        """A fleet's changes are commits."""
        return True

    @property
    def node_name(self) -> str | None:
        """The name of this node; None until its papers are read."""
        return self._node.name if self._node else None

    @property
    def follower(self) -> FleetFollower | None:
        """The follower of now; None until the copy is opened."""
        return self._follower

    async def link(self) -> Link:
        """The connection of now. Raises NoAnswerError, and as `Line.link`."""
        if self._node is None:
            raise NoAnswerError("there is no connection to the fleet's servers yet")
        return await self._node.line.link()

    def shared_value(self, subject: str) -> bytes | None:
        """The value of an object that belongs to no account; None without it. Raises OSError."""
        return self._value(SHARED, subject)

    def shared_values(self, prefix: str) -> dict[str, bytes]:
        """The values of the objects that belong to no account, by subject, which begins so. Blocks. Raises OSError."""
        if self._reader is None:
            raise OSError(errno.EAGAIN, NOT_HERE)
        try:
            with closing(self._reader.state()) as state:
                return {one.subject: one.value for one in state.objects(prefix, SHARED)}
        except DamagedReplicaError as error:
            raise OSError(errno.EIO, str(error)) from None

    def problems(self) -> list[str]:
        """Why the copy may not be what the fleet has, and what is wrong with settings, papers and services."""
        words = (self._problem, *self._in_force.problems(), *self._papers(), *self._troubles.values())
        return [f"fleet: {one}" for one in words if one]

    def _papers(self) -> Iterator[str]:
        try:
            load_identity(self._identity)
        except (IdentityError, OSError) as error:
            yield str(error)

    def note_trouble(self, service: str, words: str) -> None:
        """Note what is wrong with a service of this node; an empty text once nothing is."""
        if words and self._troubles.get(service) != words:
            self._log.warning(f"warning: fleet: {words}")
        self._troubles[service] = words

    def keep_papers(self, new_papers: NewPapers, *, is_listed: IsListed = everybody) -> None:
        """Renew the papers in time; the parameters are as for `PapersKeeper`."""
        keeper = PapersKeeper(self._identity, new_papers, partial(self.note_trouble, PAPERS), is_listed=is_listed)
        self.services.append(keeper.run)

    def is_listed(self, identity: NodeIdentity) -> bool:
        """Whether the fleet's list of edges has this node's key, by the copy; also while that may lack something."""
        if not (self._follower and self._follower.is_caught_up):
            return True
        try:
            value = self._value(SHARED, edge_subject(identity.name))
            return value is not None and parse_edge_record(value).key == identity.key.public
        except (OSError, DnsdError):  # of a later version
            return True

    async def run(self) -> None:
        """Keep the copy like the fleet's state, until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                await self._open_and_follow()
            except (DnsdError, OSError) as error:
                self._note(str(error))
            self._is_tried.set()
            await asyncio.sleep(AGAIN_S)

    async def _open_and_follow(self) -> None:
        """Open the copy, and follow until it turns out to be damaged. Raises DamagedReplicaError and OSError."""
        self._is_damaged.clear()
        replica, problem = await in_thread(partial(open_replica, self._path))
        try:
            if problem:
                self._log.error(problem)
            self._reader, self._changed = ReplicaReader(self._path), None
            self._is_tried.set()
            self._moved.set()
            while not self._is_damaged.is_set():
                try:
                    await self._follow(replica)
                except (IdentityError, OSError) as error:  # of the papers, which may be replaced
                    self._note(str(error))
                    await asyncio.sleep(AGAIN_S)
        finally:
            replica.close()

    async def _follow(self, replica: Replica) -> None:
        """Follow until the copy turns out to be damaged. Raises IdentityError, DamagedReplicaError and OSError."""
        self._node = node = await in_thread(self._open_node)
        self._follower = node.follower(
            replica,
            take=self._take,
            note=self._note,
            caught_up=self._note_whole,
            remark=self._remark,
            written=self._awaited,
        )
        try:
            await run_until(self._is_damaged, [self._follower.run(), *(service(node) for service in self.services)])
        finally:
            self._node = None
            await node.line.close()

    def _take(self, step: Flushed) -> None:
        if step.subjects is None:
            self._changed = None
        elif self._changed is not None:
            self._changed |= step.subjects
        self._moved.set()

    def _awaited(self, epoch: str) -> int:
        """The last message of an epoch that this node has stored, and the copy is to have; 0: an edge stores none."""
        return 0

    def _note(self, reason: str) -> None:
        if reason != self._problem:
            self._problem = reason
            self._log.warning(f"warning: fleet: {reason}")

    def _remark(self, text: str) -> None:
        self._log.warning(f"warning: fleet: {text}")

    def _note_whole(self) -> None:
        if self._problem:
            self._problem = ""
            self._log.info("fleet: the copy has all again")

    def _value(self, account: str, subject: str) -> bytes | None:
        """The value of an object; None without it. Raises OSError."""
        if self._reader is None:
            raise OSError(errno.EAGAIN, NOT_HERE)
        try:
            return self._reader.value(account, subject)
        except DamagedReplicaError as error:
            if self._loop:  # in a thread, perhaps
                self._loop.call_soon_threadsafe(self._is_damaged.set)
            raise OSError(errno.EIO, str(error)) from None

    async def arrival(self) -> bool:
        """Wait for the copy to have files, or other ones or settings than those that could not be used."""
        unusable = self._opened
        while (seen := await self.look(None)).files is None or seen == unusable:
            await self.changed(AGAIN_S)
        return True

    async def open(self, known: Seen | None = None, *, noted: Noted, is_patient: bool = False) -> Seen:
        """See the files in the copy, once that was opened."""
        await self._is_tried.wait()
        self._opened = await self.look(known)
        return self._opened

    async def look(self, known: Seen | None) -> Seen:
        """See the files in the copy, of one state."""
        async with self._looking:
            changed, self._changed = self._changed, set()
            try:
                # Here, as the follower writes in this thread: the state has what `changed` names, and nothing later.
                state = self._reader.state() if self._reader else None
                if state:
                    self._files = await in_thread(partial(self._read, state, changed))
            except (DamagedReplicaError, OSError) as error:
                self._changed = None
                self._note(str(error))
                self._is_damaged.set()
            except BaseException:
                self._changed = None
                raise
            self._tell_of_settings()
            file = await in_thread(self._read_settings)
            files = None if self._in_force.is_unusable else self._files
            absence = "" if files else UNUSABLE if self._in_force.is_unusable else NOT_HERE
            return Seen(file, None, files, absence, self._in_force.settings)

    def _tell_of_settings(self) -> None:
        """Log what is wrong with the shared settings and the level, once."""
        found = self._in_force.problems()
        for problem in found:
            if problem not in self._in_force_said:
                self._log.warning(f"warning: fleet: {problem}")
        self._in_force_said = found

    async def settled(self, known: Seen | None) -> Seen:
        """See the files in the copy."""
        return await self.look(known)

    async def still(self, seen: Seen) -> Seen:
        """See the files in the copy."""
        return await self.look(seen)

    async def changed(self, within_s: float) -> None:
        """Wait for a step of the follower."""
        try:
            async with asyncio.timeout(within_s):
                await self._moved.wait()
        except TimeoutError:
            return
        self._moved.clear()

    def _read_settings(self) -> SourceFile:
        config, now_ns = str(self._config), time.time_ns()
        self._settings = read_file(config, "", FileKind.SETTINGS, previous=self._settings, now_ns=now_ns)
        return self._settings

    @garbage_paused()
    def _read(self, state: ReplicaState, changed: set[str] | None) -> Files | None:
        """The files of a state; notes its shared settings."""
        with closing(state):
            files = self._files
            if not state.place.epoch:  # a copy that is fetched anew, in the place of a damaged one
                return files
            if changed is None or changed & {META, SETTINGS}:
                self._in_force.take(state.value(SHARED, SETTINGS), state.value(SHARED, META))
            if changed is None or files is None:
                files = read_fleet_files(state, self._value)
            elif changed:
                files = changed_fleet_files(files, changed, state, self._value)
            place = state.place
            is_same = (files.epoch, files.seq) == (place.epoch, place.seq)
            return files if is_same else replace(files, seq=place.seq, epoch=place.epoch)

    async def begin(self, changes: Sequence[FileChange]) -> Sequence[BegunFile]:
        """Begin nothing: a commit is one batch."""
        return ()

    async def forget(self, begun: Sequence[BegunFile]) -> None:
        """Nothing was begun."""

    async def catch_up(self) -> None:
        """Nothing: the caller takes what has come."""

    async def keep_times(self, files: Files, previous: Files) -> None:
        """Files have the times that they have in the fleet."""

    async def write(self, seen: Seen, edit: FilesEdit, op: Op) -> Seen:
        """Raise OSError: an edge writes nothing."""
        raise OSError(errno.EROFS, READ_ONLY)

    async def finish(self, op: Op, revision: int) -> None:
        """Nothing was written."""


def edge_store(
    config: Path, state: Path, settings: Settings, log: Log, max_drop_percent: Callable[[], int]
) -> FleetStore:
    """The store of an edge; the other parameters are as for `FleetStore`, and `edge_node`."""
    fleet = settings.fleet
    assert fleet

    def open_node() -> FleetNode:
        return edge_node(fleet.identity_folder(config), fleet.servers, max_drop_percent)

    store = FleetStore(config, state, settings, log, open_node)
    store.keep_papers(asked_papers, is_listed=store.is_listed)
    return store
