"""The table of pages: method, path, required permission and handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from dnsd.api.access import Need, Permission
from dnsd.dashboard import addresses, audit_pages, create, explained, maps, overview, records, zones
from dnsd.dashboard.page import Download, Page, Redirect
from dnsd.dashboard.visit import Visit
from dnsd.manage.tokens import Area, Level

ACCOUNT = "/accounts/{account_id}"
MAPS = f"{ACCOUNT}/maps"
MAP = f"{MAPS}/{{map_id}}"
VERSION = f"{MAP}/history/{{version}}"
ADDRESSES = f"{ACCOUNT}/addresses"
PREFIX = f"{ADDRESSES}/{{prefix_id}}"
ZONE = "/zones/{zone_id}"
RECORDS = f"{ZONE}/records"
RECORD = f"{RECORDS}/{{record_id}}"

ANYBODY = Permission(None, Level.READ, Need.TOKEN)
OPERATOR = Permission(None, Level.EDIT, Need.OPERATOR)
READ_MAPS, EDIT_MAPS = Permission(Area.MAPS, Level.READ), Permission(Area.MAPS, Level.EDIT)
READ_PREFIXES, EDIT_PREFIXES = Permission(Area.PREFIXES, Level.READ), Permission(Area.PREFIXES, Level.EDIT)
READ_ZONES, EDIT_ZONES = Permission(Area.ZONES, Level.READ), Permission(Area.ZONES, Level.EDIT)
READ_DNS, EDIT_DNS = Permission(Area.DNS, Level.READ), Permission(Area.DNS, Level.EDIT)
LIST_ZONES, CREATE_ZONES = (
    Permission(Area.ZONES, Level.READ, Need.TOKEN),
    Permission(Area.ZONES, Level.EDIT, Need.TOKEN),
)
SEE_ANSWERS = Permission(Area.DNS, Level.READ, Need.TOKEN)


@dataclass(frozen=True, slots=True)
class Route:
    """One page, or the submission of one form."""

    method: str
    path: str
    permission: Permission
    answer: Callable[[Visit], Awaitable[Page | Redirect | Download]]


ROUTES = (
    Route("GET", "/", ANYBODY, overview.show_overview),
    Route("GET", "/accounts", ANYBODY, overview.show_accounts),
    Route("GET", "/explain", SEE_ANSWERS, explained.show_explained),
    Route("GET", "/audit", ANYBODY, audit_pages.show_audit),
    Route("GET", MAPS, READ_MAPS, maps.list_maps),
    Route("GET", f"{MAPS}/create", EDIT_MAPS, create.show_create),
    Route("POST", f"{MAPS}/create", EDIT_MAPS, create.step),
    Route("GET", f"{MAPS}/deleted", READ_MAPS, maps.list_deleted),
    Route("GET", MAP, READ_MAPS, maps.show_map),
    Route("GET", f"{MAP}/edit", EDIT_MAPS, maps.show_edit),
    Route("POST", f"{MAP}/edit", EDIT_MAPS, maps.save_edit),
    *(
        route
        for action in (maps.ENABLE, maps.DISABLE, maps.DELETE)
        for route in (
            Route("GET", f"{MAP}/{action.name}", EDIT_MAPS, partial(maps.ask, action)),
            Route("POST", f"{MAP}/{action.name}", EDIT_MAPS, partial(maps.act, action)),
        )
    ),
    Route("GET", VERSION, READ_MAPS, maps.show_version),
    Route("POST", VERSION, EDIT_MAPS, maps.restore_version),
    Route("GET", ADDRESSES, READ_PREFIXES, addresses.show_addresses),
    Route("POST", f"{ADDRESSES}/prefixes", EDIT_PREFIXES, addresses.add_prefix),
    Route("POST", f"{ADDRESSES}/static-ips", OPERATOR, addresses.lease),
    Route("POST", f"{ADDRESSES}/static-ips/{{lease_id}}/delete", OPERATOR, addresses.take_back),
    Route("POST", f"{PREFIX}/approve", OPERATOR, addresses.approve_prefix),
    Route("POST", f"{PREFIX}/delete", EDIT_PREFIXES, addresses.delete_prefix),
    Route("POST", f"{PREFIX}/delegations", EDIT_PREFIXES, addresses.delegate),
    Route("POST", f"{PREFIX}/delegations/{{delegation_id}}/delete", EDIT_PREFIXES, addresses.undelegate),
    Route("GET", "/zones", LIST_ZONES, zones.list_zones),
    Route("GET", "/zones/create", CREATE_ZONES, zones.show_create),
    Route("POST", "/zones/create", CREATE_ZONES, zones.create),
    Route("GET", ZONE, READ_ZONES, zones.show_zone),
    Route("POST", f"{ZONE}/settings", EDIT_ZONES, zones.save_settings),
    Route("GET", f"{ZONE}/pause", EDIT_ZONES, zones.ask_pause),
    Route("POST", f"{ZONE}/pause", EDIT_ZONES, zones.pause),
    Route("POST", f"{ZONE}/verify", OPERATOR, zones.verify),
    Route("GET", f"{ZONE}/delete", EDIT_ZONES, zones.show_delete),
    Route("POST", f"{ZONE}/delete", EDIT_ZONES, zones.delete),
    Route("GET", RECORDS, READ_DNS, records.list_records),
    Route("GET", f"{RECORDS}/create", EDIT_DNS, records.show_create),
    Route("POST", f"{RECORDS}/create", EDIT_DNS, records.create),
    Route("GET", f"{RECORDS}/import", EDIT_DNS, records.show_import),
    Route("POST", f"{RECORDS}/import", EDIT_DNS, records.import_file),
    Route("GET", f"{RECORDS}/export", READ_DNS, records.export),
    Route("GET", f"{RECORD}/edit", EDIT_DNS, records.show_edit),
    Route("POST", f"{RECORD}/edit", EDIT_DNS, records.edit),
    Route("POST", f"{RECORD}/proxy", EDIT_DNS, records.turn_proxy),
    Route("GET", f"{RECORD}/delete", EDIT_DNS, records.show_delete),
    Route("POST", f"{RECORD}/delete", EDIT_DNS, records.delete),
)
