"""The routes of tokens: of the caller, which stands for Cloudflare's user, and of accounts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from dnsd.api.envelope import Reply
from dnsd.api.policies import GROUPS, TokenBody, group_shape, token_fields, token_shape
from dnsd.api.request import Call
from dnsd.manage import token_changes
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.token_changes import TokenChange
from dnsd.manage.token_port import Tokens
from dnsd.manage.tokens import Token
from dnsd.model.times import time_text

MAX_LISTED = 100  # on one page


async def verify_token(call: Call) -> Reply:
    """Check that the token is valid"""
    token = call.actor.token
    shape = {"id": token.id, "status": "active"}
    if token.expires:
        shape["expires_on"] = time_text(token.expires)
    return Reply(shape, messages=["This API Token is valid and active"])


async def list_permission_groups(call: Call) -> Reply:
    """List the permissions that a token can have"""
    name, scope = call.query.get("name", ""), call.query.get("scope", "")
    found = [one for one in GROUPS if name in ("", one.name) and scope in ("", one.scope)]
    return Reply(call.listed(found, group_shape))


async def list_tokens(call: Call) -> Reply:
    """List the token itself and the tokens made from it; for an operator's token, all tokens"""
    now, found = datetime.now(UTC), _tokens(call)
    if call.query.get("include_expired", "").lower() != "true":
        found = [one for one in found if not one.is_expired(now)]
    if call.query.get("direction") == "desc":
        found.reverse()
    return Reply(call.page(default=20, largest=MAX_LISTED).of_list(found, partial(token_shape, now=now)))


async def get_token(call: Call) -> Reply:
    """Get a token"""
    return Reply(token_shape(_token(call), datetime.now(UTC)))


async def create_token(call: Call) -> Reply:
    """Create a token, no wider and no longer-lived than the token that asks; only this answer has its `value`"""
    fields = token_fields(call.fields(TokenBody), call.path.get("account_id"))
    asks, loaded, now = call.actor.token, call.service.loaded, datetime.now(UTC)
    dataset, quotas = loaded.dataset, loaded.settings.quotas
    done = await _change(
        call, "token.create", lambda file: token_changes.create_token(file, asks, fields, dataset, now, quotas=quotas)
    )
    return Reply({**token_shape(done.token, now), "value": done.secret})


async def edit_token(call: Call) -> Reply:
    """Replace the name, policies and expiry of a token"""
    asks, loaded, now, token = call.actor.token, call.service.loaded, datetime.now(UTC), _token(call)
    fields = token_fields(call.fields(TokenBody, token_shape(token, now)), call.path.get("account_id"))
    edit = partial(token_changes.edit_token, dataset=loaded.dataset, now=now, quotas=loaded.settings.quotas)
    done = await _change(call, "token.edit", lambda file: edit(file, asks, token.id, fields))
    return Reply(token_shape(done.token, now))


async def roll_token(call: Call) -> Reply:
    """Give a token another secret, which is the result; the old one is refused from then on"""
    asks, token = call.actor.token, _token(call)
    done = await _change(
        call, "token.roll", lambda file: token_changes.roll_token(file, asks, token.id, datetime.now(UTC))
    )
    return Reply(done.secret)


async def delete_token(call: Call) -> Reply:
    """Revoke a token and all tokens made from it"""
    asks, token = call.actor.token, _token(call)
    done = await _change(
        call, "token.revoke", lambda file: token_changes.revoke_token(file, asks, token.id, datetime.now(UTC))
    )
    others = len(done.also_revoked)
    return Reply({"id": token.id}, messages=[f"{others} tokens made from it are revoked, too"] if others else [])


async def _change(call: Call, action: str, verb: Callable[[Tokens], TokenChange]) -> TokenChange:
    return await call.service.change_tokens(call.actor, action, verb)


def _tokens(call: Call) -> list[Token]:
    """The tokens that the caller may see, of the account in the path if there is one."""
    file, asks = call.service.tokens, call.actor.token
    if account_id := call.path.get("account_id"):
        return token_changes.account_tokens(file, asks, call.dataset, account_id)
    return token_changes.own_tokens(file, asks)


def _token(call: Call) -> Token:
    """The token in the path. Raises RefusedError."""
    found = next((one for one in _tokens(call) if one.id == call.path["token_id"]), None)
    if found is None:
        raise refused(Reason.NOT_FOUND, "not_found: there is no token with this id")
    return found
