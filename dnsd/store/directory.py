"""The files of the accounts folder: the kind of each, the object that it describes, and its content.

ACCOUNT/account.yaml, ACCOUNT/maps/NAME.yaml, ACCOUNT/zones/NAME.yaml or NAME.zone

Two readings of the same content are equal (`==`); `store/folder.py` reads the files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from pathlib import Path

from dnsd.errors import Problem
from dnsd.formats.odd_octets import octets_of, text_of
from dnsd.store.text_file import MAX_FILE_SIZE, BlockReader, Content, Stamp, octets_again, texts_again

NO_CONTENT = Content(b"", "", ())


class FileKind(Enum):
    """The kind of object that a file describes."""

    SETTINGS = "settings"
    ACCOUNT = "account"
    MAP = "map"
    ZONE_YAML = "zone"
    ZONE_MASTER = "zone, as a master file"


ZONES = frozenset({FileKind.ZONE_YAML, FileKind.ZONE_MASTER})
ACCOUNT_FILE = "account.yaml"  # in the account's folder
KINDS = {  # by folder of an account and file extension
    "maps": {".yaml": FileKind.MAP},
    "zones": {".yaml": FileKind.ZONE_YAML, ".zone": FileKind.ZONE_MASTER},
}
ENDINGS = {FileKind.ACCOUNT: f"/{ACCOUNT_FILE}"}  # of a path after the object's key, by kind
ENDINGS |= {kind: extension for kinds in KINDS.values() for extension, kind in kinds.items()}


def account_of(key: str | None) -> str:
    """The name of the account in an object's key; empty without a key."""
    return key.partition("/")[0] if key else ""


def path_of(root: str, key: str, kind: FileKind) -> str:
    """The path of an object's file of this kind, in the accounts folder `root`."""
    return os.path.join(root, key + ENDINGS[kind])


def possible_paths(root: str, key: str) -> set[str]:
    """The paths of an object's file of any kind, in the accounts folder `root`."""
    _, _, rest = key.partition("/")
    kinds = KINDS[rest.partition("/")[0]].values() if rest else (FileKind.ACCOUNT,)
    return {path_of(root, key, kind) for kind in kinds}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The file of one object; `key` names the object: `acme`, `acme/maps/shop`, `acme/zones/example.com`.

    Files with the same content are equal, whatever their times.
    """

    key: str
    kind: FileKind
    path: str
    content: Content
    problem: Problem | None = None  # the reason if it cannot be read; the content is empty then
    modified: int = field(default=0, compare=False)  # seconds since 1970; at least one more for each new content
    stamp: Stamp | None = field(default=None, compare=False)  # None: changed too recently to trust its status

    def __hash__(self) -> int:
        return hash(self.key)  # the hashes of all fields cost ten times as much

    def text(self) -> str:
        """The text; a large one is read again. Raises FileChangedError."""
        return "".join(self.blocks())

    def octets(self) -> bytes:
        """The octets of the text; those of a large one on disk are read again. Raises FileChangedError."""
        if self.content.text is not None:
            return octets_of(self.content.text)
        return self.content.octets or octets_again(Path(self.path), self.content, self.stamp)

    def blocks(self) -> Iterator[str]:
        """The text in blocks of whole lines. Raises FileChangedError, possibly only after some blocks."""
        if self.content.text is not None:
            return iter((self.content.text,))
        if self.content.octets is not None:
            return iter((text_of(self.content.octets),))
        return texts_again(Path(self.path), self.content, any_octets=self.any_octets, stamp=self.stamp)

    def block_reader(self, *, by_status: bool = False) -> BlockReader:
        """Reads the content again by its blocks; with `by_status`, a file's status may say that they are the same."""
        stamp = self.stamp if by_status else None
        return BlockReader(self.path, self.content, any_octets=self.any_octets, stamp=stamp)

    @property
    def any_octets(self) -> bool:
        """Whether the text may have octets that are not UTF-8."""
        return self.kind is FileKind.ZONE_MASTER


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """The largest file of a zone that is read. A larger one is read only if its size is that of a served text."""

    octets: int = MAX_FILE_SIZE
    served: Callable[[], Iterable[Content]] = tuple  # the texts served before

    def most(self, size: int) -> int:
        """The octets that may be read of a file of this size."""
        if size <= self.octets or size > MAX_FILE_SIZE:
            return self.octets
        try:
            return size if any(size == content.size for content in self.served()) else self.octets
        except OSError:  # of the texts served before, not of this file
            return self.octets


UNLIMITED = SizeLimit()


@dataclass(frozen=True)
class Files:
    """The content of the folder `root`: the accounts' names, their files, and problems with other entries."""

    root: str
    accounts: tuple[str, ...] = ()
    files: tuple[SourceFile, ...] = ()
    problems: tuple[Problem, ...] = ()
    limit: SizeLimit = field(default=UNLIMITED, compare=False)  # with which they were read
    seq: int = field(default=0, compare=False)  # of a fleet's state: the last message that they include
    epoch: str = field(default="", compare=False)  # of that state

    def by_key(self) -> Mapping[str, SourceFile]:
        """The files by the keys of their objects."""
        return self._by_key

    @property
    def are_on_disk(self) -> bool:
        """Whether they are files below `root`; a node sees those of a fleet's state in its copy of that."""
        return not self.seq

    def has_same_content(self, other: Files) -> bool:
        """Whether both have the same accounts and contents, in whatever folders."""
        return self.accounts == other.accounts and [*map(_text, self.files)] == [*map(_text, other.files)]

    @property
    def unstamped(self) -> Files:
        """The same files, whose status is not trusted: all are read again, whatever it is."""
        return replace(self, files=tuple(replace(file, stamp=None) for file in self.files))

    @cached_property
    def _by_key(self) -> Mapping[str, SourceFile]:
        return {file.key: file for file in self.files}


def _text(file: SourceFile) -> tuple[str, FileKind, Content]:
    return file.key, file.kind, file.content


def contents_of(files: Files | None) -> Iterator[Content]:
    """The contents of all files, if there are any."""
    return (file.content for file in files.files) if files else iter(())
