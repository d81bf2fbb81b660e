"""Accounts and their address space: BYOIP prefixes, delegated parts of prefixes, and static IPs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from dnsd.model.fields import Cidr, Fields, Id, Ip, IPAddress, IPNetwork


class Approval(StrEnum):
    """Whether the operator has verified that a prefix belongs to its account."""

    PENDING = "P"
    ACTIVE = "V"


class PoolUse(StrEnum):
    """Whether names of an account may be answered from the default pool."""

    ALLOWED = "allowed"
    NEVER = "never"


class DelegationFields(Fields):
    """A part of a prefix that another account may use in its maps."""

    cidr: Cidr
    account: str = Field(description="id or folder name of the account that may use it")


class PrefixFields(Fields):
    """A prefix that the account brings with it (BYOIP)."""

    id: Id | None = None
    cidr: Cidr
    asn: int | None = Field(default=None, ge=0, le=4_294_967_295)
    approved: Approval = Approval.PENDING
    description: str | None = None
    delegations: tuple[DelegationFields, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Delegation:
    """A part of a prefix and the account that may use it."""

    cidr: IPNetwork
    account_id: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix and its delegations."""

    id: str
    cidr: IPNetwork
    asn: int | None
    approved: Approval
    description: str
    delegations: tuple[Delegation, ...]


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


def contains(network: IPNetwork, part: IPNetwork | IPAddress) -> bool:
    """Whether all of `part`, an address or a prefix, lies in `network`."""
    if network.version != part.version:
        return False
    if isinstance(part, IPAddress):
        return part in network
    return part.subnet_of(network)  # type: ignore[arg-type]  # the versions are equal
