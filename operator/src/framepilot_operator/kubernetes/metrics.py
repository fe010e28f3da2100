"""What the operator tells of itself to Prometheus: each metric, once, and what stands behind it."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from framepilot.contract.metrics import KIND, SOURCE, Kind, Metric

# Labels
READY: Final = "ready"
RUNNING: Final = "running"
VERB: Final = "verb"

# The loop
PASSES: Final = Metric("framepilot_operator_passes_total", Kind.COUNTER, "Times everything was looked at.")
FAILURES: Final = Metric("framepilot_operator_pass_failures_total", Kind.COUNTER, "Times that could not be done.")
DURATION: Final = Metric(
    "framepilot_operator_pass_duration_seconds", Kind.HISTOGRAM, "From the look to the last change and report."
)
LATEST: Final = Metric(
    "framepilot_operator_last_pass_timestamp_seconds",
    Kind.GAUGE,
    "When everything was last looked at, in Unix time.",
)
CHANGES: Final = Metric("framepilot_operator_changes_total", Kind.COUNTER, "Changes made.", (KIND,))
CHANGE_FAILURES: Final = Metric(
    "framepilot_operator_change_failures_total", Kind.COUNTER, "Changes that could not be made.", (KIND,)
)

# What it looks after
SERVICES: Final = Metric(
    "framepilot_operator_services", Kind.GAUGE, "Declared services by their condition Ready.", (READY,)
)
INSTANCES: Final = Metric(
    "framepilot_operator_instances", Kind.GAUGE, "Instances by whether their container runs.", (RUNNING,)
)
DEVICE_SOURCE_UP: Final = Metric(
    "framepilot_operator_device_source_up",
    Kind.GAUGE,
    "1 while a source says how devices are used: `instances` (all that run), and `prometheus` where one is asked.",
    (SOURCE,),
)

# The process
IS_LEADER: Final = Metric(
    "framepilot_operator_is_leader", Kind.GAUGE, "1 in the process that works, 0 in one that waits."
)
API_REQUESTS: Final = Metric(
    "framepilot_operator_api_requests_total",
    Kind.COUNTER,
    "Requests to the API server, without watches.",
    (VERB, KIND),
)

METRICS: Final = tuple(each for each in [*globals().values()] if isinstance(each, Metric))
"""All of the above, in their order."""

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One process's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        self.passes = Counter(*_said(PASSES), registry=own)
        self.failures = Counter(*_said(FAILURES), registry=own)
        self.duration = Histogram(*_said(DURATION), registry=own, buckets=BUCKETS_S)
        self.latest = Gauge(*_said(LATEST), registry=own)
        self.changes = Counter(*_said(CHANGES), registry=own)
        self.change_failures = Counter(*_said(CHANGE_FAILURES), registry=own)
        self.services = Gauge(*_said(SERVICES), registry=own)
        self.instances = Gauge(*_said(INSTANCES), registry=own)
        self.device_source_up = Gauge(*_said(DEVICE_SOURCE_UP), registry=own)
        self.is_leader = Gauge(*_said(IS_LEADER), registry=own)
        self.api_requests = Counter(*_said(API_REQUESTS), registry=own)


def _said(metric: Metric) -> tuple[str, str, tuple[str, ...]]:
    return metric.name, metric.meaning, metric.labels
