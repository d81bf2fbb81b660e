"""The folder `good/` in the state folder: the manifests of all accounts' good texts, replaced all or none.

A change of several accounts is first a folder of its own, `.batch`; from the renaming that gives it this name, it is
made, if need be by the next process. A damaged manifest is moved aside as `.ACCOUNT.damaged`: until the account has
another, it is known to lack one. Releases before this one had the folder `good/ACCOUNT` with copies of the files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from dnsd.store.block_store import UNSYNCED_FROM
from dnsd.store.directory import Files, account_of
from dnsd.store.folder import read_files
from dnsd.store.journal import discard
from dnsd.store.kept_file import ASIDE, kept, move_aside, read_octets
from dnsd.store.manifest import MAX_MANIFEST, packed_manifest, parsed_manifest, parsed_text
from dnsd.whole_file import make_folder, replacing, sync

BATCH, NEW_BATCH = ".batch", ".batch.new"
GONE = b"gone\n"  # in a batch: the account has no texts any more
INCOMPLETE = ".incomplete"  # of the release before: the keys of damaged copies, one a line
MAX_INCOMPLETE = 1024 * 1024  # octets

TextLines = Mapping[str, bytes]  # of a manifest, by the key of the text's object


class GoodFolder:
    """The manifests of all accounts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether data was ever served from this state folder."""
        return self.path.is_dir()

    def manifests(self) -> list[str]:
        """The accounts with a manifest, or with another thing in its place than a folder."""
        with os.scandir(self.path) as entries:
            return sorted(one.name for one in entries if not one.name.startswith(".") and not one.is_dir())

    def lines(self, account: str) -> TextLines:
        """The lines of an account's manifest. Raises OSError, and DamagedFileError for a damaged one."""
        return kept(self.path / account, partial(_read_lines, account), prefix=".")

    def old_folders(self) -> set[str]:
        """The accounts with a folder of copies, of the release before."""
        with os.scandir(self.path) as entries:
            return {one.name for one in entries if one.is_dir() and not one.name.startswith(".")}

    def old_copies(self) -> Files:
        """The copies in these folders, with problems."""
        found = read_files(self.path) if self.old_folders() else Files(str(self.path))
        inside = (one for one in found.problems if one.place and os.path.dirname(one.place.file) != str(self.path))
        return Files(found.root, found.accounts, found.files, tuple(inside))

    def old_incomplete(self) -> set[str]:
        """The accounts of which the release before knew that copies are damaged."""
        octets = b""
        with suppress(OSError, ValueError):
            octets = read_octets(self.path / INCOMPLETE, MAX_INCOMPLETE)
        accounts = {account_of(key) for key in octets.decode(errors="surrogateescape").split("\n")}
        return {one for one in accounts if one and os.path.isdir(self.path / one)}

    def forget_old_incomplete(self) -> None:
        """Forget these accounts, after they were moved aside."""
        with suppress(OSError):
            (self.path / INCOMPLETE).unlink(missing_ok=True)

    def lost(self) -> set[str]:
        """The accounts whose manifest was moved aside, and not replaced yet."""
        names: set[str] = set()
        with suppress(FileNotFoundError), os.scandir(self.path) as entries:
            names = {one.name for one in entries}
        aside = {one[1 : -len(ASIDE)] for one in names if one.startswith(".") and one.endswith(ASIDE)}
        return aside - names - {""}

    def set_aside(self, account: str) -> str:
        """Move an account's manifest, or its old copies, aside; return the message."""
        return str(move_aside(self.path / account, prefix="."))

    def replace(self, changed: Mapping[str, TextLines | None]) -> None:
        """Replace the manifests of accounts, all or none; None: the account has no texts any more. Raises OSError."""
        if not self.exists():
            self._make(changed)
            return
        self.finish()
        account, lines = next(iter(changed.items()), ("", None))
        if len(changed) == 1 and lines is not None and not (self.path / account).is_dir():
            with replacing(self.path / account, other_name=".new") as out:
                out.write(packed_manifest({}, lines.values()))
        elif changed:
            new = self.path / NEW_BATCH
            _write_all(new, changed)
            os.rename(new, self.path / BATCH)
            sync(self.path)
            self.finish()

    def finish(self) -> None:
        """Finish a change of several accounts that was made, perhaps by a process that was killed. Raises OSError."""
        batch = self.path / BATCH
        if not batch.is_dir():
            return
        for file in batch.iterdir():
            target = self.path / file.name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            if file.stat().st_size == len(GONE) and file.read_bytes() == GONE:
                target.unlink(missing_ok=True)
                discard(str(target.with_name(f".{target.name}{ASIDE}")))
                file.unlink()
            else:
                os.replace(file, target)
        sync(self.path)
        batch.rmdir()

    def _make(self, changed: Mapping[str, TextLines | None]) -> None:
        """Make the whole folder under another name and rename it, so that it exists completely or not at all."""
        new = self.path.with_name(f"{self.path.name}.new")
        _write_all(new, changed)
        os.rename(new, self.path)
        sync(self.path.parent)


def _write_all(folder: Path, changed: Mapping[str, TextLines | None]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    for account, lines in changed.items():
        octets = GONE if lines is None else packed_manifest({}, lines.values())
        with replacing(folder / account, other_name=".new", is_synced=False) as out:
            out.write(octets)
            if len(changed) < UNSYNCED_FROM:
                out.flush()
                os.fsync(out.fileno())
    sync(folder)


def _read_lines(account: str, file: Path) -> TextLines:
    """The lines of a manifest. Raises OSError, and ValueError, TypeError … for a damaged one."""
    _, lines = parsed_manifest(read_octets(file, MAX_MANIFEST))
    found = {parsed_text(line).key: line for line in lines}
    if any(account_of(key) != account for key in found):
        raise ValueError("of another account")
    return found
