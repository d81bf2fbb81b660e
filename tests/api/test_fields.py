"""Every field of the SDK's requests is done, or refused unless it asks for nothing; nothing is taken without effect."""

from __future__ import annotations

import copy
import json
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints

import pytest
import typing_extensions
from click.testing import CliRunner
from cloudflare.types import addressing, dns, user, zones
from cloudflare.types.accounts import AccountCreateParams, AccountUpdateParams
from cloudflare.types.addressing import prefixes
from cloudflare.types.dns import settings as dns_settings
from pydantic import BaseModel

from dnsd.api import bodies, prefix_bodies, zone_bodies
from dnsd.api.policies import TokenBody
from dnsd.api.records.parts import PARTS
from dnsd.cli import main
from tests.api.server import A1, A2, FILES, PREFIX1, Z1, Z2, Api

QUERY = {"include_shadow_metadata", "idempotency_key"}  # no part of a body
PATH = {"zone_id", "account_id"}
R, M = "41" * 16, "31" * 16
STORED = f'- {{name: r, type: A, content: 192.0.2.7, ttl: 60, id: "{R}"}}\n'
DNS_SETTINGS = {
    "zone_mode": "dns_only",
    "multi_provider": True,
    "secondary_overrides": True,
    "foundation_dns": True,
    "nameservers": {"type": "cloudflare.advanced"},
    "internal_dns": {"reference_zone_id": Z2},
}
SOA = {
    "mname": "ns9.example.net",
    "rname": "root.example.com",
    "refresh": 7200.0,
    "retry": 900,
    "expire": 90000,
    "min_ttl": 77,
    "ttl": 1800,
}
SRV = {"port": 5061, "weight": 5, "priority": 1, "target": "sip.example.com"}


@dataclass(frozen=True)
class Case:
    """A kind of request: the SDK's parameters, our model, and for each field a value that is done or refused."""

    params: Any
    model: type[BaseModel]
    method: str
    path: str
    done: Mapping[str, Any]  # by field, in dots; shown afterwards
    refused: Mapping[str, Any] = field(default_factory=dict)
    needed: Mapping[str, Any] = field(default_factory=dict)  # in every body
    shown: Mapping[str, Any] = field(default_factory=dict)  # if not as sent


MAP = f"/accounts/{A1}/addressing/address_maps/{M}"
RECORDS = f"/zones/{Z1}/dns_records"
MEMBERS = [{"kind": "zone", "identifier": Z2}]
RECORD = {
    "content": "192.0.2.77",
    "ttl": 777,
    "proxied": True,
    "comment": "seen",
    "tags": ["team:x"],
    "settings.ipv4_only": True,
    "settings.ipv6_only": True,
    "settings.flatten_cname": True,
}
NEEDED = {"name": "new", "type": "A", "content": "192.0.2.7", "ttl": 60}
WHOLE = {
    "name": "other.example.com",
    "type": "AAAA",
    "priority": 7,
    "data": SRV,
}
OF_TYPE: dict[str, dict[str, Any]] = {  # the rest of the record for a value
    "type": {"content": "2001:db8::7"},
    "priority": {"type": "MX", "content": "mx.example.com"},
    "data": {"type": "SRV", "name": "_s._tcp", "content": None},
    "settings.flatten_cname": {"type": "CNAME", "content": "www.example.com"},
}
ACCOUNT = {
    "id": "b" * 32,
    "type": "enterprise",
    "settings": {"enforce_twofactor": True},
    "managed_by": {"parent_org_id": "b" * 32},
    "unit": {"id": "b" * 32},
    "standalone": False,
}
CASES = {
    "zone to create": Case(
        zones.ZoneCreateParams,
        zone_bodies.ZoneBody,
        "POST",
        "/zones",
        {"name": "made.example", "type": "full", "account.id": A1},
        {"jump_start": True},
        {"name": "new.example", "account": {"id": A1}},
    ),
    "zone": Case(
        zones.ZoneEditParams,
        zone_bodies.ZoneEdit,
        "PATCH",
        f"/zones/{Z1}",
        {"paused": True, "type": "full"},
        {"vanity_name_servers": ["ns1.example.com"], "plan": {"id": "b" * 32}},
    ),
    "zone's setting": Case(
        zones.SettingEditParams,
        zone_bodies.SwitchBody,
        "PATCH",
        f"/zones/{Z1}/settings/ipv6",
        {"value": "off"},
        {"enabled": True},
        {"value": "on"},
    ),
    "zone's DNS settings": Case(
        dns_settings.ZoneEditParams,
        zone_bodies.ZoneDnsSettingsEdit,
        "PATCH",
        f"/zones/{Z1}/dns_settings",
        {"flatten_all_cnames": True, "ns_ttl": 3600.0, **{f"soa.{name}": value for name, value in SOA.items()}},
        DNS_SETTINGS,
    ),
    "account's DNS settings": Case(
        dns_settings.AccountEditParams,
        zone_bodies.DnsSettingsEdit,
        "PATCH",
        f"/accounts/{A1}/dns_settings",
        {"enforce_dns_only": True},
        {"zone_defaults": DNS_SETTINGS | {"ns_ttl": 3600}},
    ),
    "account to create": Case(
        AccountCreateParams,
        bodies.AccountBody,
        "POST",
        "/accounts",
        {"name": "New"},
        ACCOUNT,
        {"name": "New"},
    ),
    "account": Case(
        AccountUpdateParams,
        bodies.AccountBody,
        "PUT",
        f"/accounts/{A1}",
        {"name": "Acme Ltd", "pool": "allowed"},
        ACCOUNT,
        {"name": "Acme"},
        {"pool": "allowed"},
    ),
    "record to create": Case(
        dns.RecordCreateParams,
        bodies.RecordBody,
        "POST",
        RECORDS,
        WHOLE | RECORD,
        {"private_routing": True},
        NEEDED | {"name": "fresh"},
    ),
    "record to replace": Case(
        dns.RecordUpdateParams,
        bodies.RecordBody,
        "PUT",
        f"{RECORDS}/{R}",
        WHOLE | RECORD,
        {"private_routing": True},
        NEEDED,
    ),
    "record": Case(
        dns.RecordEditParams,
        bodies.RecordEditBody,
        "PATCH",
        f"{RECORDS}/{R}",
        WHOLE | RECORD,
        {"private_routing": True},
    ),
    "map to create": Case(
        addressing.AddressMapCreateParams,
        bodies.MapBody,
        "POST",
        MAP.rpartition("/")[0],
        {
            "description": "x",
            "enabled": True,
            "ips": ["203.0.113.9"],
            "memberships": MEMBERS,
            "default_sni": "*.example.com",
        },
        needed={"ips": ["203.0.113.8"]},
    ),
    "map": Case(
        addressing.AddressMapEditParams,
        bodies.MapEdit,
        "PATCH",
        MAP,
        {
            "description": "x",
            "enabled": True,
            "ips": ["203.0.113.9"],
            "memberships": MEMBERS,
            "default_sni": "*.example.com",
        },
    ),
    "delegation": Case(
        prefixes.DelegationCreateParams,
        bodies.DelegationBody,
        "POST",
        f"/accounts/{A1}/addressing/prefixes/{PREFIX1}/delegations",
        {"cidr": "203.0.113.128/26", "delegated_account_id": A2},
        needed={"cidr": "203.0.113.64/26", "delegated_account_id": A2},
    ),
}
OTHERS = [  # tested with their objects
    (addressing.PrefixCreateParams, bodies.PrefixBody),
    (addressing.PrefixEditParams, bodies.PrefixEdit),
    (prefixes.AdvertisementStatusEditParams, prefix_bodies.AdvertisedBody),
    (prefixes.BGPPrefixCreateParams, prefix_bodies.BgpPrefixBody),
    (prefixes.BGPPrefixEditParams, prefix_bodies.BgpPrefixEdit),
    (prefixes.ServiceBindingCreateParams, prefix_bodies.BindingBody),
    (user.TokenCreateParams, TokenBody),
    (user.TokenUpdateParams, TokenBody),
]
NOT_IN_THE_SDK = {  # of older versions and other clients, or dnsd's own
    "zone to create": {"jump_start"},
    "zone": {"plan"},
    "account to create": {"id", "settings", "managed_by"},
    "account": {"unit", "pool", "standalone"},
    "map to create": {"default_sni"},
    "map": {"ips", "memberships"},
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    files = {
        **FILES,
        "acme/zones/example.com.yaml": f'id: "{Z1}"\nrecords:\n{STORED}',
        "acme/maps/m.yaml": f'id: "{M}"\nips: [203.0.113.8]\n',
    }
    with Api(tmp_path_factory.mktemp("fields"), files).running() as api:
        yield api


@pytest.fixture
def api(running: Api) -> Iterator[Api]:
    """A server whose files are as at the start again afterwards."""
    before = {file: file.read_text() for file in (running.folder / "accounts").rglob("*.yaml")}
    yield running
    for file in (running.folder / "accounts").rglob("*.yaml"):
        if file not in before:
            file.unlink()
    for file, text in before.items():
        file.write_text(text)
    reload(running)


def reload(api: Api) -> None:
    done = CliRunner().invoke(main, ["reload", "--force", "-c", str(api.config)])
    assert done.exit_code == 0 or "is not yet served" in done.output, done.output  # the watch may reload, too


def leaves(hint: Any, prefix: str = "") -> Iterator[str]:
    """The names of all fields of a TypedDict, or of a union of them, in dots."""
    if typing_extensions.is_typeddict(hint):
        for name, inner in get_type_hints(hint).items():
            if not prefix and name in PATH | QUERY:
                continue
            nested = [*leaves(inner, f"{prefix}{name}.")]
            yield from nested or [prefix + name]
    elif typing.get_origin(hint) in (list, typing.Iterable) or "Iterable" in str(typing.get_origin(hint)):
        return  # a list is one value
    else:
        for part in get_args(hint):
            if part is not type(None):
                yield from leaves(part, prefix)


def is_judged(name: str, table: Mapping[str, Any]) -> bool:
    """Whether a field, or the object that it is a part of, is in a table."""
    return any(name == one or name.startswith(f"{one}.") for one in table)


@pytest.mark.parametrize("what", CASES)
def test_every_field_of_the_sdk_is_done_or_refused(what: str) -> None:
    case = CASES[what]
    names = {*leaves(case.params)}
    assert names
    assert {name for name in names if not is_judged(name, {**case.done, **case.refused})} == set()
    unavailable = getattr(case.model, "unavailable", {})
    assert {name for name in case.done if name.split(".")[0] not in case.model.model_fields} == set()
    assert case.refused.keys() == unavailable.keys()
    others = {one for one in (*case.done, *case.refused) if not any(f"{name}.".startswith(f"{one}.") for name in names)}
    assert others == NOT_IN_THE_SDK.get(what, set())


@pytest.mark.parametrize(("params", "model"), OTHERS, ids=[params.__name__ for params, _ in OTHERS])
def test_every_field_of_other_requests_is_known(params: Any, model: type[bodies.RequestBody]) -> None:
    names = {name.partition(".")[0] for name in leaves(params)} - {"prefix_id", "bgp_prefix_id"}
    assert names - {*model.model_fields, *model.unavailable} == set()


def test_every_part_of_data_is_known() -> None:
    names = {name.partition(".")[2] for name in leaves(dns.RecordCreateParams) if name.startswith("data.")}
    assert len(names) > 30
    assert names - {part.name for parts in PARTS.values() for part in parts} - {"priority"} == set()


def body_of(case: Case, name: str, value: Any) -> dict[str, Any]:
    body = copy.deepcopy({**case.needed})
    if name in OF_TYPE and "dns_records" in case.path:
        body |= OF_TYPE[name]
        if case.method == "PATCH":
            body = {"ttl": 60} | body
    *outer, last = name.split(".")
    inner = body
    for step in outer:
        inner = inner.setdefault(step, {})
    inner[last] = value
    return body


def part(shape: Any, name: str) -> Any:
    for step in name.split("."):
        shape = shape[step]
    return shape


DONE = [(what, name) for what, case in CASES.items() for name in case.done]


@pytest.mark.parametrize(("what", "name"), DONE, ids=[f"{what}: {name}" for what, name in DONE])
def test_field_has_its_effect(api: Api, what: str, name: str) -> None:
    case = CASES[what]
    value = case.done[name]
    made = api.result(case.method, case.path, body_of(case, name, value))
    got = made
    if case.method != "POST":
        got = api.result("GET", case.path)
    elif "delegations" not in case.path:
        got = api.result("GET", f"{case.path}/{made['id']}")
    shown = part(got, name) if name != "pool" else api.read("acme/account.yaml").partition("pool: ")[2].split()[0]
    if name == "ips":
        assert [one["ip"] for one in shown] == value
    elif name == "memberships":
        assert [{key: one[key] for key in ("kind", "identifier")} for one in shown] == value
    else:
        assert shown == value


REFUSED = [(what, name) for what, case in CASES.items() for name in case.refused]


@pytest.mark.parametrize(("what", "name"), REFUSED, ids=[f"{what}: {name}" for what, name in REFUSED])
def test_field_that_dnsd_lacks_is_refused_and_changes_nothing(api: Api, what: str, name: str) -> None:
    case = CASES[what]
    read = case.path if case.method != "POST" else None
    before = read and api.result("GET", read)
    response = api.call(case.method, case.path, body_of(case, name, case.refused[name]))
    assert response.status_code == 400, response.text
    (error,) = response.json()["errors"]
    assert (error["code"], error["source"]["pointer"]) == (1001, f"/{name}")
    assert "not available here" in error["message"]
    assert (read and api.result("GET", read)) == before


@pytest.mark.parametrize(("what", "name"), REFUSED, ids=[f"{what}: {name}" for what, name in REFUSED])
def test_field_that_dnsd_lacks_may_ask_for_nothing(api: Api, what: str, name: str) -> None:
    case = CASES[what]
    shown = api.result("GET", case.path).get(name) if case.method != "POST" else None
    defaults = case.model.unavailable[name].defaults
    for number, value in enumerate((None, "", [], {}, shown, *defaults)):
        body = body_of(case, name, value)
        if case.path == "/zones":
            body["name"] = f"n{number}.example"
        if case.path == RECORDS:
            body["name"] = f"n{number}"
        response = api.call(case.method, case.path, body)
        assert response.status_code in (200, 201), (value, response.text)
        assert response.json()["messages"] == [], value


WRITTEN_BACK = [what for what, case in CASES.items() if case.method in ("PATCH", "PUT")]


@pytest.mark.parametrize("what", WRITTEN_BACK)
def test_object_written_back_as_shown_changes_nothing_and_is_no_reason_for_notes(api: Api, what: str) -> None:
    case = CASES[what]
    before = api.result("GET", case.path)
    said = api.call(case.method, case.path, before).json()
    assert (said["success"], said["messages"]) == (True, [])
    after = api.result("GET", case.path)
    times = ("modified_on", "modified_at", "created_at", "created_on")
    assert {name: after[name] for name in after if name not in times} == {
        name: before[name] for name in before if name not in times
    }


def test_field_of_nobody_is_ignored_with_a_note_on_cloudflares_routes(api: Api) -> None:
    for what, case in CASES.items():
        response = api.call(case.method, case.path, {**case.needed, "colour": "red"})
        assert response.status_code in (200, 201), (what, response.text)
        messages = response.json()["messages"]
        assert [one["message"] for one in messages] == ["colour is ignored: there is no such field"], what
        assert messages[0]["code"] >= 1000
    said = api.call("PATCH", f"/zones/{Z1}/dns_settings", {"soa": {"serial": 7}}).json()
    assert [one["message"] for one in said["messages"]] == ["soa.serial is ignored: there is no such field"]


def test_field_of_nobody_is_refused_on_our_own_routes(api: Api) -> None:
    plan = f"{MAP.rpartition('/')[0]}/plan"
    response = api.call("POST", plan, {"id": M, "enabld": True})
    assert [(one["code"], one["source"]["pointer"], one["message"]) for one in response.json()["errors"]] == [
        (1001, "/enabld", "unknown field; did you mean 'enabled'?")
    ]
    leases = f"/accounts/{A1}/addressing/leases"
    assert api.refused("POST", leases, {"ip": "192.0.2.209", "colour": 1})[:2] == (400, 1001)


def test_notes_are_bounded(api: Api) -> None:
    extra = {f"x{number}": "y" for number in range(500)}
    said = api.call("PATCH", f"/zones/{Z1}", extra).json()
    assert len(said["messages"]) == 20
    assert len(json.dumps(said)) < 10_000


def test_parts_of_the_soa_are_answered(api: Api) -> None:
    api.result("PATCH", f"/zones/{Z1}/dns_settings", {"ns_ttl": 300, "soa": SOA})
    (soa,) = api.reply("example.com", "SOA").answer
    assert soa.ttl == 1800
    assert soa[0].to_text().split()[:2] == ["ns9.example.net.", "root.example.com."]
    assert soa[0].to_text().split()[3:] == ["7200", "900", "90000", "77"]
    (ns,) = api.reply("example.com", "NS").answer
    assert ns.ttl == 300
    again = api.result("PATCH", f"/zones/{Z1}/dns_settings", {"soa": {"mname": None, "retry": 1000}})
    assert (again["soa"]["mname"], again["soa"]["retry"]) == ("ns1.example.net", 1000)
    assert "mname" not in api.read("acme/zones/example.com.yaml")


OUT_OF_RANGE = {
    "a short TTL": ({"ns_ttl": 29}, "/ns_ttl"),
    "half a second": ({"ns_ttl": 60.5}, "/ns_ttl"),
    "no number": ({"soa": {"ttl": "long"}}, "/soa/ttl"),
    "a boolean": ({"soa": {"retry": True}}, "/soa/retry"),
    "a name with an empty label": ({"soa": {"mname": "a..b"}}, "/soa/mname"),
    "a text": ({"soa": "x"}, "/soa"),
}


@pytest.mark.parametrize("what", OUT_OF_RANGE)
def test_wrong_values_of_dns_settings(api: Api, what: str) -> None:
    body, pointer = OUT_OF_RANGE[what]
    response = api.call("PATCH", f"/zones/{Z1}/dns_settings", body)
    assert response.status_code == 400
    assert [one["source"]["pointer"] for one in response.json()["errors"]] == [pointer]


def test_soa_and_ns_records_of_a_file_are_the_files(api: Api) -> None:
    text = "@ 3600 SOA ns1.example.net. host.example.net. 7 10000 2400 604800 300\n@ 7200 NS ns1.example.net.\n"
    api.write("acme/zones/filed.example.zone", text)
    reload(api)
    (zone,) = api.result("GET", "/zones?name=filed.example")
    path = f"/zones/{zone['id']}/dns_settings"
    shown = api.result("GET", path)
    assert (shown["ns_ttl"], shown["soa"]["rname"]) == (7200, "host.example.net")
    status, code, message = api.refused("PATCH", path, {"ns_ttl": 300})
    assert (status, code) == (400, 1001)
    assert "the zone's file has its own NS records" in message
    assert api.result("PATCH", path, shown) == shown
    assert api.read("acme/zones/filed.example.zone") == text
    assert api.result("PATCH", path, {"soa": {"min_ttl": 66}})["soa"] == shown["soa"] | {"min_ttl": 66}
    assert "minimum: 66" in api.read("acme/zones/filed.example.yaml")


def test_several_settings_at_once(api: Api) -> None:
    path = f"/zones/{Z1}/settings"
    items = [{"id": "http3", "value": "off"}, {"id": "ipv6", "value": "off"}]
    shown = {one["id"]: one["value"] for one in api.result("PATCH", path, {"items": items})}
    assert shown == {"http2": "on", "http3": "off", "ipv6": "off"}
    assert {one["id"]: one["value"] for one in api.result("GET", path)} == shown
    response = api.call("PATCH", path, {"items": [{"id": "http2", "value": "off"}, {"id": "ssl", "value": "on"}]})
    assert response.json()["errors"][0]["source"]["pointer"] == "/items/1/id"
    assert api.result("GET", f"{path}/http2")["value"] == "on"
    assert api.refused("GET", f"{path}/ssl")[:2] == (404, 1000)
