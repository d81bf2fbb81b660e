"""The files of versions: each is the manifest of one text, whose blocks stand in `blocks/` in the state folder.

Releases before this one wrote the whole text into the file, whose name then has no ending. Such versions are read until
they go.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, astuple, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from dnsd.manage.tokens import OPERATOR, Token
from dnsd.store.block_store import BlockStore
from dnsd.store.blocks import digest_of
from dnsd.store.directory import FileKind
from dnsd.store.kept_file import open_regular, read_octets
from dnsd.store.manifest import KeptText, packed_manifest, packed_text, parsed_manifest, parsed_text
from dnsd.store.text_file import BYTE_ORDER_MARK, MAX_FILE_SIZE
from dnsd.whole_file import replacing

ENDING = ".blocks"  # of a file's name
MAX_HEAD = 64 * 1024  # octets of the line that describes an old version
MAX_MANIFEST = 16 * 1024 * 1024  # octets: of a text of 40 GB
NAME_FORM = "%Y%m%dT%H%M%S.%fZ"
VERSION = re.compile(r"\d{8}T\d{6}\.\d{6}Z")
FILE = re.compile(rf"({VERSION.pattern})({re.escape(ENDING)})?")


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
class StoredVersion:
    """A version as it is kept: the octets of its blocks count only where versions differ."""

    version: Version
    text: KeptText
    folder: str  # of the blocks: the account's when the object had its first version
    octets: int  # of all its blocks on the disk
    replaced: int  # octets of the blocks that newer versions did not take over, of all versions up to this one


def file_name(version: str) -> str:
    """The name of a version's file."""
    return f"{version}{ENDING}"


def is_old(file: Path) -> bool:
    """Whether a version's file holds its text."""
    return file.suffix != ENDING


def write_version(folder: Path, stored: StoredVersion) -> None:
    """Write the file of a version. Raises OSError."""
    about = {"folder": stored.folder, "octets": stored.octets, "replaced": stored.replaced}
    head = asdict(stored.version) | about
    with replacing(folder / file_name(stored.version.version), other_name=".new") as out:
        out.write(packed_manifest(head, [packed_text(stored.text)]))


def read_stored(file: Path) -> StoredVersion:
    """The version in a file, without its text. Raises OSError, and ValueError, TypeError … for a damaged file."""
    head, (line,) = parsed_manifest(read_octets(file, MAX_MANIFEST))
    about = {field.name: head.pop(field.name) for field in fields(StoredVersion)[2:]}
    version, text = _parsed(head, file.name.removesuffix(ENDING)), parsed_text(line)
    if (version.key, version.kind, version.digest) != (text.key, text.kind.name, digest_of(text.blocks).hex()):
        raise ValueError("another text")
    folder = about["folder"]
    if not isinstance(folder, str) or not folder or folder.startswith(".") or "/" in folder:
        raise ValueError("not a folder")
    if not all(isinstance(about[name], int) and about[name] >= 0 for name in ("octets", "replaced")):
        raise TypeError
    return StoredVersion(version, text, **about)


def read_description(file: Path) -> Version:
    """The description of the version in a file. Raises like `read_stored`."""
    if not is_old(file):
        return read_stored(file).version
    with open_regular(file, most=MAX_FILE_SIZE + MAX_HEAD) as stream:
        return _parsed(json.loads(stream.readline(MAX_HEAD)), file.name)


def read_whole(blocks: BlockStore, file: Path) -> tuple[Version, bytes]:
    """The version in a file, and the octets of its text. Raises like `read_stored`, also if a block is missing."""
    if is_old(file):
        with open_regular(file, most=MAX_FILE_SIZE + MAX_HEAD) as stream:
            version, octets = _parsed(json.loads(stream.readline(MAX_HEAD)), file.name), stream.read()
        if old_digest(octets) != version.digest:
            raise ValueError("another text")
        return version, octets
    stored = read_stored(file)
    try:
        octets = b"".join(blocks.octets(stored.folder, block) for block in stored.text.blocks)
    except FileNotFoundError:
        raise ValueError("a block is missing") from None
    return stored.version, octets.removeprefix(BYTE_ORDER_MARK)


def old_digest(octets: bytes) -> str:
    """The digest of a text in a version of the releases before."""
    return hashlib.blake2b(octets, digest_size=16).hexdigest()


def _parsed(head: dict[str, Any], name: str) -> Version:
    version = Version(**head)
    if not all(isinstance(text, str) for text in astuple(version)) or version.version != name:
        raise ValueError
    if version.kind not in FileKind.__members__ or not datetime.strptime(name, NAME_FORM):
        raise ValueError
    return version
