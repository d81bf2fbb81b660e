"""The file of tokens: in the state folder, with only the hashes of the secrets.

The server and the command line share it: writers take turns, and readers notice a change at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from pathlib import Path

from dnsd.errors import DnsdError, shown
from dnsd.manage.state_names import TOKENS, TOKENS_LOCK
from dnsd.manage.token_format import (
    FORMAT,
    MAX_LINE,
    KeptToken,
    check_tokens,
    parse_tokens,
    token_entry_data,
    tokens_not_in,
)
from dnsd.manage.tokens import AccessLevel, Area, Token
from dnsd.store.kept_file import DamagedFileError, read_kept, read_octets
from dnsd.whole_file import hand_over, make_folder, replacing

PREFIX = "dnsd_"  # of secrets: scanners recognize a leaked one, and no secret looks like an option
SECRET_SIZE = 32  # octets
MAX_SIZE = 64 * 1024 * 1024  # octets of the file

Testify = Callable[[Sequence[Token], Sequence[Token]], None]  # of the changed tokens, before and after; may raise
Check = Callable[[Sequence[Token], Token], None]  # of the tokens in the file, and the token to write; may raise


class Unusable(Enum):
    """The reason why a secret is refused."""

    UNKNOWN = auto()
    EXPIRED = auto()


TokenLookup = Token | Unusable  # the result of looking up a secret


class TokenFileError(DnsdError):
    """The file of tokens cannot be used; the message has the file and the reason."""


class NoSuchTokenError(DnsdError, LookupError):
    """No token has the id or name, or more than one has the name."""


@dataclass(frozen=True, slots=True)
class _Content:
    """The content of the file; `version` identifies the file that was read."""

    version: tuple[int, int, int] = (0, 0, 0)  # time of the last change in ns, octets, inode
    entries: Mapping[str, KeptToken] = field(default_factory=dict)  # by digest
    tokens: Mapping[str, Token] = field(default_factory=dict)  # by id


class TokenFile:
    """The tokens in a state folder. Every method raises TokenFileError if the file cannot be used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / TOKENS
        self._content = _Content()
        self._testify: Testify | None = None

    def attested(self, testify: Testify) -> TokenFile:
        """The same file; `testify` is called before each change of it."""
        other = copy(self)
        other._testify = testify
        return other

    def digest(self, token_id: str) -> str:
        """A digest of a token and its secret's hash; empty without the token."""
        found = next((one for one in self._read().entries.values() if one.token.id == token_id), None)
        return hashlib.sha256(json.dumps(token_entry_data(found)).encode()).hexdigest() if found else ""

    def find(self, secret: str, now: datetime) -> TokenLookup:
        """The token with this secret, or the reason to refuse it. A token revoked before the call is not found."""
        return self.find_digest(secret_digest(secret), now)

    def find_digest(self, digest: str, now: datetime) -> TokenLookup:
        """The token whose secret has this digest, as `find`."""
        entry = self._read().entries.get(digest)
        if entry is None or not hmac.compare_digest(entry.digest, digest):
            return Unusable.UNKNOWN
        return Unusable.EXPIRED if entry.token.is_expired(now) else entry.token

    def get(self, token_id: str, now: datetime) -> Token | None:
        """The token with an id; None if it does not exist or has expired."""
        found = self._read().tokens.get(token_id)
        return found if found and not found.is_expired(now) else None

    def tokens(self) -> list[Token]:
        """All tokens in order of creation, expired ones too."""
        return [*self._read().tokens.values()]

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
        token. Creates the folder if needed. Raises ValueError for invalid values, NoSuchTokenError if the parent is
        gone, and what `check` raises.
        """
        secret = _new_secret()
        with self._writing():
            token = Token(
                id=secrets.token_hex(16),
                name=name,
                created_at=now,
                expires_at=expires_at,
                accounts=tuple(dict.fromkeys(accounts)),
                zones=tuple(dict.fromkeys(zones)),
                permissions=tuple(dict.fromkeys(permissions)),
                parent=parent and single_token(self.tokens(), parent.id),
                written=written,
            )
            if len([*token.line]) > MAX_LINE:
                raise ValueError(f"a line of tokens made from tokens has at most {MAX_LINE} of them")
            check(self.tokens(), token)
            self._write([*self._read().entries.values(), KeptToken(secret_digest(secret), token)])
        return token, secret

    def edit(self, token_id: str, change: Callable[[Token], Token], check: Check = lambda tokens, new: None) -> Token:
        """Replace a token; it keeps its id, secret and parent. Raises NoSuchTokenError, and what `change` raises."""
        with self._writing():
            old = single_token(self.tokens(), token_id)
            new = replace(change(old), id=old.id, created_at=old.created_at, parent=old.parent)
            check(self.tokens(), new)
            self._write(replace(one, token=new) if one.token is old else one for one in self._read().entries.values())
        return new

    def roll(self, token_id: str) -> tuple[Token, str]:
        """Give a token another secret; the old one is worthless at once. Raises NoSuchTokenError."""
        secret = _new_secret()
        with self._writing():
            token = single_token(self.tokens(), token_id)
            self._write(
                replace(one, digest=secret_digest(secret)) if one.token is token else one
                for one in self._read().entries.values()
            )
        return token, secret

    def revoke(self, id_or_name: str) -> list[Token]:
        """Delete a token and all tokens made from it; return all of them, the named one first.

        Raises NoSuchTokenError if no token, or more than one, has the id or name.
        """
        with self._writing():
            tokens = self.tokens()
            token = single_token(tokens, id_or_name)
            self._write(one for one in self._read().entries.values() if not one.token.descends_from(token))
        return [token, *(one for one in tokens if one is not token and one.descends_from(token))]

    def without_damage(self) -> str | None:
        """At a start, move a damaged file aside; return the problem, None if the file is sound or missing.

        While the server runs, a damaged file stays, as somebody may be at work on it.
        """
        try:
            with self._writing():
                read_kept(self._file, check_tokens, most=MAX_SIZE)
        except DamagedFileError as error:
            return f"{error}; nobody has access: restore it from a backup, or create new tokens with `dnsd token`"
        except (FileNotFoundError, TokenFileError):
            pass
        return None

    def _read(self) -> _Content:
        """The content of the file, read again if it has changed; without a file there are no tokens."""
        try:
            if _version(os.stat(self._file)) != self._content.version:
                version = _version(os.stat(self._file))  # before the reading: a change meanwhile is read next time
                entries = parse_tokens(read_octets(self._file, MAX_SIZE))
                tokens = {entry.token.id: entry.token for entry in entries.values()}
                self._content = _Content(version, entries, tokens)
        except FileNotFoundError:
            self._content = _Content()
        except OSError as error:
            raise TokenFileError(f"{shown(self._file)} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            message = "restore it from a backup, or remove it and create new tokens with `dnsd token`"
            raise TokenFileError(f"{shown(self._file)} is corrupt: {message}") from None
        return self._content

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Exclude other writers, also in other processes."""
        try:
            make_folder(self._folder)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(self._folder / TOKENS_LOCK, flags, 0o600), "rb+", buffering=0) as lock:
                _hand_over(lock.fileno(), self._folder)
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise TokenFileError(f"{shown(self._file)} cannot be written: {error.strerror}") from None

    def _write(self, entries: Iterable[KeptToken]) -> None:
        """Replace the file atomically. Its modification time always increases, even if the clock is set back.

        Raises ValueError if the file would be too large to be read.
        """
        entries = [*entries]
        data = {"format": FORMAT, "tokens": [token_entry_data(entry) for entry in entries]}
        octets = json.dumps(data, indent=1).encode() + b"\n"
        if len(octets) > MAX_SIZE:  # nobody could read it
            raise ValueError(f"the file of tokens would have more than {MAX_SIZE:,} octets, the limit: revoke some")
        if self._testify:
            known = self._read().entries.values()
            self._testify(tokens_not_in(known, entries), tokens_not_in(entries, known))
        with replacing(self._file) as out:  # a new file: root must not write to, or give away, a file of the owner's
            out.write(octets)
            out.flush()
            _hand_over(out.fileno(), self._folder)
            modified_ns = max(os.fstat(out.fileno()).st_mtime_ns, self._content.version[0] + 1)
            os.utime(out.fileno(), ns=(modified_ns, modified_ns))


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(SECRET_SIZE)


def secret_digest(secret: str) -> str:
    """The SHA-256 of a secret, in hex."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def single_token(tokens: Iterable[Token], id_or_name: str) -> Token:
    """The only token with an id or a name. Raises NoSuchTokenError."""
    found = [token for token in tokens if token.id == id_or_name.lower()]
    found = found or [token for token in tokens if id_or_name and token.name == id_or_name]
    if not found:
        raise NoSuchTokenError(f"there is no token with the id or name {id_or_name!r}")
    if len(found) > 1:
        ids = ", ".join(token.id for token in found)
        raise NoSuchTokenError(f"{len(found)} tokens have the name {id_or_name!r}; choose one by its id: {ids}")
    return found[0]


def _hand_over(fd: int, folder: Path) -> None:
    """Give an open file that root made, no other at its path, to the folder's owner, who must be able to read it."""
    owner = os.stat(folder)
    if os.geteuid() == 0 and owner.st_uid != 0:
        hand_over(fd, owner.st_uid, owner.st_gid)
