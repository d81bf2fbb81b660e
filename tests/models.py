"""Datasets in memory, from short descriptions of accounts, zones and maps. No files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dnsd.errors import Problem
from dnsd.model.accounts import Account, AccountFields
from dnsd.model.claims import ZoneNames
from dnsd.model.dataset import Dataset, build_dataset
from dnsd.model.dataset_rules import problems
from dnsd.model.fields import derived_id
from dnsd.model.maps import MapFields
from dnsd.model.records import Record, RecordFields, build_record
from dnsd.model.resolve import resolve_accounts, resolve_map
from dnsd.model.times import WrittenTimes
from dnsd.model.zones import SoaFields, Zone, ZoneFields, apex_rdatas
from dnsd.process.worker_settings import WorkerSettings
from dnsd.settings.server import Settings
from dnsd.wire.names import parse_name_text

Fields = Mapping[str, Any]

SPACE: Fields = {
    "prefixes": [{"cidr": "203.0.113.0/24", "approved": "V"}, {"cidr": "2001:db8:100::/48", "approved": "V"}]
}


def record(text: str, **fields: Any) -> RecordFields:
    """A record from a line of text: `record("www A 192.0.2.1", proxied=True)`."""
    name, rtype, content = text.split(" ", 2)
    return RecordFields.model_validate({"name": name, "type": rtype, "content": content, **fields})


def proxied(text: str, **settings: bool) -> RecordFields:
    return record(text, proxied=True, settings=settings)


def apex_records(
    name: bytes, records: Iterable[Record], nameservers: Iterable[str], soa: SoaFields, serial: int
) -> list[Record]:
    """The records made at the apex for the types that `records` lack there."""
    given = {one.rtype: one.rdata for one in reversed([one for one in records if one.owner == name])}
    made = apex_rdatas(name, given, tuple(nameservers), soa, serial)
    return [Record(name, rtype, ttl, rdata) for (rtype, ttl, *_), rdata in made]


def zone(name: str, records: Iterable[RecordFields | Record] = (), *, account: str = "a1", **fields: Any) -> Zone:
    """A zone with an SOA and an NS record."""
    written = ZoneFields.model_validate(fields)
    origin = parse_name_text(name).lower()
    built = [one if isinstance(one, Record) else build_record(one, origin) for one in records]
    return Zone(
        key=f"{account}/zones/{name}",
        id=written.id or derived_id("zone", name),
        account_id=derived_id("account", account),
        name=origin,
        status=written.status,
        paused=written.paused,
        settings=written.settings,
        records=(*built, *apex_records(origin, built, ["ns1.example.net."], written.soa, 1)),
        verified=written.verified,
        written_times=WrittenTimes(written.created_on, written.modified_on, written.activated_on),
    )


def resolved(
    accounts: Mapping[str, Fields], zones: Iterable[Zone], maps: Mapping[str, Fields]
) -> tuple[Dataset, list[Problem]]:
    """The dataset and all its problems; the keys of `maps` are such as `a1/shop`."""
    by_key, found = resolve_accounts({key: AccountFields.model_validate(fields) for key, fields in accounts.items()})
    zones = list(zones)
    names, by_id = ZoneNames(zones), {one.id: one for one in zones}
    built = []
    for name, fields in maps.items():
        owner, _, stem = name.partition("/")
        address_map, more = resolve_map(
            f"{owner}/maps/{stem}", MapFields.model_validate(fields), by_key[owner], names, by_id
        )
        built.append(address_map)
        found += more
    dataset, more = build_dataset(by_key.values(), built, zones)
    return dataset, [*found, *more, *problems(dataset)]


def dataset(zones: Iterable[Zone], maps: Mapping[str, Fields], accounts: Mapping[str, Fields] | None = None) -> Dataset:
    """A dataset without problems."""
    built, found = resolved(accounts or {"a1": SPACE}, zones, maps)
    assert [problem for problem in found if not problem.warning] == []
    return built


def zone_map(name: str, *ips: str, **fields: Any) -> Fields:
    """An enabled map for one zone."""
    return {"enabled": True, "ips": ips, "memberships": [{"kind": "zone", "identifier": name}], **fields}


def account_map(*ips: str, account: str = "a1", **fields: Any) -> Fields:
    """An enabled map for an account."""
    return {"enabled": True, "ips": ips, "memberships": [{"kind": "account", "identifier": account}], **fields}


def account(key: str, **fields: Any) -> Account:
    return resolve_accounts({key: AccountFields.model_validate(fields)})[0][key]


def worker_settings(**given: Any) -> WorkerSettings:
    """The workers' settings from a dnsd.yaml with these keys."""
    return Settings.model_validate({"default_addresses": ["192.0.2.1"], **given}).for_workers
