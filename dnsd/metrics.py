"""The catalogue of metrics: every name, label and meaning, written once; and counting by them. No I/O, no clock."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
NO_ZONE = "none"  # the zone label of queries for names outside of our zones
Key = tuple[str, ...]  # a metric's name, then the values of its labels in the catalogue's order


@dataclass(frozen=True, slots=True)
class Metric:
    """One family of time series, as Prometheus has them."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


METRICS: dict[str, Metric] = {
    "dnsd_requests_total": Metric("counter", "Messages received, by what they ask.", ("protocol", "family", "type")),
    "dnsd_zone_requests_total": Metric("counter", "Queries by the zone that their name is in.", ("zone",)),
    "dnsd_responses_total": Metric("counter", "Messages answered.", ("protocol", "rcode")),
    "dnsd_dropped_total": Metric(
        "counter", "Messages received and not answered; requests = responses + dropped.", ("protocol", "reason")
    ),
    "dnsd_truncated_total": Metric("counter", "Responses with TC set.", ("protocol",)),
    "dnsd_edge_answers_total": Metric(
        "counter", "Answers of edge addresses, by the step of the search that found them.", ("step", "map")
    ),
    "dnsd_rate_limited_total": Metric("counter", "Responses over the rate of their client's network.", ("action",)),
    "dnsd_cookies_total": Metric("counter", "Queries with a DNS cookie.", ("state",)),
    "dnsd_tcp_connections": Metric("gauge", "TCP connections open now."),
    "dnsd_tcp_accepted_total": Metric("counter", "TCP connections accepted."),
    "dnsd_tcp_refused_total": Metric("counter", "TCP connections closed at once.", ("reason",)),
    "dnsd_tcp_closed_total": Metric("counter", "TCP connections ended.", ("reason",)),
    "dnsd_response_seconds": Metric(
        "histogram", "From a message being read to its response being sent; the mean of each turn.", ("protocol",)
    ),
    "dnsd_socket_drops_total": Metric("counter", "Datagrams that found a socket's buffer full."),
    "dnsd_send_errors_total": Metric("counter", "Responses that the system would not send.", ("protocol",)),
    "dnsd_reloads_total": Metric("counter", "Attempts to load the source anew.", ("result",)),
    "dnsd_api_requests_total": Metric("counter", "Requests to the HTTP API that were answered.", ("method", "status")),
    "dnsd_revision": Metric("gauge", "The revision that is published."),
    "dnsd_source_ok": Metric("gauge", "1 if what is served is what the source says."),
    "dnsd_accounts_held": Metric("gauge", "Accounts in error, which stay at their last good version."),
    "dnsd_snapshot_saved": Metric("gauge", "1 if the snapshot file holds what is published."),
    "dnsd_last_reload_seconds": Metric("gauge", "How long the last load took, until every worker served it."),
    "dnsd_last_reload_timestamp_seconds": Metric("gauge", "When the last load ended, in seconds since 1970."),
    "dnsd_worker_restarts_total": Metric("counter", "Workers started in the place of one that ended."),
    "dnsd_workers": Metric("gauge", "Workers that serve the published revision."),
    "dnsd_zones": Metric("gauge", "Zones served."),
    "dnsd_names": Metric("gauge", "Names served, empty non-terminals included."),
    "dnsd_records": Metric("gauge", "Records in the zones served."),
    "dnsd_maps": Metric("gauge", "Address maps, enabled or not."),
    "dnsd_log_dropped_total": Metric("counter", "Log lines that nobody took in time."),
    "dnsd_process_resident_bytes": Metric("gauge", "Memory of a process.", ("process",)),
    "dnsd_process_cpu_seconds_total": Metric("counter", "User and system time of a process.", ("process",)),
    "dnsd_process_open_fds": Metric("gauge", "File descriptors of a process.", ("process",)),
    "dnsd_process_threads": Metric("gauge", "Threads of a process.", ("process",)),
    "dnsd_build_info": Metric("gauge", "1, with the version that runs.", ("version",)),
}

# Upper bounds of the histogram's buckets, in seconds: from a lookup to what a client would notice.
BOUNDS_S = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5)
BUCKETS = (*map(str, BOUNDS_S), "+Inf")
SUM = "sum"  # stands in a bucket's place: the seconds of all observations


class Counts:
    """Counters by metric and labels; what has been added since the last `take`."""

    __slots__ = ("_counter",)

    def __init__(self) -> None:
        self._counter: defaultdict[Key, float] = defaultdict(float)

    def add(self, name: str, *labels: str, by: float = 1) -> None:
        """Count `by` more of a metric with these values of its labels."""
        self._counter[(name, *labels)] += by

    def observe(self, name: str, *labels: str, seconds: float, count: int) -> None:
        """Add `count` observations of a histogram that took `seconds` together: each counts as their mean."""
        self.add(name, *labels, BUCKETS[bisect_left(BOUNDS_S, seconds / count)], by=count)
        self.add(name, *labels, SUM, by=seconds)

    def merge(self, counts: Iterable[tuple[Key, float]]) -> None:
        """Add what another process counted."""
        for key, value in counts:
            self._counter[key] += value

    def take(self) -> list[tuple[Key, float]]:
        """Everything counted since the last call."""
        taken = self.items()
        self._counter.clear()
        return taken

    def forget(self, is_gone: Callable[[Key], bool]) -> None:
        """Forget counters of what is no more; one that comes back begins anew."""
        for key in [key for key in self._counter if is_gone(key)]:
            del self._counter[key]

    def __len__(self) -> int:
        return len(self._counter)

    def items(self) -> list[tuple[Key, float]]:
        """Everything counted, left in place."""
        return [(key, float(value)) for key, value in self._counter.items()]
