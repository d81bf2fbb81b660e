"""The port of tokens: how they are found and changed, wherever they are kept; with only the hashes of their secrets.

The state folder of a server alone is one such place (`manage/token_file.py`), a fleet is another
(`fleet/shared_tokens.py`). Finding reads what is in memory, and never waits for others. A change is drawn up on all
tokens as they are, and made only if they still are so.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from typing import Self

from dnsd.errors import DnsdError
from dnsd.manage.token_format import MAX_LINE, KeptToken, token_entry_data, tokens_not_in
from dnsd.manage.tokens import AccessLevel, Area, Token

PREFIX = "dnsd_"  # of secrets: scanners recognize a leaked one, and no secret looks like an option
SECRET_SIZE = 32  # octets

Testify = Callable[[Sequence[Token], Sequence[Token]], None]  # of the changed tokens, before and after; may raise
Check = Callable[[Sequence[Token], Token], None]  # of all tokens, and the token to write; may raise
TokenEdit = Callable[["TokenContent"], Sequence[KeptToken]]  # all tokens after a change; may raise


class Unusable(Enum):
    """The reason why a secret is refused."""

    UNKNOWN = auto()
    EXPIRED = auto()


TokenLookup = Token | Unusable  # the result of looking up a secret


class TokenFileError(DnsdError):
    """The tokens cannot be used; the message has the file and the reason."""


class TokensAwayError(TokenFileError):
    """The tokens are those of a fleet whose servers do not answer."""


class NoSuchTokenError(DnsdError, LookupError):
    """No token has the id or name, or more than one has the name."""


@dataclass(frozen=True, slots=True)
class TokenContent:
    """All tokens at one moment."""

    entries: Mapping[str, KeptToken] = field(default_factory=dict)  # by digest, in order of creation
    tokens: Mapping[str, Token] = field(default_factory=dict)  # by id

    @classmethod
    def of(cls, entries: Mapping[str, KeptToken]) -> TokenContent:
        """The content with these entries, by digest."""
        return cls(entries, {entry.token.id: entry.token for entry in entries.values()})


class Tokens(ABC):
    """All tokens of a server, or of a fleet. Every method raises TokenFileError if they cannot be used.

    A method that changes them blocks, and raises OSError if the place cannot be written.
    """

    _testify: Testify | None = None

    @abstractmethod
    def content(self) -> TokenContent:
        """All tokens as they are now."""

    @abstractmethod
    def _change(self, edit: TokenEdit) -> None:
        """Make a change, durably; call `_attest` before it is made. If others came first, `edit` is called again."""

    def without_damage(self) -> str | None:
        """At a start, move a damaged file aside; return the problem, None if the file is sound or missing."""
        return None

    def attested(self, testify: Testify) -> Self:
        """The same tokens; `testify` is called before each change of them."""
        other = copy(self)
        other._testify = testify
        return other

    def digest(self, token_id: str) -> str:
        """A digest of a token and its secret's hash; empty without the token. Raises OSError if it is not known yet."""
        found = next((one for one in self.content().entries.values() if one.token.id == token_id), None)
        return hashlib.sha256(json.dumps(token_entry_data(found)).encode()).hexdigest() if found else ""

    def find(self, secret: str, now: datetime) -> TokenLookup:
        """The token with this secret, or the reason to refuse it. A token revoked here before the call is not found."""
        return self.find_digest(secret_digest(secret), now)

    def find_digest(self, digest: str, now: datetime) -> TokenLookup:
        """The token whose secret has this digest, as `find`."""
        entry = self.content().entries.get(digest)
        if entry is None or not hmac.compare_digest(entry.digest, digest):
            return Unusable.UNKNOWN
        return Unusable.EXPIRED if entry.token.is_expired(now) else entry.token

    def get(self, token_id: str, now: datetime) -> Token | None:
        """The token with an id; None if it does not exist or has expired."""
        found = self.content().tokens.get(token_id)
        return found if found and not found.is_expired(now) else None

    def tokens(self) -> list[Token]:
        """All tokens in order of creation, expired ones too."""
        return [*self.content().tokens.values()]

    def create(
        self,
        *,
        name: str,
        now: datetime,
        expires_at: datetime | None = None,
        accounts: Iterable[str] = (),
        zones: Iterable[str] = (),
        permissions: Iterable[tuple[Area, AccessLevel]] = (),
        parent: Token | None = None,
        written: str = "",
        check: Check = lambda tokens, new: None,
    ) -> tuple[Token, str]:
        """Create a token. Returns it with its secret, which is not stored; on return, the token is on disk.

        Without accounts, zones and permissions, it is as wide as its parent; without a parent, too, it is an operator's
        token. Raises ValueError for invalid values, NoSuchTokenError if the parent is gone, and what `check` raises.
        """
        secret = _new_secret()
        token = Token(
            id=secrets.token_hex(16),
            name=name,
            created_at=now,
            expires_at=expires_at,
            accounts=tuple(dict.fromkeys(accounts)),
            zones=tuple(dict.fromkeys(zones)),
            permissions=tuple(dict.fromkeys(permissions)),
            written=written,
        )
        made = [token]

        def edit(content: TokenContent) -> list[KeptToken]:
            tokens = [*content.tokens.values()]
            new = made[0] = replace(token, parent=parent and single_token(tokens, parent.id))
            if len([*new.line]) > MAX_LINE:
                raise ValueError(f"a line of tokens made from tokens has at most {MAX_LINE} of them")
            check(tokens, new)
            return [*content.entries.values(), KeptToken(secret_digest(secret), new)]

        self._change(edit)
        return made[0], secret

    def edit(self, token_id: str, change: Callable[[Token], Token], check: Check = lambda tokens, new: None) -> Token:
        """Replace a token; it keeps its id, secret and parent. Raises NoSuchTokenError, and what `change` raises."""
        made: list[Token] = []

        def edit(content: TokenContent) -> list[KeptToken]:
            tokens = [*content.tokens.values()]
            old = single_token(tokens, token_id)
            new = replace(change(old), id=old.id, created_at=old.created_at, parent=old.parent)
            made[:] = [new]
            check(tokens, new)
            return [replace(one, token=new) if one.token is old else one for one in content.entries.values()]

        self._change(edit)
        return made[0]

    def roll(self, token_id: str) -> tuple[Token, str]:
        """Give a token another secret; the old one is worthless at once. Raises NoSuchTokenError."""
        secret = _new_secret()
        made: list[Token] = []

        def edit(content: TokenContent) -> list[KeptToken]:
            token = single_token(content.tokens.values(), token_id)
            made[:] = [token]
            digest = secret_digest(secret)
            return [replace(one, digest=digest) if one.token is token else one for one in content.entries.values()]

        self._change(edit)
        return made[0], secret

    def revoke(self, id_or_name: str) -> list[Token]:
        """Delete a token and all tokens made from it; return all of them, the named one first.

        Raises NoSuchTokenError if no token, or more than one, has the id or name.
        """
        gone: list[Token] = []

        def edit(content: TokenContent) -> list[KeptToken]:
            token = single_token(content.tokens.values(), id_or_name)
            others = (one for one in content.tokens.values() if one is not token and one.descends_from(token))
            gone[:] = [token, *others]
            return [one for one in content.entries.values() if not one.token.descends_from(token)]

        self._change(edit)
        return gone

    def _attest(self, before: Iterable[KeptToken], after: Iterable[KeptToken]) -> None:
        """Call `testify` with what a change changes."""
        before, after = [*before], [*after]
        if self._testify:
            self._testify(tokens_not_in(before, after), tokens_not_in(after, before))


def secret_digest(secret: str) -> str:
    """The SHA-256 of a secret, in hex."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def single_token(tokens: Iterable[Token], id_or_name: str) -> Token:
    """The only token with an id or a name. Raises NoSuchTokenError."""
    tokens = [*tokens]
    found = [token for token in tokens if token.id == id_or_name.lower()]
    found = found or [token for token in tokens if id_or_name and token.name == id_or_name]
    if not found:
        raise NoSuchTokenError(f"there is no token with the id or name {id_or_name!r}")
    if len(found) > 1:
        ids = ", ".join(token.id for token in found)
        raise NoSuchTokenError(f"{len(found)} tokens have the name {id_or_name!r}; choose one by its id: {ids}")
    return found[0]


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(SECRET_SIZE)
