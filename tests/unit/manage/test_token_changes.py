"""Verbs on tokens: a token makes and changes only tokens no wider and no longer-lived than itself."""

from __future__ import annotations

import json
import pathlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from dnsd.manage import token_changes
from dnsd.manage.refusal import Reason, RefusedError
from dnsd.manage.token_changes import (
    TokenFields,
    account_tokens,
    own_tokens,
    revoke_token,
    roll_token,
)
from dnsd.manage.token_file import TokenFile
from dnsd.manage.tokens import AccessLevel, Area, Token
from dnsd.model.accounts import Account, AccountSettings
from dnsd.model.dataset import Dataset
from dnsd.model.quotas import DEFAULT_QUOTAS, Quotas
from dnsd.model.zones import Status, Zone, ZoneSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
create_token = partial(token_changes.create_token, quotas=DEFAULT_QUOTAS)
edit_token = partial(token_changes.edit_token, quotas=DEFAULT_QUOTAS)
HOUR = timedelta(hours=1)
MAPS, PREFIXES, ZONES, DNS, TOKENS = Area
READ, EDIT = AccessLevel
A1, A2, Z1, Z2 = "a1" * 16, "a2" * 16, "21" * 16, "22" * 16


def zone(zone_id: str, account_id: str, name: bytes) -> Zone:
    return Zone(f"x/zones/{zone_id}", zone_id, account_id, name, Status.ACTIVE, False, ZoneSettings(), ())  # type: ignore[arg-type]


ACCOUNTS = [Account(one, one, one, (), (), AccountSettings()) for one in (A1, A2)]
DATASET = Dataset({one.id: one for one in ACCOUNTS}, {}, {Z1: zone(Z1, A1, b"\1a\0"), Z2: zone(Z2, A2, b"\1b\0")})


@pytest.fixture
def file(tmp_path: pathlib.Path) -> TokenFile:
    return TokenFile(tmp_path / "state")


def made(file: TokenFile, **fields: Any) -> Token:
    return file.create(**{"name": "", "now": NOW, **fields})[0]


def refusal(error: pytest.ExceptionInfo[RefusedError]) -> tuple[Reason, tuple[str | int, ...]]:
    return error.value.faults[0].reason, error.value.faults[0].path


TENANT: dict[str, Any] = {"accounts": (A1,), "permissions": ((DNS, EDIT), (TOKENS, EDIT)), "expires_at": NOW + HOUR}
GIVEN: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {  # the token that asks, and what; the result
    "nothing asked by an operator": ({}, {}, {"is_operator": True, "expires": None}),
    "nothing asked by a tenant": (TENANT, {}, TENANT),
    "an account's zone": (TENANT, {"zones": (Z1,)}, {"accounts": (), "zones": (Z1,)}),
    "fewer permissions": (TENANT, {"permissions": ((DNS, READ),)}, {"permissions": ((DNS, READ),)}),
    "reading zones, included in records": (
        TENANT,
        {"permissions": ((ZONES, READ),)},
        {"permissions": ((ZONES, READ),)},
    ),
    "an earlier end": (TENANT, {"expires_at": NOW + HOUR / 2}, {"expires_at": NOW + HOUR / 2}),
    "within an account, by an operator": ({}, {"within": A2}, {"accounts": (A2,), "is_operator": False}),
    "all permissions for an account, by an operator": ({}, {"accounts": (A2,)}, {"accounts": (A2,), "permissions": ()}),
}


@pytest.mark.parametrize(("asks", "fields", "expected"), GIVEN.values(), ids=GIVEN.keys())
def test_token_makes_a_token(
    file: TokenFile, asks: dict[str, Any], fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    parent = made(file, **asks)
    done = create_token(file, parent, TokenFields(name="new", **fields), DATASET, NOW)
    assert done.after is not None
    assert {name: getattr(done.after, name) for name in expected} == expected
    assert done.after.parent == parent
    assert file.find(done.secret, NOW) == done.after


TOO_WIDE: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[Reason, tuple[str, ...]]]] = {
    "another account": (TENANT, {"accounts": (A2,)}, (Reason.NOT_FOUND, ("policies",))),
    "no account": ({}, {"accounts": ("ff" * 16,)}, (Reason.NOT_FOUND, ("policies",))),
    "another account's zone": (TENANT, {"zones": (Z2,)}, (Reason.NOT_FOUND, ("policies",))),
    "no zone": ({}, {"zones": ("ff" * 16,)}, (Reason.NOT_FOUND, ("policies",))),
    "the zone's account": ({"zones": (Z1,)}, {"accounts": (A1,)}, (Reason.NOT_FOUND, ("policies",))),
    "an account other than the one in the path": (
        {},
        {"accounts": (A1,), "within": A2},
        (Reason.NOT_FOUND, ("policies",)),
    ),
    "a zone of another account than in the path": (
        {},
        {"zones": (Z1,), "within": A2},
        (Reason.NOT_FOUND, ("policies",)),
    ),
    "another permission": (TENANT, {"permissions": ((MAPS, READ),)}, (Reason.FORBIDDEN, ("policies",))),
    "a higher level": (
        {"permissions": ((DNS, READ),)},
        {"permissions": ((DNS, EDIT),)},
        (Reason.FORBIDDEN, ("policies",)),
    ),
    "a later end": (TENANT, {"expires_at": NOW + 2 * HOUR}, (Reason.FORBIDDEN, ("expires_on",))),
    "an end in the past": ({}, {"expires_at": NOW - HOUR}, (Reason.INVALID, ("expires_on",))),
}


@pytest.mark.parametrize(("asks", "fields", "expected"), TOO_WIDE.values(), ids=TOO_WIDE.keys())
def test_token_makes_no_wider_and_no_longer_lived_token(
    file: TokenFile, asks: dict[str, Any], fields: dict[str, Any], expected: tuple[Reason, tuple[str, ...]]
) -> None:
    parent, child = made(file, **asks), None
    with pytest.raises(RefusedError) as error:
        create_token(file, parent, TokenFields(name="new", **fields), DATASET, NOW)
    assert refusal(error) == expected
    child = create_token(file, parent, TokenFields(name="child"), DATASET, NOW).token
    with pytest.raises(RefusedError) as error:
        edit_token(file, parent, child.id, TokenFields(name="new", **fields), DATASET, NOW)
    assert refusal(error) == expected
    assert file.tokens() == [parent, child]


def test_tenant_makes_no_operators_token(file: TokenFile) -> None:
    for asks in (made(file, accounts=(A1,)), made(file, zones=(Z1,)), made(file, permissions=((TOKENS, EDIT),))):
        child = create_token(file, asks, TokenFields(name="new"), DATASET, NOW).token
        assert (child.is_operator, asks.is_operator) == (False, False)


def test_token_sees_itself_and_the_tokens_made_from_it(file: TokenFile) -> None:
    operator, tenant, other = made(file), made(file, accounts=(A1,)), made(file, accounts=(A1,))
    child = create_token(file, tenant, TokenFields(name="child"), DATASET, NOW).token
    of_zone = create_token(file, child, TokenFields(name="zone", zones=(Z1,)), DATASET, NOW).token
    assert own_tokens(file, tenant) == [tenant, child, of_zone]
    assert own_tokens(file, of_zone) == [of_zone]
    assert own_tokens(file, operator) == [operator, tenant, other, child, of_zone]
    assert account_tokens(file, operator, DATASET, A1) == [tenant, other, child, of_zone]
    for verb in (roll_token, revoke_token):
        for hidden in (operator, tenant, other):
            with pytest.raises(RefusedError) as error:
                verb(file, child, hidden.id, NOW)
            assert refusal(error)[0] is Reason.NOT_FOUND
    assert len(file.tokens()) == 5


def test_edited_child_stays_within_its_parent(file: TokenFile) -> None:
    operator, parent = made(file), made(file, accounts=(A1,))
    child = create_token(file, parent, TokenFields(name="child"), DATASET, NOW).token
    with pytest.raises(RefusedError):
        edit_token(file, operator, child.id, TokenFields(name="child", accounts=(A2,)), DATASET, NOW)
    later = NOW + HOUR
    done = edit_token(file, operator, child.id, TokenFields(name="renamed", zones=(Z1,)), DATASET, later)
    assert (done.token.name, done.token.zones, done.token.modified_at) == ("renamed", (Z1,), later)


def test_token_narrowed_during_its_request_asks_as_it_is_now(file: TokenFile) -> None:
    operator, tenant = made(file), made(file, accounts=(A1,), permissions=((TOKENS, EDIT), (MAPS, EDIT)))
    edit_token(
        file, operator, tenant.id, TokenFields(name="", zones=(Z1,), permissions=((TOKENS, EDIT),)), DATASET, NOW
    )
    with pytest.raises(RefusedError):
        edit_token(file, tenant, tenant.id, TokenFields(name="", permissions=((MAPS, EDIT),)), DATASET, NOW)
    child = create_token(file, tenant, TokenFields(name="child"), DATASET, NOW).token
    assert (child.scope, child.granted) == (((), (Z1,)), ((TOKENS, EDIT),))
    revoke_token(file, operator, tenant.id, NOW)
    with pytest.raises(RefusedError, match="has been revoked"):
        create_token(file, tenant, TokenFields(name="late"), DATASET, NOW)


def test_line_of_a_tenant_has_a_bounded_number_of_tokens(file: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_changes, "MAX_OF_LINE", 2)
    tenant = made(file, accounts=(A1,))
    gone = Dataset(DATASET.accounts, {}, {})  # its zones are deleted
    for _ in range(2):
        create_token(file, tenant, TokenFields(name="", zones=(Z1,)), DATASET, NOW)
    with pytest.raises(RefusedError, match="2 tokens descend from the same token"):
        create_token(file, tenant, TokenFields(name=""), gone, NOW)


def test_tokens_of_a_tenant_take_bounded_room_in_the_file(file: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_changes, "MAX_LINE_SIZE", 3000)
    operator = made(file)
    tenant, other = (made(file, accounts=(one,), parent=operator) for one in (A1, A2))
    policies = json.dumps([{"permission_groups": [A1] * 30, "resources": {}}])
    fat = TokenFields(name="", zones=(Z1,), permissions=((DNS, READ),), written=policies)
    token = create_token(file, tenant, fat, DATASET, NOW).token
    create_token(file, tenant, fat, DATASET, NOW)
    with pytest.raises(RefusedError, match="over 3,000 octets"):
        create_token(file, tenant, fat, DATASET, NOW)
    with pytest.raises(RefusedError, match="over 3,000 octets"):
        edit_token(file, tenant, token.id, replace(fat, written=policies.replace(A1, f"{A1}{A2}")), DATASET, NOW)
    edit_token(file, tenant, token.id, replace(fat, written="[]"), DATASET, NOW)
    create_token(file, other, replace(fat, zones=(Z2,)), DATASET, NOW)


def test_customer_does_not_use_up_the_tokens_of_the_operators_others(
    file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_changes, "MAX_OF_LINE", 2)
    operator = made(file)
    first, second = (made(file, accounts=(one,), parent=operator) for one in (A1, A2))
    for _ in range(2):
        create_token(file, first, TokenFields(name=""), DATASET, NOW)
    assert create_token(file, second, TokenFields(name=""), DATASET, NOW).secret


def test_token_that_expires_gets_no_secret_of_a_longer_lived_one(file: TokenFile) -> None:
    lasting, short = made(file), made(file, expires_at=NOW + HOUR)
    with pytest.raises(RefusedError, match="outlives"):
        roll_token(file, short, lasting.id, NOW)
    assert roll_token(file, lasting, short.id, NOW).secret
    assert roll_token(file, short, short.id, NOW).secret


def test_account_has_a_bounded_number_of_tokens(file: TokenFile) -> None:
    more = replace(ACCOUNTS[1], quotas=(("tokens", 2),))
    dataset = Dataset({A1: ACCOUNTS[0], A2: more}, {}, DATASET.zones)
    create = partial(create_token, dataset=dataset, now=NOW, quotas=Quotas(tokens=3))
    edit = partial(edit_token, dataset=dataset, now=NOW, quotas=Quotas(tokens=2))
    tenant = made(file, accounts=(A1,))
    for scope in ({"zones": (Z1,)}, {"accounts": (A1,)}):
        last = create(file, tenant, TokenFields(name="new", **scope)).token
    with pytest.raises(RefusedError, match="the quota `tokens` is 3, and there would be 4 tokens") as caught:
        create(file, tenant, TokenFields(name="new"))
    assert refusal(caught)[0] is Reason.QUOTA
    operator = made(file)
    for _ in range(2):
        other = create(file, operator, TokenFields(name="new", accounts=(A2,))).token
    with pytest.raises(RefusedError, match=f"is 2, and there would be 3 tokens for the account {A2}: delete some"):
        create(file, operator, TokenFields(name="new", zones=(Z2,)))
    assert edit(file, tenant, last.id, TokenFields(name="edited")).token.name == "edited"  # although it is over now
    with pytest.raises(RefusedError, match="the quota `tokens` is 2, and there would be 4 tokens"):
        edit(file, operator, other.id, TokenFields(name="new", accounts=(A1, A2)))
    assert DEFAULT_QUOTAS.tokens == 100


def test_revoked_line_is_reported(file: TokenFile) -> None:
    operator = made(file)
    child = create_token(file, operator, TokenFields(name="child"), DATASET, NOW).token
    grandchild = create_token(file, child, TokenFields(name="grandchild"), DATASET, NOW).token
    done = revoke_token(file, operator, child.id, NOW)
    assert (done.before, done.after, done.also_revoked) == (child, None, (grandchild,))
    assert file.tokens() == [operator]
