"""The rules on values in requests. Files are the operator's and may contain other values."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address, ip_network

from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress
from dnsd.model.records import AUTOMATIC_TTL, Record
from dnsd.wire.names import ROOT, name_text, parse_name_text
from dnsd.wire.rdata import AAAA, NS, SOA, A

TTL_S = range(60, 86_401)  # in addition to 1, automatic
HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_./-]*[a-z0-9_])?")  # slashes: RFC 2317
# Networks where no proxy can reach an origin. Not `is_private`, which includes the documentation prefixes.
UNREACHABLE = [
    ip_network(prefix)
    for prefix in (
        *("0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
        *("224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
]


def is_ttl(ttl: int) -> bool:
    """Whether a requested record may have this TTL."""
    return ttl in TTL_S or ttl == AUTOMATIC_TTL


def nearest_ttl(ttl: int) -> int:
    """The allowed TTL nearest to a given one."""
    return ttl if is_ttl(ttl) else min(max(ttl, TTL_S.start), TTL_S.stop - 1)


def is_reachable(ip: IPAddress) -> bool:
    """Whether a proxy can reach an origin at an address."""
    ip = (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip
    return not any(ip in network for network in UNREACHABLE)


def unreachable_target(record: Record) -> str | None:
    """The address of an A or AAAA record that no proxy can reach; else None."""
    if record.rtype in (A, AAAA) and not is_reachable(ip := ip_address(record.rdata)):
        return str(ip)
    return None


def unreachable_message(target: str) -> str:
    """The message for a proxied record with an unreachable target, in Cloudflare's words."""
    return f"Target {target} is not allowed for a proxied record."


def is_servers_own(zone_name: bytes, owner: bytes, rtype: int) -> bool:
    """Whether a record belongs to the server: the SOA and the apex NS records, which clients neither see nor change."""
    return rtype == SOA or (rtype == NS and owner == zone_name)


def parse_zone_name(text: str) -> bytes:
    """Parse the name of a new zone. Raises ValueError."""
    try:
        name = parse_name_text(text.rstrip(".") or ".").lower()
    except ValueError as error:
        raise ValueError(f"the zone's name: {error}") from None
    if name == ROOT:
        raise ValueError("the root zone cannot be created")
    return name


def check_host_name(name: bytes) -> None:
    """Raise ValueError unless a new zone may have this name."""
    if not HOST_NAME.fullmatch(text := name_text(name)):
        raise ValueError(f"{text!r} is not a valid zone name: use letters, digits, hyphens and dots")


def account_in_use(dataset: Dataset, account_id: str) -> str:
    """The reason why an account cannot be deleted; empty if it can. Immutable maps go with their account."""
    zones = sum(zone.account_id == account_id for zone in dataset.zones.values())
    maps = sum(one.account_id == account_id and one.can_delete for one in dataset.maps.values())
    return f"the account has {zones} zones and {maps} address maps: delete them first" if zones or maps else ""
