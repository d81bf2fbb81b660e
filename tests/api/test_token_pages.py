"""API tokens on the dashboard: made within the visitor's own limits, with a secret that is shown once."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.api.server import A1, A2, FILES, Z1, Z3, Api
from tests.browser.sessions import Person

NOTICE = '<div class="note good">'
SECRET = re.compile(r'<code id="secret">(dnsd_[\w-]{43})</code>')


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("pages"), FILES).running() as running:
        yield running


@pytest.fixture(scope="module")
def tenant(api: Api) -> Iterator[Person]:
    with Person(api, api.token("--account", A1, "--name", "acme")) as person:
        yield person


def made(person: Person, **form: str) -> str:
    page = person.post("/tokens/create", {"name": "new", **form})
    assert page.status_code == 200
    found = SECRET.search(page.text)
    assert found, page.text
    assert page.headers["cache-control"] == "no-store"
    return found[1]


def test_token_is_made_with_what_the_form_says(api: Api, tenant: Person) -> None:
    secret = made(tenant, name="certbot", zones="example.com", dns="edit", expires_on="2099-01-31")
    me = api.result("GET", "/user/tokens/verify", token=secret)
    assert me["expires_on"] == "2099-01-31T23:59:59.000000Z"
    assert api.result("GET", f"/zones/{Z1}/dns_records", token=secret)
    assert api.refused("GET", f"/accounts/{A1}", token=secret)[0] == 404
    page = tenant.get("/tokens").text
    assert "certbot" in page
    assert secret not in page


def test_token_with_all_permissions_is_as_wide_as_its_maker(api: Api, tenant: Person) -> None:
    secret = made(tenant, all="on")
    assert api.result("GET", f"/accounts/{A1}/tokens", token=secret)
    assert api.refused("GET", f"/accounts/{A2}", token=secret)[0] == 404
    with Person(api, api.operator) as operator:
        secret = made(operator, account="globex", maps="read")
    assert api.result("GET", f"/accounts/{A2}/addressing/address_maps", token=secret) == []
    assert api.refused("GET", f"/accounts/{A1}", token=secret)[0] == 404


WRONG = {
    "no name": ({"name": "", "dns": "read"}, "Give the token a name."),
    "no permission": ({}, "Choose at least one permission."),
    "another account": ({"dns": "read", "account": "Globex"}, "There is no account with this name or id."),
    "another account's zone": ({"dns": "read", "zones": "example.org"}, "There is no zone"),
    "no zone": ({"dns": "read", "zones": "a..b"}, "There is no zone"),
    "no date": ({"dns": "read", "expires_on": "tomorrow"}, "is not a date such as 2027-01-31"),
    "a day in the past": ({"dns": "read", "expires_on": "2020-01-01"}, "The expiry is in the past."),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_form_comes_back_with_its_errors(tenant: Person, what: str) -> None:
    form, message = WRONG[what]
    page = tenant.post("/tokens/create", {"name": "kept", **form})
    assert page.status_code >= 400
    assert message in page.text
    if form.get("name") != "":
        assert 'value="kept"' in page.text


def test_form_offers_only_what_the_token_can_give(api: Api) -> None:
    with Person(api, api.token("--account", A1, "--permission", "tokens:edit", "--permission", "dns:read")) as person:
        page = person.get("/tokens/create").text
        assert re.findall(r'<select id="(\w+)"', page) == ["zones", "dns", "tokens"]
        assert 'name="all"' not in page
        assert person.post("/tokens/create", {"name": "x", "dns": "edit"}).status_code == 400
        assert person.post("/tokens/create", {"name": "x", "maps": "read"}).status_code == 400


def test_rolled_token_has_another_secret(api: Api, tenant: Person) -> None:
    secret = made(tenant, dns="read")
    token_id = api.result("GET", "/user/tokens/verify", token=secret)["id"]
    assert "Programs with the old one are refused" in tenant.get(f"/tokens/{token_id}/roll").text
    page = tenant.post(f"/tokens/{token_id}/roll", {})
    rolled = SECRET.search(page.text)
    assert rolled
    assert api.refused("GET", "/user", token=secret)[0] == 403
    assert api.result("GET", "/user", token=rolled[1])["id"] == token_id


def test_rolling_a_token_ends_the_sessions_begun_with_it(api: Api, tenant: Person) -> None:
    secret = made(tenant, all="on")
    token_id = api.result("GET", "/user/tokens/verify", token=secret)["id"]
    with Person(api, secret) as person, Person(api, made(person, dns="read")) as with_child:
        assert "people who signed in with it are signed out" in tenant.get(f"/tokens/{token_id}/roll").text
        assert "and you are signed out" in person.get(f"/tokens/{token_id}/roll").text
        rolled = SECRET.search(person.post(f"/tokens/{token_id}/roll", {}).text)
        assert rolled
        assert "Signed in as" not in person.get("/").text
        assert "Signed in as" in with_child.get("/").text
        person.sign_in(rolled[1])
        assert "Signed in as" in person.get("/").text


def test_revoked_token_and_those_made_from_it_end(api: Api, tenant: Person) -> None:
    secret = made(tenant, name="parent", all="on")
    token_id = api.result("GET", "/user/tokens/verify", token=secret)["id"]
    with Person(api, secret) as person:
        child = made(person, name="its child", dns="read")
        assert "its child" in tenant.get(f"/tokens/{token_id}/revoke").text
        done = tenant.post(f"/tokens/{token_id}/revoke", {})
        assert (done.status_code, done.headers["location"]) == (303, "/tokens")
        assert "2 tokens are revoked." in tenant.get("/tokens").text
        assert "API token" in person.get("/").text  # signed out
    for one in (secret, child):
        assert api.refused("GET", "/user", token=one)[0] == 403


def test_tokens_of_others_are_hidden(api: Api, tenant: Person) -> None:
    operators = api.result("GET", "/user/tokens/verify")["id"]
    assert "operator" not in tenant.get("/tokens").text.partition("<main")[2].replace("operators", "")
    for action in ("roll", "revoke"):
        assert tenant.get(f"/tokens/{operators}/{action}").status_code == 404
        assert tenant.post(f"/tokens/{operators}/{action}", {}).status_code == 404
    with Person(api, api.token("--account", A1, "--permission", "dns:edit")) as without:
        assert without.get("/tokens").status_code == 403
        assert 'href="/tokens"' not in without.get("/").text
    with Person(api, api.operator) as person:
        assert "acme" in person.get("/tokens?q=acme").text
        assert person.get(f"/zones/{Z3}").status_code == 200


def test_notice_is_shown_only_to_the_session_that_it_was_made_for(api: Api) -> None:
    """Another site of the same domain may set the cookie, but not sign it."""
    forged = "Send%20your%20token%20to%20evil.example"
    with Person(api, api.operator) as one, Person(api, api.operator) as other:
        for cookie in (forged, f"{'0' * 64}{forged}", "short", ""):
            other.client.cookies.set("dnsd_notice", cookie)
            shown = other.get("/zones")
            assert shown.status_code == 200
            assert "evil.example" not in shown.text
        assert one.post(f"/zones/{Z1}/pause", {}).status_code == 303
        notice = one.client.cookies.get("dnsd_notice")
        assert notice
        other.client.cookies.set("dnsd_notice", notice)
        assert NOTICE in one.get("/zones").text
        assert NOTICE not in other.get("/zones").text
