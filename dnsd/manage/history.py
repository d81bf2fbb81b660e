"""Versions of objects: the text of an object's file before and after each change over the API.

They are kept in the state folder by the object's id, so that a deleted object can be restored. An edit of the file by
hand becomes a version with the next change over the API.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from dnsd.app import Loaded
from dnsd.formats.odd_octets import octets_of
from dnsd.manage.draft import Draft
from dnsd.manage.tokens import OPERATOR, Token
from dnsd.model.quota_rules import quotas_of
from dnsd.model.quotas import DEFAULT_QUOTAS
from dnsd.model.times import time_text
from dnsd.store.directory import FileKind, SourceFile, account_of
from dnsd.store.kept_file import DamagedFileError, kept, open_regular
from dnsd.store.text_file import MAX_FILE_SIZE
from dnsd.whole_file import make_folder, replacing

T = TypeVar("T")

FOLDER = "history"  # in the state folder
MAX_HEAD = 64 * 1024  # octets of the line that describes a version
MAX_VERSIONS = 100  # of one object
MAX_SIZE = 16 * 1024 * 1024  # octets of all versions of one object
MAX_OBJECTS = 10_000  # of one account, deleted ones included
BY_HAND = "file"  # the action of a version that comes from an edit of the file
NAME_FORM = "%Y%m%dT%H%M%S.%fZ"
KEEP_OCTETS = "surrogateescape"  # octets of a master file that are not UTF-8 are kept
VERSION = re.compile(r"\d{8}T\d{6}\.\d{6}Z")
OBJECT_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The description of one version, without its text."""

    version: str  # its time; versions sort by it
    at: str  # RFC 3339
    action: str  # such as map.edit
    token: str  # the token's name, else its id; empty: unknown
    key: str  # of the object at that time
    kind: str  # of file
    account_id: str
    digest: str  # of the text
    role: str = ""  # of the token: OPERATOR, else empty

    def author(self, viewer: Token) -> str:
        """The token as another token may see it."""
        return OPERATOR if self.role == OPERATOR and not viewer.is_operator else self.token


@dataclass(frozen=True, slots=True)
class _Provenance:
    """The origin of a version: its file, account, time, action and token."""

    key: str
    kind: str
    account_id: str
    at: datetime
    action: str
    token: str
    role: str = ""


class History:
    """The versions in a state folder."""

    def __init__(self, state: Path, report: Callable[[str], object] = str) -> None:
        """`report` is called with the problem of each damaged version."""
        self._folder = state / FOLDER
        self._report = report
        self._sizes: dict[str, dict[str, int]] | None = None  # octets by account and object; None: not read yet

    def versions(self, object_id: str) -> list[Version]:
        """The versions of an object, newest first; empty for an unknown object."""
        return list(self._versions(object_id))

    def objects(self, account_id: str) -> list[str]:
        """The ids of an account's objects with versions, most recently changed first."""
        if self._sizes is None:
            self._sizes = self._read_sizes()
        return [*self._sizes.get(account_id, ())][::-1]

    def size(self, account_id: str) -> int:
        """The octets of the versions of an account's objects. Blocks the first time."""
        if self._sizes is None:
            self._sizes = self._read_sizes()
        return sum(self._sizes.get(account_id, {}).values())

    def text(self, object_id: str, version: str) -> tuple[Version, str] | None:
        """A version and its text; None if it does not exist or is corrupt."""
        if not VERSION.fullmatch(version) or not OBJECT_ID.fullmatch(object_id):
            return None
        return self._sound(self._folder / object_id / version, _whole)

    def keep(
        self, object_id: str, provenance: _Provenance, text: str, most: int = DEFAULT_QUOTAS.history_octets
    ) -> None:
        """Keep a version, unless its text is that of the newest one. Raises OSError.

        `most` are the octets of the account's history: over them, other objects' versions go.
        """
        digest = hashlib.blake2b(octets_of(text), digest_size=16).hexdigest()
        newest = next(self._versions(object_id), None)
        if newest and newest.digest == digest:
            return
        name = _version_name(provenance.at)
        if newest and name <= newest.version:  # the order of arrival is more reliable than a file's time
            name = max(_version_name(datetime.now(UTC)), _next_version_name(newest.version))
        version = Version(
            version=name,
            at=time_text(provenance.at),
            action=provenance.action,
            token=provenance.token,
            key=provenance.key,
            kind=provenance.kind,
            account_id=provenance.account_id,
            digest=digest,
            role=provenance.role,
        )
        folder = self._folder / object_id
        make_folder(folder)
        with replacing(folder / name, other_name=".new") as out:
            out.write(f"{json.dumps(asdict(version))}\n{text}".encode(errors=KEEP_OCTETS))
        self._note_size(provenance.account_id, object_id, _pruned(folder), most)

    def _versions(self, object_id: str) -> Iterator[Version]:
        if OBJECT_ID.fullmatch(object_id):
            for file in sorted(_files(self._folder / object_id), reverse=True):
                if version := self._sound(file, _description):
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

    def _note_size(self, account_id: str, object_id: str, size: int, most: int) -> None:
        """Remember an object's size. Over the account's limit, delete those of the objects changed least recently."""
        if self._sizes is None:
            self._sizes = self._read_sizes()
        sizes = self._sizes.setdefault(account_id, {})
        sizes.pop(object_id, None)
        sizes[object_id] = size
        total = sum(sizes.values())
        for oldest in [*sizes][:-1]:
            if len(sizes) <= MAX_OBJECTS and total <= most:
                break
            total -= sizes.pop(oldest)
            shutil.rmtree(self._folder / oldest, ignore_errors=True)

    def _read_sizes(self) -> dict[str, dict[str, int]]:
        """The octets kept by earlier runs, by account and object, least recently changed first."""
        objects = []
        for folder in self._folder.iterdir() if self._folder.exists() else ():
            if files := sorted(_files(folder), reverse=True):
                size = sum(file.lstat().st_size for file in files)
                version = next(filter(None, (self._sound(file, _description) for file in files)), None)
                objects.append((files[0].name, version.account_id if version else "", folder.name, size))
        sizes: dict[str, dict[str, int]] = {}
        for _, account_id, object_id, size in sorted(objects):
            sizes.setdefault(account_id, {})[object_id] = size
        return sizes


def _pruned(folder: Path) -> int:
    """Delete the oldest versions of an object beyond its limits. Returns the octets of the others."""
    kept = size = 0
    for number, file in enumerate(sorted(_files(folder), reverse=True)):
        size += file.stat().st_size
        if number and (number >= MAX_VERSIONS or size > MAX_SIZE):
            file.unlink()
        else:
            kept = size
    return kept


def _description(file: Path) -> Version:
    """The description of the version in a file. Raises OSError, and ValueError, TypeError … for a damaged file."""
    with open_regular(file, most=MAX_FILE_SIZE + MAX_HEAD) as stream:
        return _parsed_head(stream.readline(MAX_HEAD), file.name)


def _whole(file: Path) -> tuple[Version, str]:
    """The version in a file with its text. Raises OSError, and ValueError, TypeError … for a damaged file."""
    with open_regular(file, most=MAX_FILE_SIZE + MAX_HEAD) as stream:
        version, octets = _parsed_head(stream.readline(MAX_HEAD), file.name), stream.read()
    if hashlib.blake2b(octets, digest_size=16).hexdigest() != version.digest:
        raise ValueError
    return version, octets.decode(errors=KEEP_OCTETS)


def _parsed_head(line: bytes, name: str) -> Version:
    version = Version(**json.loads(line))
    if not all(isinstance(text, str) for text in astuple(version)) or version.version != name:
        raise ValueError
    if version.kind not in FileKind.__members__ or not datetime.strptime(name, NAME_FORM):
        raise ValueError
    return version


def _files(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if VERSION.fullmatch(file.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _version_name(at: datetime) -> str:
    return at.astimezone(UTC).strftime(NAME_FORM)


def _next_version_name(name: str) -> str:
    return (datetime.strptime(name, NAME_FORM) + timedelta(microseconds=1)).strftime(NAME_FORM)


@dataclass(frozen=True, slots=True)
class Replaced:
    """A file that a change replaces, with its old text."""

    file: SourceFile
    text: str


def keep_change(
    history: History,
    before: Loaded,
    after: Loaded,
    draft: Draft,
    replaced: Sequence[Replaced],
    *,
    action: str,
    token: str,
    role: str = "",
) -> None:
    """Keep the versions of all changed objects, before and after the change. Raises OSError."""
    keep_replaced(history, before, replaced)
    for file in draft.written():
        if found := _ids_of(after, file.key):
            provenance = _Provenance(file.key, file.kind.name, found[1], draft.now, action, token, role)
            history.keep(found[0], provenance, file.text(), _room(after, found[1]))


def keep_replaced(history: History, before: Loaded, replaced: Sequence[Replaced]) -> None:
    """Keep the versions that a change replaces. Raises OSError."""
    for one in replaced:
        if found := _ids_of(before, one.file.key):
            at = datetime.fromtimestamp(one.file.modified, UTC)
            provenance = _Provenance(one.file.key, one.file.kind.name, found[1], at, BY_HAND, "")
            history.keep(found[0], provenance, one.text, _room(before, found[1]))


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
