"""The exclusive holdings of accounts: zones, prefixes and static IPs, each of which one account alone can have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from dnsd.model.accounts import AccountFields
from dnsd.model.fields import IPAddress, IPNetwork
from dnsd.model.zones import Zone
from dnsd.store.directory import account_of
from dnsd.store.load import Judged
from dnsd.wire.names import name_text


@dataclass(frozen=True, slots=True)
class Holdings:
    """The exclusive holdings of an account, zones by name."""

    zones: frozenset[bytes] = frozenset()
    prefixes: frozenset[IPNetwork] = frozenset()
    static_ips: frozenset[IPAddress] = frozenset()

    def missing_in(self, now: Holdings) -> Holdings:
        """The holdings that are no longer in `now`."""
        return Holdings(self.zones - now.zones, self.prefixes - now.prefixes, self.static_ips - now.static_ips)

    def now_in(self, other: Holdings) -> Iterator[str]:
        """The holdings that `other` has too, in words."""
        yield from (f"the zone {name_text(name)}" for name in sorted(self.zones & other.zones))
        yield from (
            f"the prefix {prefix}"
            for prefix in sorted(self.prefixes, key=str)
            if any(prefix.version == one.version and prefix.overlaps(one) for one in other.prefixes)
        )
        yield from (f"the static IP {ip}" for ip in sorted(self.static_ips & other.static_ips, key=str))


def holdings(judged: Judged, accounts: Collection[str]) -> Mapping[str, Holdings]:
    """The holdings of accounts, as far as their files can be read."""
    return {account: _holdings_of(judged, account) for account in accounts}


def _holdings_of(judged: Judged, account: str) -> Holdings:
    read = judged.stored.objects.accounts.get(account)
    fields = (read.salvaged if read else None) or AccountFields()
    zones = frozenset(zone.name for zone in zones_of(judged, account))
    return Holdings(zones, frozenset(one.cidr for one in fields.prefixes), frozenset(fields.static_ips))


def zones_of(judged: Judged, account: str) -> list[Zone]:
    """The readable zones of an account."""
    reads = judged.stored.objects.zones.items()
    return [read.zone for key, read in reads if read.zone and account_of(key) == account]
