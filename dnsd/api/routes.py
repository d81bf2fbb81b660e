"""The table of all routes: method, path, required permission and handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dnsd.api import (
    accounts,
    addressing,
    analytics,
    audit_logs,
    brake,
    drains,
    edges,
    history,
    loa,
    maps,
    memberships,
    pending,
    quotas,
    tokens,
    zone_settings,
    zones,
)
from dnsd.api.access import Need, Permission
from dnsd.api.bodies import (
    AccountBody,
    BatchBody,
    DelegationBody,
    ImportBody,
    LeaseBody,
    MapBody,
    MapEdit,
    MapPlan,
    PrefixBody,
    PrefixEdit,
    RecordBody,
    RecordEditBody,
)
from dnsd.api.envelope import Raw, Reply
from dnsd.api.policies import TokenBody
from dnsd.api.prefix_bodies import AdvertisedBody, BgpPrefixBody, BgpPrefixEdit, BindingBody
from dnsd.api.records import routes as records
from dnsd.api.records import scan
from dnsd.api.records.search import COMPARISONS
from dnsd.api.request import MAX_BODY, Call
from dnsd.api.zone_bodies import (
    DnsSettingsEdit,
    SettingsBody,
    SwitchBody,
    ZoneBody,
    ZoneDnsSettingsEdit,
    ZoneEdit,
)
from dnsd.manage.pending import FIELD
from dnsd.manage.tokens import AccessLevel, Area
from dnsd.model.fields import Fields
from dnsd.model.observed import FeedFields

BASE = "/client/v4"

EDGES = "/fleet/edges"

ACCOUNT = "/accounts/{account_id}"
MAPS = f"{ACCOUNT}/addressing/address_maps"
MAP = f"{MAPS}/{{map_id}}"
PENDING = f"{ACCOUNT}/addressing/pending_changes"
PENDING_CHANGE = f"{PENDING}/{{change_id}}"
PREFIXES = f"{ACCOUNT}/addressing/prefixes"
PREFIX = f"{PREFIXES}/{{prefix_id}}"
BGP_PREFIXES = f"{PREFIX}/bgp/prefixes"
BGP_PREFIX = f"{BGP_PREFIXES}/{{bgp_prefix_id}}"
LOA = f"{ACCOUNT}/addressing/loa_documents"
OBSERVED_ROUTES = "/addressing/observed_routes"
BINDINGS = f"{PREFIX}/bindings"
LEASES = f"{ACCOUNT}/addressing/leases"
GONE_ZONE = f"{ACCOUNT}/zones/{{zone_id}}"  # a deleted zone has no scope of its own
ZONE = "/zones/{zone_id}"
RECORDS = f"{ZONE}/dns_records"
RECORD = f"{RECORDS}/{{record_id}}"
REPORT = f"{ZONE}/dns_analytics/report"

FORM = "multipart/form-data"
PAGE = ("page", "per_page")
REPORTED = ("dimensions", "metrics", "since", "until", "filters", "sort", "limit")
FORCE = ("force",)
LATER = (FIELD,)
SORTED = ("order", "direction", *PAGE)
MEMBERSHIP_FILTERS = ("account.name", "name", "status", *SORTED)
TIMES = ("since", "before", "direction")
LOG_FILTERS = ("id", "action.type", "actor.ip", "zone_id", *TIMES, *PAGE)
AUDIT_FILTERS = (
    *(
        "action_type",
        "action_result",
        "actor_ip_address",
        "actor_token_id",
        "actor_token_name",
        "resource_id",
        "zone_id",
    ),
    *("id", "cursor", "limit", *TIMES),
)
ZONE_FILTERS = ("name", "status", "account.id", "account.name", *SORTED)
RECORD_FILTERS = (
    "type",
    "proxied",
    *(f"{field}{how}" for field in ("name", "content", "comment", "tag") for how in COMPARISONS),
    *(f"{field}.{how}" for field in ("comment", "tag") for how in ("present", "absent")),
    "search",
    "match",
    "tag_match",
    *SORTED,
)

ANYBODY = Permission(None, AccessLevel.READ, Need.TOKEN)
OPERATOR = Permission(None, AccessLevel.EDIT, Need.OPERATOR)


def _read(area: Area | None, need: Need = Need.SCOPE) -> Permission:
    return Permission(area, AccessLevel.READ, need)


def _edit(area: Area, need: Need = Need.SCOPE) -> Permission:
    return Permission(area, AccessLevel.EDIT, need)


RESTORE_ZONE = Permission(Area.DNS, AccessLevel.EDIT, also=Area.ZONES)  # a version contains settings and records


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of request."""

    method: str
    path: str  # below BASE
    permission: Permission
    answer: Callable[[Call], Awaitable[Reply | Raw]]
    # For the documentation:
    body: type[Fields] | None = None
    query: tuple[str, ...] = ()
    body_type: str = "application/json"
    status: int = 200  # of a success
    largest: int = MAX_BODY  # octets of a body

    @property
    def changes(self) -> bool:
        """Whether requests ask for a change."""
        return self.method != "GET" and self.permission.level is AccessLevel.EDIT


def _token_routes(path: str, anybody: Permission, need: Need) -> tuple[Route, ...]:
    """The routes of tokens, of the caller or of an account."""
    token, read, edit = f"{path}/{{token_id}}", _read(Area.TOKENS, need), _edit(Area.TOKENS, need)
    return (
        Route("GET", f"{path}/verify", anybody, tokens.verify_token),
        Route("GET", f"{path}/permission_groups", read, tokens.list_permission_groups, query=("name", "scope", *PAGE)),
        Route("GET", path, read, tokens.list_tokens, query=("include_expired", "direction", *PAGE)),
        Route("POST", path, edit, tokens.create_token, TokenBody),
        Route("GET", token, read, tokens.get_token),
        Route("PUT", token, edit, tokens.edit_token, TokenBody),
        Route("DELETE", token, edit, tokens.delete_token),
        Route("PUT", f"{token}/value", edit, tokens.roll_token),
    )


ROUTES = (
    Route("GET", "/user", ANYBODY, accounts.get_user),
    *_token_routes("/user/tokens", ANYBODY, Need.TOKEN),
    Route("GET", "/memberships", ANYBODY, memberships.list_memberships, query=MEMBERSHIP_FILTERS),
    Route("GET", "/memberships/{membership_id}", ANYBODY, memberships.get_membership),
    Route("GET", "/dnsd/brake", OPERATOR, brake.get_brake),
    Route("POST", "/dnsd/brake/release", OPERATOR, brake.release_brake, brake.ReleaseBody),
    Route("GET", EDGES, OPERATOR, edges.list_edges, query=("state", "search", *PAGE)),
    Route("PATCH", f"{EDGES}/{{edge}}", OPERATOR, edges.edit_edge, edges.EdgeEdit),
    Route("GET", "/accounts", ANYBODY, accounts.list_accounts, query=("name", "direction", *PAGE)),
    Route("POST", "/accounts", OPERATOR, accounts.create_account, AccountBody),
    Route("GET", ACCOUNT, _read(None), accounts.get_account),
    Route("PUT", ACCOUNT, OPERATOR, accounts.edit_account, AccountBody),
    Route("DELETE", ACCOUNT, OPERATOR, accounts.delete_account),
    *_token_routes(f"{ACCOUNT}/tokens", _read(None), Need.SCOPE),
    Route("GET", f"{ACCOUNT}/dns_settings", _read(Area.DNS), accounts.get_dns_settings),
    Route("PATCH", f"{ACCOUNT}/dns_settings", _edit(Area.DNS), accounts.edit_dns_settings, DnsSettingsEdit),
    Route("GET", f"{ACCOUNT}/quotas", _read(None), quotas.get_quotas),
    Route("PATCH", f"{ACCOUNT}/quotas", OPERATOR, quotas.edit_quotas_of, quotas.QuotasBody),
    Route("GET", f"{ACCOUNT}/dns_records/usage", _read(Area.DNS), scan.get_account_usage),
    Route("GET", f"{ACCOUNT}/audit_logs", _read(None), audit_logs.list_audit_logs, query=LOG_FILTERS),
    Route("GET", f"{ACCOUNT}/logs/audit", _read(None), audit_logs.list_audit, query=AUDIT_FILTERS),
    Route("GET", f"{ACCOUNT}/members", _read(None), memberships.list_members, query=PAGE),
    Route("GET", f"{ACCOUNT}/members/{{membership_id}}", _read(None), memberships.get_member),
    Route("GET", f"{ACCOUNT}/roles", _read(None), memberships.list_roles, query=PAGE),
    Route("GET", MAPS, _read(Area.MAPS), maps.list_maps, query=("ip", "cidr", *PAGE)),
    Route("POST", MAPS, _edit(Area.MAPS), maps.create_map, MapBody, query=LATER),
    Route("POST", f"{MAPS}/plan", _read(Area.MAPS), maps.plan_map, MapPlan),
    Route("GET", MAP, _read(Area.MAPS), maps.get_map),
    Route("PATCH", MAP, _edit(Area.MAPS), maps.edit_map, MapEdit, query=LATER),
    Route("DELETE", MAP, _edit(Area.MAPS), maps.delete_map, query=LATER),
    Route("PUT", f"{MAP}/ips/{{ip}}", _edit(Area.MAPS), maps.add_ip, query=LATER),
    Route("DELETE", f"{MAP}/ips/{{ip}}", _edit(Area.MAPS), maps.remove_ip, query=LATER),
    Route("PUT", f"{MAP}/zones/{{member_id}}", _edit(Area.MAPS), maps.add_zone, query=LATER),
    Route("DELETE", f"{MAP}/zones/{{member_id}}", _edit(Area.MAPS), maps.remove_zone, query=LATER),
    Route("PUT", f"{MAP}/accounts/{{member_id}}", _edit(Area.MAPS), maps.add_account, query=LATER),
    Route("DELETE", f"{MAP}/accounts/{{member_id}}", _edit(Area.MAPS), maps.remove_account, query=LATER),
    Route("GET", f"{MAP}/history", _read(Area.MAPS), history.list_map_versions),
    Route("GET", f"{MAP}/history/{{version}}", _read(Area.MAPS), history.get_map_version),
    Route("POST", f"{MAP}/history/{{version}}/restore", _edit(Area.MAPS), history.restore_map, query=LATER),
    Route("GET", f"{MAP}/drains", _read(Area.MAPS), drains.list_drains),
    Route("GET", f"{MAP}/pending_changes", _read(Area.MAPS), pending.list_pending, query=PAGE),
    Route("GET", PENDING, _read(Area.MAPS), pending.list_pending, query=("map_id", *PAGE)),
    Route("GET", PENDING_CHANGE, _read(Area.MAPS), pending.get_pending),
    Route("DELETE", PENDING_CHANGE, _edit(Area.MAPS), pending.cancel_pending),
    Route("POST", f"{PENDING_CHANGE}/run", _edit(Area.MAPS), pending.run_pending),
    Route("GET", PREFIXES, _read(Area.PREFIXES), accounts.list_prefixes, query=PAGE),
    Route("POST", PREFIXES, _edit(Area.PREFIXES), accounts.create_prefix, PrefixBody, status=201),
    Route("GET", PREFIX, _read(Area.PREFIXES), accounts.get_prefix),
    Route("PATCH", PREFIX, _edit(Area.PREFIXES), accounts.edit_prefix, PrefixEdit, query=FORCE),
    Route("DELETE", PREFIX, _edit(Area.PREFIXES), accounts.delete_prefix, query=FORCE),
    Route("GET", f"{PREFIX}/bgp/status", _read(Area.PREFIXES), addressing.get_bgp_status),
    Route(
        "PATCH", f"{PREFIX}/bgp/status", _edit(Area.PREFIXES), addressing.edit_bgp_status, AdvertisedBody, query=FORCE
    ),
    Route("GET", BGP_PREFIXES, _read(Area.PREFIXES), addressing.list_bgp_prefixes, query=PAGE),
    Route("POST", BGP_PREFIXES, _edit(Area.PREFIXES), addressing.create_bgp_prefix, BgpPrefixBody),
    Route("GET", BGP_PREFIX, _read(Area.PREFIXES), addressing.get_bgp_prefix),
    Route("PATCH", BGP_PREFIX, _edit(Area.PREFIXES), addressing.edit_bgp_prefix, BgpPrefixEdit, query=FORCE),
    Route("DELETE", BGP_PREFIX, _edit(Area.PREFIXES), addressing.delete_bgp_prefix, query=FORCE),
    Route("GET", f"{PREFIX}/bgp/observed", _read(Area.PREFIXES), addressing.list_observed),
    Route("GET", OBSERVED_ROUTES, OPERATOR, addressing.list_all_observed, query=PAGE),
    Route("PUT", OBSERVED_ROUTES, OPERATOR, addressing.feed_observed, FeedFields),
    Route("POST", f"{PREFIX}/validate", _edit(Area.PREFIXES), addressing.validate_prefix, status=202),
    Route("GET", LOA, _read(Area.PREFIXES), loa.list_documents),
    Route(
        *("POST", LOA, _edit(Area.PREFIXES), loa.upload_document, loa.LoaBody),
        body_type=FORM,
        status=201,
        largest=loa.MAX_UPLOAD,
    ),
    Route("GET", f"{LOA}/{{loa_document_id}}/download", _read(Area.PREFIXES), loa.download_document),
    Route("DELETE", f"{LOA}/{{loa_document_id}}", _edit(Area.PREFIXES), loa.delete_document),
    Route("GET", BINDINGS, _read(Area.PREFIXES), addressing.list_bindings, query=PAGE),
    Route("POST", BINDINGS, _edit(Area.PREFIXES), addressing.create_binding, BindingBody, status=201),
    Route("GET", f"{BINDINGS}/{{binding_id}}", _read(Area.PREFIXES), addressing.get_binding),
    Route("DELETE", f"{BINDINGS}/{{binding_id}}", _edit(Area.PREFIXES), addressing.delete_binding),
    Route("GET", f"{ACCOUNT}/addressing/services", _read(Area.PREFIXES), addressing.list_services),
    Route("GET", f"{PREFIX}/delegations", _read(Area.PREFIXES), accounts.list_delegations),
    Route("POST", f"{PREFIX}/delegations", _edit(Area.PREFIXES), accounts.create_delegation, DelegationBody),
    Route(
        "DELETE",
        f"{PREFIX}/delegations/{{delegation_id}}",
        _edit(Area.PREFIXES),
        accounts.delete_delegation,
        query=FORCE,
    ),
    Route("GET", LEASES, _read(Area.PREFIXES), accounts.list_leases, query=PAGE),
    Route("POST", LEASES, OPERATOR, accounts.create_lease, LeaseBody),
    Route("DELETE", f"{LEASES}/{{lease_id}}", OPERATOR, accounts.delete_lease),
    Route("GET", f"{GONE_ZONE}/history", _read(Area.DNS), history.list_zone_versions),
    Route("GET", f"{GONE_ZONE}/history/{{version}}", _read(Area.DNS), history.get_zone_version),
    Route("POST", f"{GONE_ZONE}/history/{{version}}/restore", RESTORE_ZONE, history.restore_zone),
    Route("GET", "/zones", _read(Area.ZONES, Need.TOKEN), zones.list_zones, query=ZONE_FILTERS),
    Route("POST", "/zones", _edit(Area.ZONES, Need.TOKEN), zones.create_zone, ZoneBody),
    Route("GET", ZONE, _read(Area.ZONES), zones.get_zone),
    Route("PATCH", ZONE, _edit(Area.ZONES), zones.edit_zone, ZoneEdit),
    Route("DELETE", ZONE, _edit(Area.ZONES), zones.delete_zone),
    Route("PUT", f"{ZONE}/activation_check", _edit(Area.ZONES), zones.check_activation),
    Route("GET", f"{ZONE}/settings", _read(Area.ZONES), zone_settings.list_settings),
    Route("PATCH", f"{ZONE}/settings", _edit(Area.ZONES), zone_settings.edit_settings, SettingsBody),
    Route("GET", f"{ZONE}/settings/{{setting}}", _read(Area.ZONES), zone_settings.get_setting),
    Route("PATCH", f"{ZONE}/settings/{{setting}}", _edit(Area.ZONES), zone_settings.edit_setting, SwitchBody),
    Route("GET", f"{ZONE}/dns_settings", _read(Area.DNS), zone_settings.get_dns_settings),
    Route("PATCH", f"{ZONE}/dns_settings", _edit(Area.DNS), zone_settings.edit_dns_settings, ZoneDnsSettingsEdit),
    Route("GET", f"{ZONE}/dnssec", _read(Area.DNS), zones.get_dnssec),
    Route("GET", f"{ZONE}/pagerules", _read(Area.ZONES), zones.list_page_rules),
    Route("GET", f"{ZONE}/history", _read(Area.DNS), history.list_zone_versions),
    Route("GET", f"{ZONE}/history/{{version}}", _read(Area.DNS), history.get_zone_version),
    Route("POST", f"{ZONE}/history/{{version}}/restore", RESTORE_ZONE, history.restore_zone),
    Route("GET", RECORDS, _read(Area.DNS), records.list_records, query=RECORD_FILTERS),
    Route("POST", RECORDS, _edit(Area.DNS), records.create_record, RecordBody),
    Route("POST", f"{RECORDS}/scan", _edit(Area.DNS), scan.scan),
    Route("POST", f"{RECORDS}/scan/trigger", _edit(Area.DNS), scan.trigger_scan),
    Route("GET", f"{RECORDS}/scan/review", _read(Area.DNS), scan.list_scanned),
    Route("POST", f"{RECORDS}/scan/review", _edit(Area.DNS), scan.review_scan, scan.ScanReviewBody),
    Route("GET", REPORT, _read(Area.DNS), analytics.get_report, query=REPORTED),
    Route("GET", f"{REPORT}/bytime", _read(Area.DNS), analytics.get_report_by_time, query=("time_delta", *REPORTED)),
    Route("GET", f"{RECORDS}/usage", _read(Area.DNS), scan.get_zone_usage),
    Route("GET", f"{RECORDS}/export", _read(Area.DNS), zones.export_zone, query=("view",)),
    Route("POST", f"{RECORDS}/import", _edit(Area.DNS), records.import_zone, ImportBody, body_type=FORM),
    Route("POST", f"{RECORDS}/batch", _edit(Area.DNS), records.change_batch, BatchBody),
    Route("GET", RECORD, _read(Area.DNS), records.get_record),
    Route("PUT", RECORD, _edit(Area.DNS), records.replace_record, RecordBody),
    Route("PATCH", RECORD, _edit(Area.DNS), records.edit_record, RecordEditBody),
    Route("DELETE", RECORD, _edit(Area.DNS), records.delete_record),
)
