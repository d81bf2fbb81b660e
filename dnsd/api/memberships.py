"""The routes of memberships: Cloudflare's users are members of accounts; here, a token is a member of its accounts."""

from __future__ import annotations

from functools import partial

from dnsd.api.envelope import Reply
from dnsd.api.request import Call
from dnsd.api.shapes import JsonObject, account_shape
from dnsd.app import Loaded
from dnsd.manage.find import find_account
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.tokens import AccessLevel, Area, Token, permission_text
from dnsd.model.accounts import Account
from dnsd.model.fields import derived_id

ACCEPTED = "accepted"
MAX_MEMBERSHIPS = 50  # on one page
AREAS = {
    Area.MAPS: "address_maps",
    Area.PREFIXES: "prefixes",
    Area.ZONES: "zones",
    Area.DNS: "dns_records",
    Area.TOKENS: "api_tokens",
}
OPERATOR_ROLE = "Super Administrator - All Privileges"
UNLIMITED_ROLE = "Administrator"


async def list_memberships(call: Call) -> Reply:
    """List the accounts that the token covers, as memberships"""
    query = call.query
    found = [] if query.get("status", ACCEPTED) != ACCEPTED else _own_accounts(call)
    if name := (query.get("account.name") or query.get("name") or "").lower():
        found = [account for account in found if name in account.name.lower()]
    if query.get("order") == "account.name":
        found.sort(key=lambda account: (account.name, account.id))
    if query.get("direction") == "desc":
        found.reverse()
    shape = partial(_shape, call.service.loaded, call.actor.token)
    return Reply(call.page(default=20, largest=MAX_MEMBERSHIPS).of_list(found, shape))


async def get_membership(call: Call) -> Reply:
    """Get an account that the token covers, as a membership"""
    wanted = call.path["membership_id"]
    for account in _own_accounts(call):
        if membership_id(account) == wanted:
            return Reply(_shape(call.service.loaded, call.actor.token, account))
    raise refused(Reason.NOT_FOUND, "not_found: there is no membership with this id")


async def list_members(call: Call) -> Reply:
    """List the members of an account: the token itself"""
    account = find_account(call.dataset, call.path["account_id"])
    return Reply(call.page(default=20, largest=MAX_MEMBERSHIPS).of_list([_member_shape(call, account)], dict))


async def get_member(call: Call) -> Reply:
    """Get the token as a member of an account"""
    account = find_account(call.dataset, call.path["account_id"])
    if call.path["membership_id"] != membership_id(account):
        raise refused(Reason.NOT_FOUND, "not_found: there is no member with this id")
    return Reply(_member_shape(call, account))


async def list_roles(call: Call) -> Reply:
    """List the roles in an account: those of the token"""
    roles = _member_roles(call.actor.token)
    return Reply(call.page(default=20, largest=MAX_MEMBERSHIPS).of_list(roles, dict))


def membership_id(account: Account) -> str:
    """The id of the membership in an account; the same for every token."""
    return derived_id("membership", account.id)


def _own_accounts(call: Call) -> list[Account]:
    return [account for account in call.dataset.accounts.values() if call.actor.token.covers(account.id)]


def _shape(loaded: Loaded, token: Token, account: Account) -> JsonObject:
    return {
        "id": membership_id(account),
        "status": ACCEPTED,
        "account": account_shape(loaded, account),
        "api_access_enabled": True,
        "roles": _roles(token),
        "permissions": _permissions(token),
    }


def _member_shape(call: Call, account: Account) -> JsonObject:
    token = call.actor.token
    return {
        "id": membership_id(account),
        "email": "",
        "status": ACCEPTED,
        "user": {"id": token.id, "email": "", "first_name": token.name or None, "last_name": None},
        "roles": _member_roles(token),
    }


def _member_roles(token: Token) -> list[JsonObject]:
    permissions = _permissions(token)
    return [
        {"id": derived_id("role", name), "name": name, "description": name, "permissions": permissions}
        for name in _roles(token)
    ]


def _permissions(token: Token) -> JsonObject:
    return {
        name: {"read": token.grants(area, AccessLevel.READ), "write": token.grants(area, AccessLevel.EDIT)}
        for area, name in AREAS.items()
    }


def _roles(token: Token) -> list[str]:
    """Cloudflare's role names for a token without permissions, which has all; otherwise the token's permissions."""
    if token.is_operator:
        return [OPERATOR_ROLE]
    return [*map(permission_text, token.granted)] or [UNLIMITED_ROLE]
