"""Records: their written form, their resolved form, and the rules on a single record."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, NamedTuple

import dns.exception
import dns.rdata
import dns.tokenizer
from pydantic import AfterValidator, AwareDatetime, Field, TypeAdapter, ValidationError

from dnsd.errors import BrokenRule, Path
from dnsd.model.fields import Fields, Id, parse_ip
from dnsd.wire.names import is_below, name_text, parse_name_text
from dnsd.wire.rdata import (
    AAAA,
    CNAME,
    MX,
    SRV,
    TXT,
    URI,
    A,
    canonical_rdata,
    pack_rdata,
    parse_rdata_text,
    parse_type_text,
    rdata_text,
    reason,
    type_text,
)

TIME: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)
GENERIC = "\\#"  # begins the generic form of data, RFC 3597 §5
AUTOMATIC_TTL = 1  # as Cloudflare writes it
PROXIED_TTL_S = 300
MAX_TTL_S = 2**31 - 1  # RFC 2181 §8
PROXIABLE = frozenset({A, AAAA, CNAME})
WITH_PRIORITY = frozenset({MX, SRV, URI})  # types whose first field may be given as `priority`
MAX_COMMENT = 500  # characters
MAX_TAGS = 20  # of one record
MAX_TAG = 500  # characters of one tag, its name and its value together
TEXT_TYPES = frozenset({TXT, parse_type_text("SPF")})  # their content may be text without quotes
# Types of character-strings or hexadecimal digits: clients compare their content with the content that they sent.
AS_WRITTEN = TEXT_TYPES.union(
    map(parse_type_text, ("AVC", "NINFO", "RESINFO", "WALLET", "DS", "SSHFP", "TLSA", "SMIMEA", "CDS", "DLV"))
)
UNQUOTED = ""  # stands for content that is the text itself, without quotes
MAX_STRING = 255  # octets of a character-string, RFC 1035 §3.3
# Character-strings already in presentation form, as most are: no escapes, at most 255 octets each.
PLAIN_STRINGS = re.compile(r'"[ !#-\[\]-~]{0,255}+"(?: "[ !#-\[\]-~]{0,255}+")*+')
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
        return written if written and _means(written, self.rtype, self.rdata) else self.content

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


@lru_cache(maxsize=2_048)  # records of one zone often have the same data
def pack_content(rtype: int, content: str, priority: int | None) -> bytes:
    """Pack a record's data to wire form. Raises ValueError."""
    if not content.strip():
        raise ValueError("is empty")
    if "\n" in content.strip():
        raise ValueError("has more than one line; record data must be a single line")
    if rtype in (A, AAAA) and not content.startswith(GENERIC):
        ip = parse_ip(content)
        if ip.version != (4 if rtype == A else 6):
            raise ValueError(
                f"{content!r} is not an IPv{4 if rtype == A else 6} address, which {type_text(rtype)} requires"
            )
        return ip.packed
    rdata = parse_rdata_text(rtype, _presentation(rtype, content, priority))
    if rdata.rdcomment is not None:
        raise ValueError("a semicolon begins a comment in record data; put the text in double quotes")
    return pack_rdata(rdata)


@lru_cache(maxsize=1024)  # records that are made together have the same times
def parse_written_time(text: str) -> datetime | None:
    """Parse a time as in a file; None if it is not a time with a time zone."""
    try:
        return TIME.validate_python(text)
    except ValidationError:
        return None


def forget_contents() -> None:
    """Empty the cache of packed contents: edits bring new contents, which rarely recur."""
    pack_content.cache_clear()


def _presentation(rtype: int, content: str, priority: int | None) -> str:
    """The content in the form of master files. Raises ValueError."""
    if rtype in TEXT_TYPES:
        if PLAIN_STRINGS.fullmatch(content):
            return content
        return " ".join(map(_quoted_strings, character_strings(content, rtype)))
    if rtype in WITH_PRIORITY and priority is not None:
        return f"{priority} {content}"
    if rtype in WITH_PRIORITY and not content.lstrip()[0].isdigit() and not content.startswith(GENERIC):
        raise ValueError(f"{type_text(rtype)} needs a priority: give `priority`, or begin the content with it")
    return content


def written_content(rtype: int, content: str, rdata: bytes) -> str | None:
    """The content for an identity if it carries more than its data (quotes, escapes, case of digits), or UNQUOTED."""
    if rtype not in AS_WRITTEN or (content.startswith(GENERIC) and rtype not in TEXT_TYPES):
        return None
    if rtype in TEXT_TYPES and not _is_quoted(content):
        return UNQUOTED if unquoted_text(rdata) == content else content
    if PLAIN_STRINGS.fullmatch(content) or content == rdata_text(rtype, rdata):
        return None
    return content


def _means(content: str, rtype: int, rdata: bytes) -> bool:
    try:
        return pack_content(rtype, content, None) == rdata
    except ValueError:
        return False


def character_strings(content: str, rtype: int = TXT) -> list[bytes]:
    """The strings of text data, of any length; content without quotes is one string. Raises ValueError."""
    if not _is_quoted(content):
        return [content.encode()]
    tokenizer, strings = dns.tokenizer.Tokenizer(content), []
    try:
        while not (token := tokenizer.get(want_comment=True)).is_eol_or_eof():
            if token.is_comment():
                raise ValueError("a semicolon begins a comment in record data; put the text in double quotes")
            strings.append(token.unescape_to_bytes().value)
    except dns.exception.DNSException as error:
        raise ValueError(f"not valid {type_text(rtype)} data: {reason(error)}") from None
    return strings


def unquoted_text(rdata: bytes) -> str | None:
    """The text of a TXT record if it can be written without quotes; else None."""
    octets = b""
    start = 0
    while start < len(rdata):
        octets += rdata[start + 1 : start + 1 + rdata[start]]
        start += 1 + rdata[start]
    try:
        text = octets.decode()
        return text if not _is_quoted(text) and pack_content(TXT, text, None) == rdata else None
    except ValueError:
        return None


def _is_quoted(content: str) -> bool:
    return content.lstrip().startswith('"')


def _quoted_strings(octets: bytes) -> str:
    """The octets as quoted character-strings of at most 255 octets each."""
    starts = range(0, len(octets), MAX_STRING) or (0,)
    return " ".join(_quoted(octets[start : start + MAX_STRING]) for start in starts)


def _quoted(octets: bytes) -> str:
    """A quoted character-string, with quotes, backslashes and unprintable octets as \\DDD (RFC 1035 §5.1)."""
    text = (chr(o) if 32 <= o < 127 and o not in b'"\\' else f"\\{o:03}" for o in octets)
    return f'"{"".join(text)}"'
