"""The blocks of texts in the state folder: each stands once, in `blocks/ACCOUNT/DIGEST`, for all manifests with it.

A block is written before the manifest that names it. Its file's time is the last time when a manifest began or ceased
to name it: a block that no manifest names is deleted an hour later, so that a manifest about to be written finds it.
Large blocks are compressed if that makes them smaller.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock

from dnsd.store.blocks import DIGEST_SIZE, TextBlock, text_block
from dnsd.store.kept_file import DamagedFileError, kept, read_octets
from dnsd.whole_file import make_folder, replacing, sync

FOLDER = "blocks"  # its name, in the state folder
NAME = re.compile(rf"[0-9a-f]{{{2 * DIGEST_SIZE}}}")
PAGE = 4096  # octets; a compressed block would need as much on the disk as one of this size
SPARED_S = 3600  # for which a block stays that no manifest names
UNSYNCED_FROM = 64  # number of blocks or texts at once from which the system decides when they go to disk


class BlockStore:
    """The blocks of all accounts. One instance has all writers and the sweeper of a process."""

    def __init__(self, state: Path, report: Callable[[str], object] = str) -> None:
        """`report` is called with a message for each damaged block that is written again."""
        self._report = report
        self._folder = state / FOLDER
        self._unswept: dict[str, float] = {}  # accounts that may have unnamed blocks, and when they got the last one
        self._lock = Lock()  # between the sweeper and a writer about to name a block

    def keep(
        self,
        account: str,
        blocks: Sequence[TextBlock],
        octets_of_block: Callable[[int], bytes],
        *,
        trusted: Collection[TextBlock] = (),
        is_synced: bool = True,
    ) -> None:
        """Store the blocks of a text, which a manifest will name; missing ones are obtained by their number.

        Blocks that are there are read, except for `trusted` ones, and written again if damaged. Raises OSError, and the
        exceptions of `octets_of_block`.
        """
        folder = self._folder / account
        missing = {block: number for number, block in enumerate(blocks) if not self._has(account, block, trusted)}
        is_synced = is_synced and len(missing) < UNSYNCED_FROM
        is_new = not folder.exists()
        for block, number in missing.items():
            octets = octets_of_block(number)
            with self._lock:
                _write(folder, block, octets, is_synced=is_synced)
        if missing and is_synced:
            sync(folder)
            if is_new:
                sync(self._folder)

    def _has(self, account: str, block: TextBlock, trusted: Collection[TextBlock]) -> bool:
        """Whether a block is there, and sound; if so, its time is now."""
        with self._lock:
            try:
                os.utime(self._path(account, block))
            except FileNotFoundError:
                return False
        if block not in trusted:
            try:
                self.octets(account, block)
            except DamagedFileError as error:
                self._report(f"{error}; it is written again")
                return False
        return True

    def _path(self, account: str, block: TextBlock) -> str:
        """The path of a block's file; a text of a million records has hundreds, so it is not made as a `Path`."""
        return f"{self._folder}/{account}/{block.digest.hex()}"

    def octets(self, account: str, block: TextBlock) -> bytes:
        """The octets of a block. Raises OSError if it is missing, and DamagedFileError for a damaged one."""
        return kept(self._folder / account / block.digest.hex(), partial(_read, block))

    def size(self, account: str, blocks: Iterable[TextBlock]) -> int:
        """The octets that blocks have on the disk; missing ones have none."""
        size = 0
        for block in blocks:
            with suppress(FileNotFoundError):
                size += os.stat(self._path(account, block)).st_size
        return size

    def release(self, account: str, blocks: Iterable[TextBlock]) -> None:
        """Spare blocks from now on, which a manifest is about to name no longer. Raises OSError."""
        self.note_unnamed(account)
        for block in blocks:
            with suppress(FileNotFoundError):
                os.utime(self._path(account, block))

    def note_unnamed(self, account: str) -> None:
        """Note that an account may have blocks that no manifest names."""
        self._unswept[account] = time.time()

    def note_all(self) -> None:
        """Note all accounts: a process that was killed may have left unnamed blocks. Raises OSError."""
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    self.note_unnamed(entry.name)

    def unswept(self) -> list[str]:
        """The accounts to sweep."""
        return list(self._unswept)

    def sweep(self, account: str, named: Iterable[Iterable[TextBlock]], now: float | None = None) -> int:
        """Delete the blocks of an account that have not been in `named` for an hour. Returns their number.

        `named` are the blocks of all manifests of the account, each at any moment since this was called.
        """
        before = (time.time() if now is None else now) - SPARED_S
        unnamed = self._blocks_until(account, before)
        for blocks in named if unnamed else ():
            unnamed.difference_update(block.digest.hex() for block in blocks)
            if not unnamed:
                break
        folder, deleted = self._folder / account, 0
        for name in unnamed:
            with self._lock, suppress(FileNotFoundError):
                if (folder / name).stat().st_mtime <= before:  # not named meanwhile
                    (folder / name).unlink()
                    deleted += 1
        with self._lock, suppress(OSError):
            folder.rmdir()  # if it is empty
        if self._unswept.get(account, 0) <= before:
            self._unswept.pop(account, None)
        return deleted

    def _blocks_until(self, account: str, before: float) -> set[str]:
        """The names of an account's blocks with a time up to this one."""
        with suppress(FileNotFoundError), os.scandir(self._folder / account) as entries:
            return {one.name for one in entries if NAME.fullmatch(one.name) and one.stat().st_mtime <= before}
        return set()


def _write(folder: Path, block: TextBlock, octets: bytes, *, is_synced: bool) -> None:
    make_folder(folder)
    packed = zlib.compress(octets, 1) if len(octets) > PAGE else octets
    with replacing(folder / block.digest.hex(), other_name=".new", is_synced=False) as out:
        out.write(min(octets, packed, key=len))
        if is_synced:
            out.flush()
            os.fsync(out.fileno())


def _read(block: TextBlock, file: Path) -> bytes:
    """The octets of a block, by its file. Raises OSError, and ValueError or zlib.error for a damaged file."""
    octets = read_octets(file, block.size)  # never compressed to more
    if len(octets) < block.size:
        octets = zlib.decompressobj().decompress(octets, block.size)
    if text_block(octets) != block:
        raise ValueError("another content")
    return octets
