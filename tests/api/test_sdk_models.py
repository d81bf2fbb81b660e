"""Every answer is valid for the model that the installed SDK has for it, and messages for Cloudflare's schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from cloudflare.types import accounts, addressing, dns, user, zones
from cloudflare.types.accounts.logs import AuditListResponse
from cloudflare.types.addressing import prefixes
from cloudflare.types.dns import settings, usage
from cloudflare.types.shared import AuditLog, Member, Role, Token
from cloudflare.types.user import TokenVerifyResponse
from cloudflare.types.user.tokens import PermissionGroupListResponse
from pydantic import TypeAdapter

from tests.api.server import A1, A2, FILES, IMMUTABLE, PREFIX1, Z1, Api

MAPS = f"/accounts/{A1}/addressing/address_maps"
PREFIXES = f"/accounts/{A1}/addressing/prefixes"
RECORDS = f"/zones/{Z1}/dns_records"
ZONE = f"""
id: "{Z1}"
records:
  - {{name: www, type: A, content: 192.0.2.1, proxied: true, comment: shop, tags: ["team:a"]}}
  - {{name: "@", type: MX, content: mx.example.com, priority: 10}}
  - {{name: six, type: AAAA, content: "2001:db8::7"}}
  - {{name: alias, type: CNAME, content: www.example.com, proxied: true}}
  - {{name: t, type: TXT, content: hello}}
  - {{name: _s._tcp, type: SRV, content: "1 5 5060 sip.example.com"}}
  - {{name: c, type: CAA, content: '0 issue "ca.example"'}}
  - {{name: h, type: HTTPS, content: '1 . alpn="h2"'}}
  - {{name: ds, type: DS, content: "1 13 2 {"ab" * 32}"}}
  - {{name: ds, type: NS, content: ns.example.org}}
  - {{name: u, type: URI, content: '10 1 "https://example.com/"'}}
  - {{name: p, type: PTR, content: host.example.com}}
"""
GET: dict[str, Any] = {  # a path, and the model of its result, or of each item of it
    "/user": user.UserGetResponse,
    "/user/tokens": Token,
    "/user/tokens/verify": TokenVerifyResponse,
    "/user/tokens/permission_groups": PermissionGroupListResponse,
    "/accounts": accounts.Account,
    f"/accounts/{A1}": accounts.Account,
    f"/accounts/{A1}/tokens": Token,
    f"/accounts/{A1}/members": Member,
    f"/accounts/{A1}/roles": Role,
    f"/accounts/{A1}/audit_logs": AuditLog,
    f"/accounts/{A1}/logs/audit": AuditListResponse,
    f"/accounts/{A1}/dns_settings": settings.AccountGetResponse,
    f"/accounts/{A1}/dns_records/usage": usage.AccountGetResponse,
    MAPS: addressing.AddressMap,
    PREFIXES: addressing.Prefix,
    f"{PREFIXES}/{PREFIX1}": addressing.Prefix,
    f"{PREFIXES}/{PREFIX1}/delegations": prefixes.Delegations,
    f"{PREFIXES}/{PREFIX1}/bgp/prefixes": prefixes.BGPPrefix,
    "/zones": zones.Zone,
    f"/zones/{Z1}": zones.Zone,
    f"/zones/{Z1}/settings/ipv6": zones.SettingGetResponse,
    f"/zones/{Z1}/settings/http2": zones.SettingGetResponse,
    f"/zones/{Z1}/settings/http3": zones.SettingGetResponse,
    f"/zones/{Z1}/dns_settings": settings.ZoneGetResponse,
    f"/zones/{Z1}/dnssec": dns.DNSSEC,
    RECORDS: dns.RecordResponse,
    f"{RECORDS}/usage": usage.ZoneGetResponse,
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    files = FILES | {"acme/zones/example.com.yaml": ZONE, "acme/maps/fallback.yaml": IMMUTABLE}
    with Api(tmp_path_factory.mktemp("models"), files).running() as running:
        running.token("--account", A1)
        members = [{"kind": "zone", "identifier": Z1}]
        delegation = {"cidr": "203.0.113.128/26", "delegated_account_id": A2}
        for path, body in (
            (MAPS, {"ips": ["203.0.113.9"], "memberships": members}),
            (f"{PREFIXES}/{PREFIX1}/bgp/prefixes", {"cidr": "203.0.113.0/24"}),
            (f"{PREFIXES}/{PREFIX1}/delegations", delegation),
        ):
            assert running.call("POST", path, body).json()["success"], path
        yield running


@pytest.mark.parametrize("path", GET)
def test_answer_is_valid(api: Api, path: str) -> None:
    said = api.call("GET", path).json()
    items = said["result"] if isinstance(said["result"], list) else [said["result"]]
    assert items
    for one in items:
        TypeAdapter(GET[path]).validate_python(one)
    for message in said["messages"]:
        assert message["code"] >= 1000


def test_each_record_is_valid_for_the_model_of_its_type(api: Api) -> None:
    """The union of all types would take any record for one of another type."""
    models = {get_args(one.model_fields["type"].annotation)[0]: one for one in get_args(dns.RecordResponse)}
    found = api.result("GET", RECORDS)
    assert len({one["type"] for one in found}) == 12
    for one in found:
        models[one["type"]].model_validate(one)


def test_map_is_valid_with_its_addresses_and_members(api: Api) -> None:
    for one in api.result("GET", MAPS):
        addressing.AddressMapGetResponse.model_validate(api.result("GET", f"{MAPS}/{one['id']}"))
