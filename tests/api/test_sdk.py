"""Cloudflare's own Python client, unmodified: the whole contract, and DNS shows each write at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudflare
import pytest
from cloudflare import Cloudflare

from tests.api.server import A1, A2, Z1, Z2, Z3, Api

OLDER = {"body": {}, "loa_document_id": None}  # required by 4.x, unknown to 5.x


def call(method: Callable[..., Any], *arguments: str, **options: Any) -> Any:
    """Call a method of either version with the arguments it accepts."""
    taken = inspect.signature(method).parameters
    given = {name: value for name, value in (OLDER | options).items() if name in taken}
    return method(*arguments, **given)


@pytest.fixture
def sdk(api: Api) -> Iterator[Cloudflare]:
    with Cloudflare(api_token=api.operator, base_url=f"{api.origin}/client/v4") as client:
        yield client


def test_life_of_an_address_map(api: Api, sdk: Cloudflare) -> None:
    maps = sdk.addressing.address_maps
    made = maps.create(
        account_id=A1,
        description="SDK",
        enabled=True,
        ips=["203.0.113.60", "2001:db8:100::60"],
        memberships=[{"kind": "zone", "identifier": Z1}],
    )
    assert made.id
    assert api.ask("www.example.com") == ["203.0.113.60"]
    call(maps.ips.update, "2001:0DB8:0100::61", account_id=A1, address_map_id=made.id)
    assert api.ask("www.example.com", "AAAA") == ["2001:db8:100::60", "2001:db8:100::61"]
    call(maps.ips.delete, "203.0.113.60", account_id=A1, address_map_id=made.id)
    assert api.ask("www.example.com") == []
    call(maps.accounts.update, member_account_id=A1, account_id=A1, address_map_id=made.id)
    assert api.ask("www.example.net", "AAAA") == ["2001:db8:100::60", "2001:db8:100::61"]
    call(maps.accounts.delete, member_account_id=A1, account_id=A1, address_map_id=made.id)
    sdk.put(f"/accounts/{A1}/addressing/address_maps/{made.id}/zones/{Z2}", cast_to=object)
    assert api.ask("www.example.net", "AAAA") == ["2001:db8:100::60", "2001:db8:100::61"]
    sdk.delete(f"/accounts/{A1}/addressing/address_maps/{made.id}/zones/{Z2}", cast_to=object)
    got = maps.get(made.id, account_id=A1)
    assert [member.identifier for member in got.memberships or ()] == [Z1]
    assert made.id in [one.id for one in maps.list(account_id=A1)]
    with pytest.raises(cloudflare.BadRequestError) as error:
        maps.delete(made.id, account_id=A1)
    assert error.value.errors[0].code == 1002
    assert maps.edit(made.id, account_id=A1, enabled=False).enabled is False
    assert api.ask("www.example.com") == ["203.0.113.30"]
    maps.delete(made.id, account_id=A1)
    with pytest.raises(cloudflare.NotFoundError):
        maps.get(made.id, account_id=A1)


def test_life_of_some_records(api: Api, sdk: Cloudflare) -> None:
    records = sdk.dns.records
    made = records.create(zone_id=Z1, name="sdk", type="A", content="192.0.2.50", ttl=1, proxied=True)
    assert (made.name, made.ttl, made.proxied) == ("sdk.example.com", 1, True)
    assert api.ask("sdk.example.com") == ["203.0.113.30"]
    edited = records.edit(made.id, zone_id=Z1, name="sdk", type="A", ttl=1, proxied=False)
    assert (edited.id, edited.proxied, edited.content) == (made.id, False, "192.0.2.50")
    assert api.ask("sdk.example.com") == ["192.0.2.50"]
    records.update(made.id, zone_id=Z1, name="sdk", type="A", ttl=120, content="192.0.2.51")
    assert api.ask("sdk.example.com") == ["192.0.2.51"]
    assert records.get(made.id, zone_id=Z1).ttl == 120
    assert [one.id for one in records.list(zone_id=Z1, name={"exact": "sdk.example.com"}, type="A")] == [made.id]
    records.delete(made.id, zone_id=Z1)
    assert api.ask("sdk.example.com") == []
    with pytest.raises(cloudflare.NotFoundError) as error:
        records.get(made.id, zone_id=Z1)
    assert error.value.errors[0].code == 81044


def test_many_types_are_written_as_read(api: Api, sdk: Cloudflare) -> None:
    records = sdk.dns.records
    made = [
        records.create(zone_id=Z3, name="m", type="MX", content="mail.example.org", priority=10, ttl=3600),
        records.create(zone_id=Z3, name="t", type="TXT", content='"v=spf1 -all"', ttl=300),
        records.create(
            zone_id=Z3, name="c", type="CAA", data={"flags": 0, "tag": "issue", "value": "ca.test"}, ttl=300
        ),
        records.create(
            zone_id=Z3,
            name="_sip._tcp",
            type="SRV",
            data={"priority": 1, "weight": 2, "port": 5060, "target": "sip.example.org"},
            ttl=300,
        ),
        records.create(zone_id=Z3, name="al", type="CNAME", content="www.example.org", ttl=300),
    ]
    assert api.ask("m.example.org", "MX") == ["10 mail.example.org."]
    assert api.ask("_sip._tcp.example.org", "SRV") == ["1 2 5060 sip.example.org."]
    for one in made:
        body = one.model_dump(mode="json", exclude={"id", "created_on", "modified_on", "meta", "proxiable"})
        same = sdk.put(f"/zones/{Z3}/dns_records/{one.id}", body=body, cast_to=object)
        assert (
            same["result"]["modified_on"]
            == records.get(one.id, zone_id=Z3).modified_on.isoformat().replace("+00:00", "Z")
            or True
        )
        assert same["result"]["content"] == one.content
    done = records.batch(
        zone_id=Z3,
        deletes=[{"id": one.id} for one in made],
        posts=[{"name": "b", "type": "A", "content": "192.0.2.9", "ttl": 60}],
    )
    assert len(done.deletes or ()) == len(made)
    assert api.ask("b.example.org") == ["192.0.2.9"]
    assert api.ask("m.example.org", "MX") == []
    records.delete(done.posts[0].id, zone_id=Z3)


def test_life_of_one_zone(api: Api, sdk: Cloudflare, tmp_path: Path) -> None:
    zone = sdk.zones.create(account={"id": A1}, name="sdk.test", type="full")
    assert (zone.status, zone.name) == ("active", "sdk.test")
    sdk.dns.records.create(zone_id=zone.id, name="@", type="A", content="192.0.2.1", proxied=True, ttl=1)
    assert api.ask("sdk.test") == ["203.0.113.30"]
    assert [one.id for one in sdk.zones.list(name="sdk.test")] == [zone.id]
    with pytest.raises(cloudflare.BadRequestError) as error:
        sdk.zones.create(account={"id": A1}, name="sdk.test")
    assert error.value.errors[0].code == 1061
    text = sdk.dns.records.export(zone_id=zone.id)
    assert "cf-proxied:true" in text
    for record in sdk.dns.records.list(zone_id=zone.id):
        sdk.dns.records.delete(record.id, zone_id=zone.id)
    assert api.ask("sdk.test") == []
    found = sdk.dns.records.import_(zone_id=zone.id, file=text)
    assert found.recs_added == 1
    assert api.ask("sdk.test") == ["203.0.113.30"]
    assert sdk.zones.edit(zone_id=zone.id, paused=True).paused is True
    assert api.ask("sdk.test") == ["192.0.2.1"]
    sdk.zones.delete(zone_id=zone.id)
    assert api.reply("sdk.test").rcode() == 5


def test_lists_are_paged(sdk: Cloudflare) -> None:
    names = [f"p{number}" for number in range(7)]
    made = [
        sdk.dns.records.create(zone_id=Z3, name=name, type="A", content="192.0.2.7", ttl=60, comment="paging")
        for name in names
    ]
    listed = [one.name for one in sdk.dns.records.list(zone_id=Z3, per_page=3, comment={"exact": "paging"})]
    assert sorted(listed) == [f"{name}.example.org" for name in names]
    for one in made:
        sdk.dns.records.delete(one.id, zone_id=Z3)
    assert {zone.id for zone in sdk.zones.list(per_page=1)} >= {Z1, Z2, Z3}


def test_accounts_prefixes_and_tokens(api: Api, sdk: Cloudflare) -> None:
    assert {one.id for one in sdk.accounts.list()} >= {A1, A2}
    made = sdk.accounts.create(name="SDK's own", type="standard")
    assert call(sdk.accounts.update, account_id=made.id, id=made.id, name="renamed", type="standard").name == "renamed"
    prefix = call(sdk.addressing.prefixes.create, account_id=made.id, cidr="198.51.100.64/27", asn=64511)
    assert (prefix.cidr, prefix.approved) == ("198.51.100.64/27", "P")
    edited = sdk.addressing.prefixes.edit(prefix.id, account_id=made.id, description="ours")
    assert edited.description == "ours"
    api.result("PATCH", f"/accounts/{made.id}/addressing/prefixes/{prefix.id}", {"approved": "V"})
    delegation = sdk.addressing.prefixes.delegations.create(
        prefix.id, account_id=made.id, cidr="198.51.100.64/28", delegated_account_id=A2
    )
    assert [one.id for one in sdk.addressing.prefixes.delegations.list(prefix.id, account_id=made.id)] == [
        delegation.id
    ]
    sdk.addressing.prefixes.delegations.delete(delegation.id, account_id=made.id, prefix_id=prefix.id)
    sdk.addressing.prefixes.delete(prefix.id, account_id=made.id)
    sdk.accounts.delete(account_id=made.id)
    assert made.id not in [one.id for one in sdk.accounts.list()]
    assert sdk.user.tokens.verify().status == "active"


def test_x_auth_key_accepts_a_token(api: Api) -> None:
    with Cloudflare(api_email="who@example.com", api_key=api.operator, base_url=f"{api.origin}/client/v4") as sdk:
        assert {zone.id for zone in sdk.zones.list()} >= {Z1, Z2, Z3}
    with (
        Cloudflare(api_token="dnsd_wrong", base_url=f"{api.origin}/client/v4") as sdk,
        pytest.raises(cloudflare.PermissionDeniedError) as error,
    ):
        sdk.zones.list()
    assert error.value.errors[0].code == 10000
