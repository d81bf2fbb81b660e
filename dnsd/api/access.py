"""Who may do what: credentials to a token, and what a token may, before anything of a request is looked at."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from starlette.requests import Request

from dnsd.api.request import ID
from dnsd.manage.find import find_account, find_zone
from dnsd.manage.refusal import Code, refused
from dnsd.manage.tokens import Area, Failures, Level, Token, TokenFile
from dnsd.model.dataset import Dataset

BEARER = "bearer "
IDS = frozenset(
    {
        *("account_id", "map_id", "prefix_id", "delegation_id", "zone_id", "record_id", "member_id", "lease_id"),
        "membership_id",
    }
)


class Need(Enum):
    """What a route needs beside an area and a level."""

    SCOPE = auto()  # the account or zone in its path is the token's
    TOKEN = auto()  # a token, whatever its scope: lists show what it covers
    OPERATOR = auto()  # the operator's token


@dataclass(frozen=True, slots=True)
class Permission:
    """What a token must have for a route."""

    area: Area | None  # None: any
    level: Level
    need: Need = Need.SCOPE
    also: Area | None = None  # a second area, at the same level

    def __str__(self) -> str:
        """What it is called: `dns:edit`."""
        if self.need is Need.OPERATOR:
            return "the operator's token"
        return " and ".join(f"{area}:{self.level}" for area in self.areas) or "a token"

    @property
    def areas(self) -> tuple[Area, ...]:
        """What the token must have the level for, all of them."""
        return tuple(area for area in (self.area, self.also) if area)


class Access:
    """Knows the tokens, and who fails to show one.

    Nobody guesses 256 bits. The limit of failures is there to tell a client that goes on with a wrong token: so a good
    one is always heard, also from an address where others fail, and ends its own count.
    """

    def __init__(self, tokens: TokenFile) -> None:
        self._tokens = tokens
        self._failures = Failures()

    def token_of(self, request: Request, client: str) -> Token:
        """The token of a request. Raises RefusedError where there is none, or none that is good."""
        return self.token_with(*_credentials(request), client=client)

    def token_with(self, *secrets: str, client: str) -> Token:
        """The token that has one of these secrets. Raises RefusedError where there is none that is good."""
        for secret in secrets:
            found = self._tokens.find(secret, datetime.now(UTC))
            if isinstance(found, Token):
                self._failures.forget(client)
                return found
        now = time.monotonic()
        if self._failures.is_blocked(client, now):
            raise refused(Code.TOO_MANY_FAILURES, "too many failed attempts to authenticate: wait a minute")
        self._failures.note(client, now)
        raise refused(Code.BAD_CREDENTIALS, "Authentication error: the token is not known, or has expired")


def check_access(token: Token, permission: Permission, dataset: Dataset, path: Mapping[str, str]) -> None:
    """Raise RefusedError where a token may not do what a route does with what is in its path.

    What is not in its scope is not found: nobody learns what others have.
    """
    if any(not ID.fullmatch(path[name]) for name in IDS.intersection(path)):
        raise refused(Code.NO_ROUTE, "Could not route to the request's path: an id has 32 hexadecimal digits")
    _check_scope(dataset, token, path)
    if permission.need is Need.OPERATOR and not token.is_operator:
        raise refused(Code.BAD_CREDENTIALS, "Authentication error: this takes the operator's token")
    if not all(token.grants(area, permission.level) for area in permission.areas):
        raise refused(
            Code.BAD_CREDENTIALS,
            f"Authentication error: the token lacks the permission {permission}",
        )


def _check_scope(dataset: Dataset, token: Token, path: Mapping[str, str]) -> None:
    """Raise RefusedError where the account in a path, or without one the zone, is not there, or not in the scope."""
    if "account_id" in path:
        if not token.covers(find_account(dataset, path["account_id"]).id):
            find_account(dataset, "")
    elif "zone_id" in path:
        zone = find_zone(dataset, path["zone_id"])
        if not token.covers(zone.account_id, zone.id):
            find_zone(dataset, "")


def _credentials(request: Request) -> list[str]:
    """The secrets that a request shows: clients send one, or both kinds. Raises RefusedError."""
    header, key = request.headers.get("authorization"), request.headers.get("x-auth-key")
    if header is None and key is None:
        raise refused(Code.NO_CREDENTIALS, "Missing Authorization header, or X-Auth-Email and X-Auth-Key")
    found = [key.strip()] if key and key.strip() else []
    if header is not None:
        if header.lower().startswith(BEARER) and header[len(BEARER) :].strip():
            found.insert(0, header[len(BEARER) :].strip())
        elif not found:
            raise refused(Code.BAD_HEADER, "Invalid request headers: Authorization is `Bearer`, a space, and a token")
    if not found:
        raise refused(Code.BAD_HEADER, "Invalid request headers: X-Auth-Key is empty")
    return found
