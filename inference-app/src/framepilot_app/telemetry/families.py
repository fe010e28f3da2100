"""From a metric of the contract to what prometheus-client exports, so that name, meaning and labels are said once."""

from __future__ import annotations

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

from framepilot.contract.metrics import Metric

Family = CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily


def counter(metric: Metric) -> CounterMetricFamily:
    """A counter without samples."""
    return CounterMetricFamily(metric.name, metric.meaning, labels=metric.labels)


def gauge(metric: Metric) -> GaugeMetricFamily:
    """A gauge without samples."""
    return GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)


def info(metric: Metric) -> InfoMetricFamily:
    """An info without samples."""
    return InfoMetricFamily(metric.name.removesuffix("_info"), metric.meaning, labels=metric.labels)


def counted(metric: Metric, value: float | None) -> CounterMetricFamily:
    """A counter without labels; one that is not supported has no sample."""
    return CounterMetricFamily(metric.name, metric.meaning, value)


def measured(metric: Metric, value: float | None) -> GaugeMetricFamily:
    """A gauge without labels; one that is not supported has no sample."""
    return GaugeMetricFamily(metric.name, metric.meaning, value)
