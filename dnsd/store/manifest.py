"""Manifests: lists of texts by their blocks (`store/block_store.py`), with times, kinds and a digest of the list.

The first line is the digest of all that follows, the second describes the manifest, and each further one a text. A
manifest is replaced as a whole, and refused as a whole if it is damaged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from dnsd.store.blocks import DIGEST_SIZE, TextBlock
from dnsd.store.directory import FileKind

FORMAT = 1
MAX_MANIFEST = 256 * 1024 * 1024  # octets: a million texts


class KeptText(NamedTuple):
    """A text in a manifest: the file that had it, by the key of its object, and its blocks."""

    key: str
    kind: FileKind
    modified: int  # seconds since 1970
    blocks: tuple[TextBlock, ...]


def packed_manifest(head: Mapping[str, Any], texts: Iterable[bytes]) -> bytes:
    """A manifest with the lines of its texts (`packed_text`)."""
    body = b"".join((json.dumps({"format": FORMAT, **head}).encode(), b"\n", *texts))
    return _digest(body) + b"\n" + body


def parsed_manifest(octets: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The head of a manifest, and the lines of its texts. Raises ValueError, TypeError … for a damaged one."""
    digest, _, body = octets.partition(b"\n")
    if digest != _digest(body):
        raise ValueError("another content")
    head, *texts = body.splitlines(keepends=True)
    found = json.loads(head)
    if found.pop("format") != FORMAT:
        raise ValueError("another format")
    return found, texts


def packed_text(text: KeptText) -> bytes:
    """The line of a text in a manifest."""
    blocks = " ".join(f"{block.digest.hex()}:{block.size}" for block in text.blocks)
    return json.dumps([text.key, text.kind.name, text.modified, blocks]).encode() + b"\n"


def parsed_text(line: bytes) -> KeptText:
    """The text of a line in a manifest. Raises ValueError, TypeError … for a damaged one."""
    key, kind, modified, blocks = json.loads(line)
    if not isinstance(key, str) or not isinstance(modified, int) or modified < 0:
        raise TypeError
    return KeptText(key, FileKind[kind], modified, tuple(map(_block, blocks.split())))


def _block(described: str) -> TextBlock:
    digest, _, size = described.partition(":")
    block = TextBlock(bytes.fromhex(digest), int(size))
    if len(block.digest) != DIGEST_SIZE or block.size < 1:
        raise ValueError
    return block


def _digest(octets: bytes) -> bytes:
    return blake2b(octets, digest_size=DIGEST_SIZE).hexdigest().encode()
