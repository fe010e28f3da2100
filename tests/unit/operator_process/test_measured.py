"""What is counted of the loop's passes, and that the loop sees the same cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from framepilot.resources.meta import Condition, ConditionStatus
from framepilot_operator.cluster.port import (
    Change,
    ClusterError,
    Instance,
    RemoveInstance,
    Snapshot,
    Status,
    Trigger,
    TriggerKind,
)
from framepilot_operator.kubernetes.measured import Measured
from framepilot_operator.kubernetes.metrics import Metrics
from framepilot_operator.loop import Memory, reconcile
from framepilot_operator.manifests.owner import Owner
from support.clock import Clock
from support.snapshots import OWNER, declared


class SlowCluster:
    """Each call takes a known time on the clock; `away` makes every look fail, `broken` every change."""

    def __init__(self, clock: Clock, *instances: Instance) -> None:
        self.clock = clock
        self.instances = instances
        self.services = (declared(),)
        self.away = False
        self.broken = False
        self.reported: list[Status] = []

    async def observe(self) -> Snapshot:
        self.clock.now += 1
        if self.away:
            raise ClusterError("away")
        return Snapshot(self.services, instances=self.instances)

    async def apply(self, change: Change) -> None:
        self.clock.now += 10
        if self.broken:
            raise ClusterError("broken")

    async def report(self, status: Status) -> None:
        self.clock.now += 100
        self.reported.append(status)

    async def triggers(self) -> AsyncIterator[Trigger]:
        yield Trigger(TriggerKind.TICK)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"framepilot_operator_{name}", labels)


async def test_a_pass_lasts_from_the_look_to_the_last_report():
    clock, metrics = Clock(), Metrics()
    measured = Measured(SlowCluster(clock), metrics, clock, lambda: 5000.0)
    memory = await reconcile(measured, lambda: 0, Memory())
    clock.now += 1000
    await reconcile(measured, lambda: 0, memory)
    assert value(metrics, "passes_total") == 2
    assert value(metrics, "pass_duration_seconds_count") == 1
    assert value(metrics, "pass_duration_seconds_sum") == 1 + 10 + 100
    assert value(metrics, "last_pass_timestamp_seconds") == 5000
    assert value(metrics, "changes_total", kind="write_desired") == 2


async def test_a_look_that_fails_is_a_pass_that_failed_and_was_made():
    clock, metrics = Clock(), Metrics()
    cluster = SlowCluster(clock)
    measured = Measured(cluster, metrics, clock)
    cluster.away = True
    with pytest.raises(ClusterError, match="away"):
        await measured.observe()
    assert (measured.looked_at, measured.seen_at) == (1, None)
    assert value(metrics, "pass_failures_total") == 1
    cluster.away = False
    await measured.observe()
    assert (measured.looked_at, measured.seen_at) == (2, 2)
    assert value(metrics, "pass_failures_total") == 1


async def test_a_change_that_fails_is_counted_and_is_still_a_failure():
    clock, metrics = Clock(), Metrics()
    cluster = SlowCluster(clock)
    cluster.broken = True
    with pytest.raises(ClusterError, match="broken"):
        await Measured(cluster, metrics, clock).apply(RemoveInstance(OWNER))
    assert value(metrics, "change_failures_total", kind="remove_instance") == 1
    assert value(metrics, "changes_total", kind="remove_instance") is None


async def test_services_and_instances_are_counted_by_how_they_are():
    clock, metrics = Clock(), Metrics()
    cluster = SlowCluster(clock, Instance(OWNER, "1", running=True), Instance(Owner.service("a/b"), "2"))
    service = declared()
    condition = Condition.model_validate(
        {
            "type": "Ready",
            "status": ConditionStatus.FALSE,
            "reason": "Starting",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": 1,
        }
    )
    status = service.resource.status.model_copy(update={"conditions": (condition,)})
    resource = service.resource.model_copy(update={"status": status})
    cluster.services = (service, replace(service, resource=resource))
    await Measured(cluster, metrics, clock).observe()
    assert [value(metrics, "services", ready=each) for each in ("True", "False", "Unknown")] == [0, 1, 1]
    assert [value(metrics, "instances", running=each) for each in ("true", "false")] == [1, 1]


def test_every_metric_has_the_prefix_and_a_help_text():
    for family in Metrics().registry.collect():
        assert family.name.startswith(("framepilot_operator_", "process_"))
        assert family.documentation
