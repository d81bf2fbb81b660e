"""Request bodies of records, for the documentation. The reader, record_body.py, is more tolerant."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, StrictBool

from dnsd.model.fields import Fields, Id
from dnsd.model.records import MAX_COMMENT, MAX_TAGS, TagText

TEXT_OF_NAME = "relative to the zone, fully qualified, or @ for the zone apex"
TEXT_OF_DATA = (
    "the content in parts, instead of content: CAA, CERT, DNSKEY, DS, HTTPS, LOC, NAPTR, SRV, TLSA, URI …; "
    "ignored without a part of the record's type"
)


class RecordSettingsBody(Fields):
    """The settings of a record."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    ipv4_only: StrictBool | None = None
    ipv6_only: StrictBool | None = None
    flatten_cname: StrictBool | None = None


class RecordEditBody(Fields):
    """The fields of a record to change."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str | None = Field(default=None, description=TEXT_OF_NAME)
    type: str | None = Field(default=None, description="such as A or TXT")
    content: str | None = Field(default=None, description="as in a master file; MX, SRV and URI without the priority")
    data: dict[str, Any] | None = Field(default=None, description=TEXT_OF_DATA)
    priority: int | None = Field(default=None, ge=0, le=65_535, description="of MX, SRV and URI")
    ttl: int | None = Field(default=None, ge=1, le=86_400, description="60 to 86,400 seconds, or 1 for automatic")
    proxied: StrictBool | None = Field(default=None, description="answered from address maps: A, AAAA and CNAME")
    comment: str | None = Field(default=None, max_length=MAX_COMMENT)
    tags: tuple[TagText, ...] | None = Field(default=None, max_length=MAX_TAGS, description="such as team:shop")
    settings: RecordSettingsBody | None = None


class RecordBody(RecordEditBody):
    """A complete record."""

    name: str = Field(description=TEXT_OF_NAME)
    type: str = Field(description="such as A or TXT")


class RecordReference(Fields):
    """A record to delete."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Id


class RecordEditAt(RecordEditBody):
    """The id of a record and its fields to change."""

    id: Id


class RecordBodyAt(RecordBody):
    """The id of a record and its complete replacement."""

    id: Id


class BatchBody(Fields):
    """Changes to records, made in this order, all or nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    deletes: tuple[RecordReference, ...] | None = None
    patches: tuple[RecordEditAt, ...] | None = None
    puts: tuple[RecordBodyAt, ...] | None = None
    posts: tuple[RecordBody, ...] | None = None


class ImportBody(Fields):
    """A master file."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    file: str = Field(description="RFC 1035 §5; its SOA and apex NS records are skipped")
    proxied: bool = Field(default=False, description="whether to proxy its A, AAAA and CNAME records")
