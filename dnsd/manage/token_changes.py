"""Verbs on tokens, for the API and the dashboard.

A token sees and changes itself and the tokens made from it; an operator's token, all tokens. A token made by another is
its child, no wider and no longer-lived than its parent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.token_port import NoSuchTokenError, Tokens
from dnsd.manage.tokens import AccessLevel, Area, Token, permission_text
from dnsd.model.dataset import Dataset
from dnsd.model.quota_rules import quota_message, quotas_of
from dnsd.model.quotas import Quotas
from dnsd.model.times import time_text

MAX_OF_LINE = 1_000  # tokens made from one token of a customer, also those for zones that are deleted
MAX_LINE_SIZE = 1024 * 1024  # octets of scopes and policies of such tokens: the file is read again after each change
ID_SIZE = 40  # octets of an id in the file
MAX_TOKENS = 50_000  # in the file
MAX_SCOPE = 500  # accounts and zones of a token
SCOPE, EXPIRY = ("policies",), ("expires_on",)  # fields of a request


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFields:
    """What a request says about a token. Without accounts and zones, or without permissions: as the token that asks."""

    name: str
    accounts: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    permissions: tuple[tuple[Area, AccessLevel], ...] = ()
    expires_at: datetime | None = None
    within: str | None = None  # an account that the scope must be in
    written: str = ""  # the policies of the request, as JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChange:
    """A change of a token, for its requester and the audit log."""

    before: Token | None = None
    after: Token | None = None
    secret: str = ""  # of a new or rolled token
    also_revoked: tuple[Token, ...] = ()  # made from a revoked token

    @property
    def token(self) -> Token:
        """The token after the change or, if it is revoked, before."""
        found = self.after or self.before
        assert found
        return found


def change_between(before: Sequence[Token], after: Sequence[Token]) -> TokenChange:
    """The change that leaves the tokens `before` changed as in `after`, or gone; of several, all descend from one."""
    first = next(
        (one for one in before if not any(one.descends_from(other) for other in before if other is not one)), None
    )
    return TokenChange(
        before=first,
        after=after[0] if after else None,
        also_revoked=() if after else tuple(one for one in before if one is not first),
    )


def own_tokens(file: Tokens, asks: Token) -> list[Token]:
    """The tokens that a token may see and change, in order of creation."""
    return [one for one in file.tokens() if asks.is_operator or one.descends_from(asks)]


def account_tokens(file: Tokens, asks: Token, dataset: Dataset, account_id: str) -> list[Token]:
    """The tokens of `own_tokens` whose whole scope is in an account."""
    return [one for one in own_tokens(file, asks) if accounts_of(one, dataset) == {account_id}]


def find_token(file: Tokens, asks: Token, token_id: str) -> Token:
    """A token that another one may see. Raises RefusedError."""
    found = next((one for one in own_tokens(file, asks) if one.id == token_id), None)
    if found is None:
        raise refused(Reason.NOT_FOUND, "not_found: there is no token with this id")
    return found


def accounts_of(token: Token, dataset: Dataset) -> set[str]:
    """The accounts that a token's scope names, itself or by their zones; empty: all accounts."""
    accounts, zones = token.scope
    return {*accounts, *(dataset.zones[one].account_id for one in zones if one in dataset.zones)}


def tokens_of(file: Tokens, dataset: Dataset, account_id: str) -> int:
    """The number of tokens for an account or zones of it: the use of its quota `tokens`. Raises TokenFileError."""
    return sum(account_id in accounts_of(one, dataset) for one in file.tokens())


def create_token(
    file: Tokens, asks: Token, fields: TokenFields, dataset: Dataset, now: datetime, *, quotas: Quotas
) -> TokenChange:
    """Make a token; `quotas` are those of the settings. Raises RefusedError."""
    asks = _still(file, asks, now)
    new = _within(asks, fields, dataset, now)

    def check(tokens: Sequence[Token], token: Token) -> None:
        if len(tokens) >= MAX_TOKENS:
            raise refused(Reason.FORBIDDEN, f"the server has {MAX_TOKENS:,} tokens, the limit: revoke some")
        if not asks.is_operator and sum(one.descends_from(asks.author) for one in tokens) > MAX_OF_LINE:
            raise refused(
                Reason.FORBIDDEN, f"{MAX_OF_LINE:,} tokens descend from the same token, the limit: revoke some"
            )
        _check_room(tokens, token, dataset, quotas)

    try:
        token, secret = file.create(
            name=new.name,
            now=now,
            expires_at=new.expires_at,
            accounts=new.accounts,
            zones=new.zones,
            permissions=new.permissions,
            parent=asks,
            written=new.written,
            check=check,
        )
    except (ValueError, NoSuchTokenError) as error:
        raise _refused(error) from None
    return TokenChange(after=token, secret=secret)


def edit_token(
    file: Tokens,
    asks: Token,
    token_id: str,
    fields: TokenFields,
    dataset: Dataset,
    now: datetime,
    *,
    quotas: Quotas,
) -> TokenChange:
    """Replace everything in a token except its secret; `quotas` are those of the settings. Raises RefusedError."""
    asks = _still(file, asks, now)
    before = find_token(file, asks, token_id)
    new = _within(asks, fields, dataset, now)
    if before.parent:
        new = _within(before.parent, new, dataset, now)

    def change(old: Token) -> Token:
        return replace(
            old,
            name=new.name,
            accounts=new.accounts,
            zones=new.zones,
            permissions=new.permissions,
            expires_at=new.expires_at,
            written=new.written,
            modified_at=now,
        )

    try:
        after = file.edit(token_id, change, lambda tokens, token: _check_room(tokens, token, dataset, quotas, before))
    except (ValueError, NoSuchTokenError) as error:
        raise _refused(error) from None
    return TokenChange(before=before, after=after)


def roll_token(file: Tokens, asks: Token, token_id: str, now: datetime) -> TokenChange:
    """Give a token another secret. Raises RefusedError."""
    asks = _still(file, asks, now)
    before = find_token(file, asks, token_id)
    if asks.expires and (before.expires is None or before.expires > asks.expires):
        message = "this token outlives the one that asks, which therefore may not have its secret"
        raise refused(Reason.FORBIDDEN, message)
    try:
        after, secret = file.roll(token_id)
    except NoSuchTokenError as error:
        raise _refused(error) from None
    return TokenChange(before=before, after=after, secret=secret)


def revoke_token(file: Tokens, asks: Token, token_id: str, now: datetime) -> TokenChange:
    """Delete a token and all made from it. Raises RefusedError."""
    asks = _still(file, asks, now)
    find_token(file, asks, token_id)
    try:
        revoked, *others = file.revoke(token_id)
    except NoSuchTokenError as error:
        raise _refused(error) from None
    return TokenChange(before=revoked, also_revoked=tuple(others))


def token_data(token: Token) -> dict[str, Any]:
    """A token as plain data, for the audit log and `dnsd token list`."""
    return {
        "id": token.id,
        "name": token.name,
        "accounts": token.accounts,
        "zones": token.zones,
        "permissions": [permission_text(permission) for permission in token.permissions],
        "expires_at": time_text(token.expires_at) if token.expires_at else None,
        "created_at": time_text(token.created_at),
        "parent": token.parent.id if token.parent else None,
    }


def _still(file: Tokens, asks: Token, now: datetime) -> Token:
    """The token that asks, as it is now: it may have been narrowed since its request began. Raises RefusedError."""
    current = file.get(asks.id, now)
    if current is None:
        raise refused(Reason.FORBIDDEN, "the token that asks has been revoked, or has expired")
    return current


def _within(limit: Token, fields: TokenFields, dataset: Dataset, now: datetime) -> TokenFields:
    """The fields; those of `limit` stand in for absent ones. Raises RefusedError if they reach further than it.

    Policies as written are kept only if nothing narrows them.
    """
    asked = fields
    _check_scope(limit, fields, dataset)
    if not (fields.accounts or fields.zones):
        accounts, zones = ((fields.within,), ()) if fields.within else limit.scope
        fields = replace(fields, accounts=accounts, zones=zones)
    for permission in fields.permissions:
        if not limit.grants(*permission):
            message = f"a token without the permission {permission_text(permission)} cannot give it"
            raise refused(Reason.FORBIDDEN, message, *SCOPE)
    expires_at = fields.expires_at or limit.expires
    if expires_at and expires_at <= now:
        raise refused(Reason.INVALID, "the expiry is in the past", *EXPIRY)
    if expires_at and limit.expires and expires_at > limit.expires:
        message = f"a token expires no later than the one that makes it: at the latest {time_text(limit.expires)}"
        raise refused(Reason.FORBIDDEN, message, *EXPIRY)
    fields = replace(fields, permissions=fields.permissions or limit.granted, expires_at=expires_at)
    is_narrowed = any(getattr(fields, one) != getattr(asked, one) for one in ("accounts", "zones", "permissions"))
    return replace(fields, written="" if is_narrowed else fields.written)


def _check_scope(limit: Token, fields: TokenFields, dataset: Dataset) -> None:
    """Raise RefusedError for accounts and zones that do not exist, or are hidden from `limit`."""
    if len(fields.accounts) + len(fields.zones) > MAX_SCOPE:
        raise refused(Reason.INVALID, f"a token is for at most {MAX_SCOPE} accounts and zones", *SCOPE)
    for account_id in fields.accounts:
        if (
            account_id not in dataset.accounts
            or not limit.covers(account_id)
            or account_id != (fields.within or account_id)
        ):
            raise refused(Reason.NOT_FOUND, f"not_found: there is no account {account_id}", *SCOPE)
    for zone_id in fields.zones:
        zone = dataset.zones.get(zone_id)
        if (
            zone is None
            or not limit.covers(zone.account_id, zone_id)
            or zone.account_id != (fields.within or zone.account_id)
        ):
            raise refused(Reason.NOT_FOUND, f"not_found: there is no zone {zone_id}", *SCOPE)


def _check_room(
    tokens: Sequence[Token], new: Token, dataset: Dataset, quotas: Quotas, before: Token | None = None
) -> None:
    """Raise RefusedError if an account gets a token over its quota, or a customer's tokens would be too large.

    `before` is the token before an edit.
    """
    others = [one for one in tokens if one.id != new.id and one.descends_from(new.author)]
    if not new.is_operator and sum(map(_size, (*others, new))) > MAX_LINE_SIZE:
        message = f"accounts, zones and policies of tokens from the same token have over {MAX_LINE_SIZE:,} octets"
        raise refused(Reason.FORBIDDEN, f"{message}, the limit: revoke some")
    totals = Counter(account_id for one in tokens if one.id != new.id for account_id in accounts_of(one, dataset))
    for account_id in sorted(accounts_of(new, dataset) - (accounts_of(before, dataset) if before else set())):
        account = dataset.accounts.get(account_id)
        limit = (quotas_of(account, quotas) if account else quotas).tokens
        if totals[account_id] >= limit:
            where = f"for the account {account_id}"
            raise refused(Reason.QUOTA, quota_message("tokens", limit, totals[account_id] + 1, where))


def _size(token: Token) -> int:
    """The octets of a token's scope and policies in the file, approximately."""
    return len(token.written) + ID_SIZE * (len(token.accounts) + len(token.zones))


def _refused(error: Exception) -> RefusedError:
    """The refusal for an error of the token file."""
    if isinstance(error, NoSuchTokenError):
        return refused(Reason.NOT_FOUND, "not_found: the token was revoked meanwhile")
    return refused(Reason.INVALID, str(error), *(one for one in ("name", "policies") if one in str(error)))
