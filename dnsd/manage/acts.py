"""Acts: changes of files in the state folder, such as tokens, letters of agency and pending changes, with evidence.

An act with evidence has its entry in the audit log before it is done, and the outcome of the entry after. A file in the
folder `acts` has the entry meanwhile, and what the act changes: after a kill, the next start sees whether it was done.
All functions block.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from dnsd.manage.audit import AuditLog
from dnsd.manage.audit_entries import Entry, PendingEntry, pending_entry
from dnsd.manage.state_names import ACTS
from dnsd.manage.token_port import TokenFileError, Tokens
from dnsd.store.kept_file import DamagedFileError, kept, read_octets
from dnsd.store.observations import FILE_NAME as OBSERVED
from dnsd.store.port import EvidenceError, StoreAwayError
from dnsd.whole_file import make_folder, replacing

T = TypeVar("T")

MAX_SIZE = 1024 * 1024  # octets of a file; an entry has at most about 150 kB
NAME = re.compile(r"([0-9a-f]{32})\.json")
TOKEN = re.compile(r"tokens/([0-9a-f]{32})")
FILE = re.compile(r"(loa/[0-9a-f]{32}|pending)/[0-9a-f]{32}\.json")
MAX_REPLACED = 64 * 1024 * 1024  # octets of a file that acts replace
UNKNOWN = "unknown whether it was done: the server ended, and the tokens cannot be read"


@dataclass(frozen=True, slots=True)
class Act:
    """An act that has begun."""

    pending: PendingEntry
    what: str  # tokens/ID, or the path of a file in the state folder: one that comes or goes, or OBSERVED

    @property
    def id(self) -> str:
        """The id of the entry."""
        return str(self.pending["entry"]["id"])


class Acts:
    """The acts of one process, and those that an earlier one left without an outcome."""

    def __init__(
        self,
        state: Path,
        audit: AuditLog,
        tokens: Tokens,
        report: Callable[[str], Any],
        elsewhere: Callable[[str], str | None] | None = None,
    ) -> None:
        """`report` is called with each problem.

        `elsewhere` sees what is kept elsewhere instead of in a file, as `_seen` does: None for what is in its file.
        """
        self._state = state
        self._folder = state / ACTS
        self._audit = audit
        self._tokens = tokens
        self._report = report
        self._elsewhere = elsewhere
        self._turn = Lock()
        self._open: set[str] = set()
        self._outcomes: dict[str, bool] = {}  # of acts whose outcome could not be written

    def carry_out(self, entry: Entry, what: str, verb: Callable[[], T], *, needs_evidence: bool) -> T:
        """The result of an act, with its entry in the audit log: before it, if that is needed. Raises EvidenceError."""
        if not needs_evidence:
            result = verb()
            self.note(entry)
            return result
        act = self.begin(entry, what)
        try:
            result = verb()
        except StoreAwayError:  # perhaps it is done
            self.leave(act)
            raise
        except BaseException:
            self.end(act, is_done=False)
            raise
        self.end(act, is_done=True)
        return result

    def note(self, *entries: Entry) -> None:
        """Write the entries of what was done without evidence."""
        if problem := self._audit.append(*entries):
            self._report(problem)

    def begin(self, entry: Entry, what: str) -> Act:
        """Bring the entry of an act to the disk; `end` must follow. Raises EvidenceError: then it may not be done."""
        act = Act(pending_entry(entry), what)
        data = {"entry": act.pending, "what": what, "before": self._seen(what)}
        with self._turn:
            self._open.add(act.id)
        try:
            make_folder(self._folder)
            with replacing(self._file(act.id)) as out:
                out.write(json.dumps(data, default=str).encode())
            self._audit.testify([act.pending])
        except BaseException as error:
            self._forget(act.id)
            if isinstance(error, OSError):
                raise EvidenceError(error.errno, error.strerror, error.filename) from None
            raise
        return act

    def end(self, act: Act, *, is_done: bool, revision: int | None = None) -> None:
        """Write the outcome of an act; if that fails, `settle` does it later."""
        try:
            self._audit.settle([act.pending], is_done, revision)
        except OSError as error:
            self._report(f"the outcome of {act.pending['entry']['action']} is not in the audit log yet: {error}")
            with self._turn:
                self._outcomes[act.id] = is_done
                self._open.discard(act.id)
        else:
            self._forget(act.id)

    def leave(self, act: Act) -> None:
        """Leave it to `settle` to see whether an act was done, as nobody knows yet."""
        with self._turn:
            self._open.discard(act.id)

    def settle(self) -> None:
        """Write the outcomes that are missing in the audit log."""
        with suppress(FileNotFoundError, NotADirectoryError):
            for name in sorted(os.listdir(self._folder)):
                found = NAME.fullmatch(name)
                if not found or found[1] in self._open:
                    continue
                try:
                    kept(self._file(found[1]), self._settle)
                    self._forget(found[1])
                except DamagedFileError as error:
                    self._report(f"{error}; if it was an act, its outcome is not in the audit log")
                except OSError:  # the audit log has a problem, perhaps
                    return

    def _settle(self, file: Path) -> None:
        """Write the outcome of an act. Raises OSError, and others for a damaged file."""
        data = json.loads(read_octets(file, MAX_SIZE))
        pending, what, before = data["entry"], data["what"], data["before"]
        if not isinstance(before, str) or f"{pending['entry']['id']}.json" != file.name:
            raise ValueError
        is_done = self._outcomes.get(file.stem)
        if is_done is None:
            try:
                is_done = self._seen(what) != before
            except TokenFileError:
                pending, is_done = pending | {"entry": pending["entry"] | {"message": UNKNOWN}}, True
        self._audit.settle_again([pending], is_done)

    def _seen(self, what: str) -> str:
        """What an act changes, as it is now; empty if it does not exist. Raises OSError and TokenFileError."""
        if found := TOKEN.fullmatch(what):
            return self._tokens.digest(found[1])
        if self._elsewhere and (there := self._elsewhere(what)) is not None:
            return there
        if not FILE.fullmatch(what) and what != OBSERVED:
            raise ValueError(what)
        try:
            if what == OBSERVED:
                return blake2b(read_octets(self._state / what, MAX_REPLACED), digest_size=16).hexdigest()
            os.stat(self._state / what)
        except FileNotFoundError:
            return ""
        return "there"

    def _forget(self, act_id: str) -> None:
        with suppress(OSError):
            self._file(act_id).unlink(missing_ok=True)
        with self._turn:
            self._open.discard(act_id)
            self._outcomes.pop(act_id, None)

    def _file(self, act_id: str) -> Path:
        return self._folder / f"{act_id}.json"
