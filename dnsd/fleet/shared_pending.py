"""The pending changes of a fleet: each is an object that its controls share, with the text of its file.

The changes of one account have one guard. A change that is made goes in the commit that makes it, which rewrites the
guard: so it is made once, whichever controls try. A claim keeps others from trying meanwhile.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dnsd.errors import shown
from dnsd.fleet.link import EngineRefusedError, Link, NoAnswerError, json_answer
from dnsd.fleet.shared_copy import SharedCopy
from dnsd.fleet.shared_ports import LoopBridge
from dnsd.fleet.shared_writes import SharedWrites
from dnsd.fleet.stream import STREAM
from dnsd.fleet.subjects import CLAIMS, PENDING, token
from dnsd.fleet.writer import SharedWrite
from dnsd.manage.pending import Due, PendingChange, check_room
from dnsd.manage.pending_files import MAX_SIZE, PendingFiles, pack_change, parse_change
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.state_names import PENDING as FOLDER
from dnsd.store.port import StoreAwayError
from dnsd.store.write import FileChange

MAX_VALUE = 64 * 1024  # octets, compressed: an account may have 100 of them, and each control has all in memory
CLAIMED = "60s"
COPIED_WITHIN_S = 5.0
SUFFIX = ".json"
GONE = "the change was made, cancelled or changed by another control meanwhile"


class KeptChange(NamedTuple):
    """A pending change: the subject, number and value of its object, and it in brief.

    Its text may be much larger than the value, and so is not kept.
    """

    subject: str
    seq: int
    value: bytes
    due: Due

    @property
    def text(self) -> bytes:
        """The text of its file."""
        return unpack_pending(self.value)

    @property
    def change(self) -> PendingChange:
        """The change."""
        return parse_change(json.loads(self.text), self.due.id)


class SharedPart(NamedTuple):
    """What a commit of files changes of pending changes, and their guards with the numbers when it was drawn up."""

    writes: Sequence[SharedWrite] = ()
    guards: Mapping[str, int] = {}


class GoneError(Exception):
    """A pending change is not there any more."""


class SharedPending:
    """The pending changes in a copy, read anew when it has changed; and changes of them."""

    def __init__(self, copy: SharedCopy, writes: SharedWrites, folder: Path) -> None:
        """`folder` is the state folder, in which files stand for them."""
        self._copy = copy
        self._writes = writes
        self._prefix = f"{shown(folder / FOLDER)}/"
        self._known: tuple[tuple[int, int], Mapping[str, KeptChange]] = ((-1, 0), {})

    def all(self) -> Mapping[str, KeptChange]:
        """All pending changes that this version can read, by id."""
        version, before = self._copy.version(PENDING), self._known[1]
        if self._known[0] != version:
            found: dict[str, KeptChange] = {}
            for subject, kept in self._copy.objects.copy().items():
                if subject.startswith(PENDING) and len(parts := subject.removeprefix(PENDING).split(".")) == 2:
                    old = before.get(parts[1])
                    same = old if old and old.seq == kept.seq else None
                    if one := same or _parsed(subject, kept.seq, kept.value, parts[1]):
                        found[parts[1]] = one
            self._known = version, found
        return self._known[1]

    def guard(self, account_id: str) -> int:
        """The number of the guard of an account's changes in the copy."""
        return self._copy.seq(guard_of(account_id))

    async def put(self, change: PendingChange, before: PendingChange | None) -> None:
        """Keep a change, if the one with its id is `before`. Raises RefusedError, and as `SharedWrites`."""
        value = pack_pending(pack_change(change).encode())

        async def draw_up(seq: int) -> Sequence[SharedWrite]:
            found = self.all().get(change.id)
            if (found.change if found else None) != before:
                raise refused(Reason.CHANGED_MEANWHILE, GONE)
            if found is None:
                check_room([one for one in self.all().values() if one.due.account_id == change.request.account_id])
            return [SharedWrite(subject_of(change.request.account_id, change.id), value)]

        await self._writes.change(guard_of(change.request.account_id), draw_up)

    async def remove(self, change_id: str) -> bool:
        """Remove a change; return whether it was there. Raises as `SharedWrites`."""
        if (known := self.all().get(change_id)) is None:
            return False
        done: list[bool] = []

        async def draw_up(seq: int) -> Sequence[SharedWrite] | None:
            done[:] = [change_id in self.all()]
            return [SharedWrite(known.subject, None)] if done[0] else None

        await self._writes.change(guard_of(known.due.account_id), draw_up)
        return done[0]

    async def catch_up(self) -> None:
        """Have the last changes. Raises StoreAwayError."""
        await self._writes.catch_up(f"{PENDING}>")

    async def settle(self) -> None:
        """Have the last changes, and know what became of each write. Raises StoreAwayError."""
        await self._writes.settle(f"{PENDING}>")

    def split(self, beside: Sequence[FileChange]) -> tuple[SharedPart, list[FileChange]]:
        """What the changes of files beside say of pending changes, and the other ones. Raises GoneError."""
        others: list[FileChange] = []
        writes: list[SharedWrite] = []
        guards: dict[str, int] = {}
        for one in beside:
            name = one.path.removeprefix(self._prefix)
            if name == one.path or not name.endswith(SUFFIX):
                others.append(one)
                continue
            if (known := self.all().get(name.removesuffix(SUFFIX))) is None:
                raise GoneError
            guard = guard_of(known.due.account_id)
            guards[guard] = min(one.guard, guards.get(guard, one.guard))
            text = one.text.encode() if isinstance(one.text, str) else one.text
            writes.append(SharedWrite(known.subject, None if text is None else pack_pending(text)))
        return SharedPart(writes, guards), others

    async def until_copied(self, part: SharedPart) -> None:
        """Wait until the copy has the writes of a commit, but not for long."""

        def has_all() -> bool:
            objects = self._copy.objects
            found = ((objects[one.subject].value if one.subject in objects else None, one.new) for one in part.writes)
            return all(there == new for there, new in found)

        await self._copy.until(has_all, COPIED_WITHIN_S)


class FleetPending(PendingFiles):
    """The pending changes of a fleet, for one of its controls; until they have come, those of the state folder."""

    def __init__(
        self,
        state: Path,
        shared: SharedPending,
        bridge: LoopBridge,
        link: Callable[[], Awaitable[Link]],
        *,
        has_come: Callable[[], bool],
        name: Callable[[], str],
    ) -> None:
        """`has_come` tells whether the fleet's state has come, and `name` the control's name."""
        super().__init__(state)
        self._shared = shared
        self._bridge = bridge
        self._link = link
        self._has_come = has_come
        self._name = name

    @property
    def due(self) -> list[Due]:
        """The changes in brief, unordered."""
        return [one.due for one in self._shared.all().values()] if self._has_come() else super().due

    def refresh(self) -> list[str]:
        """Nothing: the fleet's copy is up to date. Without it, as for files."""
        return [] if self._has_come() else super().refresh()

    def note(self, change_id: str) -> str:
        """Nothing: the fleet's copy is up to date. Without it, as for files."""
        return "" if self._has_come() else super().note(change_id)

    def read(self, change_id: str) -> PendingChange | None:
        """The change with an id; None if there is none."""
        if not self._has_come():
            return super().read(change_id)
        found = self._shared.all().get(change_id)
        return found.change if found else None

    def guard(self, account_id: str) -> int:
        """The number of the guard of an account's changes, as this control knows it."""
        return self._shared.guard(account_id)

    def write(self, change: PendingChange, before: PendingChange | None = None) -> None:
        """Write a change for all controls, new or, if that is still there, instead of `before`.

        Raises RefusedError and OSError.
        """
        self._bridge.run(partial(self._shared.put, change, before))

    def remove(self, change_id: str) -> bool:
        """Remove a change at all controls; return whether it was there. Raises OSError."""
        return self._bridge.run(partial(self._shared.remove, change_id))

    def claim(self, change_id: str) -> bool:
        """Whether this control has the claim to a due change, for a minute."""
        try:
            return self._bridge.run(partial(self._claim, change_id))
        except StoreAwayError:
            return False

    async def _claim(self, change_id: str) -> bool:
        subject, name = CLAIMS + token(change_id), self._name().encode()
        headers = {"Nats-Expected-Last-Subject-Sequence": "0", "Nats-TTL": CLAIMED}
        try:
            link = await self._link()
            if "error" not in json_answer((await link.request(subject, name, headers=headers)).data):
                return True
            found = await link.request(f"$JS.API.DIRECT.GET.{STREAM}.{subject}")
            return "Status" not in found.headers and found.data == name  # from before a restart, perhaps
        except (NoAnswerError, EngineRefusedError):
            return False


def subject_of(account_id: str, change_id: str) -> str:
    """The subject of a pending change."""
    return f"{guard_of(account_id)}.{token(change_id)}"


def guard_of(account_id: str) -> str:
    """The subject of the guard of an account's pending changes."""
    return PENDING + token(account_id)


def pack_pending(text: bytes) -> bytes:
    """The value for the text of a pending change's file. Raises RefusedError if it is too large."""
    small = zlib.compress(text, 1)
    value = small if len(small) < len(text) else text
    if len(value) > MAX_VALUE or len(text) > MAX_SIZE:
        raise refused(
            Reason.TOO_LARGE, f"the change is too large to wait: the limit is {MAX_VALUE:,} octets, compressed"
        )
    return value


def unpack_pending(value: bytes) -> bytes:
    """The text of a value. Raises ValueError and zlib.error."""
    if value[:1] == b"{":
        return value
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(value, MAX_SIZE)
    if not unpacker.eof:
        raise ValueError("the text of a pending change is cut, or too large")
    return text


def _parsed(subject: str, seq: int, value: bytes, change_id: str) -> KeptChange | None:
    try:
        text = unpack_pending(value)
        return KeptChange(subject, seq, value, Due.of(parse_change(json.loads(text), change_id)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, zlib.error):
        return None  # of a later version: it stays, and is not made here
