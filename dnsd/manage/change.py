"""Requested changes: drawn up one after another, and written together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from dnsd.app import Loaded, Source
from dnsd.errors import DnsdError
from dnsd.manage.draft import Draft
from dnsd.store.directory import Files
from dnsd.store.files_edit import FilesEdit
from dnsd.store.text_file import FileChangedError
from dnsd.store.write import FileChange, write_files

T = TypeVar("T")
Make: TypeAlias = Callable[[Loaded], tuple[T, Draft]]  # makes a change on top of the loaded data

Check: TypeAlias = Callable[[Draft, Loaded, Loaded], None]


class StaleError(DnsdError):
    """A file of a change was edited since it was loaded; `keys` are the keys of all files of the change."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self.keys = frozenset(keys)
        super().__init__("a file was edited since it was loaded")


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """A change: the result of its verb, the data loaded with it, and the revision that serves it.

    `beside` are changes of other files, to be written with it or not at all.
    """

    result: T
    loaded: Loaded
    beside: Sequence[FileChange] = ()
    revision: int = 0


def draw_up(makes: Iterable[Make[Any]], before: Loaded, check: Check) -> list[Changed[Any] | Exception]:
    """The outcomes of changes, each drawn up on top of the accepted ones before it. Raises StaleError.

    `check` may refuse a change, given its draft and the data before and after it.
    """
    outcomes: list[Changed[Any] | Exception] = []
    after = before
    for make in makes:
        try:
            result, draft = make(after)
            drawn = draft.load()
            check(draft, after, drawn)
            after = drawn
            outcomes.append(Changed(result, after, draft.beside))
        except FileChangedError:
            raise StaleError from None
        except Exception as error:  # only this change fails; its requester gets the error
            outcomes.append(error)
    return outcomes


def write_change(
    before: Files, after: Files, read: Source, journal: Path, *, beside: Sequence[FileChange] = ()
) -> Source:
    """Write the files that differ between `before` and `after`. Returns `read`, the source last read, with them.

    `read` may differ from `before`, the files that are served; `beside` are changes of files elsewhere. After OSError
    or StaleError, nothing has changed.
    """
    edit = FilesEdit(before, after)

    def verify() -> None:
        if not edit.is_current():
            raise StaleError(edit.touched_keys())

    try:
        write_files([*edit.changes(), *beside], journal, verify)
    except FileNotFoundError:
        verify()  # the folder of a file may have been moved away
        raise
    return replace(read, files=edit.applied(read.files)) if read.files else read
