"""The routes of DNS analytics: the queries of a zone over time, from counters and from the sample of questions."""

from __future__ import annotations

import time
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dnsd.api.envelope import Reply
from dnsd.api.request import Call
from dnsd.manage.find import find_zone
from dnsd.manage.recent import TopQuestion
from dnsd.manage.refusal import Fault, Reason, RefusedError
from dnsd.manage.traffic import MAX_NAMED, SAMPLE_S, ZONES, Ring, Traffic
from dnsd.model.times import parse_time, time_text
from dnsd.model.zones import Zone
from dnsd.questions import SLOT_S, SLOTS

METRIC = "queryCount"
DIMENSIONS: Mapping[str, Callable[[TopQuestion], str]] = {
    "queryName": lambda one: one.name,
    "queryType": lambda one: one.type,
}
MAX_ROWS = 10_000
MAX_INTERVALS = 1_500  # of one report by time: a day of minutes
DEFAULT_S = 6 * 3_600.0  # before `until`
SAMPLED_S = SLOT_S * SLOTS
DAY_S, WEEK_S = 86_400.0, 604_800.0
MONDAY_S = 4 * DAY_S  # 1 January 1970 was a Thursday
DELTAS: Mapping[str, float] = {"minute": 60.0, "dekaminute": 600.0, "hour": 3_600.0, "day": DAY_S, "week": WEEK_S}
CountedRow = tuple[tuple[str, ...], int]  # values of the dimensions, number of queries
QUIET = f"a time with queries to more than {MAX_NAMED} zones counts the busiest of them alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyticsQuery:
    """A query for a report."""

    since: float  # seconds since 1970
    until: float
    dimensions: tuple[str, ...]
    sort: tuple[str, ...]
    limit: int

    def shown(self) -> dict[str, Any]:
        """The query in a response."""
        return {
            "dimensions": list(self.dimensions),
            "metrics": [METRIC],
            "since": _time_text(self.since),
            "until": _time_text(self.until),
            "limit": self.limit,
            **({"sort": list(self.sort)} if self.sort else {}),
        }


async def get_report(call: Call) -> Reply:
    """Count the queries of a zone, or its questions of the last ten minutes by name and type"""
    zone, now = find_zone(call.dataset, call.path["zone_id"]), time.time()
    query = _query(call, now, by_time=False)
    total = _count(call, zone, _ring(call.service.traffic, query, now), [(query.since, query.until)])[0]
    rows: list[CountedRow] = [((), total)]
    if query.dimensions:
        rows = list(_rows(query, total, call.service.recent.top(MAX_ROWS, zones=_served(call, zone))))
    data = [{"dimensions": list(values), "metrics": [count]} for values, count in _sorted(query, rows)]
    return Reply(_report(query, data[: query.limit], len(rows), total))


async def get_report_by_time(call: Call) -> Reply:
    """Count the queries of a zone over time"""
    zone, now = find_zone(call.dataset, call.path["zone_id"]), time.time()
    query = _query(call, now, by_time=True)
    ring = _ring(call.service.traffic, query, now)
    delta = _delta(call, query, ring)
    intervals = [(query.since, query.until)] if delta == "all" else list(_intervals(query, DELTAS[delta], delta))
    counts = _count(call, zone, ring, intervals)
    report = _report(query, [{"dimensions": [], "metrics": [counts]}], 1, sum(counts))
    report["query"]["time_delta"] = delta
    report["time_intervals"] = [[_time_text(start), _time_text(end)] for start, end in intervals]
    return Reply(report)


def _query(call: Call, now: float, *, by_time: bool) -> AnalyticsQuery:
    """The query in a request. Raises RefusedError with every parameter that cannot be used."""
    faults: list[Fault] = []

    def wrong(name: str, message: str) -> None:
        faults.append(Fault(Reason.INVALID, f"{name}: {message}", (name,)))

    until = _time(call, "until", now, wrong)
    since = _time(call, "since", until - DEFAULT_S, wrong)
    if since >= until:
        wrong("since", "must be before `until`")
    elif until > now + DAY_S:
        wrong("until", "may be at most a day ahead")
    elif since < now - WEEK_S - SAMPLE_S:
        wrong("since", "queries are kept for a week")
    dimensions = _list(call, "dimensions")
    known = [] if by_time else list(DIMENSIONS)
    for one in dimensions:
        if one not in known:
            wrong("dimensions", f"{one!r} is not available here; {_known(known)}")
    if dimensions and since < now - SAMPLED_S - SAMPLE_S:
        wrong("dimensions", "names and types are kept for ten minutes: ask for a later `since`")
    for one in _list(call, "metrics"):
        if one != METRIC:
            wrong("metrics", f"{one!r} is not available here; {_known([METRIC])}")
    if call.query.get("filters"):
        wrong("filters", "not available here")
    sort = _list(call, "sort")
    for one in sort:
        if one.lstrip("+-") not in (*dimensions, METRIC):
            wrong("sort", f"{one!r} is neither a dimension of this report nor {METRIC}")
    limit = call.query.get("limit", str(MAX_ROWS))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= MAX_ROWS):
        wrong("limit", f"must be a number from 1 to {MAX_ROWS:,}")
    if faults:
        raise RefusedError(*dict.fromkeys(faults))
    return AnalyticsQuery(since=since, until=until, dimensions=dimensions, sort=sort, limit=int(limit))


def _time(call: Call, name: str, default: float, wrong: Callable[[str, str], None]) -> float:
    text = call.query.get(name)
    if not text:
        return default
    try:
        return parse_time(text.replace(" ", "+")).timestamp()  # a plus sign that a client did not encode
    except ValueError as error:
        wrong(name, str(error))
        return default


def _list(call: Call, name: str) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(one.strip().replace(" ", "+") for one in call.query.get(name, "").split(",") if one.strip())
    )


def _known(names: Sequence[str]) -> str:
    return f"these are: {', '.join(names)}" if names else "reports by time have no dimensions"


def _ring(traffic: Traffic, query: AnalyticsQuery, now: float) -> Ring:
    """The finest ring that goes back to the start of the query."""
    rings = list(traffic.rings.values())
    return next((ring for ring in rings if query.since >= now - ring.size.covered_s - SAMPLE_S), rings[-1])


def _count(call: Call, zone: Zone, ring: Ring, intervals: Sequence[tuple[float, float]]) -> list[int]:
    """The number of queries to a zone in each interval; a sample counts by the part of its time."""
    counts, starts = [0.0] * len(intervals), [start for start, _ in intervals]
    for sample in ring.samples if _served(call, zone) else ():
        zones = sample.counts[ZONES]
        count = zones.get(zone.name_text)
        if count is None:
            if len(zones) == MAX_NAMED and QUIET not in call.notes:
                call.notes.append(QUIET)
            continue
        for place in range(max(0, bisect(starts, sample.at - sample.seconds) - 1), bisect(starts, sample.at)):
            start, end = intervals[place]
            common_s = min(end, sample.at) - max(start, sample.at - sample.seconds)
            if common_s > 0:
                counts[place] += count * min(1.0, common_s / sample.seconds)
    return list(map(round, counts))


def _served(call: Call, zone: Zone) -> set[bytes]:
    """The zone's name if it is served; a zone that waits sees nothing of the zone of this name."""
    return set() if zone.id in call.dataset.waiting else {zone.name}


def _rows(query: AnalyticsQuery, total: int, asked: Sequence[TopQuestion]) -> Iterator[CountedRow]:
    shares: dict[tuple[str, ...], float] = {}
    for one in asked:
        values = tuple(DIMENSIONS[name](one) for name in query.dimensions)
        shares[values] = shares.get(values, 0) + one.share
    return ((values, round(total * share)) for values, share in shares.items())


def _sorted(query: AnalyticsQuery, rows: Sequence[CountedRow]) -> list[CountedRow]:
    """The rows in the order of the query; without one, the largest counts first."""
    ordered = sorted(rows)
    for one in reversed(query.sort or (f"-{METRIC}",)):
        name, is_descending = one.lstrip("+-"), one.startswith("-")
        if name == METRIC:
            ordered.sort(key=lambda row: row[1], reverse=is_descending)
        else:
            ordered.sort(key=_value_at(query.dimensions.index(name)), reverse=is_descending)
    return ordered


def _value_at(place: int) -> Callable[[CountedRow], str]:
    return lambda row: row[0][place]


def _delta(call: Call, query: AnalyticsQuery, ring: Ring) -> str:
    """The unit of time. Raises RefusedError if it is unknown or finer than what is kept of that time."""
    wanted = call.query.get("time_delta", "auto")
    range_s = query.until - query.since
    usable = [
        name
        for name, seconds in DELTAS.items()
        if seconds >= 2 * ring.size.step_s and range_s <= MAX_INTERVALS * seconds
    ]
    if wanted == "auto":
        return usable[0]
    if wanted == "all" or wanted in usable:
        return wanted
    message = f"time_delta: {wanted!r} is not available for this time; these are: auto, all, {', '.join(usable)}"
    raise RefusedError(Fault(Reason.INVALID, message, ("time_delta",)))


def _intervals(query: AnalyticsQuery, delta_s: float, delta: str) -> Iterator[tuple[float, float]]:
    """The intervals of a query, which begin at whole units of time in UTC."""
    shift = MONDAY_S if delta == "week" else 0.0
    start = query.since
    while start < query.until:
        end = min(query.until, ((start - shift) // delta_s + 1) * delta_s + shift)
        yield start, end
        start = end


def _report(query: AnalyticsQuery, data: list[dict[str, Any]], rows: int, total: int) -> dict[str, Any]:
    return {
        "data": data,
        "data_lag": SAMPLE_S,
        "max": {},
        "min": {},
        "query": query.shown(),
        "rows": rows,
        "totals": {METRIC: total},
    }


def _time_text(seconds: float) -> str:
    return time_text(datetime.fromtimestamp(seconds, UTC))
