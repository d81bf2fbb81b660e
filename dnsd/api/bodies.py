"""The bodies of requests: their fields and types, for validation and for the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, ValidationInfo, field_validator

from dnsd.api.other_fields import Unavailable
from dnsd.api.records.parts import PARTS
from dnsd.manage.accounts import AccountChange, NewPrefix, PrefixChange
from dnsd.manage.maps import MapChange, Member, NewMap
from dnsd.model.accounts import Approval, PoolUse
from dnsd.model.fields import Cidr, Fields, Id, Ip
from dnsd.model.maps import MemberKind
from dnsd.model.records import MAX_COMMENT, MAX_TAGS, TagText
from dnsd.wire.rdata import type_text

MAX_TEXT = 1000  # characters of a description
MAX_LISTED = 10_000  # addresses, or members, in a request
TEXT_OF_NAME = "relative to the zone, fully qualified, or @ for the zone apex"
TEXT_OF_DATA = (
    f"the parts of the content, instead of content, for {', '.join(map(type_text, PARTS))}; "
    "ignored if it has no part of the record's type"
)


class RequestBody(Fields):
    """The base of all bodies. `api/other_fields.py` judges the keys that a model lacks.

    `unavailable` has Cloudflare's fields that dnsd does not have.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    unavailable: ClassVar[Mapping[str, Unavailable]] = {}
    is_ours: ClassVar[bool] = False  # a body of dnsd alone: unknown keys are refused

    @field_validator("*", mode="before")
    @classmethod
    def _not_boolean(cls, value: Any, info: ValidationInfo) -> Any:
        """The value itself. Raises ValueError for true or false as a number: pydantic takes them as 1 and 0."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in (int, int | None):
            raise ValueError(f"expected a number, found {str(value).lower()}")
        return value


# Address maps


def _bounded(value: Any) -> Any:
    """The value itself. Raises ValueError for too long a list: reporting every item's error would take seconds."""
    if isinstance(value, list) and len(value) > MAX_LISTED:
        raise ValueError(f"{len(value):,} items; the limit is {MAX_LISTED:,}")
    return value


class MemberBody(RequestBody):
    """A member of a new map."""

    kind: MemberKind
    identifier: str = Field(description="id of the zone or account")


def _addresses(value: Any) -> Any:
    """A list of addresses, each as a text or, as maps show it, an object with `ip`."""
    value = _bounded(value)
    if not isinstance(value, list):
        return value
    return [one["ip"] if isinstance(one, Mapping) and "ip" in one else one for one in value]


Ips = Annotated[tuple[Ip, ...], BeforeValidator(_addresses)]
Members = Annotated[tuple[MemberBody, ...], BeforeValidator(_bounded)]


class MapBody(RequestBody):
    """A new map."""

    description: str | None = Field(default=None, max_length=MAX_TEXT)
    enabled: StrictBool = False
    ips: Ips = Field(default=(), max_length=MAX_LISTED)
    memberships: Members = Field(default=(), max_length=MAX_LISTED)
    default_sni: str | None = Field(default=None, max_length=255)
    immutable: StrictBool = Field(
        default=False, description="the account's immutable map; only the operator can create it"
    )


class MapEdit(RequestBody):
    """The fields of a map to change; null or an empty text clears a text, and lists are whole."""

    description: str | None = Field(default=None, max_length=MAX_TEXT)
    enabled: StrictBool | None = None
    ips: Ips = Field(default=(), max_length=MAX_LISTED)
    memberships: Members = Field(default=(), max_length=MAX_LISTED)
    default_sni: str | None = Field(default=None, max_length=255)


class MapPlan(MapBody):
    """A new map or, with an id, the fields of a map to change; with `delete`, a map to delete."""

    is_ours = True

    id: str | None = None
    delete: StrictBool = False


def new_map(body: MapBody) -> NewMap:
    """The new map that a body describes."""
    return NewMap(
        description=body.description or None,
        enabled=body.enabled,
        ips=body.ips,
        memberships=_members(body),
        default_sni=body.default_sni or None,
        immutable=body.immutable,
    )


def map_change(body: MapEdit | MapBody, given: Mapping[str, Any]) -> MapChange:
    """The change to a map that a body describes; `given` is its JSON, which distinguishes null from absent."""
    change = MapChange()
    if "description" in given:
        change["description"] = body.description or None
    if "default_sni" in given:
        change["default_sni"] = body.default_sni or None
    if given.get("enabled") is not None:
        change["enabled"] = bool(body.enabled)
    if given.get("ips") is not None:
        change["ips"] = body.ips
    if given.get("memberships") is not None:
        change["memberships"] = _members(body)
    return change


def _members(body: MapEdit | MapBody) -> tuple[Member, ...]:
    return tuple(Member(one.kind, one.identifier) for one in body.memberships)


# Accounts


class AccountBody(RequestBody):
    """A complete account."""

    unavailable: ClassVar[Mapping[str, Unavailable]] = {
        "id": Unavailable(),
        "type": Unavailable(("standard",)),
        "settings": Unavailable(({"enforce_twofactor": False},)),
        "unit": Unavailable(),
        "managed_by": Unavailable(),
        "standalone": Unavailable((True,)),
    }

    name: str = Field(min_length=1, max_length=100)
    pool: PoolUse | None = Field(
        default=None,
        description="whether names may be answered from the default pool; null removes the key from the file",
    )


def account_change(body: AccountBody, given: Mapping[str, Any]) -> AccountChange:
    """The change to an account that a body describes; `given` is its JSON, which distinguishes null from absent."""
    change = AccountChange(name=body.name)
    if "pool" in given:
        change["pool"] = body.pool
    return change


class PrefixBody(RequestBody):
    """A new prefix."""

    cidr: Cidr
    asn: int | None = Field(default=None, ge=0, le=4_294_967_295)
    description: str | None = Field(default=None, max_length=1000)
    approved: Approval | None = Field(default=None, description="operator only; P, pending, by default")
    delegate_loa_creation: StrictBool = False
    loa_document_id: Id | None = Field(default=None, description="an uploaded letter of agency (LOA)")


class PrefixEdit(RequestBody):
    """The fields of a prefix to change."""

    description: str | None = Field(default=None, max_length=1000)
    approved: Approval | None = Field(default=None, description="operator only")
    advertised: StrictBool | None = Field(default=None, description="the declared state of all its BGP prefixes")
    delegate_loa_creation: StrictBool | None = None
    loa_document_id: Id | None = Field(default=None, description="an uploaded letter of agency (LOA)")


class DelegationBody(RequestBody):
    """A new delegation."""

    cidr: Cidr
    delegated_account_id: str


class LeaseBody(RequestBody):
    """A static IP to lease; operator only."""

    is_ours = True

    ip: Ip
    create_map: StrictBool = Field(
        default=False, description="also make an account-wide map with the address, disabled, if the account has none"
    )


def new_prefix(body: PrefixBody) -> NewPrefix:
    """The new prefix that a body describes."""
    return NewPrefix(
        body.cidr,
        body.asn,
        body.description or None,
        body.approved or Approval.PENDING,
        body.delegate_loa_creation,
        body.loa_document_id,
    )


def prefix_change(body: PrefixEdit, given: Mapping[str, Any]) -> PrefixChange:
    """The change to a prefix that a body describes; `given` is its JSON, which distinguishes null from absent."""
    change = PrefixChange()
    if "description" in given:
        change["description"] = body.description or None
    if body.approved:
        change["approved"] = body.approved
    if body.delegate_loa_creation is not None:
        change["delegate_loa_creation"] = body.delegate_loa_creation
    if "loa_document_id" in given:
        change["loa_document_id"] = body.loa_document_id
    return change


# Records: these models only document the bodies; the reader, records/read.py, is more tolerant.


class RecordSettingsBody(RequestBody):
    """The settings of a record."""

    ipv4_only: StrictBool | None = None
    ipv6_only: StrictBool | None = None
    flatten_cname: StrictBool | None = None


class RecordEditBody(RequestBody):
    """The fields of a record to change."""

    unavailable: ClassVar[Mapping[str, Unavailable]] = {"private_routing": Unavailable((False,))}

    name: str | None = Field(default=None, description=TEXT_OF_NAME)
    type: str | None = Field(default=None, description="such as A or TXT")
    content: str | None = Field(default=None, description="as in a master file; MX, SRV and URI without the priority")
    data: dict[str, Any] | None = Field(default=None, description=TEXT_OF_DATA)
    priority: int | None = Field(default=None, ge=0, le=65_535, description="of MX, SRV and URI")
    ttl: int | None = Field(default=None, ge=1, le=86_400, description="from 60 to 86,400 seconds, or 1 for automatic")
    proxied: StrictBool | None = Field(default=None, description="answered with edge addresses; A, AAAA and CNAME only")
    comment: str | None = Field(default=None, max_length=MAX_COMMENT)
    tags: tuple[TagText, ...] | None = Field(default=None, max_length=MAX_TAGS, description="such as team:shop")
    settings: RecordSettingsBody | None = None


class RecordBody(RecordEditBody):
    """A complete record."""

    name: str = Field(description=TEXT_OF_NAME)
    type: str = Field(description="such as A or TXT")


class RecordReference(RequestBody):
    """A record to delete."""

    id: Id


class RecordEditAt(RecordEditBody):
    """The id of a record, and the fields to change."""

    id: Id


class RecordBodyAt(RecordBody):
    """The id of a record, and its complete replacement."""

    id: Id


class BatchBody(RequestBody):
    """Changes to records, made in this order, all or nothing."""

    deletes: tuple[RecordReference, ...] | None = None
    patches: tuple[RecordEditAt, ...] | None = None
    puts: tuple[RecordBodyAt, ...] | None = None
    posts: tuple[RecordBody, ...] | None = None


class ImportBody(RequestBody):
    """A master file."""

    file: str = Field(description="RFC 1035 §5; its SOA and apex NS records are skipped")
    proxied: bool = Field(default=False, description="whether to proxy its A, AAAA and CNAME records")
