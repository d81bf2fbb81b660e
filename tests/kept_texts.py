"""The texts that a state folder holds: last good ones and versions, as this release keeps them, and the one before."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from dnsd.manage.versions import ENDING, is_old, read_whole
from dnsd.store.block_store import BlockStore
from dnsd.store.directory import FileKind, account_of, path_of
from dnsd.store.good import FOLDER as GOOD
from dnsd.store.good_folder import GoodFolder
from dnsd.store.manifest import KeptText, packed_text, parsed_text
from dnsd.store.text_file import content_of


def kept_texts(state: Path) -> Iterator[KeptText]:
    """The texts in all manifests of good texts."""
    folder = GoodFolder(state / GOOD)
    for account in folder.manifests():
        yield from map(parsed_text, folder.lines(account).values())


def good_texts(state: Path) -> dict[str, str]:
    """The good texts, by path below the accounts folder; also those of accounts kept by the release before."""
    blocks, root = BlockStore(state), state / GOOD
    copies = [file for file in root.glob("[!.]*/**/*.*") if file.is_file() and not file.name.startswith(".")]
    found = {str(file.relative_to(root)): file.read_bytes() for file in copies}
    for text in kept_texts(state):
        octets = (blocks.octets(account_of(text.key), block) for block in text.blocks)
        found[path_of("", text.key, text.kind)] = b"".join(octets)
    return {path: octets.decode(errors="surrogateescape") for path, octets in found.items()}


def block_files(state: Path, key: str) -> list[Path]:
    """The files of the blocks of an object's good text."""
    folder = state / "blocks" / account_of(key)
    return [folder / block.digest.hex() for text in kept_texts(state) if text.key == key for block in text.blocks]


def put_good_text(state: Path, key: str, kind: FileKind, text: str) -> None:
    """Replace a good text, as if another release had kept it."""
    folder, blocks, octets = GoodFolder(state / GOOD), content_of(text).blocks, text.encode()
    BlockStore(state).keep(account_of(key), blocks, lambda number: octets, is_synced=False)
    lines = dict(folder.lines(account_of(key)))
    folder.replace({account_of(key): lines | {key: packed_text(KeptText(key, kind, 1_700_000_000, blocks))}})


def make_old(state: Path) -> None:
    """Turn a state folder into one of the release before: copies of files, and versions with their texts."""
    texts, blocks = {**good_texts(state)}, BlockStore(state)
    times = {path_of("", text.key, text.kind): text.modified for text in kept_texts(state)}
    for account in GoodFolder(state / GOOD).manifests():
        (state / GOOD / account).unlink()
        (state / GOOD / account).mkdir(mode=0o700)
    for path, text in texts.items():
        file = state / GOOD / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode(errors="surrogateescape"))
        os.utime(file, (times[path], times[path]))
    for file in [*state.glob(f"history/*/*{ENDING}")]:
        assert not is_old(file)
        version, octets = read_whole(blocks, file)
        names = ("version", "at", "action", "token", "key", "kind", "account_id", "role")
        head = {name: getattr(version, name) for name in names}
        head["digest"] = hashlib.blake2b(octets, digest_size=16).hexdigest()
        file.with_suffix("").with_name(version.version).write_bytes(json.dumps(head).encode() + b"\n" + octets)
        file.unlink()
    for folder in (state / "blocks").iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    (state / "blocks").rmdir()
