"""The bearer token of /metrics, in a file of its own. Messages never contain it."""

from __future__ import annotations

import os
from pathlib import Path

from dnsd.errors import DnsdError

MIN_TOKEN, MAX_TOKEN = 16, 1024  # characters


class UnusableTokenError(DnsdError):
    """A file without a usable token; the message has the file and the reason."""


def bearer_token(file: Path) -> str:
    """The token in a file. Raises UnusableTokenError."""
    try:
        with open(file, "rb") as opened:
            octets = opened.read(MAX_TOKEN + 2)
    except OSError as error:
        raise UnusableTokenError(f"{file} cannot be read: {error.strerror}") from None
    token = octets.decode("latin-1").strip()
    if not (MIN_TOKEN <= len(token) <= MAX_TOKEN and token.isascii() and token.isprintable() and " " not in token):
        raise UnusableTokenError(
            f"{file} holds no token: expected one word of {MIN_TOKEN} to {MAX_TOKEN} letters, digits or signs, such as "
            "`openssl rand -hex 32` prints"
        )
    return token


class BearerToken:
    """The token in a file, read again when the file changes."""

    def __init__(self) -> None:
        self._seen: object = None
        self._token = ""

    def value(self, file: Path) -> str:
        """The token. Raises UnusableTokenError."""
        try:
            status = os.stat(file)
        except OSError as error:
            raise UnusableTokenError(f"{file} cannot be read: {error.strerror}") from None
        seen = file, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        if seen != self._seen:
            self._token = bearer_token(file)
            self._seen = seen
        return self._token
