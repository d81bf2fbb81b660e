"""Objects as the API shows them: Cloudflare's field names, ids, and times in RFC 3339."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from ipaddress import ip_network
from typing import Any

from dnsd.app import Loaded
from dnsd.manage.accounts import delegation_id, lease_id
from dnsd.manage.prefixes import ownership_token
from dnsd.manage.records import soa_document
from dnsd.manage.tokens import Token
from dnsd.manage.validation import NOT_VALIDATED, Validation
from dnsd.manage.versions import Version
from dnsd.manage.zones import shown_ns_ttl
from dnsd.model.accounts import Account, Delegation, PoolUse, Prefix
from dnsd.model.claims import verification_key
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap, Membership
from dnsd.model.times import time_text
from dnsd.model.zones import NS_TTL_S, SoaFields, Zone
from dnsd.store.directory import account_of
from dnsd.wire.names import name_text
from dnsd.wire.rdata import NS

JsonObject = dict[str, Any]  # an object as the API shows it

PLAN = {
    "id": "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
    "name": "Free Website",
    "price": 0,
    "currency": "USD",
    "frequency": "",
    "is_subscribed": False,
    "can_subscribe": False,
    "legacy_id": "free",
    "legacy_discount": False,
    "externally_managed": False,
}
FIXED: JsonObject = {  # DNS settings that cannot be changed, the same for every zone
    "foundation_dns": False,
    "internal_dns": {},
    "multi_provider": False,
    "nameservers": {"type": "cloudflare.standard"},
    "secondary_overrides": False,
    "zone_mode": "standard",
}
DEFAULT_SOA = SoaFields()
ZONE_DEFAULTS: JsonObject = {  # of new zones
    "flatten_all_cnames": False,
    "ns_ttl": NS_TTL_S,
    "soa": {
        "expire": DEFAULT_SOA.expire,
        "min_ttl": DEFAULT_SOA.minimum,
        "mname": None,
        "refresh": DEFAULT_SOA.refresh,
        "retry": DEFAULT_SOA.retry,
        "ttl": DEFAULT_SOA.ttl,
    },
    **FIXED,
}


def held_meta(loaded: Loaded, key: str) -> JsonObject:
    """The `meta` of an object: marks it as held if its account is; its last good version is then shown."""
    return {"held": True} if account_of(key) in loaded.held else {}


def _with_meta(loaded: Loaded, key: str, shape: JsonObject) -> JsonObject:
    """The shape of an object, with `meta` only if it is not empty."""
    meta = held_meta(loaded, key)
    return {**shape, "meta": meta} if meta else shape


def map_shape(loaded: Loaded, address_map: AddressMap) -> JsonObject:
    """An address map, with its addresses and members."""
    created, modified, _ = loaded.times.of_map(address_map)
    shape = {
        "id": address_map.id,
        "description": address_map.description or None,
        "can_delete": address_map.can_delete,
        "can_modify_ips": address_map.can_modify_ips,
        "default_sni": address_map.default_sni,
        "enabled": address_map.enabled,
        "created_at": time_text(created),
        "modified_at": time_text(modified),
        "ips": [{"ip": str(ip), "created_at": time_text(created)} for ip in address_map.ips],
        "memberships": [_member_shape(address_map, member, created) for member in address_map.memberships],
    }
    return _with_meta(loaded, address_map.key, shape)


def _member_shape(address_map: AddressMap, member: Membership, created: datetime) -> JsonObject:
    return {
        "kind": member.kind.value,
        "identifier": member.identifier,
        "can_delete": not address_map.immutable,
        "created_at": time_text(member.created_at or created),
    }


def account_shape(loaded: Loaded, account: Account) -> JsonObject:
    """An account."""
    shape = {
        "id": account.id,
        "name": account.name,
        "type": "standard",
        "settings": {"enforce_twofactor": False},
        "created_on": time_text(loaded.times.of_account(account).created),
        "pool": (PoolUse.NEVER if loaded.dataset.is_barred(account) else PoolUse.ALLOWED).value,
    }
    return _with_meta(loaded, account.key, shape)


def dns_settings_shape(account: Account) -> JsonObject:
    """The DNS settings of an account."""
    return {
        "enforce_dns_only": account.settings.enforce_dns_only,
        "zone_defaults": ZONE_DEFAULTS,
    }


def prefix_shape(loaded: Loaded, account: Account, prefix: Prefix, checks: Validation = NOT_VALIDATED) -> JsonObject:
    """A BYOIP prefix, with the last result of its validation."""
    created, modified, _ = loaded.times.of_prefix(prefix)
    shape = {
        "id": prefix.id,
        "account_id": account.id,
        "cidr": str(prefix.cidr),
        "asn": prefix.asn,
        "approved": prefix.approved.value,
        "description": prefix.description or None,
        "advertised": prefix.advertised,
        "advertised_modified_at": advertised_at(loaded, prefix),
        "delegate_loa_creation": prefix.delegate_loa_creation,
        "loa_document_id": prefix.loa_document_id,
        "on_demand_enabled": bool(prefix.bgp_prefixes),
        "on_demand_locked": any(one.locked for one in prefix.bgp_prefixes),
        "asn_ownership_validation_state": checks.asn,
        "irr_validation_state": checks.irr,
        "ownership_validation_state": checks.ownership,
        "ownership_validation_token": ownership_token(account, prefix),
        "rpki_validation_state": checks.rpki,
        "created_at": time_text(created),
        "modified_at": time_text(modified),
    }
    return _with_meta(loaded, account.key, shape)


def advertised_at(loaded: Loaded, prefix: Prefix) -> str | None:
    """The time of the last change of a prefix's declared state; None without a BGP prefix."""
    times = [loaded.times.of_advertisement(one).modified for one in prefix.bgp_prefixes]
    return time_text(max(times)) if times else None


def delegation_shape(loaded: Loaded, prefix: Prefix, delegation: Delegation) -> JsonObject:
    """A part of a prefix that another account may use."""
    at = time_text(loaded.times.of_delegation(prefix, delegation).created)
    return {
        "id": delegation_id(prefix, delegation),
        "cidr": str(delegation.cidr),
        "delegated_account_id": delegation.account_id,
        "parent_prefix_id": prefix.id,
        "created_at": at,
        "modified_at": at,
    }


def leases_shape(loaded: Loaded, account: Account) -> list[JsonObject]:
    """The static IPs of an account."""
    return [
        {
            "id": lease_id(account, ip),
            "ip": str(ip),
            "account_id": account.id,
            "owner_id": account.id,
            "cidrs": [str(ip_network(ip))],
            "purpose": "static_ip",
            "active_from": at,
            "created_at": at,
            "modified_at": at,
        }
        for ip in account.static_ips
        for at in [time_text(loaded.times.of_lease(account, ip).created)]
    ]


def zone_shape(loaded: Loaded, zone: Zone) -> JsonObject:
    """A zone."""
    created, modified, activated = loaded.times.of_zone(zone)
    account = loaded.dataset.accounts[zone.account_id]
    return {
        "id": zone.id,
        "name": zone.name_text,
        "status": loaded.dataset.status_of(zone).value,
        "paused": zone.paused,
        "verified": zone.verified,
        "type": "full",
        "development_mode": 0,
        "name_servers": _nameservers(zone),
        "original_name_servers": None,
        "original_registrar": None,
        "original_dnshost": None,
        "created_on": time_text(created),
        "modified_on": time_text(modified),
        "activated_on": time_text(activated) if activated else None,
        "meta": {
            "step": 2,
            "cdn_only": False,
            "dns_only": False,
            "foundation_dns": False,
            "custom_certificate_quota": 0,
            "page_rule_quota": 0,
            "phishing_detected": False,
            **held_meta(loaded, zone.key),
        },
        "owner": {"id": account.id, "type": "organization", "name": account.name},
        "account": {"id": account.id, "name": account.name},
        "permissions": ["#zone:read", "#zone:edit", "#dns_records:read", "#dns_records:edit"],
        "plan": PLAN,
        "vanity_name_servers": [],
        "verification_key": "" if zone.verified else verification_key(zone),
        "cname_suffix": "",
        "tenant": {},
        "tenant_unit": {},
    }


def zone_dns_settings_shape(zone: Zone) -> JsonObject:
    """The DNS settings of a zone."""
    soa = soa_document(zone)
    return {
        "flatten_all_cnames": zone.settings.flatten_all_cnames,
        "ns_ttl": shown_ns_ttl(zone),
        "soa": {
            "expire": soa["expire"],
            "min_ttl": soa["minimum"],
            "mname": soa["mname"].removesuffix("."),
            "refresh": soa["refresh"],
            "retry": soa["retry"],
            "rname": soa["rname"].removesuffix("."),
            "ttl": soa["ttl"],
        },
        **FIXED,
    }


def version_shape(version: Version, viewer: Token, *, is_current: bool) -> JsonObject:
    """One version of an object."""
    return {
        "version": version.version,
        "at": version.at,
        "action": version.action,
        "token": version.author(viewer),
        "current": is_current,
    }


def zones_in_order(dataset: Dataset, zones: Iterable[Zone], order: str, *, descending: bool) -> list[Zone]:
    """Zones sorted by name, status or account; by name for any other order."""
    keys = {
        "status": lambda zone: (dataset.status_of(zone).value, zone.name_text),
        "account.id": lambda zone: (zone.account_id, zone.name_text),
        "account.name": lambda zone: (dataset.accounts[zone.account_id].name, zone.name_text),
    }
    return sorted(zones, key=keys.get(order, lambda zone: zone.name_text), reverse=descending)


def _nameservers(zone: Zone) -> list[str]:
    found = [record for record in zone.records.at(zone.name) if record.rtype == NS]
    return [name_text(record.target).removesuffix(".") or "." for record in found]
