"""Sessions of signed-in users. The browser has a session's secret in a cookie; the state folder has only its hash.

A session stands for the token's secret with which it began. It ends when the token is rolled, expires or is revoked,
when the user signs out, or after 12 hours.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dnsd.manage.state_names import SESSIONS
from dnsd.manage.token_file import TokenFile, TokenFileError, secret_digest
from dnsd.manage.tokens import Token
from dnsd.model.times import parse_time, time_text
from dnsd.store.kept_file import read_or_problem
from dnsd.whole_file import replacing

MAX_SIZE = 64 * 1024 * 1024  # octets; a larger file is not ours
LIFETIME = timedelta(hours=12)
SIGNATURE_SIZE = 64  # hexadecimal digits
MAX_SESSIONS = 20  # of one token; a new session replaces the oldest


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a signed-in user."""

    secret: str
    token: Token


@dataclass(frozen=True, slots=True)
class _Begun:
    """The digest of the secret that a session stands for, and its start."""

    token: str
    at: datetime


class Sessions:
    """The sessions of a running server; they survive a restart if the disk can be written."""

    def __init__(self, state: Path, tokens: TokenFile, report: Callable[[str], object] = str) -> None:
        """`report` is called with the problem of a damaged file."""
        self._report = report
        self._file = state / SESSIONS
        self._tokens = tokens
        self._begun: dict[str, _Begun] = self._read()  # by digest of the secret, oldest first

    def begin(self, token: Token, token_secret: str, now: datetime) -> Session:
        """Begin a session of a token. Raises OSError if it cannot be saved; the session is valid anyway."""
        secret, of = new_secret(), secret_digest(token_secret)
        self._forget_ended(now)
        self._begun[secret_digest(secret)] = _Begun(of, now)
        of_token = [digest for digest, begun in self._begun.items() if begun.token == of]
        for digest in of_token[:-MAX_SESSIONS]:
            del self._begun[digest]
        self._write()
        return Session(secret, token)

    def find(self, secret: str, now: datetime) -> Session | None:
        """The session with a secret; None if unknown or ended. Raises TokenFileError."""
        begun = self._begun.get(secret_digest(secret))
        if begun is None or now >= begun.at + LIFETIME:
            return None
        token = self._tokens.find_digest(begun.token, now)
        return Session(secret, token) if isinstance(token, Token) else None

    def end(self, secret: str) -> None:
        """End a session. Raises OSError if that cannot be saved."""
        if self._begun.pop(secret_digest(secret), None):
            self._write()

    def _forget_ended(self, now: datetime) -> None:
        """Forget the sessions that have ended: a token that is rolled again and again would leave any number."""
        tokens = {begun.token for begun in self._begun.values()}
        with suppress(TokenFileError):
            valid = {one for one in tokens if isinstance(self._tokens.find_digest(one, now), Token)}
            begun = self._begun.items()
            self._begun = {key: one for key, one in begun if one.token in valid and now < one.at + LIFETIME}

    def _read(self) -> dict[str, _Begun]:
        """The sessions of an earlier run; empty if the file cannot be read, so that users sign in again."""
        consequence = "all users have to sign in again"
        begun, problem = read_or_problem(self._file, _parsed, most=MAX_SIZE, consequence=consequence)
        if problem:
            self._report(problem)
        return begun or {}

    def _write(self) -> None:
        saved = {digest: (begun.token, time_text(begun.at)) for digest, begun in self._begun.items()}
        with replacing(self._file) as out:
            out.write(json.dumps(saved).encode())


def _parsed(octets: bytes) -> dict[str, _Begun]:
    """The sessions in a file. Raises ValueError, TypeError … for any deviation from the format."""
    begun = {}
    for digest, (token, at) in json.loads(octets).items():
        if not isinstance(token, str):
            raise TypeError
        begun[digest] = _Begun(token, parse_time(at))
    return begun


def new_secret() -> str:
    """A random secret of 256 bits, as text."""
    return secrets.token_urlsafe(32)


def signed(text: str, secret: str) -> str:
    """The text with a signature that only a session's secret makes, for a cookie: other sites may set cookies, too."""
    return f"{hmac.digest(secret.encode(), b'cookie' + text.encode(), 'sha256').hex()}{text}"


def verified(given: str, secret: str) -> str:
    """The text that was signed with a session's secret; empty if it was not."""
    text = given[SIGNATURE_SIZE:]
    return text if hmac.compare_digest(given.encode(errors="replace"), signed(text, secret).encode()) else ""


def form_secret(secret: str) -> str:
    """The secret in a session's forms, which other sites cannot know (CSRF)."""
    return hmac.digest(secret.encode(), b"form", "sha256").hex()


def is_form_secret(given: str, secret: str) -> bool:
    """Whether a form's secret belongs to a session."""
    return hmac.compare_digest(given.encode(errors="replace"), form_secret(secret).encode())
