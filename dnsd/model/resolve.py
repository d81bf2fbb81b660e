"""Written fields to model objects: names of accounts and zones are replaced by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dnsd.errors import Problem
from dnsd.model.accounts import Account, AccountFields, BgpPrefix, Binding, Delegation, Prefix, PrefixFields
from dnsd.model.claims import ZoneNames
from dnsd.model.fields import derived_id
from dnsd.model.maps import AddressMap, MapFields, MemberKind, Membership
from dnsd.model.zones import Zone
from dnsd.wire.names import parse_name_text


def resolve_accounts(written: Mapping[str, AccountFields]) -> tuple[dict[str, Account], list[Problem]]:
    """Return the accounts by folder name, with delegations resolved, and all problems found."""
    ids = {key: fields.id or derived_id("account", key) for key, fields in written.items()}
    known = {**{account_id: account_id for account_id in ids.values()}, **ids}  # by id, and by folder name
    found: list[Problem] = []
    accounts = {}
    for key, fields in written.items():
        prefixes = []
        for index, prefix in enumerate(fields.prefixes):
            delegations = []
            for number, delegation in enumerate(prefix.delegations):
                account_id = known.get(delegation.account) or known.get(delegation.account.lower())
                if account_id is None:
                    path = ("prefixes", index, "delegations", number, "account")
                    found.append(Problem(key, path, f"there is no account {delegation.account!r}"))
                else:
                    delegations.append(Delegation(delegation.cidr, account_id))
            prefixes.append(_prefix(prefix, ids[key], delegations))
        name = fields.name or key
        accounts[key] = Account(
            key,
            ids[key],
            name,
            tuple(prefixes),
            fields.static_ips,
            fields.settings,
            fields.pool,
            fields.withdrawn,
            fields.quotas.given(),
        )
    return accounts, found


def _prefix(fields: PrefixFields, account_id: str, delegations: Iterable[Delegation]) -> Prefix:
    prefix_id = fields.id or derived_id("prefix", account_id, str(fields.cidr))
    return Prefix(
        id=prefix_id,
        cidr=fields.cidr,
        asn=fields.asn,
        approved=fields.approved,
        description=fields.description or "",
        delegations=tuple(delegations),
        bgp_prefixes=tuple(
            BgpPrefix(
                one.id or derived_id("bgp", prefix_id, str(one.cidr)),
                one.cidr,
                one.advertised,
                one.locked,
                one.asn_prepend_count,
                one.auto_advertise_withdraw,
            )
            for one in fields.bgp_prefixes
        ),
        bindings=tuple(
            Binding(one.id or derived_id("binding", prefix_id, str(one.cidr)), one.cidr, one.service)
            for one in fields.bindings
        ),
        delegate_loa_creation=fields.delegate_loa_creation,
        loa_document_id=fields.loa_document_id,
    )


def resolve_map(
    key: str, fields: MapFields, account: Account, names: ZoneNames, zones: Mapping[str, Zone]
) -> tuple[AddressMap, list[Problem]]:
    """Return the address map with members resolved, and a problem for each unknown member."""
    found: list[Problem] = []
    members = []
    for index, member in enumerate(fields.memberships):
        identifier = member.identifier
        if member.kind is MemberKind.ACCOUNT:
            if identifier != account.key and identifier.lower() != account.id:
                message = f"{identifier!r} is not the map's own account, {account.key!r}"
                found.append(Problem(key, ("memberships", index, "identifier"), message))
                continue
            identifier = account.id
        else:
            zone = zones.get(identifier.lower()) or _zone_called(identifier, account.id, names)
            if zone is None:
                found.append(Problem(key, ("memberships", index, "identifier"), f"there is no zone {identifier!r}"))
                continue
            identifier = zone.id
        members.append(Membership(member.kind, identifier, member.created_at))
    return AddressMap(
        key=key,
        id=fields.id or derived_id("map", account.id, key.rpartition("/")[2]),
        account_id=account.id,
        description=fields.description or "",
        enabled=fields.enabled,
        ips=fields.ips,
        memberships=tuple(members),
        default_sni=fields.default_sni,
        immutable=fields.immutable,
        created_at=fields.created_at,
        modified_at=fields.modified_at,
    ), found


def _zone_called(name: str, account_id: str, names: ZoneNames) -> Zone | None:
    try:
        return names.get(parse_name_text(name).lower(), account_id)
    except ValueError:
        return None
