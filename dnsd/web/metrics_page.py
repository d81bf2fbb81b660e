"""The page of metrics for Prometheus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from dnsd.metrics import BUCKETS, METRICS, SUM, Key

MetricSample = tuple[tuple[str, ...], float]  # label values, and the metric's value


def metrics_page(samples: Iterable[tuple[Key, float]]) -> bytes:
    """The page in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Page(samples))
    return generate_latest(registry)


class _Page(Collector):
    """Every metric of the catalogue, in its order, zeros included."""

    def __init__(self, samples: Iterable[tuple[Key, float]]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        samples: dict[str, list[MetricSample]] = defaultdict(list)
        for (name, *labels), value in self._samples:
            samples[name].append((tuple(labels), value))
        for name in METRICS:
            yield _family(name, samples[name])


def _family(name: str, samples: Iterable[MetricSample]) -> Metric:
    metric = METRICS[name]
    if metric.kind == "histogram":
        return _histogram(name, samples)
    family: CounterMetricFamily | GaugeMetricFamily
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(name, metric.help, labels=metric.labels)
    samples = sorted(samples)
    for labels, value in samples or ([] if metric.labels else [((), 0.0)]):
        family.add_metric(labels, value)
    return family


def _histogram(name: str, samples: Iterable[MetricSample]) -> Metric:
    by_labels: dict[tuple[str, ...], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for (*labels, bucket), value in samples:
        by_labels[tuple(labels)][bucket] += value
    family = HistogramMetricFamily(name, METRICS[name].help, labels=METRICS[name].labels)
    for values, counted in sorted(by_labels.items()):
        total, buckets = 0.0, []
        for bucket in BUCKETS:
            total += counted[bucket]
            buckets.append((bucket, total))
        family.add_metric(values, buckets, sum_value=counted[SUM])
    return family
