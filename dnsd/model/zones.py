"""Zones: their written form and their resolved form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from enum import StrEnum
from functools import lru_cache
from struct import Struct
from typing import Annotated, Any, TypeVar

from pydantic import AwareDatetime, BeforeValidator, Field

from dnsd.model.columns import Records
from dnsd.model.fields import Fields, Host, Id, derived_id
from dnsd.model.records import MAX_TTL_S, RecordFields, Traits
from dnsd.model.times import NO_TIMES, WrittenTimes
from dnsd.wire.names import MAX_NAME, ancestors, name_text, parse_name_text
from dnsd.wire.rdata import NS, SOA, pack_rdata, parse_rdata_text

SOA_TTL_S = 3600
NS_TTL_S = 86_400
SOA_NUMBERS = Struct("!4I")  # after the serial: refresh, retry, expire, minimum, RFC 1035 §3.3.13
ALIKE = 256  # settings of SOA and NS records that are kept: most zones have the same ones
HOSTMASTER = b"\x0ahostmaster"


T = TypeVar("T")


class Status(StrEnum):
    """How far the set-up of a zone has progressed."""

    INITIALIZING = "initializing"
    PENDING = "pending"
    ACTIVE = "active"
    MOVED = "moved"


class ZoneSettings(Fields):
    """The settings of a zone."""

    ipv6: bool = Field(default=True, description="answer AAAA queries for proxied names")
    flatten_all_cnames: bool = Field(
        default=False, description="answer every DNS-only CNAME with its target's addresses"
    )
    http2: bool = Field(default=True, description="list h2 in HTTPS records")
    http3: bool = Field(default=True, description="list h3 in HTTPS records")
    https_records: bool = Field(default=True, description="synthesise HTTPS records for proxied names")
    ns_ttl: int = Field(
        default=NS_TTL_S, ge=0, le=MAX_TTL_S, description="TTL of the apex NS records made from `nameservers`"
    )


def _mailbox(text: Any) -> Any:
    """A mail address as a domain name (RFC 1035 §8): the dots before the @ belong to the first label."""
    if not isinstance(text, str) or "@" not in text:
        return text
    local, _, domain = text.partition("@")
    return local.replace(".", "\\.") + "." + domain


Mailbox = Annotated[Host, BeforeValidator(_mailbox)]


class SoaFields(Fields):
    """Parts of the SOA record; the serial is the zone's revision."""

    mname: Host | None = Field(default=None, description="default: the first nameserver")
    rname: Mailbox | None = Field(default=None, description="a mail address or a name; default: hostmaster of the zone")
    refresh: int = Field(default=10_000, ge=0, le=MAX_TTL_S)
    retry: int = Field(default=2_400, ge=0, le=MAX_TTL_S)
    expire: int = Field(default=604_800, ge=0, le=MAX_TTL_S)
    minimum: int = Field(
        default=300, ge=0, le=MAX_TTL_S, description="seconds for which resolvers may cache a negative answer"
    )
    ttl: int = Field(default=SOA_TTL_S, ge=0, le=MAX_TTL_S, description="TTL of the SOA record itself")


class ZoneFields(Fields):
    """`zones/NAME.yaml`."""

    id: Id | None = Field(default=None, description="derived from the zone's name when absent")
    name: str | None = Field(default=None, description="default: the file's name")
    status: Status = Status.ACTIVE
    paused: bool = Field(default=False, description="answer every proxied record as stored")
    verified: bool = Field(
        default=True, description="false: CNAMEs and DNAMEs of other accounts are not followed into the zone"
    )
    settings: ZoneSettings = ZoneSettings()
    nameservers: tuple[Host, ...] | None = Field(
        default=None, description="the apex NS records; default from dnsd.yaml"
    )
    soa: SoaFields = SoaFields()
    created_on: AwareDatetime | None = Field(
        default=None, description="set by the API; default: when the server first saw the zone"
    )
    activated_on: AwareDatetime | None = Field(
        default=None, description="set by the API; default: when the server first saw the zone active"
    )
    modified_on: AwareDatetime | None = Field(
        default=None,
        description="set by the API; default: when the server first saw the zone as it is, apart from its records",
    )
    records: tuple[RecordFields, ...] = ()


def unwritten_zone_id(name: str) -> str:
    """The id of a zone without an `id` in its file."""
    return derived_id("zone", name)


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone with all its records, SOA and apex NS included; `key` is `account/zones/name`."""

    key: str
    id: str
    account_id: str
    name: bytes  # canonical
    status: Status
    paused: bool
    settings: ZoneSettings
    records: Records  # may be given as any iterable of records
    verified: bool = True  # whether the operator confirms that the zone belongs to the account
    written_times: WrittenTimes = NO_TIMES  # the times in its file
    own_records: InitVar[int | None] = None  # the number of SOA and NS records at the apex; None: to be counted
    name_text: str = field(init=False, compare=False)  # the name as dotted text
    client_records: int = field(init=False, compare=False)  # the number of records that clients see

    def __post_init__(self, own_records: int | None) -> None:
        object.__setattr__(self, "records", Records.of(self.records))
        object.__setattr__(self, "name_text", name_text(self.name))
        records, own = self.records, own_records
        if own is None:
            own = sum(records.rtype(index) in (SOA, NS) for index in records.owners.places(self.name))
        object.__setattr__(self, "client_records", len(records) - own)

    @property
    def serial(self) -> int:
        """The serial of its SOA (RFC 1035 §3.3.13)."""
        soa = next(record for record in self.records.at(self.name) if record.rtype == SOA)
        return int.from_bytes(soa.rdata[-20:-16])

    @property
    def applies_maps(self) -> bool:
        """Whether the zone's own state allows answers from maps for its proxied records."""
        return self.status is Status.ACTIVE and not self.paused


def closest(name: bytes, zones: Mapping[bytes, T]) -> T | None:
    """The zone of `zones` (by canonical name) that contains canonical `name`: the longest match."""
    return next((zones[part] for part in (name, *ancestors(name)) if part in zones), None)


def apex_rdatas(
    zone_name: bytes,
    given: Mapping[int, bytes],
    nameservers: tuple[str, ...],
    soa: SoaFields,
    serial: int,
    ns_ttl: int = NS_TTL_S,
) -> list[tuple[Traits, bytes]]:
    """The same records, without owners; `given` are the types at the apex, each with the data of a record.

    Raises ValueError.
    """
    made: list[tuple[Traits, bytes]] = []
    if SOA not in given:
        traits, mname, rname, numbers = _soa_parts(soa, nameservers)
        rdata = (mname or given[NS]) + (rname or _hostmaster(zone_name)) + serial.to_bytes(4) + numbers
        made.append((traits, rdata))
    if NS not in given:
        made += _server_rdatas(nameservers, ns_ttl)
    return made


@lru_cache(maxsize=ALIKE)
def _soa_parts(soa: SoaFields, nameservers: tuple[str, ...]) -> tuple[Traits, bytes, bytes, bytes]:
    """Of an SOA record its traits, MNAME, RNAME and the numbers after the serial; a name is empty if it is not given.

    Raises ValueError.
    """
    hosts = _distinct(nameservers)
    mname = soa.mname or next(iter(hosts), None)
    numbers = SOA_NUMBERS.pack(soa.refresh, soa.retry, soa.expire, soa.minimum)
    names = (_host(mname) if mname else b"", _host(soa.rname) if soa.rname else b"")
    return Traits(SOA, soa.ttl), *names, numbers


@lru_cache(maxsize=ALIKE)
def _server_rdatas(nameservers: tuple[str, ...], ttl: int) -> tuple[tuple[Traits, bytes], ...]:
    """The NS records for these hosts. Raises ValueError."""
    return tuple((Traits(NS, ttl), _host(host)) for host in _distinct(nameservers))


def _distinct(hosts: Iterable[str]) -> Iterable[str]:
    """The hosts, each in its last spelling."""
    return {host.lower(): host for host in hosts}.values()


@lru_cache(maxsize=4_096)
def _host(text: str) -> bytes:
    """The wire form of a host's name. Raises ValueError."""
    return pack_rdata(parse_rdata_text(NS, text))


def _hostmaster(zone_name: bytes) -> bytes:
    name = HOSTMASTER + zone_name
    if len(name) > MAX_NAME:
        raise ValueError(f"hostmaster.{name_text(zone_name)} is too long: the limit is {MAX_NAME} octets; give `rname`")
    return name


def stand_in_zone(key: str, account_id: str) -> Zone | None:
    """A zone for maps to refer to if the zone's file is broken, so that one mistake is not reported twice."""
    name = key.rpartition("/")[2]
    try:
        wire = parse_name_text(name).lower()
    except ValueError:
        return None
    return Zone(key, unwritten_zone_id(name), account_id, wire, Status.ACTIVE, False, ZoneSettings(), Records.of(()))
