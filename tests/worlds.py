"""Worlds: an operator's whole configuration as plain dicts and master files; written to a folder, or random by a seed.

A random world is small, so that features combine often, and valid, so that it must load. This module knows the format
of the files and their rules; only the reference knows the expected answers.
"""

from __future__ import annotations

import itertools
import pathlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml
from dns.name import Name
from dns.rdatatype import CNAME

from tests.reference import Reference, full_name, owner_name

Fields = dict[str, Any]


@dataclass(frozen=True)
class AccountFiles:
    """The folder of one account: `account.yaml`, maps by name, zones by file name (.yaml: a dict, .zone: a text)."""

    account: Fields = field(default_factory=dict)
    maps: dict[str, Fields] = field(default_factory=dict)
    zones: dict[str, Fields | str] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """The settings, and the accounts by the name of their folder."""

    settings: Fields
    accounts: dict[str, AccountFiles]


def write_world(world: World, folder: pathlib.Path) -> pathlib.Path:
    """Write a world, and nothing else, to a configuration folder. Returns the path of its `dnsd.yaml`."""
    for path, text in files_of(world).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder / "dnsd.yaml"


def files_of(world: World) -> dict[str, str]:
    """The text of every file of a world, by path."""
    texts = {"dnsd.yaml": as_yaml({"listen": ["127.0.0.1:0"], "data": "accounts", **world.settings})}
    for folder, files in world.accounts.items():
        texts[f"accounts/{folder}/account.yaml"] = as_yaml({"name": folder, **files.account})
        for name, content in files.maps.items():
            texts[f"accounts/{folder}/maps/{name}.yaml"] = as_yaml(content)
        for name, zone in files.zones.items():
            texts[f"accounts/{folder}/zones/{name}"] = zone if isinstance(zone, str) else as_yaml(zone)
    return texts


DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml's writes the same in a third of the time


def as_yaml(content: Fields) -> str:
    return yaml.dump(content, Dumper=DUMPER, sort_keys=False, default_flow_style=None, width=200)


# Random worlds.

POOLS = [
    ["198.51.100.10", "198.51.100.11", "2001:db8:f::10", "2001:db8:f::11"],
    ["198.51.100.10", "2001:db8:f::10"],
    ["2001:db8:f::10", "198.51.100.12", "2001:db8:f::11", "198.51.100.11"],
    ["198.51.100.10"],
]
NAMESERVERS = ["ns1.edge.example.net", "ns2.edge.example.net"]
ZONE_NAMES = [
    "example.com",
    "sub.example.com",
    "w.sub.example.com",
    "example.net",
    "a.example.net",
    "example.org",
    "shop.test",
    "b.a.shop.test",
]
FOLDERS = ["acme", "globex", "initech"]
SPACE: dict[str, Fields] = {  # the address space of each account; USABLE has addresses in it for maps
    "acme": {
        "prefixes": [
            {
                "cidr": "203.0.113.0/24",
                "asn": 64500,
                "approved": "V",
                "delegations": [
                    {"cidr": "203.0.113.64/26", "account": "globex"},
                    {"cidr": "203.0.113.128/26", "account": "initech"},
                ],
            },
            {
                "cidr": "2001:db8:100::/48",
                "asn": 64500,
                "approved": "V",
                "delegations": [{"cidr": "2001:db8:100:1::/64", "account": "globex"}],
            },
            {"cidr": "2001:db8:666::/48", "asn": 64500, "approved": "P"},
        ]
    },
    "globex": {
        "prefixes": [{"cidr": "2001:db8:200::/48", "asn": 64501, "approved": "V"}],
        "static_ips": ["192.0.2.220"],
    },
    "initech": {"static_ips": ["192.0.2.230", "192.0.2.231", "2001:db8:300::5"]},
}
USABLE = {
    "acme": ["203.0.113.10", "203.0.113.11", "203.0.113.9", "2001:db8:100::10", "2001:db8:100::1", "203.0.113.65"],
    "globex": ["203.0.113.70", "203.0.113.71", "192.0.2.220", "2001:db8:200::7", "2001:db8:100:1::9"],
    "initech": ["203.0.113.130", "192.0.2.231", "192.0.2.230", "2001:db8:300::5"],
}
TIMES = ["2024-01-01T00:00:00Z", "2024-06-01T12:00:00+02:00", "2025-02-03T04:05:06.789Z", None]
LABELS = ["a", "b", "c", "w", "sub", "ns1", "www"]
ODD_LABELS = ["_dmarc", "a\\.b", "sp\\032ace", "\\000z", "x\\255", "semi\\;colon", "q\\@t", "1"]
OUTSIDE = ["x.other.example", "cdn.example.edu"]
TTLS = [1, 60, 300, 3600, 7200]


def random_world(rng: random.Random) -> World:
    """A valid world; the same for the same state of `rng`."""
    folders = FOLDERS[: rng.choice([1, 2, 3, 3])]
    names = rng.sample(ZONE_NAMES, rng.randint(2, len(ZONE_NAMES)))
    draft = Draft(names)
    zones = {name: random_zone(rng, name, draft) for name in names}
    for _ in range(rng.choice([0, 1, 1])):
        add_long_chain(rng, zones)
    for name, records in zones.items():
        zones[name] = legal_records(name, records)
    owners = {name: rng.choice(folders) for name in names}
    accounts = {folder: random_account(rng, folder, folders, owners) for folder in folders}
    for name, records in zones.items():
        write_zone(rng, accounts[owners[name]], name, records)
    settings = {
        "default_addresses": rng.choice(POOLS),
        "missing_family": rng.choice(["nodata", "fallback"]),
        "nameservers": NAMESERVERS,
    }
    for name in names if len(folders) > 1 else ():
        if rng.random() < 0.2:
            add_rival(rng, accounts, owners[name], name, draft)
    world = World(settings, accounts)
    drop_unresolvable_aliases(world)
    return world


class Draft:
    """The shared state while a world is made: the names of its zones, and the names with records."""

    def __init__(self, zones: list[str]) -> None:
        self.zones = zones
        self.owners = list(zones)
        self._last = 0

    def number(self) -> int:
        """The next number, unique in a world, so that the content of each record is unique."""
        self._last += 1
        return self._last


def random_account(rng: random.Random, folder: str, folders: list[str], owners: dict[str, str]) -> AccountFiles:
    """An account with its address space and maps, without zones."""
    account: Fields = {}
    if rng.random() < 0.3:
        account["id"] = random_id(rng)
    for key, value in SPACE[folder].items():
        account[key] = value
    if "prefixes" in account:
        account["prefixes"] = [without_missing_delegates(folders, prefix) for prefix in account["prefixes"]]
    if rng.random() < 0.1:
        account["settings"] = {"enforce_dns_only": True}
    own_zones = [name for name, owner in owners.items() if owner == folder]
    usable = [ip for ip in USABLE[folder] if "acme" in folders or not ip.startswith(("203.", "2001:db8:100:"))]
    maps = {
        f"map{number}": random_map(rng, folder, account, own_zones, usable)
        for number in range(rng.choice([0, 1, 2, 4, 5]))
    }
    return AccountFiles(account, maps)


def without_missing_delegates(folders: list[str], prefix: Fields) -> Fields:
    """The prefix without delegations to missing accounts."""
    delegations = [one for one in prefix.get("delegations", []) if one["account"] in folders]
    return {**prefix, "delegations": delegations} if "delegations" in prefix else prefix


def random_map(rng: random.Random, folder: str, account: Fields, zones: list[str], usable: list[str]) -> Fields:
    """A random map; its id is always given, because a derived id would decide ties."""
    ips = rng.sample(usable, rng.randint(1, len(usable)))
    family = rng.choice(["both", "both", "v4", "v6", "none"])
    if family != "both":
        ips = [ip for ip in ips if (":" in ip) == (family == "v6") and family != "none"]
    member = {"kind": "account", "identifier": rng.choice([folder, account.get("id", folder)])}
    address_map: Fields = {"id": random_id(rng), "enabled": True, "ips": ips, "memberships": [dated(rng, member)]}
    if rng.random() < 0.2:
        return {**address_map, "immutable": True}
    kind = rng.random()
    if kind < 0.1:
        address_map["memberships"] = []
    elif kind < 0.8 and zones:
        members = [{"kind": "zone", "identifier": name} for name in rng.sample(zones, rng.randint(1, len(zones)))]
        address_map["memberships"] = [dated(rng, one) for one in members]
        if rng.random() < 0.1:
            address_map["memberships"].insert(rng.randint(0, len(members)), dated(rng, member))
    address_map["enabled"] = rng.random() < 0.75
    if rng.random() < 0.2:
        address_map["description"] = "für den Shop: 2.5"
        address_map["default_sni"] = rng.choice([None, "www.example.com"])
    return address_map


def dated(rng: random.Random, member: Fields) -> Fields:
    """The member, sometimes with the time of its addition; few different times, so that ties happen."""
    time = rng.choice(TIMES)
    return {**member, "created_at": time} if time else member


def random_id(rng: random.Random) -> str:
    return f"{rng.getrandbits(128):032x}"


def random_zone(rng: random.Random, name: str, draft: Draft) -> list[Fields]:
    """Records of any kind, which may conflict with each other."""
    records: list[Fields] = []
    for _ in range(rng.randint(3, 15)):
        if records and rng.random() < 0.35:
            owner = rng.choice(records)["name"]
        else:
            owner = random_owner(rng)
        records += random_records(rng, owner, name, draft)
        draft.owners.append(name if owner == "@" else f"{owner}.{name}")
    return records


def random_owner(rng: random.Random) -> str:
    """`@`, or one to three labels, sometimes after a wildcard label."""
    if rng.random() < 0.12:
        return "@"
    labels = [
        rng.choice(ODD_LABELS) if rng.random() < 0.06 else rng.choice(LABELS) for _ in range(rng.choice([1, 1, 2, 3]))
    ]
    if rng.random() < 0.25:
        labels[0] = "*"
    if rng.random() < 0.03:
        labels.append("*")
    owner = ".".join(labels)
    return owner.swapcase() if rng.random() < 0.05 else owner


def random_target(rng: random.Random, zone: str, draft: Draft) -> str:
    """A target for an alias: mostly in this zone or another one of ours, with or without records."""
    if rng.random() < 0.12:
        return rng.choice(OUTSIDE)
    if rng.random() < 0.5:
        target = rng.choice(draft.owners).replace("*", rng.choice(LABELS))
    else:
        base = zone if rng.random() < 0.5 else rng.choice(draft.zones)
        owner = random_owner(rng).replace("*", rng.choice(LABELS))
        target = base if owner == "@" else f"{owner}.{base}"
    return target + "." if rng.random() < 0.1 else target


def random_records(rng: random.Random, owner: str, zone: str, draft: Draft) -> list[Fields]:
    """One record, or a delegation with its glue."""
    kind: Callable[..., list[Fields]] = rng.choices(
        [address_records, alias_records, other_records, delegation_records, dname_records], [45, 25, 20, 12, 4]
    )[0]
    return kind(rng, owner, zone, draft)


def address_records(rng: random.Random, owner: str, zone: str, draft: Draft) -> list[Fields]:
    """An A or AAAA, DNS-only or proxied."""
    record = {"name": owner, **random_address(rng, draft)}
    return [proxied(rng, record) if rng.random() < 0.5 else dns_only(rng, record)]


def random_address(rng: random.Random, draft: Draft) -> Fields:
    number = draft.number()
    if rng.random() < 0.65:
        return {"type": "A", "content": f"192.0.2.{number}" if number < 200 else f"198.18.0.{number - 199}"}
    return {"type": "AAAA", "content": f"2001:db8:dead::{number:x}"}


def alias_records(rng: random.Random, owner: str, zone: str, draft: Draft) -> list[Fields]:
    """A CNAME: DNS-only, flattened by its own setting, or proxied."""
    record: Fields = {"name": owner, "type": "CNAME", "content": random_target(rng, zone, draft)}
    if rng.random() < 0.3:
        return [proxied(rng, record)]
    if rng.random() < 0.35:
        record["settings"] = {"flatten_cname": True}
    return [dns_only(rng, record)]


def proxied(rng: random.Random, record: Fields) -> Fields:
    record = {**record, "proxied": True}
    if rng.random() < 0.3:
        record["ttl"] = 1
    if rng.random() < 0.2:
        record["settings"] = {rng.choice(["ipv4_only", "ipv6_only"]): True}
    return record


def dns_only(rng: random.Random, record: Fields) -> Fields:
    record = dict(record)
    if rng.random() < 0.8:
        record["ttl"] = rng.choice(TTLS)
    if rng.random() < 0.2:
        record["proxied"] = False
    return record


def other_records(rng: random.Random, owner: str, zone: str, draft: Draft) -> list[Fields]:
    """A record of a type that cannot be proxied."""
    number = draft.number()
    choices: list[Fields] = [
        {"type": "TXT", "content": f'"text {number}; quoted"'},
        {"type": "TXT", "content": f'"v{number}" "second"'},
        {"type": "MX", "content": random_target(rng, zone, draft), "priority": number},
        {"type": "HTTPS", "content": f'1 . alpn="h2" port={number + 1000}'},
        {"type": "SVCB", "content": f"{number} svc.example.net. port=8443"},
        {"type": "CAA", "content": f'0 issue "ca{number}.example.net"'},
    ]
    return [dns_only(rng, {"name": owner, **rng.choice(choices)})]


def delegation_records(rng: random.Random, owner: str, zone: str, draft: Draft) -> list[Fields]:
    """NS records, sometimes a DS, and addresses for servers below the cut or elsewhere in the zone."""
    owner = "d" if owner == "@" else owner.replace("*", "d")
    ttl = rng.choice(TTLS)
    records: list[Fields] = []
    for _ in range(rng.choice([1, 1, 2])):
        where = rng.random()
        if where < 0.5:
            server = f"ns{draft.number()}.{owner}"
            records.append({"name": server, **random_address(rng, draft), "proxied": rng.random() < 0.2})
            target = f"{server}.{zone}"
        elif where < 0.7:
            target = random_target(rng, zone, draft)
        else:
            server = random_owner(rng).replace("*", "a")
            target = zone if server == "@" else f"{server}.{zone}"
        records.append({"name": owner, "type": "NS", "content": target, "ttl": ttl})
    if rng.random() < 0.3:
        digest = f"{draft.number():064x}"
        records.append({"name": owner, "type": "DS", "content": f"12345 13 2 {digest}", "ttl": rng.choice(TTLS)})
    if rng.random() < 0.3:
        records += address_records(rng, f"w.{owner}", zone, draft)
    return records


def dname_records(rng: random.Random, owner: str, zone: str, draft: Draft) -> list[Fields]:
    """A DNAME; rarely at the apex, where it excludes all other names."""
    if owner == "@" and rng.random() < 0.8:
        owner = rng.choice(LABELS)
    target = long_name(zone) if rng.random() < 0.15 else random_target(rng, zone, draft)
    return [dns_only(rng, {"name": owner.replace("*", "d"), "type": "DNAME", "content": target})]


def long_name(zone: str) -> str:
    """A name of 251 octets: one short label more fits, two do not (YXDOMAIN, RFC 6672 §2.2)."""
    rest = 251 - 3 * 61 - (len(zone) + 2)
    return ".".join(["l" * 60] * 3 + ["m" * (rest - 1), zone])


def add_long_chain(rng: random.Random, zones: dict[str, list[Fields]]) -> None:
    """Add a chain of 6 to 11 aliases across the zones; it ends at one of its own names or at a missing name."""
    places = [(f"chain{number}", rng.choice(sorted(zones))) for number in range(rng.randint(6, 11))]
    for (owner, zone), (target, target_zone) in itertools.pairwise(places):
        record: Fields = {"name": owner, "type": "CNAME", "content": f"{target}.{target_zone}"}
        if rng.random() < 0.05:
            record["settings"] = {"flatten_cname": True}
        zones[zone].insert(0, dns_only(rng, record))
    owner, zone = places[-1]
    end: list[Fields] = [
        {"name": owner, "type": "A", "content": "192.0.2.210", "ttl": 60},
        {"name": owner, "type": "A", "content": "192.0.2.211", "proxied": True},
        {"name": owner, "type": "CNAME", "content": "{}.{}".format(*rng.choice(places))},
    ]
    zones[zone].insert(0, rng.choice(end))


def legal_records(zone: str, records: list[Fields]) -> list[Fields]:
    """The records without conflicts; of two that conflict, the earlier is kept."""
    apex = full_name(zone)
    kept: list[Fields] = []
    for record in sorted(records, key=lambda one: one["type"] == "DS"):  # a DS needs its NS
        if is_alone_legal(record) and may_join(record, kept, apex):
            kept.append(record)
    return [same_settings(record, kept, apex) for record in kept]


def is_alone_legal(record: Fields) -> bool:
    if record["type"] in ("NS", "DS", "DNAME") and "*" in record["name"]:
        return False
    return not (record["type"] in ("NS", "DS") and record["name"] == "@")


def may_join(record: Fields, kept: list[Fields], apex: Name) -> bool:
    """Whether the record may be added to a zone: checks the rules on CNAMEs, delegations and DNAMEs."""
    owner = owner_name(record["name"], apex)
    if record["type"] == "CNAME" and full_name(record["content"]) == owner:
        return False
    here = {other["type"] for other in kept if owner_name(other["name"], apex) == owner}
    kind = record["type"]
    exclusive = {
        "CNAME": {"A", "AAAA", "CNAME", "NS", "DNAME"},
        "DNAME": {"DNAME", "CNAME", "NS"},
        "NS": {"CNAME", "DNAME"},
    }
    if here & exclusive.get(kind, {"CNAME"} if kind in ("A", "AAAA") else set()):
        return False
    if kind == "DS" and "NS" not in here:
        return False
    for other in kept:
        other_owner = owner_name(other["name"], apex)
        if other["type"] == "DNAME" and is_below(owner, other_owner):
            return False
        if kind == "DNAME" and is_below(other_owner, owner):
            return False
        if kind == "DNAME" and other["type"] == "NS" and is_below(owner, other_owner):
            return False
        if kind == "NS" and other["type"] == "DNAME" and is_below(other_owner, owner):
            return False
        if (kind, other_owner, other["type"]) == ("NS", owner, "NS") and same_target(record, other):
            return False
    return True


def is_below(name: Name, ancestor: Name) -> bool:
    return name != ancestor and name.is_subdomain(ancestor)


def same_target(record: Fields, other: Fields) -> bool:
    return bool(full_name(record["content"]) == full_name(other["content"]))


def same_settings(record: Fields, kept: list[Fields], apex: Name) -> Fields:
    """The record, without settings if they differ from those of other addresses of its name."""
    owner = owner_name(record["name"], apex)
    settings = [
        other.get("settings", {})
        for other in kept
        if other["type"] in ("A", "AAAA") and owner_name(other["name"], apex) == owner
    ]
    if record["type"] in ("A", "AAAA") and any(one != settings[0] for one in settings):
        return {key: value for key, value in record.items() if key != "settings"}
    return record


def write_zone(rng: random.Random, files: AccountFiles, name: str, records: list[Fields]) -> None:
    """Add the zone's file, as YAML or as a master file; some map members then refer to the zone by id."""
    if rng.random() < 0.25 and not any("settings" in record for record in records):
        files.zones[f"{name}.zone"] = as_master(rng, name, records)
        return
    zone: Fields = {"records": records}
    if rng.random() < 0.2:
        zone = {"name": name.title() if rng.random() < 0.3 else name, **zone}
    file_name = f"{name}.yaml"
    if "name" in zone and rng.random() < 0.5:
        file_name = f"file-{name.replace('.', '-')}.yaml"
    zone["status"] = rng.choices(["active", "pending", "moved", "initializing"], [85, 5, 5, 5])[0]
    if rng.random() < 0.06:
        zone["paused"] = True
    if rng.random() < 0.2:
        zone["verified"] = False
    switches = {"ipv6": False, "flatten_all_cnames": True, "http2": False, "http3": False, "https_records": False}
    settings = {key: value for key, value in switches.items() if rng.random() < 0.12}
    if settings:
        zone["settings"] = settings
    if rng.random() < 0.15:
        zone["nameservers"] = [f"ns.{name}", "ns2.example.edu."]
    if rng.random() < 0.3:
        zone["soa"] = rng.choice(
            [{}, {"minimum": 60}, {"minimum": 7200}, {"mname": f"ns.{name}", "rname": "dns.example.edu"}]
        )
    if rng.random() < 0.3:
        zone["id"] = random_id(rng)
        use_id_in_maps(rng, files, name, zone["id"])
    files.zones[file_name] = zone


def add_rival(rng: random.Random, accounts: dict[str, AccountFiles], owner: str, name: str, draft: Draft) -> None:
    """Add an unverified zone of another account with the name of a zone, made before it or after it."""
    records = legal_records(name, random_zone(rng, name, draft))
    rival: Fields = {"id": random_id(rng), "verified": False, "records": records}
    for zone in (rival, *(zone for file, zone in accounts[owner].zones.items() if file == f"{name}.yaml")):
        if not isinstance(zone, str) and rng.random() < 0.7:
            zone["created_on"] = f"2026-01-0{rng.randint(1, 9)}T00:00:00Z"
    other = rng.choice([folder for folder in accounts if folder != owner])
    accounts[other].zones[f"{name}.yaml"] = rival


def use_id_in_maps(rng: random.Random, files: AccountFiles, name: str, zone_id: str) -> None:
    for address_map in files.maps.values():
        for member in address_map["memberships"]:
            if member["kind"] == "zone" and member["identifier"] == name and rng.random() < 0.5:
                member["identifier"] = zone_id


def as_master(rng: random.Random, zone: str, records: list[Fields]) -> str:
    """A master file in the form of an export: full names, TTL 1 for automatic, the proxied flag in a comment."""
    lines = [f";; Domain: {zone}."]
    if rng.random() < 0.6:
        dot = rng.choice(["", "."])
        numbers = f"{rng.randint(1, 2**32 - 1)} 10000 2400 604800 {rng.choice([60, 300, 7200])}"
        ttl = rng.choice([30, 3600])
        lines.append(f"{zone}{dot}\t{ttl}\tIN\tSOA\tada.ns.example.net. dns.example.net. {numbers}")
    if rng.random() < 0.6:
        lines += [f"{zone}.\t86400\tIN\tNS\t{server}.ns.example.net." for server in ("ada", "bob")]
    lines += [master_line(rng, zone, record) for record in records]
    return "\n".join(lines) + "\n"


def master_line(rng: random.Random, zone: str, record: Fields) -> str:
    owner = f"{zone}." if record["name"] == "@" else f"{record['name']}.{zone}."
    content = record["content"]
    if record["type"] in ("CNAME", "DNAME", "NS", "MX"):
        content = content.removesuffix(".") + "."
    if "priority" in record:
        content = f"{record['priority']} {content}"
    tags = f" ; {rng.choice(['', 'a comment '])}cf_tags=cf-proxied:{str(record.get('proxied', False)).lower()}"
    comment = tags if record.get("proxied") or rng.random() < 0.7 else ""
    return f"{owner}\t{record.get('ttl', 1)}\tIN\t{record['type']}\t{content}{comment}"


def drop_unresolvable_aliases(world: World) -> None:
    """Remove flattened aliases with targets that the server cannot resolve: such a world is refused.

    Repeated until no such alias remains, because a removal may break the chain of another alias.
    """
    while True:
        reference = Reference(world)
        leaving = [
            (zone.name, record.owner)
            for zone in reference.zones
            for record in zone.records
            if record.type == CNAME and not record.proxied and reference.flattening_leaves(zone, record)
        ]
        if not leaving:
            return
        for files in world.accounts.values():
            for file_name, zone in files.zones.items():
                files.zones[file_name] = without_aliases(file_name, zone, leaving)


def without_aliases(file_name: str, zone: Fields | str, leaving: list[tuple[Name, Name]]) -> Fields | str:
    """The zone without the CNAMEs at the given (zone, owner) names."""
    stem = file_name.rsplit(".", 1)[0]
    if isinstance(zone, str):
        owners = [owner for apex, owner in leaving if apex == full_name(stem)]
        lines = zone.splitlines(keepends=True)
        return "".join(
            line for line in lines if "\tCNAME\t" not in line or full_name(line.split("\t")[0]) not in owners
        )
    apex = full_name(zone.get("name", stem))
    owners = [owner for zone_name, owner in leaving if zone_name == apex]
    records = [
        record
        for record in zone["records"]
        if record["type"] != "CNAME" or owner_name(record["name"], apex) not in owners
    ]
    return {**zone, "records": records}
