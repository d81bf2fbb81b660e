"""The bodies of requests about zones, and about the DNS settings of zones and accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, StrictBool

from dnsd.api.bodies import RequestBody
from dnsd.api.other_fields import Unavailable
from dnsd.api.records.parts import whole_number
from dnsd.model.fields import Host
from dnsd.model.records import MAX_TTL_S
from dnsd.model.zones import Mailbox

# Cloudflare's DNS settings that dnsd does not have, of zones and as the defaults of new zones
DNS_SETTINGS = {
    "foundation_dns": Unavailable((False,)),
    "internal_dns": Unavailable(),
    "multi_provider": Unavailable((False,)),
    "nameservers": Unavailable(({"type": "cloudflare.standard"},), "`nameservers` in dnsd.yaml or the zone's file"),
    "secondary_overrides": Unavailable((False,)),
    "zone_mode": Unavailable(("standard",), "pause the zone, and its proxied names are answered as stored"),
}


def _whole(value: Any) -> Any:
    """A number of seconds, in the forms that clients send. Raises ValueError."""
    return whole_number(value, MAX_TTL_S)


Seconds = Annotated[int, BeforeValidator(_whole)]


class AccountReference(RequestBody):
    """The account of a new zone."""

    id: str | None = None
    name: str | None = Field(default=None, description="ignored; the id counts")


class ZoneBody(RequestBody):
    """A new zone."""

    unavailable: ClassVar[Mapping[str, Unavailable]] = {"jump_start": Unavailable((False,))}

    name: str = Field(min_length=1, max_length=1000)
    account: AccountReference = AccountReference()
    type: Literal["full"] | None = None


class ZoneEdit(RequestBody):
    """The fields of a zone to change."""

    unavailable: ClassVar[Mapping[str, Unavailable]] = {"plan": Unavailable(), "vanity_name_servers": Unavailable()}

    paused: StrictBool | None = None
    verified: StrictBool | None = Field(
        default=None,
        description="operator only: the zone belongs to its account, and other accounts' CNAMEs into it are followed",
    )
    type: Literal["full"] | None = None


class SwitchBody(RequestBody):
    """An on/off setting of a zone."""

    unavailable: ClassVar[Mapping[str, Unavailable]] = {"enabled": Unavailable()}

    value: Literal["on", "off"]


class SettingBody(SwitchBody):
    """One of several settings of a zone."""

    id: str


class SettingsBody(RequestBody):
    """Settings of a zone to change, all or nothing."""

    items: tuple[SettingBody, ...] = Field(max_length=100)


class SoaBody(RequestBody):
    """Parts of a zone's SOA record; null keeps a part, except for `mname`."""

    mname: Host | None = Field(default=None, description="null: the first nameserver")
    rname: Mailbox | None = Field(default=None, description="the mail address of the zone's administrator, as a name")
    refresh: Seconds | None = Field(default=None, ge=600, le=86_400)
    retry: Seconds | None = Field(default=None, ge=600, le=86_400)
    expire: Seconds | None = Field(default=None, ge=86_400, le=2_419_200)
    min_ttl: Seconds | None = Field(default=None, ge=60, le=86_400, description="of negative answers")
    ttl: Seconds | None = Field(default=None, ge=300, le=86_400, description="of the SOA record itself")


class ZoneDnsSettingsEdit(RequestBody):
    """The DNS settings of a zone to change."""

    unavailable: ClassVar[Mapping[str, Unavailable]] = DNS_SETTINGS

    flatten_all_cnames: StrictBool | None = None
    ns_ttl: Seconds | None = Field(default=None, ge=30, le=86_400, description="of the apex NS records")
    soa: SoaBody | None = None


class DnsSettingsEdit(RequestBody):
    """The DNS settings of an account to change."""

    unavailable: ClassVar[Mapping[str, Unavailable]] = {"zone_defaults": Unavailable()}

    enforce_dns_only: StrictBool | None = None
