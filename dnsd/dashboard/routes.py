"""The table of pages: method, path, required permission and handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from dnsd.api.access import Need, Permission
from dnsd.dashboard import (
    account_list,
    address_actions,
    addresses,
    audit_pages,
    bulk,
    create,
    explained,
    fleet,
    into_open,
    later,
    map_actions,
    maps,
    overview,
    pool,
    quotas,
    record_forms,
    record_import,
    records,
    route_actions,
    tokens,
    zones,
)
from dnsd.dashboard.page import Download, HtmlPage, Redirect
from dnsd.dashboard.visit import Visit
from dnsd.manage.tokens import AccessLevel, Area

ACCOUNT = "/accounts/{account_id}"
MAPS = f"{ACCOUNT}/maps"
MAP = f"{MAPS}/{{map_id}}"
VERSION = f"{MAP}/history/{{version}}"
ADDRESSES = f"{ACCOUNT}/addresses"
PREFIX = f"{ADDRESSES}/{{prefix_id}}"
ZONE = "/zones/{zone_id}"
RECORDS = f"{ZONE}/records"
RECORD = f"{RECORDS}/{{record_id}}"

READ_ACCOUNT = Permission(None, AccessLevel.READ)
ANYBODY = Permission(None, AccessLevel.READ, Need.TOKEN)
OPERATOR = Permission(None, AccessLevel.EDIT, Need.OPERATOR)
READ_MAPS, EDIT_MAPS = Permission(Area.MAPS, AccessLevel.READ), Permission(Area.MAPS, AccessLevel.EDIT)
READ_PREFIXES, EDIT_PREFIXES = Permission(Area.PREFIXES, AccessLevel.READ), Permission(Area.PREFIXES, AccessLevel.EDIT)
READ_ZONES, EDIT_ZONES = Permission(Area.ZONES, AccessLevel.READ), Permission(Area.ZONES, AccessLevel.EDIT)
READ_DNS, EDIT_DNS = Permission(Area.DNS, AccessLevel.READ), Permission(Area.DNS, AccessLevel.EDIT)
LIST_ZONES, CREATE_ZONES = (
    Permission(Area.ZONES, AccessLevel.READ, Need.TOKEN),
    Permission(Area.ZONES, AccessLevel.EDIT, Need.TOKEN),
)
READ_TOKENS, EDIT_TOKENS = (
    Permission(Area.TOKENS, AccessLevel.READ, Need.TOKEN),
    Permission(Area.TOKENS, AccessLevel.EDIT, Need.TOKEN),
)
RESTORE_ZONE = Permission(Area.DNS, AccessLevel.EDIT, also=Area.ZONES)
SEE_ANSWERS = Permission(Area.DNS, AccessLevel.READ, Need.TOKEN)


@dataclass(frozen=True, slots=True)
class PageRoute:
    """One page, or the submission of one form."""

    method: str
    path: str
    permission: Permission
    answer: Callable[[Visit], Awaitable[HtmlPage | Redirect | Download]]

    @property
    def changes(self) -> bool:
        """Whether its form asks for a change."""
        return self.method != "GET" and self.permission.level is AccessLevel.EDIT


ROUTES = (
    PageRoute("GET", "/", ANYBODY, overview.show_overview),
    PageRoute("GET", "/accounts", ANYBODY, account_list.show_accounts),
    PageRoute("GET", f"{ACCOUNT}/quotas", READ_ACCOUNT, quotas.show_quotas),
    PageRoute("GET", "/explain", SEE_ANSWERS, explained.show_explained),
    PageRoute("GET", "/audit", ANYBODY, audit_pages.show_audit),
    PageRoute("GET", "/fleet", OPERATOR, fleet.show_fleet),
    PageRoute("GET", "/fleet/{edge}", OPERATOR, fleet.show_edge),
    PageRoute("POST", "/fleet/{edge}", OPERATOR, fleet.save_edge),
    PageRoute("POST", "/fleet/{edge}/drain", OPERATOR, fleet.drain_edge),
    PageRoute("POST", "/fleet/{edge}/undrain", OPERATOR, fleet.undrain_edge),
    PageRoute("GET", "/tokens", READ_TOKENS, tokens.list_tokens),
    PageRoute("GET", "/tokens/create", EDIT_TOKENS, tokens.show_create),
    PageRoute("POST", "/tokens/create", EDIT_TOKENS, tokens.create),
    PageRoute("GET", "/tokens/{token_id}/roll", EDIT_TOKENS, tokens.ask_roll),
    PageRoute("POST", "/tokens/{token_id}/roll", EDIT_TOKENS, tokens.roll),
    PageRoute("GET", "/tokens/{token_id}/revoke", EDIT_TOKENS, tokens.ask_revoke),
    PageRoute("POST", "/tokens/{token_id}/revoke", EDIT_TOKENS, tokens.revoke),
    PageRoute("GET", f"{ACCOUNT}/pool", READ_MAPS, pool.show_pool),
    PageRoute("POST", f"{ACCOUNT}/pool", OPERATOR, pool.save_pool),
    PageRoute("GET", MAPS, READ_MAPS, maps.list_maps),
    PageRoute("GET", f"{MAPS}/create", EDIT_MAPS, create.show_create),
    PageRoute("POST", f"{MAPS}/create", EDIT_MAPS, create.step),
    PageRoute("GET", f"{MAPS}/deleted", READ_MAPS, maps.list_deleted),
    PageRoute("GET", MAP, READ_MAPS, maps.show_map),
    PageRoute("POST", MAP, EDIT_MAPS, maps.save_details),
    PageRoute("GET", f"{MAP}/edit", EDIT_MAPS, maps.show_edit),
    PageRoute("POST", f"{MAP}/edit", EDIT_MAPS, maps.save_edit),
    *(
        route
        for action in (map_actions.ENABLE, map_actions.DISABLE, map_actions.DELETE)
        for route in (
            PageRoute("GET", f"{MAP}/{action.name}", EDIT_MAPS, partial(map_actions.ask, action)),
            PageRoute("POST", f"{MAP}/{action.name}", EDIT_MAPS, partial(map_actions.act, action)),
        )
    ),
    PageRoute("POST", f"{ACCOUNT}/pending/{{change_id}}/cancel", EDIT_MAPS, later.cancel),
    PageRoute("POST", f"{ACCOUNT}/pending/{{change_id}}/run", EDIT_MAPS, later.run),
    PageRoute("GET", VERSION, READ_MAPS, map_actions.show_version),
    PageRoute("POST", VERSION, EDIT_MAPS, map_actions.restore_version),
    PageRoute("GET", ADDRESSES, READ_PREFIXES, addresses.show_addresses),
    PageRoute("POST", f"{ADDRESSES}/prefixes", EDIT_PREFIXES, addresses.add_prefix),
    PageRoute("POST", f"{ADDRESSES}/static-ips", OPERATOR, addresses.lease),
    PageRoute("POST", f"{PREFIX}/delegations", EDIT_PREFIXES, addresses.delegate),
    *(
        route
        for path, permission, make in (
            (f"{ADDRESSES}/static-ips/{{lease_id}}/delete", OPERATOR, address_actions.lease_end),
            (f"{PREFIX}/approve", OPERATOR, address_actions.approval),
            (f"{PREFIX}/delete", EDIT_PREFIXES, address_actions.deletion),
            (f"{PREFIX}/advertise", EDIT_PREFIXES, route_actions.announcement),
            (f"{PREFIX}/withdraw", EDIT_PREFIXES, route_actions.withdrawal),
            (f"{PREFIX}/delegations/{{delegation_id}}/delete", EDIT_PREFIXES, address_actions.delegation_end),
        )
        for route in (
            PageRoute("GET", path, permission, partial(address_actions.ask, make)),
            PageRoute("POST", path, permission, partial(address_actions.act, make)),
        )
    ),
    PageRoute("GET", "/zones", LIST_ZONES, zones.list_zones),
    PageRoute("GET", "/zones/create", CREATE_ZONES, zones.show_create),
    PageRoute("POST", "/zones/create", CREATE_ZONES, zones.create),
    PageRoute("GET", ZONE, READ_ZONES, zones.show_zone),
    PageRoute("POST", f"{ZONE}/settings", EDIT_ZONES, zones.save_settings),
    PageRoute("POST", f"{ZONE}/undo/{{before}}/{{after}}", RESTORE_ZONE, into_open.undo),
    PageRoute("GET", f"{ZONE}/pause", EDIT_ZONES, zones.ask_pause),
    PageRoute("POST", f"{ZONE}/pause", EDIT_ZONES, zones.pause),
    PageRoute("POST", f"{ZONE}/verify", OPERATOR, zones.verify),
    PageRoute("POST", f"{ZONE}/check", EDIT_ZONES, zones.check),
    PageRoute("GET", f"{ZONE}/delete", EDIT_ZONES, zones.show_delete),
    PageRoute("POST", f"{ZONE}/delete", EDIT_ZONES, zones.delete),
    PageRoute("GET", RECORDS, READ_DNS, records.list_records),
    PageRoute("POST", f"{RECORDS}/bulk", EDIT_DNS, bulk.change_selected),
    PageRoute("GET", f"{RECORDS}/create", EDIT_DNS, record_forms.show_create),
    PageRoute("POST", f"{RECORDS}/create", EDIT_DNS, record_forms.create),
    PageRoute("GET", f"{RECORDS}/import", EDIT_DNS, record_import.show_import),
    PageRoute("POST", f"{RECORDS}/import", EDIT_DNS, record_import.import_file),
    PageRoute("GET", f"{RECORDS}/export", READ_DNS, records.export),
    PageRoute("GET", f"{RECORD}/edit", EDIT_DNS, record_forms.show_edit),
    PageRoute("POST", f"{RECORD}/edit", EDIT_DNS, record_forms.edit),
    PageRoute("POST", f"{RECORD}/proxy", EDIT_DNS, records.turn_proxy),
    PageRoute("GET", f"{RECORD}/delete", EDIT_DNS, records.show_delete),
    PageRoute("POST", f"{RECORD}/delete", EDIT_DNS, records.delete),
)
