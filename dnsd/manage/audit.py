"""The audit log: one JSON object per line for each request to change data, with its time, actor, client and outcome.

Lines are written at once and never changed. A full file is renamed to `audit.log.1`, and so on; the oldest is deleted.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

from dnsd.errors import shown
from dnsd.manage.audit_search import FoundEntries, LogQuery, LogSearch
from dnsd.manage.tokens import AccessLevel, Area, Token
from dnsd.model.times import time_text
from dnsd.whole_file import sync

FILE_NAME = "audit.log"  # in the state folder
MAX_FILE_SIZE = 64 * 1024 * 1024  # octets
KEPT_FILES = 4  # full files, in addition to the current one
MAX_STATE_SIZE = 64 * 1024  # octets of JSON of an object's state before or after the change
MAX_REFUSED_SIZE = 1024  # the same for a refused request: it costs a client nothing to send many
MAX_TEXT = 4096  # characters of a text; octets that are kept of a state that is too large


class Outcome(StrEnum):
    """The outcome of a request."""

    OK = "ok"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request to change data; `before` and `after` are plain data, None if the object did not or does not exist."""

    at: datetime
    token: Token | None  # None: unknown
    client: str  # IP address
    action: str  # such as map.create
    object: str  # key or id
    account_id: str = ""  # the object's account; empty: unknown
    zone_id: str = ""
    outcome: Outcome
    revision: int | None = None  # the first revision with the change
    code: int | None = None  # the API's code of a refusal
    message: str = ""
    before: Any = None
    after: Any = None


class AuditLog:
    """The log in a file, written by one process. `problem` is the error of the last write, None if it succeeded."""

    def __init__(self, file: Path, *, max_file_size: int = MAX_FILE_SIZE) -> None:
        self._file = file
        self._max_file_size = max_file_size
        self.problem: str | None = None
        self._turn = Lock()

    def append(self, *entries: Entry) -> str | None:
        """Write entries, and sync those of successful changes to disk. Returns the problem or None; never raises.

        An entry has at most about 150 kB: a state over 64 KiB, or 1 KiB for a refused request, is replaced by its
        size and its beginning.
        """
        try:
            with self._turn:
                self._append(b"".join(map(_line, entries)), is_synced=any(one.outcome is Outcome.OK for one in entries))
            self.problem = None
        except OSError as error:
            self.problem = f"{shown(self._file)} cannot be written: {error.strerror}"
        return self.problem

    def search(self, query: LogQuery) -> LogSearch:
        """A search of all files."""
        return LogSearch(self._files(), query)

    def read(self, query: LogQuery) -> FoundEntries:
        """The result of a search, in one go. Blocks. Raises OSError."""
        search = self.search(query)
        while search.step():
            pass
        return search.result()

    def _append(self, lines: bytes, *, is_synced: bool) -> None:
        with suppress(FileNotFoundError):
            if os.stat(self._file).st_size + len(lines) > self._max_file_size:
                self._rotate()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._file, flags, 0o600)
        try:
            size = os.fstat(fd).st_size
            is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            octets = b"\n" + lines if is_torn else lines
            if os.write(fd, octets) < len(octets):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if is_synced:
                os.fsync(fd)
        finally:
            os.close(fd)
        if size == 0:
            sync(self._file.parent)  # the file is new

    def _rotate(self) -> None:
        """Rename each file to the next number, replacing the oldest."""
        for newer, older in reversed([*pairwise(self._files())]):
            with suppress(FileNotFoundError):
                os.replace(newer, older)

    def _files(self) -> list[Path]:
        """All possible files, newest first."""
        return [self._file, *(self._file.with_name(f"{self._file.name}.{n}") for n in range(1, KEPT_FILES + 1))]


AREAS = {  # by the first part of an action
    "map": Area.MAPS,
    "prefix": Area.PREFIXES,
    "bgp_prefix": Area.PREFIXES,
    "binding": Area.PREFIXES,
    "loa": Area.PREFIXES,
    "lease": Area.PREFIXES,
    "account": Area.PREFIXES,
    "zone": Area.ZONES,
    "record": Area.DNS,
    "token": Area.TOKENS,
}


def may_see(token: Token, entry: Mapping[str, Any]) -> bool:
    """Whether a token may see an entry: it may read the entry's object."""
    if token.is_operator:
        return True
    account_id, zone_id = str(entry.get("account_id") or ""), str(entry.get("zone_id") or "")
    area = AREAS.get(str(entry.get("action") or "").partition(".")[0])
    if area is None or not account_id:
        return False
    return token.may(area, AccessLevel.READ, account_id=account_id, zone_id=zone_id)


def _line(entry: Entry) -> bytes:
    largest = MAX_STATE_SIZE if entry.outcome is Outcome.OK else MAX_REFUSED_SIZE
    fields = {
        "at": time_text(entry.at),
        "actor": {"id": entry.token.id, "name": entry.token.name} if entry.token else None,
        "client": entry.client[:MAX_TEXT],
        "action": entry.action[:MAX_TEXT],
        "object": entry.object[:MAX_TEXT],
        "account_id": entry.account_id,
        "zone_id": entry.zone_id,
        "revision": entry.revision,
        "outcome": entry.outcome,
        "code": entry.code,
        "message": entry.message[:MAX_TEXT],
        "before": _bounded(entry.before, largest),
        "after": _bounded(entry.after, largest),
    }
    return _json(fields) + b"\n"


def _json(data: Any) -> bytes:
    """Data as one line of JSON; other types are written as text, and a lone surrogate as JSON's \\ud800."""
    return json.dumps(data, ensure_ascii=False, default=str).encode(errors="backslashreplace")


def _bounded(state: Any, largest: int) -> Any:
    """A state, or the size and the beginning of a state that is too large."""
    octets = _json(state)
    if len(octets) <= largest:
        return state
    return {"cut": f"{len(octets):,} octets", "start": octets[: min(largest, MAX_TEXT)].decode(errors="ignore")}
