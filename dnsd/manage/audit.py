"""The audit log: one JSON object per line for each request to change data, with its time, actor, client and outcome.

Lines are written at once and never changed. A full file is renamed to `NAME.1`, and so on; the oldest is deleted.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias, TypedDict

from dnsd.errors import shown
from dnsd.manage.audit_files import KEPT_FILES, SECONDS_PER_DAY, LineFile
from dnsd.manage.audit_search import FoundEntries, LogGroup, LogQuery, LogSearch
from dnsd.manage.tokens import AccessLevel, Area, Token
from dnsd.model.quotas import DEFAULT_QUOTAS
from dnsd.model.times import parse_time, time_text

FILE_NAME = "audit.log"  # of operators, in the state folder
FOLDER = "audit"  # of the accounts' files, in the state folder
SERVER = "0" * 32  # the id of the actor for what the server itself does for an account
OWNER = re.compile("[0-9a-f]{32}")  # an account, or a token
MAX_FILE_SIZE = 64 * 1024 * 1024  # octets of one file of operators
MAX_STATE_SIZE = 64 * 1024  # octets of JSON of an object's state before or after the change
MAX_SMALL_SIZE = 1024  # the same for tenants, and for refused requests: it costs a client nothing to send many
TEXTS = ("id", "at", "client", "action", "object", "account_id", "zone_id", "outcome", "message")  # of a pending entry
UNDONE = "undone: it could not be made, or the server ended before it was made"
MAX_TEXT = 4096  # characters of a text; octets that are kept of a state that is too large


class Outcome(StrEnum):
    """The outcome of a request."""

    OK = "ok"
    REFUSED = "refused"
    PENDING = "pending"  # the change is not made yet; another entry with the same id has the outcome


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


class PendingEntry(TypedDict):
    """An entry of a change that is not made yet, as plain data, with the owner of its file."""

    owner: str
    entry: dict[str, Any]


PendingEntries: TypeAlias = Sequence[PendingEntry]
NOT_MADE = {"outcome": Outcome.REFUSED, "message": UNDONE}


class AuditLog:
    """The log, written by one process. `problem` is the error of the last write, None if it succeeded.

    What operators do goes into one file, which tenants cannot fill. What a tenant's token does, or the server for an
    account, goes into a file of the account in the folder `audit`: no tenant can push out the evidence of others.
    """

    def __init__(
        self,
        file: Path,
        *,
        max_file_size: int = MAX_FILE_SIZE,
        room: Callable[[str], int] = lambda account_id: DEFAULT_QUOTAS.audit_octets,
        report: Callable[[str], None] = lambda problem: None,
    ) -> None:
        """`room` is the octets that an account's entries may have; `report` is called when entries are lost."""
        self._main = LineFile(file)
        self._file = file
        self._folder = file.parent / FOLDER
        self._max_file_size = max_file_size
        self._room = room
        self._report = report
        self.problem: str | None = None
        self._turn = Lock()
        self._unwritten = 0  # entries since the last write that succeeded

    def append(self, *entries: Entry) -> str | None:
        """Write entries, and sync those of successful changes to disk. Returns the problem or None; never raises.

        An entry of an operator has at most about 150 kB, a tenant's about 8 kB: a larger state is replaced by its size,
        its digest and its beginning.
        """
        with self._turn:
            try:
                self._append((*self._gap(), *entries))
            except OSError as error:
                self._unwritten += len(entries)
                self.problem = f"{shown(self._file)} cannot be written: {error.strerror}"
                return self.problem
            self.problem, self._unwritten = None, 0
        return None

    def testify(self, entries: PendingEntries) -> None:
        """Write entries of changes that are not made yet, all or none, and sync them to disk. Raises OSError."""
        with self._turn:
            try:
                self._write_pending(entries)
                self._append(self._gap())
            except OSError as error:
                self.problem = f"{shown(self._file)} cannot be written: {error.strerror}"
                raise
            self.problem, self._unwritten = None, 0

    def settle(self, entries: PendingEntries, is_made: bool, revision: int | None = None) -> None:
        """Write the outcome of entries, and sync it to disk. Raises OSError."""
        outcome = {"outcome": Outcome.OK, "revision": revision} if is_made else NOT_MADE
        with self._turn:
            self._write_pending([one | {"entry": one["entry"] | outcome} for one in entries])

    def settle_again(self, entries: PendingEntries, is_made: bool) -> None:
        """The same for entries of an earlier process, which may have written it.

        Raises OSError, and ValueError if some are damaged, once the others have their outcome.
        """
        usable = [one for one in entries if _is_usable(one)]
        self.settle([one for one in usable if not self._is_settled(one)], is_made)
        if len(usable) < len(entries):
            raise ValueError("damaged entries")

    def _is_settled(self, pending: PendingEntry) -> bool:
        wanted = str(pending["entry"]["id"])
        owners = [pending["owner"]] if pending["owner"] else []
        query = LogQuery(1, lambda one: one.get("id") == wanted, text=wanted.encode(), accounts=owners)
        return bool(self.read(query).entries)

    def _write_pending(self, entries: PendingEntries) -> None:
        lines: dict[str, bytes] = {}
        for one in entries:
            lines[one["owner"]] = lines.get(one["owner"], b"") + _json(one["entry"]) + b"\n"
        self._write(lines, lines)

    def probe(self) -> None:
        """Look whether the log can be written again, if it could not."""
        if self.problem:
            self.append(_own("audit.resumed", "the log can be written again"))

    def size(self, account_id: str) -> int:
        """The octets of the entries of an account's tokens."""
        return self._of(account_id).size()

    def prune(self, days: int, now: float) -> None:
        """Delete the files whose newest entry is older than `days`, at `now` in seconds since 1970. Blocks."""
        before = now - days * SECONDS_PER_DAY
        with self._turn:
            for file in (self._main, *map(self._of, self._owners())):
                file.prune(before)

    def search(self, query: LogQuery) -> LogSearch:
        """A search of all files, or of those that may have entries of the query's accounts."""
        owners = self._owners() if query.accounts is None else query.accounts
        files = (self._main, *map(self._of, owners))
        return LogSearch([LogGroup(one.paths(), one.changed_at()) for one in files], query)

    def read(self, query: LogQuery) -> FoundEntries:
        """The result of a search, in one go. Blocks. Raises OSError."""
        search = self.search(query)
        while search.step():
            pass
        return search.result()

    def _append(self, entries: Iterable[Entry]) -> None:
        """Write all entries or none. Raises OSError."""
        lines: dict[str, bytes] = {}
        synced: set[str] = set()
        for entry in entries:
            owner = owner_of_entry(entry)
            lines[owner] = lines.get(owner, b"") + _line(entry)
            synced |= {owner} if entry.outcome is Outcome.OK else set()
        self._write(lines, synced)

    def _write(self, lines: Mapping[str, bytes], synced: Collection[str]) -> None:
        """Append lines to the files of their owners, to all or to none. Raises OSError."""
        done: list[tuple[LineFile, int]] = []
        dropped: list[str] = []
        try:
            for owner, octets in lines.items():
                if owner:
                    self._folder.mkdir(mode=0o700, exist_ok=True)
                file = self._of(owner)
                largest = self._room(owner) // (KEPT_FILES + 1) if owner else self._max_file_size
                size, has_dropped = file.append(octets, largest, is_synced=owner in synced)
                done.append((file, size))
                dropped += [owner] * has_dropped
        except OSError:
            for file, size in done:
                file.cut(size)
            raise
        for owner in dropped:
            self._tell_of_loss(owner)

    def _tell_of_loss(self, owner: str) -> None:
        """Report that the oldest entries went for lack of room, and say so in the main file: never silently."""
        what = f"the oldest entries of {owner or 'operators'} were deleted"
        self._report(f"audit log: {what}, for lack of room{' (quota `audit_octets`)' if owner else ''}")
        if owner:
            with suppress(OSError):
                self._write({"": _line(replace(_own("audit.dropped", what), account_id=owner))}, {""})

    def _gap(self) -> Iterator[Entry]:
        """An entry about those that could not be written."""
        if self._unwritten:
            yield _own("audit.gap", f"{self._unwritten:,} entries before this one could not be written")

    def _of(self, owner: str) -> LineFile:
        return LineFile(self._folder / f"{owner}.log") if owner else self._main

    def _owners(self) -> list[str]:
        """The owners of the files in the folder."""
        with suppress(OSError):
            return [name for file in self._folder.iterdir() if OWNER.fullmatch(name := file.name.removesuffix(".log"))]
        return []


def owner_of_entry(entry: Entry) -> str:
    """The owner of an entry's file: empty for operators, else the account or, if it is unknown, the token's author."""
    token = entry.token
    if token is None or token.id == SERVER:
        return entry.account_id
    return "" if token.is_operator else entry.account_id or token.author.id


def _own(action: str, message: str) -> Entry:
    """An entry about the log itself."""
    now = datetime.now(UTC)
    return Entry(at=now, token=None, client="", action=action, object="audit", outcome=Outcome.OK, message=message)


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


def _is_usable(pending: Any) -> bool:
    """Whether plain data is a pending entry; a journal may be damaged."""
    if not isinstance(pending, dict) or not isinstance(entry := pending.get("entry"), dict):
        return False
    owner, actor = pending.get("owner"), entry.get("actor")
    if not isinstance(owner, str) or not (owner == "" or OWNER.fullmatch(owner)):
        return False
    if not all(isinstance(entry.get(name), str) for name in TEXTS) or entry["outcome"] != Outcome.PENDING:
        return False
    if not OWNER.fullmatch(entry["id"]) or not _is_time(entry["at"]):
        return False
    return actor is None or (isinstance(actor, dict) and all(isinstance(actor.get(one), str) for one in ("id", "name")))


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


def pending_entry(entry: Entry) -> PendingEntry:
    """An entry of a change that is not made yet, with an id by which its outcome refers to it."""
    fields = _fields(replace(entry, outcome=Outcome.OK)) | {"outcome": Outcome.PENDING, "id": secrets.token_hex(16)}
    return {"owner": owner_of_entry(entry), "entry": fields}


def _line(entry: Entry) -> bytes:
    return _json(_fields(entry)) + b"\n"


def _fields(entry: Entry) -> dict[str, Any]:
    is_large = entry.outcome is Outcome.OK and (entry.token is None or entry.token.is_operator)
    largest = MAX_STATE_SIZE if is_large else MAX_SMALL_SIZE
    return {
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


def _json(data: Any) -> bytes:
    """Data as one line of JSON; other types are written as text, and a lone surrogate as JSON's \\ud800."""
    return json.dumps(data, ensure_ascii=False, default=str).encode(errors="backslashreplace")


def _bounded(state: Any, largest: int) -> Any:
    """A state, or the size, the digest (BLAKE2b-128 of its JSON) and the beginning of a state that is too large."""
    octets = _json(state)
    if len(octets) <= largest:
        return state
    digest = hashlib.blake2b(octets, digest_size=16).hexdigest()
    start = octets[: min(largest, MAX_TEXT)].decode(errors="ignore")
    return {"cut": f"{len(octets):,} octets", "digest": digest, "start": start}
