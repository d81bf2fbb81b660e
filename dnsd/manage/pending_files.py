"""The pending changes in the state folder: one file each, and an index of them in memory.

A file is removed, and those of later changes are rewritten, together with the map's own file (`FileChange`): so a
killed server has either made a change and forgotten it, or neither. The index has what the clock needs; plans and
arguments stay on disk. A damaged file is moved aside, an unreadable one ignored; both are reported.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from dnsd.errors import shown
from dnsd.manage.map_request import ACTIONS, MapRequest
from dnsd.manage.pending import Due, PendingChange
from dnsd.manage.plan import LEFT_OUT
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.state_names import PENDING
from dnsd.model.times import parse_time, time_text
from dnsd.store.kept_file import DamagedFileError, read_kept
from dnsd.store.write import FileChange
from dnsd.whole_file import make_folder, replacing, sync

FORMAT = 1
MAX_SIZE = 4 * 1024 * 1024  # octets of one file: the ids of 100,000 zones
NAME = re.compile(r"([0-9a-f]{32})\.json")


class PendingFiles:
    """The files, written by one process. Methods other than `due` block, and raise OSError."""

    def __init__(self, state: Path) -> None:
        self._folder = state / PENDING
        self._due: dict[str, Due] = {}
        self._seen: dict[str, tuple[int, int, int]] = {}  # time, size and inode of each file, damaged ones included
        self._folder_time = 0
        self._turn = threading.RLock()

    @property
    def due(self) -> list[Due]:
        """The index, unordered."""
        return list(self._due.values())

    def refresh(self) -> list[str]:
        """Bring the index up to date with the folder; return messages about damaged files, each once."""
        try:
            folder_time, names = os.stat(self._folder).st_mtime_ns, os.listdir(self._folder)
        except FileNotFoundError:
            folder_time, names = 0, []
        with self._turn:
            if folder_time == self._folder_time:
                return []
            there = {found[1] for name in names if (found := NAME.fullmatch(name))}
            problems = [self.note(one) for one in sorted(there | self._seen.keys())]
            self._folder_time = folder_time
        return [problem for problem in problems if problem]

    def note(self, change_id: str) -> str:
        """Bring the index up to date with one file; return a message if it is damaged and was not known to be."""
        file = self._file(change_id)
        with self._turn:
            try:
                status = os.stat(file)
            except FileNotFoundError:
                self._due.pop(change_id, None)
                self._seen.pop(change_id, None)
                return ""
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._seen.get(change_id) == version:
                return ""
            self._seen[change_id] = version
            try:
                self._due[change_id] = Due.of(self._load(change_id))
                return ""
            except DamagedFileError as error:
                self._seen.pop(change_id)
                problem = str(error)
            except OSError as error:
                problem = f"{shown(file)} cannot be read: {error.strerror}"
            self._due.pop(change_id, None)
            return f"{problem}; this pending change will not be made: schedule it again"

    def read(self, change_id: str) -> PendingChange | None:
        """The change with an id; None if there is none, or its file is damaged or unreadable."""
        try:
            return self._load(change_id)
        except (OSError, DamagedFileError):
            return None

    def _load(self, change_id: str) -> PendingChange:
        """The change with an id. Raises OSError and DamagedFileError."""
        return read_kept(
            self._file(change_id), lambda octets: parse_change(json.loads(octets), change_id), most=MAX_SIZE
        )

    def of_account(self, account_id: str) -> list[PendingChange]:
        """The changes of an account, in the order of their times."""
        ids = [one.id for one in self.due if one.account_id == account_id]
        return sorted(filter(None, map(self.read, ids)), key=lambda change: change.order)

    def write(self, change: PendingChange, before: PendingChange | None = None) -> None:
        """Write a change, new or instead of `before`. Raises RefusedError if it is too large."""
        octets = pack_change(change).encode()
        if len(octets) > MAX_SIZE:
            raise refused(Reason.TOO_LARGE, f"the change is too large to wait: the limit is {MAX_SIZE:,} octets")
        make_folder(self._folder)
        with replacing(self._file(change.id)) as out:
            out.write(octets)
        self.note(change.id)

    def remove(self, change_id: str) -> bool:
        """Remove a change; return whether it was there."""
        found = False
        with suppress(FileNotFoundError):
            self._file(change_id).unlink()
            found = True
            sync(self._folder)
        self.note(change_id)
        return found

    def is_there(self, change: PendingChange) -> bool:
        """Whether a change is as it was read: others may have made, cancelled or moved it on."""
        return self.read(change.id) == change

    def claim(self, change_id: str) -> bool:
        """Whether this server may make or stop a due change now, and no other one does."""
        return True

    def guard(self, account_id: str) -> int:
        """The number of what guards an account's changes against other controls, before they are read; 0 without any.

        What goes with a made change is refused, and drawn up again, if it has moved on.
        """
        return 0

    def once_made(
        self, made: PendingChange, others: Iterable[PendingChange], now: datetime, guard: int = 0
    ) -> list[FileChange]:
        """The changes of files that go with a made change: its own file is removed, those of `others` are rewritten."""
        modified = int(now.timestamp())
        texts = [(made.id, None), *((one.id, pack_change(one)) for one in others)]
        return [FileChange(shown(self._file(one)), text, modified, guard=guard) for one, text in texts]

    def _file(self, change_id: str) -> Path:
        return self._folder / f"{change_id}.json"


def pack_change(change: PendingChange) -> str:
    """The content of a change's file."""
    data = asdict(change) | {
        "format": FORMAT,
        "at": time_text(change.at),
        "created_at": time_text(change.created_at),
        "stopped_at": time_text(change.stopped_at) if change.stopped_at else None,
        "zones": sorted(change.zones),
    }
    return json.dumps(data, indent=1) + "\n"


def parse_change(data: Mapping[str, Any], change_id: str) -> PendingChange:
    """The change in a file. Raises ValueError, TypeError, KeyError or AttributeError if it is damaged."""
    fields = dict(data)
    request = MapRequest(**fields.pop("request"))
    texts = (request.account_id, request.map_id, *(fields[name] for name in ("token_id", "token_name", "tag")))
    if fields.pop("format") != FORMAT or fields["id"] != change_id or request.action not in ACTIONS:
        raise ValueError
    if not all(isinstance(text, str) for text in texts) or not isinstance(request.arguments, dict):
        raise TypeError
    if not isinstance(fields["plan"], dict) or not isinstance(fields["stopped"], str):
        raise TypeError
    if not all(isinstance(fields.get(name, False), bool) for name in ("by_operator", "is_cut")):
        raise TypeError
    is_cut = LEFT_OUT in fields["plan"].get("warnings", ())  # the release before wrote no `is_cut`
    return PendingChange(
        **{"is_cut": is_cut}
        | fields
        | {
            "request": request,
            "at": parse_time(fields["at"]),
            "created_at": parse_time(fields["created_at"]),
            "stopped_at": parse_time(fields["stopped_at"]) if fields["stopped_at"] else None,
            "zones": frozenset(fields["zones"]),
            "follows": tuple(fields["follows"]),
        }
    )
