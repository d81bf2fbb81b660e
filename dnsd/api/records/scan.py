"""The routes of scans and of record quotas. dnsd scans no other servers: a scan finds nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dnsd.api.bodies import RequestBody
from dnsd.api.envelope import Reply
from dnsd.api.other_fields import Unavailable
from dnsd.api.request import Call, in_thread
from dnsd.manage.find import find_account, find_zone
from dnsd.model.requests import is_servers_own
from dnsd.model.zones import Zone

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
    """Get the number of a zone's records; there is no quota"""
    zone = find_zone(call.dataset, call.path["zone_id"])
    return Reply({"record_quota": None, "record_usage": await in_thread(len(zone.records), _total, zone)})


async def get_account_usage(call: Call) -> Reply:
    """Get the number of records of all zones of an account; there is no quota"""
    account = find_account(call.dataset, call.path["account_id"])
    zones = [zone for zone in call.dataset.zones.values() if zone.account_id == account.id]
    total = await in_thread(sum(len(zone.records) for zone in zones), lambda: sum(map(_total, zones)))
    return Reply({"record_quota": None, "record_usage": total})


def _total(zone: Zone) -> int:
    """The number of records that clients see."""
    return sum(not is_servers_own(zone.name, owner, rtype) for owner, rtype in zone.records.owners_and_types())
