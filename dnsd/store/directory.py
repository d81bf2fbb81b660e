"""The folder of accounts: which files there are, what each is, and their text (config.md's layout).

ACCOUNT/account.yaml, ACCOUNT/maps/NAME.yaml, ACCOUNT/zones/NAME.yaml or NAME.zone
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from dnsd.errors import Place, Problem

MAX_FILE_SIZE = 64 * 1024 * 1024  # octets


class Kind(Enum):
    """What a file describes."""

    ACCOUNT = "account"
    MAP = "map"
    ZONE_YAML = "zone"
    ZONE_MASTER = "zone, as a master file"


SUFFIXES = {"maps": {".yaml": Kind.MAP}, "zones": {".yaml": Kind.ZONE_YAML, ".zone": Kind.ZONE_MASTER}}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One object's file; `key` names the object: `acme`, `acme/maps/shop`, `acme/zones/example.com`."""

    key: str
    kind: Kind
    path: str
    text: str
    modified: int  # seconds since 1970


@dataclass(slots=True)
class Files:
    """What is in the folder: the accounts' names, the readable files, and what is wrong with the others."""

    accounts: list[str] = field(default_factory=list)
    files: list[SourceFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)  # keys of objects whose files cannot be read


def read_files(root: Path) -> Files:
    """All files below the folder `root`, in the order of their names."""
    found = Files()
    for folder in _entries(root, found):
        if is_folder(folder):
            found.accounts.append(folder.name)
            _read_account(folder, found)
        else:
            _refuse(found, folder, "a file among the accounts; each account is a folder with an account.yaml")
    return found


def _read_account(folder: Path, found: Files) -> None:
    for entry in _entries(folder, found):
        if entry.name == "account.yaml":
            _read(entry, folder.name, Kind.ACCOUNT, found)
        elif entry.name in SUFFIXES and is_folder(entry):
            _read_objects(entry, f"{folder.name}/{entry.name}", found)
        else:
            _refuse(found, entry, "not part of an account, which is account.yaml, maps/ and zones/")


def _read_objects(folder: Path, prefix: str, found: Files) -> None:
    kinds = SUFFIXES[folder.name]
    by_key: dict[str, Path] = {}
    for entry in _entries(folder, found):
        kind = kinds.get(entry.suffix)
        key = f"{prefix}/{entry.stem}"
        if kind is None:
            _refuse(found, entry, f"unknown file ending {entry.suffix!r}; in {folder.name}/ it is {' or '.join(kinds)}")
        elif key.lower() in by_key:
            _refuse(found, entry, f"is given both ways, here and in {by_key[key.lower()]}; remove one of the two")
        else:
            by_key[key.lower()] = entry
            _read(entry, key, kind, found)


def _entries(folder: Path, found: Files) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not _is_leftover(entry.name))
    except OSError as error:
        _refuse(found, folder, f"cannot be read: {os.strerror(error.errno or 0)}")
        return []


def is_folder(path: Path) -> bool:
    """Whether it is one, as far as we may know."""
    try:
        return path.is_dir()
    except OSError:  # no permission, or a name too long
        return False


def _is_leftover(name: str) -> bool:
    """Editors' backups, swap and lock files, and the folders that Kubernetes swaps: `x~`, `.x.swp`, `#x#`, `..data`."""
    return name.startswith(".") or name.endswith("~") or (name.startswith("#") and name.endswith("#"))


def _read(path: Path, key: str, kind: Kind, found: Files) -> None:
    try:
        text = read_text(path)
        found.files.append(SourceFile(key, kind, str(path), text, int(path.stat().st_mtime)))
    except OSError as error:
        found.unread.append(key)
        _refuse(found, path, f"cannot be read: {os.strerror(error.errno or 0)}")
    except NotTextError as error:
        found.unread.append(key)
        _refuse(found, path, str(error), line=error.line, column=error.column)


def read_text(path: Path) -> str:
    """The text of a regular file of a sensible size. Raises OSError and NotTextError."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would block for ever
        raise NotTextError("is not a regular file")
    if status.st_size > MAX_FILE_SIZE:
        raise NotTextError(f"has {status.st_size:,} octets; {MAX_FILE_SIZE:,} are possible")
    return _decode(path.read_bytes())


class NotTextError(Exception):
    """A file that is not text, and where it ceases to be."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        self.line, self.column = line, column
        super().__init__(message)


def _decode(octets: bytes) -> str:
    try:
        text = octets.decode("utf-8-sig")  # without a byte order mark
    except UnicodeDecodeError as error:
        before = octets[: error.start].decode(errors="replace")
        raise NotTextError(f"not UTF-8: octet 0x{octets[error.start]:02x}", *_position(before)) from None
    if "\0" in text:
        raise NotTextError("a NUL character", *_position(text[: text.index("\0")]))
    return text


def _position(before: str) -> tuple[int, int]:
    """Line and column, from 1, of what follows the text `before`."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _refuse(found: Files, path: Path, message: str, *, line: int = 1, column: int = 1) -> None:
    found.problems.append(Problem(str(path), (), message, place=Place(str(path), line, column)))
