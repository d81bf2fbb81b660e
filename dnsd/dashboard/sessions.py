"""Sessions of signed-in users. The browser has a session's secret in a cookie; only its hash is kept.

A session stands for the token's secret with which it began. It ends when the token is rolled, expires or is revoked,
when the user signs out, or after 12 hours. In a fleet, it is one of all controls.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from dnsd.manage.session_port import LIFETIME, BegunSession, SessionRecords
from dnsd.manage.token_port import TokenFileError, Tokens, secret_digest
from dnsd.manage.tokens import Token

SIGNATURE_SIZE = 64  # hexadecimal digits
MAX_SESSIONS = 20  # of one token; a new session replaces the oldest


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a signed-in user."""

    secret: str
    token: Token


class Sessions:
    """The sessions of a running server, or of a fleet."""

    def __init__(self, records: SessionRecords, tokens: Tokens) -> None:
        self._records = records
        self._tokens = tokens

    def begin(self, token: Token, token_secret: str, now: datetime) -> Session:
        """Begin a session of a token. Blocks. Raises OSError if it cannot be saved."""
        secret, of = new_secret(), secret_digest(token_secret)
        begun = self._records.begun()
        ended = self._ended(begun, now)
        of_token = [digest for digest, one in begun.items() if one.token == of and digest not in ended]
        forgotten = {*ended, *of_token[: max(0, len(of_token) + 1 - MAX_SESSIONS)]}
        self._records.begin(secret_digest(secret), BegunSession(of, now), forgotten)
        return Session(secret, token)

    def find(self, secret: str, now: datetime) -> Session | None:
        """The session with a secret; None if unknown or ended. Raises TokenFileError."""
        begun = self._records.begun().get(secret_digest(secret))
        if begun is None or now >= begun.at + LIFETIME:
            return None
        token = self._tokens.find_digest(begun.token, now)
        return Session(secret, token) if isinstance(token, Token) else None

    def end(self, secret: str) -> None:
        """End a session. Blocks. Raises OSError if that cannot be saved."""
        self._records.end(secret_digest(secret))

    def _ended(self, begun: Mapping[str, BegunSession], now: datetime) -> set[str]:
        """The sessions that have ended: a token that is rolled again and again would leave any number."""
        with suppress(TokenFileError):
            tokens = {one.token for one in begun.values()}
            valid = {one for one in tokens if isinstance(self._tokens.find_digest(one, now), Token)}
            return {key for key, one in begun.items() if one.token not in valid or now >= one.at + LIFETIME}
        return set()


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
