"""Requested changes: drawn up one after another, to be written together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import thread_time
from typing import Any, Generic, TypeAlias, TypeVar

from dnsd.app import Loaded
from dnsd.errors import DnsdError
from dnsd.manage.audit import AuditLog
from dnsd.manage.audit_entries import Entry, pending_entry
from dnsd.manage.draft import Draft
from dnsd.manage.draft_texts import is_large
from dnsd.store.directory import Files
from dnsd.store.files_edit import FilesEdit
from dnsd.store.port import EvidenceError, StaleError
from dnsd.store.text_file import FileChangedError
from dnsd.store.write import Evidence, FileChange

T = TypeVar("T")
Make: TypeAlias = Callable[[Loaded], tuple[T, Draft]]  # makes a change on top of the loaded data

Check: TypeAlias = Callable[[Draft, Loaded, Loaded], None]
Work: TypeAlias = "Callable[[Loaded], Drawn[Any]]"  # draws up a change on top of the loaded data


@dataclass(slots=True)
class Pace:
    """How long a change may take to be drawn up; the place decides, at each attempt."""

    is_hurried: bool = False  # whether others wait for it


class MovedOnError(DnsdError):
    """The data has changed so that a change has to be drawn up again."""

    def __init__(self) -> None:
        super().__init__("the data has changed since the change was drawn up")


@dataclass(slots=True)
class Witness:
    """The evidence of a change: its entries for the audit log, and the versions that it replaces."""

    entries: Sequence[Entry]
    keep: Callable[[Files], None]  # keeps those of the versions that are among these files. Raises OSError
    keys: frozenset[str]  # of the objects whose versions these are
    has_testified: bool = False


def testified(audit: AuditLog, witnesses: Sequence[Witness], before: Files) -> Evidence:
    """The evidence of all witnesses together: on disk as a whole or not at all.

    Versions that are not in the files `before` are of other changes written with these, which keep them.
    """
    entries = [pending_entry(one) for witness in witnesses for one in witness.entries]

    def testify() -> None:
        try:
            for witness in witnesses:
                witness.keep(before)
            audit.testify(entries)
        except FileChangedError:
            raise StaleError from None
        except OSError as error:
            raise EvidenceError(error.errno, error.strerror, error.filename) from None
        for witness in witnesses:
            witness.has_testified = True

    return Evidence(entries, testify, audit.settle, made=lambda revision: audit.settle(entries, True, revision))


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """A change: the result of its verb, the data loaded with it, and the revision that serves it.

    `beside` are changes of other files, to be written with it or not at all.
    """

    result: T
    loaded: Loaded
    beside: Sequence[FileChange] = ()
    revision: int = 0
    witness: Witness | None = None  # if the change needs evidence


@dataclass(frozen=True, slots=True, eq=False)
class Drawn(Generic[T]):
    """A change as its verb made it: not judged by the brake, and not written.

    `after` is the data that the draft is on, with the draft's edits, and nothing else.
    """

    result: T
    draft: Draft
    after: Loaded

    def on(self, loaded: Loaded) -> Drawn[T]:
        """The same change on top of other data, for a small part of the time. Raises MovedOnError and RefusedError."""
        if loaded is self.draft.loaded:
            return self
        if not self.draft.fits(loaded):
            raise MovedOnError
        draft, after = self.draft.load_on(loaded, self.after)
        return Drawn(self.result, draft, after)


def drawn(make: Make[T], before: Loaded) -> Drawn[T]:
    """Draw up a change. Raises FileChangedError, and the exceptions of `make` and of the rules."""
    result, draft = make(before)
    return Drawn(result, draft, draft.load())


def drawn_aside(make: Make[T], before: Loaded) -> DrawnUp[Drawn[T]]:
    """The outcome of drawing up a change, while others are made."""
    start = thread_time()
    outcome: Drawn[T] | Exception
    try:
        outcome = drawn(make, before)
    except Exception as error:  # its requester gets the error
        outcome = error
    return DrawnUp(outcome, thread_time() - start)


@dataclass(frozen=True, slots=True)
class DrawnUp(Generic[T]):
    """The outcome of drawing up a change, and the CPU time that it took."""

    outcome: T | Exception
    cpu_s: float


def draw_up(works: Iterable[Work], before: Loaded, check: Check) -> list[DrawnUp[Changed[Any]]]:
    """Draw up changes, each on top of the accepted ones before it. Raises StaleError.

    `check` may refuse a change, given its draft and the data before and after it.
    """
    drawn_up: list[DrawnUp[Changed[Any]]] = []
    after = before
    for work in works:
        start = thread_time()
        outcome: Changed[Any] | Exception
        try:
            one = work(after)
            check(one.draft, after, one.after)
            witness = one.draft.witness(one.after) if one.draft.witness else None
            outcome = Changed(one.result, one.after, one.draft.beside, witness=witness)
            after = one.after
        except FileChangedError:
            raise StaleError from None
        except Exception as error:  # only this change fails; its requester gets the error
            outcome = error
        drawn_up.append(DrawnUp(outcome, thread_time() - start))
    return drawn_up


def large_files(drawn: Drawn[Any]) -> list[FileChange]:
    """The files of a change that take long to write, if they stay the same on newer data."""
    if not drawn.draft.can_move:
        return []
    changes = FilesEdit(drawn.draft.loaded.files, drawn.after.files).changes()
    return [one for one in changes if one.text is not None and is_large(len(one.text))]
