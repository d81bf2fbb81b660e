"""Quotas: the limits on one account, in the settings for all accounts, and in an account's file for that account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from dnsd.model.fields import Fields

MOST = 1_000_000_000
MOST_OCTETS = 1024**5
LEAST_OCTETS = 1000

OwnQuotas = tuple[tuple[str, int], ...]  # the quotas that an account's file sets, with their names


class Quotas(Fields):
    """Limits on one account: requests may not go beyond them, files may."""

    zones: int = Field(default=10_000, ge=0, le=MOST, description="zones of an account")
    records_per_zone: int = Field(default=100_000, ge=0, le=MOST, description="records of one zone, without SOA and NS")
    records: int = Field(default=1_000_000, ge=0, le=MOST, description="records of all zones of an account")
    maps: int = Field(default=1_000, ge=0, le=MOST, description="address maps of an account")
    addresses_per_map: int = Field(default=200, ge=0, le=MOST, description="addresses of one address map")
    members_per_map: int = Field(default=10_000, ge=0, le=MOST, description="members of one address map")
    prefixes: int = Field(default=100, ge=0, le=MOST, description="prefixes of an account")
    delegations: int = Field(default=1_000, ge=0, le=MOST, description="delegations of all prefixes of an account")
    tokens: int = Field(default=100, ge=0, le=MOST, description="tokens for an account, or for zones of it")
    history_octets: int = Field(
        default=1024**3,
        ge=LEAST_OCTETS,
        le=MOST_OCTETS,
        description="octets of an account's history; beyond it, versions of the least recently changed objects go",
    )
    audit_octets: int = Field(
        default=64 * 1024**2,
        ge=LEAST_OCTETS,
        le=MOST_OCTETS,
        description="octets of an account's audit log; beyond it, the oldest entries go, with a warning",
    )
    writes_per_minute: int = Field(
        default=12_000,
        ge=1,
        le=MOST,
        description="changes a minute with one token, and the tokens and sessions made from it",
    )

    def given(self) -> OwnQuotas:
        """The quotas that were written, without the defaults."""
        return tuple((name, getattr(self, name)) for name in type(self).model_fields if name in self.model_fields_set)

    def with_own(self, own: OwnQuotas) -> Quotas:
        """These quotas, with those that an account's file sets."""
        return self.model_copy(update=dict(own)) if own else self


DEFAULT_QUOTAS = Quotas()


def written_quotas(written: Mapping[str, Any], given: OwnQuotas, cleared: Iterable[str]) -> dict[str, int]:
    """The `quotas` of an account's file with `given` ones set and `cleared` ones left to the settings."""
    return {name: value for name, value in {**written, **dict(given)}.items() if name not in {*cleared}}
