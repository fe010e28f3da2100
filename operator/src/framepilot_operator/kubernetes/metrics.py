"""What the operator tells of itself to Prometheus: the names, once, and what stands behind them."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

# Labels
KIND: Final = "kind"
READY: Final = "ready"
RUNNING: Final = "running"
VERB: Final = "verb"

# The loop
PASSES: Final = "framepilot_operator_passes_total"
FAILURES: Final = "framepilot_operator_pass_failures_total"
DURATION: Final = "framepilot_operator_pass_duration_seconds"
LATEST: Final = "framepilot_operator_last_pass_timestamp_seconds"
CHANGES: Final = "framepilot_operator_changes_total"
CHANGE_FAILURES: Final = "framepilot_operator_change_failures_total"

# What it looks after
SERVICES: Final = "framepilot_operator_services"
INSTANCES: Final = "framepilot_operator_instances"

# The process
IS_LEADER: Final = "framepilot_operator_is_leader"
API_REQUESTS: Final = "framepilot_operator_api_requests_total"

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One process's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        self.passes = Counter(PASSES, "Times everything was looked at.", registry=own)
        self.failures = Counter(FAILURES, "Times that could not be done.", registry=own)
        self.duration = Histogram(
            DURATION, "From the look to the last change and report.", registry=own, buckets=BUCKETS_S
        )
        self.latest = Gauge(LATEST, "When everything was last looked at, in Unix time.", registry=own)
        self.changes = Counter(CHANGES, "Changes made.", (KIND,), registry=own)
        self.change_failures = Counter(CHANGE_FAILURES, "Changes that could not be made.", (KIND,), registry=own)
        self.services = Gauge(SERVICES, "Declared services by their condition Ready.", (READY,), registry=own)
        self.instances = Gauge(INSTANCES, "Instances by whether their container runs.", (RUNNING,), registry=own)
        self.is_leader = Gauge(IS_LEADER, "1 in the process that works, 0 in one that waits.", registry=own)
        self.api_requests = Counter(
            API_REQUESTS, "Requests to the API server, without watches.", (VERB, KIND), registry=own
        )
