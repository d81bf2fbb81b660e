"""The catalogue of metrics with their labels and help texts, and counters for them. No I/O, no clock."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

MetricKind = Literal["counter", "gauge", "histogram"]
NO_ZONE = "none"  # the zone label of queries for names outside of our zones
Key = tuple[str, ...]  # a metric's name, then the values of its labels in the catalogue's order


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric family in Prometheus's sense."""

    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()


METRICS: dict[str, Metric] = {
    "dnsd_requests_total": Metric("counter", "Messages received, by query type.", ("protocol", "family", "type")),
    "dnsd_zone_requests_total": Metric("counter", "Queries, by the zone of their name.", ("zone",)),
    "dnsd_responses_total": Metric("counter", "Messages answered, by rcode.", ("protocol", "rcode")),
    "dnsd_dropped_total": Metric(
        "counter", "Messages received but not answered; requests = responses + dropped.", ("protocol", "reason")
    ),
    "dnsd_truncated_total": Metric("counter", "Responses with TC set.", ("protocol",)),
    "dnsd_edge_answers_total": Metric(
        "counter", "Answers with edge addresses, by the step of the map search that found them.", ("step", "map")
    ),
    "dnsd_unadvertised_answers_total": Metric(
        "counter", "Answers with addresses that are declared or observed withdrawn, by map.", ("map",)
    ),
    "dnsd_rate_limited_total": Metric("counter", "Responses over the rate limit, by action.", ("action",)),
    "dnsd_cookies_total": Metric("counter", "Queries with a DNS cookie, by its state.", ("state",)),
    "dnsd_tcp_connections": Metric("gauge", "TCP connections open now."),
    "dnsd_tcp_accepted_total": Metric("counter", "TCP connections accepted."),
    "dnsd_tcp_refused_total": Metric("counter", "TCP connections closed on arrival, by reason.", ("reason",)),
    "dnsd_tcp_closed_total": Metric("counter", "TCP connections closed, by reason.", ("reason",)),
    "dnsd_response_seconds": Metric(
        "histogram", "Time from reading a message to sending its response; the mean of each turn.", ("protocol",)
    ),
    "dnsd_socket_drops_total": Metric("counter", "Datagrams dropped, receive buffer full."),
    "dnsd_send_errors_total": Metric("counter", "Responses that the system failed to send.", ("protocol",)),
    "dnsd_reloads_total": Metric("counter", "Reloads of the files, by result.", ("result",)),
    "dnsd_api_requests_total": Metric("counter", "HTTP API requests, by method and status.", ("method", "status")),
    "dnsd_revision": Metric("gauge", "The published revision."),
    "dnsd_source_ok": Metric("gauge", "1 if all files are served as they are."),
    "dnsd_unadvertised_maps": Metric("gauge", "Maps that answer with withdrawn addresses."),
    "dnsd_fleet_problems": Metric(
        "gauge", "Problems of an edge with its fleet: no servers, another state, old papers."
    ),
    "dnsd_fleet_edges": Metric("gauge", "Edges of the fleet, as a control sees them, by state.", ("state",)),
    "dnsd_fleet_edge_lag_seconds": Metric(
        "gauge", "Time for which an edge has not served what its control has; of at most 500 edges.", ("edge",)
    ),
    "dnsd_accounts_held": Metric("gauge", "Accounts with errors, kept at their last good version."),
    "dnsd_pending_changes": Metric("gauge", "Pending changes of address maps, by state.", ("state",)),
    "dnsd_snapshot_saved": Metric("gauge", "1 unless saving the snapshot file failed."),
    "dnsd_last_reload_seconds": Metric("gauge", "Duration of the last load, up to publishing."),
    "dnsd_last_reload_timestamp_seconds": Metric("gauge", "Time of the end of the last load, in seconds since 1970."),
    "dnsd_worker_restarts_total": Metric("counter", "Workers restarted after they ended."),
    "dnsd_workers": Metric("gauge", "Workers serving the published revision."),
    "dnsd_zones": Metric("gauge", "Zones served."),
    "dnsd_names": Metric("gauge", "Names served, empty non-terminals included."),
    "dnsd_records": Metric("gauge", "Records in the zones served."),
    "dnsd_maps": Metric("gauge", "Address maps, enabled or not."),
    "dnsd_guard_refused": Metric("gauge", "1 while files wait for an operator, as the guard refused them."),
    "dnsd_guard_waiting_names": Metric("gauge", "Proxied names that waiting files would answer otherwise."),
    "dnsd_brake_limit": Metric("gauge", "Accounts whose addresses an author may change within the brake's window."),
    "dnsd_brake_accounts": Metric("gauge", "Accounts whose addresses an author has changed within it.", ("author",)),
    "dnsd_brake_refusals_total": Metric("counter", "Changes over the brake's limit, by kind of author.", ("author",)),
    "dnsd_tls_certificate_expiry_timestamp_seconds": Metric(
        "gauge", "End of the served certificate, in seconds since 1970; 0 without one.", ("service",)
    ),
    "dnsd_tls_certificate_usable": Metric("gauge", "1 if the certificate's files can be used.", ("service",)),
    "dnsd_log_dropped_total": Metric("counter", "Log lines dropped, stderr not read in time."),
    "dnsd_process_resident_bytes": Metric("gauge", "Resident memory of a process.", ("process",)),
    "dnsd_process_cpu_seconds_total": Metric("counter", "User and system time of a process.", ("process",)),
    "dnsd_process_open_fds": Metric("gauge", "Open file descriptors of a process.", ("process",)),
    "dnsd_process_threads": Metric("gauge", "Threads of a process.", ("process",)),
    "dnsd_build_info": Metric("gauge", "1, labelled with the running version.", ("version",)),
}

# Upper bounds of the histogram's buckets, in seconds: from a lookup to a delay that clients notice.
BOUNDS_S = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5)
BUCKETS = (*map(str, BOUNDS_S), "+Inf")
SUM = "sum"  # a bucket's label for the total seconds of all observations


class Counts:
    """Counters by metric and labels, since the last `take`."""

    __slots__ = ("_counter",)

    def __init__(self) -> None:
        self._counter: defaultdict[Key, float] = defaultdict(float)

    def add(self, name: str, *labels: str, by: float = 1) -> None:
        """Add `by` to a metric with these label values."""
        self._counter[(name, *labels)] += by

    def observe(self, name: str, *labels: str, seconds: float, count: int) -> None:
        """Add `count` observations to a histogram, each as the mean of their total `seconds`."""
        self.add(name, *labels, BUCKETS[bisect_left(BOUNDS_S, seconds / count)], by=count)
        self.add(name, *labels, SUM, by=seconds)

    def merge(self, counts: Iterable[tuple[Key, float]]) -> None:
        """Add another process's counts."""
        for key, value in counts:
            self._counter[key] += value

    def take(self) -> list[tuple[Key, float]]:
        """Return the counts since the last call, and reset them."""
        taken = self.items()
        self._counter.clear()
        return taken

    def forget(self, is_gone: Callable[[Key], bool]) -> None:
        """Drop the counters for which `is_gone` is true; they start again at zero if counted again."""
        for key in [key for key in self._counter if is_gone(key)]:
            del self._counter[key]

    def __len__(self) -> int:
        return len(self._counter)

    def items(self) -> list[tuple[Key, float]]:
        """Return the counts without a reset."""
        return [(key, float(value)) for key, value in self._counter.items()]
