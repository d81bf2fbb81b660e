"""Records: their written form, their resolved form, and the rules on a single record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, NamedTuple

import dns.exception
import dns.rdata
import dns.tokenizer
from pydantic import AfterValidator, AwareDatetime, Field, TypeAdapter, ValidationError

from dnsd.errors import BrokenRule, Path
from dnsd.model.contents import UNQUOTED, means, pack_content, unquoted_text, written_content
from dnsd.model.fields import Fields, Id
from dnsd.wire.names import is_below, name_text, parse_name_text
from dnsd.wire.rdata import (
    AAAA,
    CNAME,
    A,
    canonical_rdata,
    pack_rdata,
    parse_type_text,
    rdata_text,
    type_text,
)

TIME: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)

AUTOMATIC_TTL = 1  # as Cloudflare writes it
PROXIED_TTL_S = 300
MAX_TTL_S = 2**31 - 1  # RFC 2181 §8
PROXIABLE = frozenset({A, AAAA, CNAME})

MAX_COMMENT = 500  # characters
MAX_TAGS = 20  # of one record
MAX_TAG = 500  # characters of one tag, its name and its value together
META_TYPES = frozenset({0, 41, *range(128, 256)})  # types without data: RFC 6895 §3.1, OPT of RFC 6891


class RecordSettings(Fields):
    """The settings of one record, as in the API."""

    ipv4_only: bool | None = None
    ipv6_only: bool | None = None
    flatten_cname: bool | None = None


def _without_empty_value(tag: str) -> str:
    """Shorten `name:` to `name`, which means the same."""
    name, _, value = tag.partition(":")
    return tag if value or not name else name


TagText = Annotated[str, Field(max_length=MAX_TAG), AfterValidator(_without_empty_value)]


class RecordFields(Fields):
    """One entry under `records` of a zone file."""

    id: Id | None = Field(default=None, description="derived from the record's name, type and content when absent")
    name: str = Field(description="relative to the zone, @ for the zone itself, or full")
    type: str
    content: str = Field(description="the record's data as in a master file; host names are full names")
    ttl: int = Field(default=AUTOMATIC_TTL, ge=0, le=MAX_TTL_S, description="seconds; 1 means automatic")
    priority: int | None = Field(default=None, ge=0, le=65_535, description="of MX, SRV and URI")
    proxied: bool = Field(default=False, description="answered with edge addresses; A, AAAA and CNAME only")
    settings: RecordSettings = RecordSettings()
    comment: str | None = Field(default=None, max_length=MAX_COMMENT)
    tags: tuple[TagText, ...] = Field(default=(), max_length=MAX_TAGS)
    created_on: AwareDatetime | None = Field(default=None, description="set by the API")
    modified_on: AwareDatetime | None = Field(default=None, description="set by the API")


DEFAULT_SETTINGS = RecordSettings()


class Identity(NamedTuple):
    """The parts of a record that DNS never sees: its id and times in the API, and its content as written."""

    id: str | None = None  # None: derived from the record
    created_on: datetime | None = None
    modified_on: datetime | None = None
    written: str | None = None  # the content as written, or UNQUOTED; None: the presentation form of the data


UNWRITTEN = Identity()


class Traits(NamedTuple):
    """Everything in a record but its owner, data and identity; equal for most records of a zone."""

    rtype: int
    ttl: int
    proxied: bool = False
    settings: RecordSettings = DEFAULT_SETTINGS
    comment: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a zone."""

    owner: bytes  # canonical
    rtype: int
    ttl: int  # seconds; 1 means automatic
    rdata: bytes  # wire form, names in it as written
    proxied: bool = False
    settings: RecordSettings = DEFAULT_SETTINGS
    comment: str = ""
    tags: tuple[str, ...] = ()
    identity: Identity = UNWRITTEN

    @property
    def traits(self) -> Traits:
        """Everything but the owner, the data and the identity."""
        return Traits(self.rtype, self.ttl, self.proxied, self.settings, self.comment, self.tags)

    @property
    def content(self) -> str:
        """The data in presentation form."""
        return rdata_text(self.rtype, self.rdata)

    @property
    def written_content(self) -> str:
        """The content as its author wrote it, if that still means this data; else the presentation form."""
        written = self.identity.written
        if written == UNQUOTED:
            return unquoted_text(self.rdata) or self.content
        return written if written and means(written, self.rtype, self.rdata) else self.content

    @property
    def duplicate_key(self) -> tuple[bytes, int, bytes]:
        """Owner, type and canonical data: equal for two records that are duplicates (RFC 2181 §5)."""
        return self.owner, self.rtype, canonical_rdata(self.rtype, self.rdata)

    @property
    def ttl_s(self) -> int:
        """The TTL in answers if the record is answered as stored."""
        return answered_ttl_s(self.ttl)

    @property
    def target(self) -> bytes:
        """The canonical target name of a CNAME, NS, DNAME or PTR record."""
        return self.rdata.lower()


def answered_ttl_s(ttl: int) -> int:
    """The TTL in answers, in seconds, of a record with this TTL that is answered as stored."""
    return PROXIED_TTL_S if ttl == AUTOMATIC_TTL else ttl


class RecordError(ValueError):
    """A record is invalid; `path` is the field at fault."""

    def __init__(self, path: Path, message: str, rule: BrokenRule | None = None) -> None:
        self.path = path
        self.rule = rule
        super().__init__(message)


def build_record(fields: RecordFields, zone_name: bytes) -> Record:
    """Build the record that `fields` describe. Raises RecordError."""
    blamed = "name"
    try:
        owner = parse_owner(fields.name, zone_name)
        blamed = "type"
        rtype = parse_data_type(fields.type)
        blamed = "content"
        rdata = pack_content(rtype, fields.content, fields.priority)
    except ValueError as error:
        raise RecordError((blamed,), str(error)) from None
    _check_proxied(rtype, proxied=fields.proxied)
    if rtype == CNAME and rdata.lower() == owner:
        raise RecordError(("content",), f"the CNAME at {name_text(owner)} points to itself", BrokenRule.CNAME_TO_ITSELF)
    ttl = AUTOMATIC_TTL if fields.proxied else fields.ttl
    written = written_content(rtype, fields.content, rdata)
    identity = Identity(fields.id, fields.created_on, fields.modified_on, written)
    comment = fields.comment or ""
    return Record(owner, rtype, ttl, rdata, fields.proxied, fields.settings, comment, fields.tags, identity)


def record_from_rdata(owner: bytes, rdata: dns.rdata.Rdata, *, ttl: int, proxied: bool = False) -> Record:
    """Build a record from parsed data. Raises RecordError if no such record can exist."""
    rtype = int(rdata.rdtype)
    try:
        wire = pack_rdata(rdata)
    except ValueError as error:
        raise RecordError(("content",), str(error)) from None
    _check_proxied(rtype, proxied=proxied)
    return Record(owner, rtype, build_traits(rtype, ttl=ttl, proxied=proxied).ttl, wire, proxied)


def _check_proxied(rtype: int, *, proxied: bool) -> None:
    if proxied and rtype not in PROXIABLE:
        message = f"{type_text(rtype)} records cannot be proxied; A, AAAA and CNAME can"
        raise RecordError(("proxied",), message, BrokenRule.NOT_PROXIABLE)


def build_traits(
    rtype: int,
    *,
    ttl: int,
    proxied: bool,
    settings: RecordSettings = DEFAULT_SETTINGS,
    comment: str = "",
    tags: tuple[str, ...] = (),
) -> Traits:
    """Build the traits of a record; the TTL of a proxied record is automatic."""
    return Traits(rtype, AUTOMATIC_TTL if proxied else ttl, proxied, settings, comment, tags)


@lru_cache(maxsize=1024)
def parse_data_type(text: str) -> int:
    """Parse the type of a record. Raises ValueError, also for a meta-type such as ANY (RFC 6895 §3.1)."""
    rtype = parse_type_text(text)
    if rtype in META_TYPES:
        raise ValueError(f"{text} cannot be the type of a record")
    return rtype


def parse_owner(text: str, zone_name: bytes) -> bytes:
    """Parse an owner name to canonical form: `@`, relative to the zone, or full with or without the final dot.

    Raises ValueError for a name outside the zone.
    """
    if text in ("@", ""):
        return zone_name
    name = parse_name_text(text).lower()
    if text.endswith(".") or name == zone_name or is_below(name, zone_name):
        if name != zone_name and not is_below(name, zone_name):
            raise ValueError(f"{text} lies outside the zone {name_text(zone_name)}")
        return name
    return parse_name_text(text, zone_name).lower()


@lru_cache(maxsize=1024)  # records that are made together have the same times
def parse_written_time(text: str) -> datetime | None:
    """Parse a time as in a file; None if it is not a time with a time zone."""
    try:
        return TIME.validate_python(text)
    except ValidationError:
        return None
