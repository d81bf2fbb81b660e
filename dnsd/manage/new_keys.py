"""Keys of new objects, which are the names of their files: readable, and unused in any case."""

from __future__ import annotations

import secrets
from collections.abc import Collection


class TakenKeys:
    """The keys in use."""

    def __init__(self, *taken: Collection[str]) -> None:
        self._taken = taken

    def free(self, folder: str, name: str) -> str:
        """An unused key in `folder`, derived from a name if possible."""
        prefix = f"{folder}/" if folder else ""
        stem = _slug(name)
        key = f"{prefix}{stem or 'x'}"
        while not stem or not self.is_free(key):
            stem = f"{stem or 'x'}-{secrets.token_hex(3)}"
            key = f"{prefix}{stem}"
        return key

    def is_free(self, key: str) -> bool:
        """Whether a key is unused in any case: some file systems do not distinguish upper and lower case."""
        wanted = key.lower()
        return all(other.lower() != wanted for taken in self._taken for other in taken)


def _slug(name: str) -> str:
    """A name in lower-case letters, digits and hyphens, for a file name; may be empty."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in name.lower()).split()
    return "-".join(words)[:40]
