"""Address maps and their precedence for a zone, which is defined only here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field

from dnsd.model.fields import Fields, Id, Ip, IPAddress

LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
SNI = re.compile(rf"(?:\*\.)?{LABEL}(?:\.{LABEL})*\.?")


def _sni(value: Any) -> Any:
    """Check a host name, which may begin with a wildcard. Raises ValueError."""
    if isinstance(value, str) and value and not SNI.fullmatch(value):
        raise ValueError(f"{value!r} is not a host name")
    return value


class MemberKind(StrEnum):
    """The kinds of members of an address map."""

    ZONE = "zone"
    ACCOUNT = "account"


MAX_ADDRESSES = 100  # per address family: an answer contains all of them


class MissingFamily(StrEnum):
    """The answer if the chosen map has no address of the requested family."""

    NODATA = "nodata"
    FALLBACK = "fallback"


class Precedence(StrEnum):
    """The steps of the search for a zone's addresses, in order."""

    ZONE = "zone"
    ACCOUNT = "account"
    IMMUTABLE = "immutable"


class MembershipFields(Fields):
    """A member of a map: a zone by name or id, or the account by folder name or id."""

    kind: MemberKind
    identifier: str
    created_at: AwareDatetime | None = Field(
        default=None, description="the newest membership takes precedence; absent counts as oldest"
    )


class MapFields(Fields):
    """`maps/NAME.yaml`: an address map."""

    id: Id | None = Field(default=None, description="derived from the account and the file's name when absent")
    description: str | None = None
    enabled: bool = Field(default=False, description="a disabled map has no effect")
    ips: tuple[Ip, ...] = ()
    memberships: tuple[MembershipFields, ...] = ()
    default_sni: Annotated[str | None, BeforeValidator(_sni)] = Field(default=None, description="no effect on DNS")
    immutable: bool = Field(
        default=False, description="the account-wide map of a customer without access to the default pool"
    )
    created_at: AwareDatetime | None = Field(default=None, description="set by the API")
    modified_at: AwareDatetime | None = Field(default=None, description="set by the API")


@dataclass(frozen=True, slots=True)
class Membership:
    """A member, by id; of several maps with it, the one with the latest `created_at` takes precedence."""

    kind: MemberKind
    identifier: str
    created_at: datetime | None = None


@dataclass(frozen=True)
class AddressMap:
    """Addresses that answer for the proxied records of the map's members; `key` is `account/maps/name`."""

    key: str
    id: str
    account_id: str
    description: str
    enabled: bool
    ips: tuple[IPAddress, ...]
    memberships: tuple[Membership, ...]
    default_sni: str | None
    immutable: bool
    created_at: datetime | None = None  # None: not in the file
    modified_at: datetime | None = None

    @cached_property
    def by_member(self) -> Mapping[tuple[MemberKind, str], Membership]:
        """The memberships by kind and id; the first of duplicates."""
        return {(member.kind, member.identifier): member for member in reversed(self.memberships)}

    @property
    def can_delete(self) -> bool:
        """Immutable maps can never be deleted."""
        return not self.immutable

    @property
    def can_modify_ips(self) -> bool:
        """The addresses of immutable maps never change."""
        return not self.immutable


@dataclass(frozen=True, slots=True)
class Considered:
    """One map in the search for a zone's addresses, and the reason for skipping it; None if it is usable."""

    map: AddressMap
    step: Precedence | None  # None: the map covers neither the zone nor its account
    skipped: str | None


@dataclass(frozen=True, slots=True)
class Effective:
    """The addresses that answer for a zone, in the map's order, and the maps that supply them."""

    v4: tuple[IPAddress, ...]
    v6: tuple[IPAddress, ...]
    maps: tuple[Considered, ...]


def considered(maps: Iterable[AddressMap], account_id: str, zone_id: str | None) -> list[Considered]:
    """The maps in order of precedence for a zone; for zones without maps of their own if `zone_id` is None.

    The zone's maps come first, then the account's, then immutable maps; among equals the newest membership comes
    first, then the greater id. Maps that do not cover the zone come last.
    """
    found = []
    for address_map in maps:
        step, membership = _coverage(address_map, account_id, zone_id)
        rank = (list(Precedence).index(step) if step else len(Precedence), -_time_s(membership), address_map.id)
        found.append((rank, Considered(address_map, step, _reason_to_skip(address_map, step))))
    found.sort(key=lambda pair: pair[0][2], reverse=True)  # the greater id first among equals
    found.sort(key=lambda pair: pair[0][:2])
    return [candidate for _, candidate in found]


def effective(
    candidates: Sequence[Considered], missing_family: MissingFamily, skipped: Set[IPAddress] = frozenset()
) -> Effective | None:
    """The result of the search; None means the default pool.

    The first usable map decides both families; with `fallback`, the first usable map with addresses of the family.
    `skipped` addresses are left out afterwards, unless the map has no others of their family.
    """
    usable = [candidate for candidate in candidates if candidate.skipped is None]
    if not usable:
        return None
    if missing_family is MissingFamily.NODATA:
        usable = usable[:1]
    families: dict[int, tuple[IPAddress, ...]] = {4: (), 6: ()}
    sources: list[Considered] = []
    for version in families:
        for candidate in usable:
            of_map = tuple(ip for ip in candidate.map.ips if ip.version == version)
            families[version] = tuple(ip for ip in of_map if ip not in skipped) or of_map
            if families[version]:
                sources.append(candidate)
                break
    return Effective(families[4], families[6], tuple(dict.fromkeys(sources)))


def _coverage(
    address_map: AddressMap, account_id: str, zone_id: str | None
) -> tuple[Precedence | None, Membership | None]:
    """The step and the member through which a map covers the zone."""
    if zone_id is not None and (member := address_map.by_member.get((MemberKind.ZONE, zone_id))):
        return Precedence.ZONE, member
    if member := address_map.by_member.get((MemberKind.ACCOUNT, account_id)):
        return Precedence.IMMUTABLE if address_map.immutable else Precedence.ACCOUNT, member
    return None, None


def _time_s(membership: Membership | None) -> float:
    """A membership's creation in seconds since 1970; minus infinity without a time, which counts as oldest."""
    if membership is None or membership.created_at is None:
        return float("-inf")
    return membership.created_at.timestamp()


def _reason_to_skip(address_map: AddressMap, step: Precedence | None) -> str | None:
    if not address_map.enabled:
        return "it is disabled"
    if not address_map.memberships:
        return "it has no members"
    if step is None:
        return "no member covers the zone"
    if not address_map.ips:
        return "it has no addresses"
    return None
