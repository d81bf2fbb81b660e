"""Tokens over the API: made, changed, rolled and revoked by tokens, with Cloudflare's shapes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import cloudflare
import pytest
from cloudflare import Cloudflare
from cloudflare.types.shared import Token as SdkToken
from cloudflare.types.user import TokenCreateResponse, TokenVerifyResponse
from cloudflare.types.user.tokens import PermissionGroupListResponse

from dnsd.api.policies import ACCOUNT, GROUPS, GROUPS_BY_PERMISSION, ZONE
from dnsd.manage.token_file import TokenFile
from dnsd.manage.tokens import AccessLevel, Area
from dnsd.model.times import time_text
from tests.api.server import A1, A2, FILES, Z1, Z2, Z3, Api
from tests.api.test_sdk import call

READ, EDIT = AccessLevel


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("tokens"), FILES).running() as running:
        yield running


@pytest.fixture(scope="module")
def tenant(api: Api) -> str:
    return api.token("--account", A1, "--name", "acme")


def policy(*permissions: tuple[Area, AccessLevel], **resources: Any) -> dict[str, Any]:
    groups = [{"id": GROUPS_BY_PERMISSION[one].id} for one in permissions or (None,)]
    names = {
        f"{ZONE if name.startswith('zone_') else ACCOUNT}.{name.split('_')[-1]}": resources[name] for name in resources
    }
    return {"effect": "allow", "permission_groups": groups, "resources": names or {f"{ACCOUNT}.*": "*"}}


def body(*policies: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "new", "policies": [*policies] or [policy()], **fields}


def test_life_of_a_users_token(api: Api) -> None:
    with Cloudflare(api_token=api.operator, base_url=f"{api.origin}/client/v4") as sdk:
        made = sdk.user.tokens.create(name="ci", policies=[policy((Area.DNS, EDIT), **{f"zone_{Z1}": "*"})])
        assert made
        assert made.id
        assert api.result("GET", f"/zones/{Z1}/dns_records", token=made.value)
        assert api.refused("GET", f"/zones/{Z2}/dns_records", token=made.value)[0] == 404
        assert made.id in [one.id for one in sdk.user.tokens.list()]
        got = sdk.user.tokens.get(made.id)
        assert got
        assert (got.name, got.status) == ("ci", "active")
        changed = sdk.user.tokens.update(made.id, name="cd", policies=[policy((Area.DNS, READ), **{f"zone_{Z2}": "*"})])
        assert changed
        assert (changed.name, [*changed.policies[0].resources]) == ("cd", [f"{ZONE}.{Z2}"])  # type: ignore[index]
        assert api.result("GET", f"/zones/{Z2}/dns_records", token=made.value)
        assert api.refused("GET", f"/zones/{Z1}/dns_records", token=made.value)[0] == 404
        rolled = call(sdk.user.tokens.value.update, made.id)
        assert api.refused("GET", "/user", token=made.value)[:2] == (403, 10000)
        assert api.result("GET", "/user/tokens/verify", token=rolled)["id"] == made.id
        sdk.user.tokens.delete(made.id)
        assert api.refused("GET", "/user", token=rolled)[:2] == (403, 10000)
        with pytest.raises(cloudflare.NotFoundError):
            sdk.user.tokens.get(made.id)


def test_life_of_an_accounts_token(api: Api, tenant: str) -> None:
    with Cloudflare(api_token=tenant, base_url=f"{api.origin}/client/v4") as sdk:
        tokens = sdk.accounts.tokens
        (group,) = [one.id for one in tokens.permission_groups.list(account_id=A1, name="DNS Write")]
        rights = {"effect": "allow", "permission_groups": [{"id": group}], "resources": {f"{ACCOUNT}.{A1}": "*"}}
        made = tokens.create(account_id=A1, name="ci", policies=[rights])  # type: ignore[list-item]
        assert made
        assert made.id
        assert {one.id for one in tokens.list(account_id=A1)} >= {made.id}
        assert tokens.verify(account_id=A1).status == "active"  # type: ignore[union-attr]
        assert call(tokens.value.update, made.id, account_id=A1)
        tokens.delete(made.id, account_id=A1)


def test_answers_are_valid_for_the_sdks_models(api: Api) -> None:
    later = time_text(datetime.now(UTC) + timedelta(hours=1))
    made = api.result("POST", "/user/tokens", body(expires_on=later))
    TokenCreateResponse.model_validate(made, strict=False)
    for one in api.result("GET", "/user/tokens"):
        SdkToken.model_validate(one)
    SdkToken.model_validate(api.result("GET", f"/user/tokens/{made['id']}"))
    said = api.call("GET", "/user/tokens/verify", token=made["value"]).json()
    TokenVerifyResponse.model_validate(said["result"])
    assert said["result"]["expires_on"] == later
    assert said["messages"] == [{"code": 10000, "message": "This API Token is valid and active", "type": None}]
    for one in api.result("GET", "/user/tokens/permission_groups"):
        PermissionGroupListResponse.model_validate(one)


def test_policies_come_back_as_they_were_shown(api: Api, tenant: str) -> None:
    """A client that reads a token and writes it back changes nothing."""
    for token in (api.operator, tenant):
        me = api.result("GET", "/user/tokens/verify", token=token)["id"]
        for rights in (
            policy(),
            policy((Area.MAPS, EDIT), (Area.DNS, READ), **{A1: "*"}),
            policy((Area.DNS, EDIT), **{f"zone_{Z1}": "*"}),
        ):
            made = api.result("POST", "/user/tokens", body(rights), token=token)
            before = api.result("GET", f"/user/tokens/{made['id']}", token=token)
            written = {name: before[name] for name in before if name not in ("id", "issued_on", "modified_on")}
            after = api.result("PUT", f"/user/tokens/{made['id']}", written, token=token)
            assert {**after, "modified_on": ""} == {**before, "modified_on": ""}
        assert api.result("GET", "/user/tokens/verify", token=token)["id"] == me


RESOURCES: dict[str, tuple[dict[str, Any], tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "all accounts": ({f"{ACCOUNT}.*": "*"}, ((), ())),
    "all zones": ({f"{ZONE}.*": "*"}, ((), ())),
    "an account": ({f"{ACCOUNT}.{A1}": "*"}, ((A1,), ())),
    "the zones of an account": ({f"{ACCOUNT}.{A1}": {f"{ZONE}.*": "*"}}, ((A1,), ())),
    "a zone of an account": ({f"{ACCOUNT}.{A1}": {f"{ZONE}.{Z1}": "*"}}, ((), (Z1,))),
    "zones": ({f"{ZONE}.{Z3}": "*", f"{ZONE}.{Z1}": "*"}, ((), (Z1, Z3))),
}


@pytest.mark.parametrize("what", RESOURCES)
def test_resources(api: Api, what: str) -> None:
    given, scope = RESOURCES[what]
    rights = policy((Area.DNS, READ)) | {"resources": given}
    made = api.result("POST", "/user/tokens", body(rights))
    (token,) = [one for one in TokenFile(api.folder / "state").tokens() if one.id == made["id"]]
    assert token.scope == scope
    assert [*made["policies"][0]["resources"].items()] == [*given.items()], "as sent, in the same order"


def test_policies_come_back_as_sent(api: Api) -> None:
    """Terraform takes another order, or two policies in one, for a change."""
    nested = {f"{ACCOUNT}.{A1}": {f"{ZONE}.*": "*"}}
    sent = [
        policy((Area.DNS, EDIT), (Area.DNS, READ), (Area.ZONES, READ)) | {"resources": nested},
        policy((Area.MAPS, EDIT), **{A1: "*"}),
    ]
    made = api.result("POST", "/user/tokens", body(*sent))
    path = f"/user/tokens/{made['id']}"
    for shown in (made, api.result("GET", path), api.result("PUT", path, body(*sent, name="again"))):
        assert [plain(one) for one in shown["policies"]] == sent
        assert len({one["id"] for one in shown["policies"]}) == len(sent)
    changed = api.result("PUT", path, body(*reversed(sent)))["policies"]
    assert [plain(one) for one in changed] == [*reversed(sent)]


def plain(shown: dict[str, Any]) -> dict[str, Any]:
    """A policy without the fields that the server adds."""
    groups = [{"id": one["id"]} for one in shown["permission_groups"]]
    return {"effect": shown["effect"], "permission_groups": groups, "resources": shown["resources"]}


def test_policies_are_bounded(api: Api) -> None:
    nested = {f"{ACCOUNT}.{A1}": {f"{ZONE}.{Z1}": "*"}}
    many = [policy(*[(Area.DNS, READ)] * 100) | {"resources": nested} for _ in range(100)]
    (error,) = api.call("POST", "/user/tokens", body(*many)).json()["errors"]
    assert (error["code"], error["source"]["pointer"]) == (1001, "/policies")
    assert "65,536" in error["message"]


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no name": ({"policies": [policy()]}, 1001, "/name"),
    "a long name": (body(name="x" * 101), 1001, "/name"),
    "a name with a control character": (body(name="a\u0085"), 9000, "/name"),
    "no policy": (body(policies=[]), 1001, "/policies"),
    "a denial": (body(policy() | {"effect": "deny"}), 1001, "/policies/0/effect"),
    "no permission": (body(policy() | {"permission_groups": []}), 1001, "/policies/0/permission_groups"),
    "an unknown permission": (
        body(policy() | {"permission_groups": [{"id": "e" * 32}]}),
        1001,
        "/policies/0/permission_groups/0/id",
    ),
    "an unknown resource": (
        body(policy() | {"resources": {"com.cloudflare.api.user.x": "*"}}),
        1001,
        "/policies/0/resources/com.cloudflare.api.user.x",
    ),
    "a resource that is not all": (
        body(policy() | {"resources": {f"{ACCOUNT}.{A1}": "x"}}),
        1001,
        f"/policies/0/resources/{ACCOUNT}.{A1}",
    ),
    "two kinds of resources": (body(policy(), policy(**{A1: "*"})), 1001, "/policies"),
    "maps of a zone": (body(policy((Area.MAPS, READ), **{f"zone_{Z1}": "*"})), 1001, "/policies"),
    "no such account": (body(policy(**{"f" * 32: "*"})), 1000, "/policies"),
    "an expiry in the past": (body(expires_on="2020-01-01T00:00:00Z"), 1001, "/expires_on"),
    "an expiry without a zone": (body(expires_on="2099-01-01T00:00:00"), 1001, "/expires_on"),
    "a condition": (body(condition={"request_ip": {"in": ["192.0.2.0/24"]}}), 1001, "/condition"),
    "a later beginning": (body(not_before="2099-01-01T00:00:00Z"), 1001, "/not_before"),
    "disabled": (body(status="disabled"), 1001, "/status"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_token(api: Api, what: str) -> None:
    said, code, pointer = REFUSED[what]
    before = api.result("GET", "/user/tokens?per_page=100")
    errors = api.call("POST", "/user/tokens", said).json()["errors"]
    assert [(one["code"], one["source"]["pointer"]) for one in errors] == [(code, pointer)]
    assert api.result("GET", "/user/tokens?per_page=100") == before


def test_conditions_that_ask_for_nothing_are_accepted(api: Api) -> None:
    empty = {"condition": {"request_ip": {"in": [], "not_in": None}}, "not_before": None, "status": "active"}
    api.result("POST", "/user/tokens", body(**empty))


def test_tenant_makes_nothing_wider_than_itself(api: Api, tenant: str) -> None:
    for path in ("/user/tokens", f"/accounts/{A1}/tokens"):
        made = api.result("POST", path, body(), token=tenant)
        assert made["policies"][0]["resources"] == {f"{ACCOUNT}.{A1}": "*"}
        assert api.refused("POST", "/accounts", {"name": "x"}, token=made["value"])[:2] == (403, 10000)
        for rights in (policy(**{A2: "*"}), policy((Area.DNS, READ), **{f"zone_{Z3}": "*"})):
            assert api.refused("POST", path, body(rights), token=tenant)[:2] == (404, 1000)
    narrow = api.result("POST", "/user/tokens", body(policy((Area.TOKENS, EDIT), **{A1: "*"})), token=tenant)["value"]
    assert api.refused("POST", "/user/tokens", body(policy((Area.DNS, READ), **{A1: "*"})), token=narrow)[1] == 1002
    without = api.token("--account", A1, "--permission", "dns:edit")
    assert api.refused("POST", "/user/tokens", body(), token=without)[:2] == (403, 10000)


def test_token_of_an_account_stays_in_it(api: Api) -> None:
    made = api.result("POST", f"/accounts/{A2}/tokens", body())
    assert made["policies"][0]["resources"] == {f"{ACCOUNT}.{A2}": "*"}
    assert api.refused("POST", f"/accounts/{A2}/tokens", body(policy(**{A1: "*"})))[:2] == (404, 1000)
    assert api.refused("GET", f"/accounts/{A1}/tokens/{made['id']}")[:2] == (404, 1000)
    assert made["id"] not in [one["id"] for one in api.result("GET", f"/accounts/{A1}/tokens")]


def test_revoked_token_takes_its_line_with_it(api: Api) -> None:
    parent = api.result("POST", "/user/tokens", body())
    child = api.result("POST", "/user/tokens", body(name="child"), token=parent["value"])
    grandchild = api.result("POST", "/user/tokens", body(policy(**{A1: "*"})), token=child["value"])
    assert api.result("GET", "/accounts", token=grandchild["value"])
    said = api.call("DELETE", f"/user/tokens/{parent['id']}").json()
    assert [one["message"] for one in said["messages"]] == ["2 tokens made from it are revoked, too"]
    for one in (parent, child, grandchild):
        assert api.refused("GET", "/user", token=one["value"])[:2] == (403, 10000)


def test_audit_log_has_every_change_and_no_secret(api: Api) -> None:
    made = api.result("POST", "/user/tokens", body(policy(**{A1: "*"})))
    rolled = api.result("PUT", f"/user/tokens/{made['id']}/value", {})
    api.refused("POST", "/user/tokens", body(policy(**{"f" * 32: "*"})))
    api.result("DELETE", f"/user/tokens/{made['id']}")
    log = (api.folder / "state" / "audit.log").read_text()
    for action in ("token.create", "token.roll", "token.revoke"):
        assert f'"action": "{action}", "object": "tokens/{made["id"]}", "account_id": "{A1}"' in log
    assert '"outcome": "refused", "code": 1000' in log
    for secret in (made["value"], rolled):
        assert secret not in log


def test_each_permission_has_a_group() -> None:
    pairs = {(area, level) for area in Area for level in AccessLevel}
    assert {group.permission for group in GROUPS} == {None, *pairs}
    assert len({group.id for group in GROUPS}) == len({group.name for group in GROUPS}) == len(GROUPS)
