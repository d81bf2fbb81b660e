"""The bodies and shapes of tokens: Cloudflare's policies, which grant permission groups on resources.

dnsd's tokens have one scope and one list of permissions, so all policies of a token are for the same resources.
Policies come back as they were sent: Terraform takes any other form for a change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from dnsd.api.bodies import RequestBody
from dnsd.api.other_fields import Unavailable
from dnsd.api.shapes import JsonObject
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.token_changes import TokenFields
from dnsd.manage.tokens import MAX_NAME, AccessLevel, Area, Token, WrittenPolicy
from dnsd.model.fields import Id, derived_id
from dnsd.model.times import parse_time, time_text

ACCOUNT, ZONE = "com.cloudflare.api.account", "com.cloudflare.api.account.zone"
ALL = "*"
RESOURCE = re.compile(rf"({re.escape(ZONE)}|{re.escape(ACCOUNT)})\.([0-9a-f]{{32}}|\*)")
MAX_POLICIES = 100

Targets = tuple[frozenset[str], frozenset[str]]  # ids of accounts and zones; none: everything


@dataclass(frozen=True, slots=True)
class Group:
    """One of Cloudflare's permission groups, with its id there; without a permission, it is dnsd's own, for all."""

    id: str
    name: str
    scope: str
    permission: tuple[Area, AccessLevel] | None = None


GROUPS = (
    Group(derived_id("permission group", "all"), "All Permissions", ACCOUNT),
    Group("d07270cea5484b08ad6440c985af2148", "Address Maps Read", ACCOUNT, (Area.MAPS, AccessLevel.READ)),
    Group("6ffe7f4299db4d4cb54f64e0eb12a456", "Address Maps Write", ACCOUNT, (Area.MAPS, AccessLevel.EDIT)),
    Group("27beb7f8333b41e2b946f0e23cd8091e", "IP Prefixes: Read", ACCOUNT, (Area.PREFIXES, AccessLevel.READ)),
    Group("92b8234e99f64e05bbbc59e1dc0f76b6", "IP Prefixes: Write", ACCOUNT, (Area.PREFIXES, AccessLevel.EDIT)),
    Group("c8fed203ed3043cba015a93ad1616f1f", "Zone Read", ZONE, (Area.ZONES, AccessLevel.READ)),
    Group("e6d2666161e84845a636613608cee8d5", "Zone Write", ZONE, (Area.ZONES, AccessLevel.EDIT)),
    Group("82e64a83756745bbbb1c9c2701bf816b", "DNS Read", ZONE, (Area.DNS, AccessLevel.READ)),
    Group("4755a26eedb94da69e1066d98aa820be", "DNS Write", ZONE, (Area.DNS, AccessLevel.EDIT)),
    Group("eb56a6953c034b9d97dd838155666f06", "Account API Tokens Read", ACCOUNT, (Area.TOKENS, AccessLevel.READ)),
    Group("5bc3f8b21c554832afc660159ab75fa4", "Account API Tokens Write", ACCOUNT, (Area.TOKENS, AccessLevel.EDIT)),
)
GROUPS_BY_ID = {group.id: group for group in GROUPS}
GROUPS_BY_PERMISSION = {group.permission: group for group in GROUPS}


class GroupReference(RequestBody):
    """A permission group."""

    id: Id
    name: str | None = Field(default=None, description="ignored; the id counts")
    meta: dict[str, Any] | None = Field(default=None, description="ignored")


class PolicyBody(RequestBody):
    """Permission groups on resources."""

    effect: Literal["allow"]
    permission_groups: tuple[GroupReference, ...] = Field(min_length=1, max_length=MAX_POLICIES)
    resources: dict[str, str | dict[str, str]] = Field(
        min_length=1, description=f"`{ACCOUNT}.ID` or `{ZONE}.ID`, with the value `*`; `*` for the id: all"
    )


def _time(text: str) -> str:
    return time_text(parse_time(text))


class TokenBody(RequestBody):
    """A token."""

    unavailable: ClassVar[Mapping[str, Unavailable]] = {
        "condition": Unavailable(),
        "not_before": Unavailable(),
        "status": Unavailable(("active",), "revoke the token, or let it expire"),
    }

    name: str = Field(min_length=1, max_length=MAX_NAME)
    policies: tuple[PolicyBody, ...] = Field(max_length=MAX_POLICIES)
    expires_on: Annotated[str, AfterValidator(_time)] | None = Field(
        default=None, description="default: as the token that makes it"
    )


def token_fields(body: TokenBody, within: str | None = None) -> TokenFields:
    """The fields of a token in a body, within an account if one is given. Raises RefusedError."""
    if not body.policies:
        raise refused(Reason.INVALID, "a token needs a policy", "policies")
    targets = {_targets(policy, index) for index, policy in enumerate(body.policies)}
    if len(targets) > 1:
        message = "policies for different resources are not available here: make a token for each"
        raise refused(Reason.INVALID, message, "policies")
    accounts, zones = targets.pop()
    groups = [*_groups(body)]
    for group in groups:
        if zones and not accounts and group.scope == ACCOUNT and group.permission:
            message = f"{group.name} is a permission on accounts, but the resources are zones"
            raise refused(Reason.INVALID, message, "policies")
    permissions = tuple(group.permission for group in groups if group.permission)
    return TokenFields(
        name=body.name,
        accounts=tuple(sorted(accounts)),
        zones=tuple(sorted(zones)),
        permissions=permissions if len(permissions) == len(groups) else (),
        expires_at=parse_time(body.expires_on) if body.expires_on else None,
        within=within,
        written=json.dumps([*map(_written, body.policies)]),
    )


def _written(policy: PolicyBody) -> WrittenPolicy:
    return {"permission_groups": [one.id for one in policy.permission_groups], "resources": policy.resources}


def _groups(body: TokenBody) -> Iterator[Group]:
    for index, policy in enumerate(body.policies):
        for number, reference in enumerate(policy.permission_groups):
            if reference.id not in GROUPS_BY_ID:
                path = ("policies", index, "permission_groups", number, "id")
                raise refused(Reason.INVALID, "this permission group is not available here", *path)
            yield GROUPS_BY_ID[reference.id]


def _targets(policy: PolicyBody, index: int) -> Targets:
    """The accounts and zones of a policy. Raises RefusedError."""
    found: dict[str, set[str]] = {ACCOUNT: set(), ZONE: set()}
    for name, value in policy.resources.items():
        path = ("policies", index, "resources", name)
        inner = value if isinstance(value, dict) else {}
        if inner and set(inner) != {f"{ZONE}.{ALL}"}:  # an account's zones, one by one
            for zone in inner:
                _add(zone, inner[zone], found, path)
        else:
            _add(name, ALL if inner else value, found, path)
    if ALL in found[ACCOUNT] | found[ZONE]:
        return frozenset(), frozenset()
    return frozenset(found[ACCOUNT]), frozenset(found[ZONE])


def _add(name: str, value: str | dict[str, str], found: dict[str, set[str]], path: tuple[str | int, ...]) -> None:
    """Add a resource. Raises RefusedError."""
    match = RESOURCE.fullmatch(name)
    if not match or value != ALL:
        message = f"not available here: a resource is {ACCOUNT}.ID or {ZONE}.ID, with the value *"
        raise refused(Reason.INVALID, message, *path)
    found[match[1]].add(match[2])


def token_shape(token: Token, now: datetime) -> JsonObject:
    """A token, without its secret."""
    return {
        "id": token.id,
        "name": token.name,
        "status": "expired" if token.is_expired(now) else "active",
        "issued_on": time_text(token.created_at),
        "modified_on": time_text(token.modified_at or token.created_at),
        **({"expires_on": time_text(token.expires)} if token.expires else {}),
        "policies": [
            _policy_shape(token, index, policy) for index, policy in enumerate(token.policies or [_plain_policy(token)])
        ],
    }


def _policy_shape(token: Token, index: int, policy: WrittenPolicy) -> JsonObject:
    groups = [GROUPS_BY_ID[one] for one in policy["permission_groups"] if one in GROUPS_BY_ID]
    return {
        "id": derived_id("policy", token.id, *([str(index)] if index else [])),
        "effect": "allow",
        "permission_groups": [{"id": group.id, "name": group.name} for group in groups],
        "resources": policy["resources"],
    }


def _plain_policy(token: Token) -> WrittenPolicy:
    """The policy of a token that no request wrote, or that got less than its request asked for."""
    accounts, zones = token.scope
    resources = [*(f"{ACCOUNT}.{one}" for one in accounts), *(f"{ZONE}.{one}" for one in zones)]
    groups = [GROUPS_BY_PERMISSION[one] for one in token.granted or (None,)]
    return {
        "permission_groups": [group.id for group in groups],
        "resources": dict.fromkeys(resources or [f"{ACCOUNT}.{ALL}"], ALL),
    }


def group_shape(group: Group) -> JsonObject:
    """A permission group."""
    return {"id": group.id, "name": group.name, "scopes": [group.scope], "is_selectable": True}
