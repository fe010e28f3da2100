"""What is reported of a runtime: whether its instance runs, and which services it runs. Pure.

How these services fare is in their own statuses. Nothing here changes with every batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from framepilot.resources.conditions import Finding, conditions
from framepilot.resources.meta import ConditionStatus
from framepilot.resources.runtime import InferenceRuntimeStatus
from framepilot_operator.cluster.port import DeclaredRuntime, Instance
from framepilot_operator.instance_health import not_ready, refused, under_way

MOST_SERVICES: Final = 256


@dataclass(frozen=True, slots=True)
class RuntimeFacts:
    """What is known of one runtime at one look; `services` are names."""

    runtime: DeclaredRuntime
    services: tuple[str, ...] = ()
    instance: Instance | None = None
    pending: bool = False


def runtime_status(facts: RuntimeFacts, now: float) -> InferenceRuntimeStatus:
    """The status to report; `now` is Unix seconds."""
    generation = facts.runtime.generation
    findings = (_ready(facts), _reconciling(facts), _stalled(facts))
    return InferenceRuntimeStatus(
        observed_generation=generation,
        conditions=conditions(findings, facts.runtime.resource.status.conditions, generation, now),
        services=facts.services[:MOST_SERVICES],
    )


def _ready(facts: RuntimeFacts) -> Finding:
    if not facts.services:
        return Finding("Ready", ConditionStatus.FALSE, "NoServices", "No service names it in placement.runtimeRef.")
    missing = not_ready(facts.instance)
    if missing is not None:
        return Finding("Ready", ConditionStatus.FALSE, *missing)
    return Finding("Ready", ConditionStatus.TRUE, "Running", f"Its instance runs {', '.join(facts.services)}.")


def _reconciling(facts: RuntimeFacts) -> Finding:
    found = under_way(facts.instance, pending=facts.pending) if facts.services else None
    if found is None:
        return Finding("Reconciling", ConditionStatus.FALSE, "UpToDate", "Nothing is on its way.")
    return Finding("Reconciling", ConditionStatus.TRUE, *found)


def _stalled(facts: RuntimeFacts) -> Finding:
    found = refused(facts.instance)
    if found is None:
        return Finding("Stalled", ConditionStatus.FALSE, "Progressing", "Nothing stands in the way.")
    return Finding("Stalled", ConditionStatus.TRUE, *found)
