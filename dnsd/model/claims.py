"""Claims: zones of several accounts with the same name, or one below another's.

Anybody may make an unverified zone of any name, so its account may be wrong about it. Such a zone is served only if no
other account's served zone has its name, or a name above it: a verified zone comes first, then the zone made first. The
others wait. So a zone is never taken out of service by an unverified zone made later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from dnsd.errors import BrokenRule, Problem
from dnsd.model.fields import derived_id
from dnsd.model.times import EARLIEST, LATEST
from dnsd.model.zones import Zone, closest
from dnsd.wire.names import ROOT, is_below

VERIFICATION_LABEL = "cloudflare-verify"  # before the zone's name, as at Cloudflare


def waiting_zones(zones: Iterable[Zone]) -> frozenset[str]:
    """The ids of the zones that wait."""
    zones = tuple(zones)
    if not (claims := [zone for zone in zones if not zone.verified]):
        return frozenset()
    served = {zone.name: zone for zone in zones if zone.verified and zone.name != ROOT}
    waiting = set()
    for zone in sorted(claims, key=_order):
        above = closest(zone.name, served)
        if above is None or above.account_id == zone.account_id:
            served[zone.name] = zone
        else:
            waiting.add(zone.id)
    return frozenset(waiting)


def _order(zone: Zone) -> tuple[object, ...]:
    """The order of claims: by the time in the file; zones without one were there before those made over the API."""
    return zone.written_times.created or EARLIEST, zone.key


def clashes(zones: Iterable[Zone]) -> Iterator[Problem]:
    """Zones with a name that their account has already, and verified zones with the name of a verified zone."""
    verified: dict[bytes, Zone] = {}
    claims: dict[tuple[str, bytes], Zone] = {}
    zones = tuple(zones)
    for zone in zones:
        if zone.verified and (other := verified.setdefault(zone.name, zone)) is not zone:
            yield _clash(zone, other)
    for zone in zones:
        if not zone.verified:
            own = verified.get(zone.name)
            other = claims.setdefault((zone.account_id, zone.name), zone)
            if own and own.account_id == zone.account_id:
                other = own
            if other is not zone:
                yield _clash(zone, other)


def _clash(zone: Zone, other: Zone) -> Problem:
    message = f"the zone {zone.name_text} is already served from {other.key}"
    return Problem(zone.key, ("name",), message, rule=BrokenRule.ZONE_EXISTS, other=other.key)


class ZoneNames:
    """Zones by name, of several accounts: an account's own zone comes first."""

    def __init__(self, zones: Iterable[Zone]) -> None:
        self._first: dict[bytes, Zone] = {}
        self._others: dict[tuple[str, bytes], Zone] = {}
        for zone in zones:
            if self._first.setdefault(zone.name, zone) is not zone:
                self._others.setdefault((zone.account_id, zone.name), zone)

    def get(self, name: bytes, account_id: str) -> Zone | None:
        """The account's zone with a canonical name, else another account's."""
        first = self._first.get(name)
        if first is None or first.account_id == account_id:
            return first
        return self._others.get((account_id, name), first)


def claim_time(zones: Iterable[Zone], name: bytes, account_id: str, now: datetime) -> datetime:
    """The time of a new claim to `name`: now, but later than all other accounts' claims, also if clocks went back."""
    for zone in zones:
        made = zone.written_times.created
        is_rival = zone.name == name or is_below(zone.name, name) or is_below(name, zone.name)
        if is_rival and zone.account_id != account_id and not zone.verified and made and now <= made < LATEST:
            now = made + timedelta(microseconds=1)
    return now


def verification_key(zone: Zone) -> str:
    """The text with which a TXT record verifies a zone, in Cloudflare's form: `284344499-1084221259`.

    It needs no secrecy: only the holder of the name can publish it, and it names one account.
    """
    digest = derived_id("verification", zone.account_id, zone.name_text)
    return f"{int(digest[:8], 16)}-{int(digest[8:16], 16)}"
