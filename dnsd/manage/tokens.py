"""Tokens: their scope, their permissions, and their descent.

A token made with another one has it as its parent, and never reaches further than its parent does: each question about
a token is also put to its parent. So a token that is narrowed, expires or is revoked takes with it all made from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict

OPERATOR = "operator"  # to tenants, the name of every token of operators
MAX_NAME = 100  # characters
MAX_POLICIES_SIZE = 65_536  # octets of a token's policies as JSON
ID = re.compile("[0-9a-f]{32}")


class Area(StrEnum):
    """The kind of objects that a permission covers."""

    MAPS = "maps"
    PREFIXES = "prefixes"
    ZONES = "zones"
    DNS = "dns"
    TOKENS = "tokens"


class AccessLevel(StrEnum):
    """The access that a permission grants; `edit` includes `read`."""

    READ = "read"
    EDIT = "edit"


class WrittenPolicy(TypedDict):
    """A policy as a request had it; scope and permissions of the token say what it grants."""

    permission_groups: list[str]  # their ids
    resources: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token without its secret: its scope (accounts and zones) and its permissions.

    Accounts and zones are ids; without any, the scope is everything. Without permissions, everything is permitted.
    All of it holds within the limits of the parent, if there is one. Raises ValueError for invalid ids, names, times.
    """

    id: str
    name: str
    created_at: datetime
    modified_at: datetime | None = None  # None: never
    expires_at: datetime | None = None
    accounts: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    permissions: tuple[tuple[Area, AccessLevel], ...] = ()
    parent: Token | None = None  # the token that made it; None: made on the command line
    written: str = ""  # its policies as the request had them, as JSON; clients compare them with what they sent

    def __post_init__(self) -> None:
        for text in (self.id, *self.accounts, *self.zones):
            if not ID.fullmatch(text):
                raise ValueError(f"{text!r} is not an id of 32 hexadecimal digits")
        if len(self.name) > MAX_NAME or not self.name.isprintable():
            raise ValueError(f"a token's name has at most {MAX_NAME} characters, all printable")
        if any(
            time is not None and time.tzinfo is None for time in (self.created_at, self.modified_at, self.expires_at)
        ):
            raise ValueError("a time needs a time zone")
        if len(self.written) > MAX_POLICIES_SIZE:
            raise ValueError(f"the policies of a token have at most {MAX_POLICIES_SIZE:,} octets as JSON")

    @property
    def policies(self) -> list[WrittenPolicy]:
        """Its policies as written; none: they follow from its scope and permissions."""
        found: list[WrittenPolicy] = json.loads(self.written or "[]")
        return found

    @property
    def line(self) -> Iterator[Token]:
        """The token, its parent, that one's parent, and so on."""
        token: Token | None = self
        while token:
            yield token
            token = token.parent

    @property
    def root(self) -> Token:
        """The first of the line of descent, made on the command line."""
        return [*self.line][-1]

    @property
    def author(self) -> Token:
        """The token to which the changes of its line count: a customer's first token, whoever made it, or the root.

        So the customers whose tokens one operator's token made do not share what an author has.
        """
        return next((one for one in [*self.line][::-1] if not one.is_operator), self.root)

    @property
    def is_operator(self) -> bool:
        """Whether the token grants full access."""
        return not any(one.accounts or one.zones or one.permissions for one in self.line)

    @property
    def expires(self) -> datetime | None:
        """The time at which the token, or a token that it descends from, expires first."""
        return min((one.expires_at for one in self.line if one.expires_at), default=None)

    @property
    def scope(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The accounts and zones of the token or, without any, of the closest token above it; none: everything."""
        return next(((one.accounts, one.zones) for one in self.line if one.accounts or one.zones), ((), ()))

    @property
    def granted(self) -> tuple[tuple[Area, AccessLevel], ...]:
        """The permissions of the token or, without any, of the closest token above it; none: everything."""
        return next((one.permissions for one in self.line if one.permissions), ())

    def is_expired(self, now: datetime) -> bool:
        """Whether the token, or a token that it descends from, has expired."""
        return self.expires is not None and now >= self.expires

    def descends_from(self, other: Token) -> bool:
        """Whether the token is, or was made from, another one."""
        return any(one.id == other.id for one in self.line)

    def may(self, area: Area, level: AccessLevel, *, account_id: str, zone_id: str | None = None) -> bool:
        """Whether the token permits access to a zone and its records or, without a zone, to the account's objects."""
        return self.covers(account_id, zone_id) and self.grants(area, level)

    def covers(self, account_id: str, zone_id: str | None = None) -> bool:
        """Whether a zone or, without a zone, the account is in the token's scope; others must stay hidden.

        A token for zones only covers no account.
        """
        return all(
            not (one.accounts or one.zones) or account_id in one.accounts or zone_id in one.zones for one in self.line
        )

    def grants(self, area: Area, level: AccessLevel) -> bool:
        """Whether the token has the permission, within its scope.

        DNS permissions include reading zones, as at Cloudflare: clients look up a zone before its records.
        """
        wanted = {(area, level), (area, AccessLevel.EDIT)}
        if (area, level) == (Area.ZONES, AccessLevel.READ):
            wanted |= {(Area.DNS, AccessLevel.READ), (Area.DNS, AccessLevel.EDIT)}
        return all(not one.permissions or not wanted.isdisjoint(one.permissions) for one in self.line)


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
