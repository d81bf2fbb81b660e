"""The routes of scans and of record quotas. dnsd scans no other servers: a scan finds nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dnsd.api.bodies import RequestBody
from dnsd.api.envelope import Reply
from dnsd.api.other_fields import Unavailable
from dnsd.api.request import Call
from dnsd.manage.find import find_account, find_zone
from dnsd.model.quota_rules import quotas_of

FINDS_NOTHING = Unavailable(remedy="a scan finds no records")


class ScanReviewBody(RequestBody):
    """The records of a scan to accept and to reject; there are none."""

    unavailable: ClassVar[Mapping[str, Unavailable]] = {"accepts": FINDS_NOTHING, "rejects": FINDS_NOTHING}


async def scan(call: Call) -> Reply:
    """Scan for records of the zone elsewhere: finds nothing"""
    return Reply({"recs_added": 0, "total_records_parsed": 0})


async def trigger_scan(call: Call) -> Reply:
    """Begin a scan for records of the zone elsewhere: finds nothing"""
    return Reply({})


async def list_scanned(call: Call) -> Reply:
    """List the records that a scan has found: always an empty list"""
    return Reply(call.listed([], dict))


async def review_scan(call: Call) -> Reply:
    """Accept or reject records that a scan has found: there are none"""
    call.fields(ScanReviewBody)
    return Reply({"accepts": [], "rejects": []})


async def get_zone_usage(call: Call) -> Reply:
    """Get the number of a zone's records, and the quota"""
    loaded = call.service.loaded
    zone = find_zone(loaded.dataset, call.path["zone_id"])
    limits = quotas_of(loaded.dataset.accounts[zone.account_id], loaded.settings.quotas)
    return Reply({"record_quota": limits.records_per_zone, "record_usage": zone.client_records})


async def get_account_usage(call: Call) -> Reply:
    """Get the number of records of all zones of an account, and the quota"""
    loaded = call.service.loaded
    account = find_account(loaded.dataset, call.path["account_id"])
    limits = quotas_of(account, loaded.settings.quotas)
    return Reply({"record_quota": limits.records, "record_usage": loaded.uses[account.id].records})
