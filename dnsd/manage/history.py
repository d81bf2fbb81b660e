"""Versions of objects: the text of an object's file before and after each change over the API.

They are kept in the state folder by the object's id, so that a deleted object can be restored. An edit of the file by
hand becomes a version with the next change over the API. Versions share the blocks of their texts, with each other and
with the texts that are served, so that one of a large zone costs a block or two.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import RLock
from typing import TypeVar

from dnsd.app import Loaded
from dnsd.manage.draft import Draft
from dnsd.manage.state_names import HISTORY
from dnsd.manage.versions import (
    FILE,
    NAME_FORM,
    VERSION,
    StoredVersion,
    Version,
    file_name,
    is_old,
    old_digest,
    read_description,
    read_stored,
    read_whole,
    write_version,
)
from dnsd.model.quota_rules import quotas_of
from dnsd.model.quotas import DEFAULT_QUOTAS
from dnsd.model.times import time_text
from dnsd.store.block_store import BlockStore
from dnsd.store.blocks import TextBlock
from dnsd.store.directory import SourceFile, account_of
from dnsd.store.kept_file import DamagedFileError, kept
from dnsd.store.manifest import KeptText
from dnsd.store.text_file import BYTE_ORDER_MARK, FileChangedError
from dnsd.whole_file import make_folder

T = TypeVar("T")

MAX_VERSIONS = 100  # of one object
MAX_SIZE = 16 * 1024 * 1024  # octets of an object's versions that its newest one does not need
MAX_OBJECTS = 10_000  # of one account, deleted ones included
BY_HAND = "file"  # the action of a version that comes from an edit of the file
KEEP_OCTETS = "surrogateescape"  # octets of a master file that are not UTF-8 are kept
OBJECT_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a version: its account, time, action and token."""

    account_id: str
    at: datetime
    action: str
    token: str
    role: str = ""


class History:
    """The versions in a state folder."""

    def __init__(self, state: Path, report: Callable[[str], object] = str, blocks: BlockStore | None = None) -> None:
        """`report` is called with the problem of each damaged version; `blocks` are shared with the good texts."""
        self._folder = state / HISTORY
        self._report = report
        self._blocks = blocks or BlockStore(state)
        self._lock = RLock()  # between threads that keep versions: of a change before it is made, and of changes made
        self._read: dict[str, dict[str, int]] | None = None  # octets by account and object; None: not read yet
        self._folders: dict[str, str] = {}  # of blocks, by object; once sizes are read

    def versions(self, object_id: str) -> list[Version]:
        """The versions of an object, newest first; empty for an unknown object."""
        return list(self._versions(object_id))

    def objects(self, account_id: str) -> list[str]:
        """The ids of an account's objects with versions, most recently changed first."""
        return [*self._sizes.get(account_id, ())][::-1]

    def size(self, account_id: str) -> int:
        """The octets of the versions of an account's objects. Blocks the first time."""
        return sum(self._sizes.get(account_id, {}).values())

    def text(self, object_id: str, version: str) -> tuple[Version, str] | None:
        """A version and its text; None if it does not exist or is corrupt."""
        if not VERSION.fullmatch(version) or not OBJECT_ID.fullmatch(object_id):
            return None
        for name in (file_name(version), version):
            if found := self._sound(self._folder / object_id / name, partial(read_whole, self._blocks)):
                return found[0], found[1].decode(errors=KEEP_OCTETS)
        return None

    def named(self, folder: str) -> Iterator[tuple[TextBlock, ...]]:
        """The blocks of each version whose blocks are in this folder. Raises OSError."""
        folders = [*self._folders.items()] if self._sizes else []  # read together
        for object_id in [one for one, of_object in folders if of_object == folder]:
            for file in _files(self._folder / object_id):
                if not is_old(file) and (stored := self._sound(file, read_stored)):
                    yield stored.text.blocks

    def secure(self, files: Sequence[SourceFile]) -> None:
        """Store the texts of files that a change may replace, which become versions then.

        Raises OSError and FileChangedError.
        """
        for file in files:
            blocks = file.content.blocks
            self._blocks.keep(account_of(file.key), blocks, file.block_reader(), trusted=frozenset(blocks))

    def keep(
        self, object_id: str, provenance: Provenance, file: SourceFile, most: int = DEFAULT_QUOTAS.history_octets
    ) -> None:
        """Keep the text of a file as a version, unless it is that of the newest one. Raises OSError, FileChangedError.

        `most` are the octets of the account's history: over them, other objects' versions go.
        """
        with self._lock:
            self._keep(object_id, provenance, file, most)

    def _keep(self, object_id: str, provenance: Provenance, file: SourceFile, most: int) -> None:
        folder = self._folder / object_id
        last, before = self._newest(_newest_first(folder))
        place, blocks = before.folder if before else account_of(file.key), file.content.blocks
        trusted = frozenset(before.text.blocks if before else ())
        self._blocks.keep(place, blocks, partial(self._block, file, file.block_reader()), trusted=trusted)
        is_stored = before is not None and last == before.version
        if last and last.digest == (file.content.digest.hex() if is_stored else self._old_digest(place, blocks)):
            return
        name = _version_name(provenance.at)
        if last and name <= last.version:  # the order of arrival is more reliable than a file's time
            name = max(_version_name(datetime.now(UTC)), _next_version_name(last.version))
        version = Version(
            version=name,
            at=time_text(provenance.at),
            action=provenance.action,
            token=provenance.token,
            key=file.key,
            kind=file.kind.name,
            account_id=provenance.account_id,
            digest=file.content.digest.hex(),
            role=provenance.role,
        )
        replaced = before.replaced + self._blocks.size(place, {*before.text.blocks}.difference(blocks)) if before else 0
        text = KeptText(file.key, file.kind, int(provenance.at.timestamp()), blocks)
        make_folder(folder)
        write_version(folder, StoredVersion(version, text, place, self._blocks.size(place, {*blocks}), replaced))
        self._note_size(provenance.account_id, object_id, self._pruned(folder), place, most)

    def _block(self, file: SourceFile, read: Callable[[int], bytes], number: int) -> bytes:
        """A block of a file; if the file has changed, as it was secured. Raises FileChangedError and OSError."""
        try:
            return read(number)
        except FileChangedError:
            with suppress(FileNotFoundError, DamagedFileError):
                return self._blocks.octets(account_of(file.key), file.content.blocks[number])
            raise

    def _old_digest(self, folder: str, blocks: Sequence[TextBlock]) -> str:
        """The digest that the releases before gave to a text."""
        return old_digest(b"".join(self._blocks.octets(folder, one) for one in blocks).removeprefix(BYTE_ORDER_MARK))

    def _newest(self, files: Sequence[Path]) -> tuple[Version | None, StoredVersion | None]:
        """The newest of an object's versions, given newest first, and the newest one whose text is in blocks."""
        stored = self._first(file for file in files if not is_old(file))
        later = [file for file in files if is_old(file) and not (stored and file.name < stored.version.version)]
        old = next(filter(None, (self._sound(file, read_description) for file in later)), None)
        return old or (stored.version if stored else None), stored

    def _first(self, files: Iterable[Path]) -> StoredVersion | None:
        """The first sound version of these."""
        return next(filter(None, (self._sound(file, read_stored) for file in files)), None)

    def _versions(self, object_id: str) -> Iterator[Version]:
        if OBJECT_ID.fullmatch(object_id):
            for file in _newest_first(self._folder / object_id):
                if version := self._sound(file, read_description):
                    yield version

    def _sound(self, file: Path, read: Callable[[Path], T]) -> T | None:
        """The result of reading a version; None if it is missing or damaged."""
        try:
            return kept(file, read)
        except DamagedFileError as error:
            self._report(f"{error}; this version is lost")
        except FileNotFoundError:
            pass
        return None

    def _note_size(self, account_id: str, object_id: str, size: int, folder: str, most: int) -> None:
        """Remember an object's size. Over the account's limit, delete those of the objects changed least recently."""
        sizes = self._sizes.setdefault(account_id, {})
        sizes.pop(object_id, None)
        sizes[object_id], self._folders[object_id] = size, folder
        total = sum(sizes.values())
        for oldest in [*sizes][:-1]:
            if len(sizes) <= MAX_OBJECTS and total <= most:
                break
            total -= sizes.pop(oldest)
            shutil.rmtree(self._folder / oldest, ignore_errors=True)
            self._blocks.note_unnamed(self._folders.pop(oldest, folder))

    @property
    def _sizes(self) -> dict[str, dict[str, int]]:
        """The octets of versions, by account and object. Blocks the first time."""
        if self._read is None:
            with self._lock:
                if self._read is None:
                    self._read = self._read_sizes()
        return self._read

    def _read_sizes(self) -> dict[str, dict[str, int]]:
        """The octets kept by earlier runs, by account and object, least recently changed first."""
        objects = []
        for folder in self._folder.iterdir() if self._folder.exists() else ():
            if files := _newest_first(folder):
                newest, stored = self._newest(files)
                if stored:
                    self._folders[folder.name] = stored.folder
                account_id = newest.account_id if newest else ""
                objects.append((files[0].name, account_id, folder.name, self._size(files)))
        sizes: dict[str, dict[str, int]] = {}
        for _, account_id, object_id, size in sorted(objects):
            sizes.setdefault(account_id, {})[object_id] = size
        return sizes

    def _size(self, files: Sequence[Path]) -> int:
        """The octets of an object's versions, newest first: of the files, and of the blocks of all of them together."""
        stored = [file for file in files if not is_old(file)]
        newest, oldest = self._first(stored), self._first(reversed(stored))
        shared = newest.octets + newest.replaced - oldest.replaced if newest and oldest else 0
        return sum(map(_size_of, files)) + shared

    def _pruned(self, folder: Path) -> int:
        """Delete the oldest versions of an object beyond its limits. Returns the octets of the others."""
        files = _newest_first(folder)
        newest = self._sound(files[0], read_stored)
        while len(files) > 1:
            unneeded = self._size(files) - (newest.octets if newest else 0)
            if len(files) <= MAX_VERSIONS and unneeded <= MAX_SIZE:
                break
            files.pop().unlink(missing_ok=True)
            if newest:
                self._blocks.note_unnamed(newest.folder)
        return self._size(files)


def _size_of(file: Path) -> int:
    """The octets of a file; none if it has gone."""
    try:
        return file.lstat().st_size
    except FileNotFoundError:
        return 0


def _newest_first(folder: Path) -> list[Path]:
    return sorted(_files(folder), key=lambda file: file.name, reverse=True)


def _files(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if FILE.fullmatch(file.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _version_name(at: datetime) -> str:
    return at.astimezone(UTC).strftime(NAME_FORM)


def _next_version_name(name: str) -> str:
    return (datetime.strptime(name, NAME_FORM) + timedelta(microseconds=1)).strftime(NAME_FORM)


def keep_change(
    history: History,
    before: Loaded,
    after: Loaded,
    draft: Draft,
    replaced: Sequence[SourceFile],
    *,
    action: str,
    token: str,
    role: str = "",
) -> None:
    """Keep the versions of all changed objects, before and after the change. Raises OSError."""
    keep_replaced(history, before, replaced)
    for file in draft.written():
        if found := _ids_of(after, file.key):
            provenance = Provenance(found[1], draft.now, action, token, role)
            history.keep(found[0], provenance, file, _room(after, found[1]))


def keep_replaced(history: History, before: Loaded, replaced: Sequence[SourceFile]) -> None:
    """Keep the versions that a change replaces. Raises OSError."""
    for file in replaced:
        if found := _ids_of(before, file.key):
            provenance = Provenance(found[1], datetime.fromtimestamp(file.modified, UTC), BY_HAND, "")
            history.keep(found[0], provenance, file, _room(before, found[1]))


def _room(loaded: Loaded, account_id: str) -> int:
    """The octets that an account's history may have."""
    account = loaded.dataset.accounts.get(account_id)
    return (quotas_of(account, loaded.settings.quotas) if account else loaded.settings.quotas).history_octets


def _ids_of(loaded: Loaded, key: str) -> tuple[str, str] | None:
    """The ids of an object and of its account, by the object's key."""
    if address_map := loaded.stored.maps.get(key):
        return address_map.id, address_map.account_id
    if (read := loaded.stored.objects.zones.get(key)) and read.zone:
        return read.zone.id, read.zone.account_id
    account = loaded.stored.map_context.accounts.get(key)
    return (account.id, account.id) if account else None


def owner_of(before: Loaded, after: Loaded | None, key: str) -> tuple[str, str]:
    """The ids of the account and the zone of an object, by its key; an id is empty if unknown."""
    for loaded in filter(None, (after, before)):
        if found := _ids_of(loaded, key):
            object_id, account_id = found
            return account_id, object_id if object_id in loaded.dataset.zones else ""
        if account := loaded.stored.map_context.accounts.get(account_of(key)):
            return account.id, ""
    return "", ""
