"""Strangers, other sites and stored texts cannot do anything in the dashboard."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from dnsd.api.access import Need
from dnsd.dashboard.routes import ROUTES, PageRoute
from dnsd.manage.state_names import TOKENS
from dnsd.manage.token_file import TokenFile
from dnsd.manage.tokens import AccessLevel, Token
from dnsd.model.fields import derived_id
from tests.api.server import Api
from tests.browser.conftest import Open
from tests.browser.sessions import Person, secret_of
from tests.browser.world import (
    ACME,
    FILES,
    GLOBEX,
    MAP_MANAGED,
    MAP_OFF,
    MAP_SHOP,
    MAPS,
    PAGES,
    PENDING,
    PREFIX4,
    SETTINGS,
    SHOP,
    THEIRS,
    WWW,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

PAYLOADS = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "'-window.pwned=1-'{{7*7}}${7*7}",
    "javascript:window.pwned=1//</title></style></textarea></script><svg/onload=window.pwned=1>",
)


# Sessions


def test_strangers_get_the_sign_in_page(still: Api) -> None:
    with Person(still, None) as stranger:
        for path in PAGES.values():
            shown = stranger.get(path)
            assert shown.status_code == 200
            assert "API token" in shown.text
            assert "Acme" not in shown.text
            assert "203.0.113" not in shown.text


def test_cookies_and_headers(still: Api) -> None:
    with Person(still, None) as person:
        cookie = person.sign_in(still.operator).headers["set-cookie"]
        (session,) = (part for part in re.split(r", (?=\w+=)", cookie) if part.startswith("dnsd_session"))
        assert "HttpOnly" in session
        assert "samesite=strict" in session.lower()
        assert still.operator not in cookie
        assert "secure" not in session.lower()  # without TLS, no browser would send it
        for path in ("/", MAPS, "/sign-in", "/nothing", "/static/0/style.css"):
            headers = person.get(path, headers={"accept": "text/html"}).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
        assert person.get("/").headers["cache-control"] == "no-store"


def test_cookie_is_secure_behind_tls(still: Api) -> None:
    with Person(still, None) as person:
        headers = {"origin": "https://localhost", "host": "localhost"}
        form = {"token": still.operator, "next": "/", "form_secret": secret_of(person.get("/sign-in"))}
        cookie = person.client.post("/sign-in", data=form, headers=headers).headers["set-cookie"]
        assert "; secure" in cookie.lower()


def test_secret_is_never_kept_nor_logged(still: Api) -> None:
    with Person(still, still.operator) as person:
        session = person.client.cookies["dnsd_session"]
        for file in (still.folder / "state").rglob("*"):
            if file.is_file():
                assert session.encode() not in file.read_bytes(), file
                assert still.operator.encode() not in file.read_bytes(), file
        assert session not in still.dns.stderr.text() + still.dns.stdout.text()


def test_session_ends_with_its_token_and_by_signing_out(api: Api) -> None:
    token = api.token("--account", ACME, "--name", "brief")
    with Person(api, token) as one, Person(api, token) as other:
        cookie = one.client.cookies["dnsd_session"]
        assert one.post("/sign-out", {}).status_code == 303
        one.client.cookies.set("dnsd_session", cookie)
        assert "API token" in one.get("/").text
        assert "Overview" in other.get("/").text
        TokenFile(api.folder / "state").revoke("brief")
        assert "API token" in other.get("/").text


def test_session_outlasts_the_process(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("again")
    with Api(folder, FILES, settings=SETTINGS).running() as api, Person(api, api.operator) as person:
        cookie = person.client.cookies["dnsd_session"]
        again = api
    with again.running() as api, Person(api, None) as person:
        person.client.cookies.set("dnsd_session", cookie)
        assert "Overview" in person.get("/").text


@pytest.mark.parametrize("token", ["", "wrong", "dnsd_" + "0" * 43, "x" * 100_000, "\u0000", "é"])
def test_wrong_token_is_refused(still: Api, token: str) -> None:
    with Person(still, None) as person:
        response = person.sign_in(token)
        assert response.status_code in (400, 403)
        assert "API token" in response.text
        assert "dnsd_session" not in response.headers.get("set-cookie", "")


def test_guessing_is_slowed_down(api: Api) -> None:
    with Person(api, None) as person:
        assert [person.sign_in("wrong").status_code for _ in range(12)][-1] == 429
        assert person.sign_in(api.operator).status_code == 303  # a valid token is always accepted


@pytest.mark.parametrize(
    "then", ["//evil.test/", "https://evil.test/", "/\\evil.test", "\t//evil.test", "javascript:alert(1)"]
)
def test_signing_in_leads_nowhere_else(still: Api, then: str) -> None:
    with Person(still, None) as person:
        assert person.sign_in(still.operator, then).headers["location"] == "/"


# Forms of others

POSTS = [route for route in ROUTES if route.method == "POST"]


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.path)
def test_form_without_the_session_s_secret_is_refused(still: Api, route: PageRoute) -> None:
    path = filled(route)
    with Person(still, still.operator) as one, Person(still, still.operator) as other:
        before = state_of(still)
        for secret in ("", "0" * 64, other.secret, "é" * 64):
            assert one.post(path, FORMS[route.path], secret=secret).status_code == 403, secret
        for headers in ({"origin": "https://evil.test"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
            assert one.post(path, FORMS[route.path], headers=headers).status_code == 403, headers
        assert state_of(still) == before


def test_sign_in_and_out_take_their_own_forms(still: Api) -> None:
    with Person(still, still.operator) as person:
        assert person.post("/sign-out", {}, secret="").status_code == 403
        assert "Overview" in person.get("/").text
    with Person(still, None) as stranger:
        assert stranger.post("/sign-in", {"token": still.operator}, secret="").status_code == 403
        secret_of(stranger.get("/sign-in"))
        other = Person(still, None)
        foreign = secret_of(other.get("/sign-in"))
        other.client.close()
        assert stranger.post("/sign-in", {"token": still.operator}, secret=foreign).status_code == 403


def test_form_sent_after_the_session_ended_can_be_sent_again(api: Api) -> None:
    token = api.token("--account", ACME)
    form = {"tag": "", "description": "Kept", "ips": "203.0.113.10", "zone": SHOP, "do": "preview"}
    with Person(api, token) as person:
        person.client.cookies.delete("dnsd_session")
        path = f"{MAPS}/{MAP_SHOP}/edit"
        ended = person.post(path, form, headers={"origin": api.origin})
        assert ended.status_code == 403
        assert "API token" in ended.text
        assert 'name="description" value="Kept"' in ended.text
        back = person.sign_in(token, path, kept="yes", **form)
        assert back.status_code == 200
        assert 'value="Kept"' in back.text
        nothing = person.client.post(path, data={}, headers={"origin": api.origin})
        assert nothing.status_code == 403  # forms without fields are kept as well
        person.client.cookies.delete("dnsd_session")
        empty = person.post(f"/accounts/{ACME}/addresses/{PREFIX4}/delete", {}, headers={"origin": api.origin})
        assert 'name="kept"' in empty.text
        # A form from another site is not kept.
        person.client.cookies.delete("dnsd_session")
        assert "Kept" not in person.post(path, form, headers={"origin": "https://evil.test"}).text


def test_no_token_evicts_the_sessions_of_another(api: Api) -> None:
    token = api.token("--account", ACME)
    with Person(api, api.operator) as operator:
        people = [Person(api, None) for _ in range(25)]
        for person in people:
            assert person.sign_in(token).status_code == 303
        assert "Overview" in operator.get("/").text
        assert "API token" in people[0].get("/").text  # the oldest session of the same token
        for person in people:
            person.client.close()


@pytest.mark.parametrize("origin", ["http://[", "null", "http://", "é"])
def test_odd_origins_are_foreign(still: Api, origin: str) -> None:
    with Person(still, None) as stranger:
        headers = {"origin": origin.encode()}
        assert stranger.post("/sign-in", {"token": still.operator}, headers=headers).status_code == 403  # type: ignore[arg-type]


def test_clients_address_does_not_come_from_its_headers(api: Api) -> None:
    with Person(api, api.operator) as person:
        person.post(f"{MAPS}/{MAP_SHOP}/disable", {}, headers={"x-forwarded-for": "9.9.9.9"})
    assert "9.9.9.9" not in str(api.audited())


def test_unreadable_objects_are_on_no_page(api: Api) -> None:
    """Reading origins needs dns:read, reading maps maps:read; the audit log reveals no more."""
    api.result(
        "POST", f"/zones/{SHOP}/dns_records", {"type": "A", "name": "o", "content": "198.51.100.77", "proxied": True}
    )
    api.result("PATCH", f"/accounts/{ACME}/addressing/address_maps/{MAP_SHOP}", {"description": "Secret plan"})
    with Person(api, api.token("--account", ACME, "--permission", "maps:read")) as maps_only:
        assert "198.51.100.77" not in maps_only.get("/audit").text
        assert "Secret plan" in maps_only.get("/audit").text
    with Person(api, api.token("--zone", SHOP, "--permission", "dns:read")) as dns_only:
        for path in ("/audit", "/explain?name=www.shop.example", f"/zones/{SHOP}", "/zones", "/"):
            text = dns_only.get(path).text
            for word in ("Secret plan", "Everything else", "Maintenance"):
                assert word not in text, (path, word)
        assert "198.51.100.77" in dns_only.get("/audit").text


def test_new_account_sees_no_entries_of_an_old_one(api: Api) -> None:
    old = api.result("POST", "/accounts", {"name": "Tenant"})
    zone = api.result("POST", "/zones", {"name": "tenant.test", "account": {"id": old["id"]}})
    api.result("POST", f"/zones/{zone['id']}/dns_records", {"type": "A", "name": "o", "content": "198.51.100.99"})
    api.result("DELETE", f"/zones/{zone['id']}")
    api.result("DELETE", f"/accounts/{old['id']}")
    new = api.result("POST", "/accounts", {"name": "Tenant"})
    with Person(api, api.token("--account", new["id"])) as person:
        assert "198.51.100.99" not in person.get("/audit").text


def test_control_characters_are_refused_as_by_the_api(api: Api) -> None:
    with Person(api, api.operator) as person:
        for text in ("a\x1b[31mred", "nul\x00x", "c\x9bsi"):
            form = {"do": "deploy", "step": "review", "number": "1", "description": text, "ips": "203.0.113.91"}
            assert person.post(f"{MAPS}/create", form).status_code == 400


def test_unusable_files_are_reported(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("broken")
    with Api(folder, FILES, settings=SETTINGS + "on_error: refuse\n").running() as api:
        again, operator = api, api.operator
    again.write("acme/account.yaml", "prefixes: nonsense\n")
    with again.running() as api, Person(api, None) as person:
        assert person.sign_in(operator).status_code == 303
        shown = person.get("/")
        assert shown.status_code == 503
        assert "account.yaml" in shown.text


# Stored texts


def test_stored_texts_do_not_run(tmp_path_factory: pytest.TempPathFactory, opened: Open) -> None:
    folder = tmp_path_factory.mktemp("xss")
    with Api(folder, FILES, settings=SETTINGS).running() as api:
        records = f"/zones/{SHOP}/dns_records"
        ids = []
        for number, payload in enumerate(PAYLOADS):
            made = api.result(
                "POST",
                f"/accounts/{ACME}/addressing/address_maps",
                {
                    "description": payload,
                    "ips": [f"203.0.113.{50 + number}"],
                    "memberships": [{"kind": "zone", "identifier": SHOP}],
                },
            )
            ids.append(made["id"])
            txt = {"type": "TXT", "name": f"x{number}", "content": f"a{payload}", "comment": payload, "tags": [payload]}
            one = api.result("POST", records, txt)
            api.result("PATCH", f"/accounts/{ACME}/addressing/prefixes/{PREFIX4}", {"description": payload})
            account = api.result("POST", "/accounts", {"name": payload})
            ids.append(one["id"])
        api.result("PATCH", f"/accounts/{ACME}/addressing/address_maps/{MAP_SHOP}", {"description": PAYLOADS[1]})
        operator = api.token("--name", PAYLOADS[0])
        page = opened(api, operator)
        more = (
            f"{MAPS}/{ids[0]}",
            f"{MAPS}/{ids[0]}/edit",
            f"{MAPS}/{ids[2]}/enable",
            f"{MAPS}/{ids[6]}",
            f"/zones/{SHOP}/records/{ids[1]}/edit",
            f"/zones/{SHOP}/records/{ids[1]}/delete",
            f"/accounts/{account['id']}/maps",
            *(f"/zones?q={payload}" for payload in PAYLOADS),
            *(f"/explain?name={payload}&type={payload}" for payload in PAYLOADS),
            f"/audit?q={PAYLOADS[0]}",
        )
        for path in (*PAGES.values(), *more):
            page.goto(f"{api.origin}{path}")
            assert page.evaluate("window.pwned") is None, path
        assert page.locator("img").count() == 0
        version = api.result("GET", f"/accounts/{ACME}/addressing/address_maps/{ids[0]}/history")[0]["version"]
        page.goto(f"{api.origin}{MAPS}/{ids[0]}/history/{version}")
        assert page.evaluate("window.pwned") is None


# Permissions

TOKEN = "7a" * 16  # made from the token "own"
FORM = {"do": "save", "tag": ""}
FORMS: dict[str, dict[str, Any]] = {
    "/accounts/{account_id}/pool": {"pool": "never"},
    "/accounts/{account_id}/maps/create": {"do": "deploy", "step": "review", "number": "1", "ips": "203.0.113.77"},
    "/accounts/{account_id}/maps/{map_id}": {"tag": "", "description": "x"},
    "/accounts/{account_id}/maps/{map_id}/edit": {"do": "save", "tag": "", "description": "x", "ips": "203.0.113.10"},
    "/accounts/{account_id}/maps/{map_id}/enable": {},
    "/accounts/{account_id}/maps/{map_id}/disable": {},
    "/accounts/{account_id}/maps/{map_id}/delete": {},
    "/accounts/{account_id}/maps/{map_id}/history/{version}": {},
    "/accounts/{account_id}/pending/{change_id}/cancel": {},
    "/accounts/{account_id}/pending/{change_id}/run": {},
    "/accounts/{account_id}/addresses/{prefix_id}/advertise": {},
    "/accounts/{account_id}/addresses/{prefix_id}/withdraw": {},
    "/accounts/{account_id}/addresses/prefixes": {"cidr": "198.18.7.0/24"},
    "/accounts/{account_id}/addresses/static-ips": {"ip": "192.0.2.230"},
    "/accounts/{account_id}/addresses/static-ips/{lease_id}/delete": {},
    "/accounts/{account_id}/addresses/{prefix_id}/approve": {},
    "/accounts/{account_id}/addresses/{prefix_id}/delete": {},
    "/accounts/{account_id}/addresses/{prefix_id}/delegations": {
        "part": "203.0.113.224/28",
        "delegated_account_id": GLOBEX,
    },
    "/accounts/{account_id}/addresses/{prefix_id}/delegations/{delegation_id}/delete": {},
    "/fleet/{edge}": {"ring": "1", "label": "x"},
    "/fleet/{edge}/drain": {},
    "/fleet/{edge}/undrain": {},
    "/tokens/create": {"name": "made", "dns": "read"},
    "/tokens/{token_id}/roll": {},
    "/tokens/{token_id}/revoke": {},
    "/zones/create": {"name": "made.example", "account": ACME},
    "/zones/{zone_id}/settings": {},
    "/zones/{zone_id}/pause": {"paused": "on"},
    "/zones/{zone_id}/verify": {},
    "/zones/{zone_id}/check": {},
    "/zones/{zone_id}/undo/{before}/{after}": {},
    "/zones/{zone_id}/delete": {"name": "shop.example"},
    "/zones/{zone_id}/records/create": {"type": "A", "name": "made", "content": "192.0.2.9"},
    "/zones/{zone_id}/records/bulk": {"do": "delete", "record": WWW, "confirmed": "yes"},
    "/zones/{zone_id}/records/import": {"text": "imported 300 IN A 192.0.2.9\n", "do": "import"},
    "/zones/{zone_id}/records/{record_id}/edit": {"type": "A", "name": "www", "content": "192.0.2.9"},
    "/zones/{zone_id}/records/{record_id}/proxy": {"proxied": "off"},
    "/zones/{zone_id}/records/{record_id}/delete": {},
}
IDS = {
    "account_id": ACME,
    "map_id": MAP_SHOP,
    "prefix_id": PENDING,
    "zone_id": SHOP,
    "record_id": WWW,
    "lease_id": "00" * 16,
    "delegation_id": derived_id("delegation", PREFIX4, "203.0.113.192/27", GLOBEX),
    "version": "20260101T000000.000000Z",
    "change_id": "00" * 16,
    "edge": "pop-1",
    "before": "20260101T000000.000000Z",
    "after": "20260102T000000.000000Z",
    "token_id": TOKEN,
}


def filled(route: PageRoute, **ids: str) -> str:
    if "{delegation_id}" in route.path:
        ids = {"prefix_id": PREFIX4, **ids}
    return route.path.format(**{**IDS, **ids})


def state_of(api: Api) -> dict[str, str]:
    """The texts of all files."""
    root = api.folder / "accounts"
    return {str(file): file.read_text() for file in sorted(root.rglob("*")) if file.is_file()}


def test_every_form_has_a_row() -> None:
    assert {route.path for route in POSTS} == FORMS.keys()


@pytest.fixture(scope="module")
def people(still: Api) -> Iterator[dict[str, Person]]:
    tokens = {
        "other account": still.token("--account", GLOBEX),
        "other zone": still.token("--zone", THEIRS),
        "reader": still.token(
            "--account", ACME, *(x for a in ("maps", "prefixes", "zones", "dns") for x in ("--permission", f"{a}:read"))
        ),
        "own": still.token("--account", ACME),
    }
    file = TokenFile(still.folder / "state")
    own = file.find(tokens["own"], datetime.now(UTC))
    assert isinstance(own, Token)
    child, _ = file.create(name="child", now=datetime.now(UTC), parent=own)
    written = still.folder / "state" / TOKENS
    written.write_text(written.read_text().replace(child.id, TOKEN))
    found = {name: Person(still, token).__enter__() for name, token in tokens.items()}
    yield found
    for person in found.values():
        person.client.close()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_pages_need_their_permission(still: Api, people: dict[str, Person], route: PageRoute) -> None:
    path = filled(route)
    has_scope = "_id}" in route.path

    def ask(who: str) -> Any:
        person = people[who]
        return person.get(path) if route.method == "GET" else person.post(path, FORMS[route.path])

    before = state_of(still)
    for who in ("other account", "other zone"):
        response = ask(who)
        if has_scope:
            assert response.status_code == 404, who
            assert "There is no " in response.text
        if route.path != "/zones/create":  # lists the accounts in which zones may be created
            for word in ("Acme", "shop.example", "Everything else"):
                assert word not in response.text, (who, word)
    if route.permission.level is AccessLevel.EDIT:
        refused = ask("reader")
        assert refused.status_code == 403
        assert route.permission.need is Need.OPERATOR or "You don&#39;t have access: " in refused.text
    assert state_of(still) == before
    if route.method == "GET" and "{version}" not in route.path and route.permission.need is Need.OPERATOR:
        assert ask("own").status_code == 403, "own"
    elif route.method == "GET" and "{version}" not in route.path:
        assert ask("own").status_code in (200, 400), "own"
    with Person(still, None) as stranger:
        response = stranger.get(path) if route.method == "GET" else stranger.client.post(path, data=FORMS[route.path])
        assert response.status_code == (200 if route.method == "GET" else 403)
        assert "API token" in response.text
    assert state_of(still) == before


def test_lists_show_only_own_objects(still: Api, people: dict[str, Person]) -> None:
    with Person(still, still.operator) as operator:
        operator.post(f"{MAPS}/{MAP_OFF}/disable", {})
    still.result("PATCH", f"/accounts/{ACME}/addressing/address_maps/{MAP_MANAGED}", {"description": "Secret plans"})
    for who in ("other account", "other zone"):
        for path in (
            "/",
            "/zones",
            "/accounts",
            "/audit",
            "/audit?q=Secret",
            "/zones?account=" + ACME,
            "/explain?name=www.shop.example",
        ):
            text = people[who].get(path).text
            for word in ("Secret plans", "203.0.113", "Acme"):
                assert word not in text, (who, path, word)
    assert "Secret plans" in people["own"].get("/audit?q=Secret").text
    still.result(
        "PATCH",
        f"/accounts/{ACME}/addressing/address_maps/{MAP_MANAGED}",
        {"description": "In place of the shared pool"},
    )


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/x/maps",
        f"/accounts/{'f' * 32}/maps",
        f"/accounts/{ACME.upper()}/maps/{'0' * 32}",
        "/zones/..%2f..%2fetc",
        "/static/0/..%2fpage.py",
        "/accounts//maps",
        "/%00",
        "/zones/" + "9" * 5000,
    ],
)
def test_missing_objects_are_not_found(still: Api, path: str) -> None:
    with Person(still, still.operator) as person:
        assert person.get(path, headers={"accept": "text/html"}).status_code == 404
        said = person.get(path)  # a client other than a browser expects the API
        assert said.status_code == 404
        assert "text/html" in said.headers["content-type"] or said.json()["errors"][0]["code"] == 7003


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b"a=%ff", b"=&" * 60_000, b"{}", b"x" * 2_000_000],
    ids=["octets", "escapes", "fields", "json", "large"],
)
def test_malformed_form_is_refused(still: Api, body: bytes) -> None:
    with Person(still, still.operator) as person:
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=x"):
            response = person.client.post(f"{MAPS}/create", content=body, headers={"content-type": kind})
            assert response.status_code in (400, 403, 413), (kind, response.status_code)
    assert still.result("GET", "/user")


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=99999999999999999999",
        "page=é",
        "order=nothing&direction=sideways",
        "q=%00",
        "q=" + "x" * 5000,
        "type=%00",
    ],
)
def test_odd_queries_are_harmless(still: Api, query: str) -> None:
    with Person(still, still.operator) as person:
        for path in ("/zones", MAPS, "/accounts", "/audit", f"/zones/{SHOP}/records", "/explain"):
            assert person.get(f"{path}?{query}").status_code in (200, 400)


def test_audit_log_names_the_person(api: Api) -> None:
    token = api.token("--account", ACME, "--name", "jane")
    with Person(api, token) as person:
        assert person.post(f"{MAPS}/{MAP_SHOP}/disable", {}).status_code == 303
        assert person.post(f"{MAPS}/{MAP_MANAGED}/delete", {}).status_code == 400
        text = person.get("/audit").text
    entries = [one for one in api.audited() if one["actor"]]  # the server's own have none
    assert [(one["actor"]["name"], one["action"], one["outcome"]) for one in entries] == [
        ("jane", "map.disable", "ok"),
        ("jane", "map.delete", "refused"),
    ]
    assert "jane" in text
