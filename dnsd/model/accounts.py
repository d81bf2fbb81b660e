"""Accounts and their address space: BYOIP prefixes, delegated parts of prefixes, and static IPs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import Field

from dnsd.model.fields import Cidr, Fields, Id, Ip, IPAddress, IPNetwork
from dnsd.model.quotas import DEFAULT_QUOTAS, OwnQuotas, Quotas

MAX_ROUTES = 256  # BGP prefixes of one prefix, and bindings
MAX_PREPENDS = 10


class Approval(StrEnum):
    """Whether the operator has verified that a prefix belongs to its account."""

    PENDING = "P"
    ACTIVE = "V"


class PoolUse(StrEnum):
    """Whether names of an account may be answered from the default pool."""

    ALLOWED = "allowed"
    NEVER = "never"


class WithdrawnAction(StrEnum):
    """The answer with addresses observed withdrawn; the last one of a family is always answered."""

    ANSWER = "answer"
    SKIP = "skip"


class EdgeService(StrEnum):
    """The services to which traffic can be bound."""

    CDN = "CDN"
    SPECTRUM = "Spectrum"
    MAGIC_TRANSIT = "Magic Transit"


class DelegationFields(Fields):
    """A part of a prefix that another account may use in its maps."""

    cidr: Cidr
    account: str = Field(description="id or folder name of the account that may use it")


class BgpPrefixFields(Fields):
    """A route for a prefix, or for a part of it, and whether it should be advertised."""

    id: Id | None = None
    cidr: Cidr
    advertised: bool = Field(description="the declared state; answers do not depend on it, but warnings do")
    locked: bool = Field(default=False, description="only the operator may advertise or withdraw it")
    asn_prepend_count: int = Field(default=0, ge=0, le=MAX_PREPENDS, description="for your routers; no effect here")
    auto_advertise_withdraw: bool = Field(default=False, description="for your routers; no effect here")


class BindingFields(Fields):
    """The service that receives the traffic to a prefix, or to a part of it; no effect on DNS."""

    id: Id | None = None
    cidr: Cidr
    service: EdgeService


class PrefixFields(Fields):
    """A prefix that the account brings with it (BYOIP)."""

    id: Id | None = None
    cidr: Cidr
    asn: int | None = Field(default=None, ge=0, le=4_294_967_295)
    approved: Approval = Approval.PENDING
    description: str | None = None
    delegations: tuple[DelegationFields, ...] = ()
    bgp_prefixes: tuple[BgpPrefixFields, ...] = Field(default=(), max_length=MAX_ROUTES)
    bindings: tuple[BindingFields, ...] = Field(default=(), max_length=MAX_ROUTES)
    delegate_loa_creation: bool = Field(
        default=False, description="whether the operator may write the letter of agency (LOA)"
    )
    loa_document_id: Id | None = Field(default=None, description="an uploaded letter of agency (LOA)")


class AccountSettings(Fields):
    """The settings of an account."""

    enforce_dns_only: bool = Field(default=False, description="answer every proxied record as stored")


class AccountFields(Fields):
    """`account.yaml`."""

    id: Id | None = Field(default=None, description="derived from the folder's name when absent")
    name: str | None = None
    prefixes: tuple[PrefixFields, ...] = ()
    static_ips: tuple[Ip, ...] = Field(default=(), description="addresses leased to the account")
    pool: PoolUse | None = Field(
        default=None,
        description="whether names may be answered from the default pool; `never` needs an enabled account-wide map "
        "with addresses; when absent, `never` while an immutable map is in effect, else `allowed`",
    )
    settings: AccountSettings = AccountSettings()
    withdrawn: WithdrawnAction = Field(
        default=WithdrawnAction.ANSWER,
        description="addresses observed withdrawn: answer them; or skip them while others of their family are left",
    )
    quotas: Quotas = Field(
        default=DEFAULT_QUOTAS, description="the account's own limits; the others are those of the settings' `quotas`"
    )


@dataclass(frozen=True, slots=True)
class Delegation:
    """A part of a prefix and the account that may use it."""

    cidr: IPNetwork
    account_id: str


@dataclass(frozen=True, slots=True)
class BgpPrefix:
    """A route for a prefix or a part of it, and its declared state."""

    id: str
    cidr: IPNetwork
    advertised: bool
    locked: bool = False
    asn_prepend_count: int = 0
    auto_advertise_withdraw: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """The service that receives the traffic to a prefix or a part of it."""

    id: str
    cidr: IPNetwork
    service: EdgeService


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix with its delegations, routes and bindings."""

    id: str
    cidr: IPNetwork
    asn: int | None
    approved: Approval
    description: str
    delegations: tuple[Delegation, ...]
    bgp_prefixes: tuple[BgpPrefix, ...] = ()
    bindings: tuple[Binding, ...] = ()
    delegate_loa_creation: bool = False
    loa_document_id: str | None = None

    @property
    def is_active(self) -> bool:
        """Whether the operator has approved the prefix."""
        return self.approved is Approval.ACTIVE

    @property
    def advertised(self) -> bool | None:
        """Whether all of its routes are declared advertised; None without a route."""
        return all(one.advertised for one in self.bgp_prefixes) if self.bgp_prefixes else None


@dataclass(frozen=True, slots=True)
class Account:
    """A customer; `key` is the name of its folder."""

    key: str
    id: str
    name: str
    prefixes: tuple[Prefix, ...]
    static_ips: tuple[IPAddress, ...]
    settings: AccountSettings
    pool: PoolUse | None = None  # as written; `Dataset.is_barred` has its meaning
    withdrawn: WithdrawnAction = WithdrawnAction.ANSWER
    quotas: OwnQuotas = ()


def without(account: Account, prefix: Prefix, delegation: Delegation | None = None) -> Account:
    """The account without one of its prefixes, or without one delegation of it."""
    left = tuple(one for one in prefix.delegations if one != delegation)
    return with_prefix(account, prefix, replace(prefix, delegations=left) if delegation else None)


def with_prefix(account: Account, prefix: Prefix, after: Prefix | None) -> Account:
    """The account with another prefix, or none, in place of one of its own."""
    kept = [after] if after else []
    return replace(
        account, prefixes=tuple(one for each in account.prefixes for one in (kept if each is prefix else [each]))
    )


def contains(network: IPNetwork, part: IPNetwork | IPAddress) -> bool:
    """Whether all of `part`, an address or a prefix, lies in `network`."""
    if network.version != part.version:
        return False
    if isinstance(part, IPAddress):
        return part in network
    return part.subnet_of(network)  # type: ignore[arg-type]  # the versions are equal
