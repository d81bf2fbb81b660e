"""DNS analytics: Cloudflare's reports from our counters, with the SDK's models; all that we lack is refused by name."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudflare import Cloudflare
from cloudflare.types.dns.analytics import Report
from cloudflare.types.dns.analytics.reports import ByTime

from dnsd.manage.traffic import MAX_NAMED
from dnsd.manage.traffic_files import FORM
from tests.api.server import Z1, Z2, Api
from tests.soak.harness import wait_until

REPORT, BY_TIME = f"/zones/{Z1}/dns_analytics/report", f"/zones/{Z1}/dns_analytics/report/bytime"
STEPS = {"hour": (10, 360), "day": (300, 288), "week": (1_800, 336)}  # seconds of a sample, samples


def line(at: float, seconds: float, zones: Mapping[str, float]) -> str:
    return json.dumps([at, seconds, {"queries": {}, "rcodes": {}, "maps": {}, "zones": zones}])


@pytest.fixture(scope="module", name="api")
def _api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that has answered two queries a second for example.com during a week, and many for other zones."""
    api = Api(tmp_path_factory.mktemp("analytics"))
    state, now = api.folder / "state", time.time()
    state.mkdir(exist_ok=True)
    others = {f"z{number}.example": 1e6 for number in range(MAX_NAMED - 1)}
    for name, (step, count) in STEPS.items():
        samples = [line(now - step * n, step, {"example.com": 2.0 * step, **others}) for n in range(count - 1, -1, -1)]
        (state / f"traffic_{name}").write_text("\n".join([FORM, *samples, ""]))
    with api.running():
        weeks = {"since": ago(500_000)}  # the last file that is read, after the start
        wait_until(lambda: bool(api.result("GET", REPORT, params=weeks)["totals"]["queryCount"]))
        yield api


def ago(seconds: float) -> str:
    return datetime.fromtimestamp(time.time() - seconds, UTC).isoformat()


def report(api: Api, path: str, **query: Any) -> Any:
    result = api.result("GET", path, params=query)
    (ByTime if path.endswith("bytime") else Report).model_validate(result)
    return result


COUNTS = {"six hours": (None, 43_200), "minutes": (1_200, 2_400), "a day": (80_000, 160_000), "days": (500_000, 1e6)}


@pytest.mark.parametrize(("since_s", "expected"), COUNTS.values(), ids=COUNTS.keys())
def test_queries_of_a_zone_are_counted(api: Api, since_s: float | None, expected: float) -> None:
    found = report(api, REPORT, **({"since": ago(since_s)} if since_s else {}))
    assert found["totals"]["queryCount"] == pytest.approx(expected, rel=0.05)
    assert found["data"] == [{"dimensions": [], "metrics": [found["totals"]["queryCount"]]}]
    assert (found["rows"], found["query"]["limit"], found["query"]["metrics"]) == (1, 10_000, ["queryCount"])


DELTAS = {
    "minutes": (1_800, "minute", 60),
    "ten minutes": (3_500 * 6, "dekaminute", 600),
    "hours": (86_400 * 5, "hour", 3_600),
    "days": (86_400 * 6, "day", 86_400),
    "by itself, of an hour": (3_000, None, 60),
    "by itself, of a week": (600_000, "auto", 3_600),
}


@pytest.mark.parametrize(("since_s", "delta", "step_s"), DELTAS.values(), ids=DELTAS.keys())
def test_queries_over_time(api: Api, since_s: float, delta: str | None, step_s: float) -> None:
    found = report(api, BY_TIME, since=ago(since_s), **({"time_delta": delta} if delta else {}))
    intervals = [[datetime.fromisoformat(one).timestamp() for one in pair] for pair in found["time_intervals"]]
    (counts,) = found["data"][0]["metrics"]
    assert len(counts) == len(intervals)
    assert [end for _, end in intervals[:-1]] == [start for start, _ in intervals[1:]]
    assert intervals[-1][1] - intervals[0][0] == pytest.approx(since_s, abs=5)
    assert all(start % step_s == 0 for start, _ in intervals[1:])
    for (start, end), count in list(zip(intervals, counts, strict=True))[1:-3]:  # not the time of the server's start
        assert count == pytest.approx(2 * (end - start), rel=0.1)
    assert sum(counts) == found["totals"]["queryCount"]


def test_all_of_the_time_is_one_interval(api: Api) -> None:
    found = report(api, BY_TIME, since=ago(3_000), time_delta="all")
    assert len(found["time_intervals"]) == 1
    assert found["query"]["time_delta"] == "all"


REFUSED = {
    "another metric": (REPORT, {"metrics": "queryCount,uncachedCount"}, "metrics", "'uncachedCount' is not available"),
    "another dimension": (REPORT, {"dimensions": "coloName"}, "dimensions", "'coloName' is not available here"),
    "names of an hour": (REPORT, {"dimensions": "queryName"}, "dimensions", "kept for ten minutes"),
    "names by time": (BY_TIME, {"dimensions": "queryName"}, "dimensions", "reports by time have no dimensions"),
    "filters": (REPORT, {"filters": "queryType==A"}, "filters", "not available here"),
    "an unknown order": (REPORT, {"sort": "-responseCode"}, "sort", "neither a dimension of this report"),
    "no time": (REPORT, {"since": "yesterday"}, "since", "is not a time"),
    "no time zone": (REPORT, {"until": "2026-01-01T00:00:00"}, "until", "is not a time"),
    "an early time": (REPORT, {"since": "2020-01-01T00:00:00Z"}, "since", "kept for a week"),
    "the first year": (REPORT, {"since": "0001-01-01T00:00:00+23:59"}, "since", "is not a time"),
    "turned round": (REPORT, {"since": ago(10), "until": ago(20)}, "since", "must be before `until`"),
    "a late end": (BY_TIME, {"until": "9999-12-31T23:59:59Z"}, "until", "at most a day ahead"),
    "no rows": (REPORT, {"limit": "0"}, "limit", "from 1 to 10,000"),
    "too many rows": (REPORT, {"limit": "10001"}, "limit", "from 1 to 10,000"),
    "no number": (REPORT, {"limit": "²"}, "limit", "from 1 to 10,000"),
    "minutes of a day": (BY_TIME, {"time_delta": "minute"}, "time_delta", "auto, all, dekaminute, hour"),
    "months": (BY_TIME, {"time_delta": "month"}, "time_delta", "'month' is not available"),
}


@pytest.mark.parametrize(("path", "query", "field", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_missing_data_is_refused_by_name(api: Api, path: str, query: dict[str, str], field: str, message: str) -> None:
    status, code, said = api.refused("GET", path, params=query)
    assert (status, code) == (400, 1001)
    assert field in said
    assert message in said


def test_quiet_zone_of_busy_times_is_told(api: Api) -> None:
    response = api.call("GET", f"/zones/{Z2}/dns_analytics/report").json()
    assert response["result"]["totals"] == {"queryCount": 0}
    assert f"more than {MAX_NAMED} zones" in response["messages"][0]["message"]


def test_names_and_types_of_the_last_minutes(api: Api) -> None:
    for _ in range(9):
        api.ask("www.example.com")
    api.ask("dns.example.com")
    api.ask("dns.example.com", "AAAA")
    api.ask("www.example.net")
    query = {"dimensions": "queryName,queryType", "since": ago(590)}
    wait_until(lambda: report(api, REPORT, **query)["rows"] == 3)
    found = report(api, REPORT, **query)
    names = [one["dimensions"] for one in found["data"]]
    assert names[0] == ["www.example.com", "A"]
    assert sorted(names[1:]) == [["dns.example.com", "A"], ["dns.example.com", "AAAA"]]
    total = found["totals"]["queryCount"]
    assert found["data"][0]["metrics"][0] == pytest.approx(total * 9 / 11, abs=2)
    types = report(api, REPORT, dimensions="queryType", since=ago(590), sort="-queryType", limit="1")
    assert (types["rows"], [one["dimensions"] for one in types["data"]]) == (2, [["AAAA"]])
    assert types["query"]["sort"] == ["-queryType"]


def test_sdk_reads_both_reports(api: Api) -> None:
    with Cloudflare(api_token=api.operator, base_url=f"{api.origin}/client/v4") as sdk:
        with pytest.warns(DeprecationWarning, match="deprecated"):  # at Cloudflare, for GraphQL
            found = sdk.dns.analytics.reports.get(zone_id=Z1, metrics="queryCount", since=ago(3_600), until=ago(0))
        assert found is not None
        assert found.rows == 1
        with pytest.warns(DeprecationWarning, match="deprecated"):
            over_time = sdk.dns.analytics.reports.bytimes.get(zone_id=Z1, time_delta="minute", since=ago(600))
        assert over_time is not None
        assert len(over_time.time_intervals) in (10, 11)
