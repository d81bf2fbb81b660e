"""Routes that clients call and that have little to do here: scans, usage, members and roles."""

from __future__ import annotations

import pytest
from cloudflare import Cloudflare
from cloudflare.types.dns import RecordScanResponse, RecordScanReviewResponse
from cloudflare.types.dns.usage import AccountGetResponse, ZoneGetResponse
from cloudflare.types.shared import Member, Role

from tests.api.server import A1, Z1, Z2, Api


def test_scan_finds_nothing(api: Api) -> None:
    records = f"/zones/{Z1}/dns_records"
    before = api.result("GET", records)
    found = api.result("POST", f"{records}/scan")
    RecordScanResponse.model_validate(found)
    assert found == {"recs_added": 0, "total_records_parsed": 0}
    api.result("POST", f"{records}/scan/trigger")
    assert api.result("GET", f"{records}/scan/review") == []
    reviewed = api.result("POST", f"{records}/scan/review", {"accepts": [], "rejects": []})
    RecordScanReviewResponse.model_validate(reviewed)
    status, code, message = api.refused("POST", f"{records}/scan/review", {"rejects": [{"id": "1" * 32}]})
    assert (status, code, message) == (400, 1001, "rejects is not available here: a scan finds no records")
    assert api.result("GET", records) == before
    with Cloudflare(api_token=api.operator, base_url=f"{api.origin}/client/v4") as sdk:
        assert sdk.dns.records.scan_trigger(zone_id=Z1)
        assert [*sdk.dns.records.scan_list(zone_id=Z1)] == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_scan_is_no_id_of_a_record(api: Api, method: str) -> None:
    assert api.refused(method, f"/zones/{Z1}/dns_records/scan", {} if method == "PUT" else None)[:2] == (404, 7003)


def test_usage_counts_the_records_that_clients_see(api: Api) -> None:
    totals = {zone: len(api.result("GET", f"/zones/{zone}/dns_records")) for zone in (Z1, Z2)}
    for zone, total in totals.items():
        usage = api.result("GET", f"/zones/{zone}/dns_records/usage")
        ZoneGetResponse.model_validate(usage)
        assert usage == {"record_quota": 100_000, "record_usage": total}
    usage = api.result("GET", f"/accounts/{A1}/dns_records/usage")
    AccountGetResponse.model_validate(usage)
    assert usage["record_usage"] == sum(totals.values())


def test_token_is_the_member_of_its_account(api: Api) -> None:
    token = api.token("--account", A1, "--permission", "dns:edit", "--name", "ci")
    (member,) = api.result("GET", f"/accounts/{A1}/members", token=token)
    Member.model_validate(member)
    assert api.result("GET", f"/accounts/{A1}/members/{member['id']}", token=token) == member
    assert member["id"] in [one["id"] for one in api.result("GET", "/memberships", token=token)]
    (role,) = api.result("GET", f"/accounts/{A1}/roles", token=token)
    Role.model_validate(role)
    assert (role["name"], role["permissions"]["dns_records"]) == ("dns:edit", {"read": True, "write": True})
    assert api.refused("GET", f"/accounts/{A1}/members/{'1' * 32}", token=token)[:2] == (404, 1000)
