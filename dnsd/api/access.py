"""Authentication and authorization: find a request's token and check its permissions before reading anything else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from starlette.requests import Request

from dnsd.api.connection import HOLDERS, PRESENCE
from dnsd.api.request import ID
from dnsd.manage.failures import Failures
from dnsd.manage.find import find_account, find_zone, no_account, no_zone
from dnsd.manage.refusal import Fault, Reason, RefusedError, refused
from dnsd.manage.service import Service
from dnsd.manage.token_changes import accounts_of
from dnsd.manage.token_port import TokenFileError, Tokens
from dnsd.manage.tokens import AccessLevel, Area, Token
from dnsd.model.dataset import Dataset
from dnsd.process.turns import Presence

BEARER = "bearer "
IDS = frozenset(
    {
        *("account_id", "map_id", "prefix_id", "delegation_id", "zone_id", "record_id", "member_id", "lease_id"),
        "membership_id",
        "token_id",
        "bgp_prefix_id",
        "binding_id",
        "loa_document_id",
        "change_id",
    }
)


class Need(Enum):
    """A route's demand on the token's scope, in addition to an area and a level."""

    SCOPE = auto()  # the token covers the account or zone in the path
    TOKEN = auto()  # any valid token: lists contain only objects in its scope
    OPERATOR = auto()  # the operator's token


@dataclass(frozen=True, slots=True)
class Permission:
    """The permission that a route requires."""

    area: Area | None  # None: any
    level: AccessLevel
    need: Need = Need.SCOPE
    also: Area | None = None  # a second area, at the same level

    def __str__(self) -> str:
        """The name of the permission: `dns:edit`."""
        if self.need is Need.OPERATOR:
            return "the operator's token"
        return " and ".join(f"{area}:{self.level}" for area in self.areas) or "a token"

    @property
    def areas(self) -> tuple[Area, ...]:
        """The areas; the token needs the level in each of them."""
        return tuple(area for area in (self.area, self.also) if area)


class NoPermissionError(RefusedError):
    """The token lacks a permission that it would need within its scope."""

    def __init__(self, permission: str) -> None:
        message = f"Authentication error: the token lacks the permission {permission}"
        super().__init__(Fault(Reason.BAD_CREDENTIALS, message))
        self.permission = permission


class Access:
    """Authenticates requests and counts failed attempts per client address.

    A token has 256 bits and cannot be guessed. The limit on failures only tells a client to stop sending a wrong token.
    A valid token is therefore always accepted, even from an address over the limit, and resets that address's count.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._failures = Failures()

    def knows(self, secret: str) -> bool:
        """Whether a token has this secret; a failure is not counted. Raises TokenFileError."""
        return isinstance(self._tokens.find(secret, datetime.now(UTC)), Token)

    def token_of(self, request: Request, client: str) -> Token:
        """The token of a request. Raises RefusedError if it is missing or not valid."""
        return self.token_with(*_credentials(request), client=client)

    def token_with(self, *secrets: str, client: str) -> Token:
        """The token with one of these secrets. Raises RefusedError if no secret is valid."""
        for secret in secrets:
            found = self._tokens.find(secret, datetime.now(UTC))
            if isinstance(found, Token):
                self._failures.forget(client)
                return found
        now = time.monotonic()
        if self._failures.is_blocked(client, now):
            raise refused(Reason.TOO_MANY_FAILURES, "too many failed attempts to authenticate: wait a minute")
        self._failures.note(client, now)
        raise refused(Reason.BAD_CREDENTIALS, "Authentication error: the token is unknown or has expired")


def check_access(token: Token, permission: Permission, dataset: Dataset, path: Mapping[str, str]) -> None:
    """Raise RefusedError unless a token may use a route on the objects in its path.

    An object outside the token's scope is reported as not found, so that tokens reveal nothing about other accounts.
    """
    if any(not ID.fullmatch(path[name]) for name in IDS.intersection(path)):
        raise refused(Reason.NO_ROUTE, "Could not route to the request's path: an id has 32 hexadecimal digits")
    _check_scope(dataset, token, path)
    if permission.need is Need.OPERATOR and not token.is_operator:
        raise refused(Reason.BAD_CREDENTIALS, "Authentication error: the operator's token is required")
    if not all(token.grants(area, permission.level) for area in permission.areas):
        raise NoPermissionError(str(permission))


def _check_scope(dataset: Dataset, token: Token, path: Mapping[str, str]) -> None:
    """Raise RefusedError if the account in the path, or else the zone, does not exist or is out of scope."""
    if "account_id" in path:
        if not token.covers(find_account(dataset, path["account_id"]).id):
            raise no_account()
    elif "zone_id" in path:
        zone = find_zone(dataset, path["zone_id"])
        if not token.covers(zone.account_id, zone.id):
            raise no_zone()


def presence_of(request: Request) -> Presence:
    """The presence of a request's client."""
    found = request.scope.get("state", {}).get(PRESENCE)
    return found if isinstance(found, Presence) else Presence()


def note_holders(request: Request, token: Token, service: Service) -> None:
    """Count the connection of a request to its token's author and, if the token is for one account, to that one.

    So neither a token used from many networks, nor many tokens of one account, can fill the server's connections.
    """
    accounts: set[str] = set()
    with suppress(RefusedError):  # nothing is loaded
        accounts = accounts_of(token, service.loaded.dataset)
    holders: list[str] = request.scope.get("state", {}).get(HOLDERS, [])
    holders[:] = {token.author.id, *(accounts if len(accounts) == 1 else ())}


def account_for_zone(token: Token, dataset: Dataset, account_id: str | None) -> str:
    """The account of a new zone: the given one, or else the token's only account. Raises RefusedError."""
    if account_id is None:
        own = [key for key in dataset.accounts if token.covers(key)]
        if len(own) != 1:
            raise refused(
                Reason.INVALID, f"an account is required: the token covers {len(own)} accounts", "account", "id"
            )
        account_id = own[0]
    account_id = account_id.lower()
    if account_id not in dataset.accounts or not token.covers(account_id):
        raise refused(Reason.NOT_FOUND, "not_found: there is no account with this id", "account", "id")
    if not token.may(Area.ZONES, AccessLevel.EDIT, account_id=account_id):
        raise NoPermissionError(f"{Area.ZONES}:{AccessLevel.EDIT}")
    return account_id


def has_token(request: Request, tokens: Tokens) -> bool:
    """Whether a request has a valid token; failures are not counted."""
    try:
        found = [tokens.find(secret, datetime.now(UTC)) for secret in _credentials(request)]
    except (RefusedError, TokenFileError):
        return False
    return any(isinstance(one, Token) for one in found)


def _credentials(request: Request) -> list[str]:
    """The secrets in a request's headers: clients send Authorization, X-Auth-Key, or both. Raises RefusedError."""
    header, key = request.headers.get("authorization"), request.headers.get("x-auth-key")
    if header is None and key is None:
        raise refused(Reason.NO_CREDENTIALS, "Missing Authorization header, or X-Auth-Email and X-Auth-Key")
    found = [key.strip()] if key and key.strip() else []
    if header is not None:
        if header.lower().startswith(BEARER) and header[len(BEARER) :].strip():
            found.insert(0, header[len(BEARER) :].strip())
        elif not found:
            raise refused(Reason.BAD_HEADER, "Invalid request headers: Authorization is `Bearer`, a space, and a token")
    if not found:
        raise refused(Reason.BAD_HEADER, "Invalid request headers: X-Auth-Key is empty")
    return found
