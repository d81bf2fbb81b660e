"""Permissions: every route with every kind of token; tokens learn nothing about other accounts' objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from dnsd.api.access import Need
from dnsd.api.app import BASE
from dnsd.api.memberships import membership_id
from dnsd.api.policies import GROUPS_BY_PERMISSION
from dnsd.api.routes import ROUTES, Route
from dnsd.manage.accounts import lease_id
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending import PendingChange
from dnsd.manage.pending_files import PendingFiles
from dnsd.manage.prefixes import SERVICES
from dnsd.manage.state_names import TOKENS
from dnsd.manage.token_file import TokenFile
from dnsd.manage.tokens import AccessLevel, Area, Token
from dnsd.model.accounts import Account, AccountSettings
from dnsd.model.fields import derived_id, parse_ip
from tests.api.server import A1, A2, PREFIX1, Z1, Z2, Z3, Api
from tests.limits import HANG_S
from tests.live.forked import run

A3 = "a3" * 16  # the same customer's second account, to be deleted
READ, EDIT = AccessLevel
NOTHING = "0" * 32
T_READ, T_EDIT, T_OLD, T_OLD_2 = (
    "51" * 16,
    "52" * 16,
    "53" * 16,
    "54" * 16,
)  # made from tokens with one permission on tokens
Z_OLD, M, M_OLD, M_OTHER = "24" * 16, "31" * 16, "32" * 16, "33" * 16
Z_STATES = {"unverified": "25" * 16, "pending": "26" * 16, "locked": "27" * 16, "paused": "28" * 16}
Z_TWIN = "29" * 16  # served in place of the pending one
PREFIX_OLD, PREFIX_OTHER = "92" * 16, "93" * 16
LOA_1, LOA_OLD = "98" * 16, "99" * 16
BGP, BGP_OLD, BINDING, BINDING_OLD = "94" * 16, "95" * 16, "96" * 16, "97" * 16
CHANGE, CHANGE_OLD, CHANGE_STOPPED, CHANGE_OTHER = "51" * 16, "52" * 16, "53" * 16, "54" * 16
RECORD, RECORD_OLD, RECORD_OTHER = "41" * 16, "42" * 16, "43" * 16
DELEGATION = derived_id("delegation", PREFIX1, "203.0.113.128/25", A2)
ACME_ACCOUNT = Account("acme", A1, "", (), (), AccountSettings())
LEASE = lease_id(ACME_ACCOUNT, parse_ip("192.0.2.201"))
MEMBERSHIP = membership_id(ACME_ACCOUNT)

FILES = {
    "acme/account.yaml": f"""
id: {A1}
name: Acme
prefixes:
  - id: "{PREFIX1}"
    cidr: 203.0.113.0/24
    approved: V
    delegations: [{{cidr: 203.0.113.128/25, account: globex}}]
    bgp_prefixes:
      - {{id: "{BGP}", cidr: 203.0.113.0/24, advertised: true}}
      - {{id: "{BGP_OLD}", cidr: 203.0.113.0/25, advertised: false}}
    bindings:
      - {{id: "{BINDING}", cidr: 203.0.113.0/24, service: CDN}}
      - {{id: "{BINDING_OLD}", cidr: 203.0.113.0/25, service: Spectrum}}
  - {{id: "{PREFIX_OLD}", cidr: 198.51.100.0/25, approved: V}}
static_ips: [192.0.2.200, 192.0.2.201]
""",
    "acme2/account.yaml": f"id: {A3}\nname: Acme 2\n",
    "acme/maps/shop.yaml": f"""
id: "{M}"
ips: [203.0.113.10, 203.0.113.11]
memberships: [{{kind: zone, identifier: example.com}}]
""",
    "acme/maps/old.yaml": f'id: "{M_OLD}"\n',
    "acme/zones/example.com.yaml": f"""
id: "{Z1}"
records:
  - {{name: www, type: A, content: 192.0.2.1, proxied: true, id: "{RECORD}"}}
  - {{name: old, type: A, content: 192.0.2.2, id: "{RECORD_OLD}"}}
""",
    "acme/zones/example.net.yaml": f'id: "{Z2}"\n',
    "acme/zones/old.example.yaml": f'id: "{Z_OLD}"\n',
    "acme/zones/claimed.example.yaml": f'id: "{Z_STATES["unverified"]}"\nverified: false\n',
    "acme/zones/twice.example.yaml": f"""
id: "{Z_STATES["pending"]}"
verified: false
created_on: 2026-01-02T00:00:00Z
""",
    "acme/zones/locked.example.yaml": f'id: "{Z_STATES["locked"]}"\nstatus: initializing\n',
    "acme/zones/paused.example.yaml": f'id: "{Z_STATES["paused"]}"\npaused: true\n',
    "globex/zones/twice.example.yaml": f"""
id: "{Z_TWIN}"
verified: false
created_on: 2026-01-01T00:00:00Z
""",
    "globex/account.yaml": f"""
id: {A2}
name: Globex
prefixes: [{{id: "{PREFIX_OTHER}", cidr: "2001:db8:2::/48", approved: V}}]
""",
    "globex/maps/shop.yaml": f'id: "{M_OTHER}"\nips: ["2001:db8:2::1"]\n',
    "globex/zones/example.org.yaml": f"""
id: "{Z3}"
records: [{{name: www, type: A, content: 192.0.2.1, id: "{RECORD_OTHER}"}}]
""",
}


@dataclass(frozen=True)
class Sample:
    """A successful request of a route: path parameters that differ from `USUAL`, and the body."""

    path: dict[str, str] = field(default_factory=dict)
    body: Any = None
    files: Any = None


USUAL = {
    "account_id": A1,
    "zone_id": Z1,
    "map_id": M,
    "prefix_id": PREFIX1,
    "record_id": RECORD,
    "delegation_id": DELEGATION,
    "lease_id": LEASE,
    "bgp_prefix_id": BGP,
    "binding_id": BINDING,
    "loa_document_id": LOA_1,
    "membership_id": MEMBERSHIP,
    "token_id": T_EDIT,
    "change_id": CHANGE,
    "setting": "ipv6",
}
NEW_RECORD = {"name": "new", "type": "A", "content": "192.0.2.9", "ttl": 60}
MASTER_FILE = "imported 60 IN A 192.0.2.10\n"
MAPS = "/accounts/{account_id}/addressing/address_maps"
PENDING = "/accounts/{account_id}/addressing/pending_changes"
PREFIXES = "/accounts/{account_id}/addressing/prefixes"
BGP_PREFIXES = f"{PREFIXES}/{{prefix_id}}/bgp/prefixes"
LOA = "/accounts/{account_id}/addressing/loa_documents"
BINDINGS = f"{PREFIXES}/{{prefix_id}}/bindings"
LEASES = "/accounts/{account_id}/addressing/leases"
RECORDS = "/zones/{zone_id}/dns_records"

READ_TOKENS = {
    "name": "new",
    "policies": [
        {
            "effect": "allow",
            "permission_groups": [{"id": GROUPS_BY_PERMISSION[Area.TOKENS, AccessLevel.READ].id}],
            "resources": {f"com.cloudflare.api.account.{A1}": "*"},
        }
    ],
}


def token_samples(path: str, old: str) -> dict[str, Sample]:
    return {
        f"GET {path}/verify": Sample(),
        f"GET {path}/permission_groups": Sample(),
        f"GET {path}": Sample(),
        f"POST {path}": Sample(body=READ_TOKENS),
        f"GET {path}/{{token_id}}": Sample({"token_id": T_READ}),
        f"PUT {path}/{{token_id}}": Sample(body=READ_TOKENS),
        f"PUT {path}/{{token_id}}/value": Sample(),
        f"DELETE {path}/{{token_id}}": Sample({"token_id": old}),
    }


SAMPLES = {
    "GET /user": Sample(),
    **token_samples("/user/tokens", T_OLD),
    **token_samples("/accounts/{account_id}/tokens", T_OLD_2),
    "GET /memberships": Sample(),
    "GET /memberships/{membership_id}": Sample(),
    "GET /dnsd/brake": Sample(),
    "POST /dnsd/brake/release": Sample(body={"author": "files", "seconds": 1}),
    "GET /fleet/edges": Sample(),
    "PATCH /fleet/edges/{edge}": Sample({"edge": "pop-1"}, {"ring": 1}),
    "GET /accounts": Sample(),
    "POST /accounts": Sample(body={"name": "New"}),
    "GET /accounts/{account_id}": Sample(),
    "PUT /accounts/{account_id}": Sample(body={"name": "Acme Ltd"}),
    "DELETE /accounts/{account_id}": Sample({"account_id": A3}),
    "GET /accounts/{account_id}/dns_settings": Sample(),
    "PATCH /accounts/{account_id}/dns_settings": Sample(body={"enforce_dns_only": False}),
    "GET /accounts/{account_id}/dns_records/usage": Sample(),
    "GET /accounts/{account_id}/audit_logs": Sample(),
    "GET /accounts/{account_id}/logs/audit": Sample(),
    "GET /accounts/{account_id}/members": Sample(),
    "GET /accounts/{account_id}/members/{membership_id}": Sample(),
    "GET /accounts/{account_id}/roles": Sample(),
    "GET /accounts/{account_id}/quotas": Sample(),
    "PATCH /accounts/{account_id}/quotas": Sample(body={"zones": 500}),
    f"POST {RECORDS}/scan": Sample(),
    f"POST {RECORDS}/scan/trigger": Sample(),
    f"GET {RECORDS}/scan/review": Sample(),
    f"POST {RECORDS}/scan/review": Sample(body={"accepts": [], "rejects": []}),
    f"GET {RECORDS}/usage": Sample(),
    "GET /zones/{zone_id}/dns_analytics/report": Sample(),
    "GET /zones/{zone_id}/dns_analytics/report/bytime": Sample(),
    f"GET {MAPS}": Sample(),
    f"POST {MAPS}": Sample(body={}),
    f"POST {MAPS}/plan": Sample(body={"ips": ["203.0.113.9"]}),
    f"GET {MAPS}/{{map_id}}": Sample(),
    f"PATCH {MAPS}/{{map_id}}": Sample(body={"description": "Shop"}),
    f"DELETE {MAPS}/{{map_id}}": Sample({"map_id": M_OLD}),
    f"PUT {MAPS}/{{map_id}}/ips/{{ip}}": Sample({"ip": "203.0.113.12"}),
    f"DELETE {MAPS}/{{map_id}}/ips/{{ip}}": Sample({"ip": "203.0.113.11"}),
    f"PUT {MAPS}/{{map_id}}/zones/{{member_id}}": Sample({"member_id": Z2}),
    f"DELETE {MAPS}/{{map_id}}/zones/{{member_id}}": Sample({"member_id": Z2}),
    f"PUT {MAPS}/{{map_id}}/accounts/{{member_id}}": Sample({"member_id": A1}),
    f"DELETE {MAPS}/{{map_id}}/accounts/{{member_id}}": Sample({"member_id": A1}),
    f"GET {MAPS}/{{map_id}}/history": Sample(),
    f"GET {MAPS}/{{map_id}}/history/{{version}}": Sample(),
    f"POST {MAPS}/{{map_id}}/history/{{version}}/restore": Sample(),
    f"GET {MAPS}/{{map_id}}/pending_changes": Sample(),
    f"GET {MAPS}/{{map_id}}/drains": Sample(),
    f"GET {PENDING}": Sample(),
    f"GET {PENDING}/{{change_id}}": Sample(),
    f"DELETE {PENDING}/{{change_id}}": Sample({"change_id": CHANGE_OLD}),
    f"POST {PENDING}/{{change_id}}/run": Sample({"change_id": CHANGE_STOPPED}),
    f"GET {PREFIXES}": Sample(),
    f"POST {PREFIXES}": Sample(body={"cidr": "198.51.100.128/25"}),
    f"GET {PREFIXES}/{{prefix_id}}": Sample(),
    f"PATCH {PREFIXES}/{{prefix_id}}": Sample(body={"description": "ours"}),
    f"DELETE {PREFIXES}/{{prefix_id}}": Sample({"prefix_id": PREFIX_OLD}),
    f"GET {PREFIXES}/{{prefix_id}}/bgp/status": Sample(),
    f"PATCH {PREFIXES}/{{prefix_id}}/bgp/status": Sample(body={"advertised": False}),
    f"GET {BGP_PREFIXES}": Sample(),
    f"POST {BGP_PREFIXES}": Sample(body={"cidr": "203.0.113.128/25"}),
    f"GET {BGP_PREFIXES}/{{bgp_prefix_id}}": Sample(),
    f"PATCH {BGP_PREFIXES}/{{bgp_prefix_id}}": Sample(body={"asn_prepend_count": 2}),
    f"DELETE {BGP_PREFIXES}/{{bgp_prefix_id}}": Sample({"bgp_prefix_id": BGP_OLD}),
    f"GET {PREFIXES}/{{prefix_id}}/bgp/observed": Sample(),
    "GET /addressing/observed_routes": Sample(),
    "PUT /addressing/observed_routes": Sample(body={"routes": [{"cidr": "203.0.113.0/24", "advertised": True}]}),
    f"POST {PREFIXES}/{{prefix_id}}/validate": Sample(),
    f"GET {LOA}": Sample(),
    f"POST {LOA}": Sample(files={"loa_document": ("loa.pdf", b"%PDF-1.7 ...")}),
    f"GET {LOA}/{{loa_document_id}}/download": Sample(),
    f"DELETE {LOA}/{{loa_document_id}}": Sample({"loa_document_id": LOA_OLD}),
    f"GET {BINDINGS}": Sample(),
    f"POST {BINDINGS}": Sample(body={"cidr": "203.0.113.8/29", "service_id": SERVICES[0].id}),
    f"GET {BINDINGS}/{{binding_id}}": Sample(),
    f"DELETE {BINDINGS}/{{binding_id}}": Sample({"binding_id": BINDING_OLD}),
    "GET /accounts/{account_id}/addressing/services": Sample(),
    f"GET {PREFIXES}/{{prefix_id}}/delegations": Sample(),
    f"POST {PREFIXES}/{{prefix_id}}/delegations": Sample(body={"cidr": "203.0.113.0/26", "delegated_account_id": A2}),
    f"DELETE {PREFIXES}/{{prefix_id}}/delegations/{{delegation_id}}": Sample(),
    f"GET {LEASES}": Sample(),
    f"POST {LEASES}": Sample(body={"ip": "192.0.2.202"}),
    f"DELETE {LEASES}/{{lease_id}}": Sample(),
    "GET /accounts/{account_id}/zones/{zone_id}/history": Sample(),
    "GET /accounts/{account_id}/zones/{zone_id}/history/{version}": Sample(),
    "POST /accounts/{account_id}/zones/{zone_id}/history/{version}/restore": Sample(),
    "GET /zones": Sample(),
    "POST /zones": Sample(body={"name": "new.example", "account": {"id": A1}}),
    "GET /zones/{zone_id}": Sample(),
    "PATCH /zones/{zone_id}": Sample(body={"paused": False}),
    "DELETE /zones/{zone_id}": Sample({"zone_id": Z_OLD}),
    "PUT /zones/{zone_id}/activation_check": Sample(),
    "GET /zones/{zone_id}/settings": Sample(),
    "PATCH /zones/{zone_id}/settings": Sample(body={"items": [{"id": "ipv6", "value": "on"}]}),
    "GET /zones/{zone_id}/settings/{setting}": Sample(),
    "PATCH /zones/{zone_id}/settings/{setting}": Sample(body={"value": "on"}),
    "GET /zones/{zone_id}/dns_settings": Sample(),
    "PATCH /zones/{zone_id}/dns_settings": Sample(body={"flatten_all_cnames": False}),
    "GET /zones/{zone_id}/dnssec": Sample(),
    "GET /zones/{zone_id}/pagerules": Sample(),
    "GET /zones/{zone_id}/history": Sample(),
    "GET /zones/{zone_id}/history/{version}": Sample(),
    "POST /zones/{zone_id}/history/{version}/restore": Sample(),
    f"GET {RECORDS}": Sample(),
    f"POST {RECORDS}": Sample(body=NEW_RECORD),
    f"GET {RECORDS}/export": Sample(),
    f"POST {RECORDS}/import": Sample(files={"file": (None, MASTER_FILE)}),
    f"POST {RECORDS}/batch": Sample(body={"posts": [NEW_RECORD | {"name": "batch"}]}),
    f"GET {RECORDS}/{{record_id}}": Sample(),
    f"PUT {RECORDS}/{{record_id}}": Sample(body={"name": "www", "type": "A", "content": "192.0.2.3", "ttl": 1}),
    f"PATCH {RECORDS}/{{record_id}}": Sample(body={"comment": "shop"}),
    f"DELETE {RECORDS}/{{record_id}}": Sample({"record_id": RECORD_OLD}),
}


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


@dataclass(frozen=True)
class Tokens:
    """Secrets of tokens; `own` and the narrower ones cover the accounts acme and acme2."""

    own: str
    reader: str  # of all areas
    one_area: dict[tuple[Area, AccessLevel], str]
    other_account: str
    other_zone: str
    own_zone: str  # Z1 alone
    dns_and_zones: str  # to edit
    expired: str


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    prepared = Api(tmp_path_factory.mktemp("access"), FILES)
    documents = prepared.folder / "state" / "loa" / A1
    documents.mkdir(parents=True)
    for document_id in (LOA_1, LOA_OLD):
        described = {"filename": "loa.pdf", "size_bytes": 8, "created": "2026-01-01T00:00:00Z"}
        (documents / f"{document_id}.json").write_text(json.dumps(described))
        (documents / f"{document_id}.pdf").write_bytes(b"%PDF-1.7")
    pending = PendingFiles(prepared.folder / "state")
    for change_id, account_id, map_id, stopped in (
        (CHANGE, A1, M, ""),
        (CHANGE_OLD, A1, M, ""),
        (CHANGE_STOPPED, A1, M, "it is late"),
        (CHANGE_OTHER, A2, M_OTHER, ""),
    ):
        pending.write(pending_change(change_id, MapRequest("map.edit", account_id, map_id, {}), stopped))
    with prepared.running() as api:
        yield api


def pending_change(change_id: str, request: MapRequest, stopped: str) -> PendingChange:
    now = datetime.now(UTC)
    return PendingChange(
        id=change_id,
        request=request,
        at=now + timedelta(days=1),
        created_at=now,
        token_id=NOTHING,
        token_name="alice",
        tag="0" * 24,
        zones=frozenset(),
        plan={},
        stopped=stopped,
    )


@pytest.fixture(scope="module")
def tokens(api: Api) -> Tokens:
    file = TokenFile(api.folder / "state")
    now = datetime.now(UTC)

    def made(**what: Any) -> str:
        return file.create(name="", now=now, **what)[1]

    mine = (A1, A3)
    found = Tokens(
        own=made(accounts=mine),
        reader=made(accounts=mine, permissions=[(area, AccessLevel.READ) for area in Area]),
        dns_and_zones=made(accounts=mine, permissions=[(Area.DNS, AccessLevel.EDIT), (Area.ZONES, AccessLevel.EDIT)]),
        one_area={
            (area, level): made(accounts=mine, permissions=[(area, level)]) for area in Area for level in AccessLevel
        },
        other_account=made(accounts=[A2]),
        other_zone=made(zones=[Z3]),
        own_zone=made(zones=[Z1]),
        expired=made(expires_at=now - timedelta(seconds=1)),
    )
    for level, token_id in ((READ, T_READ), (EDIT, T_EDIT), (EDIT, T_OLD), (EDIT, T_OLD_2)):
        parent = file.find(found.one_area[Area.TOKENS, level], now)
        assert isinstance(parent, Token)
        made_id = file.create(name="", now=now, accounts=[A1], permissions=[(Area.TOKENS, READ)], parent=parent)[0].id
        text = (api.folder / "state" / TOKENS).read_text()
        (api.folder / "state" / TOKENS).write_text(text.replace(made_id, token_id))
    return found


@pytest.fixture(scope="module")
def versions(api: Api) -> dict[str, str]:
    """A version of the map and one of the zone, by path parameter."""
    maps = f"/accounts/{A1}/addressing/address_maps/{M}"
    api.result("PATCH", maps, {"description": "before"})
    api.result("POST", f"/zones/{Z1}/dns_records", NEW_RECORD | {"name": "before"})
    return {
        "map_id": api.result("GET", f"{maps}/history")[0]["version"],
        "zone_id": api.result("GET", f"/zones/{Z1}/history")[0]["version"],
    }


class Asking:
    """Send a route's sample request with any token and for any object."""

    def __init__(self, api: Api, route: Route, versions: dict[str, str]) -> None:
        self._api, self._route, self._sample = api, route, SAMPLES[name_of(route)]
        version = versions["map_id" if "{map_id}" in route.path else "zone_id"]
        self._path = USUAL | {"version": version} | self._sample.path

    def __call__(self, token: str | None, *, scope: str | None = None, headers: Any = None) -> httpx.Response:
        """The response; `scope` replaces the account's id in the path or, without an account, the zone's."""
        path = dict(self._path)
        if scope:
            names = ("account_id", "membership_id", "token_id")  # without them, the path has a zone's id
            path[next((name for name in names if f"{{{name}}}" in self._route.path), "zone_id")] = scope
        headers = {"Authorization": f"Bearer {token}"} if token else headers or {}
        if self._sample.body is not None:
            options = {"json": self._sample.body}
        else:
            options = {"files": self._sample.files} if self._sample.files else {}
        return self._api.client.request(self._route.method, self._route.path.format(**path), headers=headers, **options)

    @property
    def has_scope(self) -> bool:
        return "_id}" in self._route.path


def reason(response: httpx.Response) -> tuple[int, int]:
    """Status and code of a refusal in its envelope."""
    said = response.json()
    assert (said["success"], said["result"], said["messages"]) == (False, None, []), said
    return response.status_code, said["errors"][0]["code"]


@pytest.fixture(params=ROUTES, ids=name_of)
def route(request: pytest.FixtureRequest) -> Route:
    return request.param


@pytest.fixture
def ask(api: Api, route: Route, versions: dict[str, str]) -> Asking:
    return Asking(api, route, versions)


def test_every_route_has_a_sample() -> None:
    assert SAMPLES.keys() == {name_of(route) for route in ROUTES}


MALFORMED = [
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Basic ZG5zZDpkbnNk"},
    {"Authorization": "dnsd_0"},
    {"X-Auth-Email": "a@example.com", "X-Auth-Key": ""},
]


def test_nothing_is_available_without_a_token(api: Api, ask: Asking, tokens: Tokens) -> None:
    missing = ask(None)
    assert reason(missing) == (401, 9106)
    assert missing.headers["WWW-Authenticate"] == "Bearer"
    for headers in MALFORMED:
        assert reason(ask(None, headers=headers)) == (400, 6003), headers
    assert reason(ask("dnsd_" + "0" * 43)) == (403, 10000)
    assert reason(ask(tokens.expired)) == (403, 10000)
    assert reason(ask(None, scope=NOTHING)) == (401, 9106)  # nor does the answer reveal whether the object exists
    api.result("GET", "/user")  # ends the count of failures


def test_token_without_the_permission_is_refused(ask: Asking, route: Route, tokens: Tokens) -> None:
    permission = route.permission
    if permission.need is Need.OPERATOR:
        assert reason(ask(tokens.own)) == (403, 10000)
        return
    for (area, level), token in tokens.one_area.items():
        granted = {area, Area.ZONES} if area is Area.DNS and permission.level is AccessLevel.READ else {area}
        if set(permission.areas) - granted or (permission.areas and level is not AccessLevel.EDIT is permission.level):
            assert reason(ask(token)) == (403, 10000), (area, level)
    if permission.level is AccessLevel.EDIT:
        assert reason(ask(tokens.reader)) == (403, 10000)


def test_objects_out_of_scope_are_not_found(ask: Asking, route: Route, tokens: Tokens) -> None:
    strangers = [tokens.other_account, tokens.other_zone]
    if "{account_id}" in route.path or "{membership_id}" in route.path:
        strangers.append(tokens.own_zone)  # a zone's token does not see the account
    for token in strangers:
        if ask.has_scope:
            theirs, nobody_s = ask(token), ask(token, scope=NOTHING)
            assert reason(theirs) == (404, 1000)
            assert theirs.json() == nobody_s.json()
            assert theirs.headers.keys() == nobody_s.headers.keys()
        elif route.method == "POST" or route.permission.need is Need.OPERATOR:
            assert reason(ask(token)) in ((404, 1000), (403, 10000))
        else:
            assert ask(token).status_code == 200
            assert A1 not in ask(token).text
            assert Z1 not in ask(token).text


ZONE_ROUTES = [route for route in ROUTES if "{zone_id}" in route.path and "{account_id}" not in route.path]


@pytest.mark.parametrize("route", ZONE_ROUTES, ids=name_of)
@pytest.mark.parametrize("state", Z_STATES)
def test_scope_of_a_token_does_not_depend_on_a_zones_state(
    ask: Asking, route: Route, tokens: Tokens, state: str
) -> None:
    zone = Z_STATES[state]
    nobody_s = ask(tokens.own, scope=NOTHING).json()
    for token, scope in ((tokens.other_account, zone), (tokens.other_zone, zone), (tokens.own, Z_TWIN)):
        theirs = ask(token, scope=scope)
        assert reason(theirs) == (404, 1000)
        assert theirs.json() == nobody_s
    if route.method == "GET" and not {"{record_id}", "{version}"} & {*route.path.split("/")}:
        assert ask(tokens.reader, scope=zone).status_code == 200


STATE_DELETIONS = {"unverified": 200, "pending": 200, "locked": 400, "paused": 200}


@pytest.mark.parametrize(("state", "status"), STATE_DELETIONS.items())
def test_only_the_operator_deletes_a_locked_zone(api: Api, tokens: Tokens, state: str, status: int) -> None:
    path = f"/zones/{Z_STATES[state]}"
    assert api.call("DELETE", path, token=tokens.dns_and_zones).status_code == status
    assert api.call("GET", path).status_code == (200 if status == 400 else 404)


def test_token_with_the_permission_is_enough(api: Api, ask: Asking, route: Route, tokens: Tokens) -> None:
    permission = route.permission
    if permission.level is AccessLevel.READ:
        if "{token_id}" not in route.path:  # it is not its own
            assert ask(tokens.reader).status_code == 200
        if "{zone_id}" in route.path and "{account_id}" not in route.path:
            assert ask(tokens.own_zone).status_code == 200
    areas = permission.areas
    token = (
        tokens.dns_and_zones if len(areas) > 1 else tokens.one_area[areas[0], permission.level] if areas else tokens.own
    )
    response = ask(api.operator if permission.need is Need.OPERATOR else token)
    is_of_fleet = "{edge}" in route.path  # this server is none
    assert response.status_code == (404 if is_of_fleet else route.status), response.text


# Other accounts' objects in paths below one's own


ACME, ACME_MAPS, ACME_PREFIXES, ACME_PENDING = (
    text.format(account_id=A1) for text in ("/accounts/{account_id}", MAPS, PREFIXES, PENDING)
)
BELOW_OWN = {
    "map": ("GET", f"{ACME_MAPS}/{{}}", M_OTHER),
    "map to change": ("PATCH", f"{ACME_MAPS}/{{}}", M_OTHER),
    "map to delete": ("DELETE", f"{ACME_MAPS}/{{}}", M_OTHER),
    "map's new address": ("PUT", f"{ACME_MAPS}/{{}}/ips/203.0.113.10", M_OTHER),
    "map's history": ("GET", f"{ACME_MAPS}/{{}}/history", M_OTHER),
    "a zone for a map": ("GET", f"{ACME_MAPS}/{{}}/history", Z1),
    "member": ("PUT", f"{ACME_MAPS}/{M}/zones/{{}}", Z3),
    "account as member": ("PUT", f"{ACME_MAPS}/{M}/accounts/{{}}", A2),
    "map's drains": ("GET", f"{ACME_MAPS}/{{}}/drains", M_OTHER),
    "map's pending changes": ("GET", f"{ACME_MAPS}/{{}}/pending_changes", M_OTHER),
    "pending change": ("GET", f"{ACME_PENDING}/{{}}", CHANGE_OTHER),
    "pending change to cancel": ("DELETE", f"{ACME_PENDING}/{{}}", CHANGE_OTHER),
    "pending change to make": ("POST", f"{ACME_PENDING}/{{}}/run", CHANGE_OTHER),
    "prefix": ("GET", f"{ACME_PREFIXES}/{{}}", PREFIX_OTHER),
    "prefix to delete": ("DELETE", f"{ACME_PREFIXES}/{{}}", PREFIX_OTHER),
    "prefix's delegations": ("GET", f"{ACME_PREFIXES}/{{}}/delegations", PREFIX_OTHER),
    "zone's history": ("GET", f"{ACME}/zones/{{}}/history", Z3),
    "a map for a zone": ("GET", f"{ACME}/zones/{{}}/history", M),
    "record": ("GET", f"/zones/{Z1}/dns_records/{{}}", RECORD_OTHER),
    "record to change": ("PATCH", f"/zones/{Z1}/dns_records/{{}}", RECORD_OTHER),
    "record to delete": ("DELETE", f"/zones/{Z1}/dns_records/{{}}", RECORD_OTHER),
}


@pytest.mark.parametrize("what", BELOW_OWN)
def test_foreign_object_below_an_own_one_is_not_found(api: Api, tokens: Tokens, what: str) -> None:
    method, path, identifier = BELOW_OWN[what]
    body = {} if method == "PATCH" else None
    theirs = api.call(method, path.format(identifier), body, token=tokens.own)
    nobody_s = api.call(method, path.format(NOTHING), body, token=tokens.own)
    assert reason(theirs)[0] == 404
    assert theirs.json() == nobody_s.json()


IN_BODY = {
    "account of a new zone": ("/zones", {"name": "mine.example", "account": {"id": "{}"}}, A2),
    "member of a new map": (
        ACME_MAPS,
        {"ips": ["203.0.113.9"], "memberships": [{"kind": "zone", "identifier": "{}"}]},
        Z3,
    ),
    "map of a plan": (f"{ACME_MAPS}/plan", {"id": "{}"}, M_OTHER),
}


def filled(body: Any, identifier: str) -> Any:
    if isinstance(body, dict):
        return {key: filled(value, identifier) for key, value in body.items()}
    if isinstance(body, list):
        return [filled(one, identifier) for one in body]
    return identifier if body == "{}" else body


@pytest.mark.parametrize("what", IN_BODY)
def test_foreign_object_in_a_body_is_not_found(api: Api, tokens: Tokens, what: str) -> None:
    path, body, identifier = IN_BODY[what]
    theirs = api.call("POST", path, filled(body, identifier), token=tokens.own)
    nobody_s = api.call("POST", path, filled(body, NOTHING), token=tokens.own)
    assert reason(theirs)[0] == 404
    assert theirs.json() == nobody_s.json()


def test_version_needs_access_to_its_object(api: Api, tokens: Tokens, versions: dict[str, str]) -> None:
    maps_only, dns_only = tokens.one_area[Area.MAPS, AccessLevel.EDIT], tokens.dns_and_zones
    of_zone, of_map = versions["zone_id"], versions["map_id"]
    for token, path in (
        (maps_only, f"{ACME_MAPS}/{Z1}/history/{of_zone}"),
        (maps_only, f"{ACME_MAPS}/{A1}/history"),
        (dns_only, f"{ACME}/zones/{M}/history/{of_map}"),
        (tokens.other_account, f"/accounts/{A2}/zones/{Z1}/history/{of_zone}"),
        (tokens.other_account, f"/accounts/{A2}/addressing/address_maps/{M}/history/{of_map}"),
    ):
        assert reason(api.call("GET", path, token=token)) == (404, 1000)
        if not path.endswith("history"):
            assert reason(api.call("POST", f"{path}/restore", token=token)) == (404, 1000)


SECRETS_OF_OTHERS = {
    "a zone in another account's": ("/zones", {"name": "www.example.org", "account": {"id": A1}}),
    "another account's zone": ("/zones", {"name": "example.org", "account": {"id": A1}}),
    "an address of another account": (MAPS, {"ips": ["2001:db8:2::1"]}),
}


@pytest.mark.parametrize("what", SECRETS_OF_OTHERS)
def test_refusal_does_not_reveal_an_owner(api: Api, tokens: Tokens, what: str) -> None:
    path, body = SECRETS_OF_OTHERS[what]
    response = api.call("POST", path.format(account_id=A1), body, token=tokens.own)
    assert response.status_code == 400
    for word in ("globex", "2001:db8:2::/48", A2):
        assert word not in response.text.lower()


def test_pending_prefix_does_not_block_others(api: Api, tokens: Tokens) -> None:
    """A pending prefix is only recorded; the operator verifies its owner."""
    path = f"/accounts/{A2}/addressing/prefixes"
    squat = api.result("POST", path, {"cidr": "2001:db8:77::/48"}, token=tokens.other_account)
    own = api.result("POST", f"/accounts/{A1}/addressing/prefixes", {"cidr": "2001:db8:77:1::/64"}, token=tokens.own)
    api.result("PATCH", f"/accounts/{A1}/addressing/prefixes/{own['id']}", {"approved": "V"})
    assert api.refused("PATCH", f"{path}/{squat['id']}", {"approved": "V"})[:2] == (400, 1001)
    api.result("DELETE", f"{path}/{squat['id']}")
    api.result("DELETE", f"/accounts/{A1}/addressing/prefixes/{own['id']}")


# Lists


def ids(api: Api, path: str, token: str) -> set[str]:
    return {one["id"] for one in api.result("GET", path, token=token)}


def test_lists_contain_only_objects_in_scope(api: Api, tokens: Tokens) -> None:
    all_zones, all_accounts = ids(api, "/zones?per_page=50", api.operator), ids(api, "/accounts", api.operator)
    assert {Z1, Z2, Z3} <= all_zones
    assert {A1, A2} <= all_accounts
    assert ids(api, "/zones", tokens.own) == all_zones - {Z3, Z_TWIN}
    assert A2 not in ids(api, "/accounts", tokens.own)
    assert ids(api, "/zones", tokens.other_account) == {Z3, Z_TWIN}
    assert ids(api, "/accounts", tokens.other_account) == {A2}
    for path in (f"/zones?account.id={A2}", "/zones?account.name=Globex", "/zones?name=example.org"):
        assert ids(api, path, tokens.own) == set()


def test_zone_s_token_sees_that_zone_only(api: Api, tokens: Tokens) -> None:
    assert ids(api, "/zones", tokens.own_zone) == {Z1}
    assert ids(api, "/accounts", tokens.own_zone) == set()
    assert reason(api.call("GET", f"/zones/{Z2}", token=tokens.own_zone)) == (404, 1000)
    assert reason(api.call("POST", "/zones", {"name": "a.example"}, token=tokens.own_zone)) == (400, 1001)
    result_info = api.call("GET", "/zones", token=tokens.own_zone).json()["result_info"]
    assert (result_info["count"], result_info["total_count"]) == (1, 1)


def test_operator_s_token_has_no_limits(api: Api) -> None:
    limited = api.token("--permission", "zones:edit", "--permission", "dns:edit")
    assert {Z1, Z3} <= ids(api, "/zones", limited)
    assert reason(api.call("POST", "/accounts", {"name": "x"}, token=limited)) == (403, 10000)


# Credentials


def test_revoked_and_expired_tokens_stop_at_the_next_request(api: Api) -> None:
    token = api.token("--name", "short-lived")
    assert api.call("GET", "/user", token=token).status_code == 200
    run("token", "revoke", "short-lived", "-c", str(api.config)).check_returncode()
    assert reason(api.call("GET", "/user", token=token)) == (403, 10000)


GOOD_HEADERS = [
    {"Authorization": "Bearer {}"},
    {"Authorization": "bearer  {}"},
    {"X-Auth-Email": "a@example.com", "X-Auth-Key": "{}"},
    {"X-Auth-Key": "{}"},
    {"Authorization": "Bearer nonsense", "X-Auth-Email": "a@example.com", "X-Auth-Key": "{}"},
    {"Authorization": "Bearer {}", "X-Auth-Email": "a@example.com", "X-Auth-Key": "nonsense"},
]


@pytest.mark.parametrize("headers", GOOD_HEADERS, ids=str)
def test_either_kind_of_credentials_is_enough(api: Api, headers: dict[str, str]) -> None:
    headers = {name: text.format(api.operator) for name, text in headers.items()}
    assert api.client.get("/user", headers=headers).status_code == 200


def test_client_over_the_failure_limit_gets_429_but_valid_tokens_are_accepted(api: Api) -> None:
    def status(token: str, client: httpx.Client = api.client) -> int:
        return client.get("/user", headers={"Authorization": f"Bearer {token}"}).status_code

    assert status(api.operator) == 200
    assert [status(f"wrong{number}") for number in range(12)] == [403] * 10 + [429] * 2
    refused = api.call("GET", "/user", token="wrong")
    assert reason(refused) == (429, 1010)
    assert refused.headers["x-should-retry"] == "false"
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(base_url=api.origin + BASE, transport=transport, timeout=HANG_S) as other:
        assert status("wrong", other) == 403  # another client
    assert status(api.operator) == 200
    assert status("wrong") == 403  # and its count starts again
