"""Tokens and their permissions, the file that stores them, and the limit on failed authentications.

The file is in the state folder and holds only hashes of the secrets. The server and the command line share it: writers
take turns, and readers notice a change at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum, auto
from pathlib import Path
from typing import Any

from dnsd.errors import DnsdError
from dnsd.model.times import parse_time, time_text
from dnsd.whole_file import hand_over, replacing
from dnsd.wire.addresses import packed_ip

FILE_NAME = "tokens.json"  # in the state folder
LOCK_NAME = "tokens.lock"
FORMAT = 1
PREFIX = "dnsd_"  # of secrets: scanners recognize a leaked one, and no secret looks like an option
SECRET_SIZE = 32  # octets
MAX_NAME = 100  # characters
ID = re.compile("[0-9a-f]{32}")
DIGEST = re.compile("[0-9a-f]{64}")


class Area(StrEnum):
    """The kind of objects that a permission covers."""

    MAPS = "maps"
    PREFIXES = "prefixes"
    ZONES = "zones"
    DNS = "dns"


class AccessLevel(StrEnum):
    """The access that a permission grants; `edit` includes `read`."""

    READ = "read"
    EDIT = "edit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token without its secret: its scope (accounts and zones) and its permissions.

    Accounts and zones are ids; without any, the scope is everything. Without permissions, everything is permitted.
    Raises ValueError for invalid ids, names and times.
    """

    id: str
    name: str
    created_at: datetime
    expires_at: datetime | None = None
    accounts: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    permissions: tuple[tuple[Area, AccessLevel], ...] = ()

    def __post_init__(self) -> None:
        for text in (self.id, *self.accounts, *self.zones):
            if not ID.fullmatch(text):
                raise ValueError(f"{text!r} is not an id of 32 hexadecimal digits")
        if len(self.name) > MAX_NAME or not self.name.isprintable():
            raise ValueError(f"a token's name has at most {MAX_NAME} characters, all printable")
        if any(time is not None and time.tzinfo is None for time in (self.created_at, self.expires_at)):
            raise ValueError("a time needs a time zone")

    @property
    def is_operator(self) -> bool:
        """Whether the token grants full access."""
        return not (self.accounts or self.zones or self.permissions)

    def is_expired(self, now: datetime) -> bool:
        """Whether the token has expired."""
        return self.expires_at is not None and now >= self.expires_at

    def may(self, area: Area, level: AccessLevel, *, account_id: str, zone_id: str | None = None) -> bool:
        """Whether the token permits access to a zone and its records or, without a zone, to the account's objects."""
        return self.covers(account_id, zone_id) and self.grants(area, level)

    def covers(self, account_id: str, zone_id: str | None = None) -> bool:
        """Whether a zone or, without a zone, the account is in the token's scope; others must stay hidden.

        A token for zones only covers no account.
        """
        if not (self.accounts or self.zones):
            return True
        return account_id in self.accounts or zone_id in self.zones

    def grants(self, area: Area, level: AccessLevel) -> bool:
        """Whether the token has the permission, within its scope.

        DNS permissions include reading zones, as at Cloudflare: clients look up a zone before its records.
        """
        if (area, level) == (Area.ZONES, AccessLevel.READ) and self.grants(Area.DNS, level):
            return True
        return not self.permissions or not {(area, level), (area, AccessLevel.EDIT)}.isdisjoint(self.permissions)


def permission_text(permission: tuple[Area, AccessLevel]) -> str:
    """A permission as text, such as `dns:edit`."""
    return ":".join(permission)


def parse_permission(text: str) -> tuple[Area, AccessLevel]:
    """Parse a permission such as `dns:edit`. Raises ValueError."""
    area, _, level = text.partition(":")
    try:
        return Area(area), AccessLevel(level)
    except ValueError:
        choices = f"{{{','.join(Area)}}}:{{{','.join(AccessLevel)}}}"
        raise ValueError(f"{text!r} is not a permission; use {choices}") from None


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
class _Entry:
    """A token, and the SHA-256 of its secret in hex. A secret is random, so a slow hash would add no protection."""

    digest: str
    token: Token


@dataclass(frozen=True, slots=True)
class _Content:
    """The content of the file; `version` identifies the file that was read."""

    version: tuple[int, int, int] = (0, 0, 0)  # time of the last change in ns, octets, inode
    entries: Mapping[str, _Entry] = field(default_factory=dict)  # by digest


class TokenFile:
    """The tokens in a state folder. Every method raises TokenFileError if the file cannot be used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / FILE_NAME
        self._content = _Content()

    def find(self, secret: str, now: datetime) -> TokenLookup:
        """The token with this secret, or the reason to refuse it. A token revoked before the call is not found."""
        digest = _digest(secret)
        entry = self._read().entries.get(digest)
        if entry is None or not hmac.compare_digest(entry.digest, digest):
            return Unusable.UNKNOWN
        return Unusable.EXPIRED if entry.token.is_expired(now) else entry.token

    def get(self, token_id: str, now: datetime) -> Token | None:
        """The token with an id; None if it does not exist or has expired."""
        found = next((token for token in self.tokens() if token.id == token_id), None)
        return found if found and not found.is_expired(now) else None

    def tokens(self) -> list[Token]:
        """All tokens in order of creation, expired ones too."""
        return [entry.token for entry in self._read().entries.values()]

    def create(
        self,
        *,
        name: str,
        now: datetime,
        expires_at: datetime | None = None,
        accounts: Iterable[str] = (),
        zones: Iterable[str] = (),
        permissions: Iterable[tuple[Area, AccessLevel]] = (),
    ) -> tuple[Token, str]:
        """Create a token. Returns it with its secret, which is not stored; on return, the token is on disk.

        Without accounts, zones and permissions, it is an operator's token. Creates the folder if needed. Raises
        ValueError for invalid values.
        """
        token = Token(
            id=secrets.token_hex(16),
            name=name,
            created_at=now,
            expires_at=expires_at,
            accounts=tuple(dict.fromkeys(accounts)),
            zones=tuple(dict.fromkeys(zones)),
            permissions=tuple(dict.fromkeys(permissions)),
        )
        secret = PREFIX + secrets.token_urlsafe(SECRET_SIZE)
        with self._writing():
            self._write([*self._read().entries.values(), _Entry(_digest(secret), token)])
        return token, secret

    def revoke(self, id_or_name: str) -> Token:
        """Delete a token. Raises NoSuchTokenError if no token, or more than one, has the id or name."""
        with self._writing():
            token = _single_token(self.tokens(), id_or_name)
            self._write(entry for entry in self._read().entries.values() if entry.token is not token)
        return token

    def _read(self) -> _Content:
        """The content of the file, read again if it has changed; without a file there are no tokens."""
        try:
            if _version(os.stat(self._file)) != self._content.version:
                with open(self._file, "rb") as stream:
                    self._content = _Content(_version(os.fstat(stream.fileno())), _parsed(stream.read()))
        except FileNotFoundError:
            self._content = _Content()
        except OSError as error:
            raise TokenFileError(f"{self._file} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            message = "restore it from a backup, or remove it and create new tokens with `dnsd token`"
            raise TokenFileError(f"{self._file} is corrupt: {message}") from None
        return self._content

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Exclude other writers, also in other processes."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(self._folder / LOCK_NAME, flags, 0o600), "rb+", buffering=0) as lock:
                _hand_over(lock.fileno(), self._folder)
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise TokenFileError(f"{self._file} cannot be written: {error.strerror}") from None

    def _write(self, entries: Iterable[_Entry]) -> None:
        """Replace the file atomically. Its modification time always increases, even if the clock is set back."""
        data = {"format": FORMAT, "tokens": [_entry_data(entry) for entry in entries]}
        with replacing(self._file) as out:  # a new file: root must not write to, or give away, a file of the owner's
            out.write(json.dumps(data, indent=1).encode() + b"\n")
            out.flush()
            _hand_over(out.fileno(), self._folder)
            modified_ns = max(os.fstat(out.fileno()).st_mtime_ns, self._content.version[0] + 1)
            os.utime(out.fileno(), ns=(modified_ns, modified_ns))


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _single_token(tokens: Iterable[Token], id_or_name: str) -> Token:
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


def _entry_data(entry: _Entry) -> dict[str, Any]:
    token = entry.token
    return {
        "id": token.id,
        "name": token.name,
        "hash": entry.digest,
        "created_at": time_text(token.created_at),
        "expires_at": time_text(token.expires_at) if token.expires_at else None,
        "accounts": token.accounts,
        "zones": token.zones,
        "permissions": [permission_text(permission) for permission in token.permissions],
    }


def _parsed(octets: bytes) -> dict[str, _Entry]:
    """The entries of a file, by digest. Raises ValueError, TypeError, KeyError … for any deviation from the format.

    So an unknown or missing key never widens a token's access.
    """
    data = json.loads(octets)
    if data.keys() != {"format", "tokens"} or data["format"] != FORMAT:
        raise ValueError
    return {entry.digest: entry for entry in map(_parsed_entry, _listed(data["tokens"]))}


def _parsed_entry(data: dict[str, Any]) -> _Entry:
    keys = {"id", "name", "hash", "created_at", "expires_at", "accounts", "zones", "permissions"}
    if data.keys() != keys or not DIGEST.fullmatch(data["hash"]):
        raise ValueError
    token = Token(
        id=data["id"],
        name=data["name"],
        created_at=parse_time(data["created_at"]),
        expires_at=None if data["expires_at"] is None else parse_time(data["expires_at"]),
        accounts=tuple(_listed(data["accounts"])),
        zones=tuple(_listed(data["zones"])),
        permissions=tuple(map(parse_permission, _listed(data["permissions"]))),
    )
    return _Entry(data["hash"], token)


def _listed(value: Any) -> list[Any]:
    """A value if it is a list. Raises TypeError for other values, which might be empty and so widen access."""
    if not isinstance(value, list):
        raise TypeError
    return value


MAX_FAILURES = 10  # of one client
FAILURES_WITHIN_S = 60.0
MAX_CLIENTS = 10_000  # remembered


class Failures:
    """Failed authentications: a client, an IPv4 address or an IPv6 /64, may have ten within a minute.

    At most MAX_CLIENTS are remembered; the clients with the oldest failures are forgotten first. Times are monotonic,
    in seconds.
    """

    def __init__(self) -> None:
        self._times: OrderedDict[bytes, tuple[float, ...]] = OrderedDict()  # latest failures by client, oldest first

    def __len__(self) -> int:
        """The number of remembered clients."""
        return len(self._times)

    def is_blocked(self, client: str, now: float) -> bool:
        """Whether a client has failed too often."""
        times = self._times.get(_network(client), ())
        return len(times) == MAX_FAILURES and now - times[0] < FAILURES_WITHIN_S

    def note(self, client: str, now: float) -> None:
        """Count a failure."""
        network = _network(client)
        self._times[network] = (*self._times.get(network, ()), now)[-MAX_FAILURES:]
        self._times.move_to_end(network)
        if len(self._times) > MAX_CLIENTS:
            self._times.popitem(last=False)

    def forget(self, client: str) -> None:
        """Forget the failures of a client, after a success."""
        self._times.pop(_network(client), None)


def _network(client: str) -> bytes:
    """The key of a client: its IPv4 address or IPv6 /64; all invalid addresses count as one client."""
    try:
        return packed_ip(client)[:8]  # RFC 4291 §2.5.4: a network has a /64
    except (OSError, ValueError):
        return b""
