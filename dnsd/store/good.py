"""The last good version of each account: the texts that are served, in the state folder.

`good/ACCOUNT` is the manifest of an account's texts, whose blocks stand in `blocks/ACCOUNT/`. An account is kept, and
found again, as a whole: one whose manifest or blocks are damaged is not held at the rest. Copies of the files, which
releases before this one kept, are read, and replaced by a manifest with the next change of their account.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from dnsd.errors import Problem, printable, shown
from dnsd.store.block_store import UNSYNCED_FROM, BlockStore
from dnsd.store.blocks import TextBlock, digest_of
from dnsd.store.directory import FileKind, Files, SourceFile, account_of, path_of
from dnsd.store.files_edit import FilesEdit
from dnsd.store.good_folder import GoodFolder, TextLines
from dnsd.store.kept_file import DamagedFileError
from dnsd.store.manifest import KeptText, packed_text, parsed_text
from dnsd.store.text_file import Content, FileChangedError, NotTextError, stored_content

FOLDER = "good"  # its name, in the state folder
NOT_IN_ZONES = frozenset({FileKind.ACCOUNT, FileKind.MAP})


class GoodTexts:
    """The texts as last served; `problem` says why they may be older than the served data."""

    def __init__(self, state: Path, blocks: BlockStore | None = None) -> None:
        self.problem: str | None = None
        self.is_lost = False  # whether a manifest was found damaged since the texts were last kept: keep them again
        self.damaged: list[str] = []  # messages about manifests, blocks and copies that are damaged
        self._folder = GoodFolder(state / FOLDER)
        self._blocks = blocks or BlockStore(state)
        self._known: dict[str, TextLines] = {}  # manifests of whole accounts, as on the disk; empty: not read yet
        self._copies: dict[str, dict[str, SourceFile]] = {}  # of the release before, by account and key
        self._files: Files | None = None  # as read; None: not read, or not up to date
        self._kept: Files | None = None  # the served files that are kept, all of them; None: some are not
        self._incomplete: set[str] = set()  # accounts of which something is damaged
        self._forgiven: frozenset[str] = frozenset()  # of these, the accounts to do without

    def read(self) -> Files | None:
        """Read the texts; None if no data was ever served from this state folder. Raises OSError."""
        if self._files is None and self._folder.exists():
            self._files = self._read(lambda kind: True)
        return self._files

    def read_policies(self) -> Files | None:
        """Read the texts but for zones, which are most of the octets; None as for `read`. Raises OSError."""
        if not self._folder.exists():
            return None
        read = self._files or self._read(NOT_IN_ZONES.__contains__)
        return replace(read, files=tuple(file for file in read.files if file.kind in NOT_IN_ZONES))

    def set_aside(self, wrong: Collection[SourceFile]) -> None:
        """Move accounts aside whose texts can be read, but have errors."""
        for account in sorted({account_of(file.key) for file in wrong}):
            self._note_damage(account, self._folder.set_aside(account))
        self._files = self._kept = None

    def forgive(self) -> bool:
        """Do without the accounts that are damaged. Returns whether this changes anything."""
        before, self._forgiven = self._forgiven, self._forgiven | self._incomplete
        self._files = None
        return self._forgiven != before

    def named(self, account: str) -> Iterator[tuple[TextBlock, ...]]:
        """The blocks of each text of an account. Raises OSError and DamagedFileError; then `is_lost` may be set.

        May run in another thread than the other methods.
        """
        try:
            yield from (parsed_text(line).blocks for line in self._folder.lines(account).values())
        except DamagedFileError as error:
            self.damaged.append(str(error))
            self.is_lost = True
            raise
        except (FileNotFoundError, IsADirectoryError):
            if account in self._folder.lost():
                self.is_lost |= account in self._known
                what = f"the manifest of {account} was moved aside: the blocks that it names are unknown"
                raise DamagedFileError(what) from None

    def copies_of(self, served: Files) -> Files:
        """The served files, or the kept texts where these are up to date: a text stays when users edit its file."""
        files = (self._copy_of(file) or file for file in served.files)
        return Files(str(self._folder.path), served.accounts, tuple(files))

    def keep(self, served: Files) -> None:
        """Bring the texts up to date with the served files; if that fails, set `problem`."""
        try:
            self._keep(served)
            self.problem = None
        except OSError as error:
            path = error.filename2 or error.filename or self._folder.path
            self.problem = printable(f"{shown(path)} cannot be written: {os.strerror(error.errno or 0)}")

    # Reading

    def _read(self, is_wanted: Callable[[FileKind], bool]) -> Files:
        """The texts of all accounts; a problem for each account that is not whole. Raises OSError."""
        self._folder.finish()
        files: list[SourceFile] = []
        self._known, self._copies, self._incomplete, self._kept = {}, {}, set(), None
        self._read_copies()
        for copies in self._copies.values():
            files += (file for file in copies.values() if is_wanted(file.kind))
        for account in self._folder.manifests():
            damage: list[str] = []
            found = self._read_account(account, is_wanted, damage)
            if damage:
                self._known.pop(account, None)
                self._note_damage(account, *damage)
            else:
                files += sorted(found, key=lambda file: file.path.split(os.sep))
        self._incomplete |= self._folder.lost()
        problems = tuple(map(_incomplete, sorted(self._incomplete - self._forgiven)))
        return Files(str(self._folder.path), tuple(sorted({*self._known, *self._copies})), tuple(files), problems)

    def _read_account(self, account: str, is_wanted: Callable[[FileKind], bool], damage: list[str]) -> list[SourceFile]:
        """The texts in an account's manifest; all their blocks are read. Adds messages about damage."""

        def octets(block: TextBlock) -> bytes:
            try:
                return self._blocks.octets(account, block)
            except DamagedFileError as error:
                damage.append(str(error))
            except OSError as error:
                damage.append(_unreadable(error))
            return b""

        found = []
        try:
            lines = self._known[account] = self._folder.lines(account)
            for text in map(parsed_text, lines.values()):
                if is_wanted(text.kind):
                    content = stored_content(text.blocks, octets, any_octets=text.kind is FileKind.ZONE_MASTER)
                    found.append(self._as_file(text, content))
        except (DamagedFileError, NotTextError) as error:
            damage.append(str(error))
        except OSError as error:
            damage.append(_unreadable(error))
        return found

    def _read_copies(self) -> None:
        """Read the copies of the release before, without damaged accounts, which are moved aside."""
        found = self._folder.old_copies()
        damaged = {account_of(file.key) for file in found.files if file.problem}
        damaged |= {account_of(problem.source) for problem in found.problems if not problem.warning}
        damaged |= self._folder.old_incomplete()
        for account in sorted(self._folder.old_folders()):
            if account in damaged or account not in found.accounts:
                with suppress(OSError):
                    os.rmdir(self._folder.path / account)  # an account without files
                    continue
                self._note_damage(account, self._folder.set_aside(account))
            else:
                self._copies[account] = {file.key: file for file in found.files if account_of(file.key) == account}
        self._folder.forget_old_incomplete()

    def _note_damage(self, account: str, *messages: str) -> None:
        self.damaged += messages
        self._incomplete.add(account)

    def _as_file(self, text: KeptText, content: Content) -> SourceFile:
        """A kept text as a file, whose blocks are read from the state folder."""
        path = path_of(str(self._folder.path), text.key, text.kind)
        content = replace(content, read=partial(self._blocks.octets, account_of(text.key)))
        return SourceFile(text.key, text.kind, path, content, None, text.modified)

    def _copy_of(self, file: SourceFile) -> SourceFile | None:
        """The kept text of a served file, if it is up to date."""
        account = account_of(file.key)
        if copy := self._copies.get(account, {}).get(file.key):
            return copy if _is_same(copy, file) else None
        line = self._known.get(account, {}).get(file.key)
        text = parsed_text(line) if line else None
        if text is None or not _is_text_of(text, file):
            return None
        return self._as_file(text, file.content)

    # Writing

    def _keep(self, served: Files) -> None:
        """Bring all accounts up to date, each as a whole. Raises the first OSError after having tried all."""
        if self.is_lost:  # what is known of the manifests is no longer so
            self.is_lost, self._files, self._kept = False, None, None
        if not self._folder.exists():  # no data was served yet, or the folder was removed
            self._known, self._copies, self._kept = {}, {}, None
        elif self._kept is None:
            self.read()
        kept, self._kept, self._files = self._kept, None, None
        failures: list[OSError] = []
        changed: dict[str, TextLines | None] = {}
        is_whole = True
        outdated = self._outdated(served, kept)
        is_synced = sum(map(len, outdated.values())) < UNSYNCED_FROM
        for account, files in outdated.items():
            try:
                changed[account] = self._stored(account, files, is_synced=is_synced)
            except FileChangedError:  # it is read again soon, and kept if served then
                is_whole = False
            except OSError as error:
                failures.append(error)
        if not self._folder.exists() and (failures or not is_whole):  # it says that data was served
            if failures:
                raise failures[0]
            return
        changed |= dict.fromkeys({*self._known, *self._copies}.difference(served.accounts))
        for account, lines in changed.items():
            self._release(account, lines or {})
        self._folder.replace(changed)
        for account, lines in changed.items():
            self._copies.pop(account, None)
            self._known.pop(account, None)
            if lines is not None:
                self._known[account] = lines
        if failures:
            raise failures[0]
        self._kept = served if is_whole else None

    def _outdated(self, served: Files, kept: Files | None) -> dict[str, list[SourceFile | str]]:
        """The files that differ from what is kept, by account; of removed files, the keys."""
        found: dict[str, list[SourceFile | str]] = {one: [] for one in served.accounts if not self._has(one)}
        if kept:
            edit = FilesEdit(kept, served)
            written: Iterable[SourceFile] = edit.written.values()
            removed = edit.removed.keys() - served.by_key().keys()
        else:
            written = (file for file in served.files if not self._copy_of(file))
            removed = {key for one in (*self._known.values(), *self._copies.values()) for key in one}
            removed -= served.by_key().keys()
        for file in written:
            found.setdefault(account_of(file.key), []).append(file)
        for key in removed:
            if account_of(key) in served.accounts:
                found.setdefault(account_of(key), []).append(key)
        for account in found.keys() & self._copies.keys():  # written anew
            found[account] = [file for file in served.files if account_of(file.key) == account]
        return found

    def _has(self, account: str) -> bool:
        return account in self._known or account in self._copies

    def _stored(self, account: str, files: Iterable[SourceFile | str], *, is_synced: bool) -> TextLines:
        """Store the blocks of new texts; return the lines of the manifest. Raises OSError and FileChangedError."""
        lines = dict(self._known.get(account, {}))
        for file in files:
            if isinstance(file, str):
                lines.pop(file, None)
            else:
                before = lines.get(file.key)
                trusted = frozenset(parsed_text(before).blocks if before else ())
                self._blocks.keep(
                    account, file.content.blocks, file.block_reader(), trusted=trusted, is_synced=is_synced
                )
                lines[file.key] = packed_text(KeptText(file.key, file.kind, file.modified, file.content.blocks))
        return lines

    def _release(self, account: str, lines: TextLines) -> None:
        """Spare the blocks of texts that are no longer in the lines of an account's manifest. Raises OSError."""
        for key, line in self._known.get(account, {}).items():
            if lines.get(key) != line:
                self._blocks.release(account, parsed_text(line).blocks)


def _incomplete(account: str) -> Problem:
    return Problem(account, (), "has an error, and so has its last good version: fix the file")


def _unreadable(error: OSError) -> str:
    """The message about a manifest or a block that cannot be read."""
    path = shown(error.filename or "")
    is_missing = isinstance(error, FileNotFoundError)
    return f"{path} is missing" if is_missing else f"{path} cannot be read: {os.strerror(error.errno or 0)}"


def _is_same(copy: SourceFile, file: SourceFile) -> bool:
    return (copy.kind, copy.content.digest) == (file.kind, file.content.digest)


def _is_text_of(text: KeptText, file: SourceFile) -> bool:
    return text.kind is file.kind and digest_of(text.blocks) == file.content.digest
