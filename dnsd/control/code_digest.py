"""The digest of the code that reads and packs zones: what one version of it kept is of no use to another."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
PARTS = ("", "wire", "model", "engine", "formats", "compile", "store")  # the package's own modules, and these folders
KINDS = (".py", ".so", ".pyd", ".pyc")
LIBRARIES = ("dnspython", "pydantic", "pydantic-core", "pyyaml")
DIGEST_SIZE = 16  # octets


@cache
def code_digest() -> str:
    """The digest, in hexadecimal digits; other platforms and libraries have other ones.

    The server's start computes it, and its processes inherit it: theirs is the code that was loaded then, even if the
    files have changed since. If the files cannot be read, this code is like no other.
    """
    try:
        return _computed()
    except (OSError, PackageNotFoundError):
        return os.urandom(DIGEST_SIZE).hex()


def _computed() -> str:
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    digest.update("\n".join((sys.version, sys.byteorder, *map(version, LIBRARIES))).encode())
    for part in PARTS:
        for path in sorted((PACKAGE / part).iterdir()):
            if path.suffix in KINDS and path.is_file():
                octets = path.read_bytes()
                digest.update(f"{part}/{path.name} {len(octets)}\n".encode() + octets)
    return digest.hexdigest()
