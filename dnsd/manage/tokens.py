"""Tokens: who may do what, the file that knows them, and how often a client may guess.

The file is in the state folder and holds hashes; the secrets are with those who use them, and nowhere else. The server
and the command line share it: writers take turns, and readers notice at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum, auto
from pathlib import Path
from typing import Any

from dnsd.errors import DnsdError
from dnsd.manage.folders import sync_folder
from dnsd.model.times import parse_time, time_text
from dnsd.net.limits import packed_ip

FILE_NAME = "tokens.json"  # in the state folder
LOCK_NAME = "tokens.lock"
FORMAT = 1
PREFIX = "dnsd_"  # of secrets: those who scan for leaked ones find it, and no secret looks like an option
SECRET_SIZE = 32  # octets
MAX_NAME = 100  # characters
ID = re.compile("[0-9a-f]{32}")
DIGEST = re.compile("[0-9a-f]{64}")


class Area(StrEnum):
    """What a permission is about."""

    MAPS = "maps"
    PREFIXES = "prefixes"
    ZONES = "zones"
    DNS = "dns"


class Level(StrEnum):
    """How much a permission is; `edit` includes `read`."""

    READ = "read"
    EDIT = "edit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known of a token: whose objects it is for (its scope), and what it may do with them.

    Accounts and zones are ids; with neither, it is for all. Without permissions, it may do everything.
    Raises ValueError for ids, names and times that cannot be.
    """

    id: str
    name: str
    created_at: datetime
    expires_at: datetime | None = None
    accounts: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    permissions: tuple[tuple[Area, Level], ...] = ()

    def __post_init__(self) -> None:
        for text in (self.id, *self.accounts, *self.zones):
            if not ID.fullmatch(text):
                raise ValueError(f"{text!r} is not an id of 32 hexadecimal digits")
        if len(self.name) > MAX_NAME or not self.name.isprintable():
            raise ValueError(f"a name has at most {MAX_NAME} characters, all of them printable")
        if any(time is not None and time.tzinfo is None for time in (self.created_at, self.expires_at)):
            raise ValueError("a time needs its zone")

    @property
    def is_operator(self) -> bool:
        """Whether the token is for everything."""
        return not (self.accounts or self.zones or self.permissions)

    def is_expired(self, now: datetime) -> bool:
        """Whether the token's time is over."""
        return self.expires_at is not None and now >= self.expires_at

    def may(self, area: Area, level: Level, *, account_id: str, zone_id: str | None = None) -> bool:
        """Whether the token may do this with a zone and what is in it; without one, with the account's own objects."""
        return self.covers(account_id, zone_id) and self.grants(area, level)

    def covers(self, account_id: str, zone_id: str | None = None) -> bool:
        """Whether a zone, or without one its account, is in the token's scope; what is not, it must not hear of.

        One for zones alone covers no account.
        """
        if not (self.accounts or self.zones):
            return True
        return account_id in self.accounts or zone_id in self.zones

    def grants(self, area: Area, level: Level) -> bool:
        """Whether the token has the permission, for whatever is in its scope.

        One for DNS may see which zones it is for, as at Cloudflare: clients look a zone up before its records.
        """
        if (area, level) == (Area.ZONES, Level.READ) and self.grants(Area.DNS, level):
            return True
        return not self.permissions or not {(area, level), (area, Level.EDIT)}.isdisjoint(self.permissions)


def permission_text(permission: tuple[Area, Level]) -> str:
    """A permission as people write it: `dns:edit`."""
    return ":".join(permission)


def parse_permission(text: str) -> tuple[Area, Level]:
    """The permission that a text such as `dns:edit` means. Raises ValueError."""
    area, _, level = text.partition(":")
    try:
        return Area(area), Level(level)
    except ValueError:
        choices = f"{{{','.join(Area)}}}:{{{','.join(Level)}}}"
        raise ValueError(f"{text!r} is not a permission; known are {choices}") from None


class Unusable(Enum):
    """Why a secret is of no use."""

    UNKNOWN = auto()
    EXPIRED = auto()


Found = Token | Unusable  # what may be known of a secret


class TokenFileError(DnsdError):
    """A file of tokens that cannot be used; says which, and why."""


class NoSuchTokenError(DnsdError, LookupError):
    """An id or a name that no token has, or a name that several have."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A token, and the SHA-256 of its secret in hex. A secret is random: to hash it slowly would protect nothing."""

    digest: str
    token: Token


@dataclass(frozen=True, slots=True)
class _Content:
    """What the file said when it was read; `version` tells that reading's file from all others."""

    version: tuple[int, int, int] = (0, 0, 0)  # time of the last change in ns, octets, inode
    entries: Mapping[str, _Entry] = field(default_factory=dict)  # by digest


class TokenFile:
    """The tokens in a state folder. Every method raises TokenFileError where the file cannot be used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / FILE_NAME
        self._content = _Content()

    def find(self, secret: str, now: datetime) -> Found:
        """The token with this secret, or why it is of no use. What was revoked before the call is not found."""
        digest = _digest(secret)
        entry = self._read().entries.get(digest)
        if entry is None or not hmac.compare_digest(entry.digest, digest):
            return Unusable.UNKNOWN
        return Unusable.EXPIRED if entry.token.is_expired(now) else entry.token

    def get(self, token_id: str, now: datetime) -> Token | None:
        """The token with an id, as long as it is good."""
        found = next((token for token in self.tokens() if token.id == token_id), None)
        return found if found and not found.is_expired(now) else None

    def tokens(self) -> list[Token]:
        """All tokens, in the order in which they were created; expired ones too."""
        return [entry.token for entry in self._read().entries.values()]

    def create(
        self,
        *,
        name: str,
        now: datetime,
        expires_at: datetime | None = None,
        accounts: Iterable[str] = (),
        zones: Iterable[str] = (),
        permissions: Iterable[tuple[Area, Level]] = (),
    ) -> tuple[Token, str]:
        """A new token and its secret, which nobody will see again; both are on the disk, the folder is made if need be.

        Without accounts, zones and permissions it is the operator's. Raises ValueError for what no token can have.
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
        """Forget a token, for good. Raises NoSuchTokenError where none, or more than one, is meant."""
        with self._writing():
            token = _named(self.tokens(), id_or_name)
            self._write(entry for entry in self._read().entries.values() if entry.token is not token)
        return token

    def _read(self) -> _Content:
        """What the file says now, read if it is another one than last time; without a file there are no tokens."""
        try:
            if _version(os.stat(self._file)) != self._content.version:
                with open(self._file, "rb") as stream:
                    self._content = _Content(_version(os.fstat(stream.fileno())), _parsed(stream.read()))
        except FileNotFoundError:
            self._content = _Content()
        except OSError as error:
            raise TokenFileError(f"{self._file} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            message = "it is not what `dnsd token` writes; take it from a backup, or remove it and create new tokens"
            raise TokenFileError(f"{self._file} is damaged: {message}") from None
        return self._content

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep other writers out, in whatever process they are."""
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
        """Replace the file, all or nothing. Its time is later than the last one's, whatever the clock says."""
        said = {"format": FORMAT, "tokens": [_entry_data(entry) for entry in entries]}
        beside = self._file.with_name(FILE_NAME + ".new")
        beside.unlink(missing_ok=True)
        try:
            # Made anew: root must not write into, nor give away, what the folder's owner has put there.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(beside, flags, 0o600), "wb") as out:
                out.write(json.dumps(said, indent=1).encode() + b"\n")
                out.flush()
                _hand_over(out.fileno(), self._folder)
                modified_ns = max(os.fstat(out.fileno()).st_mtime_ns, self._content.version[0] + 1)
                os.utime(out.fileno(), ns=(modified_ns, modified_ns))
                os.fsync(out.fileno())
            os.replace(beside, self._file)
        except OSError:
            beside.unlink(missing_ok=True)  # what fills a full disk
            raise
        sync_folder(self._folder)


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _named(tokens: Iterable[Token], id_or_name: str) -> Token:
    """The one token that is meant. Raises NoSuchTokenError."""
    found = [token for token in tokens if token.id == id_or_name.lower()]
    found = found or [token for token in tokens if id_or_name and token.name == id_or_name]
    if not found:
        raise NoSuchTokenError(f"there is no token with the id or name {id_or_name!r}")
    if len(found) > 1:
        ids = ", ".join(token.id for token in found)
        raise NoSuchTokenError(f"{len(found)} tokens have the name {id_or_name!r}; say which by its id: {ids}")
    return found[0]


def _hand_over(fd: int, folder: Path) -> None:
    """Give a file that root has made to the folder's owner, who is to read it; nothing else in its place."""
    status, owner = os.fstat(fd), os.stat(folder)
    is_root_s = status.st_uid == 0 and stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    if os.geteuid() == 0 and owner.st_uid != 0 and is_root_s:
        os.fchown(fd, owner.st_uid, owner.st_gid)


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
    """The entries in a file, by digest; raises, of whatever kind, for anything that is not as it was written.

    So a key that is not known, or missing, never makes a token be for more than it was.
    """
    said = json.loads(octets)
    if said.keys() != {"format", "tokens"} or said["format"] != FORMAT:
        raise ValueError
    return {entry.digest: entry for entry in map(_parsed_entry, _listed(said["tokens"]))}


def _parsed_entry(said: dict[str, Any]) -> _Entry:
    keys = {"id", "name", "hash", "created_at", "expires_at", "accounts", "zones", "permissions"}
    if said.keys() != keys or not DIGEST.fullmatch(said["hash"]):
        raise ValueError
    token = Token(
        id=said["id"],
        name=said["name"],
        created_at=parse_time(said["created_at"]),
        expires_at=None if said["expires_at"] is None else parse_time(said["expires_at"]),
        accounts=tuple(_listed(said["accounts"])),
        zones=tuple(_listed(said["zones"])),
        permissions=tuple(map(parse_permission, _listed(said["permissions"]))),
    )
    return _Entry(said["hash"], token)


def _listed(value: Any) -> list[Any]:
    """A list; what else is empty must not be taken for one."""
    if not isinstance(value, list):
        raise TypeError
    return value


MAX_FAILURES = 10  # of one client
FAILURES_WITHIN_S = 60.0
MAX_CLIENTS = 10_000  # that are remembered


class Failures:
    """Failed authentications: a client, an IPv4 address or an IPv6 /64, has ten within a minute.

    Only so many clients are remembered; those that failed longest ago are forgotten first. Times are monotonic, in
    seconds.
    """

    def __init__(self) -> None:
        self._times: OrderedDict[bytes, tuple[float, ...]] = OrderedDict()  # the last ones of each client, oldest first

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._times)

    def is_blocked(self, client: str, now: float) -> bool:
        """Whether the client at an address has failed too often."""
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
        """Forget the failures of a client that has succeeded."""
        self._times.pop(_network(client), None)


def _network(client: str) -> bytes:
    """What counts as one client; all that are no addresses are one."""
    try:
        return packed_ip(client)[:8]  # RFC 4291 §2.5.4: a network has a /64
    except (OSError, ValueError):
        return b""
