"""A request for a change: its entries in the audit log, its versions in the history, and its refusal."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from dnsd.api.codes import code_of, logged_text_of
from dnsd.app import Loaded
from dnsd.errors import shown
from dnsd.manage.audit_entries import Entry, Outcome, role_of
from dnsd.manage.change import Witness
from dnsd.manage.draft import Draft, Note
from dnsd.manage.history import History, keep_change, keep_replaced, owner_of
from dnsd.manage.refusal import Fault, Reason, RefusedError, refused
from dnsd.manage.request_terms import CONFLICT
from dnsd.store.directory import Files, SourceFile
from dnsd.store.port import ChangeTooLargeError, EvidenceError, StoreAwayError

if TYPE_CHECKING:  # a server without an API has no service for requests
    from dnsd.manage.service import Actor

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(slots=True, eq=False)
class ChangeRequest:
    """A request for a change, and its outcome."""

    actor: Actor
    action: str
    draft: Draft | None = None  # of the last attempt
    replaced: Sequence[SourceFile] = ()
    refusal: RefusedError | None = None
    after: Loaded | None = None
    revision: int | None = None
    witness: Witness | None = None  # of the last attempt, if it needs evidence

    def forget(self) -> None:
        """Let the draft and this not refer to each other: else the data before stays until garbage collection.

        Only once the outcome is known: a change whose requester has gone may still be made, and needs its evidence.
        """
        if self.draft:
            self.draft.witness = None

    @property
    def has_testified(self) -> bool:
        """Whether the audit log had the entries before the change was made."""
        return self.witness is not None and self.witness.has_testified

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the objects whose versions the change replaces or makes."""
        written = self.draft.written() if self.draft else ()
        return frozenset(file.key for file in (*self.replaced, *written))

    @property
    def by(self) -> str:
        """The name of the requester's token, else its id; with the actor's note."""
        name, note = self.actor.token.name or self.actor.token.id, self.actor.note
        return f"{name} ({note})" if note else name

    def entries(self) -> Iterator[Entry]:
        """Entries for the audit log, one per object."""
        refusal = self.refusal
        for note in (self.draft and self.draft.notes) or [Note("", None, None)]:
            account_id, zone_id = owner_of(self.draft.loaded, self.after, note.key) if self.draft else ("", "")
            yield Entry(
                at=datetime.now(UTC),
                token=self.actor.token,
                client=self.actor.client,
                action=self.action,
                object=note.key,
                account_id=account_id,
                zone_id=zone_id,
                outcome=Outcome.REFUSED if refusal else Outcome.OK,
                revision=self.revision,
                code=code_of(refusal.faults[0]).number if refusal else None,
                message=self._reason(refusal) if refusal else self.actor.note,
                before=note.before,
                after=note.after,
            )

    def testimony(self, history: History, after: Loaded) -> Witness:
        """The evidence of the change, drawn up as `after` and not made yet."""
        draft = self.draft
        assert draft
        self.refusal, self.after = None, after
        entries = [*self.entries()]
        self.after = None
        self.witness = Witness(entries, partial(_keep_served, history, draft.loaded, self.replaced), self.keys)
        return self.witness

    def _reason(self, refusal: RefusedError) -> str:
        """The reason of a refusal for the audit log, which the account's tenants read, too."""
        return CONFLICT if self.draft and self.draft.names_others else logged_text_of(refusal)

    def keep(self, history: History) -> str:
        """Keep the objects' versions before and after in the history; return the problem, if there is one."""
        if not (self.draft and self.after):
            return ""
        before, role = self.draft.loaded, role_of(self.actor.token)
        try:
            keep_change(
                history, before, self.after, self.draft, self.replaced, action=self.action, token=self.by, role=role
            )
        except Exception as error:  # the change is made, even without a history
            return f"{self.action}: this version is not in the history: {error}"
        return ""


def _keep_served(history: History, before: Loaded, replaced: Sequence[SourceFile], files: Files) -> None:
    """Keep the versions that a change replaces and that are among the files. Raises OSError."""
    served = files.by_key()
    keep_replaced(history, before, [one for one in replaced if _is_same(one, served.get(one.key))])


def _is_same(file: SourceFile, other: SourceFile | None) -> bool:
    """Whether both are the same version of a file, even if it was read again."""
    return file == other and file.modified == other.modified


def not_written(error: OSError) -> RefusedError:
    """The refusal of a change whose files, or whose evidence, cannot be written."""
    if isinstance(error, StoreAwayError):
        return RefusedError(Fault(Reason.AWAY, str(error.strerror)), retry_after_s=error.retry_after_s)
    if isinstance(error, ChangeTooLargeError):
        return refused(Reason.TOO_LARGE, str(error.strerror))
    if isinstance(error, EvidenceError):
        what = f"the change needs an entry in the audit log, which cannot be written: {error.strerror}"
        return refused(Reason.NO_ROOM, f"{what}; nothing has changed (setting `audit`)")
    what = f"{shown(error.filename or 'the files')} cannot be written: {error.strerror}; nothing has changed"
    return refused(Reason.NO_ROOM if error.errno in NO_ROOM else Reason.NOT_WRITABLE, what)
