"""Zones' files as an earlier process read them, as plain values. While its status is the same, none is read again.

A status is trusted as within one process (`store/folder.py`), and only until the machine starts anew: after a power
cut, a file may have its last times and size, but not its last content.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dnsd.store.blocks import TextBlock, digest_of
from dnsd.store.directory import FileKind, Files, SourceFile, account_of, path_of
from dnsd.store.text_file import Content

BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")  # of Linux; elsewhere all files are read


def noted(files: Iterable[SourceFile]) -> tuple[Any, ...]:
    """The files that are known by their status, as plain values."""
    boot = _boot()
    return boot, [_note_of(file) for file in files if file.stamp and not file.problem and not file.content.read]


def _note_of(file: SourceFile) -> tuple[Any, ...]:
    return file.key, file.kind.value, file.modified, file.stamp, [tuple(block) for block in file.content.blocks]


def noted_files(root: str, notes: tuple[Any, ...]) -> Files | None:
    """The files below the folder `root`, without their texts; None if they were noted before the machine started."""
    if not notes or not (boot := _boot()) or notes[0] != boot:
        return None
    with suppress(ValueError, TypeError, OverflowError):  # notes of any kind: then the files are read
        files = tuple(_files(root, notes[1]))
        return Files(root, tuple(dict.fromkeys(account_of(file.key) for file in files)), files)
    return None


def _files(root: str, notes: Iterable[tuple[Any, ...]]) -> Iterator[SourceFile]:
    for key, number, modified, stamp, pairs in notes:
        kind, blocks = FileKind(number), tuple(TextBlock(*pair) for pair in pairs)
        content = Content(digest_of(blocks), None, blocks)
        yield SourceFile(key, kind, path_of(root, key, kind), content, modified=modified, stamp=tuple(stamp))


def _boot() -> str:
    """The name of the time since the machine started; empty if it is unknown."""
    try:
        return BOOT_FILE.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
