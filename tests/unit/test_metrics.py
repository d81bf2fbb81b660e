"""Names and labels of metrics, linted as `promtool check metrics` would, and counting by them."""

from __future__ import annotations

import re

import pytest

from dnsd.metrics import BOUNDS_S, BUCKETS, METRICS, SUM, Counts, Metric

UNITS = ("_seconds", "_bytes", "_ratio", "_info", "_total", "_timestamp_seconds", "_fds", "_threads")
COUNTED = {  # gauges of numbers of objects
    "dnsd_tcp_connections",
    "dnsd_revision",
    "dnsd_source_ok",
    "dnsd_accounts_held",
    "dnsd_fleet_problems",
    "dnsd_fleet_edges",
    "dnsd_pending_changes",
    "dnsd_guard_refused",
    "dnsd_guard_waiting_names",
    "dnsd_brake_limit",
    "dnsd_brake_accounts",
    "dnsd_snapshot_saved",
    "dnsd_tls_certificate_usable",
    "dnsd_workers",
    "dnsd_zones",
    "dnsd_names",
    "dnsd_records",
    "dnsd_maps",
    "dnsd_unadvertised_maps",
}


@pytest.mark.parametrize(("name", "metric"), METRICS.items(), ids=METRICS.keys())
def test_names_follow_the_conventions(name: str, metric: Metric) -> None:
    assert re.fullmatch(r"dnsd_[a-z]+(_[a-z]+)*", name)
    assert name.endswith("_total") == (metric.kind == "counter")
    assert name.endswith(UNITS) or name in COUNTED
    assert not re.search(r"_(bucket|count|sum|created)$", name)
    assert not re.search(r"milli|micro|_ms|kilo|mega|_kib|_mib", name)
    assert metric.help.endswith(".")
    assert metric.help[0].isupper() or metric.help[0].isdigit()


@pytest.mark.parametrize(("name", "metric"), METRICS.items(), ids=METRICS.keys())
def test_labels_follow_the_conventions(name: str, metric: Metric) -> None:
    assert len(set(metric.labels)) == len(metric.labels)
    for label in metric.labels:
        assert re.fullmatch(r"[a-z]+", label)
        assert label not in {"le", "quantile", "job", "instance", "name"}


def test_counts_are_taken_once() -> None:
    counts = Counts()
    counts.add("dnsd_truncated_total", "udp")
    counts.add("dnsd_truncated_total", "udp", by=4)
    counts.add("dnsd_truncated_total", "tcp")
    assert (
        counts.items()
        == counts.take()
        == [(("dnsd_truncated_total", "udp"), 5.0), (("dnsd_truncated_total", "tcp"), 1.0)]
    )
    assert counts.take() == []


def test_observations_fall_into_the_bucket_of_their_mean() -> None:
    counts = Counts()
    counts.observe("dnsd_response_seconds", "udp", seconds=64 * 1.5e-5, count=64)
    counts.observe("dnsd_response_seconds", "udp", seconds=9.0, count=1)
    found = dict(counts.take())
    assert found[("dnsd_response_seconds", "udp", "2e-05")] == 64
    assert found[("dnsd_response_seconds", "udp", "+Inf")] == 1
    assert found[("dnsd_response_seconds", "udp", SUM)] == pytest.approx(9.00096)


def test_bucket_includes_its_upper_bound() -> None:
    for bound, bucket in zip(BOUNDS_S, BUCKETS, strict=False):
        counts = Counts()
        counts.observe("dnsd_response_seconds", "udp", seconds=bound, count=1)
        assert ("dnsd_response_seconds", "udp", bucket) in dict(counts.take())


def test_counts_of_several_processes_add_up() -> None:
    total = Counts()
    for _ in range(3):
        worker = Counts()
        worker.add("dnsd_responses_total", "udp", "NOERROR", by=2)
        total.merge(worker.take())
    assert total.items() == [(("dnsd_responses_total", "udp", "NOERROR"), 6.0)]
