"""A slow, obvious responder: computes the expected answers from the specification alone.

Follows RFC 1034 §4.3.2 step by step over plain lists of records, with dnspython's names and record data. It imports
nothing from the package, so the two agree only if both are right. It knows the meaning of a world, not its making.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.name import Name
from dns.rcode import NOERROR, NXDOMAIN, REFUSED, SERVFAIL, YXDOMAIN, Rcode
from dns.rdata import Rdata
from dns.rdataclass import IN, RdataClass
from dns.rdatatype import AAAA, ANY, CNAME, DNAME, DS, HINFO, HTTPS, NS, SOA, A, RdataType

if TYPE_CHECKING:
    from tests.worlds import AccountFiles, World

AUTOMATIC_TTL = 300  # of proxied records, and of records whose TTL is 1
ANY_TTL = 3789  # RFC 8482 leaves the TTL open
MAX_CHAIN = 8
SOA_DEFAULTS = {"refresh": 10000, "retry": 2400, "expire": 604800, "minimum": 300}
SOA_TTL = 3600
NS_TTL = 86400
WILDCARD = dns.name.Name([b"*"])
MASTER_LINE = re.compile(
    r"(?P<owner>\S+)\s+(?P<ttl>\d+)\s+IN\s+(?P<type>\S+)\s+(?P<rdata>(?:\"[^\"]*\"|\\.|[^;\"\\])*)(?P<comment>;.*)?"
)

Answered = tuple[Name, RdataType, int, Rdata]  # owner, type, ttl, rdata


@dataclass(frozen=True)
class Expected:
    """The expected reply; the order of `answer` matters, that of `additional` does not."""

    rcode: Rcode
    aa: bool = False
    answer: list[Answered] = field(default_factory=list)
    authority: list[Answered] = field(default_factory=list)
    additional: list[Answered] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """A record of a world; `ttl` is the TTL in answers."""

    owner: Name
    type: RdataType
    ttl: int
    rdata: Rdata
    proxied: bool = False
    settings: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Zone:
    """A zone, with its SOA and apex NS records among its records."""

    name: Name
    id: str | None
    account: Account
    status: str
    paused: bool
    settings: dict[str, bool]
    records: list[Record]
    verified: bool = True
    claim: tuple[str, str] = ("", "")  # the time of an unverified zone's claim to its name, and its key

    def is_followed_from(self, leading: Zone | None) -> bool:
        """Whether aliases in `leading` are followed into this zone: an unverified zone is for its own account only."""
        return self.verified or leading is None or leading.account is self.account

    def at(self, owner: Name) -> list[Record]:
        """The records of an owner name."""
        return self._by_owner.get(owner, [])

    def exists(self, name: Name) -> bool:
        """Whether the name has records, or is an empty non-terminal (RFC 4592 §2.2.2)."""
        return name in self._names

    @cached_property
    def _by_owner(self) -> dict[Name, list[Record]]:
        return {
            owner: [record for record in self.records if record.owner == owner]
            for owner in {record.owner for record in self.records}
        }

    @cached_property
    def _names(self) -> set[Name]:
        return {name for record in self.records for name in ancestors(record.owner, self.name)}

    def maps_apply(self) -> bool:
        """Whether proxied records are answered from address maps; else they are answered as stored."""
        return self.status == "active" and not self.paused and not self.account.enforce_dns_only

    def is_proxied(self, records: list[Record]) -> bool:
        """Whether a name with these records is answered with edge addresses."""
        return self.maps_apply() and any(record.proxied for record in records)

    def cut_above(self, name: Name) -> Name | None:
        """The highest delegation at or above the name (RFC 1034 §4.3.2 step 3b)."""
        for ancestor in ancestors(name, self.name):
            if ancestor != self.name and of_type(self.at(ancestor), NS):
                return ancestor
        return None


@dataclass(frozen=True)
class Account:
    """The parts of an account that answers depend on."""

    folder: str
    id: str | None
    enforce_dns_only: bool
    maps: list[dict[str, Any]]

    def has_identifier(self, identifier: str) -> bool:
        return identifier in (self.folder, self.id)


@dataclass(frozen=True)
class Found:
    """The result of looking up one name, before following an alias: an rcode and sections, or the alias's target."""

    rcode: Rcode = NOERROR
    aa: bool = True
    answer: list[Answered] = field(default_factory=list)
    authority: list[Answered] = field(default_factory=list)
    additional: list[Answered] = field(default_factory=list)
    target: Name | None = None
    endless: bool = False  # `target` is below the same DNAME again, and so on for ever
    flattened: bool = False  # the alias in `answer` is replaced by its target's addresses


def expect(world: World, qname: Name | str, qtype: RdataType | str, qclass: RdataClass = IN) -> Expected:
    """The expected reply."""
    return Reference(world).expect(qname, qtype, qclass)


class Reference:
    """The responder for one world; reading the world once saves time over many questions."""

    def __init__(self, world: World) -> None:
        self.pool: list[str] = world.settings["default_addresses"]
        self.missing_family: str = world.settings.get("missing_family", "nodata")
        self.zones = served_zones(
            zone for folder, files in world.accounts.items() for zone in read_zones(folder, files, world.settings)
        )

    def expect(self, qname: Name | str, qtype: RdataType | str, qclass: RdataClass = IN) -> Expected:
        """The expected reply."""
        name = full_name(qname) if isinstance(qname, str) else qname.canonicalize()
        rdtype = dns.rdatatype.RdataType.make(qtype)
        if qclass == dns.rdataclass.ANY:
            return without_class(self.expect(name, rdtype))
        if qclass != IN:
            return Expected(REFUSED)
        chain: list[Answered] = []
        seen = [name]
        leading: Zone | None = None  # the zone that led to the name
        while True:
            found = self.answer_at(name, rdtype, leading)
            if found.rcode == REFUSED:  # no zone of ours: the query is refused, but a chain so far is answered
                return Expected(NOERROR, True, chain) if chain else Expected(REFUSED)
            if found.rcode == SERVFAIL:
                return Expected(SERVFAIL)  # no partial chain
            if found.target is None:
                aa = found.aa or bool(chain)
                return Expected(
                    found.rcode, aa, without_duplicates(chain + found.answer), found.authority, found.additional
                )
            if count_aliases(chain) == MAX_CHAIN:
                return Expected(NOERROR, True, chain)
            chain = without_duplicates(chain + found.answer)
            if found.target in seen or found.endless:
                return Expected(NOERROR, True, chain)
            leading = self.zone_for(name, rdtype)
            name = found.target
            seen.append(name)

    def steps(self, qname: Name, qtype: RdataType) -> list[tuple[Name, Zone | None]]:
        """The names from the query name to the end of its chain, each with the zone that answers for it."""
        steps: list[tuple[Name, Zone | None]] = []
        name, leading = qname.canonicalize(), None
        met: list[Name] = []
        flattens = False
        while True:
            found = self.look_up(name, qtype, leading)
            zone = self.zone_for(name, qtype)
            steps.append((name, None if found.rcode == REFUSED else zone))
            if found.flattened and not flattens:  # flattening counts its own aliases
                flattens, met = True, []
            met.append(name)
            if found.target is None or found.endless or found.target in met or len(met) > MAX_CHAIN:
                return steps
            name, leading = found.target, zone

    def answer_at(self, name: Name, qtype: RdataType, leading: Zone | None) -> Found:
        """The result for a name, with flattened aliases resolved to addresses; `leading` is the alias's zone."""
        found = self.look_up(name, qtype, leading)
        return self.flatten(name, qtype, found) if found.flattened else found

    def flatten(self, owner: Name, qtype: RdataType, first: Found) -> Found:
        """The final addresses of a flattened alias, with its owner name and the lowest TTL of the chain."""
        seen = [owner]
        aliases = list(first.answer)
        found = first
        while found.target is not None:
            if found.target in seen or count_aliases(aliases) > MAX_CHAIN:
                return Found(SERVFAIL)
            leading = self.zone_for(seen[-1], qtype)
            if found.endless:
                return Found(SERVFAIL)
            seen.append(found.target)
            found = self.look_up(found.target, qtype, leading)
            aliases += found.answer if found.target is not None else []
        zone = self.zone_of(owner)
        assert zone is not None
        if not found.aa:
            return Found(SERVFAIL)  # outside, below a cut or refused: the addresses are unknown here
        if found.rcode != NOERROR or not found.answer:
            return no_data(zone)
        ttl = min(ttl for _, _, ttl, _ in aliases + found.answer)
        return Found(answer=[(owner, rdtype, ttl, rdata) for _, rdtype, _, rdata in found.answer])

    def look_up(self, name: Name, qtype: RdataType, leading: Zone | None = None) -> Found:
        """Apply RFC 1034 §4.3.2 to one name, up to the first alias; `leading` is the zone of the alias to the name."""
        zone = self.zone_for(name, qtype)  # step 2: the nearest zone
        if zone is None or zone.status == "initializing" or not zone.is_followed_from(leading):
            return Found(REFUSED, aa=False)
        for ancestor in ancestors(name, zone.name):  # step 3: match down, label by label
            records = zone.at(ancestor)
            if ancestor != zone.name and of_type(records, NS):  # step 3b: a cut
                if ancestor == name and qtype == DS:  # RFC 4035 §3.1.4.1: DS belongs to the parent
                    return stored_answer(zone, name, records, DS)
                return referral(zone, ancestor)
            if ancestor != name and of_type(records, DNAME):  # RFC 6672 §3.2
                return through_dname(name, of_type(records, DNAME)[0], qtype)
        if zone.exists(name):  # step 3a: the name itself
            return self.answer_from(zone, name, zone.at(name), qtype)
        encloser = next(ancestor for ancestor in reversed(ancestors(name, zone.name)) if zone.exists(ancestor))
        source = WILDCARD.concatenate(encloser)  # step 3c, RFC 4592 §3.3.1
        if zone.exists(source):
            return self.answer_from(zone, name, zone.at(source), qtype)
        return Found(NXDOMAIN, authority=[negative_soa(zone)])

    def answer_from(self, zone: Zone, owner: Name, records: list[Record], qtype: RdataType) -> Found:
        """The answer from the records of a name or its wildcard; `owner` is the query name."""
        if not records:
            return no_data(zone)  # an empty non-terminal
        if qtype == ANY:
            rdata = dns.rdata.from_text(IN, HINFO, '"RFC8482" ""')
            return Found(answer=[(owner, HINFO, ANY_TTL, rdata)])
        if zone.is_proxied(records):
            return self.proxied_answer(zone, owner, records, qtype)
        for cname in of_type(records, CNAME):
            if is_flattened(zone, cname):
                if qtype in (A, AAAA):
                    return Found(answer=answered(owner, [cname]), target=target_of(cname), flattened=True)
                return no_data(zone) if qtype == CNAME else stored_answer(zone, owner, records, qtype)
            if qtype != CNAME and not of_type(records, qtype):
                return Found(answer=answered(owner, [cname]), target=target_of(cname))
        return stored_answer(zone, owner, records, qtype)

    def proxied_answer(self, zone: Zone, owner: Name, records: list[Record], qtype: RdataType) -> Found:
        """Addresses of the map and a synthesised HTTPS record; the stored A, AAAA and CNAME stay hidden."""
        v4, v6 = self.edge_addresses(zone, records)
        if qtype == A:
            return edge_answer(zone, owner, A, v4)
        if qtype == AAAA:
            return edge_answer(zone, owner, AAAA, v6)
        if qtype == CNAME:
            return no_data(zone)
        if qtype == HTTPS and not of_type(records, HTTPS) and zone.settings.get("https_records", True):
            return edge_answer(zone, owner, HTTPS, [service_parameters(zone, v4, v6)])
        return stored_answer(zone, owner, records, qtype)

    def edge_addresses(self, zone: Zone, records: list[Record]) -> tuple[list[str], list[str]]:
        """IPv4 and IPv6 addresses that answer for a proxied name, in the order of the map."""
        v4, v6 = self.addresses_for(zone)
        if any(record.settings.get("ipv6_only") for record in records):
            v4 = []
        if any(record.settings.get("ipv4_only") for record in records) or not zone.settings.get("ipv6", True):
            v6 = []
        return v4, v6

    def addresses_for(self, zone: Zone) -> tuple[list[str], list[str]]:
        """The zone's edge addresses: of its own map, its account's map, the immutable map, or the default pool."""
        maps = zone.account.maps
        ordinary = [one for one in maps if not one.get("immutable")]
        immutable = [one for one in maps if one.get("immutable")]
        candidates = newest_first(ordinary, lambda member: is_zone_member(member, zone))
        candidates += newest_first(ordinary, lambda member: is_account_member(member, zone.account))
        candidates += newest_first(immutable, lambda member: is_account_member(member, zone.account))
        lists = [one["ips"] for one in candidates if one.get("enabled") and one.get("ips")]
        if not lists:
            return of_family(self.pool, 4), of_family(self.pool, 6)
        if self.missing_family == "nodata":
            return of_family(lists[0], 4), of_family(lists[0], 6)
        v4 = next((of_family(ips, 4) for ips in lists if of_family(ips, 4)), [])
        v6 = next((of_family(ips, 6) for ips in lists if of_family(ips, 6)), [])
        return v4, v6

    def zone_of(self, name: Name, asking: Zone | None = None) -> Zone | None:
        """The served zone with the longest match; aliases in `asking` must be followed into it."""
        matching = [zone for zone in self.zones if name.is_subdomain(zone.name) and zone.is_followed_from(asking)]
        return max(matching, key=lambda zone: len(zone.name), default=None)

    def zone_for(self, name: Name, qtype: RdataType) -> Zone | None:
        """The zone that answers: the nearest, but for DS at an apex the parent zone, if it is served."""
        zone = self.zone_of(name)
        if qtype == DS and zone is not None and zone.name == name and name != dns.name.root:
            parent = self.zone_of(name.parent(), zone)
            return parent if parent is not None and parent.status != "initializing" else zone
        return zone

    def flattening_leaves(self, zone: Zone, cname: Record) -> bool:
        """Whether a flattened alias ends outside the served zones, below a cut, or in an unanswered zone."""
        if not is_flattened(zone, cname):
            return False
        seen = [cname.owner]
        target: Name | None = target_of(cname)
        while target is not None and target not in seen and len(seen) < 4 * MAX_CHAIN:
            leading = self.zone_of(seen[-1])
            seen.append(target)
            found = self.look_up(target, A, leading)
            if not found.aa:
                return True
            target = found.target
        return False

    def origins(self) -> set[str]:
        """The addresses that must never be visible: those of all proxied names answered from a map."""
        hidden = set()
        for zone in self.zones:
            for owner in {record.owner for record in zone.records}:
                records = zone.at(owner)
                if zone.is_proxied(records) and zone.cut_above(owner) is None:
                    hidden |= {record.rdata.to_text() for record in records if record.type in (A, AAAA)}
        return hidden


def without_class(expected: Expected) -> Expected:
    """The reply in class ANY: the same, but without AA, and a negative answer without its SOA."""
    authority = [one for one in expected.authority if one[1] != SOA]
    return Expected(expected.rcode, False, expected.answer, authority, expected.additional)


# Answers from a zone's records.


def stored_answer(zone: Zone, owner: Name, records: list[Record], qtype: RdataType) -> Found:
    """The stored records of one type, or no data."""
    rrset = of_type(records, qtype)
    return Found(answer=answered(owner, rrset)) if rrset else no_data(zone)


def answered(owner: Name, rrset: list[Record]) -> list[Answered]:
    """An RRset in an answer: all records with the lowest TTL (RFC 2181 §5.2)."""
    ttl = min(record.ttl for record in rrset)
    return [(owner, record.type, ttl, record.rdata) for record in rrset]


def edge_answer(zone: Zone, owner: Name, rdtype: RdataType, contents: list[str]) -> Found:
    if not contents:
        return no_data(zone)
    return Found(answer=[(owner, rdtype, AUTOMATIC_TTL, dns.rdata.from_text(IN, rdtype, text)) for text in contents])


def service_parameters(zone: Zone, v4: list[str], v6: list[str]) -> str:
    """The synthesised HTTPS record of a proxied name (RFC 9460 §9)."""
    protocols = [name for name, key in (("h3", "http3"), ("h2", "http2")) if zone.settings.get(key, True)]
    text = "1 ."
    text += f' alpn="{",".join(protocols)}"' if protocols else ""
    text += f" ipv4hint={','.join(v4)}" if v4 else ""
    text += f" ipv6hint={','.join(v6)}" if v6 else ""
    return text


def no_data(zone: Zone) -> Found:
    return Found(authority=[negative_soa(zone)])


def negative_soa(zone: Zone) -> Answered:
    """The SOA of a negative answer; its TTL is the lower of its own and the minimum field (RFC 2308 §3)."""
    soa = of_type(zone.at(zone.name), SOA)[0]
    return zone.name, SOA, min(soa.ttl, soa.rdata.minimum), soa.rdata  # type: ignore[attr-defined]


def referral(zone: Zone, cut: Name) -> Found:
    """The delegation's NS records and the zone's glue for them (RFC 1034 §4.2.1, RFC 9471)."""
    servers = of_type(zone.at(cut), NS)
    glue: list[Answered] = []
    for server in servers:
        name = server.rdata.target.canonicalize()  # type: ignore[attr-defined]
        if not name.is_subdomain(zone.name):
            continue
        records = zone.at(name)
        if zone.cut_above(name) is None and zone.is_proxied(records):
            continue  # addresses of origins stay hidden
        for rdtype in (A, AAAA):
            rrset = of_type(records, rdtype)
            glue += [one for one in answered(name, rrset) if one not in glue] if rrset else []
    return Found(aa=False, authority=answered(cut, servers), additional=glue)


def through_dname(name: Name, dname: Record, qtype: RdataType) -> Found:
    """The DNAME and the CNAME synthesised from it, with its TTL; a query for CNAME goes no further."""
    redirection = answered(dname.owner, [dname])
    prefix = name.relativize(dname.owner)
    try:
        target = prefix.concatenate(target_of(dname))
    except dns.name.NameTooLong:
        return Found(YXDOMAIN, answer=redirection)  # RFC 6672 §2.2
    alias = dns.rdata.from_text(IN, CNAME, target.to_text())
    answer = [*redirection, (name, CNAME, dname.ttl, alias)]
    endless = target != dname.owner and target.is_subdomain(dname.owner)
    return Found(answer=answer, target=None if qtype == CNAME else target, endless=endless)


def without_duplicates(records: list[Answered]) -> list[Answered]:
    """The records without duplicates: a chain may use one DNAME twice."""
    return list(dict.fromkeys(records))


def is_flattened(zone: Zone, cname: Record) -> bool:
    """Whether a DNS-only CNAME is answered with its target's addresses."""
    return not cname.proxied and bool(
        cname.owner == zone.name
        or cname.settings.get("flatten_cname")
        or zone.settings.get("flatten_all_cnames", False)
    )


def of_type(records: Iterable[Record], rdtype: RdataType) -> list[Record]:
    return [record for record in records if record.type == rdtype]


def target_of(record: Record) -> Name:
    target: Name = record.rdata.target  # type: ignore[attr-defined]
    return target.canonicalize()


def count_aliases(answer: list[Answered]) -> int:
    return sum(rdtype == CNAME for _, rdtype, _, _ in answer)


def ancestors(name: Name, apex: Name) -> list[Name]:
    """The names from the apex down to the name itself."""
    return [name.split(depth)[1] for depth in range(len(apex), len(name) + 1)]


# Choosing a map.


def newest_first(maps: list[dict[str, Any]], covers: Any) -> list[dict[str, Any]]:
    """The maps with a member that `covers` accepts, newest membership first; ties go to the greater map id."""
    ranked = []
    for one in maps:
        times = [joined_at(member) for member in one.get("memberships", []) if covers(member)]
        if times:
            ranked.append((max(times), one.get("id", ""), one))
    ranked.sort(key=lambda rank: rank[:2], reverse=True)
    return [one for _, _, one in ranked]


def joined_at(member: dict[str, Any]) -> float:
    """The time when a membership began; without a time, it counts as the oldest."""
    text = member.get("created_at")
    return datetime.fromisoformat(text).timestamp() if text else float("-inf")


def is_zone_member(member: dict[str, Any], zone: Zone) -> bool:
    by_name = zone.name.to_text(omit_final_dot=True)
    return member["kind"] == "zone" and member["identifier"] in (by_name, zone.id)


def is_account_member(member: dict[str, Any], account: Account) -> bool:
    return member["kind"] == "account" and account.has_identifier(member["identifier"])


def of_family(ips: list[str], version: int) -> list[str]:
    return [ip for ip in ips if ipaddress.ip_address(ip).version == version]


# Reading a world.


def served_zones(zones: Iterable[Zone]) -> list[Zone]:
    """The zones that are served: an unverified one only if the nearest zone served around it is its account's own."""
    zones = list(zones)
    served = [zone for zone in zones if zone.verified]
    for zone in sorted((zone for zone in zones if not zone.verified), key=lambda zone: zone.claim):
        around = [one for one in served if zone.name.is_subdomain(one.name)]
        if not around or max(around, key=lambda one: len(one.name)).account is zone.account:
            served.append(zone)
    return served


def read_zones(folder: str, files: AccountFiles, settings: dict[str, Any]) -> list[Zone]:
    """The zones of one account."""
    enforce = files.account.get("settings", {}).get("enforce_dns_only", False)
    account = Account(folder, files.account.get("id"), enforce, list(files.maps.values()))
    zones = []
    for file_name, content in files.zones.items():
        stem = file_name.rsplit(".", 1)[0]
        zone = read_master(stem, content) if isinstance(content, str) else read_object(stem, content)
        servers = zone.get("nameservers") or settings["nameservers"]
        name: Name = zone["name"]
        records: list[Record] = zone["records"]
        if not of_type(records, SOA):
            records.append(default_soa(name, servers, zone.get("soa", {})))
        if not any(record.type == NS and record.owner == name for record in records):
            records += [Record(name, NS, NS_TTL, rdata_of(NS, full_name(server).to_text())) for server in servers]
        zones.append(
            Zone(
                name,
                zone.get("id"),
                account,
                zone.get("status", "active"),
                zone.get("paused", False),
                zone.get("settings", {}),
                records,
                zone.get("verified", True),
                (zone.get("created_on", ""), f"{folder}/zones/{stem}"),
            )
        )
    return zones


def read_object(stem: str, content: dict[str, Any]) -> dict[str, Any]:
    """Read a zone written as YAML."""
    name = full_name(content.get("name", stem))
    records = []
    for item in content.get("records", []):
        rdtype = dns.rdatatype.from_text(item["type"])
        text = item["content"]
        if rdtype in (CNAME, DNAME, NS):
            text = full_name(text).to_text()
        if "priority" in item:
            text = f"{item['priority']} {full_name(text).to_text()}"
        records.append(
            Record(
                owner_name(item["name"], name),
                rdtype,
                answered_ttl(item.get("ttl", 1)),
                rdata_of(rdtype, text),
                item.get("proxied", False),
                item.get("settings", {}),
            )
        )
    return {**content, "name": name, "records": records}


def read_master(stem: str, text: str) -> dict[str, Any]:
    """Read a zone written as a master file in plain form: one record a line, with all fields."""
    name = full_name(stem)
    records = []
    for line in text.splitlines():
        match = MASTER_LINE.fullmatch(line)
        if not match:
            assert not line.strip() or line.startswith((";", "$")), f"not read by the reference: {line!r}"
            continue
        rdtype = dns.rdatatype.from_text(match["type"])
        rdata = rdata_of(rdtype, match["rdata"].strip(), origin=name)
        proxied = "cf-proxied:true" in (match["comment"] or "")
        # The export's SOA may have an owner without a final dot, which still means the zone's name.
        owner = name if rdtype == SOA else owner_name(match["owner"], name)
        records.append(Record(owner, rdtype, answered_ttl(int(match["ttl"])), rdata, proxied))
    return {"name": name, "records": records}


def default_soa(name: Name, servers: list[str], given: dict[str, Any]) -> Record:
    """The SOA of a zone without an SOA record."""
    mname = full_name(given.get("mname", servers[0])).to_text()
    rname = full_name(given["rname"]).to_text() if "rname" in given else f"hostmaster.{name}"
    numbers = [given.get(key, default) for key, default in SOA_DEFAULTS.items()]
    return Record(name, SOA, SOA_TTL, rdata_of(SOA, " ".join(map(str, [mname, rname, 1, *numbers]))))


def answered_ttl(ttl: int) -> int:
    return AUTOMATIC_TTL if ttl == 1 else ttl


def rdata_of(rdtype: RdataType, text: str, origin: Name = dns.name.root) -> Rdata:
    return dns.rdata.from_text(IN, rdtype, text, origin=origin, relativize=False)


def full_name(text: str) -> Name:
    """An absolute name, with or without its final dot."""
    return dns.name.from_text(text).canonicalize()


def owner_name(text: str, zone: Name) -> Name:
    """An owner name as in a zone file: `@`, relative, or absolute with a final dot."""
    return dns.name.from_text(text, zone).canonicalize()
